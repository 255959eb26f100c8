"""The log of kernel, panel and command: quiet until it is switched on, and without data and secrets.

``%rsql debug on``, or ``RSQL_LOG=on`` in the environment, writes it to a file of its own for each process;
``%rsql doctor --report`` packs those files. Modules log through ``log``, which no record leaves with a value in it:
messages go through the filter of ``redaction``, and of an exception stay its frames, without lines of code, and what it
says without the texts and numbers that it quotes.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
import zipfile
from contextlib import AbstractContextManager, suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING

from rsql_magic.errors import BadInput
from rsql_magic.redaction import message_without_data, redact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

log = logging.getLogger("rsql_magic")
"""The logger of all of ``rsql_magic``. Records below ``ERROR`` cost nothing while it is off."""

_BYTES = 1_000_000  # of one file, before it is begun anew beside one older part
_FILES = 20  # of earlier processes that are left where they are
_FORM = "%(asctime)s %(levelname)s %(threadName)s %(message)s"
_CAUSES = 5  # of an exception that are told


class _WithoutData(logging.Filter):
    """What every handler gets, other people's too, has no values in it."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if record.exc_info and record.exc_info[1]:
            text = "\n".join([text, *_told(record.exc_info[1])])
        record.msg, record.args, record.exc_info = redact(text)[0], None, None
        return True


# Frames by file, line and function. Lines of code are left out: those of a cell may hold what it is about.
def _told(error: BaseException) -> Iterator[str]:
    for _ in range(_CAUSES):
        for frame in traceback.extract_tb(error.__traceback__, 40):
            yield f"  {_place(frame.filename)}:{frame.lineno} {frame.name}"
        said = "(its text raises an error)"
        with suppress(Exception):
            said = message_without_data(str(error), frozenset())
        yield f"{type(error).__name__}: {said}"
        cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        if cause is None:
            return
        error = cause
        yield "from"


def _place(file: str) -> str:
    """A file from its package on: the folders before it name people and their work."""
    parts = Path(file).parts
    known = (at for at, part in enumerate(parts) if part in {"site-packages", "rsql_magic"})
    return "/".join(parts[max(known, default=len(parts) - 1) :])


def _handler() -> RotatingFileHandler | None:
    return next((one for one in log.handlers if isinstance(one, RotatingFileHandler)), None)


def logs_folder(environ: Mapping[str, str]) -> Path:
    """Where the files are: ``rsql/log`` in the folder of the user's caches.

    Example:
        >>> logs_folder({"XDG_CACHE_HOME": "/tmp/cache"}).as_posix()
        '/tmp/cache/rsql/log'
    """
    return Path(environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser(), "rsql", "log")


def begin_if_wanted(environ: Mapping[str, str]) -> None:
    """Switch the log on where ``RSQL_LOG`` is ``on``, ``1`` or ``true``; where no file can be written it stays off."""
    if environ.get("RSQL_LOG", "").lower() in {"on", "1", "true"}:
        with suppress(OSError):
            switch_on(environ)


def switch_on(environ: Mapping[str, str] = os.environ) -> Path:
    """Write everything from now on to a file, which only its owner may read; gives its path.

    Raises:
        OSError: The file cannot be written.
    """
    if (handler := _handler()) is None:
        folder = logs_folder(environ)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for old in sorted(folder.glob("*.log*"), key=lambda path: path.stat().st_mtime)[:-_FILES]:
            old.unlink(missing_ok=True)
        path = folder / f"{os.getpid()}.log"
        path.touch(mode=0o600)
        handler = RotatingFileHandler(path, maxBytes=_BYTES, backupCount=1, encoding="utf-8", delay=True)
        handler.setFormatter(logging.Formatter(_FORM))
        log.addHandler(handler)
        log.setLevel(logging.DEBUG)
        log.debug("the log begins, Python %s", sys.version.split()[0])
    return Path(handler.baseFilename)


def switch_off() -> None:
    """Write no more; what is written stays."""
    if handler := _handler():
        log.removeHandler(handler)
        handler.close()
        log.setLevel(logging.NOTSET)


def is_on() -> bool:
    """Whether the log is written to a file."""
    return _handler() is not None


class _Ignoring(AbstractContextManager[None, bool]):
    def __init__(self, what: str) -> None:
        self._what = what

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, Exception):
            log.debug("%s has failed", self._what, exc_info=error)
            return True
        return False


def ignoring(what: str) -> AbstractContextManager[None, bool]:
    """Go on after any error of other people's code, which is noted in the log.

    Example:
        >>> with ignoring("reading a page"):
        ...     raise ValueError("broken")
    """
    return _Ignoring(what)


def pack(path: Path, findings: str, environ: Mapping[str, str] = os.environ) -> int:
    """Write what the doctor found and the files of the log into a new archive; gives how many files of the log.

    Everything is filtered once more, so that what was written by an older version is, too.

    Raises:
        BadInput: The archive is there already, or cannot be written.
    """
    logs = sorted(logs_folder(environ).glob("*.log*"))
    try:
        with zipfile.ZipFile(path, "x", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("doctor.txt", redact(findings)[0])
            for file in logs:
                archive.writestr(f"log/{file.name}", redact(file.read_text("utf-8", "replace"))[0])
    except OSError as error:
        raise BadInput(f"{path} cannot be written ({error.strerror}).", hint="Name another file.") from None
    return len(logs)


log.addHandler(logging.NullHandler())
log.addFilter(_WithoutData())
