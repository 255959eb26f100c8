"""LLMClient: messages in, events out, over plain HTTP; what the gateway refuses comes out as one of our errors.

It speaks OpenAI's chat completions, so it works against the gateway and against any compatible endpoint. It is
synchronous: a notebook cell is, and a blocked read ends at once when the user stops the cell, which also closes the
connection and with it the request at the provider.
"""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections import Counter
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict
from urllib.parse import urlsplit

from rsql_magic.errors import GatewayError, GatewayUnreachable
from rsql_magic.gateway.events import Silence, read_events
from rsql_magic.gateway.model_records import ModelRecords, refused_parameter
from rsql_magic.gateway.refusals import error_of, not_a_gateway
from rsql_magic.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
    from typing import Unpack

    import httpx

    from rsql_magic.gateway.events import Event

Message = dict[str, str]  # one message as the wire has it: `{"role": …, "content": …}`

# Makes the member `rsql`: what the messages state, as values, for the gateway's model of fixed rules.
Described: TypeAlias = "Callable[[], Mapping[str, Any]]"

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_OF_PROXIES = (502, 503)  # with a page of HTML: a hub's proxy while the gateway restarts
_RESTART_PAUSES = (0.5, 1.0, 2.0)  # seconds; a gateway starts within one
_QUOTES = re.compile(r"""['"`\[\]\\\s]+""")
_WITHHELD = "[withheld]"
# Values of these are words of the form and tell nothing.
_FORM = frozenset({"task", "language", "sheet", "kind", "dialect"})


class StreamOptions(TypedDict, total=False):
    """Options of a request for a stream; those of the last group are fields of its body."""

    model: str | None  # None for the gateway's default
    task: str  # what the request is for: ``ask``, ``sql_ai``, ``chat``
    timeout: float | None  # most seconds without a byte, when it differs from the client's
    heard: Callable[[str], None]  # called with each line, also of those that are no event; may raise
    described: Described  # what the messages state, as values; sent only where fixed rules answer

    max_tokens: int
    temperature: float
    seed: int


def body_fields(options: StreamOptions) -> dict[str, Any]:
    """The options that are fields of the body as they are."""
    return {name: value for name, value in options.items() if name in {"max_tokens", "temperature", "seed"}}


