"""The OpenAI-compatible dialect: chat completions over HTTP, as nearly every provider speaks it.

https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

import re
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import httpx
import msgspec

from jupyter_server_ext.key_pool import Rate

from .failures import Failure, classify
from .presets import PRESETS
from .provider import Preset

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jupyter_server_ext.key_pool import Key
    from jupyter_server_ext.messages import Json
    from jupyter_server_ext.storage.base import Unit

_SECRET_FIELDS = re.compile(r"api[_-]?key", re.IGNORECASE)
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|[dhms])")
_SECONDS = {"d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_UNITS: tuple[tuple[str, str, Unit], ...] = (
    ("x-ratelimit", "requests", "requests"),
    ("x-ratelimit", "tokens", "tokens"),
)
_ANTHROPIC_UNITS: tuple[tuple[str, Unit], ...] = (
    ("requests", "requests"),
    ("input-tokens", "input_tokens"),
    ("output-tokens", "output_tokens"),
)


class OpenAIProvider:
    """The dialect, with the habits of one provider.

    Args:
        preset: What is known of it.
        now: Unix time, to read dates in headers.
    """

    def __init__(self, preset: Preset, now: object = time.time) -> None:
        self._preset = preset
        self._now = now
        self._heads: dict[str, tuple[httpx.URL, list[tuple[bytes, bytes]]]] = {}

    def body(self, body: Json, model: str, *, stream: bool) -> bytes:
        """The caller's JSON with this model; a stream is asked to tell its usage."""
        sent = {name: value for name, value in body.items() if not _SECRET_FIELDS.match(name)}
        sent["model"] = model
        if stream and self._preset.stream_usage:
            sent["stream_options"] = {**(sent.get("stream_options") or {}), "include_usage": True}
        return msgspec.json.encode(sent)

    def request(self, key: Key, path: str, body: bytes) -> httpx.Request:
        """The request with this key's address and secret."""
        head = self._heads.get(key.id + path)
        if head is None:
            head = self._heads[key.id + path] = _head(key, path)
        url, headers = head
        return httpx.Request("POST" if body else "GET", url, headers=headers, content=body or None)

    def rates(self, headers: httpx.Headers) -> list[Rate]:
        """Limits told by ``x-ratelimit-*`` headers, and by Anthropic's."""
        found = []
        for prefix, name, unit in _UNITS:
            window = self._preset.request_window if unit == "requests" else self._preset.token_window
            if rate := _rate(
                headers, f"{prefix}-limit-{name}", f"{prefix}-remaining-{name}", f"{prefix}-reset-{name}", unit, window
            ):
                found.append(rate)
        if "anthropic-ratelimit-requests-limit" in headers:
            found += [rate for name, unit in _ANTHROPIC_UNITS if (rate := _anthropic_rate(headers, name, unit))]
        return found

    def retry_after(self, headers: Mapping[str, str]) -> float | None:
        """Seconds from ``retry-after-ms`` or ``retry-after``, which may be seconds, a duration or a date."""
        if ms := headers.get("retry-after-ms"):
            return _number(ms, 1e-3)
        value = headers.get("retry-after")
        if value is None:
            return None
        seconds = duration(value)
        return seconds if seconds is not None else _until(value)

    def failure(self, status: int, headers: Mapping[str, str], body: bytes) -> Failure:
        """What an error reply says."""
        return classify(status, body, self.retry_after(headers))


def duration(text: str) -> float | None:
    """Seconds from ``7.66``, ``2m59.56s``, ``120ms`` or ``1h2m``; None when it is none of these.

    Example:
        >>> duration("2m59.56s"), duration("17")
        (179.56, 17.0)
    """
    text = text.strip()
    plain = _number(text, 1.0)
    if plain is not None:
        return plain
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def _number(text: str, scale: float) -> float | None:
    try:
        return max(0.0, float(text) * scale)
    except ValueError:
        return None


def _until(date: str) -> float | None:
    try:
        return max(0.0, parsedate_to_datetime(date).timestamp() - time.time())
    except (ValueError, TypeError):
        return None


def _rate(
    headers: httpx.Headers, limit: str, remaining: str, reset: str, unit: Unit, window: float | None
) -> Rate | None:
    left = headers.get(remaining)
    most = headers.get(limit)
    if left is None or most is None or not left.isdigit() or not most.isdigit():
        return None
    back = headers.get(reset)
    rounding = 0.01 if back is not None and ("." in back or "ms" in back) else 1.0
    return Rate(unit, int(most), int(left), duration(back) if back is not None else None, rounding, window)


def _anthropic_rate(headers: httpx.Headers, name: str, unit: Unit) -> Rate | None:
    """Anthropic tells the time of the reset as a date, which says nothing at the precision of a bucket."""
    left = headers.get(f"anthropic-ratelimit-{name}-remaining", "")
    most = headers.get(f"anthropic-ratelimit-{name}-limit", "")
    return Rate(unit, int(most), int(left), seconds=60.0) if left.isdigit() and most.isdigit() else None


def _head(key: Key, path: str) -> tuple[httpx.URL, list[tuple[bytes, bytes]]]:
    url = httpx.URL(key.settings.base_url.rstrip("/") + path)
    headers = [(b"Content-Type", b"application/json"), (b"Accept", b"application/json, text/event-stream")]
    if secret := key.settings.key.reveal():
        headers.append((b"Authorization", b"Bearer " + secret.encode()))
    return url, headers


def provider_of(name: str) -> OpenAIProvider:
    """The dialect of a provider by name; one that is not known has no habits."""
    return OpenAIProvider(PRESETS.get(name, Preset()))
