"""What a question sees of an IPython session: variables, cells as typed, the cell that asks, and the last error."""

from __future__ import annotations

import sys
import weakref
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from rsql_magic.errors import BadInput, CodeFailed, QueryFailed, RsqlError, Stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from IPython.core.interactiveshell import InteractiveShell

    from rsql_magic.answers import NotebookSnapshot
    from rsql_magic.gateway import Origin

# Kinds of usage error that JupySQL makes of what a database said of a query.
_JUPYSQL_QUERY_ERRORS = frozenset({"RuntimeError", "TableNotFoundError"})


class Session:
    """One shell's session."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        # What `-o` kept, by name: the object, the cell's id, and the cell as it was typed.
        self._results: dict[str, tuple[Callable[[], Any], Origin, Sequence[str]]] = {}

    def snapshot(self) -> NotebookSnapshot:
        """The notebook as it is now, for what is not a cell, such as the chat panel."""
        from rsql_magic.answers import NotebookSnapshot

        return NotebookSnapshot(dict(self._shell.user_ns), self.typed(), last_error())

    def cell_snapshot(self, local_ns: Mapping[str, Any] | None) -> NotebookSnapshot:
        """The notebook as the running cell finds it; ``local_ns`` holds variables of a function around the magic."""
        from rsql_magic.answers import NotebookSnapshot

        namespace, origin = {**self._shell.user_ns, **(local_ns or {})}, self._origin()
        kept = {name: one for name, one in self._results.items() if name in namespace and namespace[name] is one[0]()}
        typed = self.typed()
        own = {
            name for name, (_, of, cell) in kept.items() if origin.repeats(of) or (not of.cell and cell == typed[-1:])
        }
        return NotebookSnapshot(namespace, typed[:-1], last_error(), origin, frozenset(kept), frozenset(own))

    def keep(self, name: str, value: Any) -> None:
        """Bind a result to a variable; an empty name keeps nothing."""
        check_name(name)
        if name:
            self._shell.user_ns[name] = value
            self._results[name] = (_reference(value), self._origin(), self.typed()[-1:])

    def typed(self) -> list[str]:
        """The cells of this session as typed, the running one last; ``In`` holds them translated to Python."""
        history = self._shell.history_manager
        return list(history.input_hist_raw) if history else []

    # The cell that runs, where the front end sends its id, as JupyterLab, Notebook and VS Code do.
    def _origin(self) -> Origin:
        from rsql_magic.gateway import Origin

        request: dict[str, Any] = getattr(self._shell, "get_parent", dict)() or {}
        cell = (request.get("metadata") or {}).get("cellId")
        return Origin(str(cell), str((request.get("header") or {}).get("msg_id") or "")) if cell else Origin()


def check_name(name: str) -> None:
    """Refuse a name that no variable can have; an empty one passes."""
    if name and not name.isidentifier():
        raise BadInput(f"{name!r} is not a name for a variable.", hint="Write -o NAME.")


# A weak reference where a value can have one, so that a large one is not kept alive.
def _reference(value: Any) -> Callable[[], Any]:
    try:
        return weakref.ref(value)
    except TypeError:  # of text and numbers
        return lambda: value


def last_error() -> BaseException | str | None:
    """The last uncaught error of the user's code or query: Python's, or R's where that is what it came from.

    The refusal of a magic's own line is none: its message is complete.
    """
    error = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
    if isinstance(error, CodeFailed) and error.__cause__:
        error = error.__cause__
    if isinstance(error, QueryFailed) and error.sql:
        return f"{error}\n{error.sql}"
    if isinstance(error, Stopped):
        error = None
    elif isinstance(error, UsageError) and getattr(error, "error_type", "") in _JUPYSQL_QUERY_ERRORS:
        return str(error)
    elif isinstance(error, (RsqlError, UsageError)) and not isinstance(error, CodeFailed):
        return None  # nor is what R said before it
    from_r = error is None or isinstance(error, CodeFailed) or type(error).__module__.startswith("rpy2")
    return (_last_r_error() if from_r else "") or error


# R's last error, where an R session runs; R is not started to ask.
def _last_r_error() -> str:
    if "rpy2.rinterface_lib.embedded" not in sys.modules:
        return ""
    from rsql_magic.context import r

    try:
        return r.last_error() if r.r_running() else ""
    except r.NoR:
        return ""
