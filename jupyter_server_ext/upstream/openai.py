"""The OpenAI-compatible dialect: chat completions over HTTP, as nearly every provider speaks it."""

# https://platform.openai.com/docs/api-reference/chat

from __future__ import annotations

import math
import re
import time
from email.utils import parsedate_to_datetime
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from jupyter_server_ext.config import PRESETS, Preset
from jupyter_server_ext.http_client import httpx
from jupyter_server_ext.keys import Rate

from .failures import Failure, classify, duration

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jupyter_server_ext.keys import Key, Unit
    from jupyter_server_ext.messages import Json

_HEADERS = [
    (b"Content-Type", b"application/json"),
    (b"Accept", b"application/json, text/event-stream"),
    (b"Accept-Encoding", b"identity"),  # events should arrive as they are made
    (b"User-Agent", b"rsql"),
]
_COUNT = re.compile(r"[0-9]{1,15}")
_RESET = re.compile(
    rb'"x-ratelimit-reset"\s*:\s*"?([0-9]{1,15})', re.IGNORECASE
)  # OpenRouter puts its headers into the body
_FIRST_DATE, _FIRST_IN_MILLISECONDS = 1e9, 1e12  # larger numbers are no lengths of time but Unix time
_MOST_READ = 4000  # characters of an error
_REFUSED = 429  # the only status at which a reset without a limit of its own says when to come back
_SECRET_FIELDS = re.compile(r"api[_-]?key", re.IGNORECASE)


class _Names(NamedTuple):
    """The headers that tell of one limit."""

    unit: Unit
    limit: str
    remaining: str
    reset: str


_PARTS = ("limit", "remaining", "reset")
_OPENAI: tuple[Unit, ...] = ("requests", "tokens")
_OPENAI_NAMES = tuple(_Names(unit, *(f"x-ratelimit-{part}-{unit}" for part in _PARTS)) for unit in _OPENAI)
_ANTHROPIC: tuple[Unit, ...] = ("requests", "input_tokens", "output_tokens")
_ANTHROPIC_NAMES = tuple(
    _Names(unit, *(f"anthropic-ratelimit-{unit.replace('_', '-')}-{part}" for part in _PARTS)) for unit in _ANTHROPIC
)


