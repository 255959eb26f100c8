"""LLMClient: what comes back as events, and what goes wrong as errors."""

from __future__ import annotations

import importlib
import inspect
import json
import re
from pathlib import Path

import httpx
import pytest

from jupyter_server_ext import errors
from rsql_magic.errors import (
    AnswerCut,
    BadInput,
    GatewayError,
    GatewayUnreachable,
    LimitReached,
    NotAllowed,
    UnknownModel,
)
from rsql_magic.gateway import LLMClient, Text, Waiting
from rsql_magic.gateway.client import ModelRecords
from rsql_magic.gateway.events import Done, parse_sse
from rsql_magic.gateway.locator import Address, named
from rsql_magic.gateway.patience import can_pass
from rsql_magic.gateway.refusals import HINTS, error_of

GATEWAY_ERRORS = [
    each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, errors.RsqlGatewayError)
]
HELLO = [{"role": "user", "content": "hello"}]


def chunk(text="", **more):
    return "data: " + json.dumps({"choices": [{"delta": {"content": text}, **more}]})


def answering(handler, **options):
    return LLMClient("http://gateway/rsql/", "secret", transport=httpx.MockTransport(handler), **options)


def test_words_come_as_events_and_the_end_tells_what_it_took(client, gateway):
    gateway.replies = ["two words"]
    events = list(client.stream(HELLO, model="llama", task="sql_ai", temperature=0))
    assert [event.text for event in events[:-1]] == ["two ", "words "]
    assert events[-1] == Done(
        {"prompt_tokens": 100, "completion_tokens": 20},
        {"request_id": "req-1", "queue_seconds": 0, "cached": False},
        "stop",
        "llama",
        {"limit-requests": "200", "remaining-requests": "188"},
    )
    sent = gateway.requests[0]
    assert (sent["model"], sent["stream"], sent["temperature"]) == ("llama", True, 0)
    assert sent["headers"]["x-rsql-task"] == "sql_ai"


def test_the_place_in_the_queue_is_an_event():
    lines = [": queued position=4 eta=6.2", "", ": keep-alive", chunk("hi"), "data: [DONE]"]
    assert list(parse_sse(lines))[:2] == [Waiting(4, 6.2), Text("hi")]


def test_odd_lines_do_not_disturb():
    lines = [
        "event: message",
        "data:" + chunk("a")[5:],
        "retry: 10",
        'data: {"choices": []}',
        'data: {"choices": null}',
    ]
    assert [event for event in parse_sse([*lines, "data: [DONE]"]) if isinstance(event, Text)] == [Text("a")]


@pytest.mark.parametrize(
    ("last", "words"),
    [
        ([], "before it was complete"),
        (['data: {"error": {"message": "The provider hung up.", "code": "upstream_failed"}}'], "The provider hung up."),
        (['data: {"error": {"message": "It fell silent. Try again."}}'], r"cut off\. It fell silent\. Try again\.$"),
        (["data: {half"], "before it was complete. Run the cell again"),
    ],
)
def test_a_cut_answer_is_an_error_that_holds_what_came(last, words):
    with pytest.raises(AnswerCut, match=words) as caught:
        list(parse_sse([chunk("half an "), chunk("answer"), *last], request_id="req-9"))
    assert caught.value.partial == "half an answer"
    assert caught.value.request_id == "req-9"


def test_a_connection_that_breaks_in_the_middle_is_a_cut_answer():
    class Breaking(httpx.SyncByteStream):
        def __iter__(self):
            yield f"{chunk('half')}\n\n".encode()
            raise httpx.ReadError("reset")

    client = answering(lambda _: httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Breaking()))
    with pytest.raises(AnswerCut) as caught:
        list(client.stream(HELLO))
    assert caught.value.partial == "half"


def test_what_fails_before_the_first_word_is_no_cut_answer():
    lines = [": queued position=1 eta=2.0", 'data: {"error": {"message": "No provider.", "code": "upstream_failed"}}']
    with pytest.raises(GatewayError, match="No provider") as caught:
        list(parse_sse(lines))
    assert not isinstance(caught.value, AnswerCut)
    assert caught.value.code == "upstream_failed"


