"""A recording stays valid when a package is upgraded: versions are told, and not compared."""

from __future__ import annotations

import json

import pytest

from rsql_magic.errors import BadInput
from rsql_magic.gateway.replay import RecordedRequest, ReplayFile

_SESSION = '<data kind="session" id="{id}">Python {python}; imported pandas {pandas} as pd, duckdb {duckdb}</data {id}>'
_R = '\n<data kind="session" id="{id}">R {python}; attached dplyr {pandas}</data {id}>\n{question}'


def _request(question="How many rows has df?", **versions):
    known = {"python": "3.11.2", "pandas": "3.0.0", "duckdb": "1.4.0", "id": "3fa9c1d2"} | versions
    text = (_SESSION + _R).format(question=question, **known)
    return RecordedRequest([{"role": "user", "content": text}], "llama", {"seed": 1}, question)


@pytest.fixture
def recorded(tmp_path):
    path = tmp_path / "answers.jsonl"
    file = ReplayFile(path, "auto").opened()
    file.put(_request(), "3", {})
    return path


@pytest.mark.parametrize(
    "now",
    [
        {},
        {"pandas": "3.0.1"},
        {"duckdb": "1.4.3.dev7+g1"},
        {"python": "3.12.0rc1", "pandas": "4.1"},
        {"id": "0badc0de"},
    ],
)
def test_an_upgrade_leaves_a_recording_valid(recorded, now):
    answer = ReplayFile(recorded, "replay").opened().get(_request(**now))
    assert answer is not None
    assert answer["text"] == "3"


def test_a_recording_made_before_versions_were_left_out_is_found(recorded):
    line = json.loads(recorded.read_text())
    content = line["messages"][0]["content"]
    assert "3.0.0" not in content
    line["messages"][0]["content"] = content.replace("pandas as pd", "pandas 3.0.0 as pd")
    line["key"] = "0" * 64  # as an older rsql made it of that text
    recorded.write_text(json.dumps(line) + "\n")
    assert ReplayFile(recorded, "replay").opened().get(_request(pandas="3.0.1"))["text"] == "3"


@pytest.mark.parametrize("other", [{"question": "How many rows of version 3.0.1 has df?"}, {"question": "Mean of x?"}])
def test_another_question_is_still_another(recorded, other):
    with pytest.raises(BadInput):
        ReplayFile(recorded, "replay").opened().get(_request(**other))
