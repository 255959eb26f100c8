"""What is particular to a SQL dialect: a record each in `table`, its functions, and tables that are no user's."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from string import ascii_lowercase, ascii_uppercase
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sqlglot import exp

    from rsql_magic.sql.dialects.reading import Lexed

# Matches no text.
_NOTHING = re.compile(r"(?!)")


def listed(name: str) -> Iterator[tuple[str, list[str]]]:
    """The sections of a list of words in a file of this room: heading and words."""
    heading, words = "", list[str]()
    for line in files("rsql_magic.sql").joinpath(f"{name}.txt").read_text("utf-8").splitlines():
        if line.startswith("["):
            yield heading, words
            heading, words = line[1:-1], []
        elif not line.startswith("#"):
            words += line.split()
    yield heading, words


WORDS = {heading: frozenset(words) for heading, words in listed("dialects/words")}


# Compared by identity: equality and a text of some eighty fields would only take time to make.
@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class SQLDialect:
    """A SQL dialect. Every default is what most engines do, and the strict choice where it concerns the guard."""

    name: str  # sqlglot's name
    title: str = ""  # The engine's name as people write it; by default the name with a capital
    aliases: tuple[str, ...] = ()  # Other names: people's, SQLAlchemy's
    often_confused: bool = False  # Whether models write it where another is asked for
    read_only: str = ""  # The statement that makes a transaction or session read-only

    quotes: str = '""'  # The marks around a quoted name
    folds: Literal["", "lower", "upper"] = ""  # How a bare name is stored
    quotes_capitals: bool = False  # Whether a name with capitals needs quotes
    minds_case: bool = False  # Whether names in quotes differ by their case
    folds_ascii: bool = False  # Whether only the letters A to Z are the same in both cases
    # Words in lower case that need quotes as a name, where sqlglot would let them pass
    reserved: frozenset[str] = frozenset()
    # Words in lower case that are names where an operand stands, and grammar to sqlglot
    names_as_well: frozenset[str] = frozenset()
    # Whether a quote that a backslash escapes is doubled instead, for every SQL mode
    doubles_escaped_quotes: bool = False
    backslash_escapes: bool = False  # Whether a backslash escapes a quote in a text
    text_in_double_quotes: bool = False  # Whether a text may stand in double quotes
    names_become_texts: bool = False  # Whether a name in double quotes that is no column is a text

    function_lists: tuple[str, ...] = ()  # Files of `functions/` that say what may be called
    functions_complete: bool = False  # Whether these hold everything the engine has, checked against the engine
    function_schemas: frozenset[str] = frozenset()  # Qualifiers of the engine's own functions
    extensions_in_public: bool = False  # Whether functions of extensions stand in the schema public
    function_prefix: str = ""  # A qualifier that changes how a function fails, and not which it is
    # Functions that may be called on a value with a dot; None for all allowed ones
    methods: frozenset[str] | None = frozenset()
    combinators: bool = False  # Whether a function's name may end in words that say over what it goes: ``sumIf``
    calls_without_brackets: bool = False  # Whether a package's function is called like a column
    any_is_function: bool = False  # Whether ``any`` is a function and not a quantifier
    table_calls: bool = False  # Whether ``FROM TABLE(f())`` takes rows from a function
    substitutes_variables: bool = False  # Whether ``${…}`` is replaced in the text before it is read
    brace_literals: bool = False  # Whether braces hold a structure or a map
    session_variables: bool = False  # Whether ``@x`` or ``$1`` is the engine's own and has a value by itself
    pipes: bool = False  # Whether ``|>`` leads to the next step of a query
    flows: bool = False  # Whether ``->>`` hands the result to another statement, of any kind
    table_hints: bool = False  # Whether a hint may stand in brackets behind a table: ``FROM t (NOLOCK)``
    parts_like_calls: frozenset[str] = frozenset()  # Parts of dates that look like calls: ``WEEK(MONDAY)``
    # How functions of other dialects are written, by name and number of arguments
    calls: Mapping[tuple[str, int], str] = field(default_factory=dict)
    strftime: bool = False  # Whether dates are texts, taken apart by ``strftime``
    endless_series: bool = False  # Whether ``generate_series`` has no end by default
    endless_tables: frozenset[tuple[str, str]] = frozenset()  # Schemas and tables that have no end
    series_tables: re.Pattern[str] = _NOTHING  # Tables named by the series of numbers that they hold: first, last, step
    scalar_max: bool = False  # Whether ``max(a, b)`` is the greater of two

    # System schemas besides information_schema, and what may be read in them
    system_schemas: Mapping[str, frozenset[str]] = field(default_factory=dict)
    # Databases of the server's own; of them only information_schema may be read
    system_databases: frozenset[str] = frozenset()
    system_tables: frozenset[str] = frozenset()  # System tables that may be read without their schema
    secret_names: frozenset[str] = frozenset()  # System tables without a schema that may not be read
    # What such names begin with or are like; no user's table can have these names
    secret_tables: re.Pattern[str] = _NOTHING
    # Names that look like a system table's; a user may have one all the same
    reserved_tables: re.Pattern[str] = _NOTHING
    reads_files: bool = False  # Whether a table's name may be a path or an address
    dots_are_files: bool = False  # Whether a dot inside a name makes it a file
    formats_are_schemas: bool = False  # Whether ``parquet.`x` `` reads a file
    default_schemas: tuple[tuple[str, ...], ...] = ()  # Qualifiers that mean the default schema
    datasets_always_written: bool = False  # Whether a table stands with its dataset everywhere
    wildcard_tables: bool = False  # Whether ``events_*`` reads all tables of that beginning
    links: Literal["", "@", "four parts"] = ""  # How a table of another server is written: ``t@x``, or with four parts
    # What a dump says of how and for whom something is stored, which sqlglot does not read
    storage: re.Pattern[str] = _NOTHING

    explains: bool = False  # Whether EXPLAIN may run
    describes: bool = False  # Whether DESCRIBE may run
    describes_columns: bool = False  # Whether DESCRIBE t c describes a column, and EXPLAIN t a table
    describes_everything: bool = False  # Whether DESCRIBE alone and SHOW t may stand
    analyzes: bool = False  # Whether ``ANALYZE SELECT`` explains
    summarizes: bool = False  # Whether SUMMARIZE may run
    shows: str = ""  # What may follow SHOW, divided by bars. Not what shows other people's work or credentials
    shows_settings: bool = False  # Whether SHOW names a setting and can do nothing else
    pragmas: frozenset[str] = frozenset()  # Pragmas that read
    pragmas_of_tables: frozenset[str] = frozenset()  # Those of them that take a name in brackets
    statement_words: frozenset[str] = frozenset()  # Words that begin a second statement without a semicolon

    implicit_recursion: bool = False  # Whether a WITH may read itself without the word RECURSIVE
    # Whether a WITH may read one that follows: never, with the word RECURSIVE, always
    sees_ahead: Literal["never", "recursive", "always"] = "never"
    recurses_often: bool = False  # Whether more than one part of a UNION may read the WITH that it makes
    siblings_seen: bool = False  # Whether a subquery in FROM may see the relations before it without LATERAL
    # Whether a join's condition sees the relations behind it, and two may have one name
    conditions_see_all: bool = False
    tables_after_in: bool = False  # Whether ``x IN t`` reads the table t
    searches: frozenset[str] = frozenset()  # Functions of full-text search that take the name of the table
    structs: bool = True  # Whether a column may have parts behind a dot
    parts_of_values: frozenset[str] = frozenset()  # Parts that a column has all the same
    rows_by_name: bool = True  # Whether a table's name stands for its row
    hidden_columns: frozenset[str] = frozenset()  # Columns that every table has, in lower case
    aliases_in: frozenset[str] = frozenset({"group"})  # Clauses that see the names given by AS, besides ORDER BY
    whole_alias_only: bool = False  # Whether ORDER BY and GROUP BY take such a name by itself, but not in an expression
    strict_groups: bool = False  # Whether a column beside an aggregate must be grouped
    groups_by_key: bool = False  # Whether grouping a table's primary key groups all its columns
    strict_distinct: bool = False  # Whether SELECT DISTINCT can only be ordered by what it selects
    strict_having: bool = False  # Whether HAVING sees only what is selected, grouped or aggregated
    nested_aggregates: bool = False  # Whether an aggregate may stand inside another
    named_subqueries: bool = False  # Whether a subquery in FROM needs a name
    ordered_sides: bool = False  # Whether ORDER BY before UNION is allowed, or refused by the engine in clear words
    medians: bool = True  # Whether there is a median of groups; two engines have one over windows alone
    limit_in_in: bool = True  # Whether the subquery of IN may have a LIMIT
    with_in_subqueries: bool = True  # Whether a subquery may begin with WITH
    repeated_columns: bool = True  # Whether a subquery may have a column name twice
    spellings: tuple[str, ...] = ()  # Rules of `spellings` for what sqlglot does not read


@lru_cache(maxsize=64)
def dialect_of(name: str) -> SQLDialect:
    """The record of a dialect, by sqlglot's name; the defaults for a name that the table does not have.

    Example:
        >>> dialect_of("mysql").quotes, dialect_of("druid").quotes
        ('``', '""')
    """
    from rsql_magic.sql.dialects.table import DIALECTS

    return DIALECTS.get(name) or SQLDialect(name=name)


def known_as(name: str) -> str:
    """Sqlglot's name of a dialect by any of its names; the name itself in lower case when there is none.

    Example:
        >>> known_as("MariaDB"), known_as("duckdb"), known_as("cobol")
        ('mysql', 'duckdb', 'cobol')
    """
    from rsql_magic.sql.dialects.table import DIALECTS

    name = name.strip().lower()
    return next((each.name for each in DIALECTS.values() if name in each.aliases), name)


# For ``str.translate``: A to Z in lower case and all else as it is.
ASCII_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)


def ascii_lower(text: str) -> str:
    """A text with A to Z in lower case and all else as it is, which is how most engines compare names.

    Example:
        >>> ascii_lower("ÄSſK")
        'Äsſk'
    """
    return text.translate(ASCII_LOWER)


def names(text: str) -> frozenset[str]:
    """The words of a text.

    Example:
        >>> sorted(names("users orders"))
        ['orders', 'users']
    """
    return frozenset(text.split())


_BARE_SCHEMAS = names("main temp public dbo")

# Not a system table; one that may be read; a name that may be one; one that may not be read.
System = Literal["", "readable", "reserved", "secret"]

_FILE = re.compile(
    r"[/\\:*?~|]|\.(csv|tsv|txt|parquet|json|jsonl|ndjson|geojson|avro|orc|arrow|feather|xlsx?|shp|gpkg|db|duckdb|sqlite3?|wal|gz|zst|bz2|log|dat|"
    r"py|sql|ya?ml|toml|ini|cfg|conf|env|pem|key)$",
    re.IGNORECASE,
)
_FILE_FORMATS = names("avro binaryfile csv delta hudi iceberg jdbc json jsonl kafka libsvm orc parquet text xml")


def is_file(parts: tuple[str, ...], dialect: str) -> bool:
    """True when a table's name would be read as a file or an address."""
    # In DuckDB that is every name with a dot inside: which endings mean a file depends on the extensions that are
    # loaded.
    if (record := dialect_of(dialect)).dots_are_files and any("." in part for part in parts):
        return True
    if record.formats_are_schemas and len(parts) > 1 and parts[0].lower() in _FILE_FORMATS:
        return True
    return record.reads_files and bool(_FILE.search(".".join(parts)))


