"""The accounting of requests: their ledger entries and the money held for them, and what both add up to.

An entry is opened before anything else happens to a request and written, durably, before the caller sees the end of the
answer; a request that is refused, broken off or left has its entry, too.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from typing import TYPE_CHECKING, Any

import msgspec

from jupyter_server_ext.errors import LedgerUnavailable
from jupyter_server_ext.ledger import Ledger
from jupyter_server_ext.messages import Entry, Usage
from jupyter_server_ext.pipeline.money import NANODOLLARS, PERIODS, Hold, Prices

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from jupyter_server_ext.ledger import PromptVault, SqlLedgerStore
    from jupyter_server_ext.messages import Caller, ChatRequest
    from jupyter_server_ext.pipeline.money import Budgets


_RECENT = 10_000  # requests of which it is known who asked, without a look at the ledger


class Accounting:
    """Opens entries and holds money.

    Args:
        ledger: Where entries go; by default nothing is kept.
        prices: What usage costs.
        budgets: What callers may spend; None holds nothing.
        vault: Encrypts the prompts that are kept; None keeps none.
        wall_clock: Unix time.

    Example:
        >>> from jupyter_server_ext.messages import Caller, ChatRequest
        >>> Accounting().open(Caller("ada"), ChatRequest("m", {"messages": []})).caller
        'ada'
    """

    def __init__(
        self,
        ledger: Ledger | None = None,
        *,
        prices: Prices | None = None,
        budgets: Budgets | None = None,
        vault: PromptVault | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.ledger = ledger or Ledger(None)
        self.budgets = budgets
        self.vault = vault
        self.prices = prices or Prices()
        self._wall_clock = wall_clock
        self._recent: OrderedDict[str, str] = OrderedDict()  # callers by request

    async def knows(self, request_id: str, caller: Caller) -> bool:
        """Whether this caller has asked something by this id."""
        if request_id in self._recent or not self.ledger.keeps:
            return self._recent.get(request_id) == caller.name
        found = await self.ledger.ask(lambda store: store.find(request_id))
        return any(entry.caller == caller.name for entry in found)

    def open(self, caller: Caller, request: ChatRequest) -> Entry:
        """Open the entry of a request; ``RequestContext`` writes it.

        Raises:
            LedgerUnavailable: Entries cannot be written, so nothing new is begun.
        """
        entry = Entry(
            request_id=request.request_id,
            at=self._wall_clock(),
            caller=caller.name,
            tenant=caller.tenant,
            api_key=caller.key,
            task=request.task,
            model=request.model,
            prompt_hash=_prompt_hash(request) if self.ledger.keeps else "",
        )
        self.ledger.check()
        self._recent[request.request_id] = caller.name
        if len(self._recent) > _RECENT:
            self._recent.popitem(last=False)
        return entry

    def hold(
        self, caller: Caller, model: str, providers: Iterable[str], usage: Usage
    ) -> AbstractAsyncContextManager[Hold]:
        """Set aside the most that an answer with this usage can cost at any of these providers.

        Raises:
            LimitExceeded: A budget has less left than that.
        """
        if self.budgets is None:
            return nullcontext(Hold(0))
        return self.budgets.hold(caller, max((self.cost(usage, model, name) for name in providers), default=0))

    def cost(self, usage: Usage, model: str, provider: str) -> int:
        """What usage costs, in nano-dollars."""
        return self.prices.cost(usage, model, provider)

    def dollars(self, cost: int, model: str, provider: str) -> float | None:
        """A cost to show: None where the price is not known, or there is none."""
        return cost / NANODOLLARS if cost and self.prices.known(model, provider) else None

    async def cost_today(self, caller: Caller, providers: Collection[str]) -> dict[str, float | None]:
        """What the caller has spent today, in US dollars: ``today``, ``limit`` and ``remaining``.

        By its budget, where there are budgets, else by the ledger. None stands for what is not known, such as the sum
        of a day with a model of unknown price.

        Args:
            caller: Whose money.
            providers: Those that there are keys for.
        """
        if self.budgets is not None:
            await self.budgets.refresh(caller)
            spent = self.budgets.spent(caller, "day")
            if spent.limit is not None:
                return {"today": _usd(spent.amount), "limit": _usd(spent.limit), "remaining": _usd(spent.remaining)}
        today: float | None = None
        with suppress(LedgerUnavailable):
            today = await self.ledger.ask(lambda store: self._spent_today(store, caller.name, providers))
        return {"today": today, "limit": None, "remaining": None}

    def spent_by_key(self, caller: Caller) -> dict[str, dict[str, float | None]]:
        """Budgets of the virtual key that was used, as known since ``cost_today``; empty when it has none."""
        budgets: dict[str, dict[str, float | None]] = {}
        for period in PERIODS if self.budgets is not None else ():
            if self.budgets is not None and (spent := self.budgets.spent_by_key(caller, period)) is not None:
                now, limit, left = map(_usd, (spent.amount, spent.limit, spent.remaining))
                budgets[f"usd_per_{period}"] = {"current": now, "limit": limit, "remaining": left}
        return budgets

    async def cache_today(self, caller: Caller) -> dict[str, float | None]:
        """The caller's requests today, how many were answered from the cache, and the US dollars that saved.

        None stands for what is not known, as there is no ledger.
        """
        with suppress(LedgerUnavailable):
            sums = await self.ledger.ask(lambda store: store.totals(since=self._today(store), caller=caller.name))
            requests, hits, saved = (
                sum(total[name] for total in sums) for name in ("requests", "cache_hits", "saved_nanodollars")
            )
            rate = round(hits / requests, 4) if requests else None
            return {"requests": requests, "hits": hits, "hit_rate": rate, "saved_usd": _usd(saved)}
        return dict.fromkeys(("requests", "hits", "hit_rate", "saved_usd"))

    def _today(self, store: SqlLedgerStore) -> str:
        return store.day(self._wall_clock())

    async def usage(self, since: str = "") -> list[dict[str, Any]]:
        """The ledger's sums per day, caller, tenant, model and task.

        Args:
            since: The first day, such as ``2026-11-21``; today when empty.

        Raises:
            LedgerUnavailable: There is no ledger, or it cannot be read.
        """
        sums = await self.ledger.ask(lambda store: store.totals(since=since or self._today(store)))
        return [
            {name: value for name, value in total.items() if not name.endswith("_nanodollars")}
            | {"cost_usd": _usd(total["cost_nanodollars"]), "saved_usd": _usd(total["saved_nanodollars"])}
            for total in sums
        ]

    def seal(self, request: ChatRequest) -> bytes | None:
        """The messages of a request, encrypted; None where there are no keys for that."""
        return None if self.vault is None else self.vault.seal(msgspec.json.encode(request.body.get("messages")))

    def prompt(self, entry: Entry) -> dict[str, Any]:
        """The messages of a request, where they were kept and can be read."""
        opened = self.vault.open(entry.prompt) if self.vault is not None and entry.prompt is not None else None
        return {} if opened is None else {"messages": msgspec.json.decode(opened)}

    def checks(self) -> dict[str, str]:
        """How the ledger is, for health; nothing where none is kept."""
        return {"ledger": self.ledger.health} if self.ledger.keeps else {}

    def _spent_today(self, store: SqlLedgerStore, caller: str, providers: Collection[str]) -> float | None:
        sums = store.totals(since=self._today(store), caller=caller)
        paid = [total for total in sums if total["cost_nanodollars"]]
        if any(not any(self.prices.known(total["model"], name) for name in providers) for total in paid):
            return None
        return _usd(sum(total["cost_nanodollars"] for total in paid))


def _usd(nanodollars: int | None) -> float | None:
    return None if nanodollars is None else nanodollars / NANODOLLARS


def _prompt_hash(request: ChatRequest) -> str:
    if request.weighed is not None:
        return request.weighed.prompt_hash
    return hashlib.sha256(msgspec.json.encode(request.body.get("input" if request.embeds else "messages"))).hexdigest()
