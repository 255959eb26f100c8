"""Virtual API keys: made within limits, shown once, kept as a hash, ended in time."""

from __future__ import annotations

from dataclasses import replace

import httpx
import pytest

from jupyter_server_ext.config import (
    CallerLimits,
    KeySettings,
    PriceSettings,
    Secret,
    Settings,
    StorageSettings,
    VirtualKeySettings,
)
from jupyter_server_ext.config.settings import ModelPrice
from jupyter_server_ext.errors import BadRequest, NotPermitted
from jupyter_server_ext.identity import VirtualKeys
from jupyter_server_ext.identity.auth import IdentityUnavailable
from jupyter_server_ext.identity.virtual_keys import PREFIX, NoSuchKey
from jupyter_server_ext.ledger import Ledger, SqlLedgerStore
from jupyter_server_ext.messages import Caller, Owner

pytestmark = pytest.mark.asyncio
ADA = Caller("ada", "stats101")
DAY = 86_400.0


class Clock:
    now = 1_800_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture(params=["memory", "sqlite"])
def ledger(request, tmp_path):
    if request.param == "memory":
        yield Ledger(None)
        return
    store = SqlLedgerStore(f"sqlite:///{tmp_path}/ledger.db", instance="test")
    yield Ledger(store)
    store.close()


def keys_of(ledger, clock=None, owner=None, **settings):
    return VirtualKeys(ledger, VirtualKeySettings(**settings), owner, clock=clock or Clock())


async def test_a_key_stands_for_its_owner_with_limits_of_its_own(ledger):
    keys = keys_of(ledger)
    key, text = await keys.make(ADA, "ci", limits=CallerLimits(requests_per_day=5))

    caller = await keys.caller_by(text.reveal())

    assert (caller.name, caller.tenant, caller.scopes) == ("ada", "stats101", frozenset({"chat"}))
    assert (caller.key, caller.limits.requests_per_day) == (key.id, 5)
    assert await keys.caller_by(PREFIX + "x" * 43) is None


async def test_its_text_is_kept_nowhere(tmp_path):
    store = SqlLedgerStore(f"sqlite:///{tmp_path}/ledger.db", instance="test")
    _, text = await keys_of(Ledger(store)).make(ADA, "ci")
    store.close()

    secret = text.reveal().removeprefix(PREFIX).encode()
    assert not any(secret in path.read_bytes() for path in tmp_path.iterdir())


async def test_it_ends_in_time(ledger):
    clock = Clock()
    keys = keys_of(ledger, clock)
    _, text = await keys.make(ADA, "ci", days=2)
    clock.now += 2 * DAY - 1
    assert await keys.caller_by(text.reveal()) is not None
    clock.now += 1

    assert await keys.caller_by(text.reveal()) is None
    assert await keys.of("ada") == []


async def test_it_is_revoked_by_its_owner_or_an_administrator_only(ledger):
    keys = keys_of(ledger)
    key, text = await keys.make(ADA, "ci")

    with pytest.raises(NoSuchKey):
        await keys.revoke(key.id, "bob")
    assert await keys.caller_by(text.reveal()) is not None
    await keys.revoke(key.id, "ada")
    assert await keys.caller_by(text.reveal()) is None
    other, _ = await keys.make(ADA, "ci")
    await keys.revoke(other.id, None)
    assert await keys.of(None) == []


async def test_how_many_and_how_long_is_bounded(ledger):
    keys = keys_of(ledger, most_per_caller=2, most_days=30)
    for days in (0, -1, 31, float("nan"), float("inf")):
        with pytest.raises(BadRequest, match="'days'"):
            await keys.make(ADA, "ci", days=days)
    for name in ("", " ", "x" * 65, "a\nb", "<b>"):
        with pytest.raises(BadRequest, match="'name'"):
            await keys.make(ADA, name, days=1)
    await keys.make(ADA, "one", days=1)
    await keys.make(ADA, "two", days=1)
    with pytest.raises(NotPermitted, match="2 keys"):
        await keys.make(ADA, "three", days=1)
    await keys.make(Caller("bob"), "one", days=1)


async def test_with_a_hub_the_owners_group_is_that_of_now_and_a_gone_owner_ends_it(ledger):
    users = Users(ada=ADA)
    keys = keys_of(ledger, owner=users)
    _, text = await keys.make(ADA, "ci")
    _, for_ci = await keys.make_for("nightly", "ci", tenant="lab")
    users.known["ada"] = Owner(Caller("ada", "teachers"), "ada-mark")
    assert (await keys.caller_by(text.reveal())).tenant == "teachers"
    users.known["ada"] = Owner(Caller("ada", "teachers", frozenset()), "ada-mark")
    assert (await keys.caller_by(text.reveal())).scopes == frozenset(), "no longer let in"
    users.known.clear()

    assert await keys.caller_by(text.reveal()) is None
    assert (await keys.caller_by(for_ci.reveal())).tenant == "lab"


