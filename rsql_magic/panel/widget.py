"""The widget: carries messages between a panel and its views, and holds nothing else.

What a widget's traits hold is written into the notebook's file by exporters and, where users wish so, by JupyterLab. So
the conversation travels in custom messages only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anywidget

from rsql_magic.panel import files

if TYPE_CHECKING:
    from collections.abc import Callable


class PanelWidget(anywidget.AnyWidget):
    """The widget of a panel.

    Args:
        receive: Takes each message of a view.
        **options: Those of a widget, such as ``model_id``.
    """

    def __init__(self, receive: Callable[[dict[str, Any]], None], **options: Any) -> None:
        self._esm, self._css = files.module(), files.style()
        super().__init__(**options)
        # ipykernel 7 sends a view's messages to the thread that wrote to it last: the main thread, which a cell may
        # keep busy. Without this they go to the thread that JupyterLab meant them for.
        if self.comm is not None:
            self.comm._reply_subshell_for = None  # noqa: SLF001 - there is no public way
        self.on_msg(lambda _widget, content, _buffers: receive(content))

    @property
    def mimebundle(self) -> dict[str, Any]:
        """What shows a view."""
        shown = self._repr_mimebundle_()
        return dict(shown[0]) if shown else {}
