"""What a message names beside the notebook's variables: files beside it, entries of its dictionary, its documents."""

# A file is named by its path below the notebook's folder. Of tables in files only columns and types are told, at every
# privacy level: their rows are read into a frame first, which is described as frames are.

from __future__ import annotations

import json
import os
import re
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from rsql_magic.context import Piece, count_tokens
from rsql_magic.diagnostics import log
from rsql_magic.errors import BadInput, RsqlError, UnknownName
from rsql_magic.plain_text import printable
from rsql_magic.redaction import redact
from rsql_magic.sql import fence, stated_definition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from rsql_magic.assistant import Assistant
    from rsql_magic.sql import Definitions

READERS = {".csv": "csv", ".tsv": "csv", ".parquet": "parquet"}  # tables in files, by their endings
# Endings of what people write.
_WRITTEN = frozenset({".md", ".txt", ".rst", ".tex", ".toml", ".yaml", ".yml", ".ipynb", ".rmd", ".qmd"}) | {
    *(".py", ".r", ".sql", ".jl", ".sh"),
}
_LARGEST = 1 << 20  # bytes of a text that are read
_LONGEST = 20_000  # characters of it that are sent
_MOST = 20  # names of one kind that are offered
_MOST_SEEN = 3000  # files that are looked at for completion
_NOT_HERE = frozenset({"node_modules", "__pycache__", "venv", "build", "dist"})


def files(folder: Path) -> Iterator[str]:
    """Files below a folder that can be named: those that people wrote, and tables; none that is hidden."""
    seen = 0
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(each for each in folders if not each.startswith(".") and each not in _NOT_HERE)
        for name in sorted(names):
            seen += 1
            if seen > _MOST_SEEN:
                return
            if not name.startswith(".") and Path(name).suffix.lower() in {*_WRITTEN, *READERS}:
                yield (Path(place) / name).relative_to(folder).as_posix()


def file_piece(name: str, folder: Path) -> Piece:
    """What is sent of a file.

    Raises:
        UnknownName: There is no such file below the folder.
        BadInput: It cannot be read as text, or holds data that a frame has to hold first.
    """
    path, hidden = (folder / name).resolve(), any(part.startswith(".") for part in Path(name).parts)
    if hidden or not path.is_relative_to(folder.resolve()) or not path.is_file():
        raise UnknownName(f"There is no file {name} beside the notebook.", hint="Type @file: to see what there is.")
    ending = path.suffix.lower()
    if ending in READERS:
        return _piece("file", name, _columns(path, name))
    if ending not in _WRITTEN:
        raise BadInput(f"{name} is no text that can be sent.", hint="Read it into a frame, and name that.")
    try:
        if path.stat().st_size > _LARGEST:
            raise BadInput(
                f"{name} is larger than {_LARGEST >> 20} MB.", hint="Copy the part that matters into a cell."
            )
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise BadInput(f"{name} cannot be read: {error.strerror or error}.", hint="Look at its permissions.") from None
    return _piece("file", name, _sources(text) if ending == ".ipynb" else text)


def _piece(kind: str, name: str, text: str) -> Piece:
    text = redact(printable(text))[0]
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}\n… ({len(text):,} characters in all)"
    return Piece(kind, name, text, count_tokens(text), "named in the question")


# The sources of a notebook's cells; their outputs may hold data.
def _sources(text: str) -> str:
    try:
        cells = json.loads(text)["cells"]
        return "\n\n".join("".join(each["source"]) for each in cells)
    except (ValueError, KeyError, TypeError):
        raise BadInput("The file is no notebook that can be read.", hint="Open it, and save it again.") from None


def _columns(path: Path, name: str) -> str:
    try:
        kinds = _kinds(path)
    except ImportError as error:
        raise BadInput(f"Reading {name} needs {error.name}.", hint=f"pip install {error.name}") from None
    except Exception as error:
        log.debug("a file cannot be read as a table", exc_info=True)
        reason = f"{name} cannot be read as a table ({type(error).__name__})."
        raise BadInput(reason, hint="Look at its first lines: is it the format that its name says?") from None
    columns = ", ".join(f"{column} ({kind})" for column, kind in islice(kinds.items(), 200))
    more = f", and {len(kinds) - 200:,} more" if len(kinds) > 200 else ""
    return f"A table in a file, {path.stat().st_size:,} bytes. Its columns: {columns}{more}. Read by: {reading(name)}"


