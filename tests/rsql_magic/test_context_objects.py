"""Objects that do not want to be read, and plug-ins that read objects of their own."""

from __future__ import annotations

import threading
import time

import pytest

from rsql_magic.context import describe, gather, within
from rsql_magic.context.sources import TooSlow, sources

pytestmark = pytest.mark.usefixtures("without_r")


# Objects that do not want to be read


class Hostile:
    """Everything about it raises."""

    def __getattribute__(self, name):
        raise RuntimeError("no")

    def __repr__(self):
        raise SystemExit("no")


class Slow:
    """Everything about it takes minutes."""

    def __getattr__(self, name):
        while True:
            try:
                time.sleep(60)
            except Exception:
                continue

    def __len__(self):
        return int(time.sleep(60) or 0)


class Stuck:
    """A plug-in whose objects take too long."""

    kind = "object"

    def matches(self, obj):
        return type(obj) is Slow

    def describe(self, obj, name, detail):
        return f"{name}: {obj.size}"


@pytest.fixture
def plugged(monkeypatch):
    """Use other sources before ours."""

    def plug(*others):
        ours = sources()
        monkeypatch.setattr("rsql_magic.context.sources.sources", lambda: (*others, *ours))

    return plug


@pytest.fixture
def briefly(monkeypatch):
    """An object may take half a second."""
    monkeypatch.setattr("rsql_magic.context.gathering._EACH", 0.5)


def test_hostile_objects_are_described_by_their_class():
    context = gather("", {"h": Hostile(), "x": 1})
    assert "h: " in context.text
    assert "Hostile" in context.text
    assert "x: int 1" in context.text


@pytest.mark.slow
def test_slow_objects_are_stopped_and_that_is_said(plugged, briefly):
    plugged(Stuck())
    started = time.monotonic()
    context = gather("", {"s": Slow(), "x": 1})
    assert time.monotonic() - started < 20
    assert "s: Slow, not read (it took too long)" in context.text
    assert "x: int 1" in context.text
    assert "took too long" in describe(Slow(), "s", seconds=0.1)


@pytest.mark.slow
def test_when_time_is_over_the_rest_is_left_out(plugged, briefly):
    plugged(Stuck())
    context = gather("", {f"s{n}": Slow() for n in range(50)}, seconds=0.6)
    assert context.left_out
    assert {piece.reason for piece in context.left_out} == {"no time left"}


def test_slow_objects_do_not_hang_other_threads():
    results = []

    def call():
        try:
            within(0.1, lambda: time.sleep(5))
        except TooSlow:
            results.append("stopped")
        results.append(within(1, lambda: "done"))
        try:
            within(1, lambda: 1 / 0)
        except ZeroDivisionError:
            results.append("raised")

    thread = threading.Thread(target=call)
    thread.start()
    thread.join(60)
    assert results == ["stopped", "done", "raised"]


def test_an_alarm_of_the_users_own_goes_on():
    import signal

    rang = []
    before = signal.signal(signal.SIGALRM, lambda *_: rang.append(1))
    try:
        signal.setitimer(signal.ITIMER_REAL, 5)
        within(1, lambda: None)
        assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 5
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# Plug-ins


class Network:
    """A source of a package we do not know."""

    kind = "object"

    def matches(self, obj):
        return isinstance(obj, range)

    def describe(self, obj, name, detail):
        return f"{name}: network of {len(obj)} nodes, owner ada@example.org, level {detail.level}"


def test_a_plug_in_describes_its_objects_and_is_filtered(plugged):
    plugged(Network())
    assert "net: network of 3 nodes, owner [email], level stats" in gather("", {"net": range(3)}).text


@pytest.mark.slow
def test_a_plug_in_cannot_crowd_out_the_rest(plugged):
    class Talkative(Network):
        def describe(self, obj, name, detail):
            return "word " * 50_000

    plugged(Talkative())
    context = gather("what is net?", {"net": range(3), "x": 1})
    assert "word word" in context.text
    assert "x: int 1" in context.text
    assert context.tokens <= 1500


def test_our_sources_come_through_the_same_list():
    assert [type(source).__name__ for source in sources()][-3:] == ["FrameSource", "RSource", "ObjectSource"]
