"""Where nobody watches: limits and gateways that are away are waited for, up to a deadline."""

from __future__ import annotations

import json
import random
from contextlib import nullcontext

import httpx
import pytest

from rsql_magic.assistant import Assistant
from rsql_magic.errors import AnswerCut, GatewayError, GatewayUnreachable, LimitReached, UnknownModel
from rsql_magic.gateway import LLMClient, Text
from rsql_magic.gateway.patience import DEADLINE, Patience, WaitingClient

ASK = [{"role": "user", "content": "How many?"}]
AWAY = "away"  # no gateway answers
BROKEN = ['data: {"choices": [{"delta": {"content": "half of"}}]}']


class Clock:
    """A time that passes when somebody waits."""

    def __init__(self):
        self.now, self.pauses = 0.0, []

    def __call__(self):
        return self.now

    def pause(self, seconds):
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def clock():
    return Clock()


def limited(seconds, code="rate_limit_exceeded"):
    error = {"message": "60 requests a minute are yours.", "code": code, "retry_after": seconds}
    return httpx.Response(429, json={"error": error}, headers={"Retry-After": str(round(seconds))})


def restarting():
    error = {"message": "The gateway is stopping.", "code": "no_capacity", "retry_after": 5.0}
    return httpx.Response(503, json={"error": error})


@pytest.fixture
def flaky(gateway):
    """The gateway, which is away where its next reply says so."""

    def answer(request):
        if gateway.replies and gateway.replies[0] == AWAY:
            gateway.replies.pop(0)
            raise httpx.ConnectError("refused")
        return gateway(request)

    return LLMClient("http://gateway/rsql/", transport=httpx.MockTransport(answer), interactive=False)


def waiting(client, clock, deadline=None, *, answered=True):
    patience = Patience(lambda: deadline, clock, clock.pause, answered)
    return WaitingClient(lambda: client, patience)


def text(client, **options):
    return "".join(event.text for event in client.stream(ASK, **options) if isinstance(event, Text))


@pytest.mark.parametrize(
    ("troubles", "pauses"),
    [
        ([limited(20.0)], [20.0]),
        ([limited(20.0), limited(3.5)], [20.0, 3.5]),
        ([restarting()], [5.0]),
        ([AWAY, AWAY, AWAY], [0.5, 1.0, 2.0]),
        ([BROKEN], [0.5]),
        ([AWAY] * 8, [0.5, 1, 2, 4, 8, 16, 30, 30]),
        ([httpx.Response(502, text="bad gateway"), limited(7.0), AWAY], [0.5, 7.0, 2.0]),
    ],
)
def test_what_can_pass_is_waited_for_and_the_answer_is_whole(flaky, gateway, clock, troubles, pauses):
    gateway.replies = [*troubles, "42 flights"]
    assert text(waiting(flaky, clock)) == "42 flights "
    assert clock.pauses == pauses
    assert {request["headers"]["x-rsql-task"] for request in gateway.requests} == {"batch"}


def test_all_attempts_are_one_request_to_the_gateway_and_other_questions_are_others(flaky, gateway, clock):
    gateway.replies = [BROKEN, limited(1.0), "42", "43"]
    client = waiting(flaky, clock)
    text(client), text(client)
    keys = [request["headers"]["idempotency-key"] for request in gateway.requests]
    assert keys[0] == keys[1] == keys[2] != keys[3]


def test_a_refused_field_makes_another_request(flaky, gateway, clock):
    error = {"message": "'temperature' does not support 0 with this model."}
    gateway.replies = [httpx.Response(400, json={"error": error}), "42"]
    assert text(waiting(flaky, clock), temperature=0) == "42 "
    assert len({request["headers"]["idempotency-key"] for request in gateway.requests}) == 2


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (httpx.Response(404, json={"error": {"message": "No such model.", "code": "model_not_found"}}), UnknownModel),
        (httpx.Response(400, json={"error": {"message": "Too long.", "code": "invalid_request"}}), GatewayError),
        (httpx.Response(500, json={"error": {"message": "A bug.", "code": "internal_error"}}), GatewayError),
    ],
)
def test_what_waiting_does_not_help_fails_at_once(flaky, gateway, clock, reply, kind):
    gateway.replies = [reply]
    with pytest.raises(kind):
        text(waiting(flaky, clock))
    assert clock.pauses == []


def test_an_answer_that_was_stopped_here_is_not_asked_for_again(flaky, gateway, clock):
    def heard(line):
        raise AnswerCut("The answer took longer than 600 s and was stopped.")

    gateway.replies = ["42"]
    with pytest.raises(AnswerCut, match="took longer"):
        text(waiting(flaky, clock), heard=heard)
    assert clock.pauses == []


def test_a_deadline_that_cannot_be_met_is_given_up_at_once(flaky, gateway, clock):
    gateway.replies = [limited(7200.0)]
    with pytest.raises(LimitReached, match=r"Given up, as in 7200 s is too late: 3600 s were left of the 3,600 s"):
        text(waiting(flaky, clock))
    assert clock.pauses == []


