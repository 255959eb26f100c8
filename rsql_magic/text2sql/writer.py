"""From a question to checked SQL: ``write_sql`` is a generator without I/O, ``run`` drives it and runs the result.

    linking  → which tables go into the prompt
    writing  → the model drafts
    checking → the guard, the names and types, the database's own compiler
    repairing→ what is wrong goes back, with the schema it calls for
    running  → within bounds, read-only

A statement that the guard refuses is not repaired when it would do what is not allowed: somebody wanted to change
something, and the answer is no. A slip (an unknown function, two queries, a typing error) is.
"""

from __future__ import annotations

from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from time import monotonic
from typing import TYPE_CHECKING

from rsql_magic.display import Screen, fenced
from rsql_magic.errors import AnswerCut, BadInput, GatewayError, NoQuery, QueryFailed, QueryRejected
from rsql_magic.gateway import Reply, Usage, context_exceeded, drafts, restored, usage_of
from rsql_magic.sql import Fix
from rsql_magic.text2sql import literals
from rsql_magic.text2sql.definition_check import DefinitionCheck
from rsql_magic.text2sql.drafts import (
    DOUBTFUL,
    Draft,
    DraftCheck,
    DraftResult,
    Native,
    compared,
    is_decided,
    is_doubtful,
    is_empty,
    read_draft,
    was_corrected,
    write_sql,
)
from rsql_magic.text2sql.reading import RuleReading
from rsql_magic.text2sql.results import Attempt, QueryRunner, SQLResult, Timings
from rsql_magic.tools import Looking

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Unpack

    import pandas as pd

    from rsql_magic.databases import Rows
    from rsql_magic.gateway import Message, StreamOptions
    from rsql_magic.sql import Problem
    from rsql_magic.text2sql.drafts import Vote
    from rsql_magic.text2sql.explainer import Explainer
    from rsql_magic.text2sql.prompt import SchemaPrompt

    Round = drafts.Round[Draft]

# Of a small model's corrected answers three of five were right, of the others six of seven (docs/decisions/0021).
CORRECTED = "The first draft had to be corrected: check the SQL."


