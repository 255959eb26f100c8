"""The panel's way to views that no cell shows, such as the sidebar in JupyterLab: a comm for each."""

# The messages are those of the widget (`widget.py`); only what carries them differs. The front end opens the comm, so
# nothing but the name of the target is known here until somebody opens a view.

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rsql_magic.panel.chat_panel import ChatPanel

TARGET = "rsql.panel"


class CommViews:
    """The views of one kernel that came by a comm; the panel for them is made when the first is opened.

    ``manager`` is the kernel's comm manager, or None where there is no kernel: then nothing can come.
    """

    model_id = ""  # a widget's name, which front ends ask for; there is none

    def __init__(self, manager: Any, make_panel: Callable[[], ChatPanel]) -> None:
        self._manager, self._make_panel = manager, make_panel
        self._panel: ChatPanel | None = None
        self._comms: dict[str, Any] = {}
        self._lock = threading.Lock()  # each page has a thread of its own here (a subshell)
        if manager is not None:
            manager.register_target(TARGET, self._opened)

    def _opened(self, comm: Any, _message: Mapping[str, Any]) -> None:
        with self._lock:
            if self._panel is None:
                self._panel = self._make_panel()
                self._panel.attach(self)
            panel = self._panel
            self._comms = {**self._comms, comm.comm_id: comm}
        # As in `widget.py`: the view's messages come on the thread that the front end means them for.
        comm._reply_subshell_for = None  # noqa: SLF001 - there is no public way
        comm.on_msg(lambda message: panel.receive(message["content"]["data"]))
        comm.on_close(lambda _message: self._closed(comm.comm_id))

    def _closed(self, number: str) -> None:
        with self._lock:
            self._comms = {name: comm for name, comm in self._comms.items() if name != number}

    def send(self, content: dict[str, Any]) -> None:
        """Send a message to all views."""
        for comm in self._comms.values():
            comm.send(content)

    def close(self) -> None:
        """Let go of the views."""
        comms, self._comms = self._comms, {}
        for comm in comms.values():
            comm.close()

    def end(self) -> None:
        """Take no more views, and close the panel."""
        if self._manager is not None:
            self._manager.unregister_target(TARGET, self._opened)
        panel, self._panel = self._panel, None
        if panel is not None:
            panel.close()
