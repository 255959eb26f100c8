"""Literals that a query compares a column with: does the column hold them, and if not, what does it hold?

``WHERE country = 'usa'`` over a column that says ``USA`` compiles, runs, and finds nothing; with ``<>`` it finds all. A
person would look at the values. Here the catalog's profiles are looked at, and where they do not say, the database is
asked, as far as that is little work. Nothing is said of a literal before the database has confirmed that no row has it:
collations, padding and casts make more texts equal than Python does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, NamedTuple

from sqlglot import exp

from rsql_magic.sql import Unreadable, canonical, dialect_of, forms_of, join_notes, lex, parse, value_kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from rsql_magic.knowledge import HeldValue, ValueIndex
    from rsql_magic.sql import Catalog, Column, Fix, JoinNote, Relation, Table
    from rsql_magic.text2sql.denied import Denied
    from rsql_magic.text2sql.prompt import SchemaPrompt
    from rsql_magic.text2sql.results import QueryRunner
    from rsql_magic.text2sql.stored import NearLiteral

    Run = Callable[[str], Sequence[str]]
    Count = Callable[[str], int | None]

_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_MOST = 5
_MOST_ASKED = 6  # most literals of one query that the database is asked for
_MOST_ROWS = 5_000_000  # rows of a table that are searched for a literal: well below a second
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_DAY = len("%Y-%m-%d")  # of a form
_PADDED = re.compile(r"(?:\S*\D)?0\d")  # a day with a leading zero


@dataclass(frozen=True)
class Comparison:
    """A column that a query compares with a literal: ``origin = 'jfk'``, ``lower(origin) NOT IN ('jfk')``."""

    table: Table  # the column's
    column: Column
    text: str  # the literal
    side: exp.Expr  # what is compared: the column, or a function of it
    like: bool = False  # whether the literal is a pattern
    others: tuple[Table, ...] = ()  # further tables of the query
    operator: str = "="  # for numbers and dates, how they are compared
    places: frozenset[tuple[int, int]] = frozenset()  # first and last character of the literal, wherever it stands
    value: exp.Expr | None = field(default=None, compare=False)  # the literal as it stands
    is_negated: bool = False  # whether rows that do not have the literal are asked for

    def __str__(self) -> str:
        return f"{self.column.name} is never {'like ' if self.like else ''}'{self.text}'"

    def gives(self, value: str) -> str:
        """What the compared side is where the column holds a value."""
        for node in reversed(list(self.side.walk())):
            if isinstance(node, exp.Lower | exp.Upper):
                value = value.lower() if isinstance(node, exp.Lower) else value.upper()
            elif isinstance(node, exp.Trim):
                value = value.strip()
        return value


def comparisons(sql: str, dialect: str, catalog: Catalog) -> list[Comparison]:
    """What a query that was checked compares its columns with, wherever that stands in it.

    Example:
        >>> from rsql_magic.sql import Catalog
        >>> catalog = Catalog.from_ddl("CREATE TABLE f (origin VARCHAR)", "duckdb")
        >>> [c.text for c in comparisons("SELECT * FROM f WHERE f.origin NOT IN ('jfk', 'ewr')", "duckdb", catalog)]
        ['jfk', 'ewr']
    """
    from rsql_magic.sql import resolve

    try:
        dialect = canonical(dialect)
        text = lex(sql, dialect).text
        tree = parse(text, dialect)
        resolution = resolve(tree, text, dialect, catalog)
    except (Unreadable, RecursionError):
        return []
    tables = tuple(dict.fromkeys(r.table for _, scope in resolution.selects for r in scope.relations if r.table))
    found: dict[tuple[str, ...], Comparison] = {}
    for side, literals, like, operator, is_negated in _pairs(tree, resolution.columns):
        [node] = side.find_all(exp.Column)
        relation, name = resolution.columns[id(node)]
        column = relation.table.column(name) if relation.table else None
        if relation.table is not None and column is not None:
            for text, at, value in literals:
                one = Comparison(relation.table, column, text, side, like, tables, operator, at, value, is_negated)
                key = (one.table.full_name, str(one), one.operator, one.side.sql(), str(is_negated))
                found[key] = replace(one, places=one.places | found[key].places) if key in found else one
    return list(found.values())


_OPERATORS = {"GT": ">", "GTE": ">=", "LT": "<", "LTE": "<="}
_OPERATORS |= dict.fromkeys(("EQ", "NEQ", "NullSafeEQ", "NullSafeNEQ", "Is"), "=")
_EQUAL = frozenset({"=", "like", "ilike"})
_FLIPPED = {">": "<", ">=": "<=", "<": ">", "<=": ">=", "=": "="}

Literal = tuple[str, frozenset[tuple[int, int]], exp.Expr]  # a text, its places, and what stands there
Columns = dict[int, "tuple[Relation, str]"]  # column nodes by id, as `resolve` gives them


def _pairs(tree: exp.Expr, columns: Columns) -> Iterator[tuple[exp.Expr, list[Literal], bool, str, bool]]:
    """What is compared, with which literals, whether these are patterns, how, and whether the contrary is asked for."""
    for node in tree.walk():
        for one, others, like, operator in _sides(node):
            if _is_compared(one, columns):
                literals = [(_literal(other, columns), _place(other), other) for other in others]
                held = [(text, place, node) for text, place, node in literals if text is not None]
                yield one, held, like, operator, _is_negated(node)


def _sides(node: exp.Expr) -> Iterator[tuple[exp.Expr, list[exp.Expr], bool, str]]:
    """A comparison's sides, read from either of them."""
    if isinstance(node, exp.In):
        yield node.this, node.expressions, False, "="
    elif isinstance(node, exp.Like | exp.ILike):
        yield node.this, [node.expression], True, "like" if isinstance(node, exp.Like) else "ilike"
    elif isinstance(node, exp.Between):
        yield node.this, [node.args["low"]], False, ">="
        yield node.this, [node.args["high"]], False, "<="
    elif isinstance(node, exp.Date | exp.TsOrDsToTimestamp):  # SQLite's date and strftime
        yield node.this, [exp.Literal.string("")], False, "read"
    elif isinstance(node, exp.Case) and node.this is not None:
        yield node.this, [each.this for each in node.args["ifs"]], False, "="
    elif operator := _OPERATORS.get(type(node).__name__):
        yield node.this, [node.expression], False, operator
        yield node.expression, [node.this], False, _FLIPPED[operator]


