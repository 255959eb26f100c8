"""The tables a query reads: the catalog's, those that a WITH in scope defines, and harmless system tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rsql_magic.errors import QueryRejected
from rsql_magic.sql.dialects.reading import is_within, written
from rsql_magic.sql.dialects.records import ASCII_LOWER, ascii_lower, dialect_of
from rsql_magic.sql.dialects.tables import is_file, system_table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlglot import exp

    from rsql_magic.sql.catalog import Catalog


def refuse_unknown_tables(nodes: Iterable[exp.Expr], text: str, dialect: str, catalog: Catalog | None) -> None:
    """Refuse a query that reads anything but known tables."""
    for node in nodes:
        kind = type(node).__name__
        if kind == "Table" and node.arg_key != "indexed":
            _table(node, text, dialect, catalog)
        elif kind == "CTE":
            _name_of_with(node, dialect)
        elif kind == "TableFromRows":
            _rows(node, text)
        elif kind == "In" and dialect_of(dialect).tables_after_in:
            _table_after_in(node, text, dialect, catalog)


def refuse_unknown_table(parts: tuple[str, ...], dialect: str, catalog: Catalog | None) -> None:
    """Refuse a table that is neither in the catalog nor a harmless system table; without a catalog plain names pass."""
    name = ".".join(parts)
    system = system_table(parts, dialect)
    known = _is_known(parts, dialect, catalog)
    if system == "secret" or (system == "reserved" and not known):
        raise QueryRejected(
            f"The system table {name} may hold secrets or other people's work.",
            piece=name,
            hint="information_schema describes your tables.",
        )
    if system == "readable" or known:
        return
    if is_file(parts, dialect):
        raise QueryRejected(f"{name} would be read as a file.", piece=name, hint="Read it in Python or R first.")
    # Database, schema and name are three; what stands before them is a server.
    if len(parts) > 3 or (dialect_of(dialect).links == "@" and any("@" in part for part in parts)):
        raise QueryRejected(f"{name} is a table of another server.", piece=name)
    if catalog is not None:
        raise QueryRejected(
            f"There is no table {name} here.", piece=name, hint="%rsql catalog lists the tables.", repairable=True
        )


def _is_known(parts: tuple[str, ...], dialect: str, catalog: Catalog | None) -> bool:
    """Whether the catalog has a table; one whose name would be a file must be spelled as the engine compares names."""
    table = catalog.find(parts, dialect) if catalog is not None else None
    if table is None or not is_file(parts, dialect):
        return table is not None
    return ascii_lower(table.name) == ascii_lower(parts[-1])


def _table(node: exp.Expr, text: str, dialect: str, catalog: Catalog | None) -> None:
    from sqlglot import exp

    inner = node.this
    if isinstance(inner, exp.Func) and not isinstance(inner, exp.DynamicIdentifier):
        return  # nodes.py knows it by name
    if inner is None and node.args.get("rows_from"):
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
        raise QueryRejected(
            f"A WITH may not be named {name}, which means something else outside of it.",
            piece=name,
            hint="Give it a plain name.",
            repairable=True,
        )


def _rows(node: exp.Expr, text: str) -> None:
    """Snowflake's TABLE(…) takes a function; of a text or a variable it would make a name."""
    from sqlglot import exp

    if not isinstance(node.this, exp.Func):
        raise QueryRejected("This makes a table's name out of a text.", piece=written(node, text))


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
            found = [p.name for p in part.flatten() if isinstance(p, exp.Identifier)]
            parts += found
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
    names = [_cte_name(cte, dialect) for cte in with_.expressions]
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


def _cte_name(cte: exp.Expr, dialect: str) -> str:
    alias = cte.args["alias"].this
    return _folded(alias.name, alias.args.get("quoted", False), dialect)


def _folded(name: str, quoted: bool, dialect: str) -> str:
    """A name as the engine compares it, so that "PG_SHADOW" does not stand for pg_shadow."""
    record = dialect_of(dialect)
    if quoted and record.folds:
        return name
    if record.folds_ascii:
        return name.translate(ASCII_LOWER)
    return name.upper() if record.folds == "upper" else name.casefold()
