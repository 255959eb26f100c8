"""What a screen shows of a question besides its answer: how it ended, and which tools come before."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rsql_magic.errors import RsqlError, Stopped
from rsql_magic.gateway import INTERRUPTED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rsql_magic.display import Screen
    from rsql_magic.tools import Tool


@contextmanager
def ending(screen: Screen) -> Iterator[None]:
    """End the screen's output when something goes wrong; a stop is one line."""
    try:
        yield
    except KeyboardInterrupt as stop:
        screen.end(INTERRUPTED)
        raise stop if isinstance(stop, Stopped) else Stopped("Stopped.") from None
    except RsqlError:
        screen.end()
        raise


def offered(tools: Sequence[Tool]) -> list[str]:
    """A note on the tools that a model may call before it answers, where there are any."""
    return [f"The model may call tools first: {', '.join(tool.name for tool in tools)}."] if tools else []
