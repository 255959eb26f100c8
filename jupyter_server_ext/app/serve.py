"""Serving the gateway alone, on plain tornado."""

# A process that holds keys offers nothing but the gateway's own routes, and starts in a fraction of the time that a
# Jupyter Server takes.

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tornado.log import app_log, gen_log
from tornado.netutil import bind_sockets
from tornado.web import Application

from jupyter_server_ext.app.assembly import warm_prices
from jupyter_server_ext.app.supervisor import LISTEN_VARIABLE
from jupyter_server_ext.errors import ConfigError
from jupyter_server_ext.handlers import (
    BoundedServer,
    FewWords,
    NoRoute,
    health,
    log_request,
    most_connections,
    patient,
    rules,
)
from jupyter_server_ext.pipeline import provider_keys

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable

    from jupyter_server_ext.app.supervised import SupervisorLink
    from jupyter_server_ext.config import Settings
    from jupyter_server_ext.handlers import AppContext, Metrics

_IDLE_SECONDS = 120.0  # a kept connection of a client, between two requests
_MOST_OPEN_FILES = 65_536  # a client and a provider for each of tens of thousands of streams
_HANDOVER_SECONDS = 600.0  # that answers under way have to end, while another gateway takes what is new
_LOOK_SECONDS = 1.0  # between two looks at the configuration's file
_COLLECT_AFTER = (5_000, 20, 100)  # objects; collections of the young; of the middle-aged


@dataclass(frozen=True)
class Listening:
    """Where to serve, and until when."""

    ip: str = "127.0.0.1"  # address; empty for all
    port: int = 8899  # port, 0 for any free one
    tls: ssl.SSLContext | None = None  # for https
    trust_headers: bool = False  # whether ``X-Forwarded-For`` and the like come from a proxy of ours
    drain_seconds: float = 10.0  # how long to wait at the end for what is under way
    # For so long nothing may come at the end, before connections are closed; for those behind a proxy, which
    # would find one closed that it is about to use.
    quiet_seconds: float = 0.0
    until: Callable[[], Awaitable[None]] | None = None  # returns when it is time to end; beside SIGTERM and SIGINT
    # Reads the configuration again, of which the keys are taken: at SIGHUP, and when ``watched`` changes.
    reread: Callable[[], Settings] | None = None
    watched: str = ""  # path of the file with the configuration; empty where there is none
    supervisor: SupervisorLink | None = None  # which starts the gateway that takes over
    signals: tuple[int, ...] = field(default=(signal.SIGTERM, signal.SIGINT))  # signals that end it

    def url(self, port: int, base: str) -> str:
        """What a client on this machine opens."""
        host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.ip, self.ip)  # noqa: S104
        return f"{'https' if self.tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}{base}"


def web_application(app: AppContext) -> Application:
    """The gateway as a tornado application of its own."""
    other = {"app": app, "route": "other"}
    return Application(
        rules(app, app.base), default_handler_class=NoRoute, default_handler_args=other, log_function=log_request
    )


async def serve(app: AppContext, listening: Listening, ready: Callable[[str], None]) -> None:
    """Serve until a signal comes, or ``listening.until`` returns; then let what is under way end."""
    # ``ready`` is called with the URL as soon as requests are answered.
    _raise_open_files()
    # With thousands of requests waiting, each look for garbage among all objects takes some tenths of a second in which
    # nothing is served; by default Python takes one for every few hundred requests. What a request leaves in a cycle is
    # found in a young generation.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)
    application = web_application(app)
    server = BoundedServer(
        application, ssl_options=listening.tls, xheaders=listening.trust_headers, idle_connection_timeout=_IDLE_SECONDS
    )
    most = most_connections()
    # Behind a proxy all clients come from its address.
    server.bound(most, 0 if listening.trust_headers or app.hub is not None else most // 2)
    _say_little()
    try:
        sockets = patient(_sockets(listening))  # connections are made from here on, and wait
    except OSError:
        await app.close()
        raise
    signalled = asyncio.Event()
    for number in listening.signals:
        with suppress(NotImplementedError):  # Windows: Ctrl-C raises KeyboardInterrupt
            asyncio.get_running_loop().add_signal_handler(number, signalled.set)
    watching = _take_keys_when_told(app, listening)
    # Before the first request: it would wait half a second.
    warm_prices(app.accounting.prices, app.settings)
    await app.gateway.start()
    server.add_sockets(sockets)
    app.notebooks.address = listening.url(sockets[0].getsockname()[1], app.base)
    following = asyncio.create_task(app.follow(), name="rsql-changes")
    ready(listening.url(sockets[0].getsockname()[1], app.base))
    replaced = asyncio.create_task(_replaced(app, listening.supervisor), name="rsql-supervisor")
    await _first(signalled.wait(), asyncio.shield(replaced), *([listening.until()] if listening.until else []))
    watching.cancel()
    following.cancel()
    server.stop()
    application.settings["leaving"] = True
    # A second signal ends the drain.
    signalled.clear()
    seconds = _HANDOVER_SECONDS if replaced.done() else listening.drain_seconds
    replaced.cancel()
    await _first(_quiet(app.metrics, listening.quiet_seconds), signalled.wait(), seconds=seconds)
    application.settings["over"] = True
    await app.close()
    await server.close_all_connections()


async def _replaced(app: AppContext, supervisor: SupervisorLink | None) -> None:
    # Return when another gateway has taken the port; one that could not is told of.
    if supervisor is None:
        await asyncio.Event().wait()
    else:
        supervisor.tell(ready=True, keys=provider_keys(app.settings), health=health(app)["status"])
        await supervisor.listen(partial(_not_taken, app, "The gateway goes on as it was: %s"))


def _not_taken(app: AppContext, words: str, why: str) -> None:
    # Say that a configuration was not taken: in the log, and in health, the console and webhooks until one is.
    app.gateway.configuration = why
    app_log.error(words, why)


async def _quiet(metrics: Metrics, seconds: float) -> None:
    # Return when nothing is under way, and nothing has come for so many seconds over connections that are kept.
    while True:
        await metrics.idle()
        ended = metrics.ended_so_far
        await asyncio.sleep(seconds)
        if not metrics.under_way and metrics.ended_so_far == ended:
            return


def _sockets(listening: Listening) -> list[socket.socket]:
    # What is listened to: the port that a supervisor holds and hands on, or one of our own.
    if kept := os.environ.pop(LISTEN_VARIABLE, ""):
        handed = socket.socket(fileno=int(kept))
        # The supervisor keeps it open between two gateways, so no connection is refused meanwhile.
        handed.setblocking(False)
        return [handed]
    try:
        return bind_sockets(listening.port, listening.ip, backlog=1024)
    except OSError as error:
        where = f"port {listening.port} of {listening.ip or 'this machine'}"
        words = f"Cannot listen on {where}: {error.strerror or error}. Choose another --port or --ip."
        raise ConfigError(words) from None


def _take_keys_when_told(app: AppContext, listening: Listening) -> asyncio.Task[None]:
    # Have the configuration's keys again at SIGHUP and when its file changes; the task that looks for that.
    if listening.reread is None:
        return asyncio.create_task(asyncio.sleep(0))
    take = partial(_take_keys, app, listening.reread)
    with suppress(NotImplementedError, AttributeError):  # not on Windows
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, take)
    return asyncio.create_task(_on_change(listening.watched, take) if listening.watched else asyncio.sleep(0))


