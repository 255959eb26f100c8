"""Questions whose SQL a person has looked at: kept in a file, and shown to the model when a question resembles one.

The file ``rsql_verified.jsonl`` beside the notebook belongs to the project and can be committed with it; the one in the
user's configuration folder goes along to every notebook. A line is one JSON object: ``question``, ``sql``, ``dialect``.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rsql_magic.errors import BadInput
from rsql_magic.sql import stems

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NAME = "rsql_verified.jsonl"
"""The file beside the notebook."""

ALIKE = 0.35
"""From here on two questions resemble each other."""


@dataclass(frozen=True, slots=True)
class Verified:
    """A question, and the SQL that answers it."""

    question: str
    sql: str
    dialect: str = ""


def paths(environ: Mapping[str, str] | None = None) -> tuple[Path, Path]:
    """The file beside the notebook, and the user's own."""
    environ = os.environ if environ is None else environ
    home = environ.get("XDG_CONFIG_HOME") or str(Path("~/.config").expanduser())
    return Path(NAME), Path(home, "rsql", "verified.jsonl")


def keep(one: Verified, path: Path) -> None:
    """Add a question to a file, in place of what it said of the same question before.

    Raises:
        BadInput: The file cannot be written.
    """
    others = [known for known in read([path]) if (known.question, known.dialect) != (one.question, one.dialect)]
    _write([*others, one], path)


def drop(one: Verified, path: Path) -> None:
    """Take a question out of a file again, as far as the file holds it with this SQL.

    Raises:
        BadInput: The file cannot be written.
    """
    known = read([path])
    if one in known:
        _write([each for each in known if each != one], path)


def _write(known: Iterable[Verified], path: Path) -> None:
    lines = (json.dumps(asdict(one), ensure_ascii=False) + "\n" for one in known)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(lines), encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {error.strerror}.", hint="%rsql verify --user keeps it.") from None


def read(files: Iterable[Path]) -> list[Verified]:
    """What the files hold; a file that is not there, and a line that is none, hold nothing."""
    return [one for path in files if path.is_file() for one in map(_line, _lines(path)) if one is not None]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []


def _line(text: str) -> Verified | None:
    try:
        entry = json.loads(text)
    except ValueError:
        return None
    known = isinstance(entry, dict) and isinstance(entry.get("question"), str) and isinstance(entry.get("sql"), str)
    return Verified(entry["question"], entry["sql"], str(entry.get("dialect") or "")) if known else None


def resembling(question: str, known: Iterable[Verified], most: int = 3) -> list[Verified]:
    """The verified questions most like this one, best first.

    Example:
        >>> known = [Verified("How many orders per month?", "SELECT 1"), Verified("Who is the oldest?", "SELECT 2")]
        >>> [one.sql for one in resembling("orders per month in 2024", known)]
        ['SELECT 1']
    """
    asked = set(stems(question))
    scored = [(_likeness(asked, set(stems(one.question))), place, one) for place, one in enumerate(known)]
    return [one for score, _, one in sorted(scored, key=lambda s: (-s[0], s[1])) if score >= ALIKE][:most]


def _likeness(one: set[str], other: set[str]) -> float:
    """The share of words in common (Jaccard)."""
    return len(one & other) / len(one | other) if one and other else 0.0