def _is_negated(node: exp.Expr) -> bool:
    """Whether a comparison chooses the rows that do not have the literal."""
    negated = isinstance(node, exp.NEQ | exp.NullSafeNEQ)
    while isinstance(node.parent, exp.Not | exp.Paren):
        node = node.parent
        negated ^= isinstance(node, exp.Not)
    return negated


def _literal(node: exp.Expr | None, columns: Columns) -> str | None:
    """The text of a literal; also of what SQLite takes for a text because it is no name."""
    if isinstance(node, exp.Literal):
        return str(node.name)
    if isinstance(node, exp.Neg) and isinstance(node.this, exp.Literal):
        return f"-{node.this.name}"
    if isinstance(node, exp.Column) and id(node) not in columns and not node.table and node.this.args.get("quoted"):
        return str(node.name)
    return _literal(node.this, columns) if isinstance(node, exp.Paren | exp.Cast) else None


def _place(node: exp.Expr | None) -> frozenset[tuple[int, int]]:
    """Where a text in quotes stands, if it is one."""
    is_text = isinstance(node, exp.Literal) and node.is_string and "start" in node.meta
    return frozenset({(node.meta["start"], node.meta["end"])}) if is_text and node is not None else frozenset()


def _is_compared(node: exp.Expr | None, columns: Columns) -> bool:
    """Whether this is a column, or a function of one that changes only how its text is written."""
    while isinstance(node, exp.Lower | exp.Upper | exp.Trim | exp.Paren):
        node = node.this
    return isinstance(node, exp.Column) and id(node) in columns


