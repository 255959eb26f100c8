"""A student's conversations on two machines of a hub, a teacher's look by a link, and strangers, by a real gateway."""

from __future__ import annotations

import pytest
from several_machines import questions

from rsql_magic.errors import GatewayError

pytestmark = pytest.mark.usefixtures("programs")


def test_conversations_follow_their_user_are_shared_and_taken_back(machine):
    first = machine("ada", "lab")
    first.ask("/help")
    other = first.do("new")["thread"]
    first.ask("What is a median?", thread=other)
    first.panel.threads.close()

    second = machine("ada", "home")
    told = second.do("hello")
    assert {head["title"] for head in told["threads"]} == {"Notebook", "What is a median?"}
    assert questions(second, other) == ["What is a median?"]
    cells = next(head["id"] for head in told["threads"] if head["shared"])
    assert questions(second, cells) == ["/help"]
    second.ask("What is a mean?", thread=other)
    second.panel.threads.close()
    assert questions(machine("ada", "lab"), other) == ["What is a median?", "What is a mean?"]

    assert questions(machine("eve", "eves")) == []
    assert questions(machine("ada", "third", follows=False)) == []

    third = machine("ada", "lab")
    third.do("hello")
    shared = third.do("share", thread=other)
    teacher = machine("tia", "tias", follows=False)
    who, title, pairs = teacher.panel.threads.copies.shared(shared["link"])
    assert (who, title) == ("ada", "What is a median?")
    assert [pair.question for pair, _ in pairs] == ["What is a median?", "What is a mean?"]
    with pytest.raises(GatewayError, match="not yours"):
        machine("eve", "eves").panel.threads.copies.shared(shared["link"])
    third.do("unshare", thread=other)
    with pytest.raises(GatewayError):
        teacher.panel.threads.copies.shared(shared["link"])

    third.do("delete", thread=other)
    told = third.do("forget")
    assert told.get("gone") == 1, told
    assert third.panel.assistant.locator.gateway.get("sessions") == {"sessions": []}
    assert questions(machine("ada", "fourth")) == []


def test_a_gateway_that_is_gone_is_said_and_nothing_else_is_held_up(machine, monkeypatch):
    talk = machine("ada", "alone")
    talk.do("hello")

    def refuse(*_, **__):
        raise GatewayError("The gateway is away.", hint="Later.")

    monkeypatch.setattr(type(talk.panel.assistant.locator.gateway), "put", refuse)
    assert talk.ask("/help")["state"] == "done"
    talk.panel.threads.keeper.flush()
    talk.panel.threads.copies.finish()
    assert talk.do("hello")["trouble"] == (
        "This conversation is not copied to the gateway: The gateway is away. Later."
    )
    assert questions(talk) == ["/help"]
