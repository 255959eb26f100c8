"""The last error of the user's code or query, until what failed has run well."""

# Python and R keep their last error for good. Here it ends when its cell runs without one, or when a function that it
# came through is defined anew.

from __future__ import annotations

import linecache
import sys
import traceback
from contextlib import suppress
from difflib import SequenceMatcher
from inspect import unwrap
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from rsql_magic.diagnostics import ignoring
from rsql_magic.errors import CodeFailed, QueryFailed, RsqlError, Stopped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import CodeType

    from IPython.core.interactiveshell import ExecutionResult, InteractiveShell

# Kinds of usage error that JupySQL makes of what a database said of a query.
_JUPYSQL_QUERY_ERRORS = frozenset({"RuntimeError", "TableNotFoundError"})
_ALIKE = 0.6  # from where on a cell without an id is another form of the one that failed
_COMPARED = 2_000  # characters of them
_MOST_CALLS = 100  # of a traceback that are looked at


class LastError:
    """The last error in one shell."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._raised = _raised()  # with its cell, which is not known of errors of before
        self._cell, self._source = "", ""
        self._is_mended = False
        self._mended_in_r = ""  # what R said of it, which R goes on saying
        shell.events.register("post_run_cell", self._after_cell)

    def close(self) -> None:
        """Look at the cells that run no more."""
        self._shell.events.unregister("post_run_cell", self._after_cell)

    def __call__(self) -> BaseException | str | None:
        """The error: Python's, or R's where that is what it came from; None where there is none, or it was mended."""
        raised = _raised()
        if not self._is_mended or raised is not self._raised:
            return _shown(raised)
        return said if (said := _said_by_r()) != self._mended_in_r else None

    def cell(self, typed: Sequence[str]) -> str:
        """The cell of the error, among those that were ``typed``; empty where that cannot be told."""
        raised = _raised()
        found = failed_cell(typed, self._shell.user_ns.get("In", ()), raised)
        return found or (self._source if raised is self._raised else "")

    def _after_cell(self, result: ExecutionResult) -> None:
        run, raised = result.info, _raised()
        if run is None or raised is None:
            return
        cell, source = str(getattr(run, "cell_id", None) or ""), str(run.raw_cell or "")
        # JupySQL prints errors of a cell that, to IPython, has run well.
        if not result.success or raised is not self._raised:
            self._raised, self._cell, self._source, self._is_mended = raised, cell, source, False
        elif not self._is_mended and (self._is_failed_cell(cell, source) or self._is_redefined(raised)):
            self._is_mended, self._mended_in_r = True, _said_by_r()

    # By its id or, as in a terminal, by its source.
    def _is_failed_cell(self, cell: str, source: str) -> bool:
        if cell and self._cell:
            return cell == self._cell
        before, now = self._source.strip()[:_COMPARED], source.strip()[:_COMPARED]
        return bool(before) and SequenceMatcher(None, before, now).ratio() >= _ALIKE

    def _is_redefined(self, raised: BaseException) -> bool:
        namespace = self._shell.user_ns
        called = [code for code in _codes(raised, namespace) if code.co_name != "<module>"]
        return any((now := _code_now(code.co_qualname, namespace)) is not None and now != code for code in called)


def failed_cell(typed: Sequence[str], translated: Sequence[str], error: BaseException | None) -> str:
    """The cell in which an error was raised, as it was typed; empty where that cannot be told.

    ``translated`` holds the cells as Python ran them, at the same places; a cell is known by the source that Python
    keeps of it for tracebacks.

    Example:
        >>> failed_cell(["", "1 / 0"], ["", "1 / 0"], None)
        ''
    """
    files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)] if error else []
    if isinstance(error, SyntaxError) and error.filename:
        files.append(error.filename)
    for file in files:
        source = "".join(linecache.getlines(file)).strip()
        for place in range(min(len(typed), len(translated)) - 1, -1, -1):
            if source and str(translated[place]).strip() == source:
                return typed[place]
    return ""


def _raised() -> BaseException | None:
    return getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)


# The code of the user's own calls that led to an error.
def _codes(raised: BaseException, namespace: dict[str, Any]) -> Iterator[CodeType]:
    call, left = raised.__traceback__, _MOST_CALLS
    while call is not None and left:
        if call.tb_frame.f_globals is namespace:
            yield call.tb_frame.f_code
        call, left = call.tb_next, left - 1


# The code that a name such as ``read`` or ``Shop.total`` has now; None where that is no function.
def _code_now(name: str, namespace: dict[str, Any]) -> CodeType | None:
    first, *rest = name.split(".")
    found = namespace.get(first)
    for part in rest:
        found = vars(found).get(part) if isinstance(found, type) else None
    with ignoring("reading a function's code"):  # other people's objects raise anything when asked for an attribute
        return getattr(unwrap(found), "__code__", None)  # type: ignore[arg-type]
    return None


def _shown(raised: BaseException | None) -> BaseException | str | None:
    error: BaseException | None = raised
    if isinstance(error, CodeFailed) and error.__cause__:
        error = error.__cause__
    if isinstance(error, QueryFailed) and error.sql:
        return f"{error}\n{error.sql}"
    if isinstance(error, Stopped):
        error = None
    elif isinstance(error, UsageError) and getattr(error, "error_type", "") in _JUPYSQL_QUERY_ERRORS:
        return str(error)
    elif isinstance(error, (RsqlError, UsageError)) and not isinstance(error, CodeFailed):
        return None  # the message of a magic's refusal is complete; nor is it what R said before it
    from_r = error is None or isinstance(error, CodeFailed) or type(error).__module__.startswith("rpy2")
    return (_said_by_r() if from_r else "") or error


# What R says of its last error; empty where there was none, and where R does not run or cannot be asked now.
def _said_by_r() -> str:
    if "rpy2.rinterface_lib.embedded" not in sys.modules:  # R is not started to ask
        return ""
    from rsql_magic.context import r

    with suppress(r.NoR):
        return r.last_error() if r.r_running() else ""
    return ""
