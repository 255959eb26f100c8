"""Connections of clients: fewer than the process may have files open, with some left for ``health``, and few words."""

# Each stream takes a second connection, to a provider, and files are needed besides; so clients have a part of what the
# process may open. When it is used up, a few more are let in, one for another: they are served ``health``, and a
# refusal of anything else. So the gateway is not taken for dead while it works, and who watches it learns what is
# wrong.

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import time
from collections import Counter, OrderedDict
from contextlib import suppress
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, cast

from tornado.httpserver import HTTPServer
from tornado.log import app_log

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tornado.http1connection import HTTP1ServerConnection
    from tornado.iostream import IOStream

_SPARE = 32  # connections beyond the most, for ``health`` and refusals
_SPARE_SECONDS = 5.0  # that a spare connection stays open
_TELL_SECONDS = 60.0  # between two lines that say the same
_MOST_ALIKE = 5  # messages of one form in that time
_FULL = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_MOST = 60_000  # where nothing limits what may be open


def most_connections() -> int:
    """How many clients may be connected, by what the process may open.

    Example:
        >>> 16 <= most_connections() <= 60_000
        True
    """
    # What most systems allow by default.
    limit = 1024
    with suppress(ImportError, ValueError, OSError):
        import resource  # not on Windows

        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        limit = _MOST if soft == resource.RLIM_INFINITY else soft
    return max(16, min(_MOST, limit - max(limit // 3, 64) - 2 * _SPARE))


class BoundedServer(HTTPServer):
    """An HTTP server with so many connections at most, as ``bound`` says; any number until then."""

    _most = 1 << 30
    _per_address = 0

    def bound(self, most: int, per_address: int = 0) -> None:
        """Have so many connections of all clients, and of one address that is not this machine's; 0 is any number."""
        self._most, self._per_address = most, per_address

    def initialize(self, *given: Any, **options: Any) -> None:
        """Called by tornado with the arguments of ``HTTPServer``."""
        super().initialize(*given, **options)
        self._sources: dict[object, str] = {}
        self._addresses: Counter[str] = Counter()
        self._spare: OrderedDict[object, asyncio.TimerHandle] = OrderedDict()
        self._tell = Seldom()

    def handle_stream(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        """Serve a new connection, as one of many or as a spare one, or close it."""
        source = str(address[0]) if address else ""
        if self._per_address and self._addresses[source] >= self._per_address and not _is_here(source):
            self._tell("connections from an address are refused, as it has %d already", self._per_address)
            stream.close()
            return
        if len(self._sources) < self._most:
            self._sources[stream] = source
            self._addresses[source] += 1
        else:
            self._tell("all %d connections are taken; more are served 'health' only", self._most)
            self._make_spare(stream)
        super().handle_stream(stream, address)

    def _make_spare(self, stream: IOStream) -> None:
        # The oldest of the spare connections makes room for a new one.
        if len(self._spare) >= _SPARE:
            oldest, timer = self._spare.popitem(last=False)
            timer.cancel()
            cast("IOStream", oldest).close()
        # The handler of any route but ``health`` refuses what comes over it.
        stream.is_spare = True  # type: ignore[attr-defined]
        self._spare[stream] = asyncio.get_running_loop().call_later(_SPARE_SECONDS, stream.close)

    def on_close(self, server_conn: object) -> None:
        """A connection has ended."""
        super().on_close(server_conn)
        stream = cast("HTTP1ServerConnection", server_conn).stream
        if (timer := self._spare.pop(stream, None)) is not None:
            timer.cancel()
        if (source := self._sources.pop(stream, None)) is not None:
            self._addresses[source] -= 1
            if not self._addresses[source]:
                del self._addresses[source]


def _is_here(source: str) -> bool:
    # Whether an address is this machine's own, where a proxy may stand that no setting names.
    try:
        return ip_address(source.partition("%")[0]).is_loopback
    except ValueError:  # a Unix socket
        return True


class Seldom:
    """Logs a message once a minute, with the number of those left out since."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[float, int]] = {}

    def __call__(self, words: str, *values: object) -> None:
        """Warn, unless that was done lately."""
        last, left_out = self._last.get(words, (-_TELL_SECONDS, 0))
        if time.monotonic() - last < _TELL_SECONDS:
            self._last[words] = (last, left_out + 1)
            return
        self._last[words] = (time.monotonic(), 0)
        app_log.warning(f"rsql: {words} (%d more since the last line).", *values, left_out)


class FewWords(logging.Filter):
    """Lets a few messages of a form through in a minute: what any client can cause must not fill a disk."""

    def __init__(self) -> None:
        super().__init__()
        self._since = 0.0
        self._seen: Counter[str] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a message is written."""
        if record.created - self._since > _TELL_SECONDS:
            self._since = record.created
            self._seen.clear()
        self._seen[str(record.msg)[:100]] += 1
        return self._seen[str(record.msg)[:100]] <= _MOST_ALIKE and len(self._seen) <= 20 * _MOST_ALIKE


class PatientSocket(socket.socket):
    """A listening socket that has a descriptor in reserve: with none left, it closes what comes rather than fail."""

    # Otherwise a connection that cannot be accepted is tried again at once, for ever, with an error in the log each
    # time.

    _reserve: int | None = None

    def accept(self) -> tuple[socket.socket, Any]:
        """A new connection."""
        if self._reserve is None:
            self._reserve = os.open(os.devnull, os.O_RDONLY)
        try:
            return super().accept()
        except OSError as error:
            if error.errno not in _FULL:
                raise
        os.close(self._reserve)
        try:
            super().accept()[0].close()
        finally:
            self._reserve = os.open(os.devnull, os.O_RDONLY)
        raise BlockingIOError

    def close(self) -> None:
        """Close it, and what it has in reserve."""
        if self._reserve is not None:
            os.close(self._reserve)
            self._reserve = None
        super().close()


def patient(sockets: Iterable[socket.socket]) -> list[socket.socket]:
    """The same listening sockets, each as a ``PatientSocket``."""
    # Detached, as the old object would close the descriptor when it is collected.
    return [PatientSocket(one.family, one.type, one.proto, fileno=one.detach()) for one in sockets]
