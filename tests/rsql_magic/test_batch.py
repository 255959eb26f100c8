"""Without a person: how it is noticed, and answers that are replayed."""

from __future__ import annotations

import json
import random
import subprocess
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import httpx
import pandas as pd
import pytest

from rsql_magic.assistant import Assistant
from rsql_magic.display import usage_line
from rsql_magic.errors import BadInput, Stopped, UnknownModel
from rsql_magic.gateway import Reply, Text, is_batch, usage_of
from rsql_magic.gateway.client import Vectors
from rsql_magic.gateway.events import Done
from rsql_magic.gateway.replay import RecordedRequest, ReplayFile, ReplayingClient, first_key_of, key_of
from rsql_magic.knowledge.documents.ranking import packed
from rsql_magic.text2sql.row_order import in_one_order

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
    with pytest.raises(BadInput, match="It is record:, strict: or replay:, or neither"):
        opened(f"replya:{tmp_path}/a.jsonl")


def test_replaying_never_asks(client, gateway, tmp_path):
    gateway.replies = ["42"]
    answers(ReplayingClient(client, opened(f"record:{tmp_path}/a.jsonl")))
    assert answers(ReplayingClient(None, opened(f"replay:{tmp_path}/a.jsonl")))[0] == "42 "
    with pytest.raises(BadInput, match="holds no answer to this question"):
        list(ReplayingClient(None, opened(f"replay:{tmp_path}/a.jsonl")).stream([{"role": "user", "content": "other"}]))


class Embedding:
    """Gives each text a vector, and says what it was asked."""

    offline_models = frozenset()

    def __init__(self):
        self.asked = []

    def embed(self, model, texts):
        self.asked += texts
        drawn = [random.Random(f"{model} {text}") for text in texts]
        return Vectors([[one.uniform(-1, 1) for _ in range(8)] for one in drawn], {"cost_usd": 0.1})


def test_vectors_are_bought_once_and_rank_as_they_did(tmp_path):
    texts, model = ["how many?", "A passage of a document. " * 20, "how many?"], Embedding()
    given = ReplayingClient(model, opened(tmp_path / "a.jsonl")).embed("small", texts)
    again = ReplayingClient(model, opened(tmp_path / "a.jsonl")).embed("small", texts)
    strict = ReplayingClient(None, opened(f"strict:{tmp_path}/a.jsonl")).embed("small", texts)
    assert model.asked == texts[:2]
    assert [packed(each) for each in given.vectors] == [packed(each) for each in Embedding().embed("small", texts)[0]]
    assert given.vectors == again.vectors == strict.vectors
    assert (given.rsql, again.rsql) == ({"cost_usd": 0.1}, {"price": "free"})
    assert len((tmp_path / "a.jsonl").read_text()) < 1500  # no whole passages
    ReplayingClient(model, opened(tmp_path / "a.jsonl")).embed("large", texts[:1])
    assert len(model.asked) == 3
    with pytest.raises(BadInput, match="holds no answer to this question"):
        ReplayingClient(None, opened(f"strict:{tmp_path}/a.jsonl")).embed("small", ["other"])
    broken = (tmp_path / "a.jsonl").read_text().replace('"text": "', '"text": "!')
    (tmp_path / "a.jsonl").write_text(broken)
    with pytest.raises(BadInput, match="A vector in the recording is broken"):
        ReplayingClient(None, opened(f"strict:{tmp_path}/a.jsonl")).embed("small", texts)


def test_a_recording_without_vectors_has_them_asked_for(client, gateway, tmp_path):
    gateway.replies = ["42 "]
    answers(ReplayingClient(client, opened(tmp_path / "a.jsonl")))
    model = Embedding()
    locator = Assistant(client=client, environ={"RSQL_REPLAY": f"strict:{tmp_path}/a.jsonl"}).locator
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(locator), "asked", model)
        assert len(locator.embed("small", ["a"]).vectors) == 1
        locator.go_on_replaying()
        assert locator.embed("small", ["a"]).vectors == locator.embed("small", ["a"]).vectors
    assert model.asked == ["a", "a"]


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


@pytest.mark.parametrize("mode", ["", "record:"])
def test_a_file_that_cannot_be_written_is_said_before_anything_is_asked(tmp_path, mode):
    with pytest.raises(BadInput, match="cannot be written"):
        ReplayFile.from_environ({"RSQL_REPLAY": f"{mode}{tmp_path / 'none' / 'answers.jsonl'}"})


