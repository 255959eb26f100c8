"""What administrators do over HTTP."""

from __future__ import annotations

import tempfile
import time
from contextlib import suppress
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from jupyter_server_ext.errors import BadRequest
from jupyter_server_ext.handlers.base import GatewayHandler
from jupyter_server_ext.handlers.requests import json_object
from jupyter_server_ext.identity import needs_scope
from jupyter_server_ext.ledger import FORMATS, export

if TYPE_CHECKING:
    from jupyter_server_ext.messages import Entry

_PARQUET = "application/vnd.apache.parquet"
_CHUNK = 256 * 1024  # bytes of a file between two looks at who else waits
_MOST_ERRORS = 1000  # entries in one reply


class HealthCheck(GatewayHandler):
    """``POST admin/health-check``."""

    @needs_scope("admin")
    async def post(self) -> None:
        """Try every key with the cheapest call, and tell what came of it."""
        self.reply({"keys": await self.app.gateway.check_keys()})


class ResetDailyLimits(GatewayHandler):
    """``POST admin/reset-daily-limits``."""

    @needs_scope("admin")
    async def post(self) -> None:
        """Forget what has counted against limits per day, of everybody."""
        accounts = await self.app.limits.reset_daily()
        await self.app.overrides.remember_reset(self.asker.name)
        self.reply({"status": "reset", "accounts": accounts})


class LimitsInForce(GatewayHandler):
    """``GET``, ``PATCH`` (or ``PUT``, ``POST``) and ``DELETE admin/api/limits``."""

    @needs_scope("admin")
    def get(self) -> None:
        """All limits in force, what of them was decided at run time, and whether that outlasts a restart."""
        self.reply(self.app.overrides.report())

    @needs_scope("admin")
    async def patch(self) -> None:
        """Change limits: ``{"caller": {"requests_per_minute": 5}, "callers": {"ada": {"usd_per_day": 2}}}``.

        Also ``tenant``, ``everyone``, ``tenants`` and ``routes`` (requests of each caller on one). What is not named
        stays; 0 allows nothing; null is no limit, and in ``callers`` and ``tenants`` that of all.
        """
        if wanted := json_object(self.body):
            await self.app.overrides.change(wanted, self.asker.name)
        self.reply(self.app.overrides.report())

    put = post = patch

    @needs_scope("admin")
    async def delete(self) -> None:
        """Have the limits of the rsql.toml again."""
        await self.app.overrides.change({}, self.asker.name)
        self.reply(self.app.overrides.report())


class Export(GatewayHandler):
    """``GET admin/api/export``."""

    @needs_scope("admin")
    async def get(self) -> None:
        """The ledger's entries as a file: ``format`` is ``csv`` or ``parquet``, ``since`` and ``until`` are days."""
        form = self.get_query_argument("format", "csv")
        if form not in FORMATS:
            raise BadRequest(f"'format' must be one of: {', '.join(FORMATS)}.", param="format")
        since, until = (_day_argument(self, name) for name in ("since", "until"))
        # By way of a file: a slow client keeps no transaction of the ledger open, and the length is known.
        with tempfile.TemporaryDirectory(prefix="rsql-export-") as folder:
            path = Path(folder) / f"entries.{form}"
            ledger = self.app.accounting.ledger
            await ledger.ask(lambda store: export(store.rows(since=since, until=until or "9999"), path, form))
            self.set_header("Content-Type", "text/csv; charset=utf-8" if form == "csv" else _PARQUET)
            self.set_header("Content-Disposition", f'attachment; filename="rsql-entries.{form}"')
            self.set_header("Content-Length", path.stat().st_size)
            with path.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    self.write(chunk)
                    await self.flush()
        self.finish()


class VerifyLedger(GatewayHandler):
    """``POST admin/api/ledger/verify``."""

    @needs_scope("admin")
    async def post(self) -> None:
        """Check the chains of the ledger, and the anchor where there is one: what was changed, removed or put in."""
        problems = await self.app.accounting.ledger.verify()
        self.reply({"status": "ok" if not problems else "broken", "problems": problems})


