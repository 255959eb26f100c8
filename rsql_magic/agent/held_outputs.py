"""Outputs of the assistant's cells: text, tables, plots and charts as data, until a person asks for what was made."""

# The page of a notebook has its user's session, so what a cell shows could act as she could. What leaves the kernel
# while such a cell runs, and whatever comes later from what it started, goes through a check (`display`); the original
# stays here, under a name that the output carries. The place is the last one before the wire, so that every way to
# show something leads through it: `display`, publishers, widgets, the pager. A cell that the person runs is her own.

from __future__ import annotations

import threading
from collections import Counter
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any
from uuid import uuid4
from weakref import WeakKeyDictionary

from rsql_magic.display import checked_output
from rsql_magic.errors import BadInput
from rsql_magic.plain_text import without_addresses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_SHOWS = frozenset({"display_data", "execute_result", "update_display_data"})
_COMMS = frozenset({"comm_open", "comm_msg", "comm_close"})
# What else a kernel says while a cell runs: text, numbers and states.
_SAYS = frozenset({"status", "clear_output", "execute_input", "input_request"})
_PRINTS = frozenset({"stream", "error"})
_OWN_MAGICS = ("%%ask", "%%sql_ai", "%%rsql")  # their answers are made safe where they are made
_MOST_KEPT = 50_000_000  # characters and bytes of originals, of all cells
_MOST_CELLS = 500
_GONE = "What the cell made is no longer kept."


@dataclass(eq=False)
class _HeldCell:
    """A run of a cell: what it made, and whether a person asked for that."""

    is_trusted: bool = False
    bundles: dict[str, dict[str, Any]] = field(default_factory=dict)  # data and metadata, by their names
    comms: list[tuple[tuple[Any, ...], dict[str, Any]]] = field(default_factory=list)
    size: int = 0
    is_cut: bool = False
    printed: str = ""  # the end of it

    def keep(self, size: int) -> bool:
        """Whether there is room for so many more characters or bytes."""
        self.is_cut = self.is_cut or self.size + size > _MOST_KEPT // 2
        self.size += 0 if self.is_cut else size
        return not self.is_cut


# The cell that runs, for its own code, its tasks and what they call; a thread has it as an attribute.
_running: ContextVar[_HeldCell | None] = ContextVar("rsql_held_cell", default=None)
_OF_THREAD = "_rsql_held_cell"
_make_thread = threading.Thread.__init__


def _marked_thread(thread: threading.Thread, *args: Any, **options: Any) -> None:
    _make_thread(thread, *args, **options)
    if (cell := _current()) is not None:
        setattr(thread, _OF_THREAD, cell)


def _current() -> _HeldCell | None:
    return _running.get() or getattr(threading.current_thread(), _OF_THREAD, None)


def _sends_nothing(*_: Any, **__: Any) -> None:
    """What a shell without a kernel has."""


_of_shells: WeakKeyDictionary[Any, HeldOutputs] = WeakKeyDictionary()