# What a recording is like.


def request(words="How many flights?", *, model="llama", context="flights: 10 rows", **parameters):
    asked = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": f"{context}\n{words}"}]
    return RecordedRequest(asked, model, {"temperature": 0, "seed": 1, **parameters}, words, "ask")


def recorded(path, *requests, mode=""):
    file = ReplayFile.named(f"{mode}{path}").opened()
    for each in requests:
        file.put(each, f"An answer to {each.question}", {"usage": {}, "finish_reason": "stop", "model": "llama"})
    return file


def lines(path):
    return path.read_text(encoding="utf-8").splitlines()


def test_a_line_can_be_read_by_a_person(tmp_path):
    path = tmp_path / "a.jsonl"
    recorded(path, request())
    (line,) = map(json.loads, lines(path))
    assert list(line)[:5] == ["question", "task", "model", "parameters", "text"]
    assert (line["question"], line["parameters"]) == ("How many flights?", {"temperature": 0, "seed": 1})


def test_the_order_is_that_of_questions_and_not_of_asking(tmp_path):
    words = [f"Question {number}?" for number in range(8)]
    for number in range(3):
        random.Random(number).shuffle(words)
        recorded(tmp_path / f"{number}.jsonl", *map(request, words))
    assert len({(tmp_path / f"{number}.jsonl").read_bytes() for number in range(3)}) == 1


def test_nothing_is_written_where_nothing_changed(tmp_path):
    path = tmp_path / "a.jsonl"
    recorded(path, request("a"), request("b"))
    before = path.read_bytes(), path.stat().st_mtime_ns
    recorded(path, request("b"))
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


def test_recording_anew_keeps_the_lines_of_answers_that_say_the_same(client, gateway, tmp_path):
    path = tmp_path / "a.jsonl"
    gateway.replies = ["42", "42", "43"]
    written = []
    for number in range(3):
        gateway.headers["x-request-id"] = f"req-{number}"
        answers(ReplayingClient(client, opened(f"record:{path}")))
        written.append(path.read_bytes())
    assert written[0] == written[1] != written[2]


def test_two_branches_merge(tmp_path, programs):
    base, ours, theirs = (tmp_path / f"{name}.jsonl" for name in ("base", "ours", "theirs"))
    recorded(base, request("about b"), request("about d"), request("about f"))
    for path, words in ((ours, "about c"), (theirs, "about e")):
        path.write_bytes(base.read_bytes())
        recorded(path, request(words))
    subprocess.run(["git", "merge-file", str(ours), str(base), str(theirs)], check=True)
    merged = ReplayFile.named(f"strict:{ours}").opened()
    assert [json.loads(line)["question"][-1] for line in lines(ours)] == list("bcdef")
    assert all(merged.get(request(f"about {letter}")) for letter in "bcdef")


def test_runs_that_write_at_once_lose_nothing(tmp_path):
    path = tmp_path / "a.jsonl"

    def run(number):
        file = opened(path)
        for each in range(12):
            file.put(request(f"{number}: {each % 10}"), "42", {})

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(run, range(5)))
    assert len(lines(path)) == 50
    assert "50 recorded answers" in str(opened(f"strict:{path}"))
    assert list(tmp_path.iterdir()) == [path]


def test_two_runs_that_record_anew_at_once_keep_what_both_asked(tmp_path):
    one = recorded(tmp_path / "a.jsonl", request("1"), mode="record:")
    two = recorded(tmp_path / "a.jsonl", request("2"), mode="record:")
    one.put(request("3"), "42", {})
    two.put(request("4"), "42", {})
    assert [json.loads(line)["question"] for line in lines(tmp_path / "a.jsonl")] == ["1", "2", "3", "4"]


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (request(model="qwen"), "model: llama → qwen"),
        (request(temperature=0.7), "parameter temperature: 0 → 0.7"),
        (request(max_tokens=9), "parameter max_tokens: default → 9"),
        (request(context="flights: 12 rows"), "-flights: 10 rows\n+flights: 12 rows"),
        (request("How many of the flights?"), "question: How many flights? → How many of the flights?"),
    ],
)
def test_strict_says_what_changed(tmp_path, now, said):
    recorded(tmp_path / "a.jsonl", request(), request("Something else entirely"))
    with pytest.raises(BadInput) as refused:
        opened(f"strict:{tmp_path}/a.jsonl").get(now)
    assert said in str(refused.value)
    assert "Something else" not in str(refused.value)
    assert str(refused.value).endswith("Record it again with RSQL_REPLAY=record:FILE.")


