"""The tree walk: every node of a query is of a kind that only reads, and every function is known to be harmless."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rsql_magic.errors import QueryRejected
from rsql_magic.sql.dialects.functions import TYPES, calls, functions
from rsql_magic.sql.dialects.reading import MAX_TREE_DEPTH, written
from rsql_magic.sql.dialects.records import dialect_of, names

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlglot import exp

    from rsql_magic.sql.dialects.functions import Functions
    from rsql_magic.sql.dialects.reading import Lexed
    from rsql_magic.sql.dialects.records import SQLDialect

# Kinds of statement that are queries, by sqlglot's class names.
ROOTS = frozenset({"Except", "Intersect", "Pivot", "Select", "Subquery", "Union", "Values"})

# sqlglot's classes, other than functions, that only read. A class that is not here is refused.
ALLOWED = names(
    """
    Add Adjacent Alias Aliases All And Any AtIndex AtTimeZone Between BitString BitwiseAnd BitwiseLeftShift
    BitwiseNot BitwiseOr BitwiseRightShift BitwiseXor Boolean Bracket ByteString CTE Cluster Collate Column
    ColumnConstraint ColumnDef Comprehension Connect Connector Cube DPipe DataType DataTypeParam
    DefaultColumnConstraint Describe Distance DistanceNd Distinct Distribute Div Dot EQ Escape Except ExtendsLeft
    ExtendsRight Fetch Filter Final ForClause ForIn FormatJson FormatPhrase From FromTimeZone GT GTE Glob Group
    GroupingSets Having HavingMax HexString HistoricalData ILike Identifier IgnoreNulls In IndexTableHint IntDiv
    Intersect Interval IntervalSpan Introducer Is JSON JSONColumnDef JSONExtractQuote JSONKeyValue JSONPath
    JSONPathFilter JSONPathKey JSONPathRecursive JSONPathRoot JSONPathScript JSONPathSelector JSONPathSlice
    JSONPathSubscript JSONPathUnion JSONPathWildcard JSONSchema JSONValue Join Kwarg LT LTE Lambda Lateral Like
    Limit LimitOptions Literal Match MatchRecognize MatchRecognizeMeasure Mod Mul NEQ National Nearest Neg
    NestedJSONSelect Not NotNullColumnConstraint Null NullSafeEQ NullSafeNEQ ObjectIdentifier Offset OnCondition
    OpenJSONColumnDef Operator Or Order Ordered OverflowTruncateBehavior Overlaps Parameter Paren Partition
    PartitionByExcluding PathColumnConstraint Per Pivot PivotAlias PivotAny Placeholder PositionalColumn PreWhere
    Prior ProjectionDef PropertyEQ PseudoType Pseudocolumn Qualify QueryOption RawString RecursiveWithSearch
    RespectNulls Rollup Schema ScopeResolution Select SessionParameter Show SimilarTo Slice Sort Star Sub Subquery
    Summarize Table TableAlias TableColumn TableFromRows TableSample TranslateCharacters Tuple UnicodeString Union
    UnpivotColumns Values Var Variadic Version Where Window WindowSpec With WithFill WithTableHint WithinGroup
    XMLKeyValueOption XMLNamespace Xor
    """
)

_REFUSED_FUNCTIONS = names(
    """
    AIAgg AIClassify AIEmbed AIForecast AIGenerate AISimilarity AISummarizeAgg DynamicIdentifier FeaturesAtTime
    GenerateBool GenerateDouble GenerateEmbedding GenerateInt GenerateTable GenerateText MLForecast MLTranslate
    NextValueFor Predict ReadCSV ReadParquet Secret ToFile VectorSearch
    """
)
_WHY = {
    "Delete": "DELETE changes rows.",
    "Insert": "INSERT changes rows.",
    "Into": "INTO writes the result somewhere.",
    "Lock": "This takes a lock on the rows it reads.",
    "Merge": "MERGE changes rows.",
    "NextValueFor": "NEXT VALUE FOR changes a sequence.",
    "Returning": "RETURNING belongs to statements that change rows.",
    "Update": "UPDATE changes rows.",
}
_HINT = "Only a single query that reads may run here."

_QUERY_PARTS = ("settings", "format", "into", "locks")
# Parts of allowed nodes that do more than read: SETTINGS, FORMAT, files of a stage, functions defined in WITH.
_REFUSED_PARTS = {
    "Except": _QUERY_PARTS,
    "Intersect": _QUERY_PARTS,
    "Select": _QUERY_PARTS[:2],
    "Subquery": _QUERY_PARTS,
    "Table": ("format", "pattern", "changes"),
    "Union": _QUERY_PARTS,
    "With": ("udfs",),
}

_TABLE_HINTS = names(
    """
    NOLOCK READUNCOMMITTED READCOMMITTED READPAST NOEXPAND FORCESEEK FORCESCAN INDEX NOWAIT SNAPSHOT
    """
)
_QUERY_OPTIONS = names(
    """
    MAXRECURSION MAXDOP RECOMPILE FAST ROBUST PLAN HASH LOOP MERGE JOIN GROUP CONCAT ORDER FORCE EXPAND VIEWS KEEP
    KEEPFIXED OPTIMIZE FOR UNKNOWN IGNORE_NONCLUSTERED_COLUMNSTORE_INDEX MAX_GRANT_PERCENT MIN_GRANT_PERCENT LABEL
    """
)
_SEQUENCES = frozenset({"NEXTVAL", "CURRVAL"})


def refuse_unknown_nodes(tree: exp.Expr, text: str) -> list[exp.Expr]:
    """Refuse a tree that holds anything that writes, locks, or is not known to be harmless; give its nodes."""
    if type(tree).__name__ not in ROOTS:
        raise _refused(tree, text)
    nodes: list[exp.Expr] = []
    stack = [(tree, 0)]
    while stack:
        node, depth = stack.pop()
        if depth > MAX_TREE_DEPTH:
            raise QueryRejected(
                "This query is nested too deeply to be checked.", hint="Split it with WITH … AS (…).", repairable=True
            )
        _refuse(node, text)
        nodes.append(node)
        stack.extend((child, depth + 1) for child in node.iter_expressions())
    return nodes


def _refuse(node: exp.Expr, text: str) -> None:
    kind = type(node).__name__
    if kind not in ALLOWED and not _is_function(node):
        raise _refused(node, text)
    for part in _REFUSED_PARTS.get(kind, ()):
        if node.args.get(part):
            raise QueryRejected(
                f"{part.upper()} is not allowed in a query here.", piece=written(node, text), hint=_HINT
            )
    check = _CHECKS.get(kind)
    if check is not None:
        check(node, text)


def refuse_special_functions(nodes: list[exp.Expr], text: str) -> None:
    """Refuse functions that sqlglot knows to read files, call models or change sequences, under whatever name."""
    for node in nodes:
        if type(node).__name__ in _REFUSED_FUNCTIONS:
            raise _refused(node, text)


def _is_function(node: exp.Expr) -> bool:
    from sqlglot import exp

    return isinstance(node, exp.Func)


def _refused(node: exp.Expr, text: str) -> QueryRejected:
    kind = type(node).__name__
    reason = _WHY.get(kind, f"This holds something that is not known to be harmless ({kind}).")
    return QueryRejected(reason, piece=written(node, text), hint=_HINT)


def _select(node: exp.Expr, _text: str) -> None:
    if not node.expressions and type(node.parent).__name__ != "Exists":
        raise QueryRejected(
            "This SELECT asks for nothing.", piece="SELECT", hint="Name the columns after SELECT.", repairable=True
        )


def _table_hint(node: exp.Expr, _text: str) -> None:
    for hint in node.expressions:
        if hint.name.upper() not in _TABLE_HINTS:
            raise QueryRejected("This table hint takes a lock.", piece=hint.name, hint="Leave the hint out.")


def _query_option(node: exp.Expr, text: str) -> None:
    if type(node.parent).__name__ == "ForClause":
        return
    words = node.name.upper().split()
    value = node.args.get("expression")
    endless = words[:1] == ["MAXRECURSION"] and (value is None or value.name in {"", "0"})
    if endless or not set(words) <= _QUERY_OPTIONS:
        raise QueryRejected("This query option is not allowed.", piece=written(node, text), hint="Leave OPTION out.")


def _column(node: exp.Expr, text: str) -> None:
    """Snowflake and Oracle take the next value of a sequence like a column."""
    if node.name.upper() in _SEQUENCES and node.args.get("table"):
        raise QueryRejected("This takes the next value of a sequence, which changes it.", piece=written(node, text))


def _assignment(node: exp.Expr, text: str) -> None:
    if type(node.this).__name__ in {"Parameter", "SessionParameter"}:
        raise QueryRejected("This sets a variable.", piece=written(node, text), hint="Leave the assignment out.")


def _comparison(node: exp.Expr, text: str) -> None:
    """In SQL Server ``SELECT @x = 1`` sets a variable."""
    if type(node.this).__name__ == "Parameter" and type(node.parent).__name__ == "Select":
        _assignment(node, text)


def _type_method(node: exp.Expr, text: str) -> None:
    """SQL Server's ``geography::Point(1, 2, 4326)`` makes a value; a type of one's own may run code."""
    if node.this is None or node.this.name.lower() not in {"geography", "geometry", "hierarchyid"}:
        raise _refused(node, text)


_CHECKS = {
    "Column": _column,
    "EQ": _comparison,
    "PropertyEQ": _assignment,
    "QueryOption": _query_option,
    "ScopeResolution": _type_method,
    "Select": _select,
    "WithTableHint": _table_hint,
}


_SECRET_SETTING = re.compile(r"secret|passw|token|credential|private|_key|key_|jwt", re.IGNORECASE)
_COMBINATORS = re.compile(r"(if|array|map|state|merge|ordefault|ornull|distinct|resample|foreach|simplestate)$")


def refuse_unknown_calls(lexed: Lexed, nodes: Iterable[exp.Expr], dialect: str, extra: Iterable[str] = ()) -> None:
    """Refuse a query that calls a function which is neither known to be harmless nor allowed besides (``extra``)."""
    known = functions(dialect)
    nodes = list(nodes)
    record = dialect_of(dialect)
    if record.calls_without_brackets:
        _refuse_calls_without_brackets(nodes, known)
    own = frozenset(name.casefold() for name in extra)
    for call in calls(lexed, nodes, dialect):
        full, name = ".".join(call.path).lower(), call.path[-1].lower()
        if full in own:
            continue
        if not _allowed(call.path, known, record):
            raise _refused_call(call.path, known.reason(full) or known.reason(name))
        if name == "last_insert_id" and _has_argument(lexed, call.start):
            raise _refused_call(call.path, "is not allowed with a value, which it would keep for the session")
        if name == "current_setting" and not _names_plain_setting(lexed, call.start):
            raise _refused_call(
                call.path, "is not allowed for a setting that may hold a secret, or one not named by a text"
            )
        if call.in_from and known.tables is not None and name not in known.tables:
            raise _refused_call(call.path, "is not a function that may stand in FROM")


def _names_plain_setting(lexed: Lexed, start: int) -> bool:
    """True for ``current_setting('TimeZone')``, False for ``current_setting('s3_secret_access_key')``."""
    index = next(index for index, token in enumerate(lexed.tokens) if token.start == start)
    words = lexed.raws[index + 2 : index + 4]
    return len(words) == 2 and words[0][:1] == "'" and words[1] in ")," and not _SECRET_SETTING.search(words[0])


def _has_argument(lexed: Lexed, start: int) -> bool:
    """True when something stands between the brackets behind the name that starts there."""
    index = next(index for index, token in enumerate(lexed.tokens) if token.start == start)
    return lexed.raw(index + 2) != ")"


def _refuse_calls_without_brackets(nodes: list[exp.Expr], known: Functions) -> None:
    """Oracle calls a package's function without arguments like a column: ``SELECT utl_inaddr.get_host_name``."""
    from sqlglot import exp

    for node in nodes:
        if isinstance(node, exp.Column) and len(node.parts) > 1:
            path = tuple(part.name for part in node.parts)
            name = ".".join(path).lower()
            if not known.allows(name) and (reason := known.reason(name)):
                raise _refused_call(path, reason)


