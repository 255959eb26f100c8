"""LLMClient: messages in, events out, over plain HTTP; what the gateway refuses comes out as one of our errors.

It speaks OpenAI's chat completions, so it works against the gateway and against any compatible endpoint. It is
synchronous: a notebook cell is, and a blocked read ends at once when the user stops the cell, which also closes the
connection and with it the request at the provider.
"""

from __future__ import annotations

import json
import re
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from rsql_magic import stopping
from rsql_magic.batch import ReplayFile, key_of
from rsql_magic.errors import (
    AnswerCut,
    GatewayError,
    GatewayUnreachable,
    LimitReached,
    NotAllowed,
    UnknownModel,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence

    import httpx

Message = dict[str, str]
"""One message as the wire has it: ``{"role": …, "content": …}``."""

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_OF_PROXIES = (502, 503)
_RESTART_PAUSES = (0.5, 1.0, 2.0)  # seconds; a gateway starts within one
_QUEUED = re.compile(r"queued position=(\d+) eta=([\d.]+)")

HINTS = {
    "invalid_token": "Check RSQL_GATEWAY_TOKEN, or connect again with %rsql connect.",
    "not_permitted": "Ask the administrator of the gateway for the permission.",
    "model_not_found": "%rsql models lists the models there are.",
    "rate_limit_exceeded": "%rsql usage shows your limits.",
    "no_capacity": "%rsql status shows the queue.",
    "request_too_large": "Ask about fewer objects, or lower %config Rsql.context_tokens.",
    "invalid_request": "%rsql doctor checks the gateway.",
    "upstream_refused": "The words are the provider's; try another --model.",
    "upstream_failed": "Try again, or another --model.",
    "upstream_timeout": "Try again, or another --model.",
    "internal_error": "%rsql doctor checks the gateway.",
    "config_error": "The administrator's rsql.toml needs a look.",
}
"""What to do next, by the ``code`` of a reply."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """The request is in the gateway's queue: its place (1 is next) and the expected wait in seconds."""

    position: int
    eta: float


@dataclass(frozen=True, slots=True)
class Text:
    """The next piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Done:
    """The answer is complete.

    Args:
        usage: Tokens, as the wire has them: ``prompt_tokens``, ``completion_tokens``, ….
        rsql: What the gateway adds: ``request_id``, ``queue_seconds``, ``cached``, ``cost_usd``, ….
        finish_reason: ``stop``, or ``length`` when the model ran out of tokens.
        model: The model that answered.
        limits: What is left of the caller's limits, from the ``x-ratelimit-*`` headers, by their short names.
    """

    usage: Mapping[str, Any] = field(default_factory=dict)
    rsql: Mapping[str, Any] = field(default_factory=dict)
    finish_reason: str = ""
    model: str = ""
    limits: Mapping[str, str] = field(default_factory=dict)


Event = Waiting | Text | Done


class Client(Protocol):
    """Anything that answers messages with events; ``LLMClient`` and ``ReplayingClient`` do."""

    def stream(
        self,
        messages: Sequence[Message],
        *,
        model: str | None = None,
        task: str = "ask",
        timeout: float | None = None,
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
        **params: Any,
    ) -> Generator[Event, None, None]:
        """Send messages and yield what comes back: any ``Waiting``, then ``Text``, then one ``Done``.

        Closing the iterator, also by an exception in the consumer, closes the connection.

        Args:
            messages: System, history and question.
            model: Model, or None for the gateway's default.
            task: What the request is for: ``ask``, ``sql_ai``, ``chat``.
            timeout: Most seconds without a byte, when it differs from the client's.
            **params: Other fields of the body, such as ``temperature``.

        Raises:
            GatewayError: The gateway refused, failed, or cannot be reached.
            AnswerCut: The answer ended before it was complete.
        """
        body: dict[str, Any] = {"messages": list(messages), "stream": True, "stream_options": {"include_usage": True}}
        body |= {"model": model} if model else {}
        body |= params
        headers = {"X-RSQL-Task": task if self._interactive else "batch"}
        request = self._http.build_request("POST", "v1/chat/completions", json=body, headers=headers)
        if timeout is not None:
            request.extensions["timeout"] = dict.fromkeys(("connect", "read", "write", "pool"), timeout)
        stop = stopping.current()
        try:
            with self._sent(request) as response:
                for event in _events(response):
                    _heed(stop)
                    yield event
        except GatewayError:
            _heed(stop)
            raise

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
            raise GatewayUnreachable(
                f"{self.url} said nothing for {seconds:g} s.", hint="Raise --timeout, or see %rsql status."
            ) from error
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
                raise _no_gateway(self.url, response.status_code) from None

    def models(self) -> list[str]:
        """Names of the models this caller may use."""
        return [str(model["id"]) for model in self.get("v1/models", timeout=10.0).get("data", [])]


def _heed(stop: stopping.Stop | None) -> None:
    """What Ctrl-C raises, where another thread wants this one to stop."""
    if stop is not None and stop.asked:
        raise KeyboardInterrupt


def _events(response: httpx.Response) -> Generator[Event, None, None]:
    limits = {
        name.removeprefix("x-ratelimit-"): value
        for name, value in response.headers.items()
        if name.startswith("x-ratelimit-")
    }
    if "event-stream" not in response.headers.get("content-type", ""):
        response.read()
        yield from _whole(response, limits)
        return
    yield from parse_sse(response.iter_lines(), request_id=response.headers.get("x-request-id", ""), limits=limits)


def parse_sse(
    lines: Iterable[str], *, request_id: str = "", limits: Mapping[str, str] | None = None
) -> Generator[Event, None, None]:
    """Events of a completion stream.

    Args:
        lines: The lines of the body; comments, blank lines and fields other than ``data`` are allowed.
        request_id: The request's id from the headers, when the stream does not say.
        limits: What the headers say is left.

    Raises:
        AnswerCut: The stream ended without ``[DONE]``, or with an error event.

    Example:
        >>> list(parse_sse([": queued position=4 eta=6.2", "data: [DONE]"]))[0]
        Waiting(position=4, eta=6.2)
    """
    import httpx

    told: dict[str, Any] = {"usage": {}, "rsql": {}, "finish_reason": "", "model": ""}
    partial: list[str] = []
    try:
        for line in lines:
            if waiting := _QUEUED.search(line) if line.startswith(":") else None:
                yield Waiting(int(waiting[1]), float(waiting[2]))
            data = line[5:].strip() if line.startswith("data:") else ""
            if data == "[DONE]":
                yield Done(**{**told, "rsql": {"request_id": request_id, **told["rsql"]}, "limits": dict(limits or {})})
                return
            if data and (text := _read_chunk(json.loads(data), told)):
                partial.append(text)
                yield Text(text)
    except GatewayError as error:
        raise _cut("".join(partial), error.message, error.request_id or request_id, error.code) from error
    except (httpx.TransportError, json.JSONDecodeError) as error:
        if not partial and isinstance(error, httpx.TimeoutException):
            raise  # nothing was cut: nothing came
        raise _cut("".join(partial), "", request_id) from error
    raise _cut("".join(partial), "", request_id)


def _read_chunk(chunk: dict[str, Any], told: dict[str, Any]) -> str:
    """Note what one chunk tells and give back its text."""
    if "error" in chunk:
        raise error_of(0, json.dumps(chunk), {}, "")
    told["model"] = chunk.get("model") or told["model"]
    told["usage"] = chunk.get("usage") or told["usage"]
    told["rsql"] = chunk.get("rsql") or told["rsql"]
    choice: dict[str, Any] = next(iter(chunk.get("choices") or []), {})
    told["finish_reason"] = choice.get("finish_reason") or told["finish_reason"]
    return (choice.get("delta") or {}).get("content") or ""


def _whole(response: httpx.Response, limits: Mapping[str, str]) -> Generator[Event, None, None]:
    """Events of an endpoint that answers a request for a stream in one piece."""
    try:
        body = response.json()
        choice = body["choices"][0]
        yield Text(choice["message"]["content"] or "")
    except (ValueError, KeyError, IndexError, TypeError):
        raise _no_gateway(str(response.request.url), response.status_code) from None
    rsql = {"request_id": response.headers.get("x-request-id", ""), **(body.get("rsql") or {})}
    yield Done(body.get("usage") or {}, rsql, choice.get("finish_reason") or "", body.get("model") or "", limits)


def _cut(partial: str, why: str, request_id: str, code: str = "answer_cut") -> AnswerCut:
    error = AnswerCut(
        f"The answer was cut off{f': {why}' if why else ' before it was complete.'}",
        hint="Run the cell again.",
        code=code,
        request_id=request_id,
    )
    error.partial = partial
    return error


def _no_gateway(url: str, status: int) -> GatewayError:
    return GatewayError(
        f"{url} answers (HTTP {status}), but not as a gateway.",
        hint="The base URL of a gateway ends in /rsql/, of another endpoint just before /v1.",
        status=status,
    )


def error_of(status: int, body: str, headers: Mapping[str, str], url: str) -> GatewayError:
    """The error that a refusal stands for.

    Args:
        status: HTTP status, 0 for an error event inside a stream.
        body: The body; OpenAI's shape is understood, anything else is not shown.
        headers: For ``Retry-After`` and ``x-request-id``.
        url: Base URL, named when the reply is not a gateway's.

    Example:
        >>> type(error_of(401, "", {}, "http://localhost/rsql/")).__name__
        'NotAllowed'
    """
    told = _told(body)
    code = str(told.get("code") or "")
    kind = _class_of(status, code)
    retry_after = _seconds(told.get("retry_after", headers.get("retry-after")))
    message = str(told.get("message") or "").strip() or _plain_words(status, url)
    if retry_after is not None and "retry" not in message.lower() and "again in" not in message.lower():
        message = f"{message.rstrip('.')}. Try again in {_span(retry_after)}."
    request_id = str(told.get("request_id") or headers.get("x-request-id", ""))
    if status >= 500 and request_id:
        message = f"{message.rstrip('.')} (request {request_id})"
    hint = HINTS.get(code) or HINTS.get({401: "invalid_token", 403: "not_permitted"}.get(status, ""), "")
    return kind(
        message if message.endswith((".", "!", "?")) else message + ".",
        hint="" if hint and hint.split(" ", 1)[0] in message else hint,
        status=status,
        code=code,
        request_id=request_id,
        retry_after=retry_after,
    )


def _told(body: str) -> dict[str, Any]:
    """The ``error`` object of a body in OpenAI's shape, or the ``detail`` that some endpoints give in its place."""
    try:
        parsed = json.loads(body)
    except ValueError:
        return {}
    error = (parsed.get("error") or parsed.get("detail")) if isinstance(parsed, dict) else None
    return error if isinstance(error, dict) else {"message": error or ""}


def _class_of(status: int, code: str) -> type[GatewayError]:
    if code == "model_not_found":
        return UnknownModel
    return {401: NotAllowed, 403: NotAllowed, 429: LimitReached}.get(status, GatewayError)


def _plain_words(status: int, url: str) -> str:
    return {
        401: f"{url} does not accept the token.",
        403: f"{url} does not permit this.",
        404: f"There is no gateway at {url}; its base URL ends in /rsql/.",
        429: "Too many requests.",
    }.get(status, f"The gateway failed (HTTP {status})." if status else "The gateway failed.")


def _seconds(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _span(seconds: float) -> str:
    """A time in words: ``8 s``, ``3 min``, ``2 h``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.0f} h"


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
        **params: Any,
    ) -> Generator[Event, None, None]:
        """As ``LLMClient.stream``; a replayed answer comes as one ``Text``."""
        key = key_of(messages, model, **params)
        if known := self._file.get(key):
            yield Text(known["text"])
            yield Done(**{**known["done"], "rsql": {**known["done"].get("rsql", {}), "cached": True}})
            return
        yield from self._recorded(key, messages, model=model, task=task, timeout=timeout, **params)

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
