"""Changes of a cell that a user asks for: its error mended, or its code rewritten as an instruction says."""

# Nothing is written here: the view shows what is proposed as a diff, and puts it into the notebook when the user says
# so. The code goes with the question as it was typed, as a cell does that is named by `@cell:5`; secrets and personal
# identifiers in it are replaced on the way and put back in the reply.

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rsql_magic.answers import ERROR_QUESTIONS
from rsql_magic.context import reads_r
from rsql_magic.display import Screen, fenced, usage_line
from rsql_magic.errors import BadInput, RsqlError
from rsql_magic.gateway import blocks_of
from rsql_magic.panel.outputs import as_cell
from rsql_magic.panel.questions import Outdated
from rsql_magic.panel.stops import Stops
from rsql_magic.panel.threads import new_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from rsql_magic.answers import Answer, NotebookQuestion, NotebookSnapshot, Preview
    from rsql_magic.gateway import Waiting
    from rsql_magic.panel.chat_panel import ChatPanel
    from rsql_magic.panel.failed_cell import FailedCell

_SENTENCES = {"fix": "what was wrong", "change": "what you changed"}
_INSTRUCTED = "Change the code below: {instruction}. Write all of it anew, in one block of code."
_MAGIC = re.compile(r"%%(\w+)[^\n]*\n?")
_LANGUAGES = {"R": "r", "sql": "sql", "sql_ai": "sql", "bigquery": "sql"}  # of a cell by its magic; else Python
_PATIENCE = 2.0  # seconds to wait for the main thread where R's objects would be good to have
_MOST_PREVIEWS = 8  # a view has one


class NoChange(RsqlError):
    """The model proposed nothing that could be put into the cell."""


@dataclass(frozen=True)
class CellChange:
    """What is to be changed: a cell's whole source, or a part of the ``whole``."""

    source: str
    failed: FailedCell | None = None
    instruction: str = ""
    whole: str = ""  # the cell around a part of it

    def __post_init__(self) -> None:
        if not self.source.strip():
            raise BadInput("The cell is empty.", hint="There is nothing to change in it.")
        if self.failed is None and not self.instruction.strip():
            raise BadInput("There is no instruction.", hint="Say what should change, such as: make it faster.")

    @property
    def text(self) -> str:
        """The question without the code."""
        kind = "change" if self.instruction.strip() else "fix"
        instruction = " ".join(self.instruction.split()).rstrip(".")
        asked = ERROR_QUESTIONS["fix"] if kind == "fix" else _INSTRUCTED.format(instruction=instruction)
        return f"{asked} Before it, say in one sentence {_SENTENCES[kind]}."

    @property
    def code(self) -> str:
        """The code that goes with the question."""
        around = f"\n\nIt is a part of this cell:\n{fenced(self.whole)}" if self._is_part else ""
        return f"{fenced(self.source)}{around}"

    @property
    def _is_part(self) -> bool:
        return bool(self.whole) and self.whole.strip() != self.source.strip()

    @property
    def language(self) -> str:
        """The language of the cell, by its magic."""
        magic = _MAGIC.match((self.whole or self.source).lstrip())
        return _LANGUAGES.get(magic[1], "python") if magic else "python"

    def proposed(self, answer: Answer) -> dict[str, Any]:
        """What an answer proposes: ``source`` in place of the code, and whether it is a ``cell`` of its own.

        Raises:
            NoChange: The answer holds no code, or the same code.
        """
        blocks = answer.blocks
        if not blocks or not answer.code.strip():
            raise NoChange("No change was proposed.", hint=_words(answer.text) or "Ask again, or in other words.")
        language = blocks[0].language or self.language
        own_cell = self._is_part and language != self.language
        source = self._like_the_old(answer.code, language)
        if source.strip() == self.source.strip():
            raise NoChange("The code proposed is the code that is there.", hint=_words(answer.text))
        return {"source": source, "cell": own_cell, "reason": _words(answer.text), "problems": list(answer.problems)}

    # With the first line of the old cell where that is a magic of this language, and a part indented as it was.
    def _like_the_old(self, code: str, language: str) -> str:
        if self._is_part:
            if language != self.language:
                return as_cell(code, language)
            indent = re.match(r"[ \t]*", self.source)
            code = textwrap.dedent(code)
            return textwrap.indent(code, indent[0] if indent else "") + ("\n" if self.source.endswith("\n") else "")
        magic = _MAGIC.match(self.source.lstrip())
        if not code.lstrip().startswith("%%"):
            has_magic = magic is not None and language == self.language
            code = f"{magic[0].rstrip()}\n{code}" if magic and has_magic else as_cell(code, language)
        head, tail = self.source.partition(self.source.strip())[::2]  # blank lines around the code stay
        return head[: head.rfind("\n") + 1] + code.strip("\n") + tail


# The prose of an answer.
def _words(text: str) -> str:
    for block in blocks_of(text):
        text = text.replace(block.code, "", 1)
    return re.sub(r"^[ \t]*(`{3,}|~{3,})[^\n]*\n?", "", text, flags=re.MULTILINE).strip()