@pytest.mark.parametrize("kind", GATEWAY_ERRORS)
def test_an_error_means_the_same_in_a_stream_as_in_a_reply(kind):
    """A stream begins while the request waits in the queue, so that most failures come inside one."""
    refused = kind("It went wrong.", retry_after=8.0)

    in_a_reply = error_of(refused.status, json.dumps(refused.as_json("req-1")), {}, "")
    with pytest.raises(GatewayError) as caught:
        list(parse_sse([": queued position=1 eta=2.0", refused.as_event("req-1").decode().strip()]))

    assert type(caught.value) is type(in_a_reply)
    assert vars(caught.value) == vars(in_a_reply)
    assert can_pass(caught.value) == can_pass(in_a_reply)


@pytest.mark.parametrize(("error", "status"), [({"code": 502}, 502), ({"code": "x"}, 0), ({"code": 7}, 0), ("no", 0)])
def test_a_provider_may_write_the_status_as_the_code(error, status):
    with pytest.raises(GatewayError) as caught:
        list(parse_sse([f"data: {json.dumps({'error': error})}"]))
    assert caught.value.status == status


def test_halves_of_characters_do_not_keep_a_question_from_being_sent(client, gateway):
    gateway.replies = ["ok"]
    list(client.stream([{"role": "user", "content": "caf\udce9 é"}]))
    assert gateway.sent == "caf? é"


def test_an_endpoint_that_does_not_stream_is_fine():
    body = {
        "choices": [{"message": {"content": "whole"}, "finish_reason": "stop"}],
        "model": "m",
        "usage": {"prompt_tokens": 3},
    }
    events = list(answering(lambda _: httpx.Response(200, json=body)).stream(HELLO))
    assert events == [Text("whole"), Done({"prompt_tokens": 3}, {"request_id": ""}, "stop", "m", {})]


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (
            401,
            {"error": {"message": "Nobody knows this token.", "code": "invalid_token"}},
            NotAllowed,
            "RSQL_GATEWAY_TOKEN",
        ),
        (403, {"message": "Forbidden", "reason": None}, NotAllowed, "does not permit this"),
        (404, {"error": {"message": "No key serves x.", "code": "model_not_found"}}, UnknownModel, "%rsql models"),
        (404, "<html>not found</html>", GatewayError, "ends in /rsql/"),
        (
            413,
            {"error": {"message": "The body is too large.", "code": "request_too_large"}},
            GatewayError,
            "fewer objects",
        ),
        (429, {"error": {"message": "Slow down."}}, LimitReached, "Slow down. Try again in 8 s."),
        (500, "Internal Server Error", GatewayError, "HTTP 500"),
        (503, "<h1>503</h1> secret", GatewayError, "No gateway answers at http"),
        (504, "", GatewayError, "%rsql doctor finds out why"),
        (
            502,
            {"error": {"message": "The provider failed.", "code": "upstream_failed"}},
            GatewayError,
            "another --model",
        ),
        (
            503,
            {"error": {"message": "No key is free.", "code": "no_capacity", "retry_after": 90}},
            GatewayError,
            "90 s",
        ),
        (400, {"detail": "messages: field required"}, GatewayError, "field required."),
        (503, {"status": "unavailable", "checks": {"keys": "none"}}, GatewayError, "is unavailable: keys none"),
        (
            404,
            {"error": {"message": "None. GET v1/models lists the models there are.", "code": "model_not_found"}},
            UnknownModel,
            "None. %rsql models lists the models there are.",
        ),
    ],
)
def test_a_refusal_becomes_an_error_with_the_next_step(status, body, kind, words):
    content = body if isinstance(body, str) else json.dumps(body)
    headers = {"retry-after": "8", "x-request-id": "req-7"} if status == 429 else {"x-request-id": "req-7"}
    client = answering(lambda _: httpx.Response(status, text=content, headers=headers))
    with pytest.raises(kind) as caught:
        list(client.stream(HELLO))
    assert type(caught.value) is kind
    assert words in str(caught.value)
    assert caught.value.status == status
    assert caught.value.request_id == "req-7"
    assert "secret" not in str(caught.value)


def test_every_code_of_the_gateway_has_a_next_step():
    server = importlib.import_module("jupyter_server_ext.errors")
    codes = {
        cls.code for _, cls in inspect.getmembers(server, inspect.isclass) if issubclass(cls, server.RsqlGatewayError)
    }
    assert codes <= set(HINTS)


REFUSED = re.findall(r"^\| 403 \| (.+?) \|", (Path(__file__).parents[2] / "docs" / "gateway.md").read_text(), re.M)


