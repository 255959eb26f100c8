"""Sources: what a user names to be added (files, folders, addresses, help) and how each is read."""

from __future__ import annotations

import os
import pydoc
import re
from dataclasses import dataclass
from difflib import get_close_matches
from glob import glob, has_magic
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from rsql_magic.errors import BadInput
from rsql_magic.knowledge.documents.formats import Notes, sections
from rsql_magic.knowledge.documents.passages import split
from rsql_magic.knowledge.documents.plugged import kinds
from rsql_magic.knowledge.documents.rd import installed_help
from rsql_magic.knowledge.documents.web import fetch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rsql_magic.knowledge.documents.passages import Passage, Section

_MOST_FILES = 2_000  # of one folder
_MOST_BYTES = 50_000_000  # of one file
_MOST_BYTES_OF_PDF = 200_000_000  # which are mostly pictures
_HELP = re.compile(r"\?{1,2}(?:(?P<package>[A-Za-z][\w.]*):::?)?(?P<topic>\S+)|r:(?P<whole>[A-Za-z][\w.]*)", re.I)
_PYTHON = re.compile(r"(?:python|py):(?P<name>[A-Za-z_][\w.]*)")


@dataclass(frozen=True, slots=True)
class Document:
    """A document that was read."""

    name: str
    origin: str  # path, address or help topic
    kind: str  # its format
    mark: str  # changes with its content: size and time of a file, else a hash
    passages: tuple[Passage, ...]


def read_all(words: list[str], notes: Notes, progress: Callable[[int, int, str], None]) -> Iterator[Document]:
    """Read what was named, one document after the other; in a folder what cannot be read is left out and said.

    Raises:
        BadInput: Nothing is there of that name, or it cannot be read.
    """
    for word in words:
        if re.match(r"https?://", word, re.I):
            progress(0, 1, word)
            yield _page(word, notes)
        elif found := _HELP.fullmatch(word):
            yield from _r_help(found["whole"] or found["package"] or "", found["topic"] or "", progress)
        elif found := _PYTHON.fullmatch(word):
            yield _python_help(found["name"])
        else:
            yield from _files(word, notes, progress)


def change_mark(path: Path) -> str:
    """What changes when a file does; empty for one that is not there."""
    try:
        found = path.stat()
    except OSError:
        return ""
    return f"{found.st_size} {found.st_mtime_ns}"


def read_file(path: Path, name: str, notes: Notes) -> Document:
    """Read one file.

    Raises:
        BadInput: It is too large, of no known format, or holds nothing to read.
    """
    kind = kinds().get(path.suffix.lower(), "")
    try:
        size, mark = path.stat().st_size, change_mark(path)
        most = _MOST_BYTES_OF_PDF if kind == "pdf" else _MOST_BYTES
        if size > most:
            reason = f"{name} has {size // 1_000_000:,} MB; at most {most // 1_000_000} MB are read."
            raise BadInput(reason, hint="Split it, and add the parts that matter.")
        data = path.read_bytes()
    except OSError as problem:
        raise BadInput(f"{name} cannot be read: {problem.strerror}.", hint="Check the path.") from None
    found = sections(data, kind or "text", name, notes)
    return _document(name, str(path), kind or "text", mark, found)


def _document(name: str, origin: str, kind: str, mark: str, found: list[Section]) -> Document:
    return Document(name, origin, kind, mark, tuple(split(name, found)))


# Files.


