"""Who is told what: once, by one of several gateways, and again until it arrives; in every store the same."""

from __future__ import annotations

import asyncio
import json
import random
from itertools import pairwise

import pytest
from callers import EVERYTHING, TEACHER

from jupyter_server_ext.config import Secret, Settings, TenantSettings, WebhookSettings
from jupyter_server_ext.errors import BadRequest, LedgerUnavailable
from jupyter_server_ext.ledger import Ledger, PromptVault, SqlLedgerStore
from jupyter_server_ext.messages import Caller
from jupyter_server_ext.tenants import KnownGroups, RuntimeSettings, Tenants
from jupyter_server_ext.webhooks import EVENTS, Event, Webhooks, WebhookSender
from jupyter_server_ext.webhooks.sender import Sent

pytestmark = pytest.mark.asyncio
ADMIN = Caller("root", scopes=EVERYTHING)
TEACHER = Caller("tom", "lab", frozenset(TEACHER))
URL = "https://hooks.example.org/rsql"
A_DAY = 86_400.0


class Receiver(WebhookSender):
    """Takes what is sent, and answers as a test says: a status, or what came of it."""

    def __init__(self, *answers):
        super().__init__()
        self.answers, self.got = list(answers), []

    async def send(self, url, secret, message_id, body, *, now, allowed):
        self.got.append((message_id, json.loads(body), now))
        answer = self.answers.pop(0) if self.answers else 200
        return answer if isinstance(answer, Sent) else Sent(answer, "" if answer < 300 else f"answered {answer}")


class World:
    """Gateways of one ledger, on one clock."""

    def __init__(self, url=None):
        self.url, self.now, self.made = url, 1_000_000.0, []

    def gateway(self, sender=None, **more):
        store = SqlLedgerStore(self.url, instance=f"g{len(self.made)}", now=lambda _: self.now) if self.url else None
        ledger = Ledger(store)
        settings = Settings(tenants=(TenantSettings("lab"), TenantSettings("law")))
        runtime = RuntimeSettings(settings, ledger, clock=self.clock)
        runtime.recall()
        tenants = Tenants(runtime, KnownGroups(settings, no_groups))
        more = {"settings": WebhookSettings(), "clock": self.clock, "sender": sender or Receiver()} | more
        hooks = Webhooks(tenants, more.pop("settings"), **more)
        hooks.runtime = runtime
        self.made.append(ledger)
        return hooks

    def clock(self):
        return self.now

    async def pass_by(self, hooks, seconds=0.0):
        self.now += seconds
        for one in hooks:
            await one.runtime.catch_up()
            await one.work()
        await asyncio.gather(*(one.idle() for one in hooks))


async def no_groups():
    return []


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def world(request, tmp_path):
    url = None
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/ledger.db"
    elif request.param == "postgresql":
        url = request.getfixturevalue("ledger_database")()
    found = World(url)
    yield found
    for ledger in found.made:
        asyncio.run(ledger.close())


def retired(subject="groq-1"):
    return Event("key.retired", subject, {"key": subject}, every=3600.0)


async def test_an_event_is_sent_once_however_often_it_is_told(world):
    receiver = Receiver()
    hooks = world.gateway(receiver)
    await hooks.make(ADMIN, URL, ["key.retired"], "")
    for _ in range(3):
        hooks.tell(retired())
        hooks.tell(Event("key.cooling", "groq-1", {}))
        await world.pass_by([hooks], 1.0)
    assert [body["type"] for _, body, _ in receiver.got] == ["key.retired"]
    assert receiver.got[0][1] == {
        "type": "key.retired",
        "timestamp": "1970-01-12T13:46:40Z",
        "data": {"key": "groq-1"},
    }
    hooks.tell(retired())
    await world.pass_by([hooks], 3600.0)
    hooks.tell(retired())
    await world.pass_by([hooks])
    assert len({message for message, _, _ in receiver.got}) == len(receiver.got) == 2


@pytest.mark.parametrize("world", ["sqlite", "postgresql"], indirect=True)
@pytest.mark.parametrize("seed", range(3))
async def test_of_three_gateways_one_sends_and_all_see_the_log(world, seed):
    draw, receiver = random.Random(seed), Receiver()
    three = [world.gateway(receiver) for _ in range(3)]
    made = await three[0].make(ADMIN, URL, [], "")
    await world.pass_by(three)
    subjects = [f"key-{number}" for number in range(12)]
    for subject in subjects:
        for one in draw.sample(three, draw.randint(1, 3)):
            one.tell(retired(subject))
        if draw.random() < 0.3:
            await asyncio.gather(*(one.work() for one in three))
    for _ in range(12):
        await asyncio.gather(*(one.work() for one in three))
        await asyncio.gather(*(one.idle() for one in three))
    assert sorted(body["data"]["key"] for _, body, _ in receiver.got) == sorted(subjects)
    for one in three:
        log = (await one.log(ADMIN, made["id"], 100))["deliveries"]
        assert {(line["state"], line["attempts"], line["status"]) for line in log} == {("delivered", 1, 200)}
        assert len(log) == 12


