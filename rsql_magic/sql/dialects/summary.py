"""The lists of functions as a table for the docs."""

from __future__ import annotations

from rsql_magic.sql.dialects.functions import functions
from rsql_magic.sql.dialects.table import DIALECTS


def functions_table() -> str:
    """How many functions each dialect's list holds, why others are refused, and where the list is, as Markdown."""
    head = "| dialect | may be called | may stand in FROM | refused with a reason | list |\n|---|---|---|---|---|\n"
    return head + "".join(_row(dialect) for dialect in _listed())


def reasons_table() -> str:
    """Why functions are refused, with a few of them, as Markdown."""
    found: dict[str, list[str]] = {}
    for dialect in _listed():
        for name, reason in functions(dialect).reasons.items():
            if name not in found.setdefault(reason, []):
                found[reason].append(name)
    rows = (f"| it {reason} | {_some(names)} |\n" for reason, names in sorted(found.items()))
    return "| a function is refused because | such as |\n|---|---|\n" + "".join(rows)


def _listed() -> list[str]:
    return sorted(name for name, record in DIALECTS.items() if record.function_lists)


def _row(dialect: str) -> str:
    known = functions(dialect)
    in_from = "any of these" if known.tables is None else f"{len(known.tables)}"
    lists = ("common", *DIALECTS[dialect].function_lists)
    files = ", ".join(f"[{name}](../rsql_magic/sql/dialects/functions/{name}.txt)" for name in lists)
    return f"| {dialect} | {len(known.allowed)} | {in_from} | {len(known.reasons)} | {files} |\n"


def _some(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names)[:6]) + (", …" if len(names) > 6 else "")
