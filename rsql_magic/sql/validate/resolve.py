"""What every table and column name of a query stands for; one that stands for nothing is a `Missing` for `hints`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlglot import exp

from rsql_magic.sql.dialects.reading import is_within
from rsql_magic.sql.dialects.records import ASCII_LOWER, WORDS, dialect_of, is_series, names, system_table
from rsql_magic.sql.validate import Missing, Relation, Resolution, Scope

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rsql_magic.sql.catalog import Catalog, Table
    from rsql_magic.sql.dialects.records import SQLDialect


class Columns(NamedTuple):
    """The columns a query gives: name as compared → as written; open when there may be others."""

    names: Mapping[str, str]
    open: bool = False


OPEN = Columns({}, open=True)
# What ClickHouse's ``WITH 5 AS most`` defines: a value, which stands where a column does.
VALUE = Columns({"": ""}, open=True)
Ctes = dict[str, Columns]
Outer = tuple[Scope, ...]


def may_be_a_text(node: exp.Column) -> bool:
    """Whether a text would make sense where a name in double quotes stands: SQLite takes it for a text if need be."""
    # A query does not show, group by, sort by or sum up one text, and compares it with something else than a text.
    if isinstance(parent := node.parent, exp.Alias):
        parent = parent.parent
    if isinstance(parent, (exp.Select, exp.Ordered, exp.Group, exp.AggFunc)):
        return False
    return not (isinstance(parent, exp.Predicate) and isinstance(parent.args.get("expression"), exp.Literal))


def sides(node: exp.SetOperation) -> list[exp.Expr]:
    """The queries of a chain of UNION, which is deep to the left."""
    sides: list[exp.Expr] = []
    at: exp.Expr = node
    while isinstance(at, exp.SetOperation) and (at is node or not (at.args.get("with_") or at.args.get("order"))):
        sides.append(at.expression)
        at = at.this
    return [at, *reversed(sides)]


def identifier(node: exp.Expr) -> exp.Expr:
    """The identifier of a column or of a column's definition."""
    return node.this if isinstance(node, (exp.Column, exp.ColumnDef)) else node


# The parts of a SELECT in the order in which their names are looked up.
_CLAUSES = tuple(
    """
    expressions where prewhere connect group having qualify windows distinct order sort cluster distribute limit offset
    """.split()  # noqa: SIM905 - words read better as text
)


class _Place(NamedTuple):
    """Where a column stands; ``bound`` are the names that lambdas and comprehensions around it define."""

    scope: Scope
    ctes: Ctes
    clause: str
    bound: frozenset[str]


def resolve(tree: exp.Expr, text: str, dialect: str, catalog: Catalog) -> Resolution:
    """Find what every table and column name of a query stands for; ``text`` is what ``tree`` was parsed from."""
    walk = _Walk(text, dialect, catalog)
    walk.query(tree, (), Ctes())
    return walk.result


# Functions of SQL Server that take the names of a table and its columns.
_SEARCH_TABLES = names("CONTAINSTABLE FREETEXTTABLE")
_KEYWORDS = WORDS["called without brackets"]
_UNITS = WORDS["units of time"]