@pytest.mark.parametrize("code", [code for cell in REFUSED for code in re.findall(r"`(\w+)`", cell)])
def test_only_who_lacks_a_permission_is_to_ask_for_one(code):
    told = json.dumps({"error": {"message": "There is no room. Delete some.", "code": code}})
    advice = " Ask your administrator for the permission." if code == "not_permitted" else ""
    assert str(error_of(403, told, {}, "")) == f"There is no room. Delete some.{advice}"


def refuse(request):
    raise httpx.ConnectError("refused", request=request)


def stay_silent(request):
    raise httpx.ReadTimeout("silent", request=request)


@pytest.mark.parametrize(("handler", "words"), [(refuse, "No gateway answers"), (stay_silent, "said nothing for 5 s")])
def test_no_answer_at_all(handler, words):
    with pytest.raises(GatewayUnreachable, match=words):
        list(answering(handler, timeout=5).stream(HELLO))


def test_leaving_early_closes_the_response():
    class Watched(httpx.SyncByteStream):
        closed = False

        def __iter__(self):
            yield f"{chunk('a')}\n\n{chunk('b')}\n\n".encode()

        def close(self):
            Watched.closed = True

    client = answering(lambda _: httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Watched()))
    events = client.stream(HELLO)
    next(events)
    events.close()
    assert Watched.closed


def test_something_that_is_no_gateway():
    with pytest.raises(GatewayError, match="not as a gateway"):
        list(answering(lambda _: httpx.Response(200, html="<p>hello</p>")).stream(HELLO))
    with pytest.raises(GatewayError, match="not as a gateway"):
        answering(lambda _: httpx.Response(200, html="<p>hello</p>")).models()


def test_a_time_that_is_far_away_is_said_in_hours():
    error = error_of(429, '{"error": {"message": "Used up"}}', {"retry-after": "7200"}, "")
    assert str(error) == "Used up. Try again in 2 h."
    error = error_of(429, '{"error": {"message": "All are busy. Try again later."}}', {"retry-after": "30"}, "")
    assert str(error) == "All are busy. Try again in 30 s."


def test_advice_that_the_gateway_gives_is_not_given_twice():
    told = '{"error": {"message": "The provider failed. Try again; if it stays so, tell.", "code": "upstream_failed"}}'
    assert str(error_of(502, told, {}, "")) == "The provider failed. Try again; if it stays so, tell."
    told = '{"error": {"message": "The provider failed.", "code": "upstream_failed"}}'
    assert str(error_of(502, told, {}, "")) == "The provider failed. Try again, or another --model."


def test_batch_work_says_so(gateway):
    gateway.replies = ["x"]
    list(answering(gateway, interactive=False).stream(HELLO))
    assert gateway.requests[0]["headers"]["x-rsql-task"] == "batch"


def test_a_gateway_that_a_proxy_finds_restarting_is_asked_again():
    replies = [httpx.Response(503, html="<p>no server</p>"), httpx.Response(200, json=WHOLE)]
    pauses = []
    client = LLMClient(
        "http://hub/services/rsql/", transport=httpx.MockTransport(lambda _: replies.pop(0)), pause=pauses.append
    )

    assert "".join(event.text for event in client.stream([]) if isinstance(event, Text)) == "hi"
    assert pauses == [0.5]


def test_what_the_gateway_itself_refuses_is_not_asked_again():
    error = {"error": {"message": "No key is free.", "code": "no_capacity"}}
    asked = []

    def answer(request):
        asked.append(request)
        return httpx.Response(503, json=error)

    client = LLMClient("http://hub/services/rsql/", transport=httpx.MockTransport(answer))
    with pytest.raises(GatewayError, match="No key is free"):
        list(client.stream([]))
    assert len(asked) == 1