@dataclass(eq=False)
class Writer:
    """One question on its way to a result: ``run`` takes it through all steps."""

    _prompt: SchemaPrompt  # the question, its database and its conversation, whose next turn the answer becomes
    screen: Screen = field(default_factory=Screen)
    confirm: Callable[[str], bool] | None = None  # asks a person whether to go on; None, when there is nobody, means no

    _replies: list[Reply] = field(default_factory=list, init=False)
    _spent: dict[str, float] = field(default_factory=dict, init=False)
    _rows: dict[str, Rows] = field(default_factory=dict, init=False)
    _doubted: str = field(default="", init=False)
    _notes: dict[str, list[str]] = field(default_factory=dict, init=False)
    _warnings: dict[str, int] = field(default_factory=dict, init=False)  # what the data have against a draft that ran
    _proposed: dict[str, Fix] = field(default_factory=dict, init=False)
    _autofix_note: str = field(default="", init=False)
    _comparing: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        prompt = self._prompt
        self._options, self._engine, self._dialect, self._entry = (
            prompt.options,
            prompt.engine,
            prompt.dialect,
            prompt.entry,
        )
        self._native = Native(prompt.engine, prompt.dialect)
        self._runner = QueryRunner(prompt.engine, self._native, prompt.options, lambda: prompt.catalog, self.confirm)
        self._checks = DraftCheck(prompt.dialect, lambda: prompt.catalog, self._compiled)
        self._reading = RuleReading(prompt, self._checks, self._runner)
        self._literals = literals.LiteralCheck(prompt, self._runner.looked_up)
        self._data = literals.FactCheck(prompt, self._runner)
        asked = prompt.dialect, lambda: prompt.catalog, prompt.options.question
        self._defined = DefinitionCheck(*asked, reading=lambda: self._reading.sql)

    def run(self) -> SQLResult:
        """Take the question through all steps.

        Raises:
            QueryRejected: The draft is not a read-only query.
            QueryFailed: No draft passed, or the database stopped the query.
            GatewayError: The gateway refused or failed.
            Stopped: The user stopped the cell.
        """
        started = monotonic()
        if self._options.answer and self._options.level != "sample":
            raise BadInput("--answer sends rows of the result to the model.", hint="Allow it with --privacy sample.")
        self.screen.status("linking")
        with self._timed("link"):
            self._prompt.linked  # noqa: B018 - the tables are chosen here
        try:
            attempts = self._attempts()
        except (QueryFailed, QueryRejected, AnswerCut, KeyboardInterrupt) as error:
            self._entry.add(self._replies)
            if isinstance(error, NoQuery) and (forbidden := self._defined.forbidden):
                raise QueryRejected(" ".join(forbidden), hint="Who keeps the dictionary can change that.") from None
            if isinstance(error, NoQuery):
                self.screen.restart("")  # the error says what the model said
            raise
        best, vote = self._compared(_best(attempts, self._doubted, self._rows, self._warnings, self._prompt), attempts)
        result = self._result(best, attempts)
        if vote is not None:
            self._weigh(result, vote, corrected=was_corrected(attempts))
        self._entry.add(self._replies, answer=fenced(self._literals.told(result.sql), "sql"))
        if result.problems:
            raise _no_draft_passed(result)
        if self._options.explain:
            self.screen.status("explaining")
            self._explainer.explain(result)
        if self._options.run:
            self._take(result, best.draft.chart)
            if self._options.answer:
                self.screen.status("answering")
                self._explainer.answer(result)
        result.usage = usage_of(self._replies)
        result.timings = Timings(**self._spent, total=monotonic() - started)
        return result

    # Writing.

    def _attempts(self) -> list[Round]:
        """All rounds until a draft passes; with fewer tables where the model's context is exceeded."""
        while True:
            messages, retries = self._prompt.linked.messages, self._options.retries
            steps = write_sql(
                messages,
                check=self.check,
                repair=self.repair,
                retries=retries,
                mend=self.mend,
                anew=self._prompt.anew,
                defined=self._defined.put_in if self._prompt.catalog.definitions.named else str,
            )
            try:
                rounds = drafts.drive(steps, self._reply)
            except GatewayError as error:
                context = context_exceeded(error)
                if context is None or not self._prompt.narrowed(context):
                    raise
                if self._looking:
                    self._looking.forget()
            else:
                made = self._by_rules(rounds) or self._unjoined(rounds)
                return [*rounds, made] if made else rounds

    def _by_rules(self, rounds: Sequence[Round]) -> Round | None:
        """A draft with a metric by its definition, or the change of joins that was proposed, where the model failed."""
        last = rounds[-1]
        if fix := self._defined.instead(last.draft.sql, failed=bool(last.problems), check=self.check):
            if fix.changes:
                self._autofix_note = f"The model computed something else: {'; '.join(fix.changes)} was put in by rule."
            return drafts.Round((), self._replies[-1], Draft(fix.sql), (), fix.changes)
        for fix in reversed(self._proposed.values()) if last.problems and not self._doubted else ():
            if not fix.proposal_only and not self.check(fix.sql):
                self._autofix_note = f"The model wrote no better query: {'; '.join(fix.changes)} was added by rules."
                return drafts.Round((), self._replies[-1], Draft(fix.sql), (), fix.changes)
        return None

    def _unjoined(self, rounds: Sequence[Round]) -> Round | None:
        """A draft without the table that it joined for a column of another one, which the model insists on joining."""
        doubted = self._doubted
        moved = any(each.mended and each.draft.sql == doubted for each in rounds)
        fix = self._proposed.get(doubted) if moved and rounds[-1].draft.sql == doubted else None
        if fix is None or self.check(fix.sql):
            return None
        self._autofix_note = f"The model joined {'; '.join(fix.changes)} for a column of another table; it is left out."
        return drafts.Round((), self._replies[-1], Draft(fix.sql), (), fix.changes)

    def _compared(self, first: Round, attempts: Sequence[Round]) -> tuple[Round, Vote | None]:
        """The draft whose rows most drafts give, where several are wanted; further ones are asked for here."""
        rows = self._rows.get(first.draft.sql)
        most = 1 if first.problems or rows is None or self._prompt.is_offline else self._options.drafts
        if rows is None or most == 1:
            return first, None
        result = DraftResult(first.draft, rows.df, self._warnings.get(first.draft.sql, 0))
        read = self._reading.result if self._prompt.catalog.definitions.named else None
        is_clear = is_decided([result, read], 2) if read else not is_doubtful(self._options.question, attempts, rows.df)
        if is_clear and not most:
            return first, None
        self._comparing = True
        vote = compared(result, most or DOUBTFUL, self._further)  # rules have no vote: they misread more often
        return (first if vote.winner.draft is first.draft else replace(first, draft=vote.winner.draft)), vote

    def _weigh(self, result: SQLResult, vote: Vote, *, corrected: bool) -> None:
        """How far drafts bear a result out: their agreement says nothing of one that had to be corrected."""
        result.agreed, result.compared = len(vote.groups[0]), vote.asked
        result.alternatives = tuple(group[0].sql for group in vote.groups[1:])
        result.trust = "" if corrected else "agreed" if result.agreed > 1 else "differed"
        sentences = (CORRECTED if corrected else "", vote.sentence if result.alternatives or not corrected else "")
        result.notes = (*result.notes, *filter(None, sentences))

    def _further(self, number: int) -> DraftResult | None:
        """A further draft that passes its checks and runs, corrected by rules where they are certain."""
        messages, parameters = self._prompt.further(number)
        try:
            draft = read_draft(self._reply(messages, **parameters))
            draft = replace(draft, sql=self._defined.put_in(draft.sql))
            statement, problems = self._checks.read(draft.sql)
            if problems and (fix := self._checks.autofix(draft.sql)) is not None and not fix.restructured:
                draft = replace(draft, sql=fix.sql)
                statement, problems = self._checks.read(draft.sql)
            if problems or self._defined.problems(draft.sql, statement, may_repair=False):
                return None
            if (stored := self._literals.fix(draft.sql)) is not None:
                draft = replace(draft, sql=stored.sql)
                statement, _ = self._checks.read(draft.sql)
            if draft.sql not in self._rows:
                self._runner.refuse_costly(statement)
                self._rows[draft.sql] = self._runner.run(statement)
                self._doubts(draft.sql, statement)  # for the notes
        except (QueryFailed, QueryRejected, GatewayError):  # what the first draft gave is not lost for it
            return None
        return DraftResult(draft, self._rows[draft.sql].df, self._warnings.get(draft.sql, 0))

    @cached_property
    def _looking(self) -> Looking | None:
        """What the model may look at before it writes; None for nothing."""
        if not (tools := self._prompt.tools):
            return None
        return Looking(
            tools,
            self._send,
            most=self._options.look_calls,
            say=self.screen.restart,
            restored=lambda text: restored(text, self._options.question),
        )

    def _reply(self, messages: list[Message], **options: Unpack[StreamOptions]) -> Reply:
        return self._looking.answer(messages, **options) if self._looking else self._send(messages, **options)

    def _send(self, messages: list[Message], **options: Unpack[StreamOptions]) -> Reply:
        self.screen.status("comparing" if self._comparing else "repairing" if self._drafts else "writing")
        reply = Reply()
        self._replies.append(reply)
        first: StreamOptions = {"model": self._options.model, "timeout": self._options.silence}
        if self._drafts and not self._comparing:
            first["task"] = "repair"
        options = {**first, "described": self._prompt.as_values, **options}
        with self._timed("write"), closing(self._entry.stream(messages, reply, **options)) as events:
            for event in events:
                self.screen.event(event, draft=True)
        reply.text = restored(reply.text, self._options.question)
        return reply

    # Checking.

    def check(self, sql: str) -> list[str]:
        """What is wrong with a statement, one sentence each.

        Raises:
            QueryRejected: It would do what is not allowed.
        """
        self.screen.status("checking")
        with self._timed("check"):
            problems = self._problems(sql)
            if problems and self._prompt.refresh():  # no draft is blamed for tables that have changed meanwhile
                return self._problems(sql)
            return problems

    def _problems(self, sql: str) -> list[str]:
        statement, problems = self._checks.read(sql)
        problems = problems or self._defined.problems(sql, statement, may_repair=self._may_repair)
        if problems or not self._options.run:
            return problems
        return self._literals.wrong(sql) or self._tried(sql, statement)

    def mend(self, sql: str) -> Fix | None:
        """A draft that does not compile corrected by rules, where its meaning is certain; None otherwise."""
        with self._timed("check"):
            found = (self._defined.proposed if sql == self._defined.told else None) or self._checks.autofix(sql)
            if found is not None and found.restructured:
                self._proposed[sql] = found
                return None
            better = found.sql if found else sql
            stored = self._literals.fix(better) if self._options.run and not self._checks.read(better)[1] else None
        return Fix(stored.sql, (*(found.changes if found else ()), *stored.changes)) if stored else found

    def _compiled(self, statement: str) -> Sequence[Problem]:
        """What the database's compiler finds; nothing in a statement for another database that does not run here."""
        if self._native.is_foreign and not self._options.run:
            return ()
        return self._engine.check(self._native.of(statement, self._prompt.catalog))

    @property
    def _drafts(self) -> int:
        """Replies that were drafts, and no calls of tools."""
        return sum(reply.done is not None and not reply.calls for reply in self._replies)

    @property
    def _may_repair(self) -> bool:
        return self._drafts <= self._options.retries

    def _tried(self, sql: str, statement: str) -> list[str]:
        """Run the query. Problems are what the data had against it, and an empty result that one spelling explains."""
        self._runner.refuse_costly(statement)
        self.screen.status("running")
        started = monotonic()
        try:
            rows = self._runner.run(statement)
        except QueryFailed as error:
            if not self._may_repair or monotonic() - started > 0.9 * self._options.timeout:
                raise  # what was stopped once would be stopped again
            return [literals.without_values(str(error), self._literals.told(sql))]
        self._rows[sql] = rows
        self._spent["sql"] = self._spent.get("sql", 0.0) + rows.seconds
        return self._doubts(sql, statement)

    def _doubts(self, sql: str, statement: str) -> list[str]:
        """Why a query that runs may be wrong: a message to the model once, and a note where it insists."""
        unsure = self._literals.unsure(sql)
        is_defined = self._prompt.catalog.definitions.named
        doubts = self._reading.doubts(self._rows.get(sql)) if is_defined else []
        found = self._data.of(statement, unsure)
        notes = found.joins
        self._notes[sql] = list(found.said)
        self._warnings[sql] = len(found.told)
        doubts = [*found.told, *doubts]
        if self._doubted or not doubts or not self._may_repair:
            return []
        self._doubted = sql
        unused = tuple(dict.fromkeys(note.table for note in notes if note.instead))
        instead = next((note.instead for note in notes if note.instead), "")
        if instead and self._options.level != "names" and not self._checks.read(instead)[1]:
            self._proposed[sql] = Fix(instead, unused, proposal_only=True)
        return doubts

    def repair(self, sql: str, problems: Sequence[str]) -> str:
        """The message that asks for a correction, with what rules would make of the draft's joins."""
        self.screen.restart(f"repairing: {problems[0]}")
        proposed = self._proposed.get(sql)
        return self._prompt.repair(self._literals.told(sql), problems, proposed.sql if proposed else self._reading.sql)

    def _result(self, last: Round, attempts: Sequence[Round]) -> SQLResult:
        return SQLResult(
            sql=last.draft.sql,
            question=self._options.question,
            attempts=tuple(_attempt(attempt) for attempt in attempts),
            problems=last.problems,
            usage=usage_of(self._replies),
            context=self._prompt.linked.messages[-1]["content"],
            says=last.draft.says,
            connection=self._engine.name,
            dialect=self._dialect,
            notes=(*self._defined.said(last.draft.sql), *self._remarks(last.draft.others)),
            shown_rows=self._options.shown_rows,
            shown_columns=self._options.shown_columns,
        )

    def _remarks(self, others: int) -> Iterator[str]:
        """What is worth saying of the query before it runs."""
        from rsql_magic.sql import functions

        for word, meant in self._prompt.misspelt.items():
            yield f"“{word}” was read as {meant}."
        looked, prompt = self._looking.line if self._looking else "", self._prompt
        yield from filter(None, (looked, prompt.narrow, prompt.settled, prompt.late, self._autofix_note))
        if others:
            yield f"The answer held {others + 1} queries; the first one is used."
        if self._native.is_foreign and not self._options.run:
            wanted, here = functions(self._dialect).title, functions(self._engine.dialect).title
            yield f"Checked as {wanted}, against the tables of {self._engine.name}; {here} did not compile it."

    # Running.

    @property
    def _explainer(self) -> Explainer:
        from rsql_magic.text2sql.explainer import Explainer

        told, is_foreign = self._literals.told, self._native.is_foreign
        return Explainer(self._prompt, self._runner, self._send, is_foreign=is_foreign, told=told)

    def _take(self, result: SQLResult, suggestion: str) -> None:
        rows = self._rows[result.sql]
        result.notes = (
            *result.notes,
            *([rows.note] if rows.note else []),
            *rows.remarks,
            *self._notes.get(result.sql, []),
            *filter(None, [self._reading.note(rows) if self._prompt.catalog.definitions.named else ""]),
        )
        result.df, result.rows, result.truncated = rows.df, rows.total, rows.truncated
        result.database = rows.database
        if self._options.plot or suggestion:
            with self._timed("chart"):
                _draw(result, rows.df, suggestion, self._options.plot, self._prompt.engine.dialect)

    @contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        started = monotonic()
        try:
            yield
        finally:
            self._spent[step] = self._spent.get(step, 0.0) + monotonic() - started


