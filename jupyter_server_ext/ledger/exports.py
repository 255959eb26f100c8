"""The ledger's entries as a file: CSV or Parquet. What people wrote is not part of it."""

# Entries are read and written a few at a time, so a year of them takes no more memory than a day.

from __future__ import annotations

import csv
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_server_ext.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

FORMATS = ("csv", "parquet")
_KINDS = {
    "String": "VARCHAR",
    "Text": "VARCHAR",
    "Integer": "INTEGER",
    "BigInteger": "BIGINT",
    "Float": "DOUBLE",
    "Boolean": "BOOLEAN",
}

_CAME_LATER = ("api_key", "session", "client_id", "trace", "question", "tables", "error_text")


@cache
def _types() -> dict[str, str]:
    """The columns of an export, with their types in Parquet; those come last that came last into the ledger."""
    from jupyter_server_ext.ledger.reader import EXPORTED

    types = {column.name: _KINDS[type(column.type).__name__] for column in EXPORTED}
    return types | {name: types.pop(name) for name in _CAME_LATER}


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
            count = 0
            with table.open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, _types(), lineterminator="\n")
                writer.writeheader()
                for count, row in enumerate(rows, start=1):  # noqa: B007 - the last number is wanted
                    writer.writerow(row)
            if form == "parquet":
                table = _as_parquet(table)
            table.chmod(0o600)
            table.replace(path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror}).") from None
    return count


def _as_parquet(table: Path) -> Path:
    """The same as Parquet, by DuckDB, which is there anyway."""
    import duckdb

    parquet = table.with_suffix(".parquet")
    columns = ", ".join(f"'{name}': '{kind}'" for name, kind in _types().items())
    # No value of anybody is part of these words: paths are our own, and names stand above.
    texts = ", ".join(
        f'coalesce("{name}", \'\') AS "{name}"' if kind == "VARCHAR" else f'"{name}"' for name, kind in _types().items()
    )
    read = f"read_csv('{table}', header=true, auto_detect=false, quote='\"', columns={{{columns}}})"
    query = f"SELECT {texts} FROM {read}"  # noqa: S608
    # The gateway goes on answering beside it.
    with duckdb.connect(config={"threads": 1}) as db:
        db.execute(f"COPY ({query}) TO '{parquet}' (FORMAT parquet, COMPRESSION zstd)")
    return parquet
