"""The filters of dbt's metrics: templates that name dimensions, times and entities."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# `ref('orders')`, `ref('project', 'orders')`, `source('shop', 'orders')`
MODEL = re.compile(r"(?:ref|source)\(\s*['\"]([^'\"]+)['\"]\s*(?:,\s*['\"]([^'\"]+)['\"])?")
_FIELD = re.compile(r"\{\{\s*(.*?)\s*\}\}", re.DOTALL)
_CALL = re.compile(
    r"(Dimension|TimeDimension|Entity|Metric)\s*\(([^()]*)\)\s*(?:\.grain\(\s*['\"](\w+)['\"]\s*\))?\Z", re.DOTALL
)
_TEXT = re.compile(r"['\"]([^'\"]*)['\"]")


class Unresolved(Exception):
    """What dbt says of a metric cannot be put into SQL here; the text is the reason."""


def fill_in(template: str, expression: Callable[[Sequence[str], str], str], dialect: str = "") -> str:
    """A filter as SQL; ``expression`` gives that of a name, by the entities that lead to it.

    Raises:
        Unresolved: It holds something else than dimensions, times and entities.

    Example:
        >>> fill_in("{{ Dimension('order__is_food') }} = true", lambda path, name: f"orders.{name}")
        'orders.is_food = true'
    """

    def filled(match: re.Match[str]) -> str:
        call = _CALL.match(match[1])
        if call is None or call[1] == "Metric":
            raise Unresolved(f"its filter takes {match[1][:60]}")
        arguments = _TEXT.findall(call[2])
        if not arguments or "[" in call[2]:  # the way of entities in a list of its own
            raise Unresolved(f"its filter takes {match[1][:60]}")
        *path, name = arguments[0].split("__")
        grain = call[3] or (arguments[1] if call[1] == "TimeDimension" and len(arguments) > 1 else "")
        column = expression(path, name)
        if not grain:
            return column
        if not re.fullmatch(r"\w+", grain):
            raise Unresolved(f"its filter takes the period {grain!r:.30}")
        return f"DATE_TRUNC({column}, {grain.upper()})" if dialect == "bigquery" else f"DATE_TRUNC('{grain}', {column})"

    written = _FIELD.sub(filled, template).strip()
    if "{{" in written or "{%" in written:
        raise Unresolved("its filter holds a template")
    return written
