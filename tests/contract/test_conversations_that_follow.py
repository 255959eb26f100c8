"""A student's conversations on two machines of a hub, a teacher's look by a link, and strangers, by a real gateway."""

from __future__ import annotations

import pytest
from several_machines import copy, keep, questions, there
from waiting import eventually

from rsql_magic.errors import GatewayError
from rsql_magic.panel.kept.copies import conversations

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
    assert third.panel.assistant.locator.gateway.get("sessions")["sessions"] == []
    assert questions(machine("ada", "fourth")) == []


def test_a_gateway_that_is_gone_is_said_and_nothing_else_is_held_up(machine, monkeypatch):
    talk = machine("ada", "alone")
    talk.do("hello")

    def refuse(*_, **__):
        raise GatewayError("The gateway is away.", hint="Later.")

    monkeypatch.setattr(type(talk.panel.assistant.locator.gateway), "put", refuse)
    assert talk.ask("/help")["state"] == "done"
    copy(talk)
    assert talk.do("hello")["trouble"] == (
        "This conversation is not copied to the gateway: The gateway is away. Later."
    )
    assert questions(talk) == ["/help"]


def answer_of(talk, thread, question):
    return next(pair["answer"] for pair in talk.do("hello", thread=thread)["exchanges"] if pair["question"] == question)


def titles(talk):
    return {head["id"]: head["title"] for head in talk.do("hello")["threads"]}


def test_a_machine_that_asks_before_anything_was_fetched_replaces_nothing(machine):
    lab = machine("ada", "lab")
    lab.ask("/help")
    copy(lab)
    home = machine("ada", "home")
    home.panel.threads._is_open = True  # no panel was opened: cells ask
    keep(home, home.thread, question="From a cell?")
    copy(home)
    assert questions(machine("ada", "third")) == ["/help", "From a cell?"]
    assert questions(home) == ["/help", "From a cell?"]


def test_an_answer_that_was_made_anew_is_so_on_other_machines(machine):
    lab = machine("ada", "lab")
    thread, pair = keep(lab, lab.thread, question="How many?")
    pair.answer, pair.state = "Th", "running"
    lab.panel.threads.keeper.changed(thread, pair)
    copy(lab)
    home = machine("ada", "home")
    assert answer_of(home, home.thread, "How many?") == "Th"
    home.panel.threads.close()
    pair.answer, pair.state = "Three.", "done"
    lab.panel.threads.keeper.changed(thread, pair)
    copy(lab)
    home = machine("ada", "home")
    assert answer_of(home, home.thread, "How many?") == "Three."
    home.ask("/help")
    copy(home)
    third = machine("ada", "third")
    assert answer_of(third, third.thread, "How many?") == "Three."


def test_a_question_that_was_taken_out_comes_back_nowhere(machine):
    lab = machine("ada", "lab")
    thread, _ = keep(lab, lab.thread, question="Kept?")
    _, typo = keep(lab, lab.thread, question="Mien?")
    copy(lab)
    home = machine("ada", "home")
    assert questions(home) == ["Kept?", "Mien?"]
    lab.panel.threads.cut(thread, typo)
    keep(lab, lab.thread, question="Mean?")
    copy(lab)
    home.ask("/help")
    copy(home)
    copy(lab)
    assert questions(machine("ada", "third")) == ["Kept?", "Mean?", "/help"]
    assert questions(machine("ada", "home")) == ["Kept?", "Mean?", "/help"]


@pytest.mark.parametrize("is_at_hand", [True, False])
def test_a_name_that_was_given_on_one_machine_is_that_of_all(machine, is_at_hand):
    lab = machine("ada", "lab")
    thread = lab.do("new")["thread"]
    lab.ask("What is a median?", thread=thread)
    copy(lab)
    home = machine("ada", "home", path="~/delays.ipynb" if is_at_hand else "~/other.ipynb")
    home.do("hello")
    assert (home.panel.threads.at_hand(thread) is not None) == is_at_hand
    assert "error" not in home.do("rename", thread=thread, title="Middles")
    copy(home)
    lab.ask("/help", thread=thread)  # by a kernel that knows of no other name
    copy(lab)
    assert titles(lab)[thread] == "Middles"
    assert titles(machine("ada", "third"))[thread] == "Middles"