def _kinds(path: Path) -> dict[str, str]:
    if READERS[path.suffix.lower()] == "parquet":
        import pyarrow.parquet as pq  # type: ignore[import-untyped]

        return {field.name: str(field.type) for field in pq.read_schema(path)}
    import pandas as pd

    head = pd.read_csv(path, nrows=200, sep="\t" if path.suffix.lower() == ".tsv" else ",")
    return {str(column): str(kind) for column, kind in head.dtypes.items()}


def reading(name: str) -> str:
    """The expression that reads a table in a file.

    Example:
        >>> reading("data/sales.csv")
        "pd.read_csv('data/sales.csv')"
    """
    tabs = ", sep='\\t'" if name.lower().endswith(".tsv") else ""
    return f"pd.read_{READERS[Path(name).suffix.lower()]}({name!r}{tabs})"


# Entries of the dictionary.


def entries(definitions: Definitions) -> dict[str, str]:
    """The metrics, filters, derived values and terms of a dictionary, each as it is told."""
    found = {name: f"{name}: {meaning}" for name, meaning in definitions.glossary.items()}
    return found | {one.name: stated_definition(one) for one in definitions.named}


class Attachments:
    """What a question can name beside variables and tables, as it is at this moment."""

    def __init__(self, assistant: Assistant, folder: Callable[[], Path] = Path.cwd) -> None:
        self._assistant, self._folder = assistant, folder

    def offers(self, prefix: str) -> list[tuple[str, str, str]]:
        """Names for completion: each with its kind and a detail."""
        kind, _, begun = prefix.partition(":")
        wanted = begun.lower() if kind in {"file", "term", "doc"} else prefix.lower()
        if kind not in {"file", "term", "doc"}:
            kind = ""

        def fits(name: str) -> bool:  # without a kind only what begins so: there may be many files
            return wanted in name.lower() if kind else Path(name).name.lower().startswith(wanted)

        sources: dict[str, Callable[[], Mapping[str, str]]] = {
            "file": lambda: dict.fromkeys(files(self._folder()), ""),
            "term": self._terms,
            "doc": lambda: dict.fromkeys(self._documents(), ""),
        }
        return [
            (f"{source}:{_quoted(name)}", source, printable(text)[:60])
            for source, read in sources.items()
            if kind in {"", source}
            for name, text in islice(((name, text) for name, text in read().items() if fits(name)), _MOST)
        ]

    def piece(self, kind: str, name: str) -> Piece:
        """What is sent of a file or of a dictionary's entry.

        Raises:
            RsqlError: There is none, or it cannot be sent.
        """
        if kind == "file":
            return file_piece(name, self._folder())
        terms = self._terms()
        if (text := terms.get(name)) is None:
            raise UnknownName(f"The dictionary has no entry {name}.", hint="Type @term: to see what there is.")
        return _piece("definition", name, text)

    def problem(self, kind: str, name: str) -> RsqlError | None:
        """Why something cannot be sent; None where it can."""
        if kind == "doc":
            there = name in self._documents()
            return None if there else UnknownName(f"There is no document {name}.", hint="%rsql docs lists them.")
        try:
            self.piece(kind, name)
        except RsqlError as error:
            return error
        return None

    def _terms(self) -> dict[str, str]:
        dictionary = self._assistant.dictionary.current()
        return entries(dictionary.definitions) if dictionary is not None else {}

    def _documents(self) -> list[str]:
        from rsql_magic.assistant import DOCUMENTS

        return [each.name for each in self._assistant.documents.library.documents()] if DOCUMENTS.exists() else []


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"\w[\w./-]*\w|\w", name) else f'"{name}"'


def with_pieces(text: str, pieces: Iterable[Piece]) -> str:
    """A question to a database with what it names beside the notebook, for which its prompt has no other place."""
    told = (fence(piece.kind, piece.name, piece.text).replace("{{", "{ {") for piece in pieces)
    return "\n\n".join([text, *told])