def is_series(parts: tuple[str, ...], dialect: str) -> bool:
    """Whether a name is that of a series of numbers, which MariaDB makes up: ``seq_1_to_30``.

    Example:
        >>> is_series(("seq_1_to_30",), "mysql"), is_series(("seq_1_to_30",), "postgres")
        (True, False)
    """
    return len(parts) == 1 and dialect_of(dialect).series_tables.fullmatch(parts[0].lower()) is not None


def system_table(parts: tuple[str, ...], dialect: str) -> System:
    """What sort of system table a name means, if any; of database, schema and name as much as is written.

    Example:
        >>> [system_table(t, "postgres") for t in (("pg_class",), ("pg_authid",), ("pg_tips",), ("users",))]
        ['readable', 'secret', 'reserved', '']
    """
    record = dialect_of(dialect)
    *qualifiers, name = (part.lower() for part in parts)
    schema = qualifiers[-1] if qualifiers else ""
    if name.startswith("information_schema."):  # BigQuery writes both parts as one
        schema, name = name.split(".", 1)
    if schema == "information_schema":
        return "readable" if name in WORDS["information_schema"] else "secret"
    if any(part in record.system_databases for part in qualifiers):
        return "secret"
    if schema in record.system_schemas:
        return "readable" if name in record.system_schemas[schema] else "secret"
    return _unqualified(name, record) if not schema or schema in _BARE_SCHEMAS else ""


