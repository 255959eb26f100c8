"""Joins that change what is counted: rows that come several times, and rows that are left out."""

# Both are sound SQL and often what is wanted. What a join leaves out is a note. A sum whose rows come several times,
# and a count of combinations, are seldom meant: the model is told once. Where the database may be asked, it counts,
# so that nothing is said of data in which no row comes twice; what is not counted is said to be estimated.

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from sqlglot import exp

from rsql_magic.sql.catalog import value_kind
from rsql_magic.sql.dialects.reading import Unreadable, canonical, lex, parse, written_call
from rsql_magic.sql.linking.words import stems
from rsql_magic.sql.validate.counts import RowCounts, folded
from rsql_magic.sql.validate.resolve import resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rsql_magic.sql.catalog import Catalog
    from rsql_magic.sql.validate import Relation, Resolution, Scope

    Count = Callable[[str], "int | None"]

# What comes out differently when rows come several times; the largest and the smallest do not.
_COUNTED = (exp.Sum, exp.Avg, exp.Count)
# Share of missing keys from which on rows that an inner join leaves out are worth a word.
_MISSING = 0.001


class _Link(NamedTuple):
    """Two relations of one SELECT with the columns that are equal."""

    left: Relation
    right: Relation
    pairs: tuple[tuple[str, str], ...]
    inner: bool

    def sides(self) -> Iterator[tuple[Relation, list[str], Relation, list[str]]]:
        """Both relations with their columns, seen from either of them."""
        mine, theirs = [a for a, _ in self.pairs], [b for _, b in self.pairs]
        yield self.left, mine, self.right, theirs
        yield self.right, theirs, self.left, mine


class JoinNote(NamedTuple):
    """Something worth saying of a join."""

    text: str  # One sentence
    is_doubt: bool = False  # Whether it is seldom meant, so that the model gets it too
    instead: str = ""  # The query as it may have been meant
    table: str = ""  # The table that it leaves out


def join_notes(
    sql: str, dialect: str, catalog: Catalog, count: Count | None = None, question: str = ""
) -> list[JoinNote]:
    """What should be known of the joins of a query without problems, which answers a question.

    ``count`` gives the number that a query in this dialect asks for, None where it cannot.

    Example:
        >>> from rsql_magic.sql import Catalog
        >>> shop = Catalog.from_ddl(
        ...     "CREATE TABLE c (id INT PRIMARY KEY, credit INT); CREATE TABLE o (c_id INT REFERENCES c (id))", "duckdb"
        ... )
        >>> join_notes("SELECT sum(c.credit) FROM c JOIN o ON o.c_id = c.id", "duckdb", shop)[0].text
        'A row of c comes once for each matching row of o, so sum(c.credit) counts it several times.'
    """
    try:
        dialect = canonical(dialect)
        text = lex(sql, dialect).text
        root = parse(text, dialect)
        resolution = resolve(root, text, dialect, catalog)
    except (Unreadable, RecursionError):
        return []
    counted = RowCounts(dialect, count, catalog, root)
    notes = [
        note
        for select, scope in resolution.selects
        for note in _Joins(select, scope, resolution, text, counted, question).notes()
    ]
    instead = next((note.instead for note in notes if note.instead), "")
    if instead:  # it may hold another join that is not needed
        further = (note.instead for note in join_notes(instead, dialect, catalog, count, question))
        instead = next(filter(None, further), instead)
        notes = [note._replace(instead=instead) if note.instead else note for note in notes]
    return list(dict.fromkeys(notes))