def doubts(found: Sequence[Comparison], dialect: str, run: Run) -> list[str]:
    """Literals that a column never holds, while it holds a near one or another column holds it; one sentence each.

    A text that is like no value of the column is no mistake: nothing is what the question is about. ``run`` gives the
    first column of a query's rows as texts; it raises nothing, and gives none where it cannot.

    Example:
        >>> from sqlglot import exp
        >>> from rsql_magic.context import Column, Profile, Table
        >>> origin = Column("origin", "VARCHAR", profile=Profile(values=("JFK", "EWR"), complete=True))
        >>> one = Comparison(Table("f", (origin,), rows=90), origin, "jfk", exp.column("origin"))
        >>> doubts([one], "duckdb", lambda query: ["0"])
        ["origin is never 'jfk'. Did you mean 'JFK'?"]
    """
    texts = [one for one in found if one.operator in _EQUAL and value_kind(one.column.type) == "text"]
    texts = [one for one in texts if not (one.column.meaning and one.column.meaning.restricted)]
    asked = [one for one in texts if one.text.strip(" %_") and not _is_known(one)][:_MOST_ASKED]
    sentences = (sentence for one in asked if (sentence := _meant(one, dialect, run)))
    return list(dict.fromkeys(sentences))


def is_found(one: Comparison, value: str) -> bool:
    """Whether a comparison finds a row with this value."""
    return _matches(one, one.gives(value))


def is_absent(one: Comparison, dialect: str, run: Run) -> bool:
    """Whether the database confirms that a comparison finds no row."""
    return list(run(_counted(one, dialect))) == ["0"]


def _is_known(one: Comparison) -> bool:
    """Whether the profile shows a value that the comparison finds."""
    values = one.column.profile.values if one.column.profile else ()
    return any(_matches(one, one.gives(value)) for value in values)


def _matches(one: Comparison, value: str, *, fold: bool = False) -> bool:
    fold = fold or one.operator == "ilike"
    text, value = (one.text.casefold(), value.casefold()) if fold else (one.text, value)
    if not one.like:
        return text == value or (fold and text.strip() == value.strip())
    pattern = "".join({"%": ".*", "_": "."}.get(letter, re.escape(letter)) for letter in text)
    return re.fullmatch(pattern, value, re.DOTALL) is not None


def _meant(one: Comparison, dialect: str, run: Run) -> str:
    """The sentence about a literal that no row has, where it is known what was meant; empty otherwise."""
    are_known = one.column.profile is not None and one.column.profile.complete
    if not are_known and not _may_be_searched(one.table):
        return ""
    near = _near(one) if are_known else _stored(one, dialect, run)
    near = [value for value in near if not _matches(one, one.gives(value))]
    elsewhere = [] if near or one.like else list(_holders(one))
    if not (near or elsewhere) or not is_absent(one, dialect, run):
        return ""
    if near:
        listed = dict.fromkeys(f"'{one.gives(value)}'" for value in near)
        return f"{one}. Did you mean {' or '.join(list(listed)[:_MOST])}?"
    return f"{one}, but {' and '.join(elsewhere[:_MOST])} is. Did you mean that?"


def _may_be_searched(table: Table) -> bool:
    return table.rows is not None and table.rows <= _MOST_ROWS and table.kind != "view"


def _near(one: Comparison) -> list[str]:
    """The values of a column, all known, that are like a literal."""
    values = one.column.profile.values if one.column.profile else ()
    if same := [value for value in values if _matches(one, value, fold=True)]:
        return same
    folded = {one.gives(value).strip().casefold(): value for value in values}
    return [] if one.like else [folded[near] for near in get_close_matches(one.text.strip().casefold(), folded, 2, 0.8)]


def _holders(one: Comparison) -> Iterator[str]:
    """Other text columns of the query's tables that hold a literal, letter by letter."""
    for table in one.others:
        for column in table.columns:
            if column != one.column and column.profile and one.text in column.profile.values:
                yield column.name if table is one.table else f"{table.name}.{column.name}"


def _stored(one: Comparison, dialect: str, run: Run) -> list[str]:
    """The values of a column, not all known, that differ from a literal in case or in blanks around it only."""
    column, table = bare(one)
    text = exp.Literal.string(one.text.strip().lower())
    lower = exp.Lower(this=column.copy() if one.like else exp.Trim(this=column.copy()))
    same = exp.Like(this=lower, expression=text) if one.like else lower.eq(text)
    query = exp.select(column).distinct().from_(table).where(same).order_by(column.copy()).limit(3)
    return list(run(query.sql(dialect=dialect)))


