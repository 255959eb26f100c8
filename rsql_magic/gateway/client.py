"""LLMClient: messages in, events out, over plain HTTP; what the gateway refuses comes out as one of our errors.

It speaks OpenAI's chat completions, so it works against the gateway and against any compatible endpoint. It is
synchronous: a notebook cell is, and a blocked read ends at once when the user stops the cell, which also closes the
connection and with it the request at the provider.
"""

from __future__ import annotations

import json
import math
import time
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias
from urllib.parse import urlsplit

from rsql_magic.errors import GatewayError, GatewayUnreachable
from rsql_magic.gateway import stopping
from rsql_magic.gateway.batch import ReplayFile, key_of
from rsql_magic.gateway.events import Done, Event, Text, events_of
from rsql_magic.gateway.refusals import error_of, not_a_gateway

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence

    import httpx

Message = dict[str, str]
"""One message as the wire has it: ``{"role": …, "content": …}``."""

Described: TypeAlias = "Callable[[], Mapping[str, Any]]"
"""Makes the member ``rsql``: what the messages state, as values, for the gateway's model of fixed rules."""

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_OF_PROXIES = (502, 503)
_QUEUED = ": queued"  # the comment that tells the place in the queue; others only keep the connection open
_BEATS = "X-RSQL-Heartbeat"  # says how often a gateway sends such a comment: every so many seconds
_MISSED = 3  # of them in a row, and the connection is lost
_RESTART_PAUSES = (0.5, 1.0, 2.0)  # seconds; a gateway starts within one


class Client(Protocol):
    """Anything that answers messages with events; ``LLMClient`` and ``ReplayingClient`` do."""

    def stream(
        self,
        messages: Sequence[Message],
        *,
        model: str | None = None,
        task: str = "ask",
        timeout: float | None = None,
        heard: Callable[[str], None] | None = None,
        described: Described | None = None,
        **params: Any,
    ) -> Generator[Event, None, None]:
        """Send messages and yield what comes back."""
        ...