def test_strict_says_where_nothing_is_like_it(tmp_path):
    recorded(tmp_path / "a.jsonl", request())
    with pytest.raises(BadInput, match="and none to one like it"):
        opened(f"strict:{tmp_path}/a.jsonl").get(request("Wie groß ist ein Pinguin?"))


def test_a_long_difference_is_cut(tmp_path):
    recorded(tmp_path / "a.jsonl", request(context="\n".join(map(str, range(100)))))
    with pytest.raises(BadInput, match=r"… 1[0-9]{2} more lines"):
        opened(f"strict:{tmp_path}/a.jsonl").get(request(context="\n".join(f"x{n}" for n in range(100))))


def test_a_recording_of_the_first_version_is_replayed_and_added_to(tmp_path):
    path, asked = tmp_path / "a.jsonl", request()
    old = {"key": first_key_of(asked.messages, asked.model, **asked.parameters), "text": "10", "done": {"usage": {}}}
    path.write_text(json.dumps(old) + "\n", encoding="utf-8")
    assert opened(f"replay:{path}").get(asked)["text"] == "10"
    recorded(path, request("Another"))
    assert json.loads(lines(path)[0]) == old
    with pytest.raises(BadInput, match="and none to one like it"):
        opened(f"strict:{path}").get(request("Which?"))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"key": "a", "text": "b", "done": {}, "version": 3}', "newer rsql .version 3, known is 2"),
        ("<<<<<<< ours", "a merge that was not finished"),
        ('{"key": "a", "text": "b", "done": {}, "version": 2}', "not a recorded answer"),
        ('{"key": 1, "text": "b", "done": {}}', "not a recorded answer"),
        ('{"key": "a", "text": "b"', "not a recorded answer"),
        ("[]", "not a recorded answer"),
        ("[" * 100_000, "not a recorded answer"),
    ],
)
def test_a_broken_line_is_named(tmp_path, line, words):
    path = tmp_path / "a.jsonl"
    recorded(path, request())
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    before = path.read_bytes()
    with pytest.raises(BadInput, match=f"Line 2 of .*{words}"):
        opened(path)
    assert path.read_bytes() == before


def test_a_folder_is_no_recording(tmp_path):
    with pytest.raises(BadInput, match="is a folder"):
        opened(tmp_path)


def test_keys_do_not_depend_on_time_machine_run_or_counters(tmp_path, monkeypatch):
    """Prompts of the same data, on generated days, machines and runs."""

    def prompt(chance, folder):
        address, process, cell = (chance.randrange(2**20, 2**40) for _ in range(3))
        block, day = f"{chance.randrange(2**32):08x}", f"2026-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}"
        return (
            f'<session today="{day}" time_zone="{chance.choice(["CET", "CEST"])}">\n<data kind="frame" id="{block}">\n'
            f'a = <Model at {address:#x}>, from {folder}/shop.duckdb\n  File "/tmp/ipykernel_{process}/{cell}.py"\n'
            f"Cell In[{cell}], line 3\n/opt/{cell}/lib/python3.11/site-packages/pandas/core.py\n</data {block}>"
        )

    keys = set()
    for seed in range(30):
        folder = tmp_path / str(seed)
        folder.mkdir()
        monkeypatch.chdir(folder)
        keys.add(request(context=prompt(random.Random(seed), folder)).key)
    assert len(keys) == 1
    assert request(context="a = 1").key != request(context="a = 2").key


def test_the_privacy_of_the_gateway_holds_when_it_is_replayed(assistant, client, gateway, tmp_path):
    path = tmp_path / "a.jsonl"
    gateway.replies = ["42"]
    gateway.paths["stats"] = {"privacy_floor": "names"}
    assistant.locator._environ = {"RSQL_REPLAY": str(path)}
    assistant.locator.learn_policy()
    list(assistant.locator.client.stream(ASK))
    again = type(assistant)(environ={"RSQL_REPLAY": f"strict:{path}"})
    assert again.locator.most("sample") == "names"


