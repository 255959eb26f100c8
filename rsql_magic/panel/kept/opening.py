"""A kept artifact as a value of Python, and as a cell that makes it one again."""

from __future__ import annotations

import io
import json
import re
from typing import TYPE_CHECKING, Any

from rsql_magic.options import is_variable

if TYPE_CHECKING:
    from rsql_magic.panel.kept.artifacts import Artifact

_LANGUAGES = {"py": "python", "r": "r", "sql": "sql"}


def value_of(one: Artifact, content: bytes) -> Any:
    """Rows as a pandas frame, a picture to be shown, a chart as Vega-Lite, and all else as text."""
    if one.kind == "table":
        import pandas as pd

        file = io.BytesIO(content)
        return pd.read_csv(file) if one.media == "text/csv" else pd.read_parquet(file)
    if one.kind == "picture":
        from IPython.display import Image

        return Image(content, format="png")  # type: ignore[no-untyped-call]
    if one.kind == "chart":
        return json.loads(content)
    return content.decode("utf-8", "replace")


def as_code(one: Artifact) -> str:
    """Code that opens an artifact, under a name where it is a value to go on with.

    Example:
        >>> from rsql_magic.panel.kept.artifacts import Artifact
        >>> print(as_code(Artifact("0a1b", "c", "p", "table", "late-flights.parquet", "", "", 9, 0.0, False)))
        import rsql_magic
        <BLANKLINE>
        late_flights = rsql_magic.artifact("0a1b")
        late_flights
    """
    call = f'rsql_magic.artifact("{one.id}")'
    if one.count.startswith("first"):
        call = f"{call}  # {one.count}"
    if one.kind in {"picture", "study"}:  # which are looked at
        return f"import rsql_magic\n\n{call}"
    name = re.sub(r"\W+", "_", one.name.partition(".")[0]).strip("_").lower()
    name = name if is_variable(name) else f"artifact_{name}".rstrip("_")
    return f"import rsql_magic\n\n{name} = {call}\n{name}"


def language_of(one: Artifact) -> str:
    """The language of a script or query; empty for what is none."""
    return _LANGUAGES.get(one.name.rpartition(".")[2].lower(), "") if one.kind in {"script", "sql"} else ""
