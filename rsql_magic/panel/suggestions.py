"""Code for the place where somebody types in a cell, as the front end's completer asks; off unless a model is named."""

# A suggestion is worth nothing once the next key is pressed, so it is stopped by the next one, and takes part in no
# conversation. The gateway is told what it is: it comes behind people, and takes nothing of their limits. One that the
# gateway refuses for a limit is no news to anybody; it is only asked again later.

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

from rsql_magic import prompts
from rsql_magic.context import reads_r
from rsql_magic.errors import BadInput, LimitReached
from rsql_magic.gateway import Reply, blocks_of, filtered, restored
from rsql_magic.panel.stops import Stops
from rsql_magic.plain_text import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from rsql_magic.panel.chat_panel import ChatPanel

_BEFORE, _AFTER = 4_000, 1_000  # characters around the cursor that are sent
_NEAR = 400  # characters before it whose names choose what is described
_LINES = 8  # most lines of a suggestion
_TOKENS = 160
_PATIENCE = 5.0  # seconds; nobody waits longer for a suggestion
_PAUSE, _LONGEST_PAUSE = 60.0, 600.0  # seconds after a refusal for a limit, where it tells none, and at most
_CURSOR = "<cursor>"


class Suggestions:
    """The suggestions of one panel; ``clock`` gives seconds."""

    def __init__(self, panel: ChatPanel, clock: Callable[[], float] = time.monotonic) -> None:
        self._panel, self._clock = panel, clock
        self._lock = threading.Lock()
        self._asked: deque[float] = deque()
        self._not_before = 0.0  # by the clock, after a refusal
        self.stops = Stops()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="rsql-panel-suggestion")

    def expect(self, number: str) -> ThreadPoolExecutor:
        """End the suggestions before a new one; where that one is to be made, when its turn comes."""
        self.stops.stop_all()
        self.stops.expect(number)
        return self._worker

    def suggest(self, before: str, after: str, number: str) -> dict[str, str]:
        """Text for the cursor between ``before`` and ``after``; empty where there is none, or a limit is reached.

        Raises:
            BadInput: No model is named for it.
            GatewayError: The gateway refused or failed.
            Stopped: The user typed on.
        """
        settings = self._panel.assistant.settings
        if not settings.completion_model:
            hint = "%config Rsql.completion_model = 'a small, fast model' names one."
            raise BadInput("No model is named for completions.", hint=hint)
        with self.stops.governing(number):
            if not before.strip() or not self._may_ask(settings.completions_per_minute):
                return {"text": ""}
            try:
                return {"text": fitted(self._reply(before, after, settings.completion_model), before)}
            except LimitReached as refused:
                pause = _PAUSE if refused.retry_after is None else refused.retry_after
                self._not_before = self._clock() + min(pause, _LONGEST_PAUSE)
                return {"text": ""}

    def close(self) -> None:
        """Stop what is on its way, and take no more."""
        self._worker.shutdown(wait=False, cancel_futures=True)
        self.stops.stop_all()

    # Its own limit, whatever the gateway's are.
    def _may_ask(self, most: int) -> bool:
        now = self._clock()
        with self._lock:
            while self._asked and now - self._asked[0] >= 60.0:
                self._asked.popleft()
            if len(self._asked) >= most or now < self._not_before:
                return False
            self._asked.append(now)
            return True

    def _reply(self, before: str, after: str, model: str) -> str:
        assistant, begun = self._panel.assistant, self._clock()
        assistant.locator.learn_policy()
        near = before[-_NEAR:]
        # R is asked on the main thread only, which nobody should wait for here.
        described = "" if reads_r(near) else assistant.gather(near, self._panel.snapshot(), documents=False).text
        code = f"{before[-_BEFORE:]}{_CURSOR}{after[:_AFTER]}"
        user = f"{described}\n\nThe cell:\n{code}".strip()
        messages, redacted = filtered(
            [
                {"role": "system", "content": prompts.render("suggest", lines=str(_LINES))},
                {"role": "user", "content": user},
            ]
        )
        reply = Reply()
        stream = assistant.locator.client.stream
        name = assistant.settings.resolve(model)
        with closing(
            reply.read(
                lambda: stream(
                    messages,
                    model=name,
                    task="inline_completion",
                    timeout=_PATIENCE,
                    max_tokens=_TOKENS,
                    temperature=0.0,
                )
            )
        ) as events:
            for _ in events:
                if self._clock() - begun > _PATIENCE:  # also while it waits for a key
                    return ""
        return restored(reply.text, user) if redacted else reply.text


def fitted(reply: str, before: str) -> str:
    r"""What of a reply belongs at the cursor: without a fence, and without the part of the line that is there already.

    Example:
        >>> fitted("```python\nsales.groupby('region').sum()\n```", "x = 1\nsales.gro")
        "upby('region').sum()"
    """
    blocks = blocks_of(reply)
    text = blocks[0].code if blocks else reply.replace(_CURSOR, "").strip("\n")
    text = "\n".join(printable(line) for line in text.split("\n")[:_LINES]).rstrip()
    line = before.rpartition("\n")[2]
    starts = (line[place:] for place in range(len(line)) if place == 0 or not line[place - 1].isalnum())
    there = next((start for start in starts if start.strip() and text.startswith(start)), "")
    return text.removeprefix(there)
