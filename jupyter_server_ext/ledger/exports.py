"""The ledger's entries as a file: CSV or Parquet. What people wrote is not part of it.

Entries are read and written a few at a time, so a year of them takes no more memory than a day.
"""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_server_ext.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

FORMATS = ("csv", "parquet")
_TYPES = {
    "instance": "VARCHAR",
    "number": "BIGINT",
    "request_id": "VARCHAR",
    "attempt": "INTEGER",
    "at": "DOUBLE",
    "caller": "VARCHAR",
    "tenant": "VARCHAR",
    "task": "VARCHAR",
    "model": "VARCHAR",
    "key": "VARCHAR",
    "prompt_tokens": "BIGINT",
    "completion_tokens": "BIGINT",
    "cached_tokens": "BIGINT",
    "estimated": "BOOLEAN",
    "cost_nanodollars": "BIGINT",
    "prompt_hash": "VARCHAR",
    "status": "INTEGER",
    "error": "VARCHAR",
    "attempts": "INTEGER",
    "queue_seconds": "DOUBLE",
    "upstream_seconds": "DOUBLE",
    "first_token_seconds": "DOUBLE",
    "duration_seconds": "DOUBLE",
    "cached": "BOOLEAN",
    "day": "VARCHAR",
    "forgotten": "BOOLEAN",
    "cache": "VARCHAR",
    "saved_nanodollars": "BIGINT",
    "api_key": "VARCHAR",
}
"""The columns of an export, with their types in Parquet."""


def export(rows: Iterable[dict[str, Any]], path: Path, form: str) -> int:
    """Write entries to a file; return how many there were. An older file of the name is replaced when all is written.

    Only the owner may read the file.

    Args:
        rows: As ``SqlLedgerStore.rows`` gives them.
        path: The file.
        form: ``csv`` or ``parquet``.

    Raises:
        ConfigError: The file cannot be written, or the form is another.
    """
    if form not in FORMATS:
        raise ConfigError(f"An export is one of: {', '.join(FORMATS)}.")
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".rsql-export-") as folder:
            table = Path(folder) / "entries.csv"
            count = _write_csv(rows, table)
            if form == "parquet":
                table = _as_parquet(table)
            table.chmod(0o600)
            table.replace(path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror}).") from None
    return count


def _write_csv(rows: Iterable[dict[str, Any]], path: Path) -> int:
    count = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, _TYPES, lineterminator="\n")
        writer.writeheader()
        for count, row in enumerate(rows, start=1):  # noqa: B007 - the last number is wanted
            writer.writerow(row)
    return count


def _as_parquet(table: Path) -> Path:
    """The same as Parquet, by DuckDB, which is there anyway."""
    import duckdb

    parquet = table.with_suffix(".parquet")
    columns = ", ".join(f"'{name}': '{kind}'" for name, kind in _TYPES.items())
    # No value of anybody is part of these words: paths are our own, and names stand above.
    texts = ", ".join(
        f'coalesce("{name}", \'\') AS "{name}"' if kind == "VARCHAR" else f'"{name}"' for name, kind in _TYPES.items()
    )
    read = f"read_csv('{table}', header=true, auto_detect=false, quote='\"', columns={{{columns}}})"
    query = f"SELECT {texts} FROM {read}"  # noqa: S608
    with duckdb.connect(config={"threads": 1}) as db:
        db.execute(f"COPY ({query}) TO '{parquet}' (FORMAT parquet, COMPRESSION zstd)")
    return parquet