@dataclass
class _Joins:
    """The joins of one SELECT."""

    select: exp.Select
    scope: Scope
    resolution: Resolution
    text: str
    counted: RowCounts
    question: str

    def notes(self) -> Iterator[JoinNote]:
        """What is worth saying of them."""
        if not (links := list(_links(self.select, self.scope, self.resolution))):
            return
        yield from self._unused(links)
        yield from self._repeated(links)
        for link in links:
            yield from self._left_out(link)

    # Tables that a query does not need

    def _unused(self, links: list[_Link]) -> Iterator[JoinNote]:
        """Tables that change the rows, of which nothing but the join is read, and which the question does not name."""
        # People seldom write one (4 of Spider's 6,904 queries); small models do. A figure may count the rows joined.
        if not self.question or self.select.is_star or self.select.find(exp.AggFunc, exp.Star):
            return
        if isinstance(self.select.parent, exp.Except):  # what has never been used: the join itself is meant
            return
        for link in links:
            for one, own, other, theirs in link.sides():
                alone = sum(one in (each.left, each.right) for each in links) == 1
                if one.table is None or other.table is None or not (link.inner and alone):
                    continue
                if self._is_named(one, own) or self._is_read(one):
                    continue
                counted, name = self.counted, _called(one)
                if counted.repeats(one, own) or counted.lacks(one, own, other, theirs):
                    said = f"{name} is joined, but nothing else of it is read, and the question does not name it."
                    yield JoinNote(said, is_doubt=True, instead=self._without(one), table=name)

    def _is_named(self, one: Relation, own: list[str]) -> bool:
        """Whether the question holds a word that tells a table, or its columns of the join, from the other tables."""
        others = [each.table for each in self.scope.relations if each.table and each.table is not one.table]
        asked, known = set(stems(self.question)), set(stems(" ".join(table.name for table in others)))
        words = set(stems(one.table.name if one.table else one.name))
        keys = set(stems(" ".join(own))) - set(stems(" ".join(c.name for table in others for c in table.columns)))
        return bool(((words - known or words) | keys - known) & asked)

    def _is_read(self, one: Relation) -> bool:
        """Whether a column of a relation stands anywhere but in a condition that links it with another."""
        for column in self.select.find_all(exp.Column):
            found, equal = self.resolution.columns.get(id(column)), column.parent
            if found is None or found[0] is not one:
                continue
            sides = [equal.this, equal.expression] if isinstance(equal, exp.EQ) else []
            owners = [self.resolution.columns.get(id(side)) for side in sides]
            if len(owners) != 2 or None in owners or owners[0][0] is owners[1][0]:  # type: ignore[index]
                return True
        return False

    def _without(self, one: Relation) -> str:
        """The query without a relation; empty where that cannot be written."""
        root = self.select.root()
        place = next(n for n, each in enumerate(root.find_all(exp.Select)) if each is self.select)
        select = list(root.copy().find_all(exp.Select))[place]
        from_, joins, name = select.args["from_"], select.args.get("joins") or [], one.name.casefold()
        kept = [join for join in joins if join.this.alias_or_name.casefold() != name]
        if from_.this.alias_or_name.casefold() == name and len(joins) == 1:
            from_.set("this", joins[0].this)
            kept = []
        select.set("joins", kept)
        return select.root().sql(dialect=self.counted.dialect) if len(kept) == len(joins) - 1 else ""

    # Rows that come several times

    def _repeated(self, links: list[_Link]) -> Iterator[JoinNote]:
        if not (calls := list(_aggregates(self.select))):
            return
        many, pairs = self._many(links), self._pairs()
        for call in calls:
            # A sum over pairs counts a row for each of its pairs; a count of pairs is what was asked for.
            meant = pairs if isinstance(call, exp.Count) else set()
            relations = [one for link in links for one, *_ in link.sides()]
            repeated = {
                id(one): self._repeating(one, links, many - {step for step in meant if step[0] == id(one)})
                for one in relations
            }
            owners = {id(found[0]): found[0] for found in self._owners(call)}
            if len(owners) == 1:
                [one] = owners.values()
                if (by := repeated.get(id(one))) is not None:
                    yield from self._counts_several_times(call, one, by)
            elif isinstance(call, exp.Count) and not owners:
                yield from self._counts_rows(call, links, repeated)

    def _owners(self, call: exp.Expr) -> list[tuple[Relation, str]]:
        columns = [self.resolution.columns.get(id(column)) for column in call.find_all(exp.Column)]
        return [] if None in columns else [found for found in columns if found is not None]

    def _many(self, links: list[_Link]) -> set[tuple[int, int]]:
        """The steps from one relation to another that find several rows."""
        return {
            (id(one), id(other))
            for link in links
            for one, _, other, columns in link.sides()
            if self.counted.repeats(other, columns)
        }

    def _pairs(self) -> set[tuple[int, int]]:
        """Rows of one table that a condition puts in order, as ``a.id < b.id`` does: each pair of them comes once."""
        # The order has to be by a key or a text: ``a.salary < b.salary`` asks for rows that have a larger one beside
        # them, and ``a.id <> b.id`` gives each pair twice.
        found: set[tuple[int, int]] = set()
        for condition in _conditions(self.select):
            for order in condition.find_all(exp.LT, exp.LTE, exp.GT, exp.GTE):
                mine, theirs = self._owners(order.this), self._owners(order.expression)
                if _is_of(order, self.select) and mine and theirs and _tells_apart(mine, theirs):
                    one, other = id(mine[0][0]), id(theirs[0][0])
                    found |= {(one, other), (other, one)}
        return found

    def _repeating(self, one: Relation, links: list[_Link], many: set[tuple[int, int]]) -> Relation | None:
        """The relation of which several rows match a row of another one, directly or by way of others."""
        seen, todo = {id(one)}, [one]
        for at in todo:
            for link in links:
                for here, _, other, _ in link.sides():
                    if here is not at or id(other) in seen:
                        continue
                    if (id(here), id(other)) in many:
                        return other
                    seen.add(id(other))
                    todo.append(other)
        return None

    def _counts_several_times(self, call: exp.Expr, one: Relation, by: Relation) -> Iterator[JoinNote]:
        if self._come_twice(one) == 0:
            return
        meant = isinstance(call, exp.Sum) and not self._groups_by_others(one)
        yield JoinNote(
            f"A row of {_called(one)} comes once for each matching row of {_called(by)}, "
            f"so {written_call(call, self.text)} counts it several times.",
            meant and self.counted.count is not None,
        )

    def _come_twice(self, one: Relation) -> int | None:
        """How many rows of the query repeat one of a relation; None where that is not counted."""
        keys = one.table.primary_key if one.table is not None else ()
        # The count runs the same FROM and WHERE by themselves, which needs no name from around it.
        if len(keys) != 1 or self.select.parent is not None or self.select.args.get("with_"):
            return None
        same = self.select.copy()
        for part in ("group", "having", "order", "limit", "offset", "distinct"):
            same.set(part, None)
        key = exp.column(keys[0], one.name, quoted=True)
        every, once = exp.Count(this=key.copy()), exp.Count(this=exp.Distinct(expressions=[key]))
        same.set("expressions", [exp.alias_(exp.Sub(this=every, expression=once), "n")])
        return self.counted.number(same) if self.counted.can(*self.scope.relations) else None

    def _groups_by_others(self, one: Relation) -> bool:
        """Whether groups are made of another relation's columns, so that a row may come once in each."""
        group = self.select.args.get("group")
        columns = group.find_all(exp.Column) if group is not None else ()
        owners = (self.resolution.columns.get(id(column)) for column in columns)
        return any(found is not None and found[0] is not one for found in owners)

    def _counts_rows(
        self, call: exp.Expr, links: list[_Link], repeated: dict[int, Relation | None]
    ) -> Iterator[JoinNote]:
        """A count of rows where all come several times, or where the question asks for those of one relation."""
        relations = {id(one): one for link in links for one, *_ in link.sides()}
        if all(repeated.values()):
            if 0 not in [self._come_twice(one) for one in relations.values()]:
                names = " and ".join(dict.fromkeys(map(_called, relations.values())))
                said = f"counts combinations of rows of {names}, each row several times."
                yield JoinNote(f"{written_call(call, self.text)} {said}", self.counted.count is not None)
            return
        for key, one in relations.items():
            by = repeated[key]
            asked = by is not None and not self.select.args.get("group") and _asks_how_many(self.question, one, by)
            if by is not None and asked and self._come_twice(one):
                shown = written_call(call, self.text)
                yield JoinNote(
                    f"{shown} counts a row of {_called(one)} once for each matching row of {_called(by)}; "
                    "COUNT(DISTINCT …) of its key counts it once.",
                    is_doubt=True,
                )

    # Rows that are left out

    def _left_out(self, link: _Link) -> Iterator[JoinNote]:
        if not link.inner or not link.pairs:
            return
        for one, own, other, theirs in link.sides():
            key = one.table.primary_key if one.table is not None else ()
            is_key = bool(key) and folded(key) <= folded(own)
            if is_key and one is not self.scope.relations[0]:
                continue  # of a table that is looked things up in, some rows are never asked for
            if self.counted.can(one, other):
                yield from self._exactly(one, own, other, theirs)
            elif one.table is not None and other.table is not None:
                yield from _estimated(one, own, other, theirs, is_key=is_key)

    def _exactly(self, one: Relation, own: list[str], other: Relation, theirs: list[str]) -> Iterator[JoinNote]:
        """The rows of a relation that the conditions let through and that match no row of another."""
        here, there = (exp.alias_(self.counted.source(each), "a", table=True) for each in (one, other))
        keys = [exp.column(name, quoted=True).as_(f"k{place}", quoted=True) for place, name in enumerate(theirs)]
        matches = exp.select(*keys).distinct().from_(there).subquery("q")
        pairs = [(exp.column(n, "a", quoted=True), exp.column(f"k{i}", "q", quoted=True)) for i, n in enumerate(own)]
        conditions = list(self._own_conditions(one))
        rows = exp.select("COUNT(*)").from_(here).where(*conditions)
        none = exp.Is(this=exp.column("k0", "q", quoted=True), expression=exp.Null())
        total = self.counted.number(rows)
        on = exp.and_(*(one.eq(other) for one, other in pairs))
        lost = self.counted.number(rows.join(matches, on=on, join_type="left").where(none)) if total else None
        if total and lost and lost > _MISSING * total:
            which = " that the conditions let through" if conditions else ""
            yield JoinNote(
                f"{lost:,} of the {total:,} rows of {_called(one)}{which} ({_share(lost / total)}) have no matching "
                f"row in {_called(other)}; the join leaves them out."
            )

    def _own_conditions(self, one: Relation) -> Iterator[exp.Expr]:
        """The conditions of WHERE that are about one relation alone."""
        where = self.select.args.get("where")
        whole = where.this if where is not None else None
        for part in list(whole.flatten()) if isinstance(whole, exp.And) else [whole] if whole is not None else []:
            columns = list(part.find_all(exp.Column))
            found = [self.resolution.columns.get(id(column)) for column in columns]
            if columns and not part.find(exp.Query) and all(each is not None and each[0] is one for each in found):
                yield _about(part, "a")


