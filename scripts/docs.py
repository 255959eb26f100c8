"""Write the tables of the docs that are made from the code: docs/settings.md."""

from __future__ import annotations

import re
from pathlib import Path

from rsql_magic.config import settings_table

SETTINGS = Path(__file__).parent.parent / "docs" / "settings.md"
_TABLE = re.compile(r"^\| setting \|.*?(?=^(?!\|)|\Z)", re.M | re.S)

if __name__ == "__main__":
    page = SETTINGS.read_text(encoding="utf-8")
    table = settings_table().rstrip("\n") + "\n"
    SETTINGS.write_text(_TABLE.sub(lambda _: table, page, count=1), encoding="utf-8")
    print(SETTINGS)