def _files(word: str, notes: Notes, progress: Callable[[int, int, str], None]) -> Iterator[Document]:
    path = Path(word).expanduser()
    if path.is_file():
        notes.progress = lambda done, all_: progress(done, all_, f"{path.name}, page {done:,} of {all_:,}")
        progress(0, 1, path.name)
        yield read_file(path, _name(path), notes)
        return
    if has_magic(word) and not path.exists():
        paths = sorted(Path(each) for each in glob(str(path), recursive=True) if Path(each).is_file())  # noqa: PTH207
    elif path.is_dir():
        paths = list(_within(path))
    else:
        raise _missing(path)
    if not paths:
        hint = f"Files are known by their suffix: {', '.join(sorted(kinds()))}."
        raise BadInput(f"{word} holds no document.", hint=hint)
    if len(paths) > _MOST_FILES:
        notes.said.append(f"{word} holds more than {_MOST_FILES:,} files; the first {_MOST_FILES:,} were read")
        paths = paths[:_MOST_FILES]
    failed = []
    for number, each in enumerate(paths):
        progress(number, len(paths), str(each))
        try:
            yield read_file(each, _name(each), notes)
        except BadInput as problem:
            failed.append(problem)
    if len(failed) == len(paths):
        raise failed[0]
    notes.said += [f"left out: {problem.message.rstrip('.')}" for problem in failed]


def _within(folder: Path) -> Iterator[Path]:
    """The documents of a folder and those below it, without hidden ones; one more than are read, at most."""
    count, known = 0, kinds()
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(each for each in folders if not each.startswith((".", "__")) and each != "node_modules")
        for name in sorted(names):
            if not name.startswith(".") and Path(name).suffix.lower() in known:
                yield Path(place, name)
                count += 1
                if count > _MOST_FILES:
                    return


def _name(path: Path) -> str:
    """What a file is called: its path from here, or its own name where it is elsewhere."""
    try:
        return path.resolve().relative_to(Path.cwd()).as_posix()
    except (ValueError, OSError):
        return path.name


def _missing(path: Path) -> BadInput:
    folder = path.parent if path.parent.is_dir() else Path()
    try:
        names = [each.name for _, each in zip(range(10_000), folder.iterdir(), strict=False)]
    except OSError:
        names = []
    near = get_close_matches(path.name, names, 1, 0.5)
    hint = (
        f"Did you mean {folder / near[0]}?" if near else "Check the path, or add an address that begins with https://."
    )
    return BadInput(f"There is no {path}.", hint=hint)


# Addresses and help.


def _page(url: str, notes: Notes) -> Document:
    page = fetch(url, kinds())
    parts = urlsplit(url)
    last = unquote(parts.path.rstrip("/").rpartition("/")[2])
    name = f"{parts.hostname}/{last}" if last else parts.hostname or url
    return _document(
        name, url, page.kind, sha256(page.data).hexdigest()[:16], sections(page.data, page.kind, name, notes)
    )


def _r_help(package: str, topic: str, progress: Callable[[int, int, str], None]) -> Iterator[Document]:
    packages = [package] if package else ["base", "stats", "utils", "graphics", "grDevices", "methods", "datasets"]
    for number, each in enumerate(packages, 1):
        try:
            yield from _r_pages(each, topic, progress)
        except BadInput as problem:
            if number < len(packages) and "no help page" in problem.message:
                continue
            if package or "no help page" not in problem.message:
                raise
            hint = "Name its package: %rsql docs add ?stats::lm."
            raise BadInput(f"R's own packages have no help page {topic}.", hint=hint) from None
        return


def _r_pages(package: str, topic: str, progress: Callable[[int, int, str], None]) -> Iterator[Document]:
    total, done = 0, 0
    for page in installed_help(package, topic):
        if isinstance(page, int):
            total = page
            continue
        progress(done, total, f"{package}::{page.name}")
        done += 1
        name, text = f"{package}::{page.name}", page.text
        found = sections(text.encode("utf-8", "replace"), "help", name)
        yield _document(name, f"?{name}", "help", _hash(text.encode("utf-8", "replace")), found)


def _python_help(name: str) -> Document:
    """The help of a module, class or function, as ``help()`` shows it."""
    try:
        text = pydoc.plain(pydoc.render_doc(name, "%s"))
    except (ImportError, pydoc.ErrorDuringImport):
        raise BadInput(
            f"Python has no help on {name}.", hint="Name a module, or what is in one: python:json.dumps."
        ) from None
    found = sections(text.encode("utf-8", "replace"), "help", name)
    return _document(name, f"python:{name}", "help", _hash(text.encode("utf-8", "replace")), found)


def _hash(data: bytes) -> str:
    return sha256(data).hexdigest()[:16]