class _Names:
    """How the names of queries to one catalog are compared; kept with it."""

    def __init__(self, dialect: SQLDialect, catalog: Catalog) -> None:
        self.dialect = dialect
        # Case is minded where the catalog's names are surely spelled as PostgreSQL stores them. A catalog read from a
        # server knows its default schema; one made by hand may only have kept its author's capitals.
        written = (name for table in catalog for name in (table.name, *(column.name for column in table.columns)))
        minds_case = dialect.minds_case and catalog.dialect in {"", dialect.name}
        self.strict = minds_case and (bool(catalog.schema) or all(name == name.lower() for name in written))
        self._stored: dict[int, dict[str, str]] = {}

    def key(self, name: str, quoted: bool = False) -> str:
        """A name as it is compared. PostgreSQL folds bare names only; elsewhere case is let pass."""
        # SQLite and DuckDB fold A to Z and nothing else: to SQLite "ünit" beside a column "Ünit" is a string.
        if self.strict:
            return name if quoted else name.lower()
        return name.translate(ASCII_LOWER) if self.dialect.folds_ascii and not self.dialect.folds else name.casefold()

    def id(self, node: exp.Expr) -> str:
        """An identifier as it is compared."""
        return self.key(node.name, bool(node.args.get("quoted")))

    def output_id(self, projection: exp.Expr) -> str:
        """The name of a projection as it is compared."""
        name = projection.args.get("alias") if isinstance(projection, exp.Alias) else projection.this
        quoted = isinstance(name, exp.Identifier) and bool(name.args.get("quoted"))
        return self.key(projection.alias_or_name, quoted)

    def stored(self, table: Table) -> dict[str, str]:
        """A table's columns: name as compared → as stored."""
        if id(table) not in self._stored:
            self._stored[id(table)] = {self.key(c.name, quoted=True): c.name for c in table.columns}
        return self._stored[id(table)]


