"""What goes wrong at providers, as structured lines of the log: an event, and fields such as ``key`` and ``reason``."""

# The lines go where the host's go, a Jupyter Server's or the gateway's own, at its level. With ``RSQL_LOG_FORMAT=json``
# each is one JSON object, and so is every other line of a gateway that runs by itself. No line holds a secret, a prompt
# or a provider's words.

from __future__ import annotations

import json
import logging
import os
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable


FORMAT_VARIABLE = "RSQL_LOG_FORMAT"
_AGAIN_AFTER = 60.0  # seconds in which a line that says the same is only counted
_MOST_KNOWN = 1000  # different lines that are remembered
_OF_ONE = {"request_id", "seconds"}  # fields in which two lines differ that say the same


class Log:
    """Writes lines, and those that say the same once a minute, with the number of those left out."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock  # seconds, never going back
        self._known: OrderedDict[Hashable, tuple[float, int]] = OrderedDict()  # since when, and how many were left out

    def warning(self, event: str, **fields: Any) -> None:
        """Somebody should look at it when they have time."""
        self._write(logging.WARNING, event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """Somebody should look at it now."""
        self._write(logging.ERROR, event, fields)

    def _write(self, level: int, event: str, fields: dict[str, Any]) -> None:
        if not self._is_due(event, fields):
            return
        logger = logging.getLogger("tornado.application")
        if os.environ.get(FORMAT_VARIABLE) == "json":
            logger.log(level, event, extra=fields)
        else:
            logger.log(level, " ".join([f"rsql: {event}", *(f"{name}={_quoted(own)}" for name, own in fields.items())]))

    def _is_due(self, event: str, fields: dict[str, Any]) -> bool:
        # Whether a line is to be written; it then says how many were left out.
        now = self._clock()
        same = event, *((name, str(value)) for name, value in fields.items() if name not in _OF_ONE)
        since, left_out = self._known.get(same, (-_AGAIN_AFTER, 0))
        if now < since + _AGAIN_AFTER:
            self._known[same] = since, left_out + 1
            return False
        self._known[same] = now, 0
        self._known.move_to_end(same)
        if len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)
        if left_out:
            fields["repeated"] = left_out
        return True


log = Log()


def _quoted(value: object) -> str:
    # A value on one line, in quotes where it holds more than a word.
    text = str(value)
    plain = text.isprintable() and text and not any(sign in text for sign in ' "=')
    return text if plain else json.dumps(text, ensure_ascii=False)


def use_json(handlers: list[logging.Handler]) -> None:
    """Write each line of these handlers as one JSON object, ours and those of libraries."""
    import structlog  # takes as long as a fifth of the gateway's start

    common: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.ExtraAdder(),
    ]
    last: list[Any] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(),
    ]
    for handler in handlers:
        handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=common, processors=last))
