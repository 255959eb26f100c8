"""What administrators do over HTTP."""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec

from jupyter_server_ext.errors import BadRequest
from jupyter_server_ext.handlers.base import GatewayHandler
from jupyter_server_ext.handlers.described import described
from jupyter_server_ext.handlers.keys import public_fields
from jupyter_server_ext.handlers.overview import explained
from jupyter_server_ext.handlers.parameters import AFTER, PAGED, TENANT, choice, day, whole
from jupyter_server_ext.handlers.requests import json_object
from jupyter_server_ext.handlers.shapes.administration import (
    ChecksReply,
    ForgottenReply,
    GivenBackReply,
    KeyActionReply,
    KeyCheck,
    KeysReply,
    LimitsReply,
    NewKeyReply,
    ResetReply,
    VerifyReply,
)
from jupyter_server_ext.handlers.shapes.analytics import OneRequestReply
from jupyter_server_ext.handlers.shapes.callers import UsageReply
from jupyter_server_ext.handlers.shapes.console import UserReply
from jupyter_server_ext.handlers.shapes.conversations import FeedbackReply
from jupyter_server_ext.handlers.shapes.knowledge import DeletedDocument
from jupyter_server_ext.identity import needs_scope
from jupyter_server_ext.ledger import FORMATS, TOTAL_KEYS, LedgerPage, Thing, TrailRecord, export
from jupyter_server_ext.messages import Caller

if TYPE_CHECKING:
    from jupyter_server_ext.messages import Entry
    from jupyter_server_ext.pipeline import KeyAction

_PARQUET = "application/vnd.apache.parquet"
_CHUNK = 256 * 1024  # bytes of a file between two looks at who else waits
_DAY = 86_400.0
_ROWS = whole("limit", "How many rows at most.", least=1, most=10_000, default=1_000)


class HealthCheck(GatewayHandler):
    """``POST admin/health-check``."""

    @needs_scope("admin")
    @described(ChecksReply)
    async def post(self) -> None:
        """Try every key with the cheapest call, and tell what came of it."""
        self.reply({"keys": await self.app.gateway.check_keys()})


class ResetDailyLimits(GatewayHandler):
    """``POST admin/reset-daily-limits``."""

    @needs_scope("admin")
    @described(ResetReply)
    async def post(self) -> None:
        """Forget what has counted against limits per day, of everybody."""
        accounts = await self.app.limits.reset_daily()
        await self.app.overrides.remember_reset(self.asker.name)
        self.reply({"status": "reset", "accounts": accounts})


class LimitsInForce(GatewayHandler):
    """``GET``, ``PATCH`` (or ``PUT``, ``POST``) and ``DELETE admin/api/limits``."""

    @needs_scope("admin")
    @described(LimitsReply)
    def get(self) -> None:
        """All limits in force, what of them was decided at run time, and whether that outlasts a restart."""
        self.reply(self.app.overrides.report())

    @needs_scope("admin")
    @described(LimitsReply)
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
    @described(LimitsReply)
    async def delete(self) -> None:
        """Have the limits of the rsql.toml again."""
        await self.app.overrides.change({}, self.asker.name)
        self.reply(self.app.overrides.report())


class Export(GatewayHandler):
    """``GET admin/api/export``."""

    @needs_scope("admin")
    @described(
        "text/csv",
        choice("format", "Of the file.", *FORMATS, default="csv"),
        day("since", "The first day."),
        day("until", "The last day."),
    )
    async def get(self) -> None:
        """The ledger's entries as a file: ``format`` is ``csv`` or ``parquet``, ``since`` and ``until`` are days."""
        asked = self.query()
        form, since, until = (asked[name] for name in ("format", "since", "until"))
        # By way of a file: a slow client keeps no transaction of the ledger open, and the length is known.
        with tempfile.TemporaryDirectory(prefix="rsql-export-") as folder:
            path = Path(folder) / f"entries.{form}"
            ledger = self.app.accounting.ledger
            record = TrailRecord("export", self.asker.name, detail=json.dumps({"since": since, "until": until}))
            await ledger.write(lambda store: store.trail.note(record))
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
    @described(VerifyReply)
    async def post(self) -> None:
        """Check the chains of the ledger, and the anchor where there is one: what was changed, removed or put in.

        ``notes`` say what cannot be known, as without an anchor whether the newest entries are there.
        """
        problems, notes = await self.app.accounting.ledger.verify()
        self.reply({"status": "ok" if not problems else "broken", "problems": problems, "notes": notes})