def _unqualified(name: str, record: SQLDialect) -> System:
    if name in record.system_tables:
        return "readable"
    # A line end behind a name makes it no other.
    if name.removesuffix("\n") in record.secret_names or record.secret_tables.match(name):
        return "secret"
    return "reserved" if record.reserved_tables.match(name) else ""


# Functions: those that a query calls, and those that it may call, by lists in ``functions/*.txt``. A list is an
# allow-list: a function is refused unless it is known to read its arguments and nothing else. The sections
# ``[refused: reason]`` only give the reason; a name that no list holds is refused too. The sections ``[not here: what
# to write]`` name functions of other dialects that people and models write by mistake.
#
# Every word in front of an opening bracket is a call, unless the tree says that it names a table with its columns
# (``FROM f(1) AS t(a)``, ``WITH t(a) AS``) or it is a word of the grammar. The words are what the engine will see, so
# a function that sqlglot renames, drops or mistakes for something else is still seen by the name that runs.


@dataclass(frozen=True, slots=True)
class Functions:
    """What may be called in a dialect."""

    allowed: frozenset[str]  # Names that may be called anywhere, lower case
    tables: frozenset[str] | None  # Names that may stand in FROM; None where the dialect lets any function stand there
    prefixes: tuple[str, ...]  # Beginnings of allowed names, such as ``st_``
    reasons: dict[str, str]  # Why a name, or a beginning with ``*``, is refused
    absent: dict[str, str]  # Functions of other dialects that this one has not, with what to write instead
    title: str = ""  # The engine's name as people write it
    extensions: frozenset[str] = frozenset()  # Those of the allowed that extensions bring, and beginnings with ``*``
    complete: bool = False  # True when the lists hold all the dialect's functions, so that others do not exist

    def allows(self, name: str) -> bool:
        """True when the function, in lower case, may be called."""
        return name in self.allowed or (name.startswith(self.prefixes) and not self.reason(name))

    def comes_with_extension(self, name: str) -> bool:
        """True when an extension brings the function, in lower case, and not the engine itself."""
        starts = tuple(start[:-1] for start in self.extensions if start.endswith("*"))
        return name in self.extensions or (bool(starts) and name.startswith(starts))

    def exists(self, name: str) -> bool:
        """True when the dialect has the function, whether it may be called or not."""
        known = self.allows(name) or bool(self.tables and name in self.tables) or bool(self.reason(name))
        return known and name not in self.absent

    def reason(self, name: str) -> str:
        """Why a function is refused, or "" when nothing is known of it."""
        if name in self.reasons:
            return self.reasons[name]
        starts = (name[:end] + "*" for end in range(len(name), 0, -1))
        return next((self.reasons[start] for start in starts if start in self.reasons), "")


