"""Chat: turns, history within its budget, interruption, and how it prints."""

from __future__ import annotations

import pytest

from rsql_magic.errors import AnswerCut, Stopped
from rsql_magic.gateway import INTERRUPTED, Chat, Reply, Text, Usage, filtered, restored, usage_of
from rsql_magic.gateway.events import Done


class Talker:
    """A client that says its lines, and does what a callable line does."""

    def __init__(self, *lines):
        self.lines = lines
        self.closed = False
        self.sent = None

    def stream(self, messages, **options):
        self.sent = messages
        try:
            for line in self.lines:
                yield Text(line) if isinstance(line, str) else line()
            yield Done(
                {"prompt_tokens": 10, "completion_tokens": 2}, {"request_id": "r", "cost_usd": 0.01}, "stop", "m"
            )
        finally:
            self.closed = True


def interrupt():
    raise KeyboardInterrupt


def say(chat, question, talker):
    chat._client = lambda: talker
    reply = Reply()
    entry = chat.entry(question, whole=True)
    try:
        for _ in entry.stream(entry.messages("system", question), reply):
            pass
    finally:
        entry.add([reply])
    return reply


def test_turns_add_up_and_print():
    chat = Chat(Talker)
    say(chat, "hello", Talker("hi ", "there"))
    say(chat, "more", Talker("yes"))
    assert repr(chat) == "<Chat m turns=2 input=20 output=4 cost=$0.02>"
    assert str(chat).endswith("## ask: hello\n\nhi there\n\n## ask: more\n\nyes")
    chat.reset()
    assert repr(chat) == "<Chat new turns=0 input=0 output=0>"


def test_what_arrived_before_a_stop_is_kept_and_the_request_closed():
    chat, talker = Chat(Talker), Talker("half ", interrupt, "never")
    with pytest.raises(Stopped):
        say(chat, "hello", talker)
    assert talker.closed
    assert chat.turns[0].interrupted
    assert str(chat).endswith(f"half  {INTERRUPTED}")
    assert chat.history()[1]["content"] == f"half  {INTERRUPTED}"


def test_a_cut_answer_is_kept_too():
    def cut():
        error = AnswerCut("cut")
        error.partial = "half"
        raise error

    chat = Chat(Talker)
    with pytest.raises(AnswerCut):
        say(chat, "hello", Talker(cut))
    assert (chat.turns[0].answer, chat.turns[0].interrupted) == ("half", True)


def test_the_newest_turns_fit_the_budget():
    chat = Chat(Talker, history_tokens=60)
    for number in range(20):
        say(chat, f"question {number}", Talker(f"answer {number}"))
    history = chat.history()
    assert history[-1]["content"] == "answer 19"
    assert [message["role"] for message in history[:2]] == ["user", "assistant"]
    assert 2 <= len(history) < 40
    chat.history_tokens = 0
    assert chat.entry("q", whole=True).messages("s", "q") == [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "q"},
    ]


def test_nothing_secret_leaves_whatever_it_was_made_from():
    talker = Talker("ok")
    chat = Chat(Talker)
    reply = say(chat, "mail ada@example.org", talker)
    assert "ada@" not in talker.sent[-1]["content"]
    assert reply.redacted == {"email": 1}
    messages = [{"role": "system", "content": "a@example.org"}, {"role": "assistant", "content": "a@example.org"}]
    sent, found = filtered(messages)
    assert [message["content"] for message in sent] == ["a@example.org", "[email]"]
    assert messages[1]["content"] == "a@example.org"
    assert found["email"] == 1


def test_times_are_the_clocks():
    times = iter([10.0, 11.5, 13.0])
    chat = Chat(lambda: Talker("a", "b"), clock=lambda: next(times))
    reply = Reply()
    for _ in chat.stream([{"role": "user", "content": "q"}], reply):
        pass
    assert (reply.first_word, reply.seconds) == (11.5, 3.0)


def test_others_hear_of_new_turns():
    heard = []
    chat = Chat(Talker)
    chat.watchers.append(heard.append)
    say(chat, "hello", Talker("hi"))
    assert [turn.question for turn in heard] == ["hello"]


def test_usage_of_a_draft_and_its_repair():
    one = Reply(done=Done({"prompt_tokens": 5, "completion_tokens": 1}, {"cached": True}), started=0, ended=1)
    two = Reply(done=Done({"prompt_tokens": 7}, {"request_id": "b", "queue_seconds": 2}, model="m"), started=1, ended=4)
    assert usage_of([one, two]) == Usage(12, 1, 2, 4, 2, cached=False, model="m", request_id="b")


@pytest.mark.parametrize(
    ("answer", "question", "expected"),
    [
        ("= '[email]'", "orders of ada@example.org", "= 'ada@example.org'"),
        ("= '[email]'", "ada@example.org or bob@example.org", "= '[email]'"),
        ("[email] [ip]", "ada@example.org at 10.1.2.3 (a) [b]", "ada@example.org 10.1.2.3"),
        ("[email]", "nothing secret", "[email]"),
        ("[email]", "what is [email] in ada@example.org", "[email]"),
    ],
)
def test_what_was_replaced_in_the_question_is_put_back_into_the_answer(answer, question, expected):
    assert restored(answer, question) == expected


def test_a_models_thinking_is_neither_shown_nor_kept():
    chat = Chat(lambda: Talker("<th", "ink>let me", " see</thi", "nk>\n\n", "The ", "answer."))
    reply = Reply()
    shown = [event.text for event in chat.stream([{"role": "user", "content": "q"}], reply) if isinstance(event, Text)]
    assert shown == ["The ", "answer."]
    assert reply.text == "The answer."
