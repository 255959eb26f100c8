"""Without a person: how it is noticed, and answers that are replayed."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from rsql_magic.display import usage_line
from rsql_magic.errors import BadInput
from rsql_magic.gateway import Reply, Text, is_batch, usage_of
from rsql_magic.gateway.events import Done
from rsql_magic.gateway.locator import ReplayFile, ReplayingClient, key_of

ASK = [{"role": "user", "content": 'today="2026-01-01" how many?'}]


def kernel(stdin):
    return SimpleNamespace(kernel=SimpleNamespace(_allow_stdin=stdin))


@pytest.mark.parametrize(
    ("shell", "environ", "expected"),
    [
        (kernel(True), {}, False),
        (kernel(False), {}, True),
        (kernel(True), {"RSQL_BATCH": "1"}, True),
        (kernel(False), {"RSQL_BATCH": "0"}, False),
        (SimpleNamespace(), {}, False),
        (None, {"RSQL_BATCH": "yes"}, True),
    ],
)
def test_a_batch_run_is_noticed(shell, environ, expected):
    assert is_batch(shell, environ) is expected


def answers(client):
    events = list(client.stream(ASK, model="llama"))
    assert isinstance(events[-1], Done)
    return "".join(event.text for event in events if isinstance(event, Text)), events[-1].rsql.get("cached")


def opened(told):
    return ReplayFile.from_environ({"RSQL_REPLAY": str(told)})


def test_an_answer_is_asked_for_once(client, gateway, tmp_path):
    gateway.replies = ["42 "]
    first = answers(ReplayingClient(client, opened(tmp_path / "a.jsonl")))
    again = answers(ReplayingClient(client, opened(tmp_path / "a.jsonl")))
    assert (first, again) == (("42  ", False), ("42  ", True))
    assert len(gateway.requests) == 1


def test_a_recording_is_known_by_its_prompt_whether_or_not_values_went_with_it(client, gateway, tmp_path):
    gateway.replies = ["42"]
    client.offline_models = frozenset({"llama"})
    recording = ReplayingClient(client, opened(tmp_path / "a.jsonl"))
    list(recording.stream(ASK, model="llama", described=lambda: {"task": "ask", "question": "x"}))
    assert gateway.requests[0]["rsql"] == {"task": "ask", "question": "x"}
    assert answers(ReplayingClient(None, opened(f"replay:{tmp_path}/a.jsonl")))[0] == "42 "


def test_a_replayed_answer_tells_no_time_so_that_two_replays_look_the_same(client, gateway, tmp_path):
    gateway.replies = ["42"]
    answers(ReplayingClient(client, opened(tmp_path / "a.jsonl")))
    *_, done = ReplayingClient(None, opened(f"replay:{tmp_path}/a.jsonl")).stream(ASK, model="llama")
    usage = usage_of([Reply(text="42", done=done, ended=3.0)])
    assert usage_line(usage) == "llama · 100 + 20 tokens · replayed"


def test_a_mistyped_way_of_replaying_is_no_file(tmp_path):
    with pytest.raises(BadInput, match="It is record: or replay:, or neither"):
        opened(f"replya:{tmp_path}/a.jsonl")


def test_replaying_never_asks(client, gateway, tmp_path):
    gateway.replies = ["42"]
    answers(ReplayingClient(client, opened(f"record:{tmp_path}/a.jsonl")))
    assert answers(ReplayingClient(None, opened(f"replay:{tmp_path}/a.jsonl")))[0] == "42 "
    with pytest.raises(BadInput, match="holds no answer to this question"):
        list(ReplayingClient(None, opened(f"replay:{tmp_path}/a.jsonl")).stream([{"role": "user", "content": "other"}]))


def test_recording_begins_anew(client, gateway, tmp_path):
    gateway.replies = ["1", "2"]
    for _ in range(2):
        answers(ReplayingClient(client, opened(f"record:{tmp_path}/a.jsonl")))
    assert len((tmp_path / "a.jsonl").read_text().splitlines()) == 1


def test_tomorrow_and_other_data():
    tomorrow = [{"role": "user", "content": 'today="2026-01-02" how many?'}]
    other = [{"role": "user", "content": 'today="2026-01-01" how many not?'}]
    assert key_of(ASK, "m") == key_of(tomorrow, "m")
    assert len({key_of(ASK, "m"), key_of(other, "m"), key_of(ASK, None), key_of(ASK, "m", temperature=0)}) == 4


@pytest.mark.parametrize(("text", "words"), [("{}\n", "Line 1"), ("nonsense", "Line 1"), (None, "does not exist")])
def test_a_file_that_is_none(tmp_path, text, words):
    path = tmp_path / "a.jsonl"
    if text is not None:
        path.write_text(text)
    with pytest.raises(BadInput, match=words):
        opened(f"replay:{path}")


def test_no_file(tmp_path):
    assert ReplayFile.from_environ({}) is None


def test_a_cut_answer_is_not_kept(client, gateway, tmp_path):
    gateway.replies = [['data: {"choices": [{"delta": {"content": "half"}}]}']]
    with pytest.raises(Exception, match="cut off"):
        answers(ReplayingClient(client, opened(tmp_path / "a.jsonl")))
    assert not (tmp_path / "a.jsonl").exists()


def test_the_file_is_plain_json(client, gateway, tmp_path):
    gateway.replies = ["größe"]
    answers(ReplayingClient(client, opened(tmp_path / "a.jsonl")))
    assert json.loads((tmp_path / "a.jsonl").read_text(encoding="utf-8"))["text"] == "größe "


def test_a_file_that_cannot_be_written_is_said(tmp_path):
    with pytest.raises(BadInput, match="cannot be written"):
        ReplayFile.from_environ({"RSQL_REPLAY": f"record:{tmp_path / 'none' / 'answers.jsonl'}"})