@lru_cache(maxsize=64)
def functions(dialect: str) -> Functions:
    """The functions of a dialect, by sqlglot's name.

    Example:
        >>> functions("postgres").allows("lower"), functions("postgres").reason("pg_sleep")
        (True, 'waits and holds the connection')
    """
    record = dialect_of(dialect)
    allowed: set[str] = set()
    tables: set[str] = set()
    reasons: dict[str, str] = {}
    absent: dict[str, str] = {}
    extensions: set[str] = set()
    for section, words in (
        pair for each in ("common", *record.function_lists) for pair in listed(f"dialects/functions/{each}")
    ):
        if section.startswith("refused: "):
            reasons |= dict.fromkeys(words, section.removeprefix("refused: "))
        elif section.startswith("not here: "):
            absent |= dict.fromkeys(words, section.removeprefix("not here: "))
        elif section == "tables made by functions":
            tables |= set(words)
        else:
            extensions |= set(words) if section.startswith("extensions") else set()
            allowed |= set(words)
            # A dialect's own list comes after the common one, and may have what that one says is missing.
            absent = {name: instead for name, instead in absent.items() if name not in words}
    return Functions(
        allowed=frozenset(allowed),
        tables=frozenset(tables) or None,
        prefixes=tuple(name[:-1] for name in allowed if name.endswith("*")),
        reasons=reasons,
        absent=absent,
        extensions=frozenset(extensions),
        title=record.title or dialect.capitalize(),
        complete=record.functions_complete,
    )