async def test_what_is_not_taken_is_repeated_for_a_day_by_the_same_id_and_then_given_up(world):
    receiver = Receiver(*[500] * 100)
    hooks = world.gateway(receiver)
    made = await hooks.make(ADMIN, URL, [], "")
    start = world.now
    hooks.tell(retired())
    while world.now < start + 1.5 * A_DAY:
        await world.pass_by([hooks], 5.0 if world.now < start + 300 else 60.0)
    times = [at - start for _, _, at in receiver.got]
    assert len({message for message, _, _ in receiver.got}) == 1
    assert times[1] <= 15
    assert 0.8 * A_DAY < times[-1] <= A_DAY
    pauses = [after - before for before, after in pairwise(times)]
    assert all(after > before for before, after in pairwise(pauses[:7]))
    assert 10 <= len(times) <= 20
    [line] = (await hooks.log(ADMIN, made["id"], 10))["deliveries"]
    assert (line["state"], line["status"], line["reason"]) == ("failed", 500, "answered 500")
    receiver.answers = [204]
    again = await hooks.retry(ADMIN, made["id"], line["id"])
    assert (again["state"], again["status"], again["id"]) == ("delivered", 204, receiver.got[0][0])


async def test_a_receiver_that_is_gone_gets_no_more_of_an_event(world):
    receiver = Receiver(410)
    hooks = world.gateway(receiver)
    await hooks.make(ADMIN, URL, [], "")
    hooks.tell(retired())
    await world.pass_by([hooks])
    await world.pass_by([hooks], A_DAY / 2)
    assert len(receiver.got) == 1


@pytest.mark.parametrize("world", ["sqlite", "postgresql"], indirect=True)
async def test_what_a_gateway_was_sending_when_it_died_another_sends_by_the_same_id(world):
    class Dying(Receiver):
        async def send(self, *args, **options):
            await super().send(*args, **options)
            await asyncio.Event().wait()

    first, second = Dying(), Receiver()
    dying, living = world.gateway(first), world.gateway(second)
    await dying.make(ADMIN, URL, [], "")
    dying.tell(retired())
    await dying.work()
    while not first.got:
        await asyncio.sleep(0.01)
    for task in [*dying._sending]:
        task.cancel()
    await world.pass_by([living], 5.0)
    assert not second.got  # its lease is not over
    await world.pass_by([living], 60.0)
    assert [message for message, _, _ in second.got] == [message for message, _, _ in first.got]


@pytest.mark.parametrize("world", ["sqlite"], indirect=True)
async def test_while_the_ledger_is_away_every_gateway_sends_by_the_same_id(world, monkeypatch):
    receiver = Receiver()
    two = [world.gateway(receiver) for _ in range(2)]
    await two[0].make(ADMIN, URL, ["storage.degraded"], "")
    await world.pass_by(two)
    await two[1]._secrets.of(next(iter(two[1]._known())))

    async def away(*_):
        raise LedgerUnavailable("away")

    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "ask", away)
        for one in two:
            one.tell(Event("storage.degraded", "ledger|unavailable", {"part": "ledger"}, every=900.0))
            await one.work()
            await one.idle()
    assert len(receiver.got) == 2
    assert len({message for message, _, _ in receiver.got}) == 1


async def test_a_group_is_told_what_is_its_own_and_sees_and_makes_no_other(world):
    receiver = Receiver()
    hooks = world.gateway(receiver)
    theirs = await hooks.make(TEACHER, URL, [], "")
    everything = await hooks.make(ADMIN, URL, [], "")
    assert (theirs["tenant"], theirs["events"]) == (
        "lab",
        ["budget.threshold", "job.finished", "limit.reached", "request.failed"],
    )
    assert [one["id"] for one in hooks.all(TEACHER)] == [theirs["id"]]
    for tenant, events in (("law", []), ("", ["key.retired"])):
        with pytest.raises(BadRequest):
            await hooks.make(TEACHER, URL, events, tenant)
    for event in EVENTS:
        for tenant in ("lab", "law", ""):
            hooks.tell(Event(event, tenant, {}, tenant))
    for _ in range(20):
        await world.pass_by([hooks])
    own = (await hooks.log(TEACHER, theirs["id"], 100))["deliveries"]
    assert len(own) == 4
    assert len((await hooks.log(ADMIN, everything["id"], 100))["deliveries"]) == 3 * len(EVENTS)
    for act in (hooks.remove, hooks.test):
        with pytest.raises(BadRequest) as refused:
            await act(TEACHER, everything["id"])
        assert refused.value.status == 404