def test_what_was_said_while_the_gateway_was_away_is_copied_by_a_later_kernel(machine, away):
    lab = machine("ada", "lab")
    come_back = away(lab)
    thread = lab.do("new")["thread"]
    lab.ask("What is a median?", thread=thread)
    lab.panel.threads.close()
    come_back()
    later = machine("ada", "lab")
    later.do("hello")
    eventually(lambda: there(later) == [thread])
    assert questions(machine("ada", "home"), thread) == ["What is a median?"]


def test_what_came_when_the_gateway_was_back_appears_in_a_panel_that_is_open(machine, away):
    lab = machine("ada", "lab")
    thread = lab.do("new")["thread"]
    lab.ask("What is a median?", thread=thread)
    copy(lab)
    home = machine("ada", "home")
    come_back = away(home)
    told = home.do("hello")
    assert (len(told["threads"]), "could not be fetched" in told["trouble"]) == (1, True)
    come_back()
    eventually(lambda: any(thread in str(told.get("threads")) for told in home.views.told))
    assert questions(home, thread) == ["What is a median?"]
    assert home.do("hello")["trouble"] == ""


def test_all_is_fetched_however_much_it_is_and_the_latest_is_shown(machine, monkeypatch):
    monkeypatch.setattr(conversations, "_MOST", 3)
    lab = machine("ada", "lab")
    for n in range(8):
        thread = lab.do("new")["thread"]
        keep(lab, thread, question=f"Question {n}?")
        copy(lab)
    home = machine("ada", "home")
    told = home.do("hello")
    assert [pair["question"] for pair in told["exchanges"]] == ["Question 7?"]
    eventually(lambda: len(home.do("kept")["here"]) == 8)
    assert [row["title"] for row in home.do("kept")["here"]] == [f"Question {n}?" for n in range(7, -1, -1)]


def test_a_new_notebook_of_the_name_that_another_had_has_a_copy_of_its_own(machine):
    first = machine("ada", "lab", path="~/Untitled.ipynb")
    keep(first, first.thread, question="First?")
    copy(first)
    first.do("moved", path="Untitled.ipynb")
    first.do("moved", path="delays.ipynb")
    keep(first, first.thread, question="And then?")
    copy(first)
    second = machine("ada", "lab", path="~/Untitled.ipynb")
    keep(second, second.thread, question="Second?")
    copy(second)
    assert len(there(second)) == 2
    home = machine("ada", "home", path="~/Untitled.ipynb")
    assert questions(home) == ["Second?"]
    keep(home, home.thread, question="Third?")
    copy(home)
    renamed = machine("ada", "home", path="~/delays.ipynb")
    assert questions(renamed) == ["First?", "And then?"]
    second.do("delete", thread=second.thread)
    eventually(lambda: len(there(second)) == 1)
    first.do("delete", thread=first.thread)
    eventually(lambda: there(second) == [])


def test_a_notebook_of_a_name_that_another_machine_has_given_to_another_has_a_copy_of_its_own(machine):
    lab = machine("ada", "lab", path="~/Untitled.ipynb")
    keep(lab, lab.thread, question="First?")
    copy(lab)
    lab.do("moved", path="Untitled.ipynb")
    lab.do("moved", path="delays.ipynb")
    keep(lab, lab.thread, question="And then?")
    copy(lab)
    home = machine("ada", "home", path="~/Untitled.ipynb")
    home.panel.threads._is_open = True
    keep(home, home.thread, question="Another?")
    copy(home)
    assert len(there(home)) == 2
    third = machine("ada", "third", path="~/Untitled.ipynb")
    assert questions(third) == ["Another?"]
    assert questions(machine("ada", "third", path="~/delays.ipynb")) == ["First?", "And then?"]


def test_conversations_of_a_notebook_that_took_anothers_name_are_nobody_elses(machine):
    """A conversation of cells that a rename has set aside has a number for its id, which others have, too."""
    lab = machine("ada", "lab", path="~/gone.ipynb")
    keep(lab, lab.thread, question="Of the one that is gone?")
    lab.panel.threads.close()
    lab = machine("ada", "lab", path="~/delays.ipynb")
    keep(lab, lab.thread, question="Of delays?")
    lab.do("moved", path="delays.ipynb")
    lab.do("moved", path="gone.ipynb")
    copy(lab)
    aside = next(head["id"] for head in lab.do("kept")["here"] if not head["shared"])
    lab.ask("/help", thread=aside)
    copy(lab)
    home = machine("ada", "home", path="~/own.ipynb")
    home.panel.threads._is_open = True
    keep(home, home.thread, question="Of my own?")
    copy(home)
    home.panel.threads.close()
    home = machine("ada", "home", path="~/own.ipynb")
    assert questions(home) == ["Of my own?"]
    assert len(there(home)) == 3