class OneRequest(GatewayHandler):
    """``GET admin/api/requests/{id}``."""

    @needs_scope("admin")
    @described(OneRequestReply)
    async def get(self, request_id: str) -> None:
        """The entries of one request, with its prompt where the tenant's policy keeps it."""
        found = await self.app.accounting.ledger.ask(lambda store: store.find(request_id))
        if not found:
            raise BadRequest("There is no entry of this id.", param="id", code="unknown_request", status=404)
        texts = [self.app.accounting.prompt(entry) for entry in found]
        if any(texts):
            # Before anybody reads a word of it: what cannot be recorded is not shown.
            record = TrailRecord("read", self.asker.name, request_id)
            await self.app.accounting.ledger.write(lambda store: store.trail.note(record))
        entries = [shown(entry) | text for entry, text in zip(found, texts, strict=True)]
        self.reply({"entries": entries})


class Keys(GatewayHandler):
    """``GET admin/api/keys``."""

    @needs_scope("admin")
    @described(KeysReply)
    def get(self) -> None:
        """Every key by its public id: state, limits as configured and as learnt, what is used."""
        status = self.app.gateway.status()
        rows = [dict(row) | explained(row) for row in status.get("pool", [])]
        self.reply({"states": status.get("keys", {}), "keys": rows})

    @needs_scope("admin")
    @described(NewKeyReply, status=201)
    async def post(self) -> None:
        """Add a provider's key, in the form of ``[[keys]]``: its ``provider`` and ``key``, and any of the rest.

        It is used at once, also by other gateways with the same ledger. ``lasts`` is false where it ends with this
        gateway, as there are no ``prompt_keys`` to encrypt it with.
        """
        name = await self.app.key_changes.add(json_object(self.body), self.asker.name)
        self.reply({"key": name, "lasts": self.app.key_changes.lasts}, status=201)


class AddedKey(GatewayHandler):
    """``DELETE admin/api/keys/{key}``."""

    @needs_scope("admin")
    @described(DeletedDocument)
    async def delete(self, key: str) -> None:
        """Remove a key that was added at run time; undoing the change brings it back."""
        await self.app.key_changes.remove(key, self.asker.name)
        self.reply({"deleted": key})


class CheckedKey(GatewayHandler):
    """``POST admin/api/keys/{key}/check``."""

    @needs_scope("admin")
    @described(KeyCheck)
    async def post(self, key: str) -> None:
        """Try a key with the cheapest call, and tell what came of it."""
        (told,) = await self.app.gateway.check_keys(key)
        self.reply(told)


class OneKey(GatewayHandler):
    """``POST admin/api/keys/{key}/{action}``."""

    @needs_scope("admin")
    @described(KeyActionReply)
    async def post(self, key: str, action: str) -> None:
        """``pause`` a key (what is under way goes on), ``resume`` it, or ``retire`` it until it is resumed.

        Other gateways with the same ledger follow within two seconds.
        """
        await self.app.key_changes.change(key, cast("KeyAction", action), self.asker.name)
        self.reply({"key": key, "action": action})


class FeedbackList(GatewayHandler):
    """``GET admin/api/feedback``."""

    @needs_scope("admin")
    @described(FeedbackReply, *PAGED, TENANT)
    async def get(self) -> None:
        """Ratings and comments, the latest first."""
        page = self.page()
        rows = [asdict(rating) for rating in await self.app.ratings.latest(page, self.query()["tenant"])]
        self.reply({"feedback": rows[: page.limit], "next": page.mark(rows, "at", "request_id")})


