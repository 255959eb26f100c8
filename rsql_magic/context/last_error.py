"""The last error as text: where it happened and what it says, without the values in it."""

from __future__ import annotations

import linecache
import traceback
from typing import TYPE_CHECKING

from rsql_magic.context.sources import within
from rsql_magic.diagnostics import log
from rsql_magic.errors import TooSlow
from rsql_magic.redaction import message_without_data, redact, without_data, words_in, words_of_code

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

_LONGEST = 2_000  # characters that are shown of a cell or a message
_SECONDS = 0.5  # how long an exception may take to say what it is


def middle_out(text: str, longest: int = _LONGEST) -> str:
    """A text of bounded length: a cell's and an error's start and end say most."""
    if len(text) <= longest:
        return text
    text, half = redact(text)[0], longest // 2
    return f"{text[:half]}\n… ({len(text) - longest:,} characters left out)\n{text[-half:]}"


def error_text(error: BaseException | str | None, frames: int = 4, known: AbstractSet[str] | None = None) -> str:
    """What went wrong, short: the last frames of the traceback and the message, without values of variables.

    The error may be text, such as R's message. Frames of installed packages are left out first. With the names of the
    session that are ``known``, lines of code and messages are shown without data; None shows all.

    Example:
        >>> error_text(KeyError("region"))
        "KeyError: 'region'"
    """
    if error is None or isinstance(error, str):
        return middle_out(_said(error or "", known))
    known = known if known is None else known | asked_of(error)
    cause = [f"caused by {error_text(error.__cause__, 1, known)}"] if error.__cause__ and frames else []
    return "\n".join([*_lines(error, frames, known), middle_out(_message(error, known)), *cause])


def _lines(error: BaseException, most: int, known: AbstractSet[str] | None) -> list[str]:
    """Where it happened: the user's own lines, or the last ones of all."""
    found = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in found if _is_own(frame)]
    return [
        f"line {frame.lineno} in {frame.name}: {frame.line if known is None else without_data(frame.line, known)}"
        for frame in (own or found)[-most:]
        if frame.line
    ]


def _is_own(frame: traceback.FrameSummary) -> bool:
    """Whether a line is the user's own, and not of an installed package."""
    return "site-packages" not in frame.filename and "/lib/python" not in frame.filename


def asked_of(error: BaseException) -> set[str]:
    """What was asked of a frame as a column: a name, though there is none. Keys of a mapping are data."""
    frames = traceback.extract_tb(error.__traceback__)
    places = ((frame.filename.replace("\\", "/"), frame.name) for frame in frames)
    is_column = any(file.endswith("pandas/core/frame.py") and name == "__getitem__" for file, name in places)
    key = error.args[0] if is_column and error.args else None
    return {key} if isinstance(key, str) else set()


def _message(error: BaseException, known: AbstractSet[str] | None) -> str:
    if isinstance(error, SyntaxError):
        line = (error.text or "").strip()
        line = line if known is None else without_data(line, known)
        return f"{f'line {error.lineno}: {line}' if line else ''}\n{type(error).__name__}: {error.msg}".strip()
    try:
        missing = error.args[0] if isinstance(error, KeyError) and len(error.args) == 1 else None
        told = missing if isinstance(missing, str) and " in" in missing else error  # a KeyError says the repr of it
        said = within(_SECONDS, lambda: str(told))  # format_exception_only would swallow that it was stopped
    except TooSlow:
        return f"{type(error).__name__}, whose text took too long"
    except Exception:
        log.debug("the text of an error cannot be had", exc_info=True)
        return f"{type(error).__name__}, whose text cannot be had"
    # A note may say anything, and is seldom what matters.
    notes = "" if known is not None else "\n".join(str(note) for note in getattr(error, "__notes__", ()))
    own = _own_words(error) if known is not None else None
    if own is not None and known is not None:  # the user's own message may bring any value, without quotes
        said = words_of_code(said, own | known)
    place, name = type(error).__module__, type(error).__qualname__  # as a traceback names the class
    name = name if place in {"builtins", "__main__"} else f"{place}.{name}"
    return _said(f"{name}: {said}\n{notes}".strip().removesuffix(":"), known)


def _own_words(error: BaseException) -> frozenset[str] | None:
    """The words of the user's own line that raised the error; None where it came from elsewhere."""
    found = traceback.extract_tb(error.__traceback__)
    if not found or not _is_own(found[-1]) or not (found[-1].line or "").startswith(("raise", "assert")):
        return None
    last = found[-1]
    lines = range(last.lineno or 0, (last.end_lineno or last.lineno or 0) + 1)
    return words_in("".join(linecache.getline(last.filename, line) for line in lines))


def _said(text: str, known: AbstractSet[str] | None) -> str:
    return text if known is None else message_without_data(text, known)
