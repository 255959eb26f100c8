"""Write the tables of the docs that are made from the code: magics.md, settings.md, sql-safety.md, gateway.md."""

from __future__ import annotations

import re
from pathlib import Path

from jupyter_server_ext.config import presets_table
from rsql_magic.config import settings_table
from rsql_magic.options import ASK, SQL_AI, options_table
from rsql_magic.sql.dialects.functions import functions_table, reasons_table

SETTINGS = Path(__file__).parent.parent / "docs" / "settings.md"
MAGICS = SETTINGS.with_name("magics.md")
GATEWAY = SETTINGS.with_name("gateway.md")
SAFETY = SETTINGS.with_name("sql-safety.md")
_TABLE = re.compile(r"^\| setting \|.*?(?=^(?!\|)|\Z)", re.M | re.S)


def between_marks(page: str, name: str, table: str) -> str:
    """A page with a table put between ``<!-- name: … -->`` and ``<!-- end -->``."""
    return re.sub(rf"(<!-- {name}: [^\n]*-->\n).*?(<!-- end -->)", lambda m: f"{m[1]}{table}{m[2]}", page, flags=re.S)


if __name__ == "__main__":
    page = SETTINGS.read_text(encoding="utf-8")
    table = settings_table().rstrip("\n") + "\n"
    SETTINGS.write_text(_TABLE.sub(lambda _: table, page, count=1), encoding="utf-8")
    print(SETTINGS)
    page = between_marks(SAFETY.read_text(encoding="utf-8"), "functions", functions_table())
    SAFETY.write_text(between_marks(page, "reasons", reasons_table()), encoding="utf-8")
    print(SAFETY)
    page = MAGICS.read_text(encoding="utf-8")
    for name, options in (("ask", ASK), ("sql_ai", SQL_AI)):
        page = between_marks(page, f"options of %%{name}", f"{options_table(options)}\n")
    MAGICS.write_text(page, encoding="utf-8")
    print(MAGICS)
    page = between_marks(GATEWAY.read_text(encoding="utf-8"), "providers", presets_table())
    GATEWAY.write_text(page, encoding="utf-8")
    print(GATEWAY)