def _counted(one: Comparison, dialect: str) -> str:
    r"""The query for the number of rows that a comparison finds.

    Example:
        >>> from sqlglot import exp
        >>> from rsql_magic.sql import Column, Table
        >>> _counted(Comparison(Table("f"), Column("o"), "jfk", exp.column("o", "f")), "duckdb")
        'SELECT COUNT(*) FROM "f" WHERE "o" = \'jfk\''
    """
    column, table = bare(one)
    side = one.side.transform(lambda node: column.copy() if isinstance(node, exp.Column) else node)
    text = exp.Literal.string(one.text)
    kind = {"like": exp.Like, "ilike": exp.ILike}.get(one.operator, exp.EQ)
    return exp.select("COUNT(*)").from_(table).where(kind(this=side, expression=text)).sql(dialect=dialect)


def bare(one: Comparison) -> tuple[exp.Column, exp.Table]:
    """A comparison's column without its table, and the table, as they stand in a query of our own."""
    table = one.table
    named = exp.table_(table.name, db=table.schema or None, catalog=table.database or None, quoted=True)
    return exp.column(one.column.name, quoted=True), named


class LiteralCheck:
    """What the value index says of the literals of one question's drafts."""

    def __init__(self, prompt: SchemaPrompt, run: Run) -> None:
        self._prompt, self._run = prompt, run
        self._found: dict[str, list[NearLiteral]] = {}
        self._fixes: dict[str, Fix | None] = {}
        self._drafted: dict[str, str] = {}

    def fix(self, sql: str) -> Fix | None:
        """A draft that passes its checks with its literals as they are stored; None where nothing is to correct."""
        if self._prompt.engine.values is None:
            return None
        if sql not in self._fixes:
            from rsql_magic.text2sql.stored import corrected

            self._found[sql] = list(self._looked_up(sql))
            fix = self._fixes[sql] = corrected(sql, self._prompt.dialect, self._found[sql])
            if fix is not None:
                self._fixes[fix.sql] = None  # it is not looked up again
                self._found[fix.sql] = [one for one in self._found[sql] if str(one) not in fix.changes]
                is_told = self._prompt.options.level == "sample" and not any(
                    one.is_personal for one in self._found[sql]
                )
                self._drafted[fix.sql] = fix.sql if is_told else self.told(sql)
        return self._fixes[sql]

    def _looked_up(self, sql: str) -> Iterator[NearLiteral]:
        prompt = self._prompt
        values = prompt.engine.values
        if values is not None and (index := values.index) is not None:
            from rsql_magic.text2sql.stored import looked_up

            found = comparisons(sql, prompt.dialect, prompt.catalog)
            with values.spared():
                question, dialect = prompt.options.question, prompt.engine.dialect
                yield from looked_up(found, index, question, prompt.catalog, dialect, self._run)

    def told(self, sql: str) -> str:
        """A query as a model may be told of it: with the literals of its draft, where the stored ones may not leave."""
        return self._drafted.get(sql, sql)

    def wrong(self, sql: str) -> list[str]:
        """What is wrong with the literals of a draft, one sentence each, where they can be corrected."""
        fix = self.fix(sql)
        return [f"{one.comparison}." for one in self.unsure(sql) if fix and str(one) in fix.changes]

    def unsure(self, sql: str) -> list[NearLiteral]:
        """The literals of a query that no row has, of which it is not sure what is meant."""
        return self._found.get(sql, [])


def misread(found: Iterable[Comparison], dialect: str, run: Run) -> list[str]:
    """Dates that are kept as text and compared as if they were none, one sentence each; ``run`` as for `doubts`.

    Example:
        >>> from sqlglot import exp
        >>> from rsql_magic.context import Column, Profile, Table
        >>> day = Column("day", "VARCHAR", profile=Profile(form="%m/%d/%Y"))
        >>> one = Comparison(Table("f", (day,)), day, "2013-08-01", exp.column("day"), operator=">=")
        >>> misread([one], "duckdb", lambda query: [])
        ["day is text of the form %m/%d/%Y: day >= '2013-08-01' compares texts. Parse it by STRPTIME(day, '%m/%d/%Y')."]
    """
    return list(dict.fromkeys(sentence for one in found if (sentence := _misread(one, dialect, run))))