class Users:
    """What a hub knows: users by name, each with a mark that stays when the name changes."""

    def __init__(self, **callers):
        self.asked = 0
        self.known = {name: Owner(caller, f"{name}-mark") for name, caller in callers.items()}

    async def __call__(self, name, mark):
        self.asked += 1
        found = self.known.get(name)
        if found is None or (mark and found.mark != mark):
            found = next((one for one in self.known.values() if mark and one.mark == mark), None)
        return found

    def rename(self, old, new):
        known = self.known.pop(old)
        self.known[new] = Owner(replace(known.caller, name=new), known.mark)


async def test_a_renamed_owner_keeps_the_key_and_a_namesake_gets_none(ledger):
    users, clock = Users(ada=ADA), Clock()
    keys = keys_of(ledger, clock, owner=users)
    used, text = await keys.make(ADA, "used")
    seen, _ = await keys.make(ADA, "seen")
    asked = users.asked
    for _ in range(100):
        await keys.of("ada")
    assert users.asked == asked, "who looks often does not have the hub asked often"
    users.rename("ada", "lovelace")
    users.known["ada"] = Owner(ADA, "another-mark")
    clock.now += 60

    assert (await keys.caller_by(text.reveal())).name == "lovelace"
    assert await keys.of("ada") == []
    assert {key.id for key in await keys.of("lovelace")} == {used.id, seen.id}
    with pytest.raises(NoSuchKey):
        await keys.revoke(used.id, "ada")
    assert (await keys.revoke(used.id, "lovelace")).owner == "lovelace"


async def test_a_key_of_a_former_user_is_nothing_to_a_new_one_of_the_name(ledger):
    users, clock = Users(ada=ADA), Clock()
    keys = keys_of(ledger, clock, owner=users)
    _, text = await keys.make(ADA, "ci")
    users.known["ada"] = Owner(ADA, "another-mark")
    clock.now += 60

    assert await keys.caller_by(text.reveal()) is None
    assert await keys.of("ada") == []
    assert await keys.of(None) == []


async def test_keys_can_be_seen_and_revoked_while_the_hub_is_away(ledger):
    users = Users(ada=ADA)
    keys = keys_of(ledger, owner=users)
    key, _ = await keys.make(ADA, "ci")

    async def away(name, mark):
        raise IdentityUnavailable("away")

    keys.owner = away
    keys._followed.clear()
    assert [one.id for one in await keys.of("ada")] == [key.id]
    await keys.revoke(key.id, "ada")
    assert await keys.of("ada") == []


QUESTION = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5}


