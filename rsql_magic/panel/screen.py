"""What a running answer shows in a panel: its text as it comes, in pieces that a browser can draw in time."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from rsql_magic.display import Screen
from rsql_magic.gateway import Waiting

if TYPE_CHECKING:
    from collections.abc import Callable

    from rsql_magic.gateway import Event
    from rsql_magic.panel.threads import MessagePair

_PAUSE = 0.03  # seconds between two pieces: more are not drawn, and each costs the kernel a message


class Pen:
    """Collects text and passes it on in pieces, from a thread of its own: nothing waits in it when the model pauses."""

    def __init__(self, send: Callable[[str], None]) -> None:
        self._send = send
        self._text: list[str] = []
        self._there = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, daemon=True, name="rsql-panel-pen")
        self._thread.start()

    def write(self, text: str) -> None:
        """Take text."""
        with self._there:
            self._text.append(text)
            self._there.notify()

    def drop(self) -> None:
        """Forget what was not passed on."""
        with self._there:
            self._text.clear()

    def close(self) -> None:
        """Pass on the rest, and end."""
        with self._there:
            self._closed = True
            self._there.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._there:
                self._there.wait_for(lambda: self._text or self._closed)
                piece, closed = "".join(self._text), self._closed
                self._text.clear()
            if piece:
                self._send(piece)
            if closed:
                return
            with self._there:
                self._there.wait_for(lambda: self._closed, _PAUSE)


class PanelScreen(Screen):
    """The screen of one pair."""

    def __init__(self, pair: MessagePair, push: Callable[..., None]) -> None:
        self._pair = pair
        self._push = push
        self._pen = Pen(self._piece)

    def status(self, word: str) -> None:
        """What is being done now."""
        self._pair.status = word
        self._push("status", status=word)

    def event(self, event: Event, *, draft: bool = False) -> None:
        """Show what came from the gateway; a place in the queue is shown as such."""
        if isinstance(event, Waiting):
            self._pair.status = f"waiting for a free key: place {event.position}, about {event.eta:.0f} s"
            self._push("status", status=self._pair.status, place=event.position, eta=event.eta)
        else:
            super().event(event, draft=draft)

    def write(self, text: str) -> None:
        """The next piece of the answer."""
        if not self._pair.answer and self._pair.status:
            self.status("")
        self._pen.write(text)

    def draft(self, text: str) -> None:
        """A query in the making is shown as it is written."""
        self._pen.write(text)

    def restart(self, why: str) -> None:
        """Another version follows."""
        self._pen.drop()
        self._pair.answer = ""
        self._push("text", at=0, text="")
        self.status(why)

    def close(self) -> None:
        """Nothing follows."""
        self._pen.close()

    def _piece(self, text: str) -> None:
        at = len(self._pair.answer)
        self._pair.answer += text
        self._push("text", at=at, text=text)
