"""What is written down and paid for one request: its ledger entry and the money held for it.

A record is opened before anything else happens to a request and closed, durably, before the caller sees the end of the
answer; a request that is refused, broken off or left has its entry, too.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from jupyter_server_ext.errors import LedgerUnavailable
from jupyter_server_ext.ledger import Ledger
from jupyter_server_ext.messages import Entry, Usage
from jupyter_server_ext.pipeline.budgets import Hold
from jupyter_server_ext.pipeline.prices import NANODOLLARS, Prices

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Collection, Iterable

    from jupyter_server_ext.ledger import LedgerStore, PromptVault
    from jupyter_server_ext.messages import Caller, ChatRequest
    from jupyter_server_ext.pipeline.budgets import Budgets, Period, Spent


_RECENT = 10_000  # requests of which it is known who asked, without a look at the ledger


class RequestAccounting:
    """The entry of one request while it is under way.

    Args:
        ledger: Where it goes.
        entry: What is known at the start.
        clock: Seconds, monotonic.
        vault: Encrypts prompts; None keeps none.
    """

    def __init__(
        self, ledger: Ledger, entry: Entry, clock: Callable[[], float], vault: PromptVault | None = None
    ) -> None:
        self._ledger = ledger
        self._vault = vault
        self._entry = entry
        self._clock = clock
        self._start = clock()
        self._first_token: float | None = None
        self._asked: ChatRequest | None = None
        self._begun: asyncio.Future[None] | None = None
        self.closed = False

    def keep_prompt(self, request: ChatRequest) -> None:
        """Have the text of the request in the entry, encrypted."""
        self._asked = request

    def begin(self, number: int, usage: Usage, cost: int, key: str, model: str) -> None:
        """A try is on its way, with so much reserved: what a crash leaves behind counts as this.

        Args:
            number: Which try it is, from 1.
            usage: Tokens reserved.
            cost: Nano-dollars held.
            key: Public id of the key it is sent with.
            model: The model it is sent to.
        """
        if self._ledger.keeps:
            now = self._entry.at + self._clock() - self._start
            known = {"attempt": number, "usage": usage, "cost_nanodollars": cost, "key": key, "model": model}
            self._begun = self._ledger.begin(replace(self._entry, at=now, **known))

    async def begun(self) -> None:
        """Return when what ``begin`` noted is on disk: nothing of an answer is seen that would be forgotten."""
        if self._begun is not None:
            begun, self._begun = self._begun, None
            await begun

    def tried(self, number: int, seconds: float, **known: Any) -> None:
        """A try has just failed, and another follows; it has an entry of its own, and nobody waits for it.

        Args:
            number: Which try it was, from 1.
            seconds: How long it took.
            **known: Fields of ``Entry``: status, error, key, model.
        """
        if self._ledger.keeps:
            times = {"at": self._entry.at + self._clock() - self._start - seconds, "duration_seconds": seconds}
            tried = replace(self._entry, attempt=number, attempts=0, upstream_seconds=seconds, **(times | known))
            self._ledger.note(tried)

    def token(self) -> None:
        """A part of the answer goes out; the first one's time is kept."""
        if self._first_token is None:
            self._first_token = self._clock() - self._start

    async def close(self, **known: Any) -> None:
        """Write down how it ended, durably; a second time changes nothing.

        Args:
            **known: Fields of ``Entry``: status, error, usage, cost_nanodollars, key, model, attempts, …
        """
        if self.closed:
            return
        self.closed = True
        if self._ledger.keeps:
            duration = self._clock() - self._start
            times = {"first_token_seconds": self._first_token, "duration_seconds": duration}
            await self._ledger.finish(replace(self._entry, **(times | {"prompt": self._sealed()} | known)))

    def _sealed(self) -> bytes | None:
        if self._asked is None or self._vault is None:
            return None
        return self._vault.seal(msgspec.json.encode(self._asked.body.get("messages")))


class Accounting:
    """Opens records and holds money.

    Args:
        ledger: Where entries go; by default nothing is kept.
        prices: What usage costs.
        budgets: What callers may spend; None holds nothing.
        vault: Encrypts the prompts that are kept; None keeps none.
        clock: Seconds, monotonic.
        wall_clock: Unix time.

    Example:
        >>> from jupyter_server_ext.messages import Caller, ChatRequest
        >>> record = Accounting().open(Caller("ada"), ChatRequest("m", {"messages": []}))
        >>> record.closed
        False
    """

    def __init__(
        self,
        ledger: Ledger | None = None,
        *,
        prices: Prices | None = None,
        budgets: Budgets | None = None,
        vault: PromptVault | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.ledger = ledger or Ledger(None)
        self.budgets = budgets
        self.vault = vault
        self.prices = prices or Prices()
        self._clock = clock
        self._wall_clock = wall_clock
        self._recent: OrderedDict[str, str] = OrderedDict()  # callers by request

    async def knows(self, request_id: str, caller: Caller) -> bool:
        """Whether this caller has asked something by this id."""
        if request_id in self._recent or not self.ledger.keeps:
            return self._recent.get(request_id) == caller.name
        found = await self.ledger.ask(lambda store: store.find(request_id))
        return any(entry.caller == caller.name for entry in found)

    def open(self, caller: Caller, request: ChatRequest) -> RequestAccounting:
        """Open the entry of a request.

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
        return RequestAccounting(self.ledger, entry, self._clock, self.vault)

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
        if self.budgets is not None and (spent := await self._spent(self.budgets, caller)).limit is not None:
            return {"today": _usd(spent.amount), "limit": _usd(spent.limit), "remaining": _usd(spent.remaining)}
        today: float | None = None
        with suppress(LedgerUnavailable):
            today = await self.ledger.ask(lambda store: self._spent_today(store, caller.name, providers))
        return {"today": today, "limit": None, "remaining": None}

    async def _spent(self, budgets: Budgets, caller: Caller) -> Spent:
        await budgets.refresh(caller)
        return budgets.spent(caller, "day")

    def spent_by_key(self, caller: Caller) -> dict[str, dict[str, float | None]]:
        """Budgets of the virtual key that was used, as known since ``cost_today``; empty when it has none."""
        told: dict[str, dict[str, float | None]] = {}
        if self.budgets is None:
            return told
        periods: tuple[Period, ...] = ("day", "month")
        for period in periods:
            if (spent := self.budgets.spent_by_key(caller, period)) is not None:
                now, limit, left = map(_usd, (spent.amount, spent.limit, spent.remaining))
                told[f"usd_per_{period}"] = {"current": now, "limit": limit, "remaining": left}
        return told

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

    def _today(self, store: LedgerStore) -> str:
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

    def prompt(self, entry: Entry) -> dict[str, Any]:
        """The messages of a request, where they were kept and can be read."""
        opened = self.vault.open(entry.prompt) if self.vault is not None and entry.prompt is not None else None
        return {} if opened is None else {"messages": msgspec.json.decode(opened)}

    def checks(self) -> dict[str, str]:
        """How the ledger is, for health; nothing where none is kept."""
        return {"ledger": self.ledger.health} if self.ledger.keeps else {}

    def _spent_today(self, store: LedgerStore, caller: str, providers: Collection[str]) -> float | None:
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
