"""What a database means to do for a query: its plan as text, and how many rows it expects."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Rows = Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Plan:
    """A query's plan, estimated and not run.

    Args:
        text: The steps, one a line, each indented below the one it feeds.
        rows: Rows the result is expected to have, or None.
        work: Rows that all steps together are expected to handle, or None. Large numbers warn of a slow query.
    """

    text: str
    rows: int | None = None
    work: int | None = None

    def __str__(self) -> str:
        return self.text


EXPLAIN = {
    "duckdb": "EXPLAIN (FORMAT json) ",
    "postgres": "EXPLAIN (FORMAT json) ",
    "sqlite": "EXPLAIN QUERY PLAN ",
}
"""What stands before a query to get its plan, where it is not plain ``EXPLAIN``."""


def read_plan(dialect: str, rows: Rows) -> Plan:
    """A plan from what the database replied.

    Args:
        dialect: sqlglot's name.
        rows: The reply to `EXPLAIN` of the dialect.
    """
    return _READERS.get(dialect, _of_text)(rows)


def _of_text(rows: Rows) -> Plan:
    return Plan("\n".join(" ".join(str(part) for part in row if part is not None) for row in rows))


def _of_duckdb(rows: Rows) -> Plan:
    return _of_steps(json.loads(rows[0][-1])[0], _duckdb_step)


def _duckdb_step(node: dict[str, Any]) -> tuple[str, int | None, list[Any]]:
    about = node.get("extra_info") or {}
    rows = about.get("Estimated Cardinality")
    said = [str(about[name]) for name in ("Table", "Join Type", "Conditions", "Filters", "Groups") if about.get(name)]
    return " ".join([node["name"].strip(), *said]), int(rows) if rows else None, node.get("children") or []


def _of_postgres(rows: Rows) -> Plan:
    reply = rows[0][0]
    return _of_steps((json.loads(reply) if isinstance(reply, str) else reply)[0]["Plan"], _postgres_step)


def _postgres_step(node: dict[str, Any]) -> tuple[str, int | None, list[Any]]:
    names = (
        "Relation Name",
        "Index Name",
        "Hash Cond",
        "Merge Cond",
        "Join Filter",
        "Index Cond",
        "Filter",
        "Sort Key",
    )
    said = [str(node[name]) for name in names if node.get(name)]
    return " ".join([node["Node Type"], *said]), int(node["Plan Rows"]), node.get("Plans") or []


def _of_steps(root: dict[str, Any], step: Callable[[dict[str, Any]], tuple[str, int | None, list[Any]]]) -> Plan:
    """A plan from a tree of steps."""

    def walk(node: dict[str, Any], depth: int) -> Iterator[tuple[str, int | None]]:
        text, rows, children = step(node)
        yield "  " * depth + (text if rows is None else f"{text} (≈{rows:,} rows)"), rows
        for child in children:
            yield from walk(child, depth + 1)

    steps = list(walk(root, 0))
    estimates = [rows for _, rows in steps if rows is not None]
    return Plan("\n".join(text for text, _ in steps), estimates[0] if estimates else None, sum(estimates))


def _of_mysql(rows: Rows) -> Plan:
    """The table that MySQL and MariaDB give: one line per table, each read once for every row of those before it."""
    loops, work, lines = 1, 0, []
    for row in rows:
        count = next((int(part) for part in row[-3:] if str(part).isdigit()), 1)
        loops *= max(count, 1)
        work += loops
        lines.append(" ".join(str(part) for part in row if part is not None))
    return Plan("\n".join(lines), None, work)


def _of_sqlite(rows: Rows) -> Plan:
    depth = {0: -1}
    lines = []
    for number, parent, _, text in rows:
        depth[number] = depth.get(parent, -1) + 1
        lines.append("  " * depth[number] + str(text))
    return Plan("\n".join(lines))


_READERS: dict[str, Callable[[Rows], Plan]] = {
    "duckdb": _of_duckdb,
    "postgres": _of_postgres,
    "mysql": _of_mysql,
    "sqlite": _of_sqlite,
}