class OpenAIProvider:
    """The dialect, with the habits of one provider."""

    def __init__(self, preset: Preset, wall: Callable[[], float] = time.time) -> None:
        self._preset = preset  # what is known of it
        self._wall = wall  # Unix time, to read dates in headers
        self._urls: dict[tuple[str, str], httpx.URL] = {}
        self._names = _ANTHROPIC_NAMES if preset.anthropic_headers else _OPENAI_NAMES

    def body(self, body: Json, model: str, *, stream: bool) -> bytes:
        """The caller's JSON with this model; a stream is asked to tell its usage. Values of a kernel stay here."""
        sent = {name: value for name, value in body.items() if not _SECRET_FIELDS.match(name)}
        if not self._preset.takes_values:
            sent.pop("rsql", None)
        sent["model"] = model
        if stream and self._preset.stream_usage:
            options = sent.get("stream_options")
            sent["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}
        return msgspec.json.encode(sent)

    def request(self, key: Key, path: str, body: bytes) -> httpx.Request:
        """The request with this key's address and secret."""
        base = key.settings.base_url
        url = self._urls.get((base, path))
        if url is None:
            url = self._urls[base, path] = httpx.URL(base.rstrip("/") + path)
        secret = key.settings.key.reveal().encode()
        return _request(url, [(b"Authorization", b"Bearer " + secret)] if secret else [], body)

    def check(self, key: Key) -> httpx.Request:
        """The list of models, or what else tells of a key at the provider's own address."""
        # OpenRouter and Hugging Face list their models for everybody. Anthropic takes a bearer token for chat
        # completions only: https://docs.anthropic.com/en/api/models-list
        preset, base = self._preset, key.settings.base_url
        secret = key.settings.key.reveal().encode()
        if base != preset.base_url:
            return self.request(key, "/models", b"")
        if preset.anthropic_headers:
            names = [(b"x-api-key", secret), (b"anthropic-version", b"2023-06-01")]
            return _request(httpx.URL(base + "/models"), names, b"")
        if preset.check_url:
            return _request(httpx.URL(preset.check_url), [(b"Authorization", b"Bearer " + secret)], b"")
        return self.request(key, "/models", b"")

    def rates(self, headers: httpx.Headers) -> list[Rate]:
        """Limits that the reply's headers tell."""
        return [rate for names in self._names if (rate := self._rate(headers, names)) is not None]

    def retry_after(self, headers: Mapping[str, str]) -> float | None:
        """Seconds from ``retry-after-ms`` or ``retry-after``: seconds, a length of time, a date, or Unix time."""
        # No time at all, or one that is over, is as good as nothing: the pool then takes its own.
        milliseconds = duration(headers.get("retry-after-ms", ""))
        if milliseconds:
            return milliseconds / 1000
        return self._seconds(headers.get("retry-after"), headers) or None

    def failure(self, status: int, headers: Mapping[str, str], body: bytes) -> Failure:
        """What an error reply says."""
        until = self.retry_after(headers)
        if until is None and status == _REFUSED:
            until = self._reset(headers, body)
        return classify(status, body, until, self._preset.error_codes)

    def _reset(self, headers: Mapping[str, str], body: bytes) -> float | None:
        # Seconds until a limit that has no name of its own is reset, as OpenRouter and Together tell it.
        if headers.get("x-ratelimit-remaining", "0") == "0" and "x-ratelimit-reset" in headers:
            return self._seconds(headers["x-ratelimit-reset"], headers)
        found = _RESET.search(body[:_MOST_READ])
        return self._seconds(found[1].decode(), headers) if found else None

    def _seconds(self, value: str | None, headers: Mapping[str, str]) -> float | None:
        # Seconds from now until a length of time is over, or an instant reached.
        if value is None:
            return None
        seconds = duration(value)
        if seconds is None:
            return self._until(_unix(value), headers)
        if seconds >= _FIRST_DATE:
            return self._until(seconds / 1000 if seconds >= _FIRST_IN_MILLISECONDS else seconds, headers)
        return seconds

    def _rate(self, headers: httpx.Headers, names: _Names) -> Rate | None:
        left = headers.get(names.remaining)
        most = headers.get(names.limit) if left is not None else None
        if left is None or most is None or not _COUNT.fullmatch(left) or not _COUNT.fullmatch(most):
            return None
        reset = headers.get(names.reset, "")
        rounding = 0.01 if "." in reset or "ms" in reset else 1.0  # else rounded to whole seconds
        window = self._preset.request_window if names.unit == "requests" else self._preset.token_window
        return Rate(names.unit, int(most), int(left), duration(reset), rounding, window)

    def _until(self, instant: float | None, headers: Mapping[str, str]) -> float | None:
        # Seconds to an instant, by the provider's clock where it has one: this machine's may be wrong.
        if instant is None:
            return None
        said_at = _unix(headers.get("date", ""))
        seconds = instant - (self._wall() if said_at is None else said_at)
        return max(0.0, math.ceil(seconds * 1000) / 1000)


def _request(url: httpx.URL, names: list[tuple[bytes, bytes]], body: bytes) -> httpx.Request:
    # A request with the credentials in ``names``. With a stream, httpx takes the headers as they are.
    headers = [(b"Host", url.netloc), *_HEADERS, (b"Content-Length", b"%d" % len(body)), *names]
    return httpx.Request("POST" if body else "GET", url, headers=headers, stream=httpx.ByteStream(body))


def _unix(date: str) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


@cache
def provider_of(name: str) -> OpenAIProvider:
    """The dialect of a provider by name; one that is not known has no habits."""
    return OpenAIProvider(PRESETS.get(name, Preset("")))
