"""The figures of a gateway for Prometheus."""

# Names follow ``rsql_<noun>_<unit>``. No label holds a caller, a token or text of a request, and each has few values:
# what anybody can make up, as names of models, is ``other`` beyond the first ones. Figures that name models, groups and
# keys are for administrators, and for tokens made to read figures.

from __future__ import annotations

import asyncio
from bisect import bisect_left
from heapq import nlargest
from itertools import accumulate
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from jupyter_server_ext.ledger import quantile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from prometheus_client.core import Metric

    from jupyter_server_ext.messages import Entry

# From a cached answer to a long one behind a queue.
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_WAITS = (0.05, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_SHARES = (0.5, 0.95, 0.99)
_MOST_MODELS = 50
_MOST_GROUPS = 300  # of model, tenant and task together
_MOST_LIMITS = 100
_OTHER = "other"
_NANODOLLARS = 1e9


class Metrics:
    """The figures of one gateway for Prometheus, in a registry of its own.

    ``status`` is ``Gateway.status``, read when somebody asks for the figures; ``budgets`` brings names of budgets with
    the share of each that is spent, and ``ledger`` how many entries wait to be written, and for how many seconds.
    """

    def __init__(
        self,
        status: Callable[[], Mapping[str, Any]],
        budgets: Callable[[], Iterable[tuple[str, str, float]]] = tuple,
        ledger: Callable[[], tuple[int, float]] = lambda: (0, 0.0),
    ) -> None:
        registry = self._registry = CollectorRegistry()  # not the global one: a process may hold two gateways
        self._requests = Counter(
            "rsql_requests", "Requests answered, by route and HTTP status.", ["route", "status"], registry=registry
        )
        words = "Time from a request's headers to the end of its answer."
        self._seconds = Histogram(
            "rsql_request_duration_seconds", words, ["route"], buckets=_SECONDS, registry=registry
        )
        self._counted: dict[tuple[str, int], tuple[Counter, Histogram]] = {}
        under_way = Gauge("rsql_requests_under_way", "Requests not yet answered.", registry=registry)
        under_way.set_function(lambda: self.under_way)
        self.under_way = 0  # requests that have come and are not answered
        self.ended_so_far = 0
        self._idle: asyncio.Future[None] | None = None
        self._feedback = Counter(
            "rsql_feedback", "Answers that people rated, by rating.", ["rating"], registry=registry
        )
        registry.register(_Status(status, ledger))
        self.executions = ExecutionFigures()
        self.executions.registry.register(_KeysAndBudgets(status, budgets))

    def ended(self, route: str, status: int, seconds: float) -> None:
        """A request was answered."""
        self.under_way -= 1
        self.ended_so_far += 1
        # The end of the gateway waits for this.
        if self._idle is not None and not self.under_way and not self._idle.done():
            self._idle.set_result(None)
        counted = self._counted.get((route, status))
        if counted is None:  # finding a label costs more than counting
            counted = self._requests.labels(route, str(status)), self._seconds.labels(route)
            self._counted[route, status] = counted
        counted[0].inc()
        counted[1].observe(seconds)

    async def idle(self) -> None:
        """Return when nothing is under way."""
        if self.under_way:
            self._idle = asyncio.get_running_loop().create_future()
            await self._idle

    def rated(self, rating: int) -> None:
        """Somebody rated an answer from 1 to 5."""
        self._feedback.labels(str(rating)).inc()

    def text(self, lately: Iterable[Mapping[str, Any]] = (), *, detailed: bool = False) -> bytes:
        """The figures in Prometheus' text format; those that name models, groups and keys only if ``detailed``.

        ``lately`` are the ledger's sums of the last minutes by model, of all gateways.
        """
        text = generate_latest(self._registry)
        if not detailed:
            return text
        return text + generate_latest(self.executions.registry) + generate_latest(_Quantiles(lately))


class _Quantiles:
    """How long answers took lately, by the ledger's sketches: buckets of Prometheus are too wide to tell."""

    def __init__(self, rows: Iterable[Mapping[str, Any]]) -> None:
        self._models = {row["model"]: row["durations"] for row in rows if row["durations"]}

    def collect(self) -> Iterator[Metric]:
        words = "Time to the end of answers that ended well in the last minutes, of all gateways."
        of_all = GaugeMetricFamily("rsql_answer_seconds", words, labels=["quantile"])
        by_model = GaugeMetricFamily("rsql_model_answer_seconds", words, labels=["model", "quantile"])
        for model, durations in (("", sum(self._models.values())), *self._models.items()):
            for share in _SHARES:
                seconds = quantile(durations, share)
                if seconds is not None:
                    family, names = (by_model, [model]) if model else (of_all, [])
                    family.add_metric([*names, f"{share:g}"], seconds)
        yield of_all
        yield by_model


class _Status:
    """Figures that are read from the gateway's status when they are asked for."""

    def __init__(self, status: Callable[[], Mapping[str, Any]], ledger: Callable[[], tuple[int, float]]) -> None:
        self._status, self._ledger = status, ledger

    def collect(self) -> Iterator[Metric]:
        status = self._status()
        keys = GaugeMetricFamily("rsql_keys", "Keys of providers, by state.", labels=["state"])
        for state, number in status.get("keys", {}).items():
            keys.add_metric([state], number)
        yield keys
        checks = GaugeMetricFamily("rsql_check_ok", "1 when this part works, else 0.", labels=["check"])
        for part, word in status.get("checks", {}).items():
            checks.add_metric([part], float(word == "ok"))
        yield checks
        if cache := status.get("cache"):
            results = CounterMetricFamily(
                "rsql_cache_requests", "Requests answered, by what the cache did.", labels=["result"]
            )
            for result in ("hit", "miss", "shared", "bypass"):
                results.add_metric([result], cache[result])
            yield results
            saved = "What cached answers would have cost."
            yield CounterMetricFamily("rsql_cache_saved_dollars", saved, cache["saved_usd"])
            yield GaugeMetricFamily("rsql_cache_answers", "Answers in the cache.", value=cache["answers"])
            yield GaugeMetricFamily("rsql_cache_bytes", "Size of the answers in the cache.", value=cache["bytes"])
        queue = status.get("queue", {})
        yield GaugeMetricFamily("rsql_queue_length", "Requests waiting for a key.", value=queue.get("length", 0))
        wait = queue.get("expected_wait_seconds") or 0.0
        yield GaugeMetricFamily("rsql_queue_wait_seconds", "Expected wait of the next request.", value=wait)
        waiting, lag = self._ledger()
        yield GaugeMetricFamily("rsql_ledger_waiting_entries", "Entries not yet written.", value=waiting)
        yield GaugeMetricFamily("rsql_ledger_lag_seconds", "For how long the oldest of them has waited.", value=lag)

    def describe(self) -> Iterator[Metric]:
        return iter(())


class _Times:
    """A histogram of seconds."""

    def __init__(self) -> None:
        self.counts = [0] * (len(_WAITS) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(_WAITS, seconds)] += 1
        self.total += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """Its buckets as Prometheus has them, each with those below it."""
        return list(zip((*map(str, _WAITS), "+Inf"), accumulate(self.counts), strict=True))


class _OfModel:
    """Times of one model."""

    def __init__(self) -> None:
        self.queued, self.first, self.upstream = _Times(), _Times(), _Times()


class _ModelGroup:
    """Sums of one model, tenant and task."""

    def __init__(self, of_model: _OfModel) -> None:
        self.of_model = of_model
        self.outcomes: dict[str, int] = {}
        self.tokens = [0, 0, 0]
        self.nanodollars = 0


class ExecutionFigures:
    """What is counted of each request that a model was to answer."""

    # Plain numbers, which the library's families are made of when somebody asks: its own counters, with a lock each,
    # would take twenty times as long.

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._groups: dict[tuple[str, str, str], _ModelGroup] = {}
        self._models: dict[str, _OfModel] = {}
        self._failed: dict[tuple[str, str], int] = {}
        self._refused: dict[str, int] = {}
        self.registry.register(self)

    def observe(self, entry: Entry, limit: str = "") -> None:
        """Count an entry: a request, or a try that was followed by another; ``limit`` is what it was refused by."""
        model = self._known(entry)
        if entry.attempts == 0 and entry.key and entry.status != 0:
            why = model, entry.error
            self._failed[why] = self._failed.get(why, 0) + 1
            return
        group = self._group((model, entry.tenant, entry.task))
        outcome, usage, times = entry.outcome, entry.usage, group.of_model
        group.outcomes[outcome] = group.outcomes.get(outcome, 0) + 1
        group.tokens[0] += usage.prompt_tokens
        group.tokens[1] += usage.completion_tokens
        group.tokens[2] += usage.cached_tokens
        group.nanodollars += entry.cost_nanodollars
        if entry.attempts:
            times.queued.add(entry.queue_seconds)
            times.upstream.add(entry.upstream_seconds)
        if entry.first_token_seconds is not None:
            times.first.add(entry.first_token_seconds)
        if limit:
            name = limit if limit in self._refused or len(self._refused) < _MOST_LIMITS else _OTHER
            self._refused[name] = self._refused.get(name, 0) + 1

    def _group(self, key: tuple[str, str, str]) -> _ModelGroup:
        group = self._groups.get(key)
        if group is None:
            if len(self._groups) >= _MOST_GROUPS:
                key = _OTHER, _OTHER, key[2]
            group = self._groups.get(key)
            if group is None:
                of_model = self._models.setdefault(key[0], _OfModel())
                group = self._groups[key] = _ModelGroup(of_model)
        return group

    def _known(self, entry: Entry) -> str:
        """The model of an entry; none where there is no such model, and one name for those beyond the first ones."""
        if entry.error in {"model_not_found", "model_gone"}:
            return ""
        return entry.model if entry.model in self._models or len(self._models) < _MOST_MODELS else _OTHER

    def collect(self) -> Iterator[Metric]:
        """The figures as Prometheus' library has them."""
        of = ["model", "tenant", "task"]
        ended = CounterMetricFamily("rsql_executions", "Requests by how they ended.", labels=[*of, "outcome"])
        tokens = CounterMetricFamily("rsql_tokens", "Tokens that providers counted.", labels=[*of, "kind"])
        cost = CounterMetricFamily("rsql_cost_dollars", "What they cost, in US dollars.", labels=of)
        for key, group in self._groups.items():
            for outcome, count in group.outcomes.items():
                ended.add_metric([*key, outcome], count)
            for kind, amount in zip(_KINDS, group.tokens, strict=True):
                tokens.add_metric([*key, kind], amount)
            cost.add_metric(key, group.nanodollars / _NANODOLLARS)
        yield from (ended, tokens, cost)
        for name, words, times in _HISTOGRAMS:
            family = HistogramMetricFamily(name, words, labels=["model"])
            for model, of_model in self._models.items():
                one: _Times = getattr(of_model, times)
                family.add_metric([model], one.buckets(), one.total)
            yield family
        words = "Tries that failed and were followed by others."
        failed = CounterMetricFamily("rsql_failed_attempts", words, labels=["model", "reason"])
        for why, count in self._failed.items():
            failed.add_metric(why, count)
        yield failed
        refused = CounterMetricFamily("rsql_limit_refusals", "Requests refused, by the limit.", labels=["limit"])
        for limit, count in self._refused.items():
            refused.add_metric([limit], count)
        yield refused

    def describe(self) -> Iterator[Metric]:
        """Nothing, as nothing is counted yet."""
        return iter(())


_KINDS = ("prompt", "completion", "cached")
_HISTOGRAMS = (
    ("rsql_queue_seconds", "Time in the queue for a key.", "queued"),
    ("rsql_first_token_seconds", "Time to the first part of an answer.", "first"),
    ("rsql_upstream_seconds", "Time at the provider.", "upstream"),
)


class _KeysAndBudgets:
    """Figures of keys and budgets, which are read when they are asked for."""

    def __init__(
        self, status: Callable[[], Mapping[str, Any]], budgets: Callable[[], Iterable[tuple[str, str, float]]]
    ) -> None:
        self._status, self._budgets = status, budgets

    def collect(self) -> Iterator[Metric]:
        states = GaugeMetricFamily("rsql_key_state", "1 for the state that a key is in.", labels=["key", "state"])
        left = GaugeMetricFamily(
            "rsql_key_headroom_ratio", "The part of a limit that is left.", labels=["key", "model", "unit", "seconds"]
        )
        for row in self._status().get("pool", []):
            states.add_metric([row["key"], row.get("state", "")], 1)
            for limit in row.get("limits", ()):
                if limit["limit"]:
                    part = max(0.0, 1 - limit["used"] / limit["limit"])
                    window = [row["key"], limit.get("model", ""), limit["unit"], f"{limit['seconds']:g}"]
                    left.add_metric(window, part)
        yield states
        yield left
        spent = GaugeMetricFamily(
            "rsql_budget_used_ratio", "The part of a budget that is spent.", labels=["owner", "period"]
        )
        for owner, period, part in nlargest(_MOST_GROUPS, self._budgets(), key=itemgetter(2)):
            spent.add_metric([owner, period], part)
        yield spent

    def describe(self) -> Iterator[Metric]:
        return iter(())
