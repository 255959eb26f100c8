"""The rules of `lineage` for columns, expressions and conditions, and the values that it speaks of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from sqlglot import exp

from rsql_magic.sql.dialects.records import dialect_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from rsql_magic.sql.catalog import Catalog

Origin = tuple[str, str]  # a table's full name, and one of its columns
Origins = frozenset[Origin]
NOTHING: Origins = frozenset()
# Stands for the number of a row, by which single rows are told apart.
ROW_NUMBER: Origin = ("", "row")

_COUNTS = (exp.Count, exp.CountIf, exp.ApproxDistinct)
_FIGURES = (exp.Sum, exp.Avg, exp.Median, exp.Stddev, exp.StddevPop, exp.StddevSamp, exp.Variance, exp.VariancePop)
_ADDED_UP = (exp.Sum, exp.Avg)
_COMPARED = (exp.Predicate, exp.Between, exp.In)
_LOGIC = (exp.And, exp.Or, exp.Not, exp.Paren)
_EQUAL = (exp.EQ, exp.NEQ, exp.NullSafeEQ, exp.NullSafeNEQ)
UNNAMED = frozenset({"Columns", "Pivot", "PositionalColumn", "Summarize"})
ORDERS = ("order", "sort", "cluster", "distribute")
CONDITIONS = ("prewhere", "where", "connect")
KNOWN = frozenset(
    {
        *ORDERS, *CONDITIONS, "with_", "kind", "expressions", "hint", "distinct", "from_", "operation_modifiers",
        "laterals", "joins", "group", "having", "qualify", "windows", "limit", "offset", "locks", "sample", "this",
        "expression", "by_name", "side", "on", "alias", "settings", "format",
    }
)  # fmt: skip


class Unfollowed(Exception):
    """A query that is too deep or too strange to be followed."""


@dataclass(frozen=True)
class Output:
    """A column that a query gives."""

    name: str  # as compared: in small letters
    held: Origins = NOTHING  # the restricted columns that its values tell of
    bases: Origins = NOTHING  # all columns of tables that it is made of
    pure: Origin | None = None  # the one column that it is, unchanged


@dataclass(frozen=True)
class Followed:
    """What stands in FROM, or comes out of a query."""

    key: str = ""  # its name as compared
    outputs: tuple[Output, ...] = ()
    others: Origins | None = None  # what columns hold that are not known by name; None where there are none
    rows: Origins = NOTHING  # the restricted columns that choose its rows
    narrow: bool = False  # whether its rows may be single ones
    ordered: bool = True  # whether the outputs stand in their order

    @property
    def held(self) -> Origins:
        """All restricted columns that any of its columns tells of."""
        return (self.others or NOTHING).union(*(one.held for one in self.outputs))

    @property
    def bases(self) -> Origins:
        """All columns that any of its columns is made of."""
        return NOTHING.union(*(one.bases for one in self.outputs))

    def named(self, key: str, columns: list[str]) -> Followed:
        """The source under an alias, with the column names that it gives in order."""
        if not columns:
            return replace(self, key=key or self.key)
        if self.ordered and self.others is None and len(columns) <= len(self.outputs):
            given = [replace(one, name=name) for name, one in zip(columns, self.outputs, strict=False)]
            return replace(self, key=key, outputs=(*given, *self.outputs[len(columns) :]))
        given = [Output(name, self.held, self.bases | {ROW_NUMBER}) for name in columns]
        return replace(self, key=key, outputs=tuple(given), others=self.held, ordered=False)


class LineageScope(NamedTuple):
    """What the parts of one SELECT see."""

    sources: list[Followed]
    outer: tuple[LineageScope, ...] = ()
    aliases: Mapping[str, exp.Expr] = {}
    windows: Mapping[str, exp.Expr] = {}
    ctes: Mapping[str, Followed] = {}
    chosen: Origins = NOTHING  # the restricted columns that choose the rows of its groups
    unsafe: bool = False  # whether its groups may be single rows
    grouped: bool = False

    @property
    def levels(self) -> tuple[LineageScope, ...]:
        """The scope and those around it, from the inside out."""
        return (self, *self.outer)


def key_of(name: str) -> str:
    """A name as it is compared."""
    return name.casefold()


def parts_of(node: exp.Expr, kinds: type | tuple[type, ...]) -> Iterator[exp.Expr]:
    """Nodes of some kinds in an expression, without those of queries in it."""
    stack = [node]
    while stack:
        at = stack.pop()
        if isinstance(at, kinds):
            yield at
        if not isinstance(at, exp.Query) or at is node:
            stack.extend(at.iter_expressions())


def aggregates(node: exp.Expr) -> bool:
    """Whether an expression aggregates rows, other than in a window."""
    found = parts_of(node, exp.AggFunc)
    return any(not isinstance(_around_filter(one).parent, exp.Window) for one in found)


def _around_filter(node: exp.Expr) -> exp.Expr:
    while isinstance(node.parent, (exp.Filter, exp.WithinGroup, exp.IgnoreNulls, exp.RespectNulls)):
        node = node.parent
    return node


def _is_share(node: exp.Expr | None) -> bool:
    """Whether what is added up is 1 or 0 by a condition: that counts."""
    while isinstance(node, (exp.Cast, exp.TryCast, exp.Paren)):
        node = node.this
    if isinstance(node, exp.Case):
        branches = [*(one.args["true"] for one in node.args["ifs"]), node.args.get("default")]
    elif isinstance(node, exp.If):
        branches = [node.args.get("true"), node.args.get("false")]
    else:
        return isinstance(node, exp.Predicate) and not isinstance(node, exp.SubqueryPredicate)
    return all(
        one is None
        or isinstance(one, exp.Null)
        or (isinstance(one, exp.Literal) and one.name in {"0", "1", "0.0", "1.0"})
        for one in branches
    )


class Expressions:
    """The rules for what stands within one SELECT; `Lineage` adds those for queries."""

    def __init__(
        self,
        catalog: Catalog,
        dialect: str,
        is_free: Callable[[exp.Expr], bool] = lambda _: False,
        said: str = "",
    ) -> None:
        self._catalog, self._dialect, self._is_free, self._said = catalog, dialect_of(dialect), is_free, said.casefold()
        self._all = catalog.kept("_restricted_origins", restricted_origins)
        self._keys = catalog.kept("_keys_of_rows", _keys_of_rows)
        self._functions = {name.rpartition(".")[2].casefold() for name in catalog.functions}
        # What a query gave before where it stands, with what was in sight then: several rules ask for it.
        self._asked: dict[tuple[object, ...], tuple[Followed, object]] = {}

    def query(self, node: exp.Expr | None, outer: tuple[LineageScope, ...], ctes: Mapping[str, Followed]) -> Followed:
        """What a query gives."""
        raise NotImplementedError

    def table(self, node: exp.Table, scope: LineageScope) -> Followed:
        """What a table gives."""
        raise NotImplementedError

    @staticmethod
    def _together(sources: list[Followed]) -> Followed:
        """Sources as one, as ``SELECT *`` shows them."""
        others = [one.others for one in sources if one.others is not None]
        return Followed(
            "",
            tuple(output for one in sources for output in one.outputs),
            NOTHING.union(*others) if others else None,
            NOTHING.union(*(one.rows for one in sources)),
            any(one.narrow for one in sources),
            ordered=not others and all(one.ordered for one in sources),
        )

    def _iskey_of(self, bases: Origins) -> bool:
        if ROW_NUMBER in bases:
            return True
        tables = {table for table, _ in bases}
        return any(key <= bases for table in tables for key in self._keys.get(table, ()))

    # Columns

    def _found(self, node: exp.Column, scope: LineageScope) -> list[Output] | None:
        """The columns that a name may stand for; None where it may be anything that is in sight."""
        name, table = key_of(node.name), key_of(node.table)
        rest: list[Output] = []
        for level in scope.levels:
            sources = [one for one in level.sources if table in {"", one.key}]
            having = [output for one in sources for output in one.outputs if output.name == name]
            rest += [Output(name, one.others, frozenset({ROW_NUMBER})) for one in sources if one.others is not None]
            if having:
                return [*having, *rest]
            if (
                table and sources
            ):  # a column that is not known, such as one of the engine's own, or a function of the row
                hidden = name in self._dialect.hidden_columns and all(one.others is None for one in sources)
                held = NOTHING if hidden else NOTHING.union(*(one.held for one in sources))
                return [Output(name, held, frozenset({ROW_NUMBER}))]
        if table:  # a field of a column, or of a row
            first = node.parts[0]
            return self._found(exp.column(first.copy()), scope) if len(node.parts) <= 2 else None
        rows = [one for level in scope.levels for one in level.sources if one.key == name]
        rest += [Output(name, one.held, one.bases | {ROW_NUMBER}) for one in rows]
        if name in self._dialect.hidden_columns:
            rest.append(Output(name, NOTHING, frozenset({ROW_NUMBER})))
        return rest

    def _named(self, node: exp.Column, scope: LineageScope) -> Origins:
        """What a column tells of; a name that AS gives tells of what it names as well."""
        found = self._found(node, scope)
        if found is None:
            return NOTHING.union(*(one.held for level in scope.levels for one in level.sources))
        held = NOTHING.union(*(one.held for one in found))
        for level in scope.levels:
            definition = level.aliases.get(key_of(node.name)) if not node.table else None
            if definition is not None and not any(part is node for part in definition.walk()):
                held |= self._value(
                    definition, level._replace(aliases={k: v for k, v in level.aliases.items() if v is not definition})
                )
        return held

    def _pure(self, node: exp.Expr | None, scope: LineageScope) -> Origin | None:
        """The one column of a table that an expression is."""
        while isinstance(node, exp.Paren):
            node = node.this
        if not isinstance(node, exp.Column) or isinstance(node.this, exp.Star):
            return None
        if not node.table and any(key_of(node.name) in level.aliases for level in scope.levels):
            definitions = [level.aliases.get(key_of(node.name)) for level in scope.levels]
            if not any(definition is node for definition in definitions):
                return None
        found = self._found(node, scope) or []
        pure = {one.pure for one in found}
        return pure.pop() if len(pure) == 1 else None

    def _bases(self, node: exp.Expr, scope: LineageScope, *, local: bool = False) -> Origins:
        """All columns of tables that an expression is made of."""
        scope = scope._replace(outer=()) if local else scope
        found = NOTHING
        for part in node.walk():
            if isinstance(part, exp.Column):
                if isinstance(part.this, exp.Star):
                    found |= self._together(scope.sources).bases
                else:
                    found |= NOTHING.union(*(one.bases for one in self._found(part, scope) or ()))
                    definition = scope.aliases.get(key_of(part.name)) if not part.table else None
                    if (
                        definition is not None
                        and definition is not node
                        and not any(one is part for one in definition.walk())
                    ):
                        found |= self._bases(definition, scope._replace(aliases={}))
            elif isinstance(part, exp.Window):
                found |= {ROW_NUMBER}
        return found

    # Expressions

    def _value(self, node: exp.Expr, scope: LineageScope) -> Origins:
        """The restricted columns that the values of an expression tell of."""
        found, stack = NOTHING, [node]
        while stack:
            at = stack.pop()
            if (held := self._whole(at, scope)) is not None:
                found |= held
            else:
                stack += list(at.iter_expressions())
        return found

    def _whole(self, node: exp.Expr, scope: LineageScope) -> Origins | None:  # noqa: PLR0911 - kinds of nodes
        """What a node tells of that is more than its parts; None where it is what they are."""
        if isinstance(node, exp.Window):
            return self._window(node, scope)
        if isinstance(node, (exp.AggFunc, exp.Filter, exp.WithinGroup)):
            return self._aggregate(node, scope)
        if isinstance(node, (exp.Column, exp.Star)) or type(node).__name__ in UNNAMED:
            if isinstance(node, exp.Column) and not isinstance(node.this, exp.Star):
                return self._named(node, scope)
            return self._together([one for level in scope.levels for one in level.sources]).held
        if isinstance(node, (exp.Query, exp.Table, exp.Exists)):
            return self._rows_as_value(node, scope)
        if isinstance(node, exp.In) and isinstance(field := node.args.get("field"), exp.Column):
            named = self.table(exp.Table(this=field.this), scope)
            return self._value(node.this, scope) | self._value(field, scope) | named.held | named.rows
        if isinstance(node, exp.Is) and isinstance(node.expression, exp.Null) and self._pure(node.this, scope):
            return NOTHING
        is_open = isinstance(node, (exp.Parameter, exp.SessionParameter))
        return self._all if is_open or (isinstance(node, exp.Func) and self._is_users(node)) else None

    def _rows_as_value(self, node: exp.Expr, scope: LineageScope) -> Origins:
        if isinstance(node, exp.Exists):
            inner = self.query(node.this, scope.levels, scope.ctes)
            return inner.rows if isinstance(node.this, exp.Query) else self._all
        found = self.table(node, scope) if isinstance(node, exp.Table) else self.query(node, scope.levels, scope.ctes)
        return found.held | found.rows

    def _is_users(self, node: exp.Func) -> bool:
        """Whether a function is one that a user of the database wrote, which may read anything."""
        name = node.name if isinstance(node, exp.Anonymous) else node.sql_name()
        return bool(self._functions) and key_of(name) in self._functions

    def _aggregate(self, node: exp.Expr, scope: LineageScope) -> Origins:
        if self._is_free(node) and not scope.unsafe:
            return NOTHING
        inner: exp.Expr = node
        while isinstance(inner, (exp.Filter, exp.WithinGroup)):
            inner = inner.this
        parts = [part for one in (node, inner) for part in one.iter_expressions() if part is not inner]
        if isinstance(inner, (exp.Count, exp.AggFunc)):
            parts = [part for part in parts if not (isinstance(part, exp.Star) and isinstance(inner, exp.Count))]
            if isinstance(inner, exp.Count):
                parts = [p for p in parts if not (isinstance(p, exp.Column) and isinstance(p.this, exp.Star))]
        held = NOTHING.union(*(self._value(part, scope) for part in parts))
        if isinstance(inner, _COUNTS) or (isinstance(inner, _ADDED_UP) and _is_share(inner.this)):
            told = NOTHING
        elif isinstance(inner, _FIGURES) and isinstance(inner.this, exp.Column):  # of a column as it stands, but no key
            told = self._value(inner.this, scope)
            told |= held | scope.chosen if self._iskey_of(self._bases(inner.this, scope)) else NOTHING
        else:
            return held | scope.chosen
        single = scope.unsafe or (bool(held) and any(self._tells_rows_apart(part, scope) for part in parts))
        return held | scope.chosen if single else told

    def _window(self, node: exp.Window, scope: LineageScope) -> Origins:
        """What a window tells of each row: its partitions, its order, and what it computes."""
        parts = list(node.args.get("partition_by") or ())
        rest = [node.args.get("order"), node.args.get("spec")]
        named = node.args.get("alias")
        if named is not None and (window := scope.windows.get(key_of(named.name))) is not None:
            parts += window.args.get("partition_by") or ()
            rest += [window.args.get("order"), window.args.get("spec")]
            if window.args.get("alias") is not None and key_of(window.args["alias"].name) in scope.windows:
                rest.append(window.args["alias"])
                parts += [p for w in scope.windows.values() for p in w.args.get("partition_by") or ()]
                rest += [w.args.get("order") for w in scope.windows.values()]
        ordered = [part for part in rest if part is not None]
        found = NOTHING.union(*(self._value(part, scope) for part in ordered))
        found |= NOTHING.union(*(self._value(part, scope) for part in parts if self._pure(part, scope) is None))
        bases = NOTHING.union(*(self._bases(part, scope) for part in parts))
        single = bool(ordered) or self._iskey_of(bases)
        return found | self._aggregate_or_value(node.this, scope._replace(unsafe=scope.unsafe or single))

    def _aggregate_or_value(self, node: exp.Expr, scope: LineageScope) -> Origins:
        while isinstance(node, (exp.IgnoreNulls, exp.RespectNulls)):
            node = node.this
        return self._value(node, scope)

    # Conditions

    def _condition(self, node: exp.Expr, scope: LineageScope) -> Origins:
        """The restricted columns that a condition tells of, which chooses rows."""
        if isinstance(node, _LOGIC):
            return NOTHING.union(*(self._condition(part, scope) for part in node.iter_expressions()))
        if isinstance(node, exp.Exists):
            return self._value(node, scope)
        sides = [node.this, node.args.get("expression")]
        if isinstance(node, _EQUAL) and all(self._is_restricted(side, scope) for side in sides):
            return NOTHING
        if isinstance(node, exp.In) and isinstance(query := node.args.get("query"), exp.Query):
            inner = self.query(query, scope.levels, scope.ctes)
            if self._is_restricted(node.this, scope) and all(one.pure and one.held for one in inner.outputs):
                return inner.rows
        if self._is_said(node, scope):
            return NOTHING
        return self._value(node, scope)

    def _is_restricted(self, node: exp.Expr | None, scope: LineageScope) -> bool:
        return (pure := self._pure(node, scope)) is not None and pure in self._all

    def _is_said(self, node: exp.Expr, scope: LineageScope) -> bool:
        """Whether a column is compared with texts that the person said: it is her own choice of rows."""
        if isinstance(node, exp.EQ):
            texts = [node.expression]
        elif isinstance(node, exp.In) and {k for k, v in node.args.items() if v} <= {"this", "expressions"}:
            texts = node.expressions
        else:
            return False
        if self._pure(node.this, scope) is None:
            return False
        return bool(texts) and all(
            isinstance(one, exp.Literal) and len(one.name) > 1 and one.name.casefold() in self._said for one in texts
        )

    def _tells_rows_apart(self, node: exp.Expr, scope: LineageScope) -> bool:
        """Whether conditions may choose single rows: some compare a key with something else than a joined column."""
        bases = NOTHING
        for part in parts_of(node, _COMPARED):
            sides = (part.this, part.args.get("expression"))
            if isinstance(part, exp.EQ) and all(self._is_local(side, scope) for side in sides):
                continue
            for one in parts_of(part, exp.Column):
                bases |= self._bases(one, scope, local=True)
        return self._iskey_of(bases)

    @staticmethod
    def _is_local(node: exp.Expr | None, scope: LineageScope) -> bool:
        if not isinstance(node, exp.Column):
            return False
        sources = [one for one in scope.sources if key_of(node.table) in {"", one.key}]
        return any(output.name == key_of(node.name) for one in sources for output in one.outputs)


def restricted_origins(catalog: Catalog) -> Origins:
    """The restricted columns of a catalog, each with its table."""
    return frozenset(
        (table.full_name, column.name)
        for table in catalog
        for column in table.columns
        if column.meaning is not None and column.meaning.restricted
    )


def _keys_of_rows(catalog: Catalog) -> Mapping[str, list[Origins]]:
    """The columns that tell the rows of a table apart: its key, one called id, and those with hardly a value twice."""
    found: dict[str, list[Origins]] = {}
    for table in catalog:
        keys = (
            [table.primary_key] if table.primary_key else [(c.name,) for c in table.columns if key_of(c.name) == "id"]
        )
        for column in table.columns:
            distinct = column.profile.distinct if column.profile else None
            if distinct is not None and table.rows and distinct >= 0.9 * table.rows:
                keys.append((column.name,))
        found[table.full_name] = [frozenset((table.full_name, name) for name in key) for key in keys]
    return found
