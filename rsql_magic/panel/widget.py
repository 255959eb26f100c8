"""The widget: carries messages between a panel and its views, and holds nothing else."""

# What a widget's traits hold is written into the notebook's file by exporters and, where users wish so, by JupyterLab.
# So the conversation travels in custom messages only.
# Its JavaScript is one ES module: the libraries are the unchanged files of their releases (`static/vendor`), each put
# into a function of its own, so that no step has to build anything and no page fetches anything.

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import anywidget

if TYPE_CHECKING:
    from collections.abc import Callable

_LIBRARIES = {"marked": "marked.umd.js", "DOMPurify": "purify.min.js"}


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
    """The ES module: the libraries, then ``panel.js``."""
    # A CommonJS library as an expression.
    head, tail = "const module = { exports: {} }; let exports = module.exports;", "return module.exports;"
    sources = {name: _read("vendor", file) for name, file in _LIBRARIES.items()}
    libraries = [f"const {name} = (() => {{ {head}\n{source}\n{tail} }})();" for name, source in sources.items()]
    return "\n".join([*libraries, _read("panel.js")])


@cache
def style() -> str:
    """The style sheet."""
    return _read("panel.css")


def _read(*path: str) -> str:
    return files("rsql_magic").joinpath("static", *path).read_text(encoding="utf-8")