def _best(
    attempts: Sequence[Round], doubted: str, rows: Mapping[str, Rows], warnings: Mapping[str, int], prompt: SchemaPrompt
) -> Round:
    """The last attempt, but for one that ran and that the data have less against, or as little and it has rows."""
    last = attempts[-1]
    ran = [one for one in attempts if one.draft.sql in rows and one.draft.sql == doubted]
    if last.problems or last.draft.sql not in rows or not ran:
        return replace(ran[0], problems=()) if ran and last.problems else last
    from rsql_magic.text2sql.unmet import dropped

    question, catalog = prompt.options.question, prompt.catalog
    lost = dropped([one.draft.sql for one in ran], last.draft.sql, question, prompt.dialect, catalog)

    def against(one: Round) -> tuple[bool, int, bool]:
        sql = one.draft.sql
        return bool(one is last and lost), warnings.get(sql, 0), is_empty(rows[sql].df)

    best = min([last, *ran], key=against)
    return best if best is last else replace(best, problems=())


def _draw(result: SQLResult, frame: pd.DataFrame, suggestion: str, kind: str | None, dialect: str) -> None:
    """Draw; a chart that cannot be drawn becomes a note, for the result is there all the same."""
    from rsql_magic.display import charts
    from rsql_magic.text2sql.row_order import is_ordered, sums_of

    ordered, sums = is_ordered(result.sql, dialect), sums_of(result.sql, dialect)
    facts = charts.Facts(result.question, result.rows, cut=result.truncated, ordered=ordered, sums=sums)
    try:
        chart = charts.wanted(frame, suggestion, None if kind == "auto" else kind)  # type: ignore[arg-type]
        result.drawing, note = charts.draw(chart, frame, facts)
    except BadInput as error:
        note = str(error)
    result.notes = (*result.notes, note) if note else result.notes


def _attempt(attempt: Round) -> Attempt:
    """A round as a result keeps it; a mended draft cost nothing."""
    usage = Usage() if attempt.mended else usage_of([attempt.reply])
    return Attempt(attempt.draft.sql, attempt.problems, attempt.draft.says, usage, attempt.mended)


def _no_draft_passed(result: SQLResult) -> QueryFailed:
    tries = len(result.attempts)
    return QueryFailed(
        f"No query passed its checks in {tries} attempt{'' if tries == 1 else 's'}: {' '.join(result.problems)}",
        hint="Ask in other words, or name the tables with --tables.",
        sql=result.sql,
    )
