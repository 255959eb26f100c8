"""What the handlers are given: the gateway and what stands around it, built once in ``serve``."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jupyter_server_ext.config import Settings
    from jupyter_server_ext.handlers.base import Metrics
    from jupyter_server_ext.handlers.chat import Conversations, Ratings
    from jupyter_server_ext.handlers.completions import RelayHandler
    from jupyter_server_ext.handlers.reading import BodyReader
    from jupyter_server_ext.handlers.requests import BodyBudget
    from jupyter_server_ext.handlers.routes import Route
    from jupyter_server_ext.identity import Authenticator, HubAccess, Policy, VirtualKeys
    from jupyter_server_ext.limits import LimitOverrides, Limits
    from jupyter_server_ext.pipeline import Accounting, Gateway


_LAST_WORDS_SECONDS = 2.0  # that answers may take to end when the gateway does


@dataclass(frozen=True)
class AppContext:
    """Everything a handler may use."""

    settings: Settings  # as read
    gateway: Gateway  # answers requests
    auth: Authenticator  # finds the caller of a request
    virtual_keys: VirtualKeys  # keys that callers make for their scripts
    policy: Policy  # what tenants may do
    limits: Limits  # what callers have left
    accounting: Accounting  # the ledger, prices and budgets
    overrides: LimitOverrides  # limits that administrators override at run time
    conversations: Conversations  # turns of ``POST chat``
    ratings: Ratings  # what people think of answers
    metrics: Metrics  # figures for Prometheus
    routes: tuple[Route, ...]  # what is served, for the docs
    base: str  # the path they are below, with a slash at both ends
    bodies: BodyBudget  # how much is held of bodies that come in
    reader: BodyReader  # reads them
    hub: HubAccess | None = None  # the JupyterHub whose service this is, if any
    # What is being answered, to be ended with a word when the gateway ends.
    under_way: set[RelayHandler] = field(default_factory=set)

    async def close(self) -> None:
        """End what is open; what is being answered ends with an error that says so."""
        ending = [task for answer in self.under_way if (task := answer.end_early()) is not None]
        if ending:
            await asyncio.wait(ending, timeout=_LAST_WORDS_SECONDS)
        self.reader.close()
        await self.gateway.close()


def health(app: AppContext) -> Mapping[str, Any]:
    """What everybody may know: whether the gateway can answer, and its version."""
    status = app.gateway.status()
    lost = status.get("keys_lost", 0)
    states = status.get("keys", {})
    can_wait = states.get("ready") or states.get("cooling") or states.get("exhausted")
    checks = {"keys": "ok" if states.get("ready") and not lost else "degraded" if can_wait else "unavailable"}
    checks |= status.get("checks", {})
    worst = next((word for word in ("unavailable", "degraded") if word in checks.values()), "ok")
    state = {"status": worst, "version": installed_version(), "checks": checks}
    return state | {"keys_lost": lost} if lost else state


def installed_version() -> str:
    """The version of this package."""
    try:
        return version("rsql-jupyter")
    except PackageNotFoundError:  # the sources, on a path
        return "unknown"
