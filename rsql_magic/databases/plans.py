"""What a database means to do for a query: its plan as text, and how many rows it expects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


Reply = Sequence[Sequence[Any]]


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


def plan_of_steps(root: dict[str, Any], step: Callable[[dict[str, Any]], tuple[str, int | None, list[Any]]]) -> Plan:
    """A plan from a tree of steps.

    Args:
        root: The last step.
        step: Reads a step: its text, the rows it expects, and the steps before it.
    """

    def walk(node: dict[str, Any], depth: int) -> Iterator[tuple[str, int | None]]:
        text, rows, children = step(node)
        yield "  " * depth + (text if rows is None else f"{text} (≈{rows:,} rows)"), rows
        for child in children:
            yield from walk(child, depth + 1)

    steps = list(walk(root, 0))
    estimates = [rows for _, rows in steps if rows is not None]
    return Plan("\n".join(text for text, _ in steps), estimates[0] if estimates else None, sum(estimates))
