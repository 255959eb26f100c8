"""What the model is told of a question about a database: the tables that matter, the question, and what was wrong.

The first request is made once, by ``SchemaPrompt.linked``, so that a preview is what is sent. A round of repair tells
the problems with the tables that the draft named and had not seen.

Questions whose SQL a person has looked at are kept in a file, and shown to the model when a question resembles one. The
file ``rsql_verified.jsonl`` beside the notebook belongs to the project and can be committed with it; the one in the
user's configuration folder goes along to every notebook. A line is one JSON object: ``question``, ``sql``, ``dialect``.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field, replace
from datetime import datetime
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rsql_magic import prompts
from rsql_magic.context import asks_for_chart, asks_of_now
from rsql_magic.errors import BadInput, UnknownName
from rsql_magic.knowledge import VERIFIED_HERE, QueryEvidence
from rsql_magic.sql import Catalog, Unreadable, count_tokens, ddl, fence, functions, own_tree, stems
from rsql_magic.text2sql.earlier import evidence_of
from rsql_magic.tools import DatabaseView, of_database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from rsql_magic.databases import Engine
    from rsql_magic.gateway import ChatEntry, Message, StreamOptions
    from rsql_magic.knowledge import EarlierQuery
    from rsql_magic.sql import Table
    from rsql_magic.text2sql.query_options import QueryOptions
    from rsql_magic.text2sql.question_facts import QuestionFacts
    from rsql_magic.tools import Tool

_NAME = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_MOST_MORE = 5  # tables added to one round of repair
_LOOK_SECONDS = 10.0


VERIFIED = "rsql_verified.jsonl"  # the file beside the notebook
ALIKE = 0.35  # share of words in common from which on two questions resemble each other


@dataclass(frozen=True, slots=True)
class Verified:
    """A question, and the SQL that answers it."""

    question: str
    sql: str
    dialect: str = ""
    source: str = VERIFIED_HERE


def verified_paths(environ: Mapping[str, str] | None = None) -> tuple[Path, Path]:
    """The file beside the notebook, and the user's own."""
    environ = os.environ if environ is None else environ
    home = environ.get("XDG_CONFIG_HOME") or str(Path("~/.config").expanduser())
    return Path(VERIFIED), Path(home, "rsql", "verified.jsonl")


def keep_verified(one: Verified, path: Path) -> None:
    """Add a question to a file, in place of what it said of the same question before.

    Raises:
        BadInput: The file cannot be written.
    """
    others = [
        known for known in read_verified([path]) if (known.question, known.dialect) != (one.question, one.dialect)
    ]
    _write_verified([*others, one], path)


def drop_verified(one: Verified, path: Path) -> None:
    """Take a question out of a file again, as far as the file holds it with this SQL.

    Raises:
        BadInput: The file cannot be written.
    """
    known = read_verified([path])
    if one in known:
        _write_verified([each for each in known if each != one], path)


def _write_verified(known: Iterable[Verified], path: Path) -> None:
    lines = (json.dumps(_entry_of(one), ensure_ascii=False) + "\n" for one in known)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(lines), encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {error.strerror}.", hint="%rsql verify --user keeps it.") from None


def _entry_of(one: Verified) -> dict[str, str]:
    return {"question": one.question, "sql": one.sql, "dialect": one.dialect}


def read_verified(files: Iterable[Path]) -> list[Verified]:
    """What the files hold; a file that is not there, and a line that is none, hold nothing."""
    return [one for path in files if path.is_file() for one in map(_verified, _lines_of(path)) if one is not None]


