"""What administrators do over HTTP."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date

from jupyter_server_ext.auth import needs_scope
from jupyter_server_ext.errors import BadRequest
from jupyter_server_ext.handlers.base import GatewayHandler

_MOST_ERRORS = 1000


class HealthCheck(GatewayHandler):
    """``POST admin/health-check``."""

    @needs_scope("admin")
    async def post(self) -> None:
        """Try every key with the cheapest call, and tell what came of it."""
        self.reply({"keys": await self.parts.gateway.check_keys()})


class ResetDailyLimits(GatewayHandler):
    """``POST admin/reset-daily-limits``."""

    @needs_scope("admin")
    async def post(self) -> None:
        """Forget what has counted against limits per day, of everybody."""
        self.reply({"status": "reset", "accounts": await self.parts.limits.reset_daily()})


class Keys(GatewayHandler):
    """``GET admin/api/keys``."""

    @needs_scope("admin")
    def get(self) -> None:
        """Every key by its public id: state, limits as configured and as learnt, what is used."""
        status = self.parts.gateway.status()
        self.reply({"states": status.get("keys", {}), "keys": status.get("pool", [])})


class OneKey(GatewayHandler):
    """``POST admin/api/keys/{key}/{action}``."""

    @needs_scope("admin")
    def post(self, key: str, action: str) -> None:
        """``pause`` a key (what is under way goes on), ``resume`` it, or ``retire`` it until it is resumed."""
        pool = self.parts.gateway.pool
        if action == "pause":
            pool.pause(key)
        elif action == "resume":
            pool.resume(key)
        else:
            pool.retire(key, "retired by an administrator")
        self.reply({"key": key, "action": action})


class FeedbackList(GatewayHandler):
    """``GET admin/api/feedback``."""

    @needs_scope("admin")
    def get(self) -> None:
        """The latest ratings and comments."""
        self.reply({"feedback": [asdict(rating) for rating in self.parts.ratings.latest()]})


class Usage(GatewayHandler):
    """``GET admin/api/usage``."""

    @needs_scope("admin")
    async def get(self) -> None:
        """The ledger's sums per day, caller, tenant, model and task.

        ``since`` is the first day, as ``2026-11-21``; today when it is not given.
        """
        since = self.get_query_argument("since", "")
        if since and not _is_day(since):
            raise BadRequest("'since' must be a day such as 2026-11-21.", param="since")
        self.reply({"usage": await self.parts.records.usage(since)})


class Errors(GatewayHandler):
    """``GET admin/api/errors``."""

    @needs_scope("admin")
    async def get(self) -> None:
        """The ledger's latest entries that did not end well; at most ``limit`` of them, 100 when it is not given.

        Status 499: the caller left first; 0: the gateway was stopped before the end.
        """
        limit = self.get_query_argument("limit", "100")
        if not (limit.isdecimal() and 1 <= int(limit) <= _MOST_ERRORS):
            raise BadRequest(f"'limit' must be a number from 1 to {_MOST_ERRORS:,}.", param="limit")
        failed = await self.parts.records.ledger.ask(lambda store: store.read(limit=int(limit), failed=True))
        self.reply({"errors": [asdict(entry) for entry in failed]})


class OneUser(GatewayHandler):
    """``DELETE admin/api/users/{name}``."""

    @needs_scope("admin")
    async def delete(self, name: str) -> None:
        """Forget a caller: its name, group and prompt hashes go from the ledger; what was spent stays in the sums."""
        gone = await self.parts.records.ledger.ask(lambda store: store.forget(name))
        self.reply({"user": name, "entries": gone})


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
