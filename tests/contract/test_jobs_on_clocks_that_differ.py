"""Jobs of gateways whose clocks differ, that are stopped for a while, or cannot reach the database.

Whatever happens, each line is settled once; a line is asked again only where whoever asked it is gone; each such line
is counted; and what the job has cost is what was paid for, as far as anybody can know.
"""

from __future__ import annotations

import asyncio
import random
import shutil
from collections import Counter

import pytest
from job_world import ADA, USUAL, Site, World, line

from jupyter_server_ext.errors import LedgerUnavailable
from jupyter_server_ext.ledger import SqlLedgerStore
from jupyter_server_ext.pipeline.jobs.job_store import _GONE_SECONDS

pytestmark = pytest.mark.asyncio
ROWS = 24
TEN_MINUTES = 600.0
SEEDS = [22, *(pytest.param(n, marks=pytest.mark.sweep) for n in range(22))]


class Slow:
    """A provider whose answers take any time, and which knows who asked what, and what it was paid."""

    def __init__(self, world):
        self.world, self.asked, self.given = world, [], asyncio.Event()

    def most(self, caller, request):
        return USUAL

    async def complete(self, caller, request):
        site = self.world.current
        await request.purchase.begin(max(request.purchase.most, USUAL))
        self.asked.append((request.body["line"], site))
        await self.world.allowed(site)
        request.purchase.cost = USUAL // 2
        yield b'{"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}'


class Troubled(World):
    """Gateways on clocks of their own, each of which may be stopped, and cut off from the database."""

    def __init__(self, url, draw):
        super().__init__(url)
        self.draw, self.current, self.provider = draw, "", Slow(self)
        self.skews, self.answers = {}, {}

    def start(self, name):
        self.skews[name] = self.draw.uniform(-TEN_MINUTES, TEN_MINUTES)
        self.answers[name] = asyncio.Event()
        site = Site(self, name, at_once=self.draw.choice([2, 8]))
        site.runner.clock = site.jobs.clock = site.files.clock = lambda: self.now + self.skews[name]
        return site

    async def allowed(self, name):
        await self.answers[name].wait()

    async def step(self, name, site, reaches=True):
        self.current = name
        write, ask = site.jobs.write, site.jobs.ask
        if not reaches:
            site.jobs.write = site.jobs.ask = away
        try:
            await site.runner.step()
            for _ in range(12):
                await asyncio.sleep(0)
            await settled_threads(site)
        except LedgerUnavailable:
            pass
        finally:
            site.jobs.write, site.jobs.ask = write, ask


async def away(_):
    raise LedgerUnavailable("The database does not answer.")


async def settled_threads(site):
    """Let what the lines under way have asked of the database be done, in this gateway's turn."""
    for _ in range(6):
        await site.ledger.write(lambda store: None)
        for _ in range(4):
            await asyncio.sleep(0)


async def lived(world, draw, rounds):
    """A job's life on three gateways in every kind of trouble; the job at its end."""
    names = [f"g{n}" for n in range(3)]
    sites = {name: world.start(name) for name in names}
    job = await sites["g0"].job([line(n) for n in range(ROWS)], metadata={"budget_usd": "1000"})
    silent = Counter()
    for turn in range(rounds):
        world.now += draw.choice([0.1, 1.0, 5.0, 30.0])
        for name in names:
            if silent[name] > world.now:
                continue
            trouble = draw.random()
            if trouble < 0.15:  # stopped, for longer than its leases and not for as long as one that is gone
                silent[name] = world.now + draw.uniform(30.0, _GONE_SECONDS - 60.0)
                continue
            if trouble < 0.2:  # its clock is set
                world.skews[name] = draw.uniform(-TEN_MINUTES, TEN_MINUTES)
            if draw.random() < 0.3:
                world.answers[name].set()
                world.answers[name] = asyncio.Event()
            await world.step(name, sites[name], reaches=draw.random() > 0.1)
        if turn > rounds // 2 and not (await sites["g0"].jobs.one(ADA, job.id)).is_active:
            break
    return job, sites


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    """An SQLite ledger without entries; making one takes half a second."""
    path = tmp_path_factory.mktemp("jobs") / "ledger.db"
    SqlLedgerStore(f"sqlite:///{path}", instance="none").close()
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    if request.param == "postgresql":
        return request.getfixturevalue("ledger_database")()
    shutil.copy(request.getfixturevalue("empty"), tmp_path / "ledger.db")
    return f"sqlite:///{tmp_path}/ledger.db"


@pytest.mark.parametrize("seed", SEEDS)
async def test_no_line_is_asked_twice_while_its_gateway_may_live(url, seed):
    draw = random.Random(seed)
    world = Troubled(url, draw)
    job, sites = await lived(world, draw, 30)
    for _ in range(60):  # the trouble is over
        for name, site in sites.items():
            world.answers[name].set()
            await world.step(name, site)
        world.now += 20.0
        if not (found := await sites["g0"].jobs.one(ADA, job.id)).is_active:
            break
    asked = Counter(row for row, _ in world.provider.asked)
    assert (found.state, found.done, found.held_nanodollars) == ("completed", ROWS, 0)
    assert (len(asked), asked.total(), found.asked_twice) == (ROWS, ROWS, 0)
    assert found.cost_nanodollars == asked.total() * USUAL // 2
    rows = await sites["g1"].results(found)
    assert [row["custom_id"] for row in rows] == [f"row-{n}" for n in range(ROWS)]
    for ledger in world.made:
        await ledger.close()


@pytest.mark.parametrize("seed", SEEDS)
async def test_lines_of_gateways_that_are_gone_are_asked_again_and_counted(url, seed):
    draw = random.Random(seed)
    world = Troubled(url, draw)
    names = [f"g{n}" for n in range(3)]
    sites = {name: world.start(name) for name in names}
    job = await sites["g0"].job([line(n) for n in range(ROWS)], metadata={"budget_usd": "1000"})
    gone, kills = {}, 0
    while (found := await sites["g2"].jobs.one(ADA, job.id)).is_active:
        world.now += draw.choice([1.0, 30.0, 300.0])
        for name in [name for name in names if name not in gone]:
            if name != "g2" and kills < 4 and draw.random() < 0.2:  # gone in the middle of what it asks
                gone[name] = world.now + draw.choice([10.0, 5000.0])
                kills += 1
                continue
            if name == "g2" or draw.random() < 0.5:
                world.answers[name].set()
                world.answers[name] = asyncio.Event()
            await world.step(name, sites[name])
        for name in [name for name, back in gone.items() if back <= world.now]:
            del gone[name]
            sites[name] = world.start(name)
    assert (found.state, found.done, found.held_nanodollars) == ("completed", ROWS, 0)
    asked = Counter(row for row, _ in world.provider.asked)
    again = asked.total() - ROWS
    assert len(asked) == ROWS
    assert found.asked_twice == again
    assert found.cost_nanodollars == ROWS * USUAL // 2 + again * USUAL
    for ledger in world.made:
        await ledger.close()