def test_a_notebook_turns_a_recording_on_and_off(sales, gateway, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sales.run_line_magic("rsql", "replay answers.jsonl")
    gateway.replies = ["Two regions.", "Two regions, again.", "Three."]
    question = "What regions are there?"
    for command in ("", "%rsql replay on", "%rsql replay off"):
        sales.run(command)
        sales.run(f"%ask {question}")
    assert len(gateway.requests) == 2
    sales.run_line_magic("rsql", "replay on")
    sales.run_line_magic("rsql", "replay strict")
    sales.run(f"%ask {question}")
    with pytest.raises(BadInput, match="question: What regions are there"):
        sales.run("%ask What regions are there now?")
    assert len(gateway.requests) == 2
    capsys.readouterr()
    sales.run_line_magic("rsql", "replay diff")
    assert "→ What regions are there now?" in capsys.readouterr().out
    sales.run_line_magic("rsql", "replay")
    assert "1 recorded answer; nothing else is asked" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["replay strict", "replay diff", "replay on"])
def test_without_a_recording_there_is_none_to_replay(ip, command):
    with pytest.raises(BadInput, match="recording"):
        ip.run_line_magic("rsql", command)


@pytest.mark.slow
def test_groups_come_in_one_order_whatever_order_the_database_gives_them_in():
    made = pd.DataFrame({"shop": ["a", "b", "c", None, "e"], "n": [2, 2, 9, 2, 1], "at": [1.5, 0.5, 2.0, 3.0, None]})
    asked = {
        "SELECT shop, n, at FROM t GROUP BY ALL": None,
        "SELECT DISTINCT shop, n, at FROM t": None,
        "SELECT shop, n, at FROM t UNION SELECT shop, n, at FROM u": None,
        "SELECT shop, count(*) AS n, min(x) AS at FROM t GROUP BY shop ORDER BY n": ("n", True),
        "SELECT shop, count(*), min(x) FROM t GROUP BY shop ORDER BY count(*) DESC": ("n", False),
        "SELECT shop, count(*) AS n, min(x) AS at FROM t GROUP BY 1 ORDER BY 2 DESC LIMIT 9": ("n", False),
    }
    for sql, by in asked.items():
        found = []
        for seed in range(8):
            frame = made.sample(frac=1, random_state=seed)
            frame = frame.sort_values(by[0], ascending=by[1]) if by else frame
            found.append(in_one_order(frame.reset_index(drop=True), sql, "duckdb"))
            assert by is None or found[-1][by[0]].to_list() == frame[by[0]].to_list()
        assert all(each.equals(found[0]) for each in found), sql
        assert (found[0].dtypes == made.dtypes).all()
    shuffled = made.sample(frac=1, random_state=3)
    for sql in (
        "SELECT * FROM t",
        "SELECT shop FROM t ORDER BY n",
        "SELECT shop FROM t GROUP BY 1 ORDER BY sum(x)",
        "?",
    ):
        assert in_one_order(shuffled, sql, "duckdb") is shuffled


def refused():
    return httpx.Response(404, json={"error": {"message": "No such model.", "code": "model_not_found"}})


@pytest.mark.slow
@pytest.mark.parametrize("magic", ["ask", "sql_ai"])
def test_an_error_does_to_the_run_what_the_line_or_the_settings_say(sales, assistant, gateway, capsys, magic):
    def run(options=""):
        gateway.replies = [refused()]
        sales.user_ns["x"] = 1
        sales.run(f"%%{magic} -o x {options}\nHow many rows has sales?")
        return capsys.readouterr().out, sales.user_ns["x"]

    for options in ("", "--on-error raise"):
        with pytest.raises(UnknownModel):
            run(options)
        assert sales.user_ns["x"] == 1
    capsys.readouterr()
    shown, kept = run("--on-error warn")
    assert "UnknownModel: No such model." in shown
    assert kept is None
    assert run("--on-error skip") == ("", None)
    assistant.settings.on_error = "skip"
    assert run() == ("", None)
    with pytest.raises(UnknownModel):
        run("--on-error raise")
    with pytest.raises(BadInput, match="on-error"):
        run("--on-error shrug")


def test_a_stop_stops_whatever_is_set(sales, assistant, monkeypatch):
    def stop(*_, **__):
        raise Stopped("Stopped.")

    assistant.settings.on_error = "skip"
    monkeypatch.setattr(assistant, "ask", stop)
    with pytest.raises(Stopped):
        sales.run("%ask hello")