def answers(request):
    """A provider's answer that costs one cent."""
    message = {"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10}
    return httpx.Response(200, json={"model": "m", "choices": [message], "usage": usage})


@pytest.fixture
def priced(served, tmp_path):
    """Serves a model whose tokens cost 0.1 cent each, over one ledger."""

    def serving(**limits):
        settings = Settings(
            keys=(KeySettings("p", Secret("k"), base_url="http://p/v1", models=("m",)),),
            storage=StorageSettings(ledger=f"sqlite:///{tmp_path}/rsql.db"),
            prices=PriceSettings(models=(("m", ModelPrice(1_000.0, 1_000.0)),)),
            caller=CallerLimits(**limits),
        )
        return served(settings, fake=False, transport=httpx.MockTransport(answers))

    return serving


@pytest.mark.slow
async def test_a_key_has_money_of_its_own_which_a_restart_does_not_give_back(priced):
    async with priced(usd_per_day=0.1) as gateway:
        limits = {"usd_per_day": 0.025, "usd_per_month": 0.5, "requests_per_day": 5}
        key = (await gateway.ask({"name": "ci", "limits": limits}, path="keys")).json()["key"]
        assert [(await gateway.ask(QUESTION, key)).status_code for _ in range(3)] == [200, 200, 429]
        own = (await gateway.get("stats", key)).json()["key"]["limits"]
        assert own["usd_per_day"] == {"current": 0.02, "limit": 0.025, "remaining": 0.005}
        assert own["usd_per_month"]["current"] == 0.02
        assert (await gateway.get("stats")).json()["cost"]["today"] == 0.02  # the owner's money it was
        assert (await gateway.ask(QUESTION)).status_code == 200  # who goes on

    async with priced(usd_per_day=0.1) as gateway:
        told = (await gateway.get("stats", key)).json()["key"]["limits"]
        assert (told["requests_per_day"]["current"], told["usd_per_month"]["current"]) == (2, 0.02)
        refused = (await gateway.ask(QUESTION, key)).json()["error"]
        assert refused["code"] == "budget_exceeded"
        assert refused["message"].startswith("This key's budget of $0.025 for this day")


@pytest.mark.slow
async def test_a_key_cannot_spend_more_than_its_owner_may(priced):
    async with priced(usd_per_month=0.025) as gateway:
        key = (await gateway.ask({"name": "ci", "limits": {"usd_per_day": 100}}, path="keys")).json()["key"]
        told = [(await gateway.ask(QUESTION, key)).json() for _ in range(3)]
        assert told[-1]["error"]["message"].startswith("Your budget of $0.025 for this month")


@pytest.mark.slow
async def test_over_http_it_is_made_used_and_revoked(served, tmp_path):
    settings = Settings(
        default_model="offline", storage=StorageSettings(ledger=f"sqlite:///{tmp_path}/rsql.db"), caller=CallerLimits()
    )
    async with served(settings, fake=False) as gateway:
        body = {"name": "ci", "days": 1, "limits": {"requests_per_minute": 2}}
        made = (await gateway.ask(body, path="keys")).json()
        shown = (await gateway.get("keys")).json()["keys"]
        assert [key["id"] for key in shown] == [made["id"]]
        assert made["key"] not in str(shown)
        statuses = [(await gateway.ask(token=made["key"])).status_code for _ in range(3)]
        assert statuses == [200, 200, 429]
        assert (await gateway.get("stats", made["key"])).json()["caller"] == "ada"
        assert (await gateway.get("stats")).json()["limits"]["day"]["current"] == 2  # it counts as its owner
        assert (await gateway.get("keys", made["key"])).status_code == 403
        assert (await gateway.get("admin/api/api-keys", made["key"])).status_code == 403
        assert (await gateway.get("keys", "bob-token")).json()["keys"] == []
        bob = {"Authorization": "Bearer bob-token"}
        refused = await gateway.client.delete(f"keys/{made['id']}", headers=bob)
        assert refused.status_code == 404
        assert (refused.json()["error"]["type"], refused.json()["error"]["code"]) == (
            "invalid_request_error",
            "key_not_found",
        )
        ada = {"Authorization": "Bearer ada-token"}
        assert (await gateway.client.delete(f"keys/{made['id']}", headers=ada)).status_code == 200
        assert (await gateway.get("stats", made["key"])).status_code == 401  # at once


async def test_an_administrator_makes_sees_and_revokes_everybodys(served):
    async with served(Settings(default_model="offline"), fake=False) as gateway:
        body = {"owner": "nightly", "name": "ci", "tenant": "lab"}
        made = (await gateway.ask(body, "owner-token", "admin/api/api-keys")).json()
        told = (await gateway.get("stats", made["key"])).json()
        assert (told["caller"], told["tenant"]) == ("nightly", "lab")
        assert len((await gateway.get("admin/api/api-keys", "owner-token")).json()["keys"]) == 1
        owner = {"Authorization": "Bearer owner-token"}
        await gateway.client.delete(f"admin/api/api-keys/{made['id']}", headers=owner)
        assert (await gateway.get("stats", made["key"])).status_code == 401


@pytest.mark.parametrize(
    "body",
    [
        {"name": 7},
        {"name": "ci", "days": "soon"},
        {"name": "ci", "days": True},
        {"name": "ci", "limits": 5},
        {"name": "ci", "limits": {"usd_per_day": -1}},
        {"name": "ci", "limits": {"usd_per_month": "much"}},
        {"name": "ci", "limits": {"usd_per_year": 1}},
        {"name": "ci", "limits": {"requests_per_day": -1}},
        {"name": "ci", "limits": {"requests_per_day": 1.5}},
    ],
)
async def test_what_no_key_can_be_made_of(served, body):
    async with served() as gateway:
        assert (await gateway.ask(body, path="keys")).status_code == 400


async def test_forgetting_a_caller_ends_its_keys(tmp_path):
    store = SqlLedgerStore(f"sqlite:///{tmp_path}/ledger.db", instance="test")
    keys = keys_of(Ledger(store))
    _, text = await keys.make(ADA, "ci")
    store.forget("ada", 1000.0)

    assert await keys.caller_by(text.reveal()) is None
    store.close()
