"""From a question about the notebook to an answer: context, request, check of the code, one repair."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from rsql_magic import prompts
from rsql_magic.ask.answers import Answer, check_blocks, parse_python, parse_sql
from rsql_magic.ask.columns_used import Unknown, unknown_in_python
from rsql_magic.context import Context, as_cells, frame_attributes, frame_columns, gather, polars_frames, recently
from rsql_magic.display import Screen
from rsql_magic.errors import AnswerCut, BadInput, RsqlError, Stopped
from rsql_magic.gateway import Reply, blocks_of, drafts, filtered, restored, usage_of
from rsql_magic.sql import count_tokens, fence

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rsql_magic.ask.snapshot import NotebookSnapshot
    from rsql_magic.context import Piece
    from rsql_magic.databases import MainThreadExecutor
    from rsql_magic.gateway import Block, Entry, Message
    from rsql_magic.sql import Catalog, Privacy
    from rsql_magic.text2sql import Linked

LANGUAGES = {
    "auto": "Use the language of the user's own code when it can be seen, else Python for frames and R for R objects.",
    "r": "Write R.",
    "python": "Write Python.",
    "sql": "Write SQL.",
}
"""Languages of code in an answer, and what the model is told; the first leaves it open."""


ERROR_QUESTIONS = {
    "": "Explain the last error: what happened, why, and how to fix it.",
    "fix": "Fix the last error: write the whole corrected cell, in one block of code.",
}
"""What is asked about the last error: to explain it, or to fix it."""


@dataclass(frozen=True)
class NotebookQuestion:
    """What is asked of the notebook."""

    text: str  # with its ``{{names}}`` filled in
    names: tuple[str, ...] = ()  # to be described, whatever they cost
    model: str | None = None  # None for the gateway's default
    lang: str = "auto"  # of code in the answer
    level: Privacy = "stats"
    context: bool = True  # whether to describe the notebook at all
    budget: int = 1500  # most tokens spent on describing it
    timeout: float | None = None  # most seconds without a word from the gateway
    format: str = "markdown"
    about_error: bool = False  # whether the last error goes with it
    check_code: bool = True  # whether code that does not parse goes back once
    hint: str = ""  # on names in the question that were not filled in
    attached: tuple[Piece, ...] = ()  # handed over with it, such as what was piped in


@dataclass(frozen=True)
class Prepared:
    """A request that is ready, to be looked at before it is sent: its messages, and what they tell of the notebook."""

    messages: tuple[Message, ...]
    context: Context


@dataclass(frozen=True)
class Preview:
    """What would be sent, and its size."""

    messages: tuple[Message, ...]  # letter by letter, with what the gateway's policy adds
    tokens: int  # estimated
    context: Context | None = None  # what they tell of the notebook, piece by piece
    prepared: Prepared | None = field(default=None, repr=False)  # for ``ask``, to send exactly these
    linked: Linked | None = field(default=None, repr=False)  # for ``sql_ai``, to send exactly these
    note: str = ""  # what could not be looked at

    def piece(self, name: str) -> Piece | None:
        """What they tell of one thing; None when they do not."""
        pieces = self.context.pieces if self.context else ()
        return next((piece for piece in pieces if piece.name == name and piece.shown), None)

    def saying(self, unsure: str) -> str:
        """It all, and why it may not be exactly what would be sent, if so."""
        return "\n".join(filter(None, [str(self), self.note, unsure]))

    def __str__(self) -> str:
        parts = [f"[{message['role']}]\n{message['content']}" for message in self.messages]
        return "\n\n".join([*parts, f"≈ {self.tokens:,} tokens. Nothing was sent."])


def preview_of(messages: Sequence[Message]) -> Preview:
    """Messages as they leave: without secrets and personal identifiers."""
    sent, _ = filtered(messages)
    return Preview(tuple(sent), sum(count_tokens(message["content"]) for message in sent))


BUSY = "a cell is running"
"""Why R was not asked, while the main thread has something else to do."""


class AnswerWriter:
    """One question on its way to an answer, which becomes a turn at its entry.

    A request that was ``prepared`` before is sent as it is. ``executor`` checks R code where this thread cannot; it
    raises TimeoutError while the main thread is busy.
    """

    def __init__(
        self,
        question: NotebookQuestion,
        snapshot: NotebookSnapshot,
        entry: Entry,
        *,
        catalog: Catalog | None = None,
        screen: Screen | None = None,
        prepared: Prepared | None = None,
        r: bool = True,
        executor: MainThreadExecutor | None = None,
    ) -> None:
        self._question = question
        self._prepared = prepared
        self._r = r
        self._executor = executor or (lambda check: check())
        self._snapshot = snapshot
        self._entry = entry
        self._catalog = catalog
        # Half an object is no JSON: it is shown when it is complete.
        self._screen = screen if screen and question.format != "json" else Screen()
        self._replies: list[Reply] = []
        self._unchecked = ""
        self._problems: Sequence[str] = ()

    @cached_property
    def gathered(self) -> Context:
        """What the model is told about the notebook."""
        if self._prepared is not None:
            return self._prepared.context
        if not self._question.context:
            return Context()
        return gather(
            self._question.text,
            self._snapshot.sources(
                self._question.text, {*self._question.names, *recently(as_cells(self._snapshot.cells)[-5:])[0]}
            ),
            names=self._question.names,
            level=self._question.level,
            budget=self._question.budget,
            catalog=self._catalog,
            cells=self._snapshot.cells,
            error=self._snapshot.error if self._question.about_error else None,
            r=self._r,
        )

    def messages(self) -> list[Message]:
        """What would be sent: the prompt, the history, what is told of the notebook, and the question."""
        if self._prepared is not None:
            return list(self._prepared.messages)
        system = prompts.render("ask", lang=LANGUAGES[self._question.lang])
        attached = (fence(piece.kind, piece.name, piece.text) for piece in self._question.attached)
        asked = "\n\n".join([self._question.text, *attached])
        user = prompts.render("question", context=self.gathered.text, question=asked)
        return self._entry.messages(system, user.strip())

    def as_values(self) -> dict[str, Any]:
        """What the last message asks and all of them tell, as values, for the model of fixed rules."""
        values = {
            "task": "ask",
            "question": self._question.text,
            "language": "" if self._question.lang == "auto" else self._question.lang,
            "history": self._entry.history(),
            "problems": self._problems,
        }
        return Context((*self.gathered.pieces, *self._question.attached)).as_values() | values

    def run(self) -> Answer:
        """Ask, check the code in the answer, and have it corrected once.

        An answer that the user stopped, or that was cut, holds what arrived; ``ended_by`` says so.

        Raises:
            GatewayError: The gateway refused or failed before the first word.
        """
        steps = drafts.write(
            self.messages(),
            read=attrgetter("text"),
            check=self._check,
            repair=self._repair,
            retries=1 if self._question.check_code else 0,
        )
        problems: tuple[str, ...] = ()
        ended_by: RsqlError | None = None
        try:
            problems = drafts.drive(steps, self._send)[-1].problems
        except (Stopped, AnswerCut) as error:
            ended_by = error
        answer = self._answer(problems, ended_by)
        self._entry.add(self._replies, sources=answer.sources)
        return answer

    def _send(self, messages: list[Message]) -> Reply:
        reply = Reply()
        self._replies.append(reply)
        self._screen.status("asking")
        question = self._question
        try:
            stream = self._entry.stream(
                messages, reply, model=question.model, timeout=question.timeout, described=self.as_values
            )
            with closing(stream) as events:
                for event in events:
                    self._screen.event(event)
        except KeyboardInterrupt as stop:  # also between two events, while the screen is drawn
            reply.interrupted = True
            raise stop if isinstance(stop, Stopped) else Stopped("Stopped; what had arrived is kept.") from None
        reply.text = restored(reply.text, question.text)
        return reply

    def _check(self, text: str) -> list[str]:
        if not self._question.check_code:
            return []
        blocks = blocks_of(text)
        return [*(check_blocks(blocks, self._parsers) or self._unknown(blocks)), *self._wrong_in_r(blocks)]

    def _wrong_in_r(self, blocks: Sequence[Block]) -> list[str]:
        """What R says of the R code; while R cannot be asked, that is noted instead."""
        self._unchecked = ""
        if not any(block.language == "r" for block in blocks):
            return []
        try:
            problems: list[str] = self._executor(lambda: check_in_r(blocks, self.gathered.suppressed))
        except TimeoutError:
            self._unchecked = BUSY
        except BadInput as no_r:
            self._unchecked = no_r.message.rstrip(".")
        else:
            return problems
        return []

    def _unknown(self, blocks: Sequence[Block]) -> list[str]:
        """Columns that Python code asks of frames which do not have them; a name is better corrected than run."""
        python = [place for place, block in enumerate(blocks) if block.language == "python"]
        namespace = self._snapshot.namespace
        codes = [blocks[place].code for place in python]
        suppressed = self.gathered.suppressed
        attributes, polars = frame_attributes(namespace), polars_frames(namespace)
        found = unknown_in_python(codes, frame_columns(namespace), attributes, suppressed, polars) if codes else []
        return [
            f"The python block {place + 1} is wrong: {each}"
            for place, unknown in zip(python, found, strict=True)
            for each in unknown
        ]

    @property
    def _parsers(self) -> dict[str, Callable[[str], str]]:
        dialect = self._catalog.dialect if self._catalog else ""
        return {"python": parse_python, "sql": lambda code: parse_sql(code, dialect)}

    def _repair(self, _: str, problems: Sequence[str]) -> str:
        self._problems = problems
        self._screen.restart(f"correcting: {problems[0]}")
        return prompts.render("code_repair", problems="\n".join(f"- {problem}" for problem in problems))

    def _answer(self, problems: tuple[str, ...], ended_by: RsqlError | None) -> Answer:
        redacted = sum((self._replies[0].redacted + Counter(self.gathered.redactions)).values())
        notes = (
            self._entry.note,
            f"{redacted} value{'' if redacted == 1 else 's'} redacted" if redacted else "",
            "ended at the longest answer the model may give" if self._replies[-1].cut else "",
        )
        return Answer(
            self._replies[-1].text,
            question=self._question.text,
            usage=usage_of(self._replies),
            context=self.gathered.text,
            sources=self.gathered.named_in(self._replies[-1].text),
            problems=(*problems, *filter(None, [self._replies[-1].silence])),
            unchecked=self._unchecked,
            notes=tuple(filter(None, notes)),
            format=self._question.format,
            ended_by=ended_by,
        )


def check_in_r(blocks: Sequence[Block], suppressed: frozenset[str] = frozenset()) -> list[str]:
    """What is wrong with the R code among blocks, one sentence each: it does not parse, or asks for unknown columns.

    ``suppressed`` columns are not named, because their names are values.

    Raises:
        BadInput: R cannot be asked, as on any but the main thread.
    """
    from rsql_magic.context import r

    places = [place for place, block in enumerate(blocks) if block.language == "r"]
    wrong = check_blocks(blocks, {"r": lambda code: r.parse_r(code) or ""})
    unknown = _unknown_in_r([blocks[place].code for place in places], suppressed) if not wrong else []
    return wrong or [f"The r block {places[piece] + 1} is wrong: {each}" for piece, each in unknown]


def _unknown_in_r(codes: list[str], suppressed: frozenset[str]) -> list[tuple[int, Unknown]]:
    """Columns of R's tables that are not there, by the piece of code."""
    from rsql_magic.context import r

    tables = {each.name: each.columns for each in r.survey().objects if each.columns and each.is_table}
    found = r.unknown_columns(codes, tables) if tables else []
    return [
        (piece, Unknown(table, column, [name for name in columns if name not in suppressed]))
        for piece, table, column, columns in found
    ]