class LLMClient:
    """A gateway, or any OpenAI-compatible endpoint, as one object.

    ``timeout`` is the most seconds without a byte; work that is not ``interactive`` waits behind people.

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
        records: ModelRecords | None = None,
    ) -> None:
        self.url = url if url.endswith("/") else url + "/"
        self._token = token
        self._interactive = interactive
        self._timeout = timeout
        self._transport = transport
        self._pause = pause
        self.records = records or ModelRecords()
        self._silence = Silence(self.url)
        # Models that the gateway announces to be answered by its fixed rules; `default` where no model is named.
        self.offline_models: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        return f"<LLMClient {self.url}>"

    @cached_property
    def _http(self) -> httpx.Client:
        return self._new_client()

    # For requests that another thread may stop: each has a connection of its own, which can be shut down.
    @cached_property
    def _unshared(self) -> httpx.Client:
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

    def stream(self, messages: Sequence[Message], **options: Unpack[StreamOptions]) -> Generator[Event, None, None]:
        """Send messages and yield what comes back: any ``Waiting``, then ``Text``, then one ``Done``.

        Closing the iterator, also by an exception in the consumer, closes the connection.

        Raises:
            GatewayError: The gateway refused, failed, or cannot be reached.
            AnswerCut: The answer ended before it was complete.
        """
        model, timeout = options.get("model"), options.get("timeout")
        refused = self.records.of(self.url, model).refuses
        fields = {name: value for name, value in body_fields(options).items() if name not in refused}

        # Whether the model refuses one of the fields, which is not sent to it again.
        def can_repeat(error: GatewayError) -> bool:
            if refused := refused_parameter(error, fields):
                self.records.learn(self.url, model, refuses=refused)
                del fields[refused]
            return bool(refused)

        return read_events(
            lambda: self._sent(self._request(messages, options, fields)),
            self._silence,
            patience=self._timeout if timeout is None else timeout,
            heard=options.get("heard"),
            stop=current(),
            can_repeat=can_repeat,
        )

    def _request(self, messages: Sequence[Message], options: StreamOptions, fields: Mapping[str, Any]) -> httpx.Request:
        body: dict[str, Any] = {"messages": list(messages), "stream": True, "stream_options": {"include_usage": True}}
        body |= {"model": model} if (model := options.get("model")) else {}
        body |= fields
        if (described := options.get("described")) is not None and (model or "default") in self.offline_models:
            body["rsql"] = described()
        task = options.get("task", "ask") if self._interactive else "batch"
        headers = {"Content-Type": "application/json", "X-RSQL-Task": task}
        request = self._http.build_request("POST", "v1/chat/completions", content=_encoded(body), headers=headers)
        self._bound(request, options.get("timeout"))
        self._silence.expect(request)
        return request

    def _bound(self, request: httpx.Request, timeout: float | None) -> None:
        if timeout is not None:
            request.extensions["timeout"] = dict.fromkeys(("connect", "read", "write", "pool"), timeout)

    # The response, closed whatever happens, with httpx's errors and refusals turned into ours.
    @contextmanager
    def _sent(self, request: httpx.Request) -> Iterator[httpx.Response]:
        import httpx

        stop = current()
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
            raise self._silence.too_long(seconds) from error
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise GatewayUnreachable(
                f"No gateway answers at {self.url} ({type(error).__name__}).", hint="%rsql doctor finds out why."
            ) from error

    # The reply; after a proxy's reply that no gateway is behind it, as in a restart, that of a moment later.
    def _reply(self, http: httpx.Client, request: httpx.Request) -> httpx.Response:
        for pause in _RESTART_PAUSES if request.method == "POST" else ():
            response = http.send(request, stream=True)
            if response.status_code not in _OF_PROXIES or "html" not in response.headers.get("content-type", ""):
                return response
            response.close()
            self._pause(pause)
            if (stop := current()) is not None and stop.asked:
                raise KeyboardInterrupt
        return http.send(request, stream=True)

    def get(self, path: str, *, timeout: float | None = None) -> Any:
        """The JSON at a path below the base URL, such as ``status`` or ``v1/models``."""
        return self._json("GET", path, timeout=timeout)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Post JSON to a path below the base URL and give back the JSON of the reply."""
        return self._json("POST", path, body=body)

    def delete(self, path: str) -> Any:
        """Delete what is at a path below the base URL and give back the JSON of the reply."""
        return self._json("DELETE", path)

    def _json(self, method: str, path: str, *, body: Any = None, timeout: float | None = None) -> Any:
        request = self._http.build_request(method, path, json=body)
        self._bound(request, timeout)
        with self._sent(request) as response:
            response.read()
            try:
                return response.json()
            except ValueError:
                raise not_a_gateway(self.url, response.status_code) from None

    def models(self) -> list[str]:
        """Names of the models this caller may use."""
        return [str(model["id"]) for model in self.get("v1/models", timeout=10.0).get("data", [])]


