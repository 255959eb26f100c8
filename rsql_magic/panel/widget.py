"""The widget: carries messages between a panel and its views, and holds nothing else."""

# What a widget's traits hold is written into the notebook's file by exporters and, where users wish so, by JupyterLab.
# So the conversation travels in custom messages only.
# Its JavaScript is one ES module, joined from those of `static/panel`: no step has to build anything for a cell, and no
# page fetches anything.

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import anywidget

from rsql_magic.panel.es_module import joined

if TYPE_CHECKING:
    from collections.abc import Callable


class PanelWidget(anywidget.AnyWidget):
    """The widget of a panel; ``receive`` takes each message of a view."""

    def __init__(self, receive: Callable[[dict[str, Any]], None], **options: Any) -> None:
        self._esm, self._css = module(), style()
        super().__init__(**options)
        # ipykernel 7 sends a view's messages to the thread that wrote to it last: the main thread, which a cell may
        # keep busy. Without this they go to the thread that JupyterLab meant them for.
        if self.comm is not None:
            self.comm._reply_subshell_for = None  # noqa: SLF001 - there is no public way
        self.on_msg(lambda _widget, content, _buffers: receive(content))

    @property
    def mimebundle(self) -> dict[str, Any]:
        """What shows a view."""
        return dict(shown[0]) if (shown := self._repr_mimebundle_()) else {}


@cache
def module() -> str:
    """The ES module: the libraries and the panel's own modules."""
    return joined("panel/widget.js", _read)


@cache
def style() -> str:
    """The style sheet."""
    return _read("panel/panel.css")


def _read(path: str) -> str:
    return files("rsql_magic").joinpath("static", path).read_text(encoding="utf-8")
