"""What administrators do over HTTP."""

from __future__ import annotations

from dataclasses import asdict

from jupyter_server_ext.auth import needs_scope
from jupyter_server_ext.handlers.base import GatewayHandler


class HealthCheck(GatewayHandler):
    """``POST admin/health-check``."""

    @needs_scope("admin")
    async def post(self) -> None:
        """Try every key with the cheapest call, and tell what came of it."""
        self.reply({"keys": await self.parts.gateway.check_keys()})


class ResetDailyLimits(GatewayHandler):
    """``POST admin/reset-daily-limits``."""

    @needs_scope("admin")
    def post(self) -> None:
        """Forget what has counted against limits per day, of everybody."""
        self.reply({"status": "reset", "accounts": self.parts.limits.reset_daily()})


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