# JSON in UTF-8; halves of characters, as bytes that are no text leave behind, become question marks.
def _encoded(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


# Stopping from another thread.

_current: ContextVar[Stop | None] = ContextVar("rsql_stop", default=None)


class Stop:
    """Stops the requests of a thread from another thread: Ctrl-C reaches the main thread only.

    A thread that waits for a gateway waits in the system's ``recv``. Shutting its socket down ends that at once, and
    with the connection the request at the provider.

    Example:
        >>> stop = Stop()
        >>> with stop.governs():
        ...     stop()
        ...     current().asked
        True
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ends: list[Callable[[], None]] = []
        self.asked = False  # whether the user wants it to stop

    def __call__(self) -> None:
        """Stop now; harmless when nothing is under way."""
        with self._lock:
            self.asked = True
            ends, self._ends = self._ends, []
        for end in ends:
            end()

    @contextmanager
    def governs(self) -> Iterator[None]:
        """Stop the requests of this thread until the end of the block."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    def ends(self, end: Callable[[], None]) -> None:
        """Have something called when it is time to stop; at once when it is already."""
        with self._lock:
            if not self.asked:
                self._ends.append(end)
                return
        end()

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Note the socket of a new connection; for httpx's request extension ``trace``."""
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            self.ends(lambda: _shut(info["return_value"].get_extra_info("socket")))


def current() -> Stop | None:
    """What stops the thread that asks, or None where Ctrl-C does."""
    return _current.get()


def _shut(sock: socket.socket | None) -> None:
    if sock is not None:
        with suppress(OSError):  # it is closed already
            sock.shutdown(socket.SHUT_RDWR)


# Messages as they may leave.


def filtered(messages: Sequence[Message]) -> tuple[list[Message], Counter[str]]:
    """Messages as they may leave: secrets and personal identifiers replaced, and counted.

    Every message passes here, whatever it was made from. The system prompt is ours and stays as it is.
    """
    found: Counter[str] = Counter()
    sent = []
    for message in messages:
        if message["role"] != "system":
            text, count = redact(message["content"])
            message = {**message, "content": text}  # noqa: PLW2901
            found += count
        sent.append(message)
    return sent, found


def described_within(values: Mapping[str, Any], prompt: str) -> dict[str, Any]:
    """Values as they may leave beside a prompt: redacted, and without a text that the prompt does not hold.

    They are texts, numbers, and mappings, lists and dataclasses of these; the prompt is all messages as they are sent.

    Example:
        >>> described_within({"tables": ["sales", "wages"]}, "CREATE TABLE sales ()")
        {'tables': ['sales', '[withheld]']}
    """
    import msgspec

    held = _unquoted(prompt)

    @cache
    def text_of(text: str) -> str:
        if _unquoted(text) in held:  # which is redacted already
            return text
        redacted = redact(text)[0]
        return redacted if _unquoted(redacted) in held else _WITHHELD

    def allowed(value: Any) -> Any:
        if isinstance(value, dict):
            stated = {name: each if name in _FORM else allowed(each) for name, each in value.items()}
            return {name: each for name, each in stated.items() if _says(each) and name != "nullable"}
        if isinstance(value, list | tuple):
            return [allowed(each) for each in value]
        return text_of(value) if isinstance(value, str) else value

    found: dict[str, Any] = allowed(msgspec.to_builtins(values))
    return found


# Whether a value is more than none, which need not be sent: 900 columns lack ten times what they have.
def _says(value: Any) -> bool:
    return value is not None and value is not False and value not in ("", [], {})


# A text without quotes and blanks: a name or value may stand in quotes that double its own, and on one line.
def _unquoted(text: str) -> str:
    return _QUOTES.sub("", text)


def restored(answer: str, question: str) -> str:
    """An answer in which the placeholders of a question stand for what the user wrote again.

    What was replaced never left, and yet a query for ``ada@example.org`` finds her. A placeholder that stands for
    several values stays: which is which is not known.

    Example:
        >>> restored("WHERE mail = '[email]'", "orders of ada@example.org")
        "WHERE mail = 'ada@example.org'"
    """
    sent, found = redact(question)
    if not found:
        return answer
    names = "|".join(re.escape(name) for name in found)
    texts = re.split(rf"\[({names})\]", sent)
    pattern = "".join(re.escape(text) if place % 2 == 0 else "(.+?)" for place, text in enumerate(texts))
    values = re.fullmatch(pattern, question, re.S)
    places = texts[1::2]
    for name, value in zip(places, values.groups() if values else (), strict=False):
        if places.count(name) == 1:
            answer = answer.replace(f"[{name}]", value)
    return answer