# Words of the grammar that may stand before a bracket and call nothing.
_GRAMMAR = WORDS["grammar"]

_QUANTIFIERS = names("ALL ANY SOME")
_COMPARES = re.compile(r"[=<>!~*]+|I?LIKE", re.IGNORECASE)

# Types that take a size or members in brackets. As functions they would only convert.
TYPES = WORDS["types"]


class Call(NamedTuple):
    """One call of a function."""

    start: int  # Where its name starts in the text
    path: tuple[str, ...]  # Its name, after the names that qualify it; an expression before a dot gives an empty one
    in_from: bool  # True when it stands in FROM


class _Places(NamedTuple):
    named: set[int]
    in_from: set[int]
    called: set[int]


def calls(lexed: Lexed, nodes: Iterable[exp.Expr], dialect: str = "") -> Iterator[Call]:
    """Every function that is called, in order; ``nodes`` are those of the query's tree."""
    record = dialect_of(dialect)
    places = _places(nodes, record)
    tokens = lexed.tokens
    for index in range(len(tokens) - 1):
        if lexed.text[tokens[index + 1].start] != "(":
            continue
        token, raw = tokens[index], lexed.raws[index]
        bare = raw[0].isalpha() or raw[0] in "_$"
        if bare and (_is_quantifier(lexed, index, record) or (raw.upper() == "TABLE" and record.table_calls)):
            continue
        quoted = raw[0] in '"`[' and raw != "["
        if not (quoted or bare) or token.start in places.named or _is_mark(lexed, index):
            continue
        if bare and _is_grammar(raw, record) and token.start not in places.called and not _after_dot(lexed, index):
            continue
        yield Call(token.start, (*_qualifiers(lexed, index), token.text), token.start in places.in_from)


def _places(nodes: Iterable[exp.Expr], dialect: SQLDialect) -> _Places:
    """Where names of tables start, where functions in FROM start, and where any function starts."""
    from sqlglot import exp

    places = _Places(set(), set(), set())
    for node in nodes:
        if isinstance(node, exp.Func):
            places.called.add(node.meta.get("start", -1))
        elif isinstance(node, exp.TableAlias) and node.this is not None:
            places.named.add(node.this.meta.get("start", -1))
        elif isinstance(node, exp.Table) and isinstance(node.this, exp.Func):
            places.in_from.add(node.this.meta.get("start", -1))
        elif isinstance(node, exp.Table) and dialect.table_hints and node.args.get("hints"):
            places.named.add(node.this.meta.get("start", -1))  # FROM t (NOLOCK)
    return places


def _is_mark(lexed: Lexed, index: int) -> bool:
    """True for Oracle's outer join ``a.id = b.id (+)``, and for PostgreSQL's ``OPERATOR(pg_catalog.~)``."""
    # An operator of another schema is somebody's function.
    return "".join(lexed.raws[index + 1 : index + 4]) == "(+)" or (
        lexed.word(index) == "OPERATOR" and lexed.word(index + 2) == "PG_CATALOG"
    )


def _is_quantifier(lexed: Lexed, index: int, dialect: SQLDialect) -> bool:
    """True for ``<> ALL ('{a,b}'::text[])``, which sqlglot takes for a function: it stands behind a comparison."""
    if index == 0 or dialect.any_is_function or lexed.word(index) not in _QUANTIFIERS:
        return False
    return _COMPARES.fullmatch(lexed.raws[index - 1]) is not None


def _is_grammar(raw: str, dialect: SQLDialect) -> bool:
    """True for a word of the grammar, and for those that sqlglot reads as one (ORDER BY)."""
    if dialect.any_is_function and raw.upper() in _QUANTIFIERS - {"ALL"}:
        return False
    return raw.upper() in _GRAMMAR or len(raw.split()) > 1


def _after_dot(lexed: Lexed, index: int) -> bool:
    return index > 0 and lexed.raws[index - 1] == "."


def _qualifiers(lexed: Lexed, index: int) -> tuple[str, ...]:
    """The dotted words before a name; an expression before the dot gives an empty word."""
    found: list[str] = []
    while _after_dot(lexed, index):
        index -= 2
        raw = lexed.raw(index)
        word = bool(raw) and (raw[0].isalpha() or raw[0] in '_"`[$')
        found.append(lexed.tokens[index].text if word and raw != "[" else "")
        if not word:
            break
    return tuple(reversed(found))
