"""From a question about the notebook to an answer: context, request, check of the code, one repair."""

# Python is parsed by `ast`, R by R itself where it is installed, SQL by sqlglot. An answer whose code does not parse
# goes back to the model once, with the parser's message.

from __future__ import annotations

import re
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar

from rsql_magic import prompts
from rsql_magic.answers.claims import Checked, check_claims
from rsql_magic.answers.code_checks import bare_code, check_code, check_in_r, respelled, unknown_in_python
from rsql_magic.answers.files_read import use_loaded
from rsql_magic.answers.looks import tools_of
from rsql_magic.answers.missing_names import missing_names
from rsql_magic.answers.plugged import plugged_checks, problems_by_plug_ins
from rsql_magic.answers.routes import wanted
from rsql_magic.context import FAILED, Context, as_cells, gather, python_frames, recently
from rsql_magic.display import CellOutput, Screen, Showable, as_json, fenced, folded, safe_markdown, usage_line
from rsql_magic.errors import AnswerCut, BadInput, RsqlError, Stopped
from rsql_magic.gateway import INTERRUPTED, Reply, Usage, blocks_of, drafts, filtered, restored, usage_of
from rsql_magic.plain_text import printable
from rsql_magic.sql import count_tokens, fence
from rsql_magic.tools import Looking

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Unpack

    from rsql_magic.answers.citations import Citation, Cited
    from rsql_magic.answers.meaning_checks import DefinedFrames
    from rsql_magic.answers.snapshot import NotebookSnapshot
    from rsql_magic.context import Piece
    from rsql_magic.databases import Engine, MainThreadExecutor
    from rsql_magic.gateway import Block, ChatEntry, Message, StreamOptions
    from rsql_magic.knowledge import Dictionary, Hits, Library
    from rsql_magic.options import LookFirst, Way
    from rsql_magic.sql import Catalog, Privacy
    from rsql_magic.text2sql import Linked
    from rsql_magic.tools import Tool

# Languages of code in an answer, and their sentence in the prompt; the first leaves it open.
LANGUAGES = {
    "auto": "Use the language of the user's own code when it can be seen, else Python for frames and R for R objects; "
    "mark the block ```python, ```r or ```sql.",
    "r": "Write R, in a ```r block.",
    "python": "Write Python, in a ```python block.",
    "sql": "Write SQL, in a ```sql block.",
}
# Questions about the last error: to explain it, or to fix it.
ERROR_QUESTIONS = {
    "": "Explain the last error: what happened, why, and how to fix it.",
    "fix": "Fix the last error: write the whole corrected cell, in one block of code.",
}
_PASSAGES = 8  # most passages of documents that go with a question
BUSY = "a cell is running"  # why R was not asked, while the main thread has something else to do


@dataclass(frozen=True)
class NotebookQuestion:
    """A question about the notebook, with the settings for it."""

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
    look: LookFirst = "never"  # whether the model may call tools first; ``auto`` where the budget left something out
    look_calls: int = 8
    hint: str = ""  # on names in the question that were not filled in
    docs: tuple[str, ...] = ()  # documents to answer from; with none, those that fit
    document_tokens: int = 1500  # most tokens spent on passages of documents; 0 for none
    attached: tuple[Piece, ...] = ()  # handed over with it, such as what was piped in
    way: Way | None = None  # what the answer is made of, where that is known
    said: str = ""  # the line on a way that the user did not choose
    pictures: tuple[str, ...] = ()  # that go with it, as ``data:`` addresses


@dataclass(frozen=True)
class Prepared:
    """A request that is ready, to be looked at before it is sent: its messages, and the notebook's context."""

    messages: tuple[Message, ...]
    context: Context
    hits: Hits | None = None  # the documents' passages in it


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
        """The description of one thing; None when it is not described."""
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


def cited(sources: Sequence[str]) -> list[str]:
    """What an answer was drawn from (`Answer.sources`), as one would type it.

    Example:
        >>> cited(["frame sales", "help stats::lm"])
        ['sales', '?stats::lm']
    """
    kinds_and_names = (source.partition(" ")[::2] for source in sources)
    return list(dict.fromkeys("?" * (kind == "help") + name.replace("`", "") for kind, name in kinds_and_names))