def _allowed(path: tuple[str, ...], known: Functions, dialect: SQLDialect) -> bool:
    *qualifiers, name = (part.lower() for part in path)
    if not name.isascii():
        return False
    if dialect.function_prefix and qualifiers[:1] == [dialect.function_prefix]:
        qualifiers = qualifiers[1:]
    if dialect.combinators:
        name = _without_combinators(name, known)
    full = ".".join([*qualifiers, name])
    if known.allows(full) or (name.upper() in TYPES and not qualifiers):
        return True
    if not qualifiers:
        return known.tables is not None and name in known.tables
    if qualifiers == ["public"]:  # where the engine's own never are
        return dialect.extensions_in_public and known.allows(name) and known.comes_with_extension(name)
    if dialect.function_schemas.issuperset(qualifiers):
        return known.allows(name) or bool(known.tables and name in known.tables)
    return known.allows(name) and (dialect.methods is None or name in dialect.methods)


def _without_combinators(name: str, known: Functions) -> str:
    """ClickHouse's ``sumMapIf`` is ``sum`` with combinators, which only say over what it goes."""
    while not known.allows(name) and (ending := _COMBINATORS.search(name)):
        name = name[: ending.start()]
    return name


def _refused_call(path: tuple[str, ...], why: str) -> QueryRejected:
    name = ".".join(part for part in path if part)
    if not why:
        return QueryRejected(
            f"The function {name} is not known to be harmless.",
            piece=name,
            hint="Use a built-in function, or name your own in the catalog's functions.",
            repairable=True,
        )
    verb = "" if why.startswith("is ") else ": it "
    return QueryRejected(
        f"The function {name} {why}." if not verb else f"The function {name} may not be called{verb}{why}.", piece=name
    )
