"""Files that the code of an answer reads although the frames are loaded: a model's habit, found and put right."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from rsql_magic.gateway import Block

# Readers of files in pandas, polars and R, with the name of the file.
_READER = r"\b(?:read[._](?!html|sql|clipboard)\w+|scan_\w+|readRDS|fread)\(\s*[\"'](?P<file>[^\"'\n/\\~]+)[\"']"
_READS = re.compile(rf"^(?!\s*#).*?{_READER}", re.M)
# The call, up to its end where that is on the same line.
_CALL = re.compile(
    rf"(?:(?P<target>^[ \t]*(?P<name>\w+) *(?:=|<-) *))?(?:\b\w+(?:\.|::))?{_READER}[^()\n]*\)(?:\.collect\(\))?", re.M
)
_BLOCK = re.compile(r"^[ \t]*(```|~~~).*?(?:^[ \t]*\1|\Z)", re.M | re.S)
# Questions about files, whose answers read some, in four languages.
_OF_FILES = re.compile(
    r"(?<![^\W_])(?:read|load|import|open|file|csv|excel|xlsx|parquet|json|lese|einlese|lade|datei|lire|charg|fichier|leer"
    r"|carg|archivo)",
    re.I,
)
_LOADING = r"^(?:[ \t]*#.*\b(?:load|read|import)\w*\b.*\n)?"


def use_loaded(text: str, loaded: Collection[str], question: str) -> tuple[str, list[str]]:
    r"""An answer that reads no frame from a file which does not exist while the frame is loaded, and what was changed.

    ``loaded`` are the names of the described frames. Where the question speaks of files, nothing is changed.

    Example:
        >>> print(use_loaded("```r\nsales <- read.csv('sales.csv')\nsum(sales$amount)\n```", ["sales"], "")[0])
        ```r
        sum(sales$amount)
        ```
    """
    found: dict[str, None] = {}
    if _OF_FILES.search(question):
        return text, []

    def used(match: re.Match[str]) -> str:
        name, file = match["name"], match["file"]
        frame = next((each for each in (Path(file).stem, name) if each in loaded), "")
        if not frame or not _is_unseen(file, text):
            return match[0]
        found[f"`{frame}` is loaded and was not read from {file!r} (left out by rules)"] = None
        return f"{match['target'] or ''}{frame}"

    def block(match: re.Match[str]) -> str:
        code = _CALL.sub(used, match[0])
        for frame in map(re.escape, loaded) if found else ():  # `sales = sales`, with the comment above it
            code = re.sub(rf"{_LOADING}[ \t]*{frame} *(?:=|<-) *{frame}[ \t]*(?:#.*)?\n", "", code, flags=re.M | re.I)
        return code

    return _BLOCK.sub(block, text), list(found)


def _is_unseen(file: str, code: str) -> bool:
    written = len(re.findall(rf"^[^#\n]*([\"']){re.escape(file)}\1", code, re.M)) > 1
    return not (written or os.path.exists(file))  # noqa: PTH110 - Path.exists raises for names that are too long


def read_unseen(blocks: Sequence[Block], question: str | None) -> list[str]:
    """Files beside the notebook that code reads and that do not exist: a model's habit, where frames are loaded."""
    # A file that one of the blocks writes may be read. Where the question speaks of files, nothing is wrong; it is None
    # where no frames are described, so that none is known.
    code = "\n".join(block.code for block in blocks)
    files = [(number, match["file"]) for number, block in enumerate(blocks, 1) for match in _READS.finditer(block.code)]
    return [
        f"The {blocks[number - 1].language} block {number} reads {file!r}, and there is no such file: the described "
        "frames are loaded, and are to be used by their names."
        for number, file in files
        if question is not None and not _OF_FILES.search(question) and _is_unseen(file, code)
    ]
