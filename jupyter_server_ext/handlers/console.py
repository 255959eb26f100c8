"""The console: pages for people, the files that they load, and what only they need to know."""

# The pages hold no data. Their scripts ask the same routes as every other client does, with a token that a person gave
# them, or in a browser that is logged in to the hub with the session's cookie and the page's own token.

from __future__ import annotations

import asyncio
import gzip
import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from tornado.iostream import StreamClosedError
from tornado.template import Loader

from jupyter_server_ext.config import SCOPES, effective
from jupyter_server_ext.errors import BadRequest, LedgerUnavailable, NotAuthenticated, NotPermitted, RsqlGatewayError
from jupyter_server_ext.handlers.base import GatewayHandler, health, installed_version
from jupyter_server_ext.handlers.console_sections import sections_of
from jupyter_server_ext.handlers.described import described
from jupyter_server_ext.handlers.overview import LOOK_SECONDS
from jupyter_server_ext.handlers.parameters import text_of
from jupyter_server_ext.handlers.shapes.console import HeadroomReply, MeReply, OverviewReply, SettingsReply
from jupyter_server_ext.identity import NO_PAGES, needs_scope, open_to_all

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from jupyter_server_ext.handlers.base import AppContext
    from jupyter_server_ext.ledger import Thing

_PAGES = Loader(str(Path(__file__).parent / "pages"))
_STATIC = Path(__file__).parents[1] / "static"
_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_LEAST_GZIPPED = 1_000  # bytes
_YEAR = 31_536_000  # seconds
_LOOKS = 30  # events after which a stream asks again who looks; a minute
# Only files of this gateway, no text of a script within the page, and no text that becomes a page: even a name that
# is a script stays text.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:{hub};"
    " form-action 'none'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script';"
    " trusted-types 'none'"
)


class _Files(NamedTuple):
    version: str  # a hash of all of them, which is in their address
    contents: Mapping[str, bytes]
    gzipped: Mapping[str, bytes]


@cache
def _files() -> _Files:
    contents = {
        str(path.relative_to(_STATIC)): path.read_bytes()
        for path in sorted(_STATIC.rglob("*"))
        if path.suffix in _TYPES
    }
    digest = hashlib.sha256()
    for name, content in contents.items():
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    gzipped = {name: gzip.compress(content, mtime=0) for name, content in contents.items()}
    return _Files(digest.hexdigest()[:12], contents, gzipped)


class Asset(GatewayHandler):
    """``GET assets/{version}/{file}``."""

    @open_to_all
    @described("text/javascript")
    def get(self, version: str, name: str) -> None:
        """A script or style sheet of the console; the same for everybody."""
        files = _files()
        content = files.contents.get(name)
        if content is None:
            raise BadRequest("There is no such file.", code="not_found", status=404)
        self.set_header("Content-Type", f"{_TYPES[Path(name).suffix]}; charset=utf-8")
        if len(content) > _LEAST_GZIPPED and "gzip" in self.request.headers.get("Accept-Encoding", ""):
            self.set_header("Content-Encoding", "gzip")
            content = files.gzipped[name]
        self.set_header("Vary", "Accept-Encoding")
        # By this address it never changes: of another version it is another address.
        if version == files.version:
            self.set_header("Cache-Control", f"public, max-age={_YEAR}, immutable")
        self.finish(content)


class Console(GatewayHandler):
    """``GET admin``."""

    @open_to_all
    @described("text/html")
    async def get(self) -> None:
        """The console for administrators and instructors, as a page."""
        await show_app(self, "admin")


async def show_app(handler: GatewayHandler, part: str) -> None:
    """Send the page of the console, or of one's own use, after a login where there is a hub."""
    app, hub, session = handler.app, handler.app.hub, ""
    if handler.request.headers.get("Authorization"):
        # A program, which shows the page where it likes, as ``rsql console`` does: there is nothing of anybody in it.
        session = "command"
    elif app.shares_origin or (hub is not None and not hub.browsers.are_here(handler)):
        return show_elsewhere(handler)
    elif hub is not None:
        try:
            await app.auth.caller(handler, *SCOPES)
        except NotPermitted as error:
            return show_page(handler, "message", status=403, message=error.message)
        except NotAuthenticated:
            return handler.redirect(hub.browsers.begin(handler, handler.request.path))
        session = "hub"
    values = {"part": part, "session": session, "version": _files().version, "state": health(app)["status"]}
    show_page(handler, "console", base=app.base, host=hub.place.host if hub is not None else "", **values)
    return None


def show_elsewhere(handler: GatewayHandler) -> None:
    """Lead a browser to the origin where pages are, or say that there is none."""
    hub = handler.app.hub
    if hub is not None and (address := hub.browsers.address(handler.request.path)):
        return handler.redirect(address)
    return show_page(handler, "message", status=403, message=NO_PAGES)


def show_page(handler: GatewayHandler, page: str, *, status: int = 200, **values: Any) -> None:
    """Send a page of ``pages/``."""
    handler.set_status(status)
    handler.set_header("Content-Type", "text/html; charset=utf-8")
    # No other page may frame it and have its buttons clicked.
    host = values.pop("host", "")
    handler.set_header("Content-Security-Policy", _POLICY.format(hub=f" {host}" if host else ""))
    handler.set_header("Referrer-Policy", "no-referrer")  # the address may hold the code of a login
    handler.set_header("Cross-Origin-Opener-Policy", "same-origin")
    values = {"base": handler.app.base, "version": _files().version} | values
    handler.finish(_PAGES.load(f"{page}.html").generate(**values))


