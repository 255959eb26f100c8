"""Every row of the table of failures, with the errors that providers really send."""
# ruff: noqa: E501  (errors as they come)

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from jupyter_server_ext.config import KeySettings, PoolSettings, Secret
from jupyter_server_ext.errors import NoCapacity, RsqlGatewayError, UpstreamRefused
from jupyter_server_ext.keys import KeyPool, KeyQueue
from jupyter_server_ext.messages import ChatRequest
from jupyter_server_ext.upstream import KeyRotatingTransport
from jupyter_server_ext.upstream.failures import TABLE, Failure, classify
from jupyter_server_ext.upstream.openai import provider_of

DOCS = Path(__file__).parents[2] / "docs" / "key-pool.md"


def openai(
    message: str, code: str | None = None, kind: str = "invalid_request_error", param: str | None = None
) -> dict:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


ERRORS = [
    # OpenAI
    ("rate_limit", 429, openai("Rate limit reached for gpt-4o on requests per min (RPM): Limit 3, Used 3", "rate_limit_exceeded", "requests")),
    ("quota_exhausted", 429, openai("You exceeded your current quota, please check your plan.", "insufficient_quota", "insufficient_quota")),
    ("credential", 401, openai("Incorrect API key provided: sk-***.", "invalid_api_key")),
    ("credential", 401, openai("Your account has been deactivated.", "account_deactivated")),
    ("credential", 403, openai("Country, region, or territory not supported", "unsupported_country_region_territory")),
    ("model_gone", 404, openai("The model `gpt-9` does not exist or you do not have access to it.", "model_not_found")),
    ("context_length", 400, openai("This model's maximum context length is 8192 tokens.", "context_length_exceeded", param="messages")),
    ("content_filter", 400, openai("Your request was rejected as a result of our safety system.", "content_policy_violation")),
    ("caller_fault", 400, openai("'temperature' must be at most 2.", "decimal_above_max_value", param="temperature")),
    ("overloaded", 500, openai("The server had an error while processing your request.", None, "server_error")),
    ("overloaded", 503, openai("The engine is currently overloaded.", "overloaded", "server_error")),
    ("context_length", 429, openai("Request too large for gpt-4o in organization org-x on tokens per min (TPM): Limit 30000, Requested 44000.", "rate_limit_exceeded", "tokens")),
    ("quota_exhausted", 429, openai("Your account is not active, please check your billing details on our website.", None, "billing_not_active")),
    ("no_access", 403, openai("Project `proj_x` does not have access to model `gpt-5`", "model_not_found")),
    # llama.cpp
    ("context_length", 500, {"error": {"code": 500, "message": "Context size has been exceeded.", "type": "server_error"}}),
    ("context_length", 400, {"error": {"code": 400, "message": "the request exceeds the available context size", "type": "exceed_context_size_error"}}),
    ("overloaded", 500, {"error": {"code": 500, "message": "Failed to get the context of the slot.", "type": "server_error"}}),
    # OpenRouter, within a stream
    ("overloaded", 502, {"choices": [{"delta": {}, "finish_reason": "error", "error": {"code": 502, "message": "Gone."}}]}),
    # Groq
    ("rate_limit", 429, openai("Rate limit reached for model `llama` in organization `org` on tokens per minute (TPM): Limit 6000, Used 5800, Requested 500. Please try again in 3.5s.", "rate_limit_exceeded", "tokens")),
    ("context_length", 413, openai("Request too large for model `llama` on tokens per minute (TPM): Limit 6000, Requested 9000", "rate_limit_exceeded", "tokens")),
    ("model_gone", 400, openai("The model `mixtral-8x7b` has been decommissioned and is no longer supported.", "model_decommissioned")),
    ("no_access", 400, openai("The model requires terms acceptance.", "model_terms_required")),
    ("no_access", 403, openai("The model `x` is blocked at the project level.", "model_permission_blocked_project", "permissions_error")),
    ("credential", 400, openai("Organization has been restricted.", "organization_restricted")),
    ("overloaded", 498, openai("Flex tier capacity exceeded.", "capacity_exceeded", "flex")),
    # Anthropic
    ("rate_limit", 429, {"type": "error", "error": {"type": "rate_limit_error", "message": "This request would exceed your limit."}}),
    ("quota_exhausted", 400, {"type": "error", "error": {"type": "invalid_request_error", "message": "Your credit balance is too low to access the API."}}),
    ("overloaded", 529, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
    ("credential", 401, {"type": "error", "error": {"type": "authentication_error", "message": "invalid x-api-key"}}),
    ("context_length", 400, {"error": {"type": "invalid_request_error", "message": "prompt is too long: 210000 tokens > 200000 maximum"}}),
    ("context_length", 429, {"type": "error", "error": {"type": "rate_limit_error", "message": "Extra usage is required for long context requests."}}),
    ("quota_exhausted", 400, {"type": "error", "error": {"type": "invalid_request_error", "message": "You have reached your specified API usage limits. You will regain access on 2026-12-01 at 00:00 UTC."}}),
    ("credential", 400, {"type": "error", "error": {"type": "invalid_request_error", "message": "This organization has been disabled."}}),
    # Gemini
    ("credential", 400, [{"error": {"code": 400, "message": "API key not valid. Please pass a valid API key.", "status": "INVALID_ARGUMENT"}}]),
    ("rate_limit", 429, [{"error": {"code": 429, "message": "Resource has been exhausted.", "status": "RESOURCE_EXHAUSTED"}}]),
    ("model_gone", 404, {"error": {"code": 404, "message": "models/gemini-0 is not found for API version v1main", "status": "NOT_FOUND"}}),
    ("credential", 400, [{"error": {"code": 400, "message": "User location is not supported for the API use.", "status": "FAILED_PRECONDITION"}}]),
    # OpenRouter
    ("quota_exhausted", 402, {"error": {"code": 402, "message": "This request requires more credits."}}),
    ("content_filter", 403, {"error": {"code": 403, "message": "Your chosen model requires moderation and your input was flagged"}}),
    ("overloaded", 502, {"error": {"code": 502, "message": "Provider returned error"}}),
    ("overloaded", 200, {"error": {"code": 502, "message": "Provider disconnected"}}),
    ("rate_limit", 200, {"error": {"code": 429, "message": "Rate limit exceeded: free-models-per-min."}}),
    ("content_filter", 403, {"error": {"code": 403, "message": 'x requires moderation. Your input was flagged for "violence". No credits were charged.'}}),
    ("quota_exhausted", 403, {"error": {"code": 403, "message": "Key limit exceeded (monthly limit). Manage it using https://openrouter.ai/settings/keys"}}),
    ("caller_fault", 404, {"error": {"code": 404, "message": "No endpoints found that support image input"}}),
    ("caller_fault", 404, {"error": {"code": 404, "message": 'No endpoints found that support tool use. Try disabling "f".'}}),
    ("model_gone", 404, {"error": {"code": 404, "message": "No endpoints found for a/b."}}),
    # llama.cpp
    ("caller_fault", 500, {"error": {"code": 500, "message": "tools param requires --jinja flag", "type": "server_error"}}),
    ("caller_fault", 500, {"error": {"code": 500, "message": "This model does not support tools", "type": "server_error"}}),
    ("overloaded", 500, {"error": {"code": 500, "message": "No tools left in the shed", "type": "server_error"}}),
    ("model_gone", 400, {"error": {"code": 400, "message": "a/b is not a valid model ID"}}),
    # Mistral, DeepSeek, Hugging Face, Together
    ("model_gone", 400, {"object": "error", "message": "Invalid model: x", "type": "invalid_model", "param": None, "code": "1500"}),
    ("overloaded", 429, {"object": "error", "message": "Service tier capacity exceeded for this model.", "type": "service_tier_capacity_exceeded", "code": "3505"}),
    ("model_gone", 400, openai("The requested model 'a/b' is not supported by any provider you have enabled.", "model_not_supported")),
    ("model_gone", 400, openai("Unable to access non-serverless model a/b.", "model_not_available")),
    ("context_length", 422, openai("`inputs` tokens + `max_new_tokens` must be <= 8193")),
    ("credential", 401, {"message": "Unauthorized", "request_id": "x"}),
    ("rate_limit", 429, {"message": "Requests rate limit exceeded", "type": "rate_limit_exceeded"}),
    ("caller_fault", 422, {"detail": [{"loc": ["body", "messages"], "msg": "field required"}]}),
    ("quota_exhausted", 402, openai("Insufficient Balance", "invalid_request_error", "unknown_error")),
    ("quota_exhausted", 402, {"error": "You have exceeded your monthly included credits for Inference Providers."}),
    # bodies that are no JSON
    ("overloaded", 502, b"<html><title>502 Bad Gateway</title></html>"),
    ("rate_limit", 429, b""),
    ("credential", 401, b"no"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "status", "body"), ERRORS, ids=lambda part: str(part)[:40])
def test_errors_of_real_providers(kind, status, body):
    assert classify(status, body if isinstance(body, bytes) else json.dumps(body).encode()).kind == kind


@pytest.mark.parametrize(
    "words",
    [
        "My API key was revoked, and my balance is zero",
        "billing and credits",
        "unauthorized, rate limit",
        "the model not me",
    ],
)
def test_words_of_the_caller_that_an_error_quotes_mean_nothing(words):
    failure = classify(400, json.dumps(openai(f"Invalid value: '{words}'.")).encode())

    assert failure.consequence.key == "nothing"


def test_a_rate_limit_says_which_limit_and_until_when():
    told = openai(
        "Rate limit reached on tokens per minute (TPM): Limit 6000. Please try again in 1m7.66s.", "rate_limit_exceeded"
    )
    failure = classify(429, json.dumps(told).encode())

    assert (failure.unit, failure.seconds, failure.retry_after) == ("tokens", 60.0, 67.66)
    assert classify(429, json.dumps(told).encode(), retry_after=2.0).retry_after == 2.0, "a header goes before words"
    daily = classify(429, json.dumps(openai("on requests per day (RPD): Limit 1000")).encode())
    assert (daily.unit, daily.seconds) == ("requests", 86_400.0)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after": "2m59.56s"}, 179.56),
        ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
        ({"retry-after": "Thu, 01 Jan 1970 00:01:00 GMT"}, 30.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:10 GMT"}, None),
        ({"retry-after": "Thu, 01 Jan 1970 00:01:00 GMT", "date": "Thu, 01 Jan 1970 00:00:48 GMT"}, 12.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:01:00 GMT", "date": "today"}, 30.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "1e400"}, None),
        ({}, None),
    ],
)
def test_retry_after_in_every_form(headers, seconds):
    provider = provider_of("openai")
    provider._wall = lambda: 30.0

    assert provider.retry_after(httpx.Headers(headers)) == seconds


@pytest.mark.parametrize("kind", TABLE)
def test_what_follows_for_the_key(kind):
    """Each row, by what the pool says after it."""
    pool = KeyPool([KeySettings("sim", Secret("secret-key-0001"), "http://127.0.0.1/v1", name="k")])
    transport = KeyRotatingTransport(KeyQueue(pool, PoolSettings()), PoolSettings(), lambda key: None)

    lease = run(pool.lease("m", cost()))
    failure = Failure(kind, retry_after=7.0 if kind in {"rate_limit", "quota_exhausted"} else None)
    transport._on_key_failure(lease, ChatRequest("m", {}), failure)

    key = pool.keys.get("k")
    rests = key.available_at("m", pool.clock()) - pool.clock()
    effect = TABLE[kind].key
    assert bool(key.retired) == (effect == "retire")
    assert ("m" in key.without) == (effect == "not this model")
    assert key.available_at("other", pool.clock()) <= pool.clock(), "other models of the key go on"
    if effect == "rest":
        assert 0.4 < rests <= 0.5
    elif effect in {"limit", "exhausted"}:
        assert 6.9 < rests <= 7.0
    else:
        assert rests <= 0


@pytest.mark.parametrize("kind", TABLE)
def test_what_the_caller_is_told(kind):
    error = Failure(kind, status=429, message="the provider's words").as_error()

    assert isinstance(error, RsqlGatewayError)
    assert error.message.startswith(TABLE[kind].words)
    assert ("the provider's words" in error.message) == isinstance(error, UpstreamRefused)
    assert isinstance(error, UpstreamRefused) or error.message.count(".") >= 2, "what went wrong, and what to do"


def test_the_time_to_come_back_is_passed_on():
    error = Failure("rate_limit", retry_after=3.0).as_error()

    assert isinstance(error, NoCapacity)
    assert error.retry_after == 3.0


def test_the_page_shows_the_table():
    page = DOCS.read_text(encoding="utf-8")
    for kind, row in TABLE.items():
        assert f"| `{kind}` | {row.key} | {row.request} |" in page, f"docs/key-pool.md lacks the row of {kind}"


def run(coroutine):
    with pytest.raises(StopIteration) as stop:
        coroutine.send(None)
    return stop.value.value


def cost():
    from jupyter_server_ext.keys import Cost

    return Cost(10, 10)