def _is_misread(one: Comparison, form: str, dialect: str, run: Run) -> bool:
    """Whether the order of texts is not that of dates, or a date is never found because it is written otherwise."""
    days, forms, is_padded = forms_of(one.text), form.partition(" (")[0].split(" or "), not form.endswith(")")
    if one.operator == "read":
        return dialect_of(dialect).strftime and not (is_padded and form.startswith(("%Y-", "%H")))
    if one.operator in _EQUAL:
        is_other = one.text[:4].isdigit() != form.startswith("%Y") or bool(days and not set(days) & set(forms))
        is_other |= not is_padded and _PADDED.match(one.text) is not None
        may_count = one.text[:1].isdigit() and _may_be_searched(one.table)
        return is_other and may_count and list(run(_counted(one, dialect))) == ["0"]
    is_same = any(day.startswith(forms[0][:_DAY]) or forms[0].startswith(day[:_DAY]) for day in days)
    return bool(days) and not (is_same and is_padded and form.startswith(("%Y", "%H")))


def _misread(one: Comparison, dialect: str, run: Run) -> str:
    form = one.column.profile.form if one.column.profile else ""
    if not form or not isinstance(one.side.unnest(), exp.Column) or not _is_misread(one, form, dialect, run):
        return ""
    text, name = exp.Literal.string(form.partition(" (")[0]), one.column.name
    parsed = exp.StrToTime(this=exp.column(name), format=text).sql(dialect)
    can_parse = not parsed.startswith("STR_TO_TIME") and " or " not in form
    how = f"Parse it by {parsed}" if can_parse else "Take its parts by SUBSTR and INSTR"
    wrong = f"{name} {one.operator} '{one.text}' {'finds nothing' if one.operator in _EQUAL else 'compares texts'}"
    wrong = "functions of dates give NULL for it" if one.operator == "read" else wrong
    return f"{name} is text of the form {form}: {wrong}. {how}."


def out_of_range(found: Iterable[Comparison]) -> list[str]:
    """Numbers and dates that a column never reaches, one sentence each: an empty result may be right, and is explained.

    Example:
        >>> from sqlglot import exp
        >>> from rsql_magic.context import Column, Profile, Table
        >>> year = Column("year", "INTEGER", profile=Profile(low="1990", high="2020"))
        >>> out_of_range([Comparison(Table("f", (year,)), year, "2021", exp.column("year"), operator=">=")])
        ['year is 1990 to 2020, so it is never >= 2021.']
    """
    return list(dict.fromkeys(sentence for one in found if (sentence := _unreached(one))))


def _unreached(one: Comparison) -> str:
    profile, kind = one.column.profile, value_kind(one.column.type)
    if profile is None or profile.approximate or profile.low is None or profile.high is None:
        return ""
    try:
        ends = [_measure(end, kind) for end in (profile.low, one.text, profile.high)]
    except ValueError:
        return ""
    low, at, high = ends
    never = {"=": at < low or at > high, ">": at >= high, ">=": at > high, "<": at <= low, "<=": at < low}
    how = "" if one.operator == "=" else f"{one.operator} "
    sentence = f"{one.column.name} is {profile.low} to {profile.high}, so it is never {how}{one.text}."
    return sentence if never.get(one.operator) else ""


def _measure(text: str, kind: str) -> float:
    """A number, or a day as one; a `ValueError` where it is neither."""
    if kind == "number":
        return float(text)
    if kind == "time" and (day := _DATE.match(text)) and len(text) == len(day[0]):
        return float(day[0].replace("-", ""))
    raise ValueError(text)


def without_values(message: str, sql: str) -> str:
    """A database's complaint without the values it quotes, unless the query itself holds them.

    Example:
        >>> without_values("Could not convert 'Ada' to INTEGER in 'x'", "SELECT 'x'")
        "Could not convert '…' to INTEGER in 'x'"
    """
    return _QUOTED.sub(lambda match: match[0] if match[0][1:-1] in sql else f"{match[0][0]}…{match[0][0]}", message)


