"""A dictionary beside a database: drafted from it, and checked against it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from rsql_magic.errors import BadInput, QueryFailed, QueryRejected
from rsql_magic.knowledge import check_file, check_schema, checks_of_data, draft, read_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from rsql_magic.databases.engines import Engine
    from rsql_magic.knowledge import DataCheck, Misfit
    from rsql_magic.sql import Privacy

CHECK_SECONDS = 60.0  # for all statements about the data; what is left then is said to be unchecked


def draft_dictionary(path: str, engine: Engine, level: Privacy) -> Path:
    """Write a draft of a ``data-dict.yaml`` with what a database tells at a privacy level; gives the file's path.

    Raises:
        BadInput: The file is there already, which is never written over, or cannot be written.
    """
    file = Path(path).expanduser()
    another = f"Name another file: %rsql dictionary init {file.stem}-draft.yaml."
    if file.exists():
        raise BadInput(f"{file} is there already, and is not written over.", hint=another)
    text = draft(engine.catalog(level))
    try:
        with file.open("x", encoding="utf-8") as opened:
            opened.write(text)
    except OSError as problem:
        raise BadInput(f"{file} cannot be written: {problem.strerror}.", hint=another) from None
    return file


def check_dictionary(
    path: str, engine: Engine | None, seconds: float = CHECK_SECONDS, clock: Callable[[], float] = time.monotonic
) -> list[Misfit]:
    """What does not fit in a dictionary: in the file itself, in the database's schema, and in its data.

    Each level needs the one before: a file that cannot be used is not compared, and columns that are not there are not
    asked about. Statements are read-only, guarded and bounded; ``seconds`` is for all of them. Without an engine only
    the file is checked.

    Raises:
        BadInput: The file cannot be read.
        ConnectionProblem: The database cannot be read.
    """
    file = Path(path).expanduser()
    dictionary, found = check_file(read_text(file, path), path)
    if dictionary is None or engine is None:
        return found
    with engine:
        catalog = engine.stored()
        found += check_schema(dictionary, catalog)
        until = clock() + seconds
        for check in checks_of_data(dictionary, catalog):
            left = until - clock()
            misfit = _checked(check, engine, left) if left > 0 else check.unchecked("no time was left")
            found += [misfit] if misfit else []
    return found


def _checked(check: DataCheck, engine: Engine, seconds: float) -> Misfit | None:
    try:
        rows = engine.run(check.sql, max_rows=10, timeout=seconds).df
    except (QueryFailed, QueryRejected) as error:
        return check.unchecked(str(error).rstrip("."))
    return check.misfit([tuple(row) for row in rows.astype(object).where(rows.notna(), None).to_numpy().tolist()])