class Me(GatewayHandler):
    """``GET me``."""

    @needs_scope(*SCOPES)
    @described(MeReply)
    def get(self) -> None:
        """Who you are to this gateway, what you may do, and where the hub's own pages are."""
        asker = self.asker
        routes = {route.path for route in self.app.routes}
        self.reply(
            {
                "caller": asker.name,
                "tenant": asker.tenant,
                "scopes": sorted(asker.scopes),
                "version": installed_version(),
                "keeps": self.app.accounting.ledger.keeps,
                "zone": self.app.settings.storage.time_zone,
                "jobs": "admin/api/jobs" in routes,
                "sections": sections_of(asker.scopes, routes),
                "hub": _hub_links(self.app, admin="admin" in asker.scopes),
            }
        )


def _hub_links(app: AppContext, *, admin: bool) -> dict[str, str] | None:
    if app.hub is None:
        return None
    # By its whole address: pages are on another origin.
    hub = f"{app.hub.place.host}{app.hub.place.base_url}hub/"
    return {name: hub + name for name in ("home", "token", *(("admin",) if admin else ()), "logout", "logo")}


class Overview(GatewayHandler):
    """``GET admin/api/overview``."""

    @needs_scope("instructor")
    @described(OverviewReply)
    async def get(self) -> None:
        """How answers are doing, the keys, and what is wrong now and what to do; for an instructor of the own group.

        With ``Accept: text/event-stream`` it goes on: an event every two seconds.
        """
        if "text/event-stream" in self.request.headers.get("Accept", ""):
            await self._stream()
        else:
            self.reply(await self._look())

    async def _look(self) -> OverviewReply:
        return await self.app.overviews.of(self.app, self.app.tenants.scope(self.asker))

    async def _stream(self) -> None:
        self.set_header("Content-Type", "text/event-stream")
        self.set_header("X-Accel-Buffering", "no")  # nginx: pass on each event as it comes
        self._work = task = asyncio.current_task()  # which ends when the listener leaves
        try:
            await self._send_events()
        except (asyncio.CancelledError, StreamClosedError) as error:
            if task is None or not self.client_left():
                raise
            if isinstance(error, asyncio.CancelledError):
                task.uncancel()
        except RsqlGatewayError as error:
            if not self._headers_written:
                raise
            self.write(b"event: error\ndata: " + msgspec.json.encode(error.as_json(self.request_id)) + b"\n\n")
        finally:
            self._work = None
        if not self._finished:
            self.finish()

    async def _send_events(self) -> None:
        looks, seen = 0, None
        while not self.settings.get("leaving"):
            look = await self._look()
            # Without news a comment shows both ends that the other is still there.
            self.write(b": nothing new\n\n" if look is seen else b"data: " + msgspec.json.encode(look) + b"\n\n")
            seen = look
            await self.flush()
            await asyncio.sleep(LOOK_SECONDS)
            looks += 1
            if looks % _LOOKS == 0:  # whoever may not look any more sees no more
                self.caller = await self.app.auth.caller(self, "instructor")


class SettingsInForce(GatewayHandler):
    """``GET admin/api/settings``."""

    @needs_scope("admin")
    @described(SettingsReply)
    def get(self) -> None:
        """The settings in force, without secrets, each with where it comes from, such as a line of the file."""
        runtime = self.app.runtime
        rows = [*effective(runtime.settings, _decided(runtime.state))]
        self.reply({"settings": [{"name": row.name, "value": row.value, "from": row.origin} for row in rows]})


def _decided(state: Mapping[Thing, Mapping[str, Any]]) -> dict[str, str]:
    # Names of settings that were decided at run time, with by whom: an instructor's words go after an administrator's.
    tables = {"limits": "limits.", "callers": "callers.", "routes": "limits.routes.", "tenant": "tenants."}
    found: dict[str, str] = {}
    for kind, words in (*((kind, "console") for kind in tables), ("course", "console, by an instructor")):
        for thing, rules in state.items():
            if thing.kind == kind:
                place = f"{tables.get(kind, 'tenants.')}{thing.name}"
                flat = {name: one for name, one in rules.items() if name != "limits"}
                flat |= {f"limits.{name}": one for name, one in (rules.get("limits") or {}).items()}
                found |= {f"{place}.{name}": words for name in flat}
    return found


class HeadroomOfKeys(GatewayHandler):
    """``GET admin/api/headroom``."""

    @needs_scope("admin")
    @described(HeadroomReply, text_of("key", "Only of the key with this public id."))
    async def get(self) -> None:
        """The part of each key's limits that was left, every 30 s of the last three hours.

        It is the least that one of the gateways of the ledger saw, the same from all of them. Without a ledger, or
        while it is away, it is what this gateway saw, and ``shared`` is false.
        """
        headroom, ledger, key = self.app.headroom, self.app.accounting.ledger, self.query()["key"]
        limits, shared = headroom.report(key), ledger.keeps
        if shared:
            try:
                limits = await ledger.ask(lambda store: store.analytics.headroom(headroom.since, key))
            except LedgerUnavailable:
                shared = False
        self.reply({"every": headroom.every, "shared": shared, "limits": limits})