PROGRAMS = [
    {"question": "Q"},
    {"question": 7, "id": "p1"},
    {"id": "p2", "result": "none"},
    {"id": "p3", "question": "Q", "topic": 7, "at": "late"},
    {"id": "", "question": "Q", "result": {"sql": "x", "columns": [1], "rows": [[1]]}},
    {"id": "p4", "question": "Q", "turn": {"question": 1, "answer": None}, "sources": None, "gone": [["p1", 7]]},
    {},
    {"id": "p5", "question": "Q", "odd": 7},
]


def test_what_a_program_keeps_there_is_in_nobodys_way_and_stays(machine):
    ada = machine("ada", "lab")
    ada.ask("/help")
    copy(ada)
    own = ada.panel.threads.keeper.id_of(ada.panel.threads.of_cells)
    gateway = ada.panel.assistant.locator.gateway
    for name in ("odd", own, "notebook-1.2"):
        gateway.put(f"sessions/{name}", {"title": f"Of a program, {name}", "pairs": PROGRAMS})
    thread = ada.do("new")["thread"]
    ada.ask("What is a mean?", thread=thread)
    copy(ada)
    home = machine("ada", "home")
    home.do("hello")
    told = {head["title"]: head["id"] for head in home.do("kept")["elsewhere"] + home.do("kept")["here"]}
    assert len(told) == 5, told
    assert questions(home, thread) == ["What is a mean?"]
    assert questions(home, home.thread) == ["/help"]
    for name in ("odd", own, "notebook-1.2"):
        pairs = home.do("hello", thread=told[f"Of a program, {name}"])["exchanges"]
        assert len(pairs) == len(PROGRAMS)
        assert sum("form" in (pair["error"] or {}).get("message", "") for pair in pairs) > 3
        assert home.do("kept", words="program Q")["whole"]
        home.ask("/help", thread=told[f"Of a program, {name}"])
        copy(home)
        kept = gateway.get(f"sessions/{name}")["pairs"]
        assert [pair for pair in PROGRAMS if pair not in kept] == [PROGRAMS[5]]  # `gone` is a word of ours


def test_a_question_too_large_for_a_copy_is_sent_without_its_chart_and_the_others_with_it(machine, monkeypatch):
    lab = machine("ada", "lab")
    lab.panel.threads.copies._exchange._largest = 60_000
    thread = lab.do("new")["thread"]
    keep(lab, thread, question="Small?")
    values = {"values": [{"x": "x" * 1_000} for _ in range(80)]}
    keep(lab, thread, question="Large?", drawing={"mark": "bar", "data": values})
    copy(lab)
    home = machine("ada", "home")
    told = home.do("hello", thread=thread)["exchanges"]
    assert [pair["question"] for pair in told] == ["Small?", "Large?"]
    assert "too large to be kept whole" in told[1]["notes"][0]
    home.ask("/help", thread=thread)
    copy(home)
    assert lab.panel.threads.find(thread).pairs[1].drawing["mark"] == "bar"
    lab.ask("/help", thread=thread)
    copy(lab)
    assert lab.panel.threads.find(thread).pairs[1].drawing["mark"] == "bar"


def test_a_proxy_that_lets_less_through_gets_the_end_of_a_conversation(machine, monkeypatch):
    lab = machine("ada", "lab")
    gateway, limit = lab.panel.assistant.locator.gateway, 1_000_000
    put = gateway.put

    def small(path, body, **more):
        if len(str(body)) > limit:
            raise GatewayError("The gateway failed (HTTP 413).", status=413)
        return put(path, body, **more)

    monkeypatch.setattr(gateway, "put", small)
    thread = lab.do("new")["thread"]
    for n in range(6):
        keep(lab, thread, question=f"{n} {'x' * 200_000}")
    copy(lab)
    assert [text[0] for text in questions(machine("ada", "home"), thread)] == ["3", "4", "5"]
    assert lab.do("hello")["trouble"] == ""
    assert len(questions(lab, thread)) == 6