@dataclass(frozen=True)
class _PreparedChange:
    change: CellChange
    question: NotebookQuestion
    snapshot: NotebookSnapshot
    preview: Preview
    state: tuple[Any, ...]


class CellChanges:
    """The changes of cells that one panel is asked for."""

    def __init__(self, panel: ChatPanel) -> None:
        self._panel = panel
        self._previews: dict[str, _PreparedChange] = {}
        self.stops = Stops()

    def preview(self, change: CellChange) -> dict[str, Any]:
        """Exactly what would be sent; ``seen`` is the name by which ``propose`` sends it as it is."""
        unsure = self._panel.assistant.locator.unknown_policy()
        prepared = self._prepare(change)
        notes = prepared.preview.context.notes if prepared.preview.context else ()
        name = "" if unsure else new_id()
        if name:
            self._previews[name] = prepared
            for old in list(self._previews)[:-_MOST_PREVIEWS]:
                self._previews.pop(old, None)
        return {
            "messages": list(prepared.preview.messages),
            "tokens": prepared.preview.tokens,
            "model": self._panel.assistant.settings.resolve(None) or "",
            "notes": [*notes, *([unsure] if unsure else [])],
            "seen": name,
        }

    def propose(self, change: CellChange, number: str, seen: str = "") -> dict[str, Any]:
        """Ask for the change; ``number`` is the view's name for it, by which it can be stopped.

        Raises:
            NoChange: The answer holds nothing to put into the cell.
            Outdated: What was looked at is not what would be sent now.
            GatewayError: The gateway refused or failed.
            Stopped: The user stopped it.
        """
        assistant = self._panel.assistant
        screen = _ChangeScreen(lambda status, place: self._tell(number, status, place))
        try:
            with self.stops.governing(number):
                screen.status("reading")
                assistant.locator.learn_policy()
                prepared = self._previews.pop(seen, None)
                if prepared is None or prepared.change != change:
                    prepared = self._prepare(change)
                elif prepared.state != self._state:
                    raise Outdated("The notebook has changed since you looked.", hint="Look at what would be sent now.")
                answer = assistant.ask(
                    prepared.question,
                    prepared.snapshot,
                    screen=screen,
                    chat=assistant.new_chat(),
                    prepared=prepared.preview.prepared,
                    executor=lambda check: self._panel.main_thread.call(check, patience=_PATIENCE),
                )
        finally:
            screen.status("")
        if answer.ended_by is not None:
            raise answer.ended_by
        return {**change.proposed(answer), "footer": usage_line(answer.usage, notes=answer.notes)}

    def close(self) -> None:
        """Stop all of them."""
        self.stops.stop_all()

    def _prepare(self, change: CellChange) -> _PreparedChange:
        state = self._state
        if not reads_r(f"{change.source}\n{change.instruction}") and change.language != "r":
            return self._built(change, state)
        try:
            return self._panel.main_thread.call(lambda: self._built(change, state), patience=_PATIENCE)
        except TimeoutError:
            return self._built(change, state, r=False)

    def _built(self, change: CellChange, state: tuple[Any, ...], *, r: bool = True) -> _PreparedChange:
        assistant, snapshot = self._panel.assistant, self._panel.snapshot()
        if change.failed is not None:
            snapshot = change.failed.into(snapshot)
        snapshot = replace(snapshot, cells=[cell for cell in snapshot.cells if cell != change.source])
        most, length = assistant.settings.max_question_chars, len(change.code)
        if length > most:
            hint = "Select the part of it that should change."
            raise BadInput(f"The cell has {length:,} characters; at most {most:,} are sent.", hint=hint)
        # Doubled braces are fields to fill in only where a person writes a question.
        text = change.text.replace("{{", "{ {")
        about_error = change.failed is not None and not change.instruction.strip()
        question = assistant.question(text, snapshot, about_error=about_error, look=True)
        question = replace(question, text=f"{question.text}\n\n{change.code}")
        preview = assistant.preview(question, snapshot, chat=assistant.new_chat(), r=r)
        return _PreparedChange(change, question, snapshot, preview, state)

    # What a request depends on beside the change itself.
    @property
    def _state(self) -> tuple[Any, ...]:
        cells = getattr(self._panel.shell, "execution_count", 0)
        return (cells, self._panel.questions.code_runs, self._panel.assistant.connections.last)

    def _tell(self, number: str, status: str, place: int | None) -> None:
        self._panel.send({"push": "change", "change": number, "status": status, "place": place})


class _ChangeScreen(Screen):
    """What is being done, in words; the answer itself is shown when it is complete."""

    def __init__(self, tell: Callable[[str, int | None], None]) -> None:
        self._tell = tell

    def status(self, word: str) -> None:
        self._tell(word, None)

    def queued(self, words: str, event: Waiting) -> None:
        self._tell(words, event.position)

    def restart(self, why: str) -> None:
        self.status(why)