class _Walk:
    """One walk over one query: its scopes, and what stands in them."""

    def __init__(self, text: str, dialect: str, catalog: Catalog) -> None:
        self.catalog = catalog
        self.result = Resolution()
        self.names = catalog.kept(f"_names_{dialect}", lambda catalog: _Names(dialect_of(dialect), catalog))
        self.dialect = self.names.dialect
        self.columns = _Columns(self.names, text, catalog, self.result)

    def query(self, node: exp.Expr, outer: Outer, ctes: Ctes) -> Columns:
        """Walk a query and give its columns."""
        ctes = self.with_(node, outer, ctes)
        if isinstance(node, exp.Select):
            return self.select(node, outer, ctes)
        if isinstance(node, exp.SetOperation):
            return self.set_operation(node, outer, ctes)
        if isinstance(node, exp.Subquery):
            return self.parenthesis(node, outer, ctes)
        scope = Scope(outer=outer)
        if isinstance(node, exp.Pivot):
            self.relation(node.this, scope, ctes)
        else:
            self.walk(node.expressions, scope, ctes)
        return OPEN

    def with_(self, node: exp.Expr, outer: Outer, ctes: Ctes) -> Ctes:
        """Walk the definitions of a WITH; each sees the earlier ones, and itself where it may be recursive."""
        if (with_ := node.args.get("with_")) is None:
            return ctes
        seen = dict(ctes)
        # Names ahead are open until they are walked, so none of their columns is missing.
        if self.dialect.sees_ahead == "always" or with_.args.get("recursive"):
            seen |= {self.names.id(cte.args["alias"].this): OPEN for cte in with_.expressions}
        for cte in with_.expressions:
            alias = cte.args["alias"]
            name = self.names.id(alias.this)
            if cte.args.get("scalar"):  # of columns it takes those of the query that uses it
                if isinstance(cte.this, exp.Query):
                    self.query(cte.this, outer, seen)
                seen[name] = VALUE
                continue
            named = Columns({self.names.id(c): c.name for c in alias.args.get("columns") or ()})
            sees_itself = name in seen or self.dialect.implicit_recursion
            inside = seen | {name: named if named.names else OPEN} if sees_itself else seen
            found = self.query(cte.this, outer, inside)
            seen[name] = named if named.names else found
            if with_.args.get("search"):  # CYCLE and SEARCH add columns that say what they found
                seen[name] = seen[name]._replace(open=True)
        return seen

    def set_operation(self, node: exp.SetOperation, outer: Outer, ctes: Ctes) -> Columns:
        """Walk all sides; ORDER BY sees the columns that come out."""
        # The first side names the columns; ORDER BY may use any side's in some engines.
        columns = [self.query(side, outer, ctes) for side in sides(node)]
        merged = {k: v for c in columns for k, v in c.names.items()}
        self._around(node, Columns(merged, any(c.open for c in columns)), outer, ctes)
        return columns[0]

    def parenthesis(self, node: exp.Subquery, outer: Outer, ctes: Ctes) -> Columns:
        """A query in brackets, or tables in brackets."""
        if isinstance(node.this, exp.Table):
            scope = Scope(outer=outer)
            self.relation(node.this, scope, ctes)
            self.joins(node, scope, ctes)
            names = {key: name for relation in scope.relations for key, name in relation.columns.items()}
            return Columns(names, any(relation.open for relation in scope.relations))
        columns = self.query(node.this, outer, ctes)
        self._around(node, columns, outer, ctes)
        return columns

    def _around(self, node: exp.Expr, columns: Columns, outer: Outer, ctes: Ctes) -> None:
        """ORDER BY and LIMIT behind a UNION or a bracket."""
        scope = Scope([Relation("", "", columns.names, columns.open)], outer)
        self.walk([node.args.get("order"), node.args.get("limit"), node.args.get("offset")], scope, ctes)

    def select(self, node: exp.Select, outer: Outer, ctes: Ctes) -> Columns:
        """Walk one SELECT: its tables first, then every clause with the names it may use."""
        scope = Scope(outer=outer)
        self.sources(node, scope, ctes)
        scope.aliases = {self.names.output_id(p): p for p in node.expressions if isinstance(p, exp.Alias)}
        self.result.selects.append((node, scope))
        if node.args.get("match"):  # MATCH_RECOGNIZE: its measures and patterns make names that are not followed
            scope.relations = [Relation("", "", {}, open=True)]
            return OPEN
        for clause in _CLAUSES:
            if value := node.args.get(clause):
                self.walk(value if isinstance(value, list) else [value], scope, ctes, clause)
        return self.outputs(node, scope)

    def outputs(self, node: exp.Select, scope: Scope) -> Columns:
        """The columns a SELECT gives. Those without a name get one of the engine's, so they leave it open."""
        given: dict[str, str] = {}
        is_open = False
        for projection in node.expressions:
            if projection.is_star:
                found = self.star(projection, scope)
                given |= found.names
                is_open = is_open or found.open
            elif isinstance(projection, (exp.Alias, exp.Column)):
                given[self.names.output_id(projection)] = projection.alias_or_name
            else:
                is_open = True
        return Columns(given, is_open)

    def star(self, node: exp.Expr, scope: Scope) -> Columns:
        """The columns of ``*`` or ``t.*``."""
        relations = scope.relations
        star = node.find(exp.Star)
        if star is None or any(star.args.get(part) for part in ("except_", "replace", "rename")):
            return OPEN
        if isinstance(node, exp.Column) and node.args.get("table"):
            wanted = self.names.id(node.args["table"])
            relations = [r for r in relations if r.key == wanted]
        names = {k: v for r in relations for k, v in r.columns.items()}
        return Columns(names, not relations or any(r.open for r in relations))

    def sources(self, node: exp.Expr, scope: Scope, ctes: Ctes) -> None:
        """Put the relations of FROM and JOIN into a scope, in order."""
        if (from_ := node.args.get("from_")) is not None:
            self.relation(from_.this, scope, ctes)
        self.joins(node, scope, ctes)
        for lateral in node.args.get("laterals") or ():
            self.relation(lateral, scope, ctes)

    def joins(self, node: exp.Expr, scope: Scope, ctes: Ctes) -> None:
        """Relations that are joined, and the conditions. A condition sees the relations so far, in SQLite all."""
        conditions: list[object] = []
        for join in node.args.get("joins") or ():
            if str(join.args.get("kind")).upper() == "ARRAY":
                self.arrays(join, scope, ctes)
                continue
            before = len(scope.relations)
            self.relation(join.this, scope, ctes)
            self.shared(join, scope.relations[:before], scope.relations[before:])
            conditions += [join.args.get("on"), join.args.get("match_condition")]
            # SQLite reads all of FROM before it resolves a condition, so an ON may name a table behind it.
            if not self.dialect.conditions_see_all:
                self.walk(conditions, scope, ctes, "joins")
                conditions.clear()
        self.walk(conditions, scope, ctes, "joins")

    def arrays(self, join: exp.Join, scope: Scope, ctes: Ctes) -> None:
        """ClickHouse's ``ARRAY JOIN tags AS t``: a row for each value of a list, which has the name or the list's."""
        parts = [join.this, *join.expressions]
        self.walk(parts, scope, ctes, "joins")
        made = {self.names.output_id(part): part.alias for part in parts if isinstance(part, exp.Alias)}
        scope.relations.append(Relation("", "", made))

    def shared(self, join: exp.Join, earlier: list[Relation], added: list[Relation]) -> None:
        """Note the columns that USING or NATURAL make one."""
        named = [identifier(using) for using in join.args.get("using") or ()]
        for node in named:
            for side in (earlier, added):
                if not any(self.names.id(node) in r.columns or r.open for r in side):
                    self.result.missing.append(Missing("column", node, Scope(list(side))))
        together = {self.names.id(node) for node in named}
        if str(join.args.get("method") or "").upper() == "NATURAL":
            together = {name for relation in earlier for name in relation.columns}
        for relation in added:
            relation.shared |= together & set(relation.columns)

    def relation(self, node: exp.Expr, scope: Scope, ctes: Ctes) -> None:
        """Put one thing that stands in FROM into a scope."""
        alias = node.args.get("alias")
        if isinstance(node, exp.Subquery) and isinstance(node.this, exp.Table) and alias is None:
            self.relation(node.this, scope, ctes)
            self.joins(node, scope, ctes)
            return
        made = self.named(self.bare(node, scope, ctes), node)
        self._named_twice(made, node, scope)
        scope.relations.append(made)
        if isinstance(node, exp.Table):
            self.joins(node, scope, ctes)

    def named(self, relation: Relation, node: exp.Expr) -> Relation:
        """A relation under its alias, with the column names that the alias gives."""
        pivots = node.args.get("pivots")
        alias = (pivots[-1] if pivots else node).args.get("alias")
        if pivots:
            relation = Relation(relation.name, relation.key, {}, open=True)
        if alias is None:
            return relation
        renamed = {self.names.id(identifier(c)): identifier(c).name for c in alias.args.get("columns") or ()}
        if renamed and isinstance(place := node.args.get("offset"), exp.Identifier):
            renamed[self.names.id(place)] = place.name  # the number that WITH ORDINALITY gives
        if renamed:
            relation.columns = renamed | dict(list(relation.columns.items())[len(renamed) :])
            relation.open = relation.open and not isinstance(node, (exp.Table, exp.Unnest, exp.Values))
        if alias.this is not None:
            relation.name, relation.key = alias.name, self.names.id(alias.this)
        elif renamed:  # BigQuery's UNNEST(…) AS x: a value and, when it is a struct, a relation
            relation.key, relation.name = next(iter(renamed.items()))
            relation.open = True
        return relation

    def bare(self, node: exp.Expr, scope: Scope, ctes: Ctes) -> Relation:
        """A relation under its own name."""
        if isinstance(node, exp.Table):
            return self.table(node, scope, ctes)
        lateral = isinstance(node, exp.Lateral)
        inner = node.this if lateral else node
        if isinstance(inner, exp.Query):
            around = _inside(scope) if lateral or self.dialect.siblings_seen else scope.outer
            columns = self.query(inner, around, ctes)
            return Relation("", "", columns.names, columns.open, query=None if lateral else inner)
        self.walk([part for part in node.iter_expressions() if not isinstance(part, exp.TableAlias)], scope, ctes)
        return Relation("", "", {}, open=True)

    def table(self, node: exp.Table, scope: Scope, ctes: Ctes) -> Relation:
        """A named table: of a WITH, of the catalog, or of a function."""
        if not isinstance(node.this, exp.Identifier):
            if node.this is None or node.this.name.upper() not in _SEARCH_TABLES:
                self.walk([node.this, *(node.args.get("rows_from") or ())], scope, ctes)
            return Relation("", "", {}, open=True)
        key = self.names.id(node.this)
        if not node.args.get("db") and key in ctes and ctes[key] is not VALUE:
            return Relation(node.name, key, ctes[key].names, ctes[key].open, query=node)
        if (table := self.find(node)) is None:
            return Relation(node.name, key, {}, open=True)
        return Relation(node.name, key, self.names.stored(table), not table.columns, table)

    def find(self, node: exp.Table) -> Table | None:
        """The catalog's table of that name; when there is none, a `Missing` unless it is a system table."""
        parts = tuple(part.name for part in node.parts)
        table = self.catalog.find(parts, self.dialect.name)
        if table is not None and not (self.names.strict and table.name != self.names.id(node.this)):
            return table
        if table is not None or not (system_table(parts, self.dialect.name) or is_series(parts, self.dialect.name)):
            self.result.missing.append(Missing("table", node, Scope()))
        return None

    def _named_twice(self, made: Relation, node: exp.Expr, scope: Scope) -> None:
        """Two relations of one name. SQLite lets it pass as long as no column is ambiguous."""
        twice = bool(made.key) and any(r.key == made.key for r in scope.relations)
        # Tables of two schemas may share a name where the schema is written.
        if twice and not self.dialect.conditions_see_all and not node.args.get("db"):
            self.result.missing.append(Missing("alias", node, scope))

    def walk(self, nodes: Iterable[object], scope: Scope, ctes: Ctes, clause: str = "") -> None:
        """Look up every column below some nodes; queries among them begin a scope of their own."""
        stack = [(n, frozenset[str]()) for n in nodes if isinstance(n, exp.Expr)][::-1]
        while stack:
            node, bound = stack.pop()
            if isinstance(node, exp.Query):
                self.query(node, _inside(scope), ctes)
            elif isinstance(node, exp.Column):
                self.columns.look_up(node, _Place(scope, ctes, clause, bound))
            elif isinstance(node, exp.Table):
                self.relation(node, Scope(outer=_inside(scope)), ctes)
            else:
                bound |= _names_bound(node)
                stack.extend((child, bound) for child in reversed(list(node.iter_expressions())))


