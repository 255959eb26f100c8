"""A conversation and its copy become one: all that can have happened to a question on either side, by rules."""

from __future__ import annotations

from itertools import product

import msgspec
import pytest

from rsql_magic.panel.kept.copies.known import CopyState
from rsql_magic.panel.kept.copies.merging import digest, merge, read_pairs, taken_out
from rsql_magic.panel.kept.forms import kept_as
from rsql_magic.panel.kept.records import OddRecord, outward, read, written
from rsql_magic.panel.threads import MessagePair

VERSIONS = {n: {"id": "p", "question": "Q", "answer": f"version {n}"} for n in (1, 2, 3)}
DIGESTS = {n: digest(version) for n, version in VERSIONS.items()}


def test_what_was_written_since_on_one_side_stays_and_nothing_else_is_deleted():
    for base, here, there, gone in product([None, 1], [None, 1, 2], [None, 1, 3], [None, 1, 2, 3]):
        state = CopyState(pairs={} if base is None else {"p": DIGESTS[base]})
        bodies = {} if here is None else {"p": msgspec.json.encode(VERSIONS[here])}
        sent = [] if there is None else [VERSIONS[there]]
        told = set() if gone is None else {("p", DIGESTS[gone])}
        pairs, _ = read_pairs(sent, "s")
        merged = merge(bodies, set(bodies), pairs, told, state)
        after = here
        for change in merged.changes:
            assert change.before == bodies.get("p")
            after = None if change.body is None else int(msgspec.json.decode(change.body)["answer"][-1])
        was_deleted_here = here is None and base is not None
        stays = there is not None and there != gone and not (was_deleted_here and there == base)
        wanted = None if here == gone else here
        if stays and (here is None or here == base):
            wanted = there
        assert after == wanted, (base, here, there, gone)
        assert set(merged.state.pairs) == ({"p"} if after and (stays or base) else set())
        assert set(told) | set(taken_out(set(bodies), state)) == set(merged.state.gone)


@pytest.mark.slow
def test_machines_that_merge_in_turn_have_the_same():
    """Two machines and a gateway: whatever each did to their questions, in two rounds all have the same."""
    acts = ["nothing", "new", "again", "out"]
    for left, right in product(product(acts, repeat=2), repeat=2):
        machines = [({}, CopyState()), ({}, CopyState())]
        copy = []
        for number, ways in enumerate((left, right)):
            for n, way in enumerate(ways):
                here, state = machines[number]
                here, state, copy = met(here, state, copy)
                if way == "new":
                    here[f"of {number}, {n}"] = record(f"of {number}, {n}", "first")
                elif way == "again" and here:
                    name = min(here)
                    here[name] = record(name, f"again by {number}, {n}")
                elif way == "out" and here:
                    del here[max(here)]
                here, state, copy = met(here, state, copy)
                machines[number] = (here, state)
        for _ in range(2):
            for number in (0, 1):
                *machines[number], copy = met(*machines[number], copy)
        assert machines[0][0] == machines[1][0], (left, right)


def record(name, answer):
    return msgspec.json.encode({"id": name, "question": name, "answer": answer})


def met(here, state, copy):
    """A machine merges with the copy and sends what it has: its records, its state, and the copy."""
    pairs, gone = read_pairs(copy, "s")
    merged = merge(here, set(here), pairs, gone, state)
    here = dict(here)
    for change in merged.changes:
        here.pop(change.id, None)
        if change.body is not None:
            here[change.id] = change.body
    sent = [outward(body) for _, body in sorted(here.items())]
    sent[-1:] = [{**(sent[-1] if sent else {}), "gone": [list(one) for one in merged.state.gone]}]
    kept = CopyState("", {name: digest(outward(body)) for name, body in here.items()}, merged.state.gone)
    return here, kept, sent


ODD = [7, None, "x", [], {}, [7], [None], {"a": 1}, {"columns": [{}]}, {"columns": [{"name": 1}], "rows": [[1]]}]


def test_a_record_of_another_form_is_kept_whole_and_breaks_nothing():
    whole = msgspec.json.decode(written(MessagePair("Why?", "So.", "done", error={"message": "m"}, topic="t")))
    own = {name: value for name, value in whole.items() if name not in {"undo", "about"}}
    assert read(kept_as(own)).answer == "So."
    for name, odd in product(own, ODD):
        body = kept_as(own | {name: odd})
        assert outward(body) == own | {name: odd}
        try:
            pair = read(body)
        except OddRecord:
            continue
        pair.as_dict()
        assert isinstance(pair.markdown, str)
        assert isinstance(pair.topic or pair.question, str)
        assert isinstance(pair.at, int | float)


@pytest.mark.parametrize("told", [None, 7, "x", [7], [["p"]], [["p", 7]], {"p": "x"}])
def test_what_is_odd_of_what_was_taken_out_is_nothing(told):
    assert read_pairs([{"id": "p", "question": "Q", "gone": told}, None, 7], "s")[1] == set()