class OneRequest(GatewayHandler):
    """``GET admin/api/requests/{id}``."""

    @needs_scope("admin")
    async def get(self, request_id: str) -> None:
        """The entries of one request, with its prompt where the tenant's policy keeps it."""
        found = await self.app.accounting.ledger.ask(lambda store: store.find(request_id))
        if not found:
            raise BadRequest("There is no entry of this id.", param="id", code="unknown_request", status=404)
        self.reply({"entries": [_public_fields(entry) | self.app.accounting.prompt(entry) for entry in found]})


class Keys(GatewayHandler):
    """``GET admin/api/keys``."""

    @needs_scope("admin")
    def get(self) -> None:
        """Every key by its public id: state, limits as configured and as learnt, what is used."""
        status = self.app.gateway.status()
        self.reply({"states": status.get("keys", {}), "keys": status.get("pool", [])})


class OneKey(GatewayHandler):
    """``POST admin/api/keys/{key}/{action}``."""

    @needs_scope("admin")
    async def post(self, key: str, action: str) -> None:
        """``pause`` a key (what is under way goes on), ``resume`` it, or ``retire`` it until it is resumed."""
        keys = self.app.gateway.pool.keys
        if action == "retire":
            keys.retire(key, "retired by an administrator")
        else:
            (keys.pause if action == "pause" else keys.resume)(key)
        await self.app.runtime.note(f"{action} the key {key}", self.asker.name)
        self.reply({"key": key, "action": action})


class FeedbackList(GatewayHandler):
    """``GET admin/api/feedback``."""

    @needs_scope("admin")
    def get(self) -> None:
        """The latest ratings and comments."""
        self.reply({"feedback": [asdict(rating) for rating in self.app.ratings.latest()]})


class UsageSums(GatewayHandler):
    """``GET admin/api/usage``."""

    @needs_scope("instructor")
    async def get(self) -> None:
        """The ledger's sums per day, caller, tenant, model and task: all, or for an instructor the own group's.

        ``since`` is the first day, as ``2026-11-21``; today when it is not given.
        """
        since, own = _day_argument(self, "since"), self.app.tenants.scope(self.asker)
        self.reply({"usage": await self.app.accounting.usage(since, own)})


class Errors(GatewayHandler):
    """``GET admin/api/errors``."""

    @needs_scope("admin")
    async def get(self) -> None:
        """The ledger's latest entries that did not end well; at most ``limit`` of them, 100 when it is not given.

        Status 499: the caller left first; 0: the gateway was stopped before the end.
        """
        limit = self.get_query_argument("limit", "100")
        if not (limit.isdecimal() and len(limit) < 10 and 1 <= int(limit) <= _MOST_ERRORS):
            raise BadRequest(f"'limit' must be a number from 1 to {_MOST_ERRORS:,}.", param="limit")
        failed = await self.app.accounting.ledger.ask(lambda store: store.read(limit=int(limit), failed=True))
        self.reply({"errors": [_public_fields(entry) for entry in failed]})


class OneUser(GatewayHandler):
    """``DELETE admin/api/users/{name}``."""

    @needs_scope("admin")
    async def delete(self, name: str) -> None:
        """Forget a caller: what names it goes from the ledger, limits and memory; what was spent stays in the sums.

        ``complete`` is false when Redis is away, which still counts by the name: then it is to be repeated.
        """
        app, now = self.app, time.time()
        keys = await app.accounting.ledger.ask(lambda store: store.api_keys.all(name))
        await app.runtime.forget(name)
        gone = await app.accounting.ledger.ask(lambda store: store.forget(name, now))
        for keeper in (app.auth, app.conversations, app.ratings):
            keeper.forget(name)
        complete = await app.limits.forget(name, [key.id for key in keys])
        self.reply({"user": name, "entries": gone, "complete": complete})


def _public_fields(entry: Entry) -> dict[str, Any]:
    return {name: value for name, value in msgspec.to_builtins(entry).items() if name != "prompt"}


def _day_argument(handler: GatewayHandler, name: str) -> str:
    day = handler.get_query_argument(name, "")
    with suppress(ValueError):
        if not day or date.fromisoformat(day).isoformat() == day:
            return day
    raise BadRequest(f"'{name}' must be a day such as 2026-11-21.", param=name)
