"""The seam between the gateway and the dialects of providers.

A ``Provider`` knows how one API is spoken to: where it is, what it is sent, what its headers and errors mean. All of
today's are OpenAI-compatible (``openai.py``) and differ only in their ``Preset``; another dialect is another class with
these methods.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import httpx

    from jupyter_server_ext.config import Limit
    from jupyter_server_ext.keys import Key, Rate
    from jupyter_server_ext.messages import Json

    from .failures import Failure


@dataclass(frozen=True, slots=True)
class Preset:
    """What is known of one provider, so that a key is all that need be configured.

    Args:
        base_url: Base of its OpenAI-compatible API.
        models: Models that a key serves when none are configured; empty for any.
        limits: Its free or first tier, used when no limits are configured.
        request_window: Seconds that its ``x-ratelimit-*-requests`` headers speak of.
        token_window: Seconds that its ``x-ratelimit-*-tokens`` headers speak of.
        zone: Time zone of its days; empty where its day is the last 24 hours.
        anthropic_headers: Whether its limits are told in headers named as Anthropic does.
        bucket: Whether its documentation says that its limits are token buckets.
        check_url: What tells whether a key is accepted, where its list of models is open to everybody.
        stream_usage: Whether it takes ``stream_options.include_usage``.
        environment: Environment variable that holds the key.
        source: Where these facts are from.
    """

    base_url: str = ""
    models: tuple[str, ...] = ()
    limits: tuple[Limit, ...] = ()
    request_window: float | None = None
    token_window: float | None = None
    zone: str = ""
    anthropic_headers: bool = False
    bucket: bool = False
    check_url: str = ""
    stream_usage: bool = True
    environment: str = ""
    source: str = ""


class Provider(Protocol):
    """One dialect."""

    def body(self, body: Json, model: str, *, stream: bool) -> bytes:
        """The JSON to send: the caller's, with this model, and with usage asked for where it is a stream."""

    def request(self, key: Key, path: str, body: bytes) -> httpx.Request:
        """The request to send with this key; ``path`` is such as ``/chat/completions``, or ``/models`` with no body."""

    def check(self, key: Key) -> httpx.Request:
        """The cheapest request that tells whether the key is accepted."""

    def rates(self, headers: httpx.Headers) -> Sequence[Rate]:
        """What the reply's headers tell about limits."""

    def retry_after(self, headers: httpx.Headers) -> float | None:
        """Seconds until a repeat is allowed, if the reply says so."""

    def failure(self, status: int, headers: Mapping[str, str], body: bytes) -> Failure:
        """What went wrong."""