def _lines_of(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []


def _verified(text: str) -> Verified | None:
    try:
        entry = json.loads(text)
    except ValueError:
        return None
    known = isinstance(entry, dict) and isinstance(entry.get("question"), str) and isinstance(entry.get("sql"), str)
    return Verified(entry["question"], entry["sql"], str(entry.get("dialect") or "")) if known else None


def resembling(question: str, known: Iterable[Verified], most: int = 3) -> list[Verified]:
    """The verified questions most like this one, best first.

    Example:
        >>> known = [Verified("How many orders per month?", "SELECT 1"), Verified("Who is the oldest?", "SELECT 2")]
        >>> [one.sql for one in resembling("orders per month in 2024", known)]
        ['SELECT 1']
    """
    asked = set(stems(question))
    scored = [(_likeness(asked, set(stems(one.question))), place, one) for place, one in enumerate(known)]
    return [one for score, _, one in sorted(scored, key=lambda s: (-s[0], s[1])) if score >= ALIKE][:most]


def _likeness(one: set[str], other: set[str]) -> float:
    """The share of words in common (Jaccard)."""
    return len(one & other) / len(one | other) if one and other else 0.0


@dataclass(frozen=True, slots=True)
class Linked:
    """A request that is ready: the tables that matter, and the messages that tell of them."""

    catalog: Catalog  # all tables
    tables: tuple[Table, ...]  # those that matter, best first
    messages: tuple[Message, ...]  # what is sent
    late: str = ""  # what could not be looked at in time, as a sentence


@dataclass(eq=False)
class SchemaPrompt:
    """One question and the part of a database that it is about."""

    options: QueryOptions  # what is wanted
    engine: Engine
    entry: ChatEntry  # its place in the conversation
    # Gives the date and time zone that the prompt names where a question counts from today.
    now: Callable[[], datetime] = lambda: datetime.now().astimezone()
    examples: Sequence[Verified] = ()  # verified questions; those that resemble this one are shown to the model
    earlier: Sequence[EarlierQuery] = ()  # further queries that tell which tables are used and joined
    ready: Linked | None = None  # the request; one that was made before is sent as it is
    narrow: str = field(default="", init=False)  # how many tables were shown, where the model's context held no more
    evidence: QueryEvidence = field(default_factory=QueryEvidence, init=False)  # what all these queries tell
    settled: str = field(default="", init=False)  # which of several readings was taken, where nobody could be asked

    def __post_init__(self) -> None:
        ready = self.ready or Linked(Catalog(), (), ())
        self.dialect = self.options.dialect or self.engine.dialect  # that the query is wanted in
        self.catalog, self.late, self._tables = ready.catalog, ready.late, list(ready.tables)
        # The draft to repair, what is wrong with it, and the tables that it named and had not seen.
        self._failed: tuple[str, tuple[str, ...], list[Table]] = ("", (), [])

    @cached_property
    def misspelt(self) -> dict[str, str]:
        """Words of the question that are names of the catalog, mistyped."""
        from rsql_magic.sql import misspelt

        return misspelt(self.options.question, self.catalog)

    @cached_property
    def is_offline(self) -> bool:
        """Whether fixed rules answer, which read all facts of a column; a model is led astray by most of them."""
        return self.entry.chat.is_offline(self.options.model)

    @property
    def tools(self) -> tuple[Tool, ...]:
        """What the model may look with before it writes; by default where the prompt does not show all tables."""
        options, tables = self.options, self.linked.tables
        is_whole = sum(len(table.columns) for table in tables) == sum(len(table.columns) for table in self.catalog)
        unwanted = options.look == "never" or (options.look == "auto" and (options.tables or is_whole))
        if unwanted or not options.look_calls or self.is_offline:
            return ()
        seconds = min(options.timeout, _LOOK_SECONDS)
        return of_database(DatabaseView(self.engine, self.catalog, options.level, seconds, options.plan_rows))

    @cached_property
    def _places(self) -> dict[str, int]:
        return {table.full_name: place for place, table in enumerate(self.catalog)}

    @cached_property
    def _question(self) -> str:
        """The question as it is read: mistyped names put right."""
        from rsql_magic.sql import corrected

        return corrected(self.options.question, self.misspelt)

    @property
    def linked(self) -> Linked:
        """What is sent first: the prompt, the history, the tables that matter and the question."""
        if self.ready is None:
            messages = tuple(self._link())
            self.ready = Linked(self.catalog, tuple(self._tables), messages, self.late)
        return self.ready

    @property
    def unread(self) -> tuple[str, ...]:
        """What of the live frames could not be read, one sentence each."""
        return self.catalog.problems if self.engine.name == "frames" else ()

    def refresh(self) -> bool:
        """Read the tables anew where they have changed; whether they had."""
        before, self.catalog = self.catalog, self.engine.catalog(self.options.level, sure=True)
        return self.catalog is not before

    def _link(self) -> list[Message]:
        self.catalog = catalog = self.engine.catalog(self.options.level, sure=True)
        if not len(catalog):
            raise BadInput(
                f"{self.engine.name} has no tables.",
                hint="Check its path, as a mistyped one makes an empty database; %%sql_ai frames asks the live frames.",
            )
        if self.examples or self.earlier:
            self.evidence = evidence_of(self.examples, self.earlier, catalog)
        tables = self._chosen(catalog) if self.options.tables else self._settled(self._linked(catalog))
        detailed = tables if self.options.level == "names" else self.engine.detail(tables)
        self._tables = self.evidence.with_keys(detailed) if self.evidence.joins else detailed
        self.late = _too_late(self.engine.late)
        return self._messages(self.context(brief=not self.is_offline), self._more())

    def _messages(self, schema: str, more: str) -> list[Message]:
        context = "\n\n".join([schema, *self.facts.fenced(self.engine.name)])
        user = prompts.render("sql_question", context=context, more=more, question=self._question)
        return self.entry.messages(prompts.render("sql", dialect=functions(self.dialect).title), user)

    def narrowed(self, context: int) -> bool:
        """Link anew with half the tokens for tables, as a model's ``context`` is exceeded; whether fewer are left."""
        # In tokens; 0 where it is not known.
        shown = sum(count_tokens(ddl(table, self.options.level, brief=True)) for table in self._tables)
        budget = min(shown // 2, context // 2 or shown)
        before, self.ready = len(self._tables), None
        self.options = replace(self.options, schema_tokens=budget)
        left, every = len(self.linked.tables), len(self.catalog)
        self.narrow = f"The model's context is short: {left} of {every} tables are shown."
        return 0 < len(self._tables) < before

    def anew(self, drafts: Sequence[str], problems: Sequence[str]) -> list[Message]:
        """Another approach after two drafts that failed: the tables that they and their problems name, and a plan."""
        if self.is_offline:  # rules have one way
            return []
        words = [word for text in problems for word in _NAME.findall(text)]
        named = {name.casefold() for sql in drafts for name in (*_names_in(sql, self.dialect), *words)}
        tables = [t for t in self._tables if named & {t.name.casefold(), t.full_name.casefold()}]
        schema = self.context(tables or self._tables, brief=False)
        return self._messages(schema, f"{self._more()}{prompts.load('sql_plan')}\n\n")

    def further(self, number: int) -> tuple[list[Message], StreamOptions]:
        """What asks for a further draft of the same question, to compare results."""
        # The first states all facts of the columns; from 2 on the first messages are sent, less likely words allowed.
        if number == 1:
            return self._messages(self.context(brief=False), self._more()), {}
        return list(self.linked.messages), {"temperature": 0.7, "seed": number}

    def _settled(self, tables: list[Table]) -> list[Table]:
        """The tables of the best reading, where the question has several and ``--ask`` wants to know.

        Raises:
            BadInput: Naming the readings, for a person to choose.
        """
        from rsql_magic.sql import rivals

        if not (self.options.ask or self.options.settle):
            return tables
        best, *others = [table.full_name for table in rivals(self._question, self.catalog)][:3] or [""]
        if not others:
            return tables
        if self.options.ask:
            raise BadInput(f"This can be asked of {_either(best, *others)}.", hint=f"Say which: --tables {best}.")
        self.settled = f"This can be asked of {_either(best, *others)}; {best} was taken. Say which with --tables."
        return [table for table in tables if table.full_name not in others]

    def _chosen(self, catalog: Catalog) -> list[Table]:
        return [catalog.get(name) or _unknown_table(name, catalog) for name in self.options.tables]

    def _linked(self, catalog: Catalog) -> list[Table]:
        from rsql_magic.sql import definition_tokens, link, with_tables_of_metrics

        def held() -> dict[str, set[str]]:
            if self.engine.values is None or self.options.level == "names":
                return {}
            from rsql_magic.text2sql.stored import held_tables

            return held_tables(self._question, self.engine.values)

        # A follow-up such as "only for JFK" names nothing by itself; the question before it does.
        earlier = [turn.question for turn in self.entry.earlier[-2:] if turn.task == "sql_ai"]
        asked = "\n".join([self._question, *reversed(earlier)])
        evidence = self.evidence.for_linking if self.evidence.tables else None
        budget = self.options.schema_tokens
        if catalog.definitions.named:
            budget -= definition_tokens(catalog, budget)
        tables = link(asked, catalog, budget, evidence, held)
        return with_tables_of_metrics(tables, self._question, catalog) if catalog.is_described else tables

    def context(self, tables: Sequence[Table] = (), *, brief: bool = True) -> str:
        """Tables as the model reads them, fenced; by default the linked ones, with how many there are.

        They stand in the catalog's order: the same tables are the same bytes, which a provider's cache knows, and a
        small model joins better what stands in the order in which it was made (docs/decisions/0021).
        """
        shown, place = tables or self._tables, lambda table: self._places.get(table.full_name, len(self._places))
        lines = [ddl(table, self.options.level, brief=brief) for table in sorted(shown, key=place)]
        text = fence("schema", self.engine.name, "\n".join(lines))
        every = len(self.catalog)
        return text if tables or len(shown) == every else f"{text}\n\n{len(shown)} of {every} tables are shown."

    @property
    def facts(self) -> QuestionFacts:
        """What beside the tables belongs to the question."""
        from rsql_magic.text2sql.question_facts import QuestionFacts

        return QuestionFacts(
            self._question,
            self.options,
            self.catalog,
            tuple(self._tables),
            self.dialect,
            self.examples,
            self.engine.values,
        )

    def _more(self) -> str:
        """What stands before the question: the form of a chart, and the date, each where the question calls for it."""
        chart = prompts.load("sql_chart") if self.options.plot or asks_for_chart(self._question) else ""
        today = " ".join(f'{name}="{value}"' for name, value in self._today.items())
        metrics = prompts.render("sql_metrics", metric=found[0].name) if (found := self.facts.metrics) else ""
        session = f"<session {today}>" if today else ""
        return "".join(f"{part}\n\n" for part in (metrics, chart, session) if part)

    @cached_property
    def _today(self) -> dict[str, str]:
        """The date where the question counts from it: a model filters by a date that it is given."""
        if not asks_of_now("\n".join([self._question, *(turn.question for turn in self.entry.earlier)])):
            return {}
        now = self.now()
        return {"today": now.date().isoformat(), "time_zone": self.engine.time_zone or now.tzname() or "UTC"}

    def repair(self, sql: str, problems: Sequence[str], proposed: str = "") -> str:
        """What asks for a correction: problems, tables that the draft named unseen, and a proposal that compiles."""
        named = self._widened(sql, problems)
        self._failed = sql, tuple(problems), named
        more = self.context(named, brief=not self.is_offline) if named else ""
        listed = "\n".join(f"- {problem}" for problem in problems)
        if proposed:
            listed += f"\n\n{prompts.render('proposed', sql=proposed)}"
        return prompts.render("repair", sql=sql, problems=listed, context=more)

    def as_values(self, *, anew: bool = False) -> dict[str, Any]:
        """What the last message asks and all of them tell, or the question ``anew``, for the model of fixed rules."""
        from rsql_magic.sql import as_stated_definition, as_stated_in_ddl

        sql, problems, more = ("", (), []) if anew else self._failed
        tables = {table.full_name: table for table in (*self._tables, *more)}
        return {
            "task": "repair" if sql else "sql",
            "question": self._question,
            "dialect": self.dialect,
            "tables": [as_stated_in_ddl(table, self.options.level) for table in tables.values()],
            "definitions": [as_stated_definition(one) for one in self.facts.definitions],
            "source": self.engine.name,
            "history": self.entry.history(),
            "sql": sql,
            "problems": problems,
            "today": self._today.get("today", ""),
        }

    def _widened(self, sql: str, problems: Sequence[str]) -> list[Table]:
        """The tables that a draft and what is wrong with it name, and that it had not seen in full."""
        from rsql_magic.sql import Index, widen

        index = Index.of(self.catalog)
        seen = {table.full_name: len(table.columns) for table in self._tables}
        words = [word for text in problems for word in _NAME.findall(text)]
        asked = [*_names_in(sql, self.dialect), *(w for w in words if w in self.catalog or index.holders(w))]
        wider = widen(self._tables, asked, self.catalog)
        return [table for table in wider if len(table.columns) != seen.get(table.full_name)][:_MOST_MORE]


def _names_in(sql: str, dialect: str) -> list[str]:
    """The tables and columns that a draft names, columns behind the name of their table."""
    from sqlglot import exp

    try:
        tree = own_tree(sql, dialect)
    except Unreadable:
        return _NAME.findall(sql)
    tables = {table.alias_or_name: table.name for table in tree.find_all(exp.Table)}
    columns = (f"{tables.get(column.table, column.table)}.{column.name}" for column in tree.find_all(exp.Column))
    return [*tables.values(), *(name.removeprefix(".") for name in columns)]


def _too_late(names: Sequence[str]) -> str:
    if not names:
        return ""
    listed = f"{', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''}"
    return f"There was no time to look at the values of {listed}: asked again, a question may be told more of them."


def _either(*names: str) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"


def _unknown_table(name: str, catalog: Catalog) -> Table:
    close = get_close_matches(name, [table.full_name for table in catalog], 1)
    raise UnknownName(
        f"There is no table {name!r}.", hint=f"Did you mean {close[0]}?" if close else "%rsql catalog lists them."
    )