async def _on_change(path: str, act: Callable[[], None]) -> None:
    # Do something whenever a file has changed and then stayed the same for a look, as it is written in pieces.
    before = known = _stamp(path)
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        stamp = _stamp(path)
        if stamp and stamp == before and stamp != known:
            known = stamp
            act()
        before = stamp


def _stamp(path: str) -> tuple[int, int, int] | None:
    # What changes when a file does; None where there is none.
    try:
        state = Path(path).stat()
    except OSError:
        return None
    return state.st_mtime_ns, state.st_size, state.st_ino


def _take_keys(app: AppContext, reread: Callable[[], Settings]) -> None:
    # Have the keys of the configuration as it is now; a wrong one changes nothing.
    try:
        app.gateway.reload(reread())
    except ConfigError as error:
        _not_taken(app, "The keys stay as they were: %s", error.message)
    else:
        app.gateway.configuration = ""
        states = app.gateway.status().get("keys", {}).items()
        now = ", ".join(f"{count} {state}" for state, count in states if count) or "none"
        app_log.warning("The keys were read again (%s). Other settings, if they changed, wait for a restart.", now)


async def _first(*waits: Awaitable[object], seconds: float | None = None) -> None:
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()


def _raise_open_files() -> None:
    # A stream takes two sockets, and the usual soft limit is 1,024.
    with suppress(ImportError, ValueError, OSError):
        import resource  # not on Windows

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = _MOST_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_OPEN_FILES)
        if soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _say_little() -> None:
    # What clients can cause by odd connections is in the log a few times a minute, not once for each.
    for logger in (gen_log, logging.getLogger("asyncio")):
        if not any(isinstance(one, FewWords) for one in logger.filters):
            logger.addFilter(FewWords())


_POLL_SECONDS = 0.5  # between two looks at a parent, where the system cannot tell of its end


async def parent_gone(pid: int = 0, stdin: int = 0) -> None:
    """Return when ``stdin`` has ended, or the process ``pid`` has."""
    # The other end of ``stdin`` is the parent's alone; what cannot be waited for, such as a file, is no sign of life.
    gone = asyncio.Event()
    loop = asyncio.get_running_loop()
    try:
        loop.add_reader(stdin, _read_on, stdin, gone.set)
    except (OSError, ValueError, NotImplementedError):  # a file, a closed one, or Windows' event loop
        if not pid:
            return
    await _first(gone.wait(), *([_ended(pid)] if pid else []))


def _read_on(descriptor: int, ended: Callable[[], object]) -> None:
    # Read what came, and say so when nothing more can.
    try:
        data = os.read(descriptor, 4096)
    except OSError:
        data = b""
    if not data:
        asyncio.get_running_loop().remove_reader(descriptor)
        ended()


async def _ended(pid: int) -> None:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    except (AttributeError, OSError):  # not Linux, or an old one
        with suppress(ProcessLookupError):
            while True:
                with suppress(PermissionError):
                    os.kill(pid, 0)
                await asyncio.sleep(_POLL_SECONDS)
        return
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