def drawn_from(sources: Sequence[str]) -> str:
    """The line below an answer with its sources; empty where it names none.

    Example:
        >>> drawn_from(["frame sales", "help stats::lm"])
        'from `sales`, `?stats::lm`'
    """
    return f"from {', '.join(f'`{name}`' for name in cited(sources))}" if sources else ""


@dataclass
class Answer(Showable):
    """What was answered, and what it took.

    ``print(answer)`` gives the text; a notebook shows it as Markdown.

    Example:
        >>> Answer("Use ```mean()```.", usage=Usage(12, 5, 1, 0.4, model="offline"))
        <Answer offline · 12 + 5 tokens · 0.4 s>
    """

    text: str
    question: str = ""  # with its ``{{names}}`` filled in
    usage: Usage = field(default_factory=Usage)
    context: str = ""  # the data and the session as they were described to the model
    sources: tuple[str, ...] = ()  # what of that the answer names: ``frame sales``, ``help stats::lm``
    citations: tuple[Citation, ...] = ()  # the passages of documents that it cites
    marked: str = ""  # its text with question marks at citations that are not borne out, where there are some
    problems: tuple[str, ...] = ()  # what is still wrong with the code in it
    looked: str = ""  # what the model looked at first
    wrong: tuple[str, ...] = ()  # numbers in it that are not those of the data, a sentence each
    unchecked: str = ""  # why R code in it was not checked
    notes: tuple[str, ...] = ()  # what the usage line says beside the usage
    format: str = "markdown"  # ``markdown``, ``text`` or ``json``
    ended_by: RsqlError | None = None  # the user's stop, or a cut connection

    @property
    def interrupted(self) -> bool:
        """Whether this is only the part that arrived before the user stopped it or the connection broke."""
        return self.ended_by is not None

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Its fenced blocks of code."""
        return blocks_of(self.text)

    @property
    def code(self) -> str:
        """Its code: the only block, or all blocks of the first one's language together; empty when there is none."""
        blocks = self.blocks
        return "\n\n".join(block.code for block in blocks if block.language == blocks[0].language) if blocks else ""

    @property
    def sql(self) -> str:
        """Its first SQL block, or empty."""
        return next((block.code for block in self.blocks if block.language == "sql"), "")

    @property
    def request_id(self) -> str:
        """The gateway's id of the request, for feedback and for the administrator."""
        return self.usage.request_id

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as ``--format json`` shows them."""
        return {
            "text": self.text,
            "code": self.code,
            "blocks": [{"language": block.language, "code": block.code} for block in self.blocks],
            "model": self.usage.model,
            "request_id": self.request_id,
            "usage": {
                "prompt_tokens": self.usage.prompt_tokens,
                "completion_tokens": self.usage.completion_tokens,
                "seconds": round(self.usage.seconds, 3),
            },
            "sources": list(self.sources),
            "citations": [
                {"number": each.number, "passage": each.passage.label, "borne_out": not each.unborne}
                for each in self.citations
            ],
            "looked": self.looked,
            "problems": list(self.problems),
            "wrong": list(self.wrong),
            "interrupted": self.interrupted,
        }

    def shown(self, *, footer: bool = True) -> CellOutput:
        """The finished output of the cell."""
        metadata = {"rsql": self.usage.record()}
        line = usage_line(self.usage, notes=self.notes) if footer else ""
        if self.format == "json":
            return CellOutput("", as_json(self.as_dict()), data={"application/json": self.as_dict()}, metadata=metadata)
        warned = (f"⚠ {each}" for each in (*self.problems, *self.wrong))
        parts = [part for part in (self._complete(), drawn_from(self.sources), self.looked, *warned) if part]
        cited = "\n".join(each.label for each in self.citations)
        text = "\n\n".join(filter(None, [*parts, cited]))
        if self.format == "text":
            return CellOutput("", text, line, metadata=metadata)
        passages = (folded(each.label, fenced(each.passage.text)) for each in self.citations)
        # The answer may end within its code.
        return CellOutput("\n\n".join([safe_markdown(*parts), *passages]), text, line, metadata=metadata)

    def _complete(self) -> str:
        text = (self.marked or self.text).rstrip()
        return f"{text} {INTERRUPTED}".lstrip() if self.interrupted else text

    def __str__(self) -> str:
        return printable(self._complete())

    def __repr__(self) -> str:
        return f"<Answer {usage_line(self.usage) or 'empty'}>"


@dataclass(eq=False)
class AnswerWriter:
    """One question on its way to an answer, which becomes a turn at its entry."""

    repair_prompt: ClassVar = "code_repair"
    question: NotebookQuestion
    snapshot: NotebookSnapshot
    entry: ChatEntry
    catalog: Catalog | None = None
    engine: Engine | None = None  # the catalog's database
    dictionary: Dictionary | None = None  # what people wrote about the data
    screen: Screen = field(default_factory=Screen)
    prepared: Prepared | None = None  # the request, when it was made before; then it is sent as it is
    r: bool = True  # whether R may be looked at
    executor: MainThreadExecutor | None = None  # for R code; raises TimeoutError while the main thread is busy
    library: Library | None = None  # the documents that may be answered from, where there are some

    replies: list[Reply] = field(default_factory=list, init=False)
    unchecked: str = field(default="", init=False)  # why R code was not checked
    problems: Sequence[str] = field(default=(), init=False)  # those that the model was asked to correct
    changed: Sequence[str] = field(default=(), init=False)  # what rules have changed in the last reply

    def __post_init__(self) -> None:
        if self.question.format == "json":
            self.screen = Screen()  # half an object is no JSON: it is shown when it is complete

    @cached_property
    def gathered(self) -> Context:
        """The notebook's context, as the model reads it."""
        if self.prepared is not None:
            return self.prepared.context
        if self.library is None or self.hits is None:
            return self._session
        from rsql_magic.answers.citations import with_passages

        return with_passages(self._session, self.hits, self.question.document_tokens)

    @cached_property
    def hits(self) -> Hits | None:
        """Passages of documents that go with the question: of those it names, else of all where they fit."""
        if self.prepared is not None or self.library is None:
            return self.prepared.hits if self.prepared else None
        if self._session.pointed and not self.question.docs:  # it is about something that the notebook holds
            return None
        found = self.library.search(self.question.text, self.question.docs, _PASSAGES)
        return found if found.passages and (found.fits or self.question.docs) else None

    @cached_property
    def _session(self) -> Context:
        if not self.question.context:
            return Context()
        return gather(
            self.question.text,
            self.sources(),
            names=self.question.names,
            level=self.question.level,
            budget=self.question.budget,
            catalog=self.catalog,
            dictionary=self.dictionary,
            cells=self.snapshot.cells,
            error=self.snapshot.error if self.question.about_error else None,
            # A question may hold it, as it was typed.
            failed="" if blocks_of(self.question.text) else self.snapshot.failed,
            r=self.r,
        )

    def sources(self) -> Mapping[str, Any]:
        """The variables that the question may be answered from."""
        recent = recently(as_cells(self.snapshot.cells)[-5:])[0]
        return self.snapshot.sources(self.question.text, {*self.question.names, *recent})

    @property
    def tools(self) -> tuple[Tool, ...]:
        """What the model may look with before it answers; by default where the budget left something out."""
        look, reasons = self.question.look, (piece.reason for piece in self.gathered.pieces)
        return () if look == "never" or (look == "auto" and "over the budget" not in reasons) else tools_of(self)

    @cached_property
    def _looking(self) -> Looking | None:
        text, tools = self.question.text, self.tools
        say, most = self.screen.restart, self.question.look_calls
        if not tools:
            return None
        return Looking(tools, self._send, most=most, say=say, restored=lambda sent: restored(sent, text))

    def messages(self) -> list[Message]:
        """The messages of the request: prompt, history, the notebook's context, and the question."""
        if self.prepared is not None:
            return list(self.prepared.messages)
        question = self.question
        # A model that may look can tell the values themselves.
        of_frames = self._looking is None and self.gathered.has_frames and not question.attached
        described = [self._described.text, wanted(question.way, question.text, of_frames=of_frames)]
        if self.dictionary and self._defined and (definitions := self._defined.stated):
            described.insert(1, fence("definitions", self._defined.source, definitions))
        attached = (fence(piece.kind, piece.name, piece.text) for piece in question.attached)
        # Last of all, where a small model minds it.
        cite = [prompts.render("documents")] if self.library and self.hits else []
        failed = [f"This cell failed:\n{fenced(piece.text)}" for piece in self.gathered.pieces if piece.kind == FAILED]
        asked = "\n\n".join([question.text, *failed, *self._missing, *attached, *cite])
        system = prompts.render("ask", lang=LANGUAGES[question.lang])
        user = prompts.render("question", context="\n\n".join(filter(None, described)), question=asked)
        return self.entry.messages(system, user.strip())

    # A small model rewrites any other cell, where the one that failed stands among the data (docs/decisions/0023).
    @property
    def _described(self) -> Context:
        gathered = self.gathered
        return replace(gathered, pieces=tuple(piece for piece in gathered.pieces if piece.kind != FAILED))

    @property
    def _missing(self) -> list[str]:
        if not (self.question.about_error and self.question.context):
            return []
        code = next((block.code for block in blocks_of(self.question.text)), self.snapshot.failed)
        found = missing_names(code, self.snapshot.error, self.snapshot.namespace, self.gathered.suppressed)
        return [f"A check of the names in the cell finds: {' '.join(found)}"] if found else []

    def as_values(self) -> dict[str, Any]:
        """The content of the messages as values, for the model of fixed rules."""
        values = {
            "task": "ask",
            "question": self.question.text,
            "language": "" if self.question.lang == "auto" else self.question.lang,
            "history": self.entry.history(),
            "problems": self.problems,
        }
        return Context((*self.gathered.pieces, *self.question.attached)).as_values() | values

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
            retries=1 if self.question.check_code else 0,
            in_turn=False,  # a small model copies a draft that stands as an answer of its own (docs/decisions/0021)
        )
        problems: tuple[str, ...] = ()
        ended_by: RsqlError | None = None
        try:
            problems = drafts.drive(steps, self._looking.answer if self._looking else self._send)[-1].problems
        except (Stopped, AnswerCut) as error:
            ended_by = error
        answer = self._answer(problems, ended_by)
        self.entry.add(self.replies, sources=answer.sources)
        return answer

    def _send(self, messages: list[Message], **options: Unpack[StreamOptions]) -> Reply:
        reply = Reply()
        self.replies.append(reply)
        self.screen.status("asking")
        question = self.question
        own: StreamOptions = {"model": question.model, "timeout": question.timeout, "described": self.as_values}
        if question.pictures:
            own["pictures"] = question.pictures
        options = {**own, **options}
        try:
            with closing(self.entry.stream(messages, reply, **options)) as events:
                for event in events:
                    self.screen.event(event)
        except KeyboardInterrupt as stop:  # also between two events, while the screen is drawn
            reply.interrupted = True
            raise stop if isinstance(stop, Stopped) else Stopped("Stopped; what had arrived is kept.") from None
        reply.text = restored(reply.text, question.text) if reply.redacted else reply.text
        return reply

    def _check(self, text: str) -> list[str]:
        if not self.question.check_code:
            return []
        asked, self.changed = self.question.lang, []
        if "```" not in text and asked != "sql" and (language := bare_code(text)):
            self.replies[-1].text = text = f"```{language if asked == 'auto' else asked}\n{text.strip()}\n```"
        if "read" in text:
            frames = [piece.name for piece in self.gathered.pieces if piece.text and piece.kind in {"frame", "r"}]
            text, changed = use_loaded(text, frames, self.question.text)
            self.replies[-1].text, self.changed = text, changed
        blocks, dialect = blocks_of(text), self.catalog.dialect if self.catalog else ""
        wrong = check_code(blocks, dialect, self.question.text if self.gathered.has_frames else None)
        wrong = [*(wrong or self._unknown(blocks)), *self._wrong_in_r(blocks)]
        wrong = wrong or (self._defined.against(blocks) if self.dictionary and self._defined else [])
        return [*wrong, *(problems_by_plug_ins(self.question.text, text, blocks) if plugged_checks() else [])]

    # What the dictionary defines of the frames, where there is one.
    @cached_property
    def _defined(self) -> DefinedFrames | None:
        if self.dictionary is None or not self.question.context:
            return None
        from rsql_magic.answers.meaning_checks import DefinedFrames

        return DefinedFrames.of(self.dictionary, python_frames(self.snapshot.namespace).columns, self.question.text)

    # The problems that R finds in the R code; while R is busy, that is noted instead.
    def _wrong_in_r(self, blocks: Sequence[Block]) -> list[str]:
        self.unchecked = ""
        if not any(block.language == "r" for block in blocks):
            return []
        problems: list[str] = []
        try:
            executed: MainThreadExecutor = self.executor or (lambda check: check())
            restricts = self.dictionary.restricts if self.dictionary else lambda _: False
            problems = executed(lambda: check_in_r(blocks, self.gathered.suppressed, restricts))
        except TimeoutError:
            self.unchecked = BUSY
        except BadInput as no_r:
            self.unchecked = no_r.message.rstrip(".")
        return problems

    # Columns that Python code asks of frames which do not have them; a name is better corrected than run.
    def _unknown(self, blocks: Sequence[Block]) -> list[str]:
        python = [place for place, block in enumerate(blocks) if block.language == "python"]
        if not python:  # frames are many, and take time to look at
            return []
        codes, frames = [blocks[place].code for place in python], python_frames(self.snapshot.namespace)
        asked = (frames.columns, frames.attributes, self.gathered.suppressed, frames.polars)
        found = unknown_in_python(codes, *asked)
        if any(each.is_attribute or each.is_method for unknown in found for each in unknown):
            last = self.replies[-1]
            last.text, changed = respelled(last.text, [each for unknown in found for each in unknown])
            self.changed = [*self.changed, *changed]
            blocks = blocks_of(last.text)
            found = unknown_in_python([blocks[place].code for place in python], *asked)
        return [
            f"The python block {place + 1} is wrong: {each}"
            for place, unknown in zip(python, found, strict=True)
            for each in unknown
        ]

    # The numbers that an answer to a question of its own states of what the model was told.
    def _checked(self, text: str) -> Checked:
        asked, prose = self.question, text.partition("```")[0]
        if self.library and self.hits:  # figures of documents are no claims on the data
            return Checked()
        if not asked.check_code or asked.about_error or asked.attached or self.entry.earlier:
            return Checked()
        if not re.search(r"\d|\bno\b", prose):
            return Checked()
        return check_claims(text, asked.text, self.gathered, self.snapshot.namespace, self.executor)

    def _repair(self, draft: str, problems: Sequence[str]) -> str:
        self.problems = problems
        self.screen.restart(f"correcting: {problems[0]}")
        listed = "\n".join(f"- {problem}" for problem in problems)
        return prompts.render(self.repair_prompt, draft=draft, problems=listed)

    def _answer(self, problems: tuple[str, ...], ended_by: RsqlError | None) -> Answer:
        last, usage = self.replies[-1], usage_of(self.replies)
        ran_out, problem = last.ran_out, last.problem
        checked = self._checked(last.text)
        redacted = sum((self.replies[0].redacted + Counter(self.gathered.redactions)).values())
        sources, cited = self.gathered.named_in(last.text), self._cited(last.text) if self.library else None
        sources += tuple(f"document {each.passage.short}" for each in cited.citations) if cited else ()
        notes = (
            self.entry.note,
            *self.changed,
            f"{redacted} value{'' if redacted == 1 else 's'} redacted" if redacted else "",
            "ended at the longest answer the model may give" if ran_out else "",
            checked.note if checked.count else "",
            self._defined.unsure if self.dictionary and self._defined else "",
            self._fit_said() if self.library else "",
        )
        return Answer(
            last.text,
            question=self.question.text,
            usage=usage,
            context=self.gathered.text,
            sources=sources,
            citations=cited.citations if cited else (),
            marked=cited.text if cited and cited.wrong else "",
            problems=(*problems, *([problem] if problem else [])),
            looked=self._looking.line if self._looking else "",
            wrong=(*checked.wrong, *(cited.wrong if cited else ())),
            unchecked=self.unchecked,
            notes=tuple(filter(None, notes)),
            format=self.question.format,
            ended_by=ended_by,
        )

    # The citations of an answer that went with passages.
    def _cited(self, text: str) -> Cited | None:
        if self.hits is None:
            return None
        from rsql_magic.answers.citations import KIND, check_citations

        sent = sum(piece.kind == KIND and piece.shown for piece in self.gathered.pieces)
        return check_citations(text, self.hits.passages[:sent], self.question.text)

    def _fit_said(self) -> str:
        if self.hits is None:
            return ""
        from rsql_magic.answers.citations import note_of

        return note_of(self.hits, asked=bool(self.question.docs))
