"""Jobs, in every store: each line once in the results, through failures, restarts and by several gateways."""

from __future__ import annotations

import asyncio
import random
import shutil

import pytest
import sqlalchemy as sa
from cryptography.fernet import Fernet
from job_world import ADA, CHAT, USUAL, World, line, lines

from jupyter_server_ext.config import Secret
from jupyter_server_ext.errors import (
    BadRequest,
    LedgerUnavailable,
    LimitExceeded,
    NoCapacity,
    NotPermitted,
    TooLarge,
    UpstreamFailed,
    UpstreamRefused,
)
from jupyter_server_ext.ledger import LedgerPage, SqlLedgerStore
from jupyter_server_ext.messages import Caller

pytestmark = pytest.mark.asyncio
BOB = Caller("bob")
TABLES = ("jobs", "job_lines", "job_files", "job_file_pieces")


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    """An SQLite ledger without entries; making one takes half a second."""
    path = tmp_path_factory.mktemp("jobs") / "ledger.db"
    SqlLedgerStore(f"sqlite:///{path}", instance="none").close()
    return path


@pytest.fixture(scope="module")
def database(postgresql):
    """A database of PostgreSQL, which the tests empty after them."""
    url = postgresql.url.replace("postgresql:", "postgresql+psycopg:")
    engine = sa.create_engine(f"{url}/postgres")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
        db.execute(sa.text("CREATE DATABASE jobs"))
    engine.dispose()
    return f"{postgresql.url}/jobs"


@pytest.fixture(params=["sqlite", "postgresql"])
def world(request, tmp_path):
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("empty"), tmp_path / "ledger.db")
        found = World(f"sqlite:///{tmp_path}/ledger.db")
    else:
        found = World(request.getfixturevalue("database"))
    yield found
    for ledger in found.made:
        asyncio.run(ledger.close())
    if request.param == "postgresql":
        asked_of(found, *(f"DELETE FROM {table} RETURNING 1" for table in TABLES))