class LLMClient:
    """A gateway, or any OpenAI-compatible endpoint, as one object.

    Args:
        url: Base URL; ``v1/chat/completions`` is below it.
        token: Sent as ``Authorization: Bearer``; may be empty.
        interactive: False for batch work, which waits behind people.
        timeout: Most seconds without a byte.
        transport: An httpx transport, for tests.
        pause: Waits so many seconds.

    Example:
        >>> client = LLMClient("http://127.0.0.1:8899/rsql/", "secret")
        >>> client
        <LLMClient http://127.0.0.1:8899/rsql/>
    """

    def __init__(
        self,
        url: str,
        token: str = "",
        *,
        interactive: bool = True,
        timeout: float = 120.0,
        transport: httpx.BaseTransport | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.url = url if url.endswith("/") else url + "/"
        self._token = token
        self._interactive = interactive
        self._timeout = timeout
        self._transport = transport
        self._pause = pause
        self._lost_after = math.inf  # seconds without a byte of a stream; known from the first one
        self.offline_models: frozenset[str] = frozenset()
        """Models that the gateway announces to be answered by its fixed rules; ``default`` where no model is named."""

    def __repr__(self) -> str:
        return f"<LLMClient {self.url}>"

    @cached_property
    def _http(self) -> httpx.Client:
        return self._new_client()

    @cached_property
    def _unshared(self) -> httpx.Client:
        """For requests that another thread may stop: each has a connection of its own, which can be shut down."""
        return self._new_client(max_keepalive_connections=0)

    def _new_client(self, **limits: int) -> httpx.Client:
        import httpx

        address = urlsplit(self.url)
        headers = {"User-Agent": "rsql"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        return httpx.Client(
            base_url=self.url,
            headers=headers,
            transport=self._transport,
            limits=httpx.Limits(**limits),
            timeout=httpx.Timeout(self._timeout, connect=min(10.0, self._timeout)),
            verify=address.scheme == "https",  # certificates take 30 ms to load, and plain http needs none
            trust_env=address.hostname not in _LOOPBACK,  # a proxy cannot reach this machine's own loopback
        )

    def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        for name in ("_http", "_unshared"):
            if (client := self.__dict__.pop(name, None)) is not None:
                client.close()

    def stream(
        self,
        messages: Sequence[Message],
        *,
        model: str | None = None,
        task: str = "ask",
        timeout: float | None = None,
        heard: Callable[[str], None] | None = None,
        described: Described | None = None,
        **params: Any,
    ) -> Generator[Event, None, None]:
        """Send messages and yield what comes back: any ``Waiting``, then ``Text``, then one ``Done``.

        Closing the iterator, also by an exception in the consumer, closes the connection.

        Args:
            messages: System, history and question.
            model: Model, or None for the gateway's default.
            task: What the request is for: ``ask``, ``sql_ai``, ``chat``.
            timeout: Most seconds without a byte, when it differs from the client's.
            heard: Called with each line of a stream, also of those that are no event; what it raises ends the request.
            described: What the messages state, as values; sent only where fixed rules answer, and nowhere else.
            **params: Other fields of the body, such as ``temperature``.

        Raises:
            GatewayError: The gateway refused, failed, or cannot be reached.
            AnswerCut: The answer ended before it was complete.
        """
        body: dict[str, Any] = {"messages": list(messages), "stream": True, "stream_options": {"include_usage": True}}
        body |= {"model": model} if model else {}
        body |= params
        if described is not None and (model or "default") in self.offline_models:
            body["rsql"] = described()
        headers = {"Content-Type": "application/json", "X-RSQL-Task": task if self._interactive else "batch"}
        request = self._http.build_request("POST", "v1/chat/completions", content=_encoded(body), headers=headers)
        if timeout is not None:
            request.extensions["timeout"] = dict.fromkeys(("connect", "read", "write", "pool"), timeout)
        patience = self._timeout if timeout is None else timeout
        self._expect_beats(request)
        stop = stopping.current()
        try:
            with self._sent(request) as response:
                self._note_beats(response)
                self._expect_beats(request)
                for event in events_of(response, lambda lines: self._heard(lines, patience, heard)):
                    _heed(stop)
                    yield event
        except GatewayError:
            _heed(stop)
            raise

    def _note_beats(self, response: httpx.Response) -> None:
        with suppress(KeyError, ValueError):
            self._lost_after = _MISSED * float(response.headers[_BEATS])

    def _expect_beats(self, request: httpx.Request) -> None:
        """Take a longer silence than a gateway with heartbeats ever keeps for the loss of the connection."""
        timeouts = request.extensions["timeout"]
        timeouts["read"] = min(timeouts["read"], self._lost_after)

    def _heard(
        self, lines: Iterable[str], patience: float, heard: Callable[[str], None] | None = None
    ) -> Iterator[str]:
        """The lines of a stream.

        Args:
            lines: As they come.
            patience: Most seconds without data or a place in the queue; other lines only keep a connection open.
            heard: Called with each.

        Raises:
            GatewayUnreachable: There were only those, or none for so long that the connection must be lost.
        """
        import httpx

        last = time.monotonic()
        try:
            for line in lines:
                if line.startswith(("data:", _QUEUED)):
                    last = time.monotonic()
                elif time.monotonic() - last > patience:
                    raise self._silent(patience)
                if heard is not None:
                    heard(line)
                yield line
        except httpx.ReadTimeout as error:
            if patience <= self._lost_after:
                raise
            raise self._lost() from error

    def _silent(self, seconds: float) -> GatewayUnreachable:
        return GatewayUnreachable(
            f"{self.url} said nothing for {seconds:g} s.", hint="Raise --timeout, or see %rsql status."
        )

    def _lost(self) -> GatewayUnreachable:
        return GatewayUnreachable(
            f"The connection to {self.url} was lost: no sign of life for {self._lost_after:g} s.",
            hint="Run the cell again.",
        )

    @contextmanager
    def _sent(self, request: httpx.Request) -> Iterator[httpx.Response]:
        """The response, closed whatever happens, with httpx's errors and refusals turned into ours."""
        import httpx

        stop = stopping.current()
        if stop is not None:
            request.extensions["trace"] = stop.trace
        try:
            response = self._reply(self._http if stop is None else self._unshared, request)
            try:
                if response.status_code >= 400:
                    response.read()
                    raise error_of(response.status_code, response.text, response.headers, self.url)
                yield response
            finally:
                response.close()
        except httpx.TimeoutException as error:
            seconds = (request.extensions.get("timeout") or {}).get("read") or self._timeout
            raise (self._lost() if seconds == self._lost_after else self._silent(seconds)) from error
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise GatewayUnreachable(
                f"No gateway answers at {self.url} ({type(error).__name__}).", hint="%rsql doctor finds out why."
            ) from error

    def _reply(self, http: httpx.Client, request: httpx.Request) -> httpx.Response:
        """The reply; where a proxy says that no gateway is behind it, as in a restart, that of a moment later."""
        for pause in _RESTART_PAUSES if request.method == "POST" else ():
            response = http.send(request, stream=True)
            if response.status_code not in _OF_PROXIES or "html" not in response.headers.get("content-type", ""):
                return response
            response.close()
            self._pause(pause)
            _heed(stopping.current())
        return http.send(request, stream=True)

    def get(self, path: str, *, timeout: float | None = None) -> Any:
        """The JSON at a path below the base URL, such as ``status`` or ``v1/models``.

        Raises:
            GatewayError: As ``stream`` does.
        """
        return self._json("GET", path, timeout=timeout)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Post JSON to a path below the base URL and give back the JSON of the reply."""
        return self._json("POST", path, body=body)

    def delete(self, path: str) -> Any:
        """Delete what is at a path below the base URL and give back the JSON of the reply."""
        return self._json("DELETE", path)

    def _json(self, method: str, path: str, *, body: Any = None, timeout: float | None = None) -> Any:
        request = self._http.build_request(method, path, json=body)
        if timeout is not None:
            request.extensions["timeout"] = dict.fromkeys(("connect", "read", "write", "pool"), timeout)
        with self._sent(request) as response:
            response.read()
            try:
                return response.json()
            except ValueError:
                raise not_a_gateway(self.url, response.status_code) from None

    def models(self) -> list[str]:
        """Names of the models this caller may use."""
        return [str(model["id"]) for model in self.get("v1/models", timeout=10.0).get("data", [])]


def _encoded(body: Mapping[str, Any]) -> bytes:
    """JSON in UTF-8; halves of characters, as bytes that are no text leave behind, become question marks."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _heed(stop: stopping.Stop | None) -> None:
    """What Ctrl-C raises, where another thread wants this one to stop."""
    if stop is not None and stop.asked:
        raise KeyboardInterrupt


class ReplayingClient:
    """A client that knows earlier answers from a file (``RSQL_REPLAY``) and asks only for the others."""

    def __init__(self, client: LLMClient | None, file: ReplayFile) -> None:
        self._client = client
        self._file = file

    def stream(
        self,
        messages: Sequence[Message],
        *,
        model: str | None = None,
        task: str = "ask",
        timeout: float | None = None,
        heard: Callable[[str], None] | None = None,
        described: Described | None = None,
        **params: Any,
    ) -> Generator[Event, None, None]:
        """As ``LLMClient.stream``; a replayed answer comes as one ``Text``."""
        key = key_of(messages, model, **params)
        if known := self._file.get(key):
            yield Text(known["text"])
            told = {**known["done"].get("rsql", {}), "cached": True, "replayed": True}
            yield Done(**{**known["done"], "rsql": told})
            return
        options = {"model": model, "task": task, "timeout": timeout, "heard": heard, "described": described}
        yield from self._recorded(key, messages, **options, **params)

    def _recorded(self, key: str, messages: Sequence[Message], **options: Any) -> Generator[Event, None, None]:
        if self._client is None:
            raise GatewayUnreachable("There is no gateway to ask.", hint="%rsql connect names one.")
        pieces = []
        for event in self._client.stream(messages, **options):
            if isinstance(event, Text):
                pieces.append(event.text)
            elif isinstance(event, Done):
                told = {
                    "usage": event.usage,
                    "rsql": event.rsql,
                    "finish_reason": event.finish_reason,
                    "model": event.model,
                }
                self._file.put(key, "".join(pieces), told)
            yield event