def _about(part: exp.Expr, alias: str) -> exp.Expr:
    """A condition with its columns behind an alias."""
    copy = part.copy()
    for column in list(copy.find_all(exp.Column)):
        column.set("table", exp.to_identifier(alias, quoted=True))
        column.set("db", None)
        column.set("catalog", None)
    return copy


def _share(share: float) -> str:
    return f"{share:.1%}" if share < 0.995 else "all" if share >= 1 else "nearly all"


_HOW_MANY = re.compile(
    r"\b(?:how many|(?:the )?number of|count(?: of)?|wie ?viele|anzahl (?:der|von)|combien d[e']|nombre d[e']|cuántos"
    r"|cuántas|número de)\s*((?:\w+\W+){0,3}?)(\w+)",
    re.IGNORECASE,
)


def _asks_how_many(question: str, one: Relation, by: Relation) -> bool:
    """Whether a question asks how many rows of one relation there are: "how many customers have orders?"."""
    stem, other = _stem(_called(one)), _stem(_called(by))
    for found in _HOW_MANY.finditer(question):
        words = [_stem(word) for word in re.findall(r"\w+", found[1] + found[2])][:2]
        if stem in words and other not in words:
            return True
    return False


def _stem(word: str) -> str:
    word = word.casefold().replace("_", "")
    return f"{word[:-3]}y" if word.endswith("ies") else word.removesuffix("s")


