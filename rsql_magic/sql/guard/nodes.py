"""The tree walk: every node of a query only reads, every function is harmless, every table is one to read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rsql_magic.errors import QueryRejected
from rsql_magic.sql.dialects.reading import MAX_TREE_DEPTH, is_within, written
from rsql_magic.sql.dialects.records import (
    ASCII_LOWER,
    TYPES,
    ascii_lower,
    calls,
    dialect_of,
    functions,
    is_file,
    is_series,
    names,
    system_table,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlglot import exp

    from rsql_magic.sql.catalog import Catalog
    from rsql_magic.sql.dialects.reading import Lexed
    from rsql_magic.sql.dialects.records import Functions, SQLDialect

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

# Functions that read files, call models or change sequences, by sqlglot's class names.
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

# Hints of SQL Server that take no lock.
_TABLE_HINTS = names("NOLOCK READUNCOMMITTED READCOMMITTED READPAST NOEXPAND FORCESEEK FORCESCAN INDEX NOWAIT SNAPSHOT")
# Words of SQL Server's OPTION (…) that say how to run a query and not what it does.
_QUERY_OPTIONS = names(
    """
    MAXRECURSION MAXDOP RECOMPILE FAST ROBUST PLAN HASH LOOP MERGE JOIN GROUP CONCAT ORDER FORCE EXPAND VIEWS KEEP
    KEEPFIXED OPTIMIZE FOR UNKNOWN IGNORE_NONCLUSTERED_COLUMNSTORE_INDEX MAX_GRANT_PERCENT MIN_GRANT_PERCENT LABEL
    """
)
_SEQUENCES = frozenset({"NEXTVAL", "CURRVAL"})


def refuse_unknown_nodes(tree: exp.Expr, text: str) -> list[exp.Expr]:
    """Refuse a tree that holds anything that writes, locks, or is not known to be harmless; give its nodes."""
    from sqlglot import exp

    if type(tree).__name__ not in ROOTS:
        raise _refused(tree, text)
    nodes: list[exp.Expr] = []
    stack = [(tree, 0)]
    while stack:
        node, depth = stack.pop()
        if depth > MAX_TREE_DEPTH:
            hint = "Split it with WITH … AS (…)."
            raise QueryRejected.slip("This query is nested too deeply to be checked.", hint=hint)
        kind = type(node).__name__
        if kind not in ALLOWED and not isinstance(node, exp.Func):
            raise _refused(node, text)
        for part in _REFUSED_PARTS.get(kind, ()):
            if node.args.get(part):
                reason = f"{part.upper()} is not allowed in a query here."
                raise QueryRejected(reason, piece=written(node, text), hint=_HINT)
        if (check := _CHECKS.get(kind)) is not None:
            check(node, text)
        nodes.append(node)
        stack.extend((child, depth + 1) for child in node.iter_expressions())
    return nodes


def refuse_special_functions(nodes: list[exp.Expr], text: str) -> None:
    """Refuse functions that sqlglot knows to read files, call models or change sequences, under whatever name."""
    for node in nodes:
        if type(node).__name__ in _REFUSED_FUNCTIONS:
            raise _refused(node, text)


def _refused(node: exp.Expr, text: str) -> QueryRejected:
    kind = type(node).__name__
    reason = _WHY.get(kind, f"This holds something that is not known to be harmless ({kind}).")
    return QueryRejected(reason, piece=written(node, text), hint=_HINT)


def _select(node: exp.Expr, _text: str) -> None:
    # ``EXISTS (SELECT FROM t)`` is sound in PostgreSQL.
    if not node.expressions and type(node.parent).__name__ != "Exists":
        raise QueryRejected.slip("This SELECT asks for nothing.", "SELECT", "Name the columns after SELECT.")


def _table_hint(node: exp.Expr, _text: str) -> None:
    for hint in node.expressions:
        if hint.name.upper() not in _TABLE_HINTS:
            raise QueryRejected("This table hint takes a lock.", piece=hint.name, hint="Leave the hint out.")


def _query_option(node: exp.Expr, text: str) -> None:
    if type(node.parent).__name__ == "ForClause":
        return
    words = node.name.upper().split()
    value = node.args.get("expression")
    # 0 takes the limit of 100 turns away.
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


# DuckDB gives the keys of its cloud storage as settings.
_SECRET_SETTING = re.compile(r"secret|passw|token|credential|private|_key|key_|jwt", re.IGNORECASE)
# ClickHouse's, which may follow each other.
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
        behind = lexed.raws_behind(call.start) if name in {"last_insert_id", "current_setting"} else ()
        if name == "last_insert_id" and behind[1:2] != (")",):
            raise _refused_call(call.path, "is not allowed with a value, which it would keep for the session")
        if name == "current_setting" and not _names_plain_setting(behind[1:3]):
            why = "is not allowed for a setting that may hold a secret, or one not named by a text"
            raise _refused_call(call.path, why)
        if call.in_from and known.tables is not None and name not in known.tables:
            raise _refused_call(call.path, "is not a function that may stand in FROM")


# Functions that call what they are given, by sqlglot's class names and by their own.
_CALLERS = names("Apply ArrayAll ArrayAny ArrayFilter MapFilter Reduce Transform")
_CALLERS_BY_NAME = re.compile(
    r"(?:list|array)_?(?:transform|apply|filter|reduce|sort|reverse_sort|aggregate|aggr)|aggregate|any_match|all_match"
    r"|none_match|exists|forall|transform_(?:keys|values)|map_(?:filter|zip_with|apply)|zip_with"
    r"|array(?:map|filter|fold|first|last|all|exists|count|sort|reversesort|fill|split|reduce|reduceinranges)(?:\w*)"
)
_NAMED_BY_TEXT = re.compile(r"(?:list|array)_(?:aggregate|aggr)|array_?reduce(?:inranges)?")
# A path in XML that calls nothing and names no document.
_PLAIN_PATH = re.compile(r"""[\w\s./@*\[\]='"-]*""")


def refuse_functions_by_name(nodes: Iterable[exp.Expr], text: str, dialect: str) -> None:
    """Refuse functions that are handed on by name and not known to be harmless: ``transform(a, reflect)``.

    Engines differ in which of these they take. An expression of XQuery is a call, too, where it is more than a path.
    """
    from sqlglot import exp

    known, record = functions(dialect), dialect_of(dialect)
    for node in nodes:
        if isinstance(node, exp.XMLTable):
            if not (isinstance(node.this, exp.Literal) and _PLAIN_PATH.fullmatch(node.this.name)):
                reason = "This expression of XQuery may read a document."
                raise QueryRejected(reason, piece=written(node, text), hint="Use a path without functions.")
            continue
        own = node.name.lower() if isinstance(node, exp.Anonymous) else ""
        if not (type(node).__name__ in _CALLERS or _CALLERS_BY_NAME.fullmatch(own)):
            continue
        for handed in _handed_to(node, bool(_NAMED_BY_TEXT.fullmatch(own))):
            if not _allowed((handed,), known, record):
                raise _refused_call((handed,), known.reason(handed.lower()))


def _handed_to(node: exp.Expr, names_by_text: bool) -> Iterator[str]:
    """Names among the arguments of a function, where one stands for a function."""
    from sqlglot import exp

    if isinstance(node, exp.Anonymous):
        # ClickHouse has the function first, all others the values.
        at = slice(0, 1) if re.match(r"array[a-z]", node.name.lower()) else slice(1, None)
        arguments = node.expressions[at] if len(node.expressions) > 1 else []
    else:
        arguments = [value for name, value in node.args.items() if name not in {"this", "initial"}]
    if any(isinstance(one, exp.Lambda) for one in arguments) and not isinstance(node, exp.Reduce):
        return  # the function is there, so names are values: ``zip_with(a, b, (x, y) -> x + y)``
    for one in arguments:
        is_name = isinstance(one, exp.Var) or (isinstance(one, exp.Column) and len(one.parts) == 1)
        if is_name or (names_by_text and isinstance(one, exp.Literal) and one.is_string):
            yield one.name


def _names_plain_setting(words: tuple[str, ...]) -> bool:
    """True for ``current_setting('TimeZone')``, False for ``current_setting('s3_secret_access_key')``."""
    return len(words) == 2 and words[0][:1] == "'" and words[1] in ")," and not _SECRET_SETTING.search(words[0])


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
    # Engines fold letters beyond A to Z differently, so such a name may reach another function than the list
    # means.
    if not name.isascii():
        return False
    if dialect.function_prefix and qualifiers[:1] == [dialect.function_prefix]:
        qualifiers = qualifiers[1:]
    # ClickHouse's ``sumMapIf`` is ``sum`` with combinators, which only say over what it goes.
    while dialect.combinators and not known.allows(name) and (ending := _COMBINATORS.search(name)):
        name = name[: ending.start()]
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


def _refused_call(path: tuple[str, ...], why: str) -> QueryRejected:
    name = ".".join(part for part in path if part)
    if not why:
        hint = "Use a built-in function, or name your own in the catalog's functions."
        return QueryRejected.slip(f"The function {name} is not known to be harmless.", name, hint)
    what = why if why.startswith("is ") else f"may not be called: it {why}"
    return QueryRejected(f"The function {name} {what}.", piece=name)


def refuse_unknown_tables(nodes: Iterable[exp.Expr], text: str, dialect: str, catalog: Catalog | None) -> None:
    """Refuse a query that reads anything but known tables."""
    from sqlglot import exp

    for node in nodes:
        kind = type(node).__name__
        if kind == "Table" and node.arg_key != "indexed":
            _table(node, text, dialect, catalog)
        elif kind == "CTE":
            _name_of_with(node, dialect)
        elif kind == "TableFromRows" and not isinstance(node.this, exp.Func):
            # Snowflake's TABLE(…) takes a function; of a text or a variable it would make a name.
            raise QueryRejected("This makes a table's name out of a text.", piece=written(node, text))
        elif kind == "In" and dialect_of(dialect).tables_after_in:
            _table_after_in(node, text, dialect, catalog)


def refuse_unknown_table(parts: tuple[str, ...], dialect: str, catalog: Catalog | None) -> None:
    """Refuse a table that is neither in the catalog nor a harmless system table; without a catalog plain names pass."""
    name = ".".join(parts)
    system = system_table(parts, dialect)
    table = catalog.find(parts, dialect) if catalog is not None else None
    # A table whose name would be a file must be spelled as the engine compares names.
    known = table is not None and (not is_file(parts, dialect) or ascii_lower(table.name) == ascii_lower(parts[-1]))
    if system == "secret" or (system == "reserved" and not known):
        reason = f"The system table {name} may hold secrets or other people's work."
        raise QueryRejected(reason, piece=name, hint="information_schema describes your tables.")
    if system == "readable" or known or is_series(parts, dialect):
        return
    if is_file(parts, dialect):
        raise QueryRejected(f"{name} would be read as a file.", piece=name, hint="Read it in Python or R first.")
    # Database, schema and name are three; what stands before them is a server.
    if len(parts) > 3 or (dialect_of(dialect).links == "@" and any("@" in part for part in parts)):
        raise QueryRejected(f"{name} is a table of another server.", piece=name)
    if catalog is not None:
        if whole := catalog.parts.get(name):
            raise QueryRejected.slip(f"{name} is a part of {whole}.", name, f"Read {whole}, with a condition.")
        raise QueryRejected.slip(f"There is no table {name} here.", name, "%rsql catalog lists the tables.")


def _table(node: exp.Expr, text: str, dialect: str, catalog: Catalog | None) -> None:
    from sqlglot import exp

    inner = node.this
    # The function was judged by its name.
    if isinstance(inner, exp.Func) and not isinstance(inner, exp.DynamicIdentifier):
        return  # nodes.py knows it by name
    # ROWS FROM (f(), g()) holds calls, which were judged by name; VALUES holds what is written.
    if isinstance(inner, exp.Values) or (inner is None and node.args.get("rows_from")):
        return
    parts = table_parts(node)
    if dialect_of(dialect).links == "four parts" and isinstance(inner, exp.Dot):
        raise QueryRejected("A name of four parts is a table of another server.", piece=written(node, text))
    if not parts:
        raise QueryRejected("This reads something that is not a table.", piece=written(node, text))
    if len(parts) == 1 and in_scope(node, parts[0], inner.args.get("quoted", False), dialect):
        return
    refuse_unknown_table(parts, dialect, catalog)


def _name_of_with(cte: exp.Expr, dialect: str) -> None:
    """Refuse a WITH whose name means something where its scope ends: a file, or a system table with secrets."""
    # Engines draw that scope differently, and a name that falls out of it is looked for elsewhere.
    name = cte.alias
    if is_file((name,), dialect) or system_table((name,), dialect) == "secret":
        reason = f"A WITH may not be named {name}, which means something else outside of it."
        raise QueryRejected.slip(reason, name, "Give it a plain name.")


def _table_after_in(node: exp.Expr, text: str, dialect: str, catalog: Catalog | None) -> None:
    """SQLite reads the table t in ``x IN t``."""
    from sqlglot import exp

    field = node.args.get("field")
    if isinstance(field, exp.Column):
        parts = tuple(part.name for part in field.parts)
        if not (len(parts) == 1 and in_scope(node, parts[0], field.this.args.get("quoted", False), dialect)):
            refuse_unknown_table(parts, dialect, catalog)
    elif field is not None and not isinstance(field, (exp.Func, exp.Placeholder, exp.Parameter)):
        raise QueryRejected("This reads something that is not a table.", piece=written(node, text))


def table_parts(node: exp.Expr) -> tuple[str, ...]:
    """Database, schema and name of a table node, or () when it is not a plain name."""
    from sqlglot import exp

    parts: list[str] = []
    for part in (node.args.get("catalog"), node.args.get("db"), node.this):
        if part is None:
            continue
        if isinstance(part, exp.Dot):
            parts += [p.name for p in part.flatten() if isinstance(p, exp.Identifier)]
        elif isinstance(part, exp.Identifier):
            parts.append(part.name)
        elif part:
            return ()
    return tuple(parts)


def in_scope(node: exp.Expr, name: str, quoted: bool, dialect: str) -> bool:
    """True when a WITH around the node defines the name where the node surely sees it.

    A WITH is seen by the query that carries it, by the definitions that follow, and by itself where it recurses: in
    the parts of a UNION that follow the first. Where engines differ, the narrowest of them is followed: a name that
    is taken for a table must be one.
    """
    wanted = _folded(name, quoted, dialect)
    inside: exp.Expr = node
    around = node.parent
    while around is not None:
        with_ = around.args.get("with_")
        if with_ is not None and wanted in _visible(with_, inside is with_, node, dialect):
            return True
        inside, around = around, around.parent
    return False


def _visible(with_: exp.Expr, within: bool, node: exp.Expr, dialect: str) -> list[str]:
    """The names of a WITH that a node sees: all from outside it, the earlier ones and its own from within."""
    # ClickHouse's ``WITH 5 AS users`` names a value: a table of that name is still the stored one.
    aliases = [None if cte.args.get("scalar") else cte.args["alias"].this for cte in with_.expressions]
    names = [_folded(a.name, a.args.get("quoted", False), dialect) if a is not None else "" for a in aliases]
    if not within:
        return names
    position = next(i for i, cte in enumerate(with_.expressions) if is_within(node, cte))
    recursive = bool(with_.args.get("recursive"))
    record = dialect_of(dialect)
    looks_ahead = record.sees_ahead == "always" or (recursive and record.sees_ahead == "recursive")
    ahead = names[position + 1 :] if looks_ahead else []
    own = recursive or record.implicit_recursion
    itself = names[position : position + 1] if own and _recurses(node, with_.expressions[position], dialect) else []
    return names[:position] + itself + ahead


def _recurses(node: exp.Expr, cte: exp.Expr, dialect: str) -> bool:
    """True when a node stands where a WITH may read itself: behind the last UNION, or behind any."""
    from sqlglot import exp

    union = cte.this.unnest()
    while isinstance(union, exp.SetOperation):
        if is_within(node, union.expression):
            return True
        union = union.this if dialect_of(dialect).recurses_often else None
    return False


def _folded(name: str, quoted: bool, dialect: str) -> str:
    """A name as the engine compares it, so that "PG_SHADOW" does not stand for pg_shadow."""
    record = dialect_of(dialect)
    if quoted and record.folds:
        return name
    if record.folds_ascii:
        return name.translate(ASCII_LOWER)
    return name.upper() if record.folds == "upper" else name.casefold()