async def test_the_secret_is_told_once_and_the_path_never(world):
    hooks = world.gateway()
    made = await hooks.make(ADMIN, URL, [], "")
    assert made["secret"].startswith("whsec_")
    assert made["url"] == "https://hooks.example.org/…"
    told = json.dumps([hooks.all(ADMIN), await hooks.log(ADMIN, made["id"], 5)])
    lines = await hooks.runtime.history(None, None, 10)
    assert made["secret"] not in told + repr(lines)
    assert "hooks.example.org/rsql" not in told
    await hooks.remove(ADMIN, made["id"])
    assert hooks.all(ADMIN) == []
    await hooks.runtime.undo((await hooks.runtime.history(None, None, 1))[0].id, "root")
    assert await hooks._secrets.of(made["id"]) == made["secret"]


@pytest.mark.parametrize("world", ["sqlite"], indirect=True)
async def test_a_secret_is_encrypted_where_there_are_keys_for_that(world):
    from cryptography.fernet import Fernet

    first, second = (PromptVault([Secret(Fernet.generate_key().decode())]) for _ in range(2))
    made = await world.gateway(vault=first).make(ADMIN, URL, [], "")
    kept = world.made[0].decided(f"webhook {made['id']}")
    assert kept
    assert made["secret"] not in kept
    assert await world.gateway(vault=first)._secrets.of(made["id"]) == made["secret"]
    other = world.gateway(vault=second)
    assert (await other.test(ADMIN, made["id"]))["reason"].startswith("its secret cannot be read")


@pytest.mark.parametrize("world", ["sqlite", "postgresql"], indirect=True)
async def test_what_was_told_just_before_the_end_is_sent_by_the_next(world):
    receiver = Receiver()
    ending, next_one = world.gateway(), world.gateway(receiver)
    await ending.make(ADMIN, URL, [], "")
    ending.tell(retired())
    await ending.close()
    await world.pass_by([next_one])
    assert [body["type"] for _, body, _ in receiver.got] == ["key.retired"]


async def test_a_fault_of_one_look_ends_nothing(world):
    receiver, looks = Receiver(), []
    hooks = world.gateway(receiver)
    await hooks.make(ADMIN, URL, [], "")

    def look():
        looks.append(1)
        hooks.tell(retired(f"key-{len(looks)}"))
        if len(looks) == 1:
            raise RuntimeError("a fault")

    running = asyncio.create_task(hooks.run(look))
    while len(receiver.got) < 2:
        await asyncio.sleep(0.02)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert {body["data"]["key"] for _, body, _ in receiver.got} >= {"key-1", "key-2"}


async def test_who_is_forgotten_is_in_no_delivery(world):
    hooks = world.gateway(Receiver(*[500] * 9))
    made = await hooks.make(ADMIN, URL, [], "")
    for caller in ("ada", "bob"):
        hooks.tell(Event("request.failed", caller, {"caller": caller}, "lab", caller))
    await world.pass_by([hooks])
    await hooks.forget("ada")
    assert len((await hooks.log(ADMIN, made["id"], 9))["deliveries"]) == 1


@pytest.mark.parametrize("world", ["sqlite"], indirect=True)
@pytest.mark.parametrize("seed", range(4))
async def test_gateways_on_clocks_that_differ_send_each_event_once(world, seed):
    draw, receiver = random.Random(seed), Receiver()
    skews = [draw.uniform(-600.0, 600.0) for _ in range(3)]
    three = [world.gateway(receiver, clock=lambda skew=skew: world.now + skew) for skew in skews]
    made = await three[0].make(ADMIN, URL, [], "")
    await world.pass_by(three)
    for number in range(10):
        world.now += draw.choice([1.0, 50.0, 100.0])
        for one in three:
            one.tell(retired(f"key-{number}"))
        await asyncio.gather(*(one.work() for one in three))
        await asyncio.gather(*(one.idle() for one in three))
    await world.pass_by(three)
    assert sorted(body["data"]["key"] for _, body, _ in receiver.got) == sorted(f"key-{n}" for n in range(10))
    log = (await three[1].log(ADMIN, made["id"], 100))["deliveries"]
    assert {(line["state"], line["attempts"]) for line in log} == {("delivered", 1)}


@pytest.mark.parametrize("world", ["sqlite"], indirect=True)
async def test_who_comes_to_send_after_its_lease_leaves_it_to_others(world):
    receiver = Receiver()
    late, other = world.gateway(receiver), world.gateway(receiver)
    await late.make(ADMIN, URL, [], "")
    await world.pass_by([late, other])
    late.tell(retired())
    begun, waits = late._kept.begin, asyncio.Event()

    async def stopped(delivery):
        await waits.wait()
        return await begun(delivery)

    late._kept.begin = stopped
    await late.work()
    await asyncio.sleep(0)
    await world.pass_by([other], 61.0)
    assert len(receiver.got) == 1
    waits.set()
    await late.idle()
    assert len(receiver.got) == 1


async def test_a_test_that_fails_is_not_repeated(world):
    receiver = Receiver(500, 500, 500)
    hooks = world.gateway(receiver)
    made = await hooks.make(ADMIN, URL, [], "")
    await world.pass_by([hooks])
    assert (await hooks.test(ADMIN, made["id"]))["state"] == "failed"
    for _ in range(5):
        await world.pass_by([hooks], 100.0)
    assert len(receiver.got) == 1