def _estimated(
    one: Relation, own: list[str], other: Relation, theirs: list[str], *, is_key: bool
) -> Iterator[JoinNote]:
    """What the catalog's figures tell of rows that a join leaves out, where they are not counted."""
    assert one.table is not None and other.table is not None  # noqa: S101, PT018 - the caller looked
    for name in own:
        column = one.table.column(name)
        share = column.profile.nulls if column is not None and column.profile else None
        if share is not None and share > _MISSING:
            yield JoinNote(
                f"About {_share(share)} of the rows of {_called(one)} have no {name} and are left out by the join with "
                f"{_called(other)}; that is estimated, and others that match no row are not counted."
            )
    column = other.table.column(theirs[0])
    profile = column.profile if column is not None else None
    if len(own) != 1 or not is_key or not one.table.rows or profile is None or profile.approximate:
        return
    if profile.distinct is not None and one.table.rows - profile.distinct > _MISSING * one.table.rows:
        yield JoinNote(
            f"No more than {profile.distinct:,} of the {one.table.rows:,} rows of {_called(one)} have a row in "
            f"{_called(other)}; the join leaves out the others."
        )


def _links(select: exp.Select, scope: Scope, resolution: Resolution) -> Iterator[_Link]:
    """The joins between tables, subqueries and WITHs, those without any condition last."""
    pairs: dict[tuple[int, int], list[tuple[str, str]]] = defaultdict(list)
    relations = {id(one): one for one in scope.relations if one.table is not None or one.query is not None}
    order = {key: place for place, key in enumerate(relations)}
    for condition in _conditions(select):
        for equal in condition.find_all(exp.EQ):
            one, other = (resolution.columns.get(id(side)) for side in (equal.this, equal.expression))
            if one is None or other is None or not _is_of(equal, select):
                continue
            (left, mine), (right, theirs) = one, other
            if left is not right and id(left) in relations and id(right) in relations:
                flip = order[id(left)] > order[id(right)]
                key = (id(right), id(left)) if flip else (id(left), id(right))
                pairs[key].append((theirs, mine) if flip else (mine, theirs))
    for place, named in enumerate(scope.relations):  # what USING and NATURAL make one
        for name in named.shared if id(named) in relations else ():
            first = next((each for each in scope.relations[:place] if name in each.columns), None)
            if first is not None and id(first) in relations:
                pairs[id(first), id(named)].append((first.columns[name], named.columns[name]))
    inner = not any(join.args.get("side") for join in select.args.get("joins") or ())
    for (one_id, other_id), found in pairs.items():
        yield _Link(relations[one_id], relations[other_id], tuple(dict.fromkeys(found)), inner)
    if len(relations) == len(scope.relations):
        yield from _crossed(select, scope, resolution, list(pairs))


