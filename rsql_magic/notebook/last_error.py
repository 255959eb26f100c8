"""What went wrong last in this process, in Python or in R: what ``%ask`` alone explains."""

from __future__ import annotations

import sys

from IPython.core.error import UsageError

from rsql_magic.errors import CodeFailed, QueryFailed, RsqlError, Stopped


def last_error() -> BaseException | str | None:
    """The last uncaught error of the user's code or query: Python's, or R's where that is what it came from.

    What a magic says of its own line is none: the message tells all there is.
    """
    error = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
    if isinstance(error, CodeFailed) and error.__cause__:
        error = error.__cause__
    if isinstance(error, QueryFailed) and error.sql:
        return f"{error}\n{error.sql}"
    if isinstance(error, Stopped):
        error = None
    elif isinstance(error, UsageError) and _is_of_query(error):
        return str(error)
    elif isinstance(error, (RsqlError, UsageError)) and not isinstance(error, CodeFailed):
        return None  # nor is what R said before it
    from_r = error is None or isinstance(error, CodeFailed) or type(error).__module__.startswith("rpy2")
    return (_last_r_error() if from_r else "") or error


def _is_of_query(error: UsageError) -> bool:
    """Whether JupySQL printed what a database said of a query: it calls that a usage error of another kind."""
    return getattr(error, "error_type", "UsageError") in _OF_QUERIES


_OF_QUERIES = frozenset({"RuntimeError", "TableNotFoundError"})


def _last_r_error() -> str:
    """R's last error, where an R session runs; R is not started to ask."""
    if "rpy2.rinterface_lib.embedded" not in sys.modules:
        return ""
    from rsql_magic.context import r

    try:
        return r.last_error() if r.r_running() else ""
    except r.NoR:
        return ""
