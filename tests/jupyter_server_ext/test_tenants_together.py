"""Models that share quotas, keys of several providers, tenants with weights and mixed deadlines, all in one run."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from many_callers import Asked, Town, jain
from simulated_provider import Account
from virtual_time import run

from jupyter_server_ext.errors import NoCapacity
from jupyter_server_ext.messages import Caller, ChatRequest
from jupyter_server_ext.upstream import Job

pytestmark = pytest.mark.usefixtures("simulation", "rare_estimates")

MODELS = ("large", "small")
SETTLED = 62.0  # until then those were answered who came before anybody waited


@dataclass
class Campus(Town):
    """A town whose callers belong to tenants, ask for two models without a pause, and have deadlines of their own.

    Args:
        weights: Of each tenant.
        members: Callers of each tenant.
        at_once: Requests that each tenant has open all the time, divided among its callers; a weight is a share of
            what waits.
        patience: Seconds that requests wait; each of them in turn.
    """

    weights: tuple[float, ...] = (1.0, 2.0, 4.0)
    members: tuple[int, ...] = (4, 4, 4)
    at_once: int = 48
    patience: tuple[float, ...] = (600.0,)
    answered: Counter[int] = field(default_factory=Counter)  # by tenant
    by_caller: Counter[str] = field(default_factory=Counter)
    by_model: Counter[str] = field(default_factory=Counter)

    def _key(self, number: int) -> Any:
        key = super()._key(number)
        return replace(key, provider=f"sim{number // 2}", models=MODELS, quota_group=f"org{number // 2}")

    def go(self, minutes: float) -> Campus:
        """Let everybody ask, again and again, for so long."""
        self.seconds = 60.0 * minutes

        async def main(loop: Any) -> None:
            self.now = loop.time
            queue, transport = self.gateway()
            tasks = [
                asyncio.ensure_future(self._insist(transport, tenant, number % members, number // members))
                for number in range(self.at_once)
                for tenant, members in enumerate(self.members)
            ]
            await asyncio.sleep(self.seconds)
            self.in_time = self.admitted.total()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await queue.close()

        run(main)
        return self

    async def _insist(self, transport: Any, tenant: int, member: int, number: int) -> None:
        while True:
            patience = self.patience[(member + number) % len(self.patience)]
            model = MODELS[(member if self.members[tenant] > 1 else number) % 2]
            await self._once(transport, tenant, member, model, patience)
            number += 1

    async def _once(self, transport: Any, tenant: int, member: int, model: str, patience: float) -> None:
        body = {"messages": [{"role": "user", "content": "x" * 100}]}
        one = Asked(f"{tenant}-{member}", self.now(), self.now() + patience)
        self.asked.append(one)
        caller = Caller(one.caller, tenant=f"t{tenant}")
        job = Job(caller, ChatRequest(model, body), one.deadline, weight=self.weights[tenant])
        try:
            answer = await transport.answer(job)
            async for _ in answer:
                pass
            await answer.aclose()
        except NoCapacity as no:
            one.refused, one.retry_after = self.now(), no.retry_after
            await asyncio.sleep(no.retry_after or 1.0)
        else:
            one.answered = self.now()
            if one.answered > SETTLED:
                self.answered[tenant] += 1
                self.by_caller[one.caller] += 1
                self.by_model[model] += 1


def orgs(kind: str, **amounts: int) -> list[Account]:
    """Four keys of two organisations, at two providers."""
    first, second = Account(kind, **amounts), Account(kind, **amounts)
    return [first, first, second, second]


@pytest.mark.parametrize(
    "kind", ["fixed", *(pytest.param(kind, marks=pytest.mark.sweep) for kind in ("rolling", "bucket"))]
)
def test_weights_hold_across_models_and_providers(kind):
    campus = Campus(orgs(kind, rpm=20), weights=(1.0, 2.0, 4.0)).go(minutes=20)

    assert campus.refused == 0
    share = [campus.answered[tenant] / weight for tenant, weight in enumerate(campus.weights)]
    assert max(share) <= 1.05 * min(share)
    assert campus.by_model["large"] == pytest.approx(campus.by_model["small"], rel=0.05)
    assert sum(one.refused < one.deadline for one in campus.asked) <= 0.005 * len(campus.asked), "all may wait"


@pytest.mark.parametrize("members", [(1, 40), pytest.param((40, 1, 5), marks=pytest.mark.sweep)], ids=str)
@pytest.mark.parametrize("kind", ["rolling", pytest.param("bucket", marks=pytest.mark.sweep)])
def test_a_tenant_of_many_callers_has_no_more_than_one_of_few(kind, members):
    campus = Campus(orgs(kind, rpm=20), weights=(1.0,) * len(members), members=members, at_once=80).go(minutes=15)

    assert campus.refused == 0
    answered = [campus.answered[tenant] for tenant in range(len(members))]
    assert max(answered) <= 1.05 * min(answered)
    of_many = [count for caller, count in campus.by_caller.items() if caller.startswith(f"{members.index(40)}-")]
    assert jain(of_many) >= 0.97
    assert campus.used() >= 0.95


CAMPUSES = given(
    kind=st.sampled_from(["fixed", "rolling", "bucket"]),
    rpm=st.integers(10, 40),
    weights=st.lists(st.sampled_from([0.5, 1.0, 2.0, 3.0]), min_size=2, max_size=3).map(tuple),
    patience=st.lists(st.sampled_from([5.0, 20.0, 60.0, 240.0]), min_size=1, max_size=3).map(tuple),
    seed=st.integers(0, 1000),
)


@CAMPUSES
@settings(max_examples=4)
def test_mixed_deadlines_cost_nothing(kind, rpm, weights, patience, seed):
    """Whoever is refused hears it before the deadline; and nothing that could have been used is left."""
    deadlines_cost_nothing(kind, rpm, weights, patience, seed)


@pytest.mark.sweep
@CAMPUSES
@settings(max_examples=40)
def test_mixed_deadlines_cost_nothing_on_many_campuses(kind, rpm, weights, patience, seed):
    deadlines_cost_nothing(kind, rpm, weights, patience, seed)


def deadlines_cost_nothing(kind, rpm, weights, patience, seed):
    members = (4, 1, 12)[: len(weights)]
    campus = Campus(orgs(kind, rpm=rpm), weights=weights, members=members, patience=patience, seed=seed).go(minutes=4)

    assert campus.refused == 0
    no = [one for one in campus.asked if one.refused < campus.seconds]
    assert all(one.refused <= one.deadline + 0.01 for one in no)
    assert campus.used() >= 0.95