WHOLE = {"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]}


# Parameters that a model refuses


REFUSALS = [
    (400, "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) is supported."),
    (400, "temperature is deprecated for this model"),
    (422, "Extra inputs are not permitted: seed"),
    (400, "This model does not support response format `json_schema`."),
    (400, "Failed to initialize samplers: failed to parse grammar"),
    (501, "structured outputs are not implemented"),
]


@pytest.mark.parametrize(("status", "words"), REFUSALS)
def test_a_parameter_that_a_model_refuses_is_left_out_from_then_on(status, words, tmp_path):
    name = next((name for name in ("seed", "temperature") if name in words), "response_format")
    sent = []

    def answer(request):
        sent.append(json.loads(request.content))
        if name in sent[-1]:
            return httpx.Response(status, json={"error": {"message": words}})
        return httpx.Response(
            200, headers={"content-type": "text/event-stream"}, content=f"{chunk('hi')}\n\ndata: [DONE]\n\n"
        )

    options = {"temperature": 0, "seed": 1, "response_format": {"type": "json_object"}}

    def ask():
        records = ModelRecords(tmp_path / "models.json")
        return list(answering(answer, records=records).stream(HELLO, model="o3", **options))

    assert ask()[0] == Text("hi")
    assert [name in body for body in sent] == [True, False]
    ask()
    assert [name in body for body in sent] == [True, False, False]
    assert options.keys() - {name} <= sent[-1].keys()


NO_SYSTEM = [
    (400, "System role not supported"),
    (400, "Conversation roles must alternate user/assistant/user/assistant/..."),
    (422, "'system' does not match: role should be 'user' or 'assistant'"),
    (500, "jinja2.exceptions.TemplateError: Only user and assistant roles are supported!"),
    (404, "Developer instruction is not enabled for models/gemma-3"),
]


@pytest.mark.parametrize(("status", "words"), NO_SYSTEM)
@pytest.mark.parametrize("also", [(), ("seed",), ("stream_options", "temperature")])
def test_a_model_without_a_system_role_is_told_by_the_user_from_then_on(status, words, also, tmp_path):
    sent = []

    def answer(request):
        sent.append(json.loads(request.content))
        if named := next((name for name in also if name in sent[-1]), ""):
            return httpx.Response(400, json={"error": {"message": f"Extra inputs are not permitted: {named}"}})
        if any(message["role"] == "system" for message in sent[-1]["messages"]):
            return httpx.Response(status, json={"error": {"message": words}})
        return httpx.Response(
            200, headers={"content-type": "text/event-stream"}, content=f"{chunk('hi')}\n\ndata: [DONE]\n\n"
        )

    asked = [{"role": "system", "content": "Be brief."}, *HELLO]

    def ask():
        records = ModelRecords(tmp_path / "models.json")
        return list(answering(answer, records=records).stream(asked, temperature=0, seed=1))

    assert ask()[0] == Text("hi")
    assert len(sent) == 2 + len(also)
    ask()
    assert len(sent) == 3 + len(also), "what was refused is not sent again"
    assert sent[-1]["messages"] == [{"role": "user", "content": f"Be brief.\n\n{HELLO[0]['content']}"}]
    assert asked[0]["role"] == "system"


def test_a_refusal_that_speaks_of_a_system_is_an_error_where_there_is_none():
    with pytest.raises(GatewayError, match="role"):
        list(answering(lambda _: httpx.Response(400, json={"error": {"message": NO_SYSTEM[0][1]}})).stream(HELLO))


def test_another_refusal_is_an_error():
    calls = []

    def answer(request):
        calls.append(1)
        return httpx.Response(400, json={"error": {"message": "The temperature outside is 4."}})

    with pytest.raises(GatewayError, match="outside"):
        list(answering(answer).stream(HELLO, max_tokens=5))
    assert len(calls) == 1


def test_records_of_models_are_read_again_and_forgotten_after_a_month(tmp_path):
    path, now = tmp_path / "rsql" / "models.json", [1000.0]
    records = ModelRecords(path, lambda: now[0])
    records.learn("http://a/", "o3", refuses="seed")
    records.learn("http://a/", "o3", context=8192)
    again = ModelRecords(path, lambda: now[0])
    assert (again.of("http://a/", "o3").refuses, again.of("http://a/", "o3").context) == (("seed",), 8192)
    assert again.of("http://b/", "o3").refuses == ()
    now[0] += 32 * 24 * 3600
    assert again.of("http://a/", "o3").refuses == ()
    path.write_text("[")
    assert ModelRecords(path).of("http://a/", "o3").refuses == ()


@pytest.mark.parametrize("sign", ["\n", "\r\nX: y", "\t", "\0", "\x7f", " b", "é", "ключ", "\ud800"])
def test_a_token_that_no_header_carries_is_refused_and_not_quoted(sign):
    for find in (
        lambda: named({"RSQL_GATEWAY_URL": "http://127.0.0.1:9/rsql/", "RSQL_GATEWAY_TOKEN": f"SECRET{sign}"}),
        lambda: Address("http://127.0.0.1:9/rsql/", f"SECRET{sign}"),
    ):
        with pytest.raises(BadInput, match="no token has") as told:
            find()
        assert "SECRET" not in str(told.value)
        assert told.value.__context__ is None
