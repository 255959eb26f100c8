"""The relationships of ``data-dict.yaml``: joins parsed, checked against the tables, and read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rsql_magic.knowledge.described import Misfit
from rsql_magic.knowledge.marked_yaml import line_of, place
from rsql_magic.sql import Relationship

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rsql_magic.knowledge.described import DescribedTable

_NAME = r"(?:[A-Za-z_][A-Za-z0-9_]*|`(?:[^`]|``)+`)"
_JOINED = re.compile(rf"\s*({_NAME})\.({_NAME})\s*(==|=|>=|<=|>|<)\s*({_NAME})\.({_NAME})\s*")
_AND = re.compile("and(?![A-Za-z0-9_])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two columns of a join and what stands between them; tables by the names that the join gives them."""

    left: str
    column: str
    sign: str
    right: str
    referred: str

    @property
    def ends(self) -> tuple[tuple[str, str], tuple[str, str]]:
        """Table and column of both sides."""
        return (self.left, self.column), (self.right, self.referred)


@dataclass(frozen=True)
class Join:
    """A relationship as it is written: its pairs, and the tables that its aliases stand for."""

    entry: Mapping[str, Any]
    pairs: tuple[Pair, ...]
    tables: Mapping[str, DescribedTable]

    def table(self, name: str) -> str:
        """The table that a name of the join stands for."""
        return str((self.entry.get("aliases") or {}).get(name, name))

    @property
    def sides(self) -> list[str]:
        """The names of tables, in the order in which they stand."""
        return list(dict.fromkeys(name for pair in self.pairs for name, _ in pair.ends))

    def lacks(self, side: str, column: str) -> bool:
        """Whether the table is there and the column is not."""
        table = self.tables.get(self.table(side))
        return table is not None and all(known.name != column for known in table.columns)

    def problem(self, code: str, message: str, key: str = "join", *, error: bool = True) -> Misfit:
        """Something that is wrong with it."""
        return Misfit(code, message, line_of(self.entry, key), error=error)


def read_join(entry: Mapping[str, Any], tables: Mapping[str, DescribedTable]) -> tuple[Join, list[Misfit]]:
    """A relationship, and what is wrong with it."""
    join = Join(entry, tuple(parse_join(entry["join"])), tables)
    problems = [*_check_aliases(join)]
    if not join.pairs:
        return join, [*problems, join.problem("S04", f"{entry['join']!r:.60} is no join such as a.x = b.y")]
    problems += _check_names(join)
    named = not any(each.code in {"S02", "S03"} for each in problems)
    return join, [*problems, *_check_sides(join), *(_check_cardinality(join) if named else ())]


def relationship(join: Join, name: str) -> list[Relationship]:
    """The columns that are equal; none for a join by ranges, which no key can state."""
    if any(pair.sign not in {"=", "=="} for pair in join.pairs):
        return []
    left, right = (name for name, _ in join.pairs[0].ends)
    turned = [pair.ends if pair.left == left else pair.ends[::-1] for pair in join.pairs]
    columns, referred = tuple(one for (_, one), _ in turned), tuple(other for _, (_, other) in turned)
    description = join.entry.get("description") or ""
    source = place(name, line_of(join.entry, "join"))
    cardinality = join.entry["cardinality"]
    return [Relationship(join.table(left), columns, join.table(right), referred, cardinality, description, source)]


def target(table: str, column: str, joins: Iterable[Join]) -> tuple[str, str] | None:
    """The primary key that a column points to: table and column.

    A foreign key points to the primary key on the other side of a relationship that names it.
    """
    for join in joins:
        for pair in join.pairs:
            for (side, name), (across, referred) in (pair.ends, pair.ends[::-1]):
                other = join.tables.get(join.table(across))
                if join.table(side) == table and name == column and other is not None and _is_key(other, referred):
                    return other.name, referred
    return None


def _is_key(table: DescribedTable, name: str) -> bool:
    return any(column.name == name and column.has("primary_key") for column in table.columns)


def parse_join(text: str) -> list[Pair]:
    """The pairs of a join; none where it is no join.

    Example:
        >>> parse_join("food.`category id` = category.id")
        [Pair(left='food', column='category id', sign='=', right='category', referred='id')]
    """
    pairs, at = [], 0
    while (match := _JOINED.match(text, at)) is not None:
        pairs.append(Pair(*(_bare(part) for part in match.groups())))
        if match.end() == len(text):
            return pairs
        if (word := _AND.match(text, match.end())) is None:
            break
        at = word.end()
    return []


def _bare(name: str) -> str:
    return name[1:-1].replace("``", "`") if name.startswith("`") else name


def _check_aliases(join: Join) -> Iterator[Misfit]:
    for alias, table in (join.entry.get("aliases") or {}).items():
        if table not in join.tables:
            yield join.problem("S02", f"there is no table {table}, which {alias} stands for", "aliases")
        if alias in join.tables:
            yield join.problem("S26", f"{alias} is the name of a table, and no alias", "aliases")
        if join.pairs and alias not in join.sides:
            yield join.problem("S27", f"the alias {alias} is not used", "aliases", error=False)


def _check_names(join: Join) -> Iterator[Misfit]:
    aliases = join.entry.get("aliases") or {}
    for side in join.sides:
        if side not in aliases and side not in join.tables:
            yield join.problem("S02", f"there is no table {side}")
    for side, column in (end for pair in join.pairs for end in pair.ends):
        if join.lacks(side, column):
            yield join.problem("S03", f"{join.table(side)} has no column {column}")


def _check_sides(join: Join) -> Iterator[Misfit]:
    sides, aliases = join.sides, join.entry.get("aliases") or {}
    if len(sides) > 2:
        yield join.problem("S04", f"the join names {len(sides)} tables")
    same = len({join.table(side) for side in sides}) == 1
    if len(sides) == 1 or (len(sides) == 2 and same and not all(side in aliases for side in sides)):
        yield join.problem("S25", "a table that is joined with itself needs an alias for each side")
    for column in join.entry.get("conflicts") or []:
        if missing := list(dict.fromkeys(join.table(side) for side in sides if join.lacks(side, column))):
            yield join.problem("S05", f"{column} is no column of {' and '.join(missing)}", "conflicts")


_ONE = {"one-to-one": (0, 1), "one-to-many": (0,), "many-to-one": (1,)}  # the sides with one row


def _check_cardinality(join: Join) -> Sequence[Misfit]:
    """The side with one row has a column that is unique."""
    cardinality = join.entry["cardinality"]
    for end in _ONE[cardinality]:
        side = join.pairs[0].ends[end][0]
        columns = {pair.ends[end][1] for pair in join.pairs if pair.ends[end][0] == side}
        known = join.tables[join.table(side)].columns
        if not any(column.name in columns and column.has("unique", "primary_key") for column in known):
            return [join.problem("S06", f"{cardinality} needs a unique column of {side}", "cardinality")]
    return []
