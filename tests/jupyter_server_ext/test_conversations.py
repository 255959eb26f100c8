"""Conversations of the plain form: private, in order, and bounded."""

from __future__ import annotations

import pytest

from jupyter_server_ext.handlers import PlainChats
from jupyter_server_ext.handlers.chat import _listen


def test_turns_are_kept_in_order_per_caller_and_session():
    conversations = PlainChats()
    conversations.add("ada", "s1", "q1", "a1")
    conversations.add("ada", "s1", "q2", "a2")
    conversations.add("ada", "s2", "q3", "a3")
    conversations.add("bob", "s1", "q4", "a4")

    assert [message["content"] for message in conversations.of("ada", "s1")] == ["q1", "a1", "q2", "a2"]
    assert [message["content"] for message in conversations.of("bob", "s1")] == ["q4", "a4"]


def test_the_oldest_turns_go_when_the_text_is_too_long():
    conversations = PlainChats(characters=10)
    conversations.add("ada", "s1", "1234", "12")
    conversations.add("ada", "s1", "123", "1")

    assert [message["content"] for message in conversations.of("ada", "s1")] == ["1234", "12", "123", "1"]
    conversations.add("ada", "s1", "1", "1")
    assert [message["content"] for message in conversations.of("ada", "s1")] == ["123", "1", "1", "1"]
    conversations.add("ada", "s1", "x" * 11, "")
    assert conversations.of("ada", "s1") == []


def test_sessions_and_callers_are_bounded_by_last_use():
    conversations = PlainChats(callers=2, sessions=2)
    for session in ("s1", "s2", "s1", "s3"):
        conversations.add("ada", session, "q", "a")
    conversations.add("bob", "s1", "q", "a")
    assert [bool(conversations.of("ada", session)) for session in ("s1", "s2", "s3")] == [True, False, True]

    conversations.add("ada", "s1", "q", "a")
    conversations.add("cat", "s1", "q", "a")
    assert [bool(conversations.of(caller, "s1")) for caller in ("ada", "bob", "cat")] == [True, False, True]


@pytest.mark.parametrize(
    "odd",
    [
        *("3", "[]", "{}", '{"choices": 3}', '{"choices": [3]}', '{"choices": [{"delta": 3}]}'),
        *('{"choices": [{"delta": {"content": [1]}}]}', '{"choices": [{"message": {"content": {"a": 1}}}]}'),
    ],
)
def test_an_event_of_an_odd_shape_passes_on_and_brings_text_or_none(odd):
    texts = []
    event = f"data: {odd}\n\n".encode()

    assert _listen(texts, event) == event
    assert "".join(texts) in {"", "[1]"}
