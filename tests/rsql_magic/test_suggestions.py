"""Code suggested while somebody types: what is asked, how often, and what of the reply goes into the cell."""

from __future__ import annotations

import re
import time

import httpx
import pytest
from panel_talk import Talk

from rsql_magic.panel.suggestions import Suggestions, fitted

pytestmark = pytest.mark.usefixtures("without_r")

BEFORE = "by_region = sales.groupby("


@pytest.fixture
def talk(sales, assistant):
    assistant.settings.completion_model = "qwen"
    talk = Talk(sales, assistant)
    yield talk
    talk.panel.close()


def test_it_knows_the_notebook_and_goes_behind_people_to_the_model_named_for_it(talk, gateway):
    gateway.replies = ["'region').amount.sum()"]
    told = talk.do("suggest", suggest="1", before=BEFORE, after="\nprint(by_region)")
    assert told["text"] == "'region').amount.sum()"
    (request,) = gateway.requests
    assert request["model"] == "qwen"
    assert request["headers"]["x-rsql-task"] == "inline_completion"
    assert f"{BEFORE}<cursor>\nprint(by_region)" in gateway.sent
    assert "- amount" in gateway.sent
    assert request["max_tokens"] <= 200
    assert talk.exchanges() == []


def test_without_a_model_named_for_it_nothing_is_sent(talk, gateway, assistant):
    assistant.settings.completion_model = ""
    assert "No model is named" in talk.do("suggest", suggest="1", before=BEFORE, after="")["error"]["message"]
    assert gateway.requests == []


def test_it_has_a_limit_of_its_own(talk, gateway, assistant):
    now = 0.0
    assistant.settings.completions_per_minute = 2
    suggestions = Suggestions(talk.panel, clock=lambda: now)
    gateway.replies = ["a", "b", "c"]
    assert [suggestions.suggest(BEFORE, "", str(n))["text"] for n in range(3)] == ["a", "b", ""]
    now = 60.0
    assert suggestions.suggest(BEFORE, "", "4")["text"] == "c"


REFUSED = {"error": {"message": "Your group's limit of 500 requests per day for inline completions is reached."}}


@pytest.mark.parametrize(
    ("retry_after", "pause"),
    [({"retry-after": "7"}, 7.0), ({"retry-after": "86400"}, 600.0), ({}, 60.0)],
    ids=["soon", "tomorrow", "at no time that is known"],
)
def test_a_limit_of_the_gateway_is_met_by_silence_and_asked_again_later(talk, gateway, retry_after, pause):
    now = 0.0
    suggestions = Suggestions(talk.panel, clock=lambda: now)
    gateway.replies = [httpx.Response(429, json=REFUSED, headers=retry_after), "a"]
    for passed in (0.0, 1.0, pause - 1.5):
        now += passed
        assert suggestions.suggest(BEFORE, "", "1") == {"text": ""}
    assert len(gateway.requests) == 1
    now += 1.0
    assert suggestions.suggest(BEFORE, "", "2") == {"text": "a"}
    assert talk.views.told == []


def test_no_document_is_looked_through_and_no_other_model_asked_for_it(talk, gateway, assistant):
    assistant.settings.embedding_model = "embed"
    gateway.paths["stats"] = {"documents": 3}
    gateway.replies = ["a"]
    talk.do("suggest", suggest="1", before="# The handbook says how to\n", after="")
    assert assistant.locator.shared_documents == 3
    assert {"v1/chat/completions"} == set(gateway.calls) - {"stats", "dictionaries", "examples"}


def test_a_suggestion_that_waits_for_longer_than_anybody_does_is_let_go(talk, gateway):
    now = iter([0.0, 1.0, 2.0, 5.5, 6.0, 7.0, 8.0])
    waits = [f": queued position={place} eta={place}.0" for place in (4, 3, 2, 1)]
    suggestions = Suggestions(talk.panel, clock=lambda: next(now))
    gateway.replies = [[*waits, *gateway.stream("too late")]]
    assert suggestions.suggest(BEFORE, "", "1") == {"text": ""}


def test_an_empty_place_asks_nothing_and_secrets_stay_here(talk, gateway):
    assert talk.do("suggest", suggest="1", before="\n  ", after="x")["text"] == ""
    assert gateway.requests == []
    gateway.replies = [""]
    talk.do("suggest", suggest="1", before="key = 'sk-abcdefghijklmnopqrstuvwxyz0123456789'\nask(", after="")
    assert "sk-abcdefghijklm" not in gateway.sent


@pytest.mark.parametrize(
    ("reply", "before", "expected"),
    [
        ("'region')", "x = sales.groupby(", "'region')"),
        ("```python\nsales.groupby('region')\n```", "sales.gro", "upby('region')"),
        ("x = sales.groupby('region')", "x = sales.groupby(", "'region')"),
        ("\n    return 1", "def f():", "    return 1"),
        ("\n".join("abcdefghijkl"), "x = ", "\n".join("abcdefgh")),
        ("1 <cursor>", "x = ", "1"),
        ("a\u202eb\x1b[31mc", "x = ", None),
        ("", "x = ", ""),
    ],
)
def test_only_what_belongs_at_the_cursor_is_suggested(reply, before, expected):
    text = fitted(reply, before)
    if expected is None:
        assert not re.search("[\u202e\x1b]", text)
    else:
        assert text == expected


def test_it_takes_little_beside_the_model(talk, gateway):
    gateway.replies = ["x"] * 12
    talk.do("suggest", suggest="0", before=BEFORE, after="")
    spent = []
    for number in range(1, 11):
        begun = time.thread_time()
        talk.do("suggest", suggest=str(number), before=BEFORE, after="")
        spent.append(time.thread_time() - begun)
    assert sorted(spent)[5] < 0.3  # seconds of processor time