class HeldOutputs:
    """The outputs of the assistant's cells in one shell.

    A cell is known by its text; once it has run, the same text is the user's own.

    Args:
        shell: Of a kernel; where there is none, no page shows anything and nothing is held.
    """

    @classmethod
    def of(cls, shell: Any) -> HeldOutputs:
        """Those of a shell, which all of its panels share."""
        if shell is None:
            return cls(None)
        return _of_shells.setdefault(shell, cls(shell))

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._session = getattr(getattr(shell, "kernel", None), "session", None)
        self._send: Callable[..., Any] = getattr(self._session, "send", _sends_nothing)  # the session's own
        self._is_before = False  # whether this stands before it
        self._expected = Counter[str]()
        self._cells: dict[str, _HeldCell] = {}  # by the request that ran them
        self._displays: dict[str, _HeldCell] = {}  # by the names of displays that are updated later
        self._comms: dict[str, _HeldCell] = {}
        self._names: dict[str, _HeldCell] = {}
        self._numbers = count(1)
        self._mark = uuid4().hex[:12]  # names of another kernel are not mistaken for names of this one

    def expect(self, source: str) -> None:
        """Hold the outputs of the next run of a cell with this text."""
        if self._session is None or source.lstrip().startswith(_OWN_MAGICS):
            return
        if not self._is_before:
            self._is_before = True
            self._session.send = self._checked_send
            self._shell.events.register("pre_run_cell", self._begin)
            self._shell.events.register("post_run_cell", self._end)
            threading.Thread.__init__ = _marked_thread  # type: ignore[assignment, method-assign]
        self._expected[source] += 1

    def forget(self, sources: Iterable[str]) -> None:
        """Leave cells that have not run to the user."""
        for source in sources:
            del self._expected[source]

    def as_made(self, names: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The originals of outputs, as data and metadata by their names; from now on their cells show as they like.

        Raises:
            BadInput: One is no longer kept.
        """
        cells = [self._names.get(str(name)) for name in names]
        if not cells or any(cell is None or cell.is_cut for cell in cells):
            raise BadInput(_GONE, hint="Run the cell yourself to see it.")
        found = dict[str, dict[str, Any]]()
        for cell in dict.fromkeys(each for each in cells if each is not None):
            cell.is_trusted = True
            found |= {name: made for name, made in cell.bundles.items() if name in names}
            for args, options in cell.comms:  # widgets, before what shows them
                self._send(*args, **options)
            cell.comms.clear()
        return found

    def _begin(self, info: Any) -> None:
        if not self._expected[info.raw_cell]:
            return
        self._expected -= Counter([info.raw_cell])
        cell = _HeldCell()
        _running.set(cell)
        if request := str(self._shell.get_parent().get("header", {}).get("msg_id", "")):
            self._cells[request] = cell
        for old in list(self._cells)[:-_MOST_CELLS]:
            del self._cells[old]

    def _end(self, _result: Any) -> None:
        _running.set(None)

    # In place of the session's own: `send(stream, message, …)` or `send(stream, type, content, parent, …)`.
    def _checked_send(
        self, stream: Any, message: Any, content: Any = None, parent: Any = None, *more: Any, **options: Any
    ) -> Any:
        send = self._send
        is_whole = isinstance(message, dict)
        kind = message["header"]["msg_type"] if is_whole else str(message)
        given = (message.get("content") if is_whole else content) or {}
        asked = message.get("parent_header") if is_whole else parent
        cell = self._cell_of(kind, given, asked or {})
        if cell is None or cell.is_trusted or kind in _SAYS:
            return send(stream, message, content, parent, *more, **options)
        if kind in _COMMS:
            self._hold_comm(cell, given, (stream, message, content, parent, *more), options)
            return None
        if kind in _SHOWS:
            given = self._checked(cell, given)
        elif kind in _PRINTS:
            given = _printed(cell, given)
        elif kind == "execute_reply":
            given = _printed(
                cell,
                {
                    **given,
                    "payload": [_page(each) for each in given.get("payload") or () if each.get("source") == "page"],
                },
            )
        else:
            return None  # nothing that the notebook's page knows
        if is_whole:
            return send(stream, {**message, "content": given}, content, parent, *more, **options)
        return send(stream, message, given, parent, *more, **options)

    def _cell_of(self, kind: str, content: dict[str, Any], parent: dict[str, Any]) -> _HeldCell | None:
        if kind in _COMMS:  # a panel talks beside the cell, with the same parent
            return _current() or self._comms.get(str(content.get("comm_id")))
        if kind not in _SHOWS | _PRINTS | {"execute_reply"}:
            return _current()
        of_request = self._cells.get(str(parent.get("header", parent).get("msg_id")))
        updated = self._displays.get(_display_of(content)) if kind == "update_display_data" else None
        return _current() or of_request or updated

    def _checked(self, cell: _HeldCell, content: dict[str, Any]) -> dict[str, Any]:
        data, metadata = content.get("data") or {}, content.get("metadata") or {}
        checked = checked_output(data, metadata)
        if name := _display_of(content):
            self._displays[name] = cell
        told = dict(checked.metadata)
        if checked.left_out:
            name = f"{self._mark}-{next(self._numbers)}"
            if cell.keep(sum(len(str(each)) for each in data.values())):
                cell.bundles[name] = {"data": data, "metadata": metadata}
            self._names[name] = cell
            told["rsql"] = {"held": name, "left_out": list(checked.left_out)}
            self._make_room()
        return {**content, "data": checked.data, "metadata": told}

    def _hold_comm(
        self, cell: _HeldCell, content: dict[str, Any], args: tuple[Any, ...], options: dict[str, Any]
    ) -> None:
        self._comms[str(content.get("comm_id"))] = cell
        buffers = options.get("buffers") or ()
        if cell.keep(len(str(content)) + sum(len(each) for each in buffers)):
            cell.comms.append((args, options))

    # The oldest originals go first.
    def _make_room(self) -> None:
        kept = list(dict.fromkeys(self._names.values()))
        total = sum(cell.size for cell in kept)
        for cell in kept[:-1]:
            if total <= _MOST_KEPT:
                return
            total -= cell.size
            cell.bundles.clear()
            cell.comms.clear()
            self._names = {name: each for name, each in self._names.items() if each is not cell}


def _display_of(content: dict[str, Any]) -> str:
    return str((content.get("transient") or {}).get("display_id", ""))


# What is printed is text with colours, in which JupyterLab looks for addresses, those of scripts too.
def _printed(cell: _HeldCell, content: dict[str, Any]) -> dict[str, Any]:
    told = dict(content)
    for name in {"text", "ename", "evalue"} & told.keys():
        told[name] = without_addresses(str(told[name]))
    if lines := told.get("traceback"):
        told["traceback"] = [without_addresses(str(line)) for line in lines]
    if text := str(content.get("text", "")):  # an address may come in two pieces
        if text.startswith(":") or (cell.printed.endswith((":", ":/")) and not text[0].isspace()):
            told["text"] = f"\N{WORD JOINER}{told['text']}"
        cell.printed = (cell.printed + text)[-2:]
    return told


def _page(payload: dict[str, Any]) -> dict[str, Any]:
    """A page of the pager as text."""
    text = (payload.get("data") or {}).get("text/plain", "")
    return {"source": "page", "start": 0, "data": {"text/plain": without_addresses(str(text))}}
