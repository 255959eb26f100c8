"""How the gateway is, for everybody, for a caller, and for Prometheus."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from tornado.web import HTTPError

from jupyter_server_ext.handlers.app_context import health
from jupyter_server_ext.handlers.base import GatewayHandler
from jupyter_server_ext.identity import needs_scope, open_to_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from prometheus_client.core import Metric

    from jupyter_server_ext.messages import Caller


class Health(GatewayHandler):
    """``health``: no token, nothing that is not for everybody."""

    @open_to_all
    def get(self) -> None:
        """Whether the gateway can answer: 200, or 503 when no key can serve any more or it is about to end."""
        state = health(self.app)
        if self.settings.get("leaving"):
            state = {**state, "status": "ending"}
        self.reply(state, status=503 if state["status"] in {"unavailable", "ending"} else 200)

    head = get


class NoRoute(GatewayHandler):
    """Whatever else is asked for below the gateway's address."""

    @open_to_all
    def get(self) -> None:
        """There is nothing here; the base without its slash leads to the base."""
        if self.request.path + "/" == self.app.base:
            self.redirect(self.app.base, status=308)
        else:
            # Not one of ours: tornado's own error gets the plain sentence of ``plain_error``.
            raise HTTPError(404)

    head = post = put = patch = delete = options = get


class Status(GatewayHandler):
    """``GET status``."""

    @needs_scope("chat")
    def get(self) -> None:
        """Keys by state, the queue, models, and the least that your group lets out of a kernel."""
        state = {name: value for name, value in self.app.gateway.status().items() if name != "pool"}
        state["models"] = self.app.policy.models(self.asker, state.get("models", []))
        state["default_model"] = self.default_model()
        state["privacy_floor"] = self.app.policy.of(self.asker).privacy_floor
        self.reply(state)


class Stats(GatewayHandler):
    """``GET stats``."""

    @needs_scope("chat")
    async def get(self) -> None:
        """Your own use: requests and tokens per period with what is left, requests under way, money."""
        asker, rules = self.asker, self.app.policy.of(self.asker)
        await self.app.limits.refresh(asker)
        cost = await self.app.accounting.cost_today(asker, {key.provider for key in self.app.settings.keys})
        self.reply(
            {
                "caller": asker.name,
                "tenant": asker.tenant,
                **self.app.limits.stats(asker),
                "cost": cost,
                "cache": await self.app.accounting.cache_today(asker),
                "privacy_floor": rules.privacy_floor,
                "system_prompt": rules.system_prompt,
                "offline_models": self._offline_models(asker),
                **self._of_key(asker),
            }
        )

    def _offline_models(self, asker: Caller) -> list[str]:
        """The caller's models that the embedded model answers; ``default`` where a request may name none."""
        models = self.app.policy.models(asker, self.app.gateway.offline_models())
        return [*models, "default"] if self.default_model() in models else models

    def _of_key(self, asker: Caller) -> dict[str, Any]:
        """Limits that the virtual key has of its own, where one asks."""
        if not asker.key:
            return {}
        left = self.app.limits.stats_of_key(asker) | self.app.accounting.spent_by_key(asker)
        return {"key": {"id": asker.key, "limits": left}}


class PrometheusMetrics(GatewayHandler):
    """``GET metrics``."""

    @needs_scope("chat")
    def get(self) -> None:
        """Figures for Prometheus, in its text format."""
        self.set_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.finish(self.app.metrics.text())


# From a cached answer to a long one behind a queue.
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


class Metrics:
    """The figures of one gateway for Prometheus, in a registry of its own.

    Names follow ``rsql_<noun>_<unit>``. No label holds a caller, a token, a key or text of a request.

    Args:
        status: ``Gateway.status``, read when somebody asks for the figures.
    """

    def __init__(self, status: Callable[[], Mapping[str, Any]]) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "rsql_requests",
            "Requests answered, by route and HTTP status.",
            ["route", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "rsql_request_duration_seconds",
            "Time from a request's headers to the end of its answer.",
            ["route"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._counted: dict[tuple[str, int], tuple[Counter, Histogram]] = {}
        under_way = Gauge("rsql_requests_under_way", "Requests not yet answered.", registry=self._registry)
        under_way.set_function(lambda: self.under_way)
        self.under_way = 0  # requests that have come and are not answered
        self.ended_so_far = 0
        self._idle: asyncio.Future[None] | None = None
        self._feedback = Counter(
            "rsql_feedback", "Answers that people rated, by rating.", ["rating"], registry=self._registry
        )
        self._registry.register(_Status(status))

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

    def text(self) -> bytes:
        """All figures, in Prometheus' text format."""
        return generate_latest(self._registry)


class _Status:
    """Figures that are read from the gateway's status when they are asked for."""

    def __init__(self, status: Callable[[], Mapping[str, Any]]) -> None:
        self._status = status

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
            yield from _cache(cache)
        queue = status.get("queue", {})
        yield GaugeMetricFamily("rsql_queue_length", "Requests waiting for a key.", value=queue.get("length", 0))
        wait = queue.get("expected_wait_seconds") or 0.0
        yield GaugeMetricFamily("rsql_queue_wait_seconds", "Expected wait of the next request.", value=wait)

    def describe(self) -> Iterator[Metric]:
        return iter(())


def _cache(figures: Mapping[str, Any]) -> Iterator[Metric]:
    requests = CounterMetricFamily(
        "rsql_cache_requests", "Requests answered, by what the cache did.", labels=["result"]
    )
    for result in ("hit", "miss", "shared", "bypass"):
        requests.add_metric([result], figures[result])
    yield requests
    yield CounterMetricFamily("rsql_cache_saved_dollars", "What cached answers would have cost.", figures["saved_usd"])
    yield GaugeMetricFamily("rsql_cache_answers", "Answers in the cache.", value=figures["answers"])
    yield GaugeMetricFamily("rsql_cache_bytes", "Size of the answers in the cache.", value=figures["bytes"])
