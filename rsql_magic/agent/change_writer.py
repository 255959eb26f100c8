"""From a task to a change set: the notebook as context, looks first, the set read, its code checked, one repair."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import cached_property
from operator import attrgetter
from typing import TYPE_CHECKING, ClassVar

from rsql_magic import prompts
from rsql_magic.agent.change_set import ChangeSet, UnreadableChanges, read_changes
from rsql_magic.agent.effects.cells import SessionNames, effects_of, left_by
from rsql_magic.agent.effects.r_lists import listed_packages
from rsql_magic.answers import AnswerWriter, check_code, plugged_checks, problems_by_plug_ins, unknown_in_python
from rsql_magic.context import python_frames, r_libraries, r_names, r_state
from rsql_magic.display import Screen
from rsql_magic.errors import BadInput, QueryRejected, RsqlError
from rsql_magic.gateway import Block, drafts, usage_of
from rsql_magic.sql import check, fence, findings, validate

if TYPE_CHECKING:
    from rsql_magic.agent.change_set import Change
    from rsql_magic.agent.notebook_cells import NotebookCells
    from rsql_magic.databases import MainThreadExecutor
    from rsql_magic.gateway import Message, Usage, Waiting

_MAGIC = re.compile(r"\s*%%(\w+)[^\n]*\n?")
_BLOCK = re.compile(r"The \w+ block \d+ (is wrong: )?")


@dataclass(frozen=True)
class Proposal:
    """What a model proposes for a task, and what it took."""

    changes: ChangeSet
    usage: Usage
    looked: str = ""  # what the model looked at first
    notes: tuple[str, ...] = ()


@dataclass(eq=False)
class ChangeWriter(AnswerWriter):
    """One task on its way to a change set.

    Args:
        cells: The notebook as the view sees it.
        cell_tokens: Most tokens spent on its cells.
        names: What is known of the session, to judge what a cell would do.
        sql_magic: The first line of a new cell with SQL.
    """

    repair_prompt: ClassVar = "do_repair"
    cells: NotebookCells = field(kw_only=True)
    cell_tokens: int = field(kw_only=True)
    names: SessionNames = field(default_factory=SessionNames, kw_only=True)
    sql_magic: str = field(default="%%sql", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.screen = _ProposalScreen(self.screen)  # half a change set helps nobody

    def messages(self) -> list[Message]:
        """What would be sent: the session, the cells, and the task."""
        if self.prepared is not None:
            return list(self.prepared.messages)
        described = [self.gathered.text, self.cells.text(self.cell_tokens)]
        if self.dictionary and self._defined and (definitions := self._defined.stated):
            described.insert(1, fence("definitions", self._defined.source, definitions))
        context = "\n\n".join(filter(None, described))
        user = prompts.render("question", context=context, question=self.question.text)
        return self.entry.messages(prompts.render("do"), user.strip())

    def proposal(self) -> Proposal:
        """Ask, read the set, check its code, and have it corrected once; what is wrong then stands at the change.

        Raises:
            BadInput: Fixed rules would answer.
            RsqlError: The reply cannot be read as a change set, nor can the corrected one.
            GatewayError: The gateway refused or failed.
        """
        if self.entry.chat.is_offline(self.question.model):
            hint = "Choose a model of a provider; without a key there is none."
            raise BadInput("Fixed rules answer here, and cannot change a notebook.", hint=hint)
        steps = drafts.write(
            self.messages(),
            read=attrgetter("text"),
            check=self._check,
            repair=self._repair,
            retries=1,
            in_turn=False,
        )
        last = drafts.drive(steps, self._looking.answer if self._looking else self._send)[-1]
        try:
            found = self._judged(self._read(last.draft))
        except UnreadableChanges as problem:
            self.entry.add(self.replies)
            hint = "Ask again, in smaller steps, or take another model. Nothing was changed."
            raise RsqlError(f"What the model proposes cannot be read. {problem.args[0]}", hint=hint) from None
        self.entry.add(self.replies, answer=found.summary)
        looked = self._looking.line if self._looking else ""
        notes = tuple(filter(None, [self.entry.note, *self.gathered.notes]))
        return Proposal(found, usage_of(self.replies), looked, notes)

    @cached_property
    def _shown(self) -> frozenset[int]:
        return frozenset(cell.number for cell in self.cells.within(self.cell_tokens))

    def _read(self, text: str) -> ChangeSet:
        return read_changes(text, self.cells, self._shown, sql_magic=self.sql_magic)

    def _check(self, text: str) -> list[str]:
        self.screen.status("checking")
        try:
            found = self._read(text)
        except UnreadableChanges as problem:
            return [str(sentence) for sentence in problem.args]
        if not self.question.check_code:
            return []
        wrong = self._findings(found)
        return [f"{change.title}: {each}" for change in found.changes for each in wrong[change.id]]

    # The set with what is wrong with its code, and what its cells would do.
    def _judged(self, found: ChangeSet) -> ChangeSet:
        wrong = self._findings(found)
        if any(_language(change) == "r" for change in found.changes):
            self.names = with_r(self.names, self.executor)
        unchecked = f"Its R code was not checked: {self.unchecked}." if self.unchecked else ""
        changes, names = [], self.names
        for change in found.changes:
            notes = [*wrong[change.id], *([unchecked] if unchecked and _language(change) == "r" else [])]
            effects = effects_of(change.source, names) if change.type == "code" else ()
            if change.type == "code":
                names = left_by(change.source, names)
            changes.append(replace(change, findings=tuple(notes), effects=effects))
        return replace(found, changes=tuple(changes))

    def _findings(self, found: ChangeSet) -> dict[str, list[str]]:
        """What is wrong with the code of each change: its form, columns that are not there, what the guard refuses."""
        wrong = {change.id: self._wrong_in(change) for change in found.changes}
        python = [change for change in found.changes if _language(change) == "python"]
        frames = python_frames(self.snapshot.namespace) if python else None
        if frames is not None:
            asked = (frames.columns, frames.attributes, self.gathered.suppressed, frames.polars)
            unknown = unknown_in_python([change.source for change in python], *asked)
            for change, missing in zip(python, unknown, strict=True):
                wrong[change.id] += map(str, missing)
        if self.dictionary and self._defined:
            for change in python:
                wrong[change.id] += self._defined.not_followed([change.source])
        for change in found.changes if plugged_checks() else ():
            block = Block(_language(change), _MAGIC.sub("", change.source, count=1))
            wrong[change.id] += problems_by_plug_ins(self.question.text, change.source, [block])
        return wrong

    def _wrong_in(self, change: Change) -> list[str]:
        if (language := _language(change)) not in {"python", "r", "sql"}:
            return []
        code = _MAGIC.sub("", change.source, count=1) if language != "python" else change.source
        block, dialect = Block(language, code), self.catalog.dialect if self.catalog else ""
        if language == "r":
            return [_sentence(each) for each in self._wrong_in_r([block])]
        found = check_code([block], dialect, self.question.text if self.gathered.has_frames else None)
        if not found and language == "sql" and self.catalog is not None:
            found = self._wrong_in_sql(code)
        return [_sentence(each) for each in found]

    def _wrong_in_sql(self, code: str) -> list[str]:
        if self.catalog is None:
            return []
        try:
            statement = check(code, self.catalog.dialect, self.catalog)
        except QueryRejected as refusal:
            return [str(refusal)] if refusal.repairable else []  # a write stands among the effects
        told = findings(statement, self.catalog.dialect, self.catalog).breaches
        problems = validate(statement, self.catalog.dialect, self.catalog)
        return [*(problem.message for problem in problems), *(one.message for one in told if one.is_final)]


def with_r(names: SessionNames, executor: MainThreadExecutor | None = None) -> SessionNames:
    """The names with R's packages, functions and objects, which are known on the main thread only."""
    executed: MainThreadExecutor = executor or (lambda work: work())
    try:
        packages, functions = executed(r_names)
        version, installed, objects = executed(lambda: r_state(listed_packages()))
        libraries = executed(r_libraries)
    except (TimeoutError, BadInput):
        return replace(names, r_packages=("of a session that cannot be read now",))
    return replace(
        names,
        r_packages=packages,
        r_functions=functions,
        r_objects=objects,
        r_version=version,
        r_installed=installed if version else None,
        r_libraries=libraries,
    )


@dataclass
class _ProposalScreen(Screen):
    """Says what is being done, and keeps the text to itself."""

    screen: Screen

    def status(self, word: str) -> None:
        self.screen.status(word)

    def restart(self, why: str) -> None:
        self.screen.status(why)

    def queued(self, words: str, event: Waiting) -> None:
        self.screen.queued(words, event)


def _language(change: Change) -> str:
    if change.type != "code":
        return "markdown"
    magic = _MAGIC.match(change.source)
    if magic is None:
        return "python"
    return {"R": "r", "sql": "sql", "time": "python", "timeit": "", "capture": "python"}.get(magic[1], "")


def _sentence(text: str) -> str:
    """A problem of a block as one of the cell.

    Example:
        >>> _sentence("The python block 1 does not parse: '(' was never closed (line 1).")
        "It does not parse: '(' was never closed (line 1)."
    """
    return _BLOCK.sub(lambda match: "" if match[1] else "It ", text, count=1)
