"""Lines of the log: one form for all, the id of the request on each, and no secret in any."""

# The lines go where the host's go, a Jupyter Server's or the gateway's own, at its level. With ``RSQL_LOG_FORMAT=json``
# each is one JSON object, and so is every other line of a gateway that runs by itself. No line holds a secret, a prompt
# or a provider's words: what writes one takes care of that, and a filter in front of all handlers does once more.

from __future__ import annotations

import json
import logging
import os
import re
import time
from collections import OrderedDict
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

FORMAT_VARIABLE = "RSQL_LOG_FORMAT"
HIDDEN = "[secret]"
_AGAIN_AFTER = 60.0  # seconds in which lines that say the same are only counted, after the first ones
_FIRST_LINES = 20
_MOST_KNOWN = 1000  # different lines that are remembered
_MOST_SECRETS = 10_000  # that are remembered beside those that look like one
_OF_ONE = {"request_id", "seconds"}  # fields in which two lines differ that say the same
_SHORTEST = 6  # letters of a secret that is looked for by itself; a shorter one is a word of many lines
_LOGGERS = ("tornado.application", "tornado.general", "tornado.access", "asyncio", "py.warnings")

current_request: ContextVar[str] = ContextVar("rsql_request_id", default="")
"""The id of the request that is being answered; lines that are written meanwhile have it."""

# What looks like a secret wherever it stands, each with what of it may be shown before it.
_PATTERNS = tuple(
    (re.compile(pattern, re.IGNORECASE), shown)
    for pattern, shown in (
        (r"\b(?:sk|gsk|pk|rk|xai|hf|ghp|gho|glpat|xox[abp]|rsql)[-_][A-Za-z0-9_-]{8,}", ""),
        (r"\bAIza[0-9A-Za-z_-]{20,}", ""),
        (r"\beyJ[\w-]{6,}\.[\w-]{6,}(?:\.[\w-]*)?", ""),
        (r"\b(bearer|token|basic)(\s+|=)[A-Za-z0-9._~+/=-]{6,}", r"\1\2"),
        (r"(\b[a-z][a-z0-9+.-]*://[^\s:/@]*:)[^\s@/]+(?=@)", r"\1"),
        (
            r"""((?:api[-_]?key|passw(?:or)?d|pwd|secret|token|authorization|cookie)["']?\s*[:=]\s*["']?)[^\s"',;&}]+""",
            r"\1",
        ),
    )
)
_MAY_HOLD = re.compile(r"[-_]|://|AIza|eyJ|bearer|token|basic|key|pass|pwd|secret|authorization|cookie", re.IGNORECASE)
_known: OrderedDict[str, None] = OrderedDict()
_any_known: re.Pattern[str] | None = None


def hide(secrets: Iterable[str]) -> None:
    """Have no line show these texts: keys and tokens that the configuration names."""
    global _any_known  # noqa: PLW0603 - one process has one log
    for secret in secrets:
        if len(secret) >= _SHORTEST:
            _known[secret] = None
            if len(_known) > _MOST_SECRETS:
                _known.popitem(last=False)
    longest_first = sorted(_known, key=len, reverse=True)
    _any_known = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None


def scrubbed(text: str) -> str:
    """The text without what is, or looks like, a secret.

    Example:
        >>> scrubbed("GET https://ada:hunter2@db.example.org failed"), scrubbed("Bearer gsk_123456789abc")
        ('GET https://ada:[secret]@db.example.org failed', 'Bearer [secret]')
    """
    if _any_known is not None:
        text = _any_known.sub(HIDDEN, text)
    if _MAY_HOLD.search(text):
        for pattern, shown in _PATTERNS:
            text = pattern.sub(shown + HIDDEN, text)
    return text


class LineFilter(logging.Filter):
    """Puts the id of the request on a line, and takes secrets out of all of it: words, fields, tracebacks."""

    def __init__(self, *, always: bool = False) -> None:
        super().__init__()
        self._always = always  # whether lines outside of a request have an id as well, ``-``

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the line; none is dropped."""
        if getattr(record, "rsql_clean", False):
            return True
        record.rsql_clean = True
        request_id = getattr(record, "request_id", "") or current_request.get() or ("-" if self._always else "")
        try:
            text = record.getMessage()
        except (TypeError, ValueError):  # as logging itself would complain about its arguments
            text = str(record.msg)
        if request_id:
            record.request_id = request_id
            if not wants_json() and "request_id=" not in text:
                text = f"{text} request_id={request_id}"
        record.msg, record.args = scrubbed(text), ()
        for name, value in list(record.__dict__.items()):
            if name not in _PLAIN and isinstance(value, str):
                record.__dict__[name] = scrubbed(value)
        if record.exc_info and record.exc_info[0] is not None:
            record.exc_text = scrubbed(_traces.formatException(record.exc_info))
            if wants_json():
                record.exception, record.exc_info = record.exc_text, None
        return True


_traces = logging.Formatter()
_PLAIN = {*logging.makeLogRecord({}).__dict__, "message"} - {"exc_text", "stack_info"}


def wants_json() -> bool:
    """Whether lines are to be JSON objects."""
    return os.environ.get(FORMAT_VARIABLE) == "json"


def keep_clean(handlers: Iterable[logging.Handler] = (), *, always: bool = False) -> None:
    """Have these handlers, and the loggers that the gateway's lines go through, keep secrets out."""
    for place in (*map(logging.getLogger, _LOGGERS), *handlers):
        if not any(isinstance(one, LineFilter) for one in place.filters):
            place.addFilter(LineFilter(always=always))


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
        _without_marks,
        _without_secrets,
        structlog.processors.JSONRenderer(),
    ]
    for handler in handlers:
        handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=common, processors=last))


def _without_marks(_logger: object, _method: str, fields: Any) -> Any:
    fields.pop("rsql_clean", None)
    return fields


def _without_secrets(_logger: object, _method: str, fields: Any) -> Any:
    return {name: scrubbed(value) if isinstance(value, str) else value for name, value in fields.items()}


class Log:
    """Writes lines; of those that say the same the first twenty of a minute, with the number of those left out."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock  # seconds, never going back
        # Since when, how many were written, and how many left out.
        self._known: OrderedDict[Hashable, tuple[float, int, int]] = OrderedDict()

    def info(self, event: str, **fields: Any) -> None:
        """Nobody need look at it, but somebody may want to know."""
        self._write(logging.INFO, event, fields)

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
        if wants_json():
            # A line has some names itself, such as its logger's.
            logger.log(
                level, event, extra={f"{name}_" if name in _PLAIN else name: own for name, own in fields.items()}
            )
        else:
            logger.log(level, " ".join([f"rsql: {event}", *(f"{name}={_quoted(own)}" for name, own in fields.items())]))

    def _is_due(self, event: str, fields: dict[str, Any]) -> bool:
        # Whether a line is to be written; it then says how many were left out.
        now = self._clock()
        same = event, *((name, str(value)) for name, value in fields.items() if name not in _OF_ONE)
        since, written, left_out = self._known.get(same, (now, 0, 0))
        if now < since + _AGAIN_AFTER and written >= _FIRST_LINES:
            self._known[same] = since, written, left_out + 1
            return False
        self._known[same] = (since, written + 1, left_out) if now < since + _AGAIN_AFTER else (now, 1, 0)
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
