"""Study cells: a summary, flashcards, a quiz or an exam about the notebook, a topic or a help page."""

# `%%ask --as quiz` asks for material of a fixed form, checks it against that form and has it corrected once. Code that
# proves an answer is run first; a question whose code does not give the stated answer is not shown.

from __future__ import annotations

from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import msgspec

from rsql_magic import prompts
from rsql_magic.answers.study.proving import disproved
from rsql_magic.answers.study.sheet import FORMS, Sheet, StudyKind, Unusable, as_markdown, read_sheet, schema
from rsql_magic.answers.writer import AnswerWriter, drawn_from
from rsql_magic.display import CellOutput, Screen, Showable, safe_markdown, usage_line
from rsql_magic.errors import RsqlError
from rsql_magic.gateway import drafts, usage_of
from rsql_magic.plain_text import printable

if TYPE_CHECKING:
    from typing import Unpack

    from rsql_magic.answers.study.schedule import StudyProgress
    from rsql_magic.gateway import Message, Reply, StreamOptions, Usage


@dataclass
class Study(Showable):
    """A study sheet, and what it took; ``notes`` are what the reader should know, such as questions that were left out.

    Example:
        >>> from rsql_magic.answers.study.sheet import Card
        >>> print(Study(Sheet("flashcards", "Means", (Card("mean", "sum ÷ n"),))))
        ## Means
        <BLANKLINE>
        1. mean
        <BLANKLINE>
        ### Answers
        <BLANKLINE>
        1. sum ÷ n
    """

    sheet: Sheet
    usage: Usage | None = None
    sources: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def items(self) -> tuple[Any, ...]:
        """Points, cards, questions or exercises."""
        return self.sheet.items

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        built: dict[str, Any] = msgspec.to_builtins(self.sheet)
        return {**built, "sources": list(self.sources), "notes": list(self.notes)}

    def shown(self, *, footer: bool = True, interactive: bool = False) -> CellOutput:
        """Markdown: questions first, answers at the end; with a widget beside it only the title and the notes."""
        text = "\n\n".join(f"*{note}*" for note in self.notes) if interactive else as_markdown(self.sheet, self.notes)
        text = "\n\n".join(filter(None, [text, drawn_from(self.sources)]))
        metadata = {"rsql": self.usage.record()} if self.usage else {}
        line = usage_line(self.usage) if footer and self.usage else ""
        return CellOutput(safe_markdown(text), text, line, metadata=metadata)

    def widget(self, progress: StudyProgress | None = None) -> Any:
        """The sheet to flip, choose and score with ipywidgets; None where it is only read."""
        from rsql_magic.answers.study.widgets import widget_of

        return widget_of(self.sheet, progress)

    def __str__(self) -> str:
        return printable(as_markdown(self.sheet, self.notes))

    def __repr__(self) -> str:
        return f"<Study {self.sheet.kind} of {len(self.items)}: {printable(self.sheet.title)}>"


@dataclass(eq=False)
class StudyWriter(AnswerWriter):
    """One study sheet on its way."""

    repair_prompt = "study_repair"
    kind: StudyKind = field(kw_only=True)
    count: int | None = field(kw_only=True)  # of items; None leaves it to the model

    def __post_init__(self) -> None:
        super().__post_init__()
        # JSON that is still being written helps nobody.
        self.screen = _StatusScreen(self.screen)

    def messages(self) -> list[Message]:
        """What would be sent."""
        wanted = f"Write exactly {self.count} items." if self.count else "Write 3 to 10 items."
        system = prompts.render("study", form=FORMS[self.kind], count=wanted)
        asked = f"{self.kind} about: {self.question.text}"
        user = prompts.render("question", context=self.gathered.text, question=asked)
        return self.entry.messages(system, user.strip())

    def _send(self, messages: list[Message], **options: Unpack[StreamOptions]) -> Reply:
        form = {"name": self.kind, "schema": schema(self.kind, self.count)}
        options["response_format"] = {"type": "json_schema", "json_schema": form}
        options["task"] = "study"
        return super()._send(messages, **options)

    def as_values(self) -> dict[str, Any]:
        """The content of the messages as values, for the model of fixed rules."""
        return super().as_values() | {"task": "study", "sheet": self.kind, "count": self.count}

    def sheet(self) -> Study:
        """Ask, check against the form, have it corrected once, and run the code in it."""
        read = attrgetter("text")
        steps = drafts.write(self.messages(), read=read, check=self._wrong, repair=self._repair, retries=1)
        last = drafts.drive(steps, self._send)[-1]
        try:
            sheet = read_sheet(last.draft, self.kind)
        except Unusable:
            self.entry.add(self.replies)
            hint = "Ask again, for fewer items (--count), or take another --model."
            # Prose without JSON is the model's own reason, such as that nothing here can be asked about.
            why = last.problems[0] if "{" in last.draft else f"It says: {' '.join(last.draft.split())[:300]}"
            raise RsqlError(f"The model gave no usable {self.kind}. {why}", hint=hint) from None
        study = self._proved(sheet)
        self.entry.add(self.replies, answer=str(study), sources=study.sources)
        return study

    def _wrong(self, text: str) -> list[str]:
        self.screen.status("checking")
        try:
            sheet = read_sheet(text, self.kind, self.count)
        except Unusable as problem:
            return [str(sentence) for sentence in problem.args]
        return [f"Item {number}: its code is wrong, {why}." for number, why in _unproved(sheet)]

    def _proved(self, sheet: Sheet) -> Study:
        """The sheet without items whose code does not give the stated answer."""
        wrong = dict(_unproved(sheet))
        if not (kept := tuple(item for number, item in enumerate(sheet.items, 1) if number not in wrong)):
            raise RsqlError(f"No code of this {sheet.kind} gives what it should.", hint="Ask again.")
        checked = sum(getattr(item, "code", None) is not None for item in kept)
        notes = (
            self.entry.note,
            f"{checked} answer{'s' * (checked != 1)} checked by running code" if checked else "",
            f"{len(wrong)} left out: the code did not give the stated answer" if wrong else "",
            f"{len(kept)} of the {self.count} asked for" if self.count and len(kept) != self.count else "",
        )
        sheet = msgspec.structs.replace(sheet, items=kept)
        sources = dict.fromkeys([*self.gathered.pointed, *self.gathered.named_in(as_markdown(sheet))])
        return Study(sheet, usage_of(self.replies), tuple(sources), tuple(filter(None, notes)))


@dataclass
class _StatusScreen(Screen):
    """Says what is being done, and keeps the JSON to itself."""

    screen: Screen

    def status(self, word: str) -> None:
        self.screen.status(word)

    def restart(self, why: str) -> None:
        self.screen.status(why)


def _unproved(sheet: Sheet) -> list[tuple[int, str]]:
    """The numbers of items whose code does not give the stated answer, and why."""
    coded = [(number, item.code) for number, item in enumerate(sheet.items, 1) if getattr(item, "code", None)]
    return [(number, why) for number, code in coded if (why := disproved(code))]
