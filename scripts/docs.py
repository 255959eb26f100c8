"""Write the tables of the docs that are made from the code."""

from __future__ import annotations

import re
from pathlib import Path

from jupyter_server_ext.config import presets_table
from jupyter_server_ext.handlers.console_sections import sections_table
from jupyter_server_ext.handlers.routes import groups_table
from jupyter_server_ext.webhooks import events_table
from rsql_magic import api
from rsql_magic.config import settings_table
from rsql_magic.options import ASK, SQL_AI, options_table
from rsql_magic.panel.messages import commands_table
from rsql_magic.sql import functions
from rsql_magic.sql.dialects.table import DIALECTS

SETTINGS = Path(__file__).parent.parent / "docs" / "settings.md"
MAGICS = SETTINGS.with_name("magics.md")
GATEWAY = SETTINGS.with_name("gateway.md")
API = SETTINGS.with_name("api.md")
PANEL = SETTINGS.with_name("panel.md")
CONSOLE = SETTINGS.with_name("console.md")
WEBHOOKS = SETTINGS.with_name("webhooks.md")
SAFETY = SETTINGS.with_name("sql-safety.md")
_TABLE = re.compile(r"^\| setting \|.*?(?=^(?!\|)|\Z)", re.M | re.S)


def between_marks(page: str, name: str, table: str) -> str:
    """A page with a table put between ``<!-- name: … -->`` and ``<!-- end -->``."""
    return re.sub(rf"(<!-- {name}: [^\n]*-->\n).*?(<!-- end -->)", lambda m: f"{m[1]}{table}{m[2]}", page, flags=re.S)


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


def api_table() -> str:
    """The public names by the sections of their list, each with the first sentence of its docstring, as Markdown."""
    lines = []
    for line in Path(api.__file__).with_suffix(".pyi").read_text(encoding="utf-8").splitlines()[1:]:
        if line.startswith("# "):
            lines += [f"\n### {line[2:]}\n", "| name | what it is |", "|---|---|"]
        elif line:
            name = line.rpartition(" ")[2]
            said = (getattr(api, name).__doc__ or "").split("\n\n")[0].removesuffix(".")
            lines.append(f"| `{name}` | {' '.join(said.split()).replace('|', ' or ')} |")
    return "\n".join(lines).lstrip("\n") + "\n"


if __name__ == "__main__":
    page = SETTINGS.read_text(encoding="utf-8")
    table = settings_table().rstrip("\n") + "\n"
    SETTINGS.write_text(_TABLE.sub(lambda _: table, page, count=1), encoding="utf-8")
    print(SETTINGS)
    for file, name, table in (
        (SAFETY, "functions", functions_table()),
        (SAFETY, "reasons", reasons_table()),
        (MAGICS, "options of %%ask", f"{options_table(ASK)}\n"),
        (MAGICS, "options of %%sql_ai", f"{options_table(SQL_AI)}\n"),
        (GATEWAY, "providers", presets_table()),
        (GATEWAY, "groups", groups_table()),
        (API, "api", api_table()),
        (CONSOLE, "sections", sections_table()),
        (PANEL, "commands", commands_table()),
        (WEBHOOKS, "events", events_table()),
    ):
        file.write_text(between_marks(file.read_text(encoding="utf-8"), name, table), encoding="utf-8")
        print(f"{file}: {name}")