def _inside(scope: Scope) -> Outer:
    """A scope and those around it, as what stands inside it sees them."""
    return scope, *scope.outer


def _names_bound(node: exp.Expr) -> frozenset[str]:
    """The names that a lambda or a list comprehension defines."""
    if isinstance(node, exp.Lambda):
        return frozenset(part.name.casefold() for part in node.expressions)
    if isinstance(node, exp.Comprehension):
        made = (node.args.get("expression"), node.args.get("position"))
        return frozenset(part.name.casefold() for part in made if isinstance(part, exp.Expr))
    return frozenset()


class _Columns:
    """Finds the columns of one query in the scopes that see them."""

    def __init__(self, names: _Names, text: str, catalog: Catalog, result: Resolution) -> None:
        self.names = names
        self._dialect, self._text, self._catalog, self._result = names.dialect, text, catalog, result

    def look_up(self, node: exp.Column, place: _Place) -> None:
        """Look up one column."""
        if not node.args.get("table"):
            if not isinstance(node.this, exp.Star):
                self.unqualified(node, place)
            return
        if self.names.id(node.parts[0]) in place.bound:
            return
        if (found := self.qualifier(node, place.scope)) and not isinstance(node.this, exp.Star):
            self.qualified(node, found, place.scope)

    def qualifier(self, node: exp.Column, scope: Scope) -> list[Relation]:
        """The relations of the name before the dot; a `Missing` when there is none."""
        wanted = self.names.id(node.args["table"])
        for level in _inside(scope):
            if found := [r for r in level.relations if r.key == wanted]:
                return found
        if not self._is_value(node, scope):
            self._result.missing.append(Missing("qualifier", node, scope))
        return []

    def _is_value(self, node: exp.Column, scope: Scope) -> bool:
        """True when the first part may be a column that holds a struct."""
        if not self._dialect.structs and node.name not in self._dialect.parts_of_values:
            return False
        name = self.names.id(node.parts[0])
        levels = _inside(scope)
        return any(name in level.aliases for level in levels) or any(
            name in r.columns or r.open or r.key == name for level in levels for r in level.relations
        )

    def qualified(self, node: exp.Column, found: list[Relation], scope: Scope) -> None:
        """A column of a named relation."""
        name = self.names.id(node.this)
        if having := [r for r in found if name in r.columns]:
            self._result.columns[id(node)] = (having[0], name)
            if sum(name not in r.shared for r in having) > 1:
                self._result.missing.append(Missing("ambiguous", node, scope, tuple(having)))
        elif not any(r.open for r in found) and name not in self._dialect.hidden_columns:
            self._result.missing.append(Missing("column", node, Scope(found, scope.outer)))

    def unqualified(self, node: exp.Column, place: _Place) -> None:
        """A bare column: of the innermost query that has it."""
        name = self.names.id(node.this)
        for level in _inside(place.scope):
            clause = place.clause if level is place.scope else "outer"
            if found := [r for r in level.relations if name in r.columns]:
                self._result.columns[id(node)] = (found[0], name)
                self._ambiguous(node, name, level, clause)
                return
            if any(r.open for r in level.relations) or self._is_alias(node, name, level, clause):
                return
        if not self._means_something_else(node, name, place):
            self._result.missing.append(Missing("column", node, place.scope))

    def _ambiguous(self, node: exp.Column, name: str, level: Scope, clause: str) -> None:
        found = tuple(r for r in level.relations if name in r.columns and name not in r.shared)
        if len(found) < 2:
            return
        if clause == "order" and (name in level.aliases or self._is_output(node, name)):
            return
        if clause in {"group", "having"} and name in level.aliases and "group" in self._dialect.aliases_in:
            return
        self._result.missing.append(Missing("ambiguous", node, level, found))

    def _is_output(self, node: exp.Column, name: str) -> bool:
        select = node.find_ancestor(exp.Select)
        columns = (p for p in (select.expressions if select else ()) if isinstance(p, exp.Column))
        return any(self.names.output_id(p) == name for p in columns)

    def _is_alias(self, node: exp.Column, name: str, level: Scope, clause: str) -> bool:
        """True when the name is one that AS gives and the clause may use."""
        if name not in level.aliases:
            return False
        whole = isinstance(node.parent, (exp.Ordered, exp.Group)) or not self._dialect.whole_alias_only
        return {
            "order": whole,
            "sort": True,
            "cluster": True,
            "distribute": True,
            "distinct": whole,
            "group": whole and "group" in self._dialect.aliases_in,
            "having": "having" in self._dialect.aliases_in,
            "qualify": True,
            "where": "where" in self._dialect.aliases_in,
            "prewhere": True,
            "expressions": "select" in self._dialect.aliases_in and not is_within(node, level.aliases[name]),
            "windows": "select" in self._dialect.aliases_in,
            "outer": not self._dialect.aliases_in.isdisjoint(("select", "outer")),
        }.get(clause, False)

    def _means_something_else(self, node: exp.Column, name: str, place: _Place) -> bool:
        """True for a name that is no column: a text in double quotes, a row, a unit of time, a word of the dialect."""
        if name in place.bound or name in self._dialect.hidden_columns or place.ctes.get(name) is VALUE:
            return True
        at = node.this.meta.get("start", -1)
        if self._dialect.names_become_texts and self._text[at : at + 1] == '"' and may_be_a_text(node):
            return True
        if isinstance(node.parent, exp.In) and node.arg_key == "field" and self._dialect.tables_after_in:
            return name in place.ctes or node.name in self._catalog
        around, is_bare = node.parent, not node.this.args.get("quoted")
        if is_bare and (name in _KEYWORDS or (name in _UNITS and isinstance(around, exp.Func))):
            return True
        # A search names the whole row that it looks through.
        searches = self._dialect.searches
        is_searched = searches and around and (isinstance(around, exp.Match) or around.name.lower() in searches)
        is_row = any(r.key == name for level in _inside(place.scope) for r in level.relations)
        return is_row and bool(is_searched or self._dialect.rows_by_name)
