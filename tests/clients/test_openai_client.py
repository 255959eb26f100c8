"""The openai package, pointed at the gateway: answers, streams, tools, forms, vectors, errors."""

from __future__ import annotations

import httpx
import openai
import pytest
from pydantic import BaseModel

HELLO = [{"role": "user", "content": "Hello"}]
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}}
FUNCTION = {"type": "function", "name": "weather", "parameters": WEATHER}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": WEATHER}}


class City(BaseModel):
    city: str
    population: int


@pytest.fixture(scope="module")
def client(gateway):
    with openai.OpenAI(base_url=f"{gateway}v1", api_key="ada-token", max_retries=0) as client:
        yield client


def of(client, token):
    return client.with_options(api_key=token)


@pytest.mark.spine
def test_an_answer_and_what_the_gateway_adds(client):
    answer = client.chat.completions.create(messages=HELLO, model="default")
    assert answer.choices[0].message.content == "1 messages| came."
    assert answer.model_extra["rsql"]["key"] == "echo-1"
    assert answer.usage.prompt_tokens_details.cached_tokens == 3


def test_a_stream_with_usage(client):
    chunks = list(
        client.chat.completions.create(
            messages=HELLO, model="chatty", stream=True, stream_options={"include_usage": True}
        )
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "1 messages came."
    assert [chunk.usage.total_tokens for chunk in chunks if chunk.usage] == [16]
    assert chunks[-1].model_extra["rsql"]["attempts"] == 1


def test_tools_pass_through_both_ways(client, upstream):
    answer = client.chat.completions.create(messages=HELLO, model="chatty", tools=[TOOL], tool_choice="auto")
    call = answer.choices[0].message.tool_calls[0]
    assert (call.function.name, call.function.arguments) == ("weather", '{"city": "Oslo"}')
    assert (upstream.seen[-1][1]["tools"], upstream.seen[-1][1]["tool_choice"]) == ([TOOL], "auto")
    said = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
    messages = [*HELLO, answer.choices[0].message.model_dump(exclude_none=True), said]
    with client.chat.completions.stream(messages=messages, model="chatty", tools=[TOOL]) as stream:
        assert stream.get_final_completion().choices[0].message.content == "The tool said sunny."


def test_a_form_of_the_answer(client):
    answer = client.chat.completions.parse(messages=HELLO, model="chatty", response_format=City)
    assert answer.choices[0].message.parsed == City(city="Oslo", population=700_000)


def test_models(client):
    assert {"chatty", "text-embedding-3-small"} <= {model.id for model in client.models.list()}
    assert client.models.retrieve("chatty").owned_by == "rsql"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("none")


@pytest.mark.spine
def test_a_response_and_its_form(client):
    answer = client.responses.create(model="chatty", input="Hello", instructions="Be brief.")
    assert (answer.output_text, answer.usage.input_tokens, answer.status) == ("2 messages| came.", 11, "completed")
    assert client.responses.parse(model="chatty", input="x", text_format=City).output_parsed.city == "Oslo"
    cut = client.responses.create(model="chatty", input="x", max_output_tokens=3)
    assert cut.incomplete_details.reason == "max_output_tokens"


@pytest.mark.spine
def test_a_streamed_response_with_a_tool(client):
    with client.responses.stream(model="chatty", input="Weather?", tools=[FUNCTION]) as stream:
        kinds = [event.type for event in stream]
        call = stream.get_final_response().output[0]
    assert kinds.count("response.function_call_arguments.delta") == 2
    assert call.arguments == '{"city": "Oslo"}'
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    history = [{"role": "user", "content": "Weather?"}, call.model_dump(exclude={"parsed_arguments"}), result]
    with client.responses.stream(model="chatty", input=history, tools=[FUNCTION]) as stream:
        words = [event.delta for event in stream if event.type == "response.output_text.delta"]
    assert "".join(words) == "The tool said sunny."


def test_vectors(client, gateway):
    before = counted(gateway)
    told = client.embeddings.create(model="text-embedding-3-small", input=["a", "bcd"], encoding_format="float")
    assert [row.embedding for row in told.data] == [[1, 0.5], [3, 0.5]]
    assert (told.usage.prompt_tokens, told.model_extra["rsql"]["key"]) == (7, "echo-1")
    assert counted(gateway) == before + 7


def counted(gateway):
    """Tokens that the ledger has of embeddings."""
    told = httpx.get(f"{gateway}admin/api/usage", headers={"Authorization": "Bearer owner-token"}).json()
    rows = told if isinstance(told, list) else next(value for value in told.values() if isinstance(value, list))
    return sum(row["prompt_tokens"] for row in rows if row["model"] == "text-embedding-3-small")


def test_a_key_without_embeddings_stays_in_use(client):
    with pytest.raises(openai.APIStatusError):
        client.embeddings.create(model="chatty", input="a")
    assert client.chat.completions.create(messages=HELLO, model="chatty").choices


def test_limits_are_rate_limit_errors_with_a_true_wait(client):
    bob = of(client, "bob-token")
    for _ in range(2):
        assert bob.chat.completions.create(messages=HELLO, model="chatty").choices[0].message.content.startswith("2")
    for refused in (
        lambda: bob.chat.completions.create(messages=HELLO, model="chatty", stream=True),
        lambda: bob.responses.create(model="chatty", input="Hi"),
    ):
        with pytest.raises(openai.RateLimitError) as caught:
            refused()
        assert 0 < int(caught.value.response.headers["retry-after"]) <= 60
        assert caught.value.code == "rate_limit_exceeded"


def test_a_group_may_not_embed_with_another_model(client):
    with pytest.raises(openai.NotFoundError):
        of(client, "bob-token").embeddings.create(model="text-embedding-3-small", input="a")


def test_errors_map_to_the_packages_own(client):
    with pytest.raises(openai.AuthenticationError):
        of(client, "nobody").chat.completions.create(messages=HELLO, model="chatty")
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(messages=HELLO, model="none")
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as wrong:
        client.chat.completions.create(messages=[], model="chatty")
    assert wrong.value.param == "messages"
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(messages=HELLO, model="wrong")
    assert (refused.value.param, refused.value.request_id[:4]) == ("temperature", "req-")
    with pytest.raises(openai.BadRequestError):
        client.responses.create(model="chatty", input="x", previous_response_id="resp_1")
