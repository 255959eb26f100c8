"""Copies that are to be deleted at gateways: each at its own, asked of no other, and known until it is gone."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from rsql_magic.errors import GatewayError, GatewayUnreachable
from rsql_magic.panel.kept.copies.known import KnownCopies, place_of
from rsql_magic.panel.kept.copies.removing import CopyRemovals
from rsql_magic.panel.kept.store import ConversationStore, Head

HUB, LAPTOP = "https://hub.example/services/rsql/", "http://127.0.0.1:8899/rsql/"


class Gateway:
    """Notes what it is asked to delete, and refuses it where it has an error."""

    def __init__(self, url, error=None):
        self.url, self.error, self.asked = url, error, []

    def delete(self, path, *, timeout):
        assert timeout
        self.asked.append(path)
        if self.error:
            raise self.error
        return {"deleted": path}


@pytest.fixture
def world(tmp_path):
    """A store with copies of two conversations, which are deleted; the gateway in use; sessions that remove."""
    now = [1_000.0]
    store = ConversationStore(tmp_path, clock=lambda: now[0])
    known = KnownCopies(store)
    for name, url in (("c1", HUB), ("c2", LAPTOP)):
        store.write(store.notebook("~/a.ipynb"), Head(name, "", name))
        known.sending(name, name, place_of(url))
        known.arrived(name, name, place_of(url), 5.0)
        store.delete(name)
    world = SimpleNamespace(known=known, now=now, gateway=None)
    world.session = lambda: CopyRemovals(lambda: store, lambda: world.gateway, lambda: now[0])
    yield world
    store.close()


def test_each_is_deleted_at_the_gateway_where_it_is(world):
    world.now[0] += 1
    removals, hub = world.session(), Gateway(HUB)
    laptop = Gateway(LAPTOP.replace("8899", "40001"))  # another port, as after a restart
    for world.gateway in (hub, laptop):
        assert str(removals.carry_out()) == ""
    assert (hub.asked, laptop.asked) == (["sessions/c1"], ["sessions/c2"])
    assert world.known.due() == []


def test_what_another_gateway_holds_is_said_in_the_session_that_deleted_it(world):
    removals, hub = world.session(), Gateway(HUB)
    world.gateway = hub
    assert str(removals.carry_out()) == (
        "To be deleted at the gateway still: 1 copy. It is at http://127.0.0.1/rsql/, and another gateway is in use. "
        "%rsql connect goes there. It is tried again until it is done."
    )
    assert hub.asked == ["sessions/c1"]
    assert [copy.there for copy in world.known.due()] == ["c2"]


@pytest.mark.parametrize(
    ("error", "is_gone"),
    [
        (GatewayError("Gone.", status=404, code="unknown_session"), True),
        (GatewayError("A page.", status=404), False),
        (GatewayError("No.", status=403, code="not_permitted"), False),
        (GatewayUnreachable("Away."), False),
    ],
)
def test_only_a_gateway_that_knows_of_no_copy_has_none(world, error, is_gone):
    world.gateway = Gateway(HUB, error)
    world.now[0] += 1
    removals = world.session()
    for _ in range(2):
        left = removals.carry_out()
    assert ([copy.there for copy in left.copies] == []) is is_gone
    assert left.why is (None if is_gone else error)
    assert world.gateway.asked == ["sessions/c1"] * (1 if is_gone else 2)


def test_without_a_gateway_it_is_said_and_kept(world):
    assert str(world.session().carry_out()) == (
        "To be deleted at the gateway still: 2 copies. No gateway is within reach. %rsql connect URL. "
        "It is tried again until it is done."
    )
    assert len(world.known.due()) == 2


def test_a_copy_that_expired_here_is_known_until_everything_is_deleted(tmp_path):
    now = [1_000.0]
    store = ConversationStore(tmp_path, clock=lambda: now[0])
    store.write(store.notebook("~/a.ipynb"), Head("c1", "", "C"))
    known = KnownCopies(store)
    known.arrived("c1", "c1", place_of(HUB), 5.0)
    now[0] += 400 * 86_400
    assert store.expire(365) == 1
    assert known.due() == []  # there it has an expiry of its own, and another machine may go on with it
    store.forget()
    assert [copy.there for copy in known.due()] == ["c1"]
    store.close()