class UsageSums(GatewayHandler):
    """``GET admin/api/usage``."""

    @needs_scope("instructor")
    @described(UsageReply, day("since", "The first day; today without it."), _ROWS, AFTER, TENANT)
    async def get(self) -> None:
        """The ledger's sums per day, caller, tenant, model and task: all, or for an instructor the own group's."""
        page, own = self.page(), self.tenant_seen()
        rows = await self.app.accounting.usage(self.query()["since"], own, page)
        self.reply({"usage": rows[: page.limit], "next": page.mark(rows, *TOTAL_KEYS)})


class GivenBack(GatewayHandler):
    """``POST admin/api/users/{name}/reset``."""

    @needs_scope("instructor")
    @described(GivenBackReply)
    async def post(self, name: str) -> None:
        """Forget what counts against somebody's own limits and budgets, at once; a group's stay.

        Instructors do so for those who have asked in their own group this month, and in no other one.
        ``complete`` is false when Redis is away, which counts too: then it is to be repeated.
        """
        app, days, own = self.app, {}, self.app.tenants.scope(self.asker)
        month = time.strftime("%Y-%m-01", time.gmtime(time.time() - _DAY))
        if own is not None:
            await app.tenants.check_pace(own)
            seen = await app.accounting.ledger.ask(lambda store: store.analytics.tenants_of(name, month))
            if seen - {""} != {own}:
                words = (
                    "This month nobody of this name has asked in your group, and in it alone. Ask your administrator."
                )
                raise BadRequest(words, param="name", code="unknown_user", status=404)
        if app.accounting.ledger.keeps:
            rows = await app.accounting.ledger.ask(lambda store: store.analytics.days_of(name, month))
            days = {row["day"]: row["cost_nanodollars"] for row in rows}
        complete = await app.limits.forget(name)
        await app.overrides.remember_given_back(name, days, self.asker.name, own or "")
        self.reply({"user": name, "complete": complete})


class OneUser(GatewayHandler):
    """``GET`` and ``DELETE admin/api/users/{name}``."""

    @needs_scope("admin")
    @described(UserReply)
    async def get(self, name: str) -> None:
        """What somebody has used of the limits and budgets, those of their own, and their virtual keys."""
        app = self.app
        caller = await self._caller(name)
        await app.limits.refresh(caller)
        keys = await app.virtual_keys.of(name)
        self.reply(
            {
                "user": name,
                "tenant": caller.tenant,
                **app.limits.stats(caller),
                "cost": await app.accounting.cost_today(caller, {key.provider for key in app.settings.keys}),
                "decided": app.runtime.state.get(Thing("callers", name)),
                "keys": [public_fields(key) for key in keys],
            }
        )

    async def _caller(self, name: str) -> Caller:
        # With the group of the last request, as only the hub knows who is in which.
        latest = []
        if self.app.accounting.ledger.keeps:
            latest = await self.analyze(lambda known: known.executions(LedgerPage(1), caller=name))
        return self.app.runtime.placed(Caller(name, latest[0]["tenant"] if latest else ""))

    @needs_scope("admin")
    @described(ForgottenReply)
    async def delete(self, name: str) -> None:
        """Forget a caller: what names it goes from the ledger, limits and memory; what was spent stays in the sums.

        ``complete`` is false when Redis is away, which still counts by the name: then it is to be repeated.
        """
        app, now = self.app, time.time()
        keys = await app.accounting.ledger.ask(lambda store: store.api_keys.all(name))
        await app.runtime.forget(name)
        await app.jobs.forget(name)
        gone = await app.accounting.ledger.ask(lambda store: store.forget(name, now))
        record = TrailRecord("forgot", self.asker.name, detail=json.dumps({"entries": gone}))
        await app.accounting.ledger.ask(lambda store: store.trail.note(record))
        await app.webhooks.forget(name)
        for keeper in (app.auth, app.conversations, app.ratings):
            keeper.forget(name)
        complete = await app.limits.forget(name, [key.id for key in keys])
        self.reply({"user": name, "entries": gone, "complete": complete})


def shown(entry: Entry) -> dict[str, Any]:
    """An entry as administrators see it, without its texts."""
    known = {name: value for name, value in msgspec.to_builtins(entry).items() if name not in {"prompt", "answer"}}
    return known | {"outcome": entry.outcome, "tables": entry.tables.split(",") if entry.tables else []}