def test_a_gateway_that_stays_away_is_waited_for_until_the_deadline(flaky, gateway, clock):
    gateway.replies = [AWAY] * 1000
    with pytest.raises(GatewayUnreachable, match="Given up, as the time is over"):
        text(waiting(flaky, clock))
    assert clock.now == DEADLINE


def can_be_met(replies, deadline):
    """Whether the pauses that these replies call for end before the deadline; the last try stands at it."""
    now = 0.0
    for number, reply in enumerate(replies[:-1]):
        given = json.loads(reply.content)["error"]["retry_after"] if isinstance(reply, httpx.Response) else None
        left = deadline - now
        pause = min(left, 0.5 * 2 ** min(number, 10), 30.0) if given is None else given
        if left <= 0 or pause > left:
            return False
        now += pause
    return True


@pytest.mark.parametrize("seed", range(20))
def test_no_question_waits_longer_than_its_deadline(flaky, gateway, clock, seed):
    chance = random.Random(seed)
    made = (AWAY, BROKEN, restarting(), limited(chance.uniform(0, 60)))
    gateway.replies = [chance.choice(made) for _ in range(chance.randint(0, 60))] + ["42"]
    deadline = chance.uniform(0, 300)
    client = waiting(flaky, clock, deadline)
    with nullcontext() if can_be_met(gateway.replies, deadline) else pytest.raises(GatewayError, match="Given up"):
        assert text(client) == "42 "
    assert clock.now <= deadline + 1e-6


@pytest.mark.parametrize(
    ("known", "seconds"),
    [((None, False), 5.0), ((60.0, False), 60.0), ((2.0, False), 2.0), ((None, True), DEADLINE)],
)
def test_no_gateway_at_start_is_said_soon_unless_a_deadline_was_given(flaky, gateway, clock, known, seconds):
    gateway.replies = [AWAY] * 1000
    with pytest.raises(GatewayUnreachable) as refused:
        text(waiting(flaky, clock, known[0], answered=known[1]))
    assert clock.now == seconds
    assert ("No gateway answered within 5 s" in str(refused.value)) is (seconds == 5.0)


def test_a_gateway_that_answered_once_is_waited_for(flaky, gateway, clock):
    client = waiting(flaky, clock, answered=False)
    gateway.replies = ["42", *[AWAY] * 12, "43"]
    assert (text(client), text(client)) == ("42 ", "43 ")
    assert clock.now > 60


@pytest.fixture
def batch(flaky, clock):
    """An assistant where nobody watches."""
    assistant = Assistant(client=flaky, environ={}, batch=True)
    assistant.locator.patience.clock, assistant.locator.patience.pause = clock, clock.pause
    return assistant


def test_a_cell_says_what_it_waits_for_and_has_one_output(batch, gateway, shell, clock, monkeypatch):
    from rsql_magic.display import screens
    from rsql_magic.notebook import load

    shown = []
    monkeypatch.setattr(screens, "_publish", lambda bundle, _, **options: shown.append((bundle, options)))
    monkeypatch.setattr(shell, "kernel", object(), raising=False)
    load(shell, batch)
    gateway.replies = [AWAY, limited(20.0), "42 flights"]
    shell.run("%%ask\nHow many flights?")
    assert clock.pauses == [0.5, 20.0] or sum(clock.pauses) == 20.5
    words = [bundle["text/plain"] for bundle, _ in shown]
    assert words[-2].startswith("waiting 20 s, at most 3")
    assert "60 requests a minute are yours." in words[-2]
    assert "42 flights" in words[-1]
    identities = {options["transient"]["display_id"] for _, options in shown}
    assert len(identities) == 1
    assert [options["update"] for _, options in shown] == [False, *[True] * (len(shown) - 1)]


def test_the_policy_is_waited_for_too(batch, gateway, clock):
    gateway.replies = [AWAY]
    gateway.paths["stats"] = {"privacy_floor": "names"}
    batch.locator.learn_policy()
    assert clock.pauses == [0.5]
    assert batch.locator.most("sample") == "names"


def test_a_person_is_not_kept_waiting(gateway, flaky):
    assistant = Assistant(client=flaky, environ={}, batch=False)
    gateway.replies = [limited(20.0)]
    with pytest.raises(LimitReached):
        list(assistant.locator.client.stream(ASK))


def test_a_replay_waits_for_what_it_has_to_ask(batch, gateway, clock, tmp_path):
    batch.locator._environ = {"RSQL_REPLAY": str(tmp_path / "a.jsonl")}
    gateway.replies = [limited(9.0), "42"]
    for _ in range(2):
        assert text(batch.locator.client) == "42 "
    assert clock.pauses == [9.0]
    assert json.loads((tmp_path / "a.jsonl").read_text())["text"] == "42 "


def test_a_run_with_a_deadline_waits_until_then_and_no_longer(clock):
    patience = Patience(lambda: None, clock, clock.pause, until=100.0, now=clock)

    def away():
        raise GatewayUnreachable("No gateway answers.")

    clock.now = 40.0
    with pytest.raises(GatewayUnreachable, match="of the time of --deadline"):
        patience.until_answered(away)
    assert 99 <= clock.now <= 100
    with pytest.raises(GatewayUnreachable, match="of the time of --deadline"):
        patience.until_answered(away)
    assert clock.now <= 100