def _crossed(
    select: exp.Select, scope: Scope, resolution: Resolution, linked: list[tuple[int, int]]
) -> Iterator[_Link]:
    """Relations that no condition of any kind links with those before them: each row meets all of theirs."""
    together = {id(one): {id(one)} for one in scope.relations}
    for condition in _conditions(select):
        owners = [resolution.columns.get(id(column)) for column in condition.find_all(exp.Column)]
        linked += pairwise(id(found[0]) for found in owners if found is not None)
    for a, b in linked:
        if a in together and b in together and together[a] is not together[b]:
            both = together[a] | together[b]
            together |= dict.fromkeys(both, both)
    for one, other in pairwise(scope.relations):
        if id(one) not in together[id(other)]:
            yield _Link(one, other, (), inner=True)


def _conditions(select: exp.Select) -> Iterator[exp.Expr]:
    for join in select.args.get("joins") or ():
        if join.args.get("on") is not None:
            yield join.args["on"]
    if (where := select.args.get("where")) is not None:
        yield where.this


def _is_of(condition: exp.Expr, select: exp.Select) -> bool:
    """Whether a condition holds for all rows of a SELECT, and for no subquery's."""
    return condition.find_ancestor(exp.Select) is select and not condition.find_ancestor(exp.Or, exp.Not)


def _tells_apart(mine: list[tuple[Relation, str]], theirs: list[tuple[Relation, str]]) -> bool:
    """Whether two sides are the same columns of two relations of one table, and a key or texts."""
    (one, _), (other, _) = mine[0], theirs[0]
    table, names = one.table, [name for _, name in mine]
    sides = all(found is one for found, _ in mine) and all(found is other for found, _ in theirs)
    if not sides or one is other or table is None or table is not other.table or names != [n for _, n in theirs]:
        return False
    columns = [column for name in names if (column := table.column(name)) is not None]
    return folded(names) <= folded(table.primary_key) or all(value_kind(c.type) == "text" for c in columns)


def _called(relation: Relation) -> str:
    return relation.table.name if relation.table is not None else relation.name


def _aggregates(select: exp.Select) -> Iterator[exp.Expr]:
    """Sums, means and counts of the SELECT itself, DISTINCT ones left out."""
    for part in select.expressions:
        for call in part.find_all(*_COUNTED):
            own = call.find_ancestor(exp.Select) is select and not isinstance(call.parent, exp.Window)
            if own and call.find(exp.Distinct) is None:
                yield call