# What the data have against a draft: told to the model once, as its privacy level allows, and to the person.

_CONDITION = re.compile(
    r"\b(?:where|on|having|month|quarter|week|strftime|date_part|datepart|extract)\b", re.IGNORECASE
)
_NAMED = re.compile(r"\S\s.*?[^\W\d_a-z]|(?:19|20)\d\d")
_MOST_NAMES, _MOST_COLUMNS = 2, 8  # that the database is asked for


class FactsFound(NamedTuple):
    """What there is to say of one query."""

    said: tuple[str, ...]  # to the person
    told: tuple[str, ...]  # to the model
    joins: tuple[JoinNote, ...]


def data_notes(sql: str, dialect: str, catalog: Catalog, question: str, count: Count) -> list[str]:
    """What the data have against a query, without values of theirs, where somebody else asks the database.

    ``count`` gives the number that a query asks for, and None as long as it is not known.
    """

    def run(query: str) -> list[str]:
        number = count(query) if query.startswith("SELECT COUNT(*)") else None
        return [] if number is None else [str(number)]

    from rsql_magic.sql import condition_notes
    from rsql_magic.text2sql.denied import denied
    from rsql_magic.text2sql.unmet import unmet

    absent = denied(comparisons(sql, dialect, catalog), dialect, run, is_free=True)
    notes = [one.said(with_values=False) for one in absent if one.may_be_told]
    notes += condition_notes(sql, dialect, catalog, count, question)
    return list(dict.fromkeys([*notes, *unmet(question, sql, dialect, catalog, catalog.tables)]))