def asked_of(world, *queries):
    """What the database says to each of these."""
    engine = sa.create_engine(world.url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as db:
        found = [[row[0] for row in db.execute(sa.text(query))] for query in queries]
    engine.dispose()
    return found


def names(rows):
    return [row["custom_id"] for row in rows]


async def test_every_line_is_asked_and_answered_once_in_the_order_of_the_file(world):
    site = world.site()
    job = await site.job(lines(50))
    done = await site.finish(job)
    assert (done.state, done.done, done.failed) == ("completed", 50, 0)
    assert (done.prompt_tokens, done.completion_tokens, done.cost_nanodollars) == (150, 100, 50 * 500_000_000)
    assert sorted(world.provider.asked) == sorted(f"row-{n}" for n in range(1, 51))
    rows = await site.results(done)
    assert names(rows) == [f"row-{n}" for n in range(1, 51)]
    assert {row["response"]["body"]["for"] for row in rows} == {"ada"}
    assert rows[6]["response"]["request_id"] == "req-7"
    assert 4 <= world.provider.most_at_once <= 8


async def test_several_gateways_share_a_job_and_ask_no_line_twice(world):
    sites = [world.site(f"g{n}") for n in range(3)]
    job = await sites[0].job(lines(60))
    for _ in range(40):
        await asyncio.gather(*(site.runner.step() for site in sites))
        await asyncio.gather(*(site.runner.idle() for site in sites))
    found = await sites[1].jobs.one(ADA, job.id)
    assert (found.state, found.done) == ("completed", 60)
    assert sorted(world.provider.asked) == sorted(f"row-{n}" for n in range(1, 61))
    assert len(await sites[2].results(found)) == 60
    told = [event for site in sites for event in site.told]
    assert {(event.type, event.tenant, event.caller, event.data["done"]) for event in told} == {
        ("job.finished", "lab", "ada", 60)
    }
    assert len({event.subject for event in told}) == 1


async def test_who_dies_loses_its_lines_to_another_and_its_late_answers_count_for_nothing(world):
    stuck = asyncio.Event()
    for n in range(1, 5):
        world.provider.says(f"row-{n}", stuck)
    dying, other = world.site("dying"), world.site("other")
    job = await dying.job(lines(10))
    await dying.runner.step()
    await dying.runner.step()
    await asyncio.sleep(0)
    held = list(world.provider.asked)
    assert held == ["row-1", "row-2", "row-3", "row-4"], "four are asked at first"
    await other.work(8)
    assert set(world.provider.asked) == {f"row-{n}" for n in range(1, 11)}
    assert (await other.jobs.one(ADA, job.id)).done == 6, "what another has is not touched"
    world.now += 61.0
    await other.work(8)
    assert (await other.jobs.one(ADA, job.id)).done == 6, "its leases are over, but it may have asked them, and live"
    world.now += 900.0
    found = await other.finish(job)
    assert (found.done, found.asked_twice, found.held_nanodollars) == (10, 4, 0)
    assert found.cost_nanodollars == 14 * USUAL, "what was sent and lost counts as paid"
    stuck.set()  # the first gateway was only slow, and settles what is no longer its own
    await dying.work(2)
    rows = await other.results(await other.jobs.one(ADA, job.id))
    assert names(rows) == [f"row-{n}" for n in range(1, 11)]
    again = [name for name in world.provider.asked if world.provider.asked.count(name) > 1]
    assert set(again) == set(held), "only what was in flight is asked twice"


async def test_leases_are_renewed_while_a_gateway_lives(world):
    slow = asyncio.Event()
    world.provider.says("row-1", slow)
    one, other = world.site("one"), world.site("other")
    job = await one.job(lines(1))
    await one.runner.step()
    await one.runner.step()
    for _ in range(20):
        world.now += 20.0
        await one.runner.step()
        await other.work(1)
    assert world.provider.asked == ["row-1"]
    slow.set()
    assert (await one.finish(job)).done == 1


async def test_a_gateway_that_starts_again_takes_up_its_own_lines_at_once(world):
    stuck = asyncio.Event()
    for n in range(1, 5):
        world.provider.says(f"row-{n}", stuck)
    first = world.site("one")
    job = await first.job(lines(12))
    await first.runner.step()
    await first.runner.step()
    await asyncio.sleep(0)
    second = world.site("one")
    world.provider.script.clear()
    done = await second.finish(job)
    assert (done.state, done.done) == ("completed", 12)
    twice = {name for name in world.provider.asked if world.provider.asked.count(name) > 1}
    assert twice == {"row-1", "row-2", "row-3", "row-4"}
    assert len(await second.results(done)) == 12
    stuck.set()


async def test_at_its_end_a_gateway_keeps_what_was_answered_and_gives_back_the_rest(world, monkeypatch):
    monkeypatch.setattr("jupyter_server_ext.pipeline.jobs.runner._LAST_SECONDS", 0.5)
    world.provider.says("row-2", asyncio.Event())
    one, other = world.site("one"), world.site("other")
    job = await one.job(lines(4))
    await one.runner.step()
    await one.runner.step()
    await one.runner.close()
    assert (await other.jobs.one(ADA, job.id)).done == 3
    assert (await other.finish(job)).done == 4, "without waiting for the lease"
    assert sorted(world.provider.asked) == ["row-1", "row-2", "row-2", "row-3", "row-4"]


async def test_what_may_pass_is_asked_again_and_what_may_not_fails(world):
    busy = UpstreamFailed("Too many.", status=429, retry_after=100.0)
    world.provider.says("row-1", UpstreamFailed("Fell over."))
    world.provider.says("row-2", busy)
    world.provider.says("row-3", *[UpstreamFailed("Never.")] * 9)
    world.provider.says("row-4", UpstreamRefused("Too hot.", param="temperature", status=400))
    site = world.site()
    job = await site.job(lines(5))
    await site.work(1)
    asked_at = world.now
    await site.work(3)
    assert world.provider.asked.count("row-2") == 1
    found = await site.jobs.one(ADA, job.id)
    assert found.waits_for in {"Fell over.", "Too many.", "Never."}
    while "row-2" not in world.provider.asked[5:]:
        world.now += 10.0
        await site.work(1)
    assert world.now - asked_at >= 100.0, "Retry-After is honoured"
    done = await site.finish(job, seconds=20.0)
    assert (done.state, done.done, done.failed) == ("completed", 3, 2)
    assert world.provider.asked.count("row-3") == 3, "as often as 'attempts' says"
    assert world.provider.asked.count("row-4") == 1
    failed = await site.results(done, "errors")
    assert [(row["custom_id"], row["response"]["status_code"]) for row in failed] == [("row-3", 502), ("row-4", 400)]
    assert failed[1]["response"]["body"]["error"]["param"] == "temperature"
    assert names(await site.results(done)) == ["row-1", "row-2", "row-5"]


async def test_a_limit_makes_a_job_wait_however_long_and_counts_as_no_attempt(world):
    for n in range(1, 4):
        refusals = [LimitExceeded("Your budget is used up.", retry_after=3000.0, code="budget_exceeded")] * 4
        world.provider.says(f"row-{n}", *refusals, NoCapacity("All keys are busy.", retry_after=30.0))
    site = world.site()
    job = await site.job(lines(3))
    await site.work(3)
    asked = len(world.provider.asked)
    found = await site.jobs.one(ADA, job.id)
    assert found.waits_for == "Your budget is used up."
    await site.work(5)
    assert len(world.provider.asked) == asked, "nothing is asked meanwhile"
    done = await site.finish(job, seconds=300.0)
    assert (done.state, done.done, done.waits_for) == ("completed", 3, "")


async def test_what_no_limit_ever_allows_fails(world):
    world.provider.says("row-1", LimitExceeded("This request may cost more than your budget.", code="budget_exceeded"))
    site = world.site()
    done = await site.finish(await site.job(lines(2)))
    assert (done.done, done.failed) == (1, 1)


async def test_a_cancelled_job_has_every_line_in_its_results(world):
    slow = asyncio.Event()
    world.provider.says("row-2", slow)
    site = world.site()
    job = await site.job(lines(520))
    await site.runner.step()
    await site.runner.step()
    await asyncio.sleep(0.01)
    cancelled = await site.jobs.cancel(await site.jobs.one(ADA, job.id))
    assert cancelled.state == "cancelling"
    for _ in range(4):
        await site.runner.step()
    assert (await site.jobs.one(ADA, job.id)).is_active, "a line is under way"
    slow.set()
    done = await site.finish(job)
    assert (done.state, done.done + done.failed) == ("cancelled", 520)
    assert len(world.provider.asked) == done.done == 4
    failed = await site.results(done, "errors")
    assert {row["error"]["code"] for row in failed} == {"batch_cancelled"}
    assert sorted(names(failed) + names(await site.results(done))) == sorted(f"row-{n}" for n in range(1, 521))
    assert (await site.jobs.cancel(done)).state == "cancelled"


async def test_a_job_whose_time_is_over_ends_so(world):
    world.provider.says("row-1", *[LimitExceeded("Your limit is reached.", retry_after=500.0)] * 99)
    site = world.site()
    job = await site.job(lines(1), window="1h")
    done = await site.finish(job, seconds=600.0)
    assert (done.state, done.failed) == ("expired", 1)
    assert 3600 <= world.now - 1_000_000 < 6000
    assert [row["error"]["code"] for row in await site.results(done, "errors")] == ["batch_expired"]


async def test_a_job_ends_when_its_maker_may_ask_no_more(world):
    site = world.site()
    job = await site.job(lines(40), Caller("ada", "lab", key="k1"))
    await site.work(1)
    world.gone.add("k1")
    world.now += 31.0
    done = await site.finish(job)
    assert done.state == "cancelled"
    assert done.stopped_for == "caller_gone"
    assert {row["error"]["code"] for row in await site.results(done, "errors")} == {"caller_gone"}
    assert done.done == len(set(world.provider.asked)) < 40


async def test_failed_lines_are_asked_again_on_demand(world):
    world.provider.says("row-2", UpstreamRefused("No.", status=400))
    site = world.site()
    done = await site.finish(await site.job(lines(3)))
    first = done.ended
    with pytest.raises(BadRequest, match="no failed lines"):
        await site.jobs.again(await site.finish(await site.job(lines(1))))
    world.now += 5.0
    again = await site.jobs.again(done)
    assert (again.state, again.failed, again.ended) == ("in_progress", 0, None)
    done = await site.finish(again)
    assert (done.done, done.failed) == (3, 0)
    assert done.ended > first
    assert world.provider.asked.count("row-2") == 2
    assert world.provider.asked.count("row-3") == 1
    assert names(await site.results(done)) == ["row-1", "row-2", "row-3"]
    assert [event.subject for event in site.told].count(f"{done.id}|{done.ended}") == 1
    await site.files.remove(ADA, done.input)
    world.provider.says("row-9", UpstreamRefused("No.", status=400))
    failed = await site.finish(await site.job([line(9)]))
    await site.files.remove(ADA, failed.input)
    with pytest.raises(BadRequest, match="file is gone"):
        await site.jobs.again(failed)


async def test_an_outage_of_the_database_loses_nothing(world, monkeypatch):
    site = world.site()
    job = await site.job(lines(12))
    await site.runner.step()
    await site.runner.step()
    await site.runner.idle()
    true, left = site.ledger.write, 3

    async def away(what):
        nonlocal left
        if left:
            left -= 1
            raise LedgerUnavailable("The ledger cannot be written.")
        return await true(what)

    monkeypatch.setattr(site.ledger, "write", away)
    for _ in range(3):
        with pytest.raises(LedgerUnavailable):
            await site.runner.step()
    done = await site.finish(job)
    assert done.done == 12
    assert len(world.provider.asked) == 12, "what was answered before it went away is kept"


async def test_callers_share_what_is_asked_at_once(world):
    stuck = asyncio.Event()
    site = world.site(at_once=8)
    for n in range(1, 100):
        world.provider.says(f"row-{n}", stuck)
    first = await site.job(lines(20))
    for _ in range(3):
        await site.runner.step()
        await asyncio.sleep(0)
    second = await site.job([line(n) for n in range(50, 70)], BOB)
    for _ in range(3):
        await site.runner.step()
        await asyncio.sleep(0)
    asked = [int(name.partition("-")[2]) for name in world.provider.asked]
    assert len(asked) == 8
    assert sum(number >= 50 for number in asked) == 4
    stuck.set()
    for job, caller in ((first, ADA), (second, BOB)):
        assert (await site.finish(job, caller)).done == 20


@pytest.mark.parametrize("seed", range(2))
async def test_lines_of_any_length_come_back_as_they_were_sent(world, seed):
    draw = random.Random(seed)
    rows, wanted = [], []
    for number in range(1, draw.randrange(200, 500)):
        if draw.random() < 0.1:
            rows.append(draw.choice([b"", b"  ", b"\r"]))
        padding = "é" * draw.choice([0, 10, 300, 3000, 0, 0, 70_000 if draw.random() < 0.05 else 1])
        rows.append(line(number, padding=padding) + draw.choice([b"", b"\r", b" "]))
        wanted.append(f"row-{number}")
    content = b"\n".join(rows) + draw.choice([b"", b"\n"])
    site = world.site(at_once=200)
    file = await site.send(content, pieces=draw.choice([1, 7, 400]))
    assert (file.lines, file.bytes) == (len(wanted), len(content))
    assert b"".join([piece async for piece in site.files.content(file)]) == content
    done = await site.finish(await site.jobs.make(ADA, file.id, CHAT))
    assert (done.total, done.done) == (len(wanted), len(wanted))
    assert names(await site.results(done)) == wanted
    assert sorted(world.provider.asked) == sorted(wanted)


async def test_names_that_come_again_are_told_apart_from_pieces_far_away(world):
    rows = lines(900)
    rows[700], rows[899], rows[2] = line(1), line(500), line(2)
    site = world.site(at_once=300)
    done = await site.finish(await site.job(rows))
    assert (done.done, done.failed) == (897, 3)
    failed = await site.results(done, "errors")
    assert [(row["error"]["code"], row["error"]["line"]) for row in failed] == [
        ("duplicate_custom_id", number) for number in (3, 701, 900)
    ]


@pytest.mark.parametrize("world", ["sqlite"], indirect=True)
@pytest.mark.parametrize("number", [2_000, pytest.param(10_000, marks=pytest.mark.sweep)])
async def test_of_ten_thousand_lines_a_wrong_one_fails_alone(world, number):
    rows, wrong = lines(number), number * 7 // 9
    rows[wrong - 1] = rows[wrong - 1][:-2]
    site = world.site(at_once=1000)
    done = await site.finish(await site.job(rows))
    assert (done.state, done.total, done.done, done.failed) == ("completed", number, number - 1, 1)
    (failed,) = await site.results(done, "errors")
    assert (failed["error"]["code"], failed["error"]["line"]) == ("invalid_json_line", wrong)
    others = [f"row-{n}" for n in range(1, number + 1) if n != wrong]
    assert names(await site.results(done)) == world.provider.asked == others


async def test_texts_are_encrypted_where_there_are_keys(world):
    key = Fernet.generate_key().decode()
    world.keys = (Secret(key),)
    site = world.site()
    job = await site.job([line("secretive"), line(2)])
    done = await site.finish(job)
    assert names(await site.results(done)) == ["row-secretive", "row-2"]
    pieces, kept = asked_of(world, "SELECT content FROM job_file_pieces", "SELECT result FROM job_lines")
    assert (len(pieces), len(kept)) == (1, 2)
    assert not any(b"secretive" in bytes(text) for text in pieces + kept)

    world.keys = (Secret(Fernet.generate_key().decode()), Secret(key))  # changed, and the old one still opens
    other = world.site("other")
    assert names(await other.results(done)) == ["row-secretive", "row-2"]
    waiting = await other.job([line(3)])
    world.keys = (Secret(Fernet.generate_key().decode()),)
    lost = world.site("lost")
    with pytest.raises(BadRequest, match="cannot be decrypted"):
        await lost.results(done)
    failed = await lost.finish(waiting)
    assert (failed.done, failed.failed) == (0, 1)
    (row,) = await lost.results(failed, "errors")
    assert "cannot be decrypted" in row["error"]["message"]


async def budgeted(site, number, dollars):
    return await site.job(lines(number), metadata={"budget_usd": f"{dollars:.6f}"})


@pytest.mark.spine(cases=3)
@pytest.mark.parametrize("seed", range(6))
async def test_a_budget_of_a_job_is_never_passed_whatever_dies(world, seed):
    draw = random.Random(seed)
    budget, gateways = draw.choice([0.9, 3.0, 7.77, 30.0]), draw.choice([1, 3])
    world.provider.dearest, world.provider.cost = 0.5, lambda: draw.uniform(0.05, 0.5)
    stuck = asyncio.Event()
    dies = seed % 2
    if dies:
        for n in range(1, 4):
            world.provider.says(f"row-{n}", stuck)
    sites = [world.site(f"g{n}", at_once=draw.choice([2, 8])) for n in range(gateways)]
    job = await budgeted(sites[0], 60, budget)
    if dies:  # with lines under way, of which nobody will know what they cost
        await sites[0].runner.step()
        await sites[0].runner.step()
        await asyncio.sleep(0.01)
        world.provider.script.clear()
        sites[0] = world.site("g0", at_once=8)
    for _ in range(1_000):  # which of several gateways has the last line, and when, is by chance
        await asyncio.gather(*(site.runner.step() for site in sites))
        await asyncio.gather(*(site.runner.idle() for site in sites))
        world.now += 1.0
        if not (found := await sites[0].jobs.one(ADA, job.id)).is_active:
            break
    assert world.provider.bill <= budget
    assert found.held_nanodollars == 0
    assert not found.is_active
    assert found.done + found.failed == 60
    assert found.cost_nanodollars <= round(budget * 1e9)
    assert found.cost_nanodollars >= round(world.provider.bill * 1e9) - 60
    if found.failed:
        assert (found.state, found.stopped_for) == ("cancelled", "budget_exceeded")
        assert budget - found.cost_nanodollars / 1e9 < 0.5, "it stops where another line might pass it"
        errors = {row["error"]["code"] for row in await sites[0].results(found, "errors")}
        assert errors == {"budget_exceeded"}
    stuck.set()
    for site in sites:
        await site.runner.idle()


async def test_a_budget_that_reaches_changes_nothing(world):
    site = world.site()
    done = await site.finish(await budgeted(site, 20, 10.0))
    assert (done.state, done.done, done.cost_nanodollars, done.held_nanodollars) == ("completed", 20, 10_000_000_000, 0)


async def test_what_failed_tries_cost_counts_in_a_budget(world):
    broken = UpstreamFailed("It broke off.")
    broken.cost_nanodollars = 400_000_000
    world.provider.says("row-1", broken, broken)
    site = world.site(attempts=5)
    found = await site.finish(await budgeted(site, 4, 2.0), seconds=20.0)
    assert found.cost_nanodollars == 1_900_000_000
    assert (found.done, found.failed) == (3, 1), "a second try might pass it"


async def test_lines_of_unknown_price_are_not_asked_within_a_budget(world):
    world.provider.dearest = None
    site = world.site()
    done = await site.finish(await budgeted(site, 2, 10.0))
    assert (done.done, done.failed, world.provider.asked) == (0, 2, [])
    rows = await site.results(done, "errors")
    assert {row["response"]["body"]["error"]["code"] for row in rows} == {"price_unknown"}


@pytest.mark.parametrize("budget", ["", "0", "-1", "2,50", "nan", "1e9", "$2", "0.0000000001"])
async def test_what_is_no_budget_is_refused(world, budget):
    site = world.site()
    with pytest.raises(BadRequest, match="budget_usd"):
        await site.job(lines(1), metadata={"budget_usd": budget})


async def test_quotas(world):
    site = world.site(files_per_caller=3, mb_per_caller=0.002, file_mb=0.001, line_mb=0.0005, per_caller=2, lines=5)
    with pytest.raises(TooLarge, match="A file may have"):
        await site.files.begin(ADA, 1001)
    with pytest.raises(TooLarge, match="A file may have"):
        await site.send(b"x" * 1001)
    with pytest.raises(BadRequest, match="at most 2592000"):
        await site.send(b"{}", seconds=1e9)
    assert await site.files.page(ADA, LedgerPage(9)) == []
    kept = [await site.send(b"x" * 700) for _ in range(2)]
    with pytest.raises(NotPermitted, match="You may keep 3 files"):
        await site.files.begin(ADA, 700)
    with pytest.raises(NotPermitted, match="You may keep 3 files"):
        await site.send(b"x" * 700)
    assert await site.send(b"x" * 700, BOB)
    await site.files.remove(ADA, kept[0].id)
    long = await site.send(b"{}\n" * 6)
    with pytest.raises(BadRequest, match="The file has 6 lines"):
        await site.jobs.make(ADA, long.id, CHAT)
    for _ in range(2):
        await site.jobs.make(ADA, kept[1].id, CHAT)
    with pytest.raises(LimitExceeded, match="2 jobs under way"):
        await site.jobs.make(ADA, kept[1].id, CHAT)


async def test_a_line_that_is_too_long_is_refused_before_it_is_kept(world):
    site = world.site(line_mb=0.1)
    upload = await site.files.begin(ADA, 0)
    await upload.add(b"{}\n" * 30_000 + b"x" * 90_000)
    with pytest.raises(TooLarge, match=r"longer than 0\.1 MB"):
        await upload.add(b"x" * 20_000)
    await upload.drop()
    assert await site.files.ask(lambda files: files.held("ada")) == (0, 0)


async def test_what_expires_is_removed_and_what_is_in_use_stays(world):
    site = world.site(days=2.0)
    world.provider.says("row-1", *[LimitExceeded("Wait.", retry_after=600.0)] * 9999)
    waiting = await site.job([line(1)], window="2d")
    done = await site.finish(await site.job([line(2)], kept_seconds=3600.0))
    lost = await site.files.begin(ADA, 0)
    await lost.add(b"{}\n" * 40_000)  # and its sender never came back
    world.now += 3601.0
    await site.jobs.tidy()
    assert {file.id for file in await site.files.page(ADA, LedgerPage(9))} == {done.input, waiting.input}
    world.now += 2 * 86_400.0
    await site.jobs.tidy()
    assert [file.id for file in await site.files.page(ADA, LedgerPage(9))] == [waiting.input], "a job still reads it"
    assert await site.files.ask(lambda files: files.held("ada")) == (1, len(line(1)))
    ended = await site.finish(waiting)
    assert ended.state == "expired"
    world.now += 40 * 86_400.0
    await site.jobs.tidy()
    assert await site.jobs.page(LedgerPage(9)) == []
    assert asked_of(world, *(f"SELECT count(*) FROM {table}" for table in TABLES)) == [[0]] * 4


async def test_a_caller_is_forgotten_with_all_jobs_and_files(world):
    site = world.site(at_once=300)
    for caller, number in ((ADA, 510), (BOB, 20)):
        await site.finish(await site.job(lines(number), caller), caller)
    await site.jobs.forget("ada")
    assert await site.jobs.page(LedgerPage(9), caller="ada") == []
    assert await site.files.page(ADA, LedgerPage(9)) == []
    assert len(await site.jobs.page(LedgerPage(9))) == 1
    assert asked_of(world, "SELECT count(*) FROM job_lines") == [[20]]
