"""Drafts of SQL: read from a model's reply, checked, corrected by rules, written anew until one passes, and compared.

`DraftCheck` is the one pipeline of checks for magics, panel, command and R.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from rsql_magic.errors import NoQuery, QueryFailed, QueryRejected
from rsql_magic.gateway import Block, blocks_of, drafts, ending_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

    import pandas as pd

    from rsql_magic.databases import Engine
    from rsql_magic.gateway import Message, Reply, Round
    from rsql_magic.sql import Catalog, Fix, Problem

_SELECT = re.compile(
    r"""
    ^ (?: --[^\n]*\n | /\*.*?\*/ | \s | \( )*
    (?: (?:select|from|values) \b | with \s+ (?:recursive\s+)? [\w"`]+ \s* (?: \( | as\b ) )
    """,
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
_LINES = r"(?:[^\n]|\n(?!\s*\n))*"
# A paragraph that begins with a query in capitals; in small letters it could be a sentence.
_BARE = re.compile(rf"^(?:SELECT|WITH\s+\w+\s+AS)\b{_LINES}?\bFROM\b{_LINES}", re.MULTILINE)
# Code within a sentence, and the tags in which small models put a query where a block was asked for.
_IN_WORDS = re.compile(r"(?<!`)`([^`]+)`(?!`)|<(sql|query)>(.*?)(?:</\2>|\Z)", re.IGNORECASE | re.DOTALL)
_QUERY = re.compile(r"\s*(?:SELECT|WITH)\b.*\bFROM\b", re.IGNORECASE | re.DOTALL)
_SENTENCES = 600


@dataclass(frozen=True, slots=True)
class Draft:
    """A query as the model wrote it."""

    sql: str
    says: str = ""  # the model's words around it
    chart: str = ""  # the JSON block after it
    cut: bool = False  # whether the text ended inside the block
    others: int = 0  # how many more SQL blocks the reply held; they are not used


def read_draft(reply: Reply) -> Draft:
    r"""The draft in a reply: its first ``sql`` block, or a bare query.

    Raises:
        NoQuery: The reply holds none; the error carries the model's sentences.

    Example:
        >>> from rsql_magic.gateway.events import Reply
        >>> read_draft(Reply(text="```sql\nSELECT 1\n```\nOne.")).sql
        'SELECT 1'
    """
    blocks = blocks_of(reply.text)
    queries = [block for block in blocks if block.language == "sql" or _is_query(block)]
    if not queries and (inside := _in_json(reply.text, blocks)):
        return Draft(inside)
    if not queries and (bare := _bare(reply.text)):
        return Draft(*bare, cut=reply.cut)
    if not reply.text.strip() and not reply.silence:
        return Draft("", cut=reply.cut)
    if not queries:
        if not reply.silence and (words := _words(reply.text, blocks)):
            raise NoQuery(words)
        raise NoQuery(reply.silence or "The model wrote no query.", hint="Ask in other words.")
    chart = next((block.code for block in blocks if block.language == "json"), "")
    first = queries[0]
    # After its closing fence a query is whole, however the answer ended; but a filter may have changed any of it.
    reason = reply.done.finish_reason if reply.done else ""
    cut = not first.closed or (reason not in {"", "stop"} and ending_of(reason) in {"filter", "failed"})
    return Draft(first.code, _words(reply.text, blocks), chart, cut, len(queries) - 1)


def _bare(text: str) -> tuple[str, str] | None:
    """A query without a block around it, and the words with it."""
    # All of the text, what a sentence quotes, or what a line with SELECT begins.
    text = text.lstrip("\ufeff\x00")
    if _SELECT.match(text):
        query, _, words = text.partition("\n\n")
        prose = re.match(r"[A-Z][a-z']+\s+[a-z]", words.strip()) and not _SELECT.match(words)
        return (query.strip(), " ".join(words.split())[:_SENTENCES]) if prose else (text.strip(), "")
    quoted = [code.strip() for one in _IN_WORDS.finditer(text) if _QUERY.match(code := one[1] or one[3])]
    if quoted:
        return quoted[-1], " ".join(_IN_WORDS.sub("", text).split())[:_SENTENCES]
    found = _BARE.search(text)
    return (found[0].strip(), "") if found else None


def _in_json(text: str, blocks: Sequence[Block]) -> str:
    """A query that stands in an object of JSON, where that is all there is: ``{"sql": "SELECT 1"}``."""
    for candidate in (text, *(block.code for block in blocks if block.language in {"", "json"})):
        try:
            value = json.loads(candidate)
        except (ValueError, RecursionError):
            continue
        found = (value.get(name) for name in ("sql", "query", "SQL", "statement")) if isinstance(value, dict) else ()
        for query in found:
            if isinstance(query, str) and query.strip():
                return query.strip()
    return ""


def _is_query(block: Block) -> bool:
    return block.language in {"", "duckdb", "sqlite", "mysql", "tsql", "text"} and bool(_SELECT.match(block.code))


def _words(text: str, blocks: Sequence[Block]) -> str:
    """What a reply says outside its blocks, as one short paragraph."""
    for block in blocks:
        text = text.replace(block.code, "")
    text = re.sub(r"^[ \t]*(`{3,}|~{3,})[^\n]*$", "", text, flags=re.M)
    words = " ".join(text.split())
    return words if len(words) <= _SENTENCES else words[: _SENTENCES - 1] + "…"


def write_sql(
    messages: Sequence[Message],
    *,
    check: Callable[[str], Sequence[str]],
    repair: Callable[[str, Sequence[str]], str],
    retries: int = 3,
    mend: Callable[[str], Fix | None] = lambda _: None,
    anew: Callable[[Sequence[str], Sequence[str]], list[Message]] | None = None,
    defined: Callable[[str], str] = str,
) -> Generator[list[Message], Reply, list[drafts.Round[Draft]]]:
    """Ask for a query, check it, and ask for a correction with the facts a person would give; see `drafts.write`.

    ``check`` gives the problems of a statement, ``repair`` what stands below the question to ask for a correction.
    ``mend`` puts a statement right that does not compile, where rules are certain; ``anew`` gives other first messages
    after two drafts that failed, from these and their problems; ``defined`` puts metrics in. All rounds are returned.

    Raises:
        NoQuery: A reply without a query.
        QueryRejected: From ``check``, for a statement that must not run.
    """

    def problems(draft: Draft) -> Sequence[str]:
        if draft.cut:
            return ["The query is not complete: the answer ended inside it. Write a shorter one."]
        return check(draft.sql)

    def mended(draft: Draft) -> tuple[Draft, tuple[str, ...]] | None:
        found = None if draft.cut else mend(draft.sql)
        return (replace(draft, sql=found.sql), found.changes) if found else None

    def other(rounds: Sequence[drafts.Round[Draft]]) -> list[Message] | None:
        return anew and anew([each.draft.sql for each in rounds], [wrong for each in rounds for wrong in each.problems])

    return drafts.write(
        messages,
        read=lambda reply: replace(draft := read_draft(reply), sql=defined(draft.sql)),
        check=problems,
        repair=lambda draft, wrong: repair(draft.sql, wrong),
        retries=retries,
        mend=mended,
        anew=other,
        in_turn=False,  # small models copy a draft that stands as an answer of their own (docs/decisions/0021)
    )


@dataclass(frozen=True)
class DraftCheck:
    """The checks of a draft before it runs: the guard, names and types, the database's compiler; and the autofix.

    Example:
        >>> from rsql_magic.sql import Catalog
        >>> catalog = Catalog.from_ddl("CREATE TABLE flights (origin VARCHAR)", "duckdb")
        >>> check = DraftCheck("duckdb", lambda: catalog)
        >>> check.read("SELECT origin FROM flights")
        ('SELECT origin FROM flights', [])
        >>> check.autofix("SELECT orign FROM flights").sql
        'SELECT origin FROM flights'
    """

    dialect: str  # sqlglot's name
    catalog: Callable[[], Catalog]  # gives the tables there are; an empty catalog checks no names
    compile: Callable[[str], Sequence[Problem]] = lambda _: ()  # what a database's compiler finds in a statement

    def read(self, sql: str) -> tuple[str, list[str]]:
        """The statement that the guard makes of a draft, and the draft's problems, one sentence each.

        Raises:
            QueryRejected: The draft would do what is not allowed.
        """
        from rsql_magic.sql import check, validate

        catalog = self.catalog()
        if catalog.definitions.named:
            sql, problem = self.defined(sql)
            if problem:
                return sql, [problem]
        try:
            statement = check(sql, self.dialect, catalog if len(catalog) else None)
        except QueryRejected as error:
            if not error.repairable:
                raise
            found = validate(sql, self.dialect, catalog)  # says more of a wrong name than the guard does
            return sql, [problem.message for problem in found if problem.kind != "syntax"] or [str(error)]
        problems = validate(statement, self.dialect, catalog) or self._compiled(statement)
        return statement, [problem.message for problem in problems]

    def defined(self, sql: str) -> tuple[str, str]:
        """A draft with its metrics, filters and derived values as SQL, or why that cannot be."""
        if not self.catalog().is_described:
            return sql, ""
        from rsql_magic.sql import expand

        made = expand(sql, self.dialect, self.catalog())
        return made.sql, made.problem

    def _compiled(self, statement: str) -> Sequence[Problem]:
        from rsql_magic.sql import Problem

        try:
            return self.compile(statement)
        except (QueryFailed, QueryRejected) as error:  # such as a join without a condition: no attempt to write
            return [Problem("syntax", "", str(error))]

    def autofix(self, sql: str, *, refused: bool = False) -> Fix | None:
        """A draft corrected by rules until it passes, where its meaning is certain; None otherwise.

        One that passes stays as it is, unless the database ``refused`` it.
        """
        from rsql_magic.sql import fix_query

        def passes(text: str) -> bool:
            return not (refused and text == sql) and self._passes(text)

        return fix_query(sql, self.dialect, self.catalog(), passes)

    def _passes(self, sql: str) -> bool:
        try:
            return not self.read(sql)[1]
        except QueryRejected:
            return False


@dataclass(frozen=True)
class Native:
    """Translates statements of a dialect into that of the engine that runs them, each once."""

    engine: Engine
    dialect: str
    _made: dict[str, str] = field(default_factory=dict, init=False)

    @property
    def is_foreign(self) -> bool:
        """Whether the dialect is another than the engine's."""
        return self.dialect != self.engine.dialect

    def of(self, sql: str, catalog: Catalog) -> str:
        """The statement, which may name the tables of a catalog, in the engine's own dialect.

        Raises:
            QueryFailed: It asks for what the engine does not have.
        """
        if not self.is_foreign:
            return sql
        if sql not in self._made:
            self._made[sql] = self._translated(sql, catalog)
        return self._made[sql]

    def _translated(self, sql: str, catalog: Catalog) -> str:
        """A statement of another dialect in the engine's; slips of the translation are corrected as in a draft."""
        import sqlglot

        from rsql_magic.sql import Unreadable, functions, own_tree

        here = self.engine.dialect
        try:
            tree = own_tree(sql, self.dialect)
            made = tree.sql(here, unsupported_level=sqlglot.ErrorLevel.RAISE, comments=False)
        except (sqlglot.errors.SqlglotError, Unreadable) as error:
            reason = f"This cannot be run in {functions(here).title}: {str(error).splitlines()[0]}"
            raise QueryFailed(reason, hint="Write it in another way, or use --no-run.") from None
        better = DraftCheck(here, lambda: catalog, self.engine.check).autofix(made)
        return better.sql if better else made


# Several drafts of one question are grouped by the rows that they give, and the largest group wins: drafts that were
# written independently and give the same rows are more often right than any one of them (self-consistency; Wang et al.
# 2022, arXiv 2203.11171, by results in place of words).

DOUBTFUL = 3  # drafts compared where the first one leaves doubt

_LONG_QUESTION = 30  # words from which on a question is long enough for two readings
_DIGITS = 6  # significant digits in which two numbers are the same: sums of floats differ in the last ones
_SHOWN = 2


@dataclass(frozen=True, slots=True)
class DraftResult:
    """A draft that passed its checks, and the rows that it gave."""

    draft: Draft
    frame: pd.DataFrame
    warnings: int = 0  # what the checks have against it

    @property
    def sql(self) -> str:
        """The draft's query."""
        return self.draft.sql


@dataclass(frozen=True, slots=True)
class Vote:
    """The drafts of one question by their results, those that the checks have least against first."""

    # Results of the same rows; of groups with as few warnings the largest comes first, then that with rows, then the
    # earliest.
    groups: tuple[tuple[DraftResult, ...], ...]
    asked: int  # drafts that were asked for, also those that failed

    @property
    def winner(self) -> DraftResult:
        """The draft of the first group that the checks have least against, the earliest of several."""
        return min(self.groups[0], key=lambda result: result.warnings)

    @property
    def sentence(self) -> str:
        """How many drafts agree, and how the largest other group differs."""
        agreed = len(self.groups[0])
        if len(self.groups) == 1:
            return f"{agreed} of {self.asked} drafts give this result." if agreed > 1 else ""
        other = difference(self.winner.frame, self.groups[1][0].frame)
        return f"Drafts differ: {agreed} of {self.asked} give this result. Another {other}."


def compared(first: DraftResult, most: int, further: Callable[[int], DraftResult | None]) -> Vote:
    """Ask for further drafts until none can change which group is the largest, or there are ``most``."""
    # `further` asks for the draft of a number, from 1, and gives None where it fails.
    results, asked = [first], 1
    while asked < most and not is_decided(results, most):
        result = further(asked)
        asked += 1
        results += [result] if result else []
    return voted(results, asked)


def voted(results: Sequence[DraftResult], asked: int) -> Vote:
    """Group results by their rows.

    Example:
        >>> import pandas as pd
        >>> two, three = pd.DataFrame({"n": [2]}), pd.DataFrame({"n": [3]})
        >>> drafts = [("SELECT 2", two), ("SELECT 3", three), ("SELECT 1 + 2", three)]
        >>> vote = voted([DraftResult(Draft(sql), frame) for sql, frame in drafts], 3)
        >>> print(vote.winner.sql, "-", vote.sentence)
        SELECT 3 - Drafts differ: 2 of 3 give this result. Another gives 2 where this gives 3.
    """
    found: dict[Any, list[DraftResult]] = {}
    for result in results:
        found.setdefault(_key(result.frame), []).append(result)
    fewest = {id(group): min(result.warnings for result in group) for group in found.values()}
    groups = sorted(found.values(), key=lambda group: (fewest[id(group)], -len(group), is_empty(group[0].frame)))
    return Vote(tuple(map(tuple, groups)), asked)


def is_decided(results: Iterable[DraftResult], most: int) -> bool:
    """Whether no further draft can change which group of ``most`` drafts is the largest.

    Where the checks have something against the drafts of the largest group, one without warnings can.
    """
    results = list(results)
    sizes = Counter(_key(result.frame) for result in results).most_common(2)
    largest = [result for result in results if sizes and _key(result.frame) == sizes[0][0]]
    if len(results) < most and all(result.warnings for result in largest):
        return False
    left = most - sum(size for _, size in sizes)
    return len(sizes) > 0 and sizes[0][1] > (sizes[1][1] if len(sizes) > 1 else 0) + left


def is_doubtful(question: str, rounds: Sequence[Round[Draft]], frame: pd.DataFrame) -> bool:
    """Whether a first draft is worth comparing: the model had to correct it, it found nothing, or much was asked."""
    return was_corrected(rounds) or is_empty(frame) or len(question.split()) >= _LONG_QUESTION


def was_corrected(rounds: Sequence[Round[Draft]]) -> bool:
    """Whether the model wrote more than one draft; corrections by rules do not count."""
    return sum(not each.mended for each in rounds) > 1


def is_empty(frame: pd.DataFrame) -> bool:
    """Whether a result says nothing: no row, or one row of missing values."""
    return bool(frame.empty or (len(frame) == 1 and frame.isna().all(axis=None)))


def difference(here: pd.DataFrame, there: pd.DataFrame) -> str:
    """How another result differs from this one, in the fewest rows that tell them apart.

    Example:
        >>> import pandas as pd
        >>> difference(pd.DataFrame({"shop": ["N", "S"]}), pd.DataFrame({"shop": ["N"]}))
        'leaves out (S)'
    """
    if is_empty(there):
        return "gives no rows"
    if here.shape == there.shape == (1, 1):
        return f"gives {_text(there.iat[0, 0])} where this gives {_text(here.iat[0, 0])}"
    if here.shape[1] != there.shape[1]:
        return f"has {there.shape[1]} column{'s' * (there.shape[1] != 1)} where this has {here.shape[1]}"
    ours, theirs = Counter(_rows(here)), Counter(_rows(there))
    more, less = list((theirs - ours).elements()), list((ours - theirs).elements())
    parts = [f"{verb} {_listed(rows)}" for verb, rows in (("adds", more), ("leaves out", less)) if rows]
    return " and ".join(parts) or "gives the same rows in another order"


def _listed(rows: Sequence[tuple[str, ...]]) -> str:
    shown = ", ".join(f"({', '.join(row)})" for row in rows[:_SHOWN])
    return f"{shown} and {len(rows) - _SHOWN:,} more rows" if len(rows) > _SHOWN else shown


def _key(frame: pd.DataFrame) -> Any:
    """Equal for frames of the same rows, in whatever order rows and columns stand."""
    return frame.shape, frozenset(Counter(tuple(sorted(row)) for row in _rows(frame)).items())


def _rows(frame: pd.DataFrame) -> Iterator[tuple[str, ...]]:
    return (tuple(map(_text, row)) for row in frame.itertuples(index=False, name=None))


def _text(value: Any) -> str:
    if isinstance(value, bool) or not hasattr(value, "__float__") or isinstance(value, str):
        return str(value)
    number = float(value)
    return "" if number != number else f"{number:.{_DIGITS}g}"  # noqa: PLR0124 - only NaN differs from itself