@dataclass(frozen=True)
class FactCheck:
    """The checks of one question's drafts against the data."""

    _prompt: SchemaPrompt
    _runner: QueryRunner

    def of(self, statement: str, unsure: Sequence[NearLiteral]) -> FactsFound:
        """What the data have against a query; ``unsure`` are literals that the index of values does not know."""
        prompt, runner, engine = self._prompt, self._runner, self._prompt.engine
        level, question, catalog = prompt.options.level, prompt.options.question, prompt.catalog
        found = comparisons(statement, prompt.dialect, catalog)
        absent = self._absent(found)
        native = runner.native.of(statement, catalog)
        conditions = self._conditions(native, runner.number)
        if level == "names":  # what the data say is for the person; the model is told what no row has
            joins = join_notes(statement, prompt.dialect, catalog)
            near = [str(one) for one in unsure]
            more = [one for one in absent if one.comparison not in [each.comparison for each in unsure]]
            told = [one.said(with_values=False) for one in absent if one.may_be_told]
            told += self._conditions(native, None)
            missing = self._unmet(statement, [])
            said = [*near, *(one.said(with_values=True) for one in more), *conditions, *missing]
            return _found([*said, *(one.text for one in joins)], [*told, *missing], joins)
        wrong = misread(found, engine.dialect, runner.looked_up)
        wrong += doubts(found, engine.dialect, runner.looked_up)
        joins = join_notes(native, engine.dialect, catalog, runner.number, question)
        unsaid = [one for one in unsure if not any(str(one.comparison) in doubt for doubt in wrong)]
        more = [one for one in absent if not _is_said(one, wrong, unsaid)]
        shown = level == "sample"
        missing = self._unmet(statement, catalog.tables)
        indexed = [one for one in self._stored(statement, found) if one not in missing] if self._may_name else []
        ranges = [] if engine.is_free else out_of_range(found)
        said = [*wrong, *ranges, *map(str, unsaid), *(one.said(with_values=True) for one in more)]
        said += [*conditions, *missing, *indexed, *(one.text for one in joins)]
        told = [*wrong, *(str(one) for one in unsaid if shown and not one.is_personal)]
        told += [one.said(with_values=shown) for one in more if one.may_be_told]
        told += [one.said(with_values=False) for one in absent if _is_hidden(one, unsaid, shown=shown)]
        told += [*conditions, *missing, *(indexed if shown else ()), *(one.text for one in joins if one.is_doubt)]
        return _found(said, told, joins)

    def _absent(self, found: Sequence[Comparison]) -> list[Denied]:
        """The comparisons that no row meets."""
        if not found:
            return []
        from rsql_magic.text2sql.denied import denied

        engine = self._prompt.engine
        return denied(found, engine.dialect, self._runner.held, is_free=engine.is_free)

    def _conditions(self, native: str, number: Count | None) -> list[str]:
        """What its conditions say otherwise than they seem to."""
        if not _CONDITION.search(native):
            return []
        from rsql_magic.sql import condition_notes

        prompt = self._prompt
        return condition_notes(native, prompt.engine.dialect, prompt.catalog, number, prompt.options.question)

    @property
    def _may_name(self) -> bool:
        """Whether the question may name a value or a time: it has a capital inside it, or a year."""
        return _NAMED.search(self._prompt.options.question) is not None

    def _unmet(self, statement: str, tables: Sequence[Table]) -> list[str]:
        """What of the question no condition is about."""
        if not self._may_name:
            return []
        from rsql_magic.text2sql.unmet import unmet

        prompt = self._prompt
        return unmet(prompt.options.question, statement, prompt.dialect, prompt.catalog, tables)

    def _stored(self, statement: str, found: Sequence[Comparison]) -> list[str]:
        """Values of the question that columns hold and no condition is about: of columns that are not about people."""
        from rsql_magic.text2sql.unmet import unmet_held

        prompt, values = self._prompt, self._prompt.engine.values
        shown = {(t.full_name, c.name) for t in prompt.linked.tables for c in t.columns if not c.is_private}
        held: list[HeldValue] = []
        index = values.index if values is not None else None
        if values is not None and index is not None:
            from rsql_magic.text2sql.stored import held_phrases

            with values.spared():
                held = [one for one in held_phrases(prompt.options.question, index) if (one.table, one.column) in shown]
        named = [] if held or found else self._named(statement, index)
        return unmet_held([*held, *named], statement, prompt.dialect, prompt.catalog)

    def _named(self, statement: str, index: ValueIndex | None) -> list[HeldValue]:
        """Names of the question that columns of the query's tables hold, asked of the tables themselves."""
        from rsql_magic.knowledge import HeldValue
        from rsql_magic.text2sql.denied import holds
        from rsql_magic.text2sql.unmet import names_in, tables_in

        prompt, runner, engine = self._prompt, self._runner, self._prompt.engine
        if not engine.is_free or not (names := names_in(prompt.options.question, prompt.catalog)[:_MOST_NAMES]):
            return []
        tables = tables_in(statement, prompt.dialect, prompt.catalog)
        columns = [(t, c) for t in tables for c in t.columns if value_kind(c.type) == "text" and not c.is_private]
        columns = [(t, c) for t, c in columns if not (c.profile and c.profile.complete)]
        columns = [(t, c) for t, c in columns if index is None or not index.covers(t.full_name, c.name)]
        found = []
        for name in names:
            for table, column in columns[:_MOST_COLUMNS]:
                if holds(table, column, name, engine.dialect, runner.held):
                    found.append(HeldValue(name, table.full_name, column.name, name))
        return found


def _found(said: Sequence[str], told: Sequence[str], joins: Sequence[JoinNote]) -> FactsFound:
    return FactsFound(tuple(dict.fromkeys(said)), tuple(dict.fromkeys(told)), tuple(joins))


def _is_said(one: Denied, wrong: Sequence[str], unsaid: Sequence[NearLiteral]) -> bool:
    """Whether a sentence speaks of a comparison already."""
    comparison: Comparison = one.comparison
    asked = f"{comparison.column.name} {comparison.operator} '{comparison.text}'"
    return any(str(comparison) in doubt or asked in doubt for doubt in wrong) or any(
        each.comparison == comparison for each in unsaid
    )


def _is_hidden(one: Denied, unsaid: Sequence[NearLiteral], *, shown: bool) -> bool:
    """Whether a model is told only that no row has a literal, as the near values may not leave."""
    return not shown and one.may_be_told and any(each.comparison == one.comparison for each in unsaid)
