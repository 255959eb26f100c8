"""LLMClient: messages in, events out, over plain HTTP, for any endpoint with OpenAI's chat completions."""

# It is synchronous: a notebook cell is, and a blocked read ends at once when the user stops the cell, which also closes
# the connection and with it the request at the provider.

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import socket
import sys
import threading
import time
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypedDict
from urllib.parse import urlsplit

from rsql_magic.diagnostics import log
from rsql_magic.errors import GatewayError, GatewayUnreachable
from rsql_magic.gateway.events import Silence, read_events
from rsql_magic.gateway.refusals import error_of, not_a_gateway, refuses_system, without_system
from rsql_magic.gateway.traces import Asked
from rsql_magic.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
    from typing import Unpack

    import httpx

    from rsql_magic.gateway.events import Event

# One message as the wire has it: `{"role": …, "content": …}`, beside them `tool_calls`, or a result's `tool_call_id`.
Message = dict[str, Any]

# Makes the member `rsql`: what the messages state, as values, for the gateway's model of fixed rules.
Described: TypeAlias = "Callable[[], Mapping[str, Any]]"

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_OF_PROXIES = (502, 503)  # with a page of HTML: a hub's proxy while the gateway restarts
_RESTART_PAUSES = (0.5, 1.0, 2.0)  # seconds; a gateway starts within one
# What an answer can do without: reasoning models refuse the first, some servers the second, small models the others.
OPTIONAL = ("temperature", "seed", "tools", "response_format")

_QUICK = 5.0  # seconds, for what a question can do without
_UNCHANGED = 304
_LARGEST = 8 << 20  # bytes
_MONTH = 30 * 24 * 3600.0  # seconds
_TOO_LONG = re.compile(r"context|maximum (?:prompt|input) length|(?:prompt|input|request) is too (?:long|large)", re.I)
_EXCEEDED = re.compile(r"context (?:size|length|window)\b.{0,40}exceeded|exceeds? .{0,30}context (?:size|length)", re.I)
# How a refusal of these is worded, where it does not name them.
_SAID = {
    "tools": re.compile(r"\btools?\b|function.call", re.I),
    "response_format": re.compile(r"response.?format|json.?schema|structured.output|grammar", re.I),
}
_TOKENS = re.compile(r"(\d[\d,]{2,}) ?tokens?\b")


@cache
def _session() -> str:
    """The name by which a gateway knows what this process asks as one session; it says nothing of anybody."""
    return f"nb-{secrets.token_hex(8)}"


class StreamOptions(TypedDict, total=False):
    """Options of a request for a stream; those of the last group are fields of its body."""

    model: str | None  # None for the gateway's default
    task: str  # what the request is for: ``ask``, ``sql_ai``, ``repair``, ``study``, ``chat``, ``inline_completion``
    question: str  # as a person asked it; not sent
    repeat_key: str  # the same for each attempt to ask the same, which is then answered and paid for once
    timeout: float | None  # most seconds without a byte, when it differs from the client's
    heard: Callable[[str], None]  # called with each line, also of those that are no event; may raise
    pictures: Sequence[str]  # ``data:`` addresses of pictures that go with the question; a `Chat` puts them there
    described: Described  # what the messages state, as values; sent only where fixed rules answer

    max_tokens: int
    temperature: float
    seed: int
    tools: Sequence[Mapping[str, Any]]
    response_format: Mapping[str, Any]  # JSON of a schema, from servers that keep a model to one


def body_fields(options: StreamOptions) -> dict[str, Any]:
    """The options that are fields of the body as they are."""
    return {name: value for name, value in options.items() if name in {"max_tokens", *OPTIONAL}}


class Vectors(NamedTuple):
    """What texts mean, by a model that embeds."""

    vectors: list[list[float]]  # one for each text
    rsql: Mapping[str, Any]  # what the gateway says of the answer, such as its cost


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
        self._token, self._interactive, self._timeout = token, interactive, timeout
        self._transport, self._pause = transport, pause
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
        asked = {**body_fields(options), "stream_options": {"include_usage": True}}
        fields = {name: value for name, value in asked.items() if name not in refused}

        said = without_system(messages) if "system" in refused else list(messages)

        # Whether the model refuses one of the fields, or the system role, which is not sent to it again.
        def can_repeat(error: GatewayError) -> bool:
            nonlocal said
            if refused := refused_parameter(error, fields):
                del fields[refused]
            elif refuses_system(error, said):
                refused, said = "system", without_system(said)
            if refused:
                self.records.learn(self.url, model, refuses=refused)
            return bool(refused)

        return read_events(
            lambda: self._sent(self._request(said, options, fields)),
            self._silence,
            patience=self._timeout if timeout is None else timeout,
            heard=options.get("heard"),
            stop=current(),
            can_repeat=can_repeat,
        )

    def _request(self, messages: Sequence[Message], options: StreamOptions, fields: Mapping[str, Any]) -> httpx.Request:
        body: dict[str, Any] = {"messages": list(messages), "stream": True}
        body |= {"model": model} if (model := options.get("model")) else {}
        body |= fields
        if (described := options.get("described")) is not None and (model or "default") in self.offline_models:
            body["rsql"] = described()
        task = options.get("task", "ask") if self._interactive else "batch"
        headers = {"Content-Type": "application/json", "X-RSQL-Task": task, "X-RSQL-Session": _session()}
        # Halves of characters, as bytes that are no text leave behind, become question marks.
        content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
        if repeat := options.get("repeat_key"):  # another body, such as one without a refused field, is another request
            headers["Idempotency-Key"] = f"{repeat}-{hashlib.sha256(content).hexdigest()[:16]}"
        request = self._built("POST", "v1/chat/completions", options.get("timeout"), content=content, headers=headers)
        waits = request.extensions["timeout"]
        waits["read"] = min(waits["read"], self._silence.lost_after)
        return request

    def _built(self, method: str, path: str, timeout: float | None, **content: Any) -> httpx.Request:
        from httpx import USE_CLIENT_DEFAULT

        bound = USE_CLIENT_DEFAULT if timeout is None else timeout
        return self._http.build_request(method, path, timeout=bound, **content)

    # The response, closed whatever happens, with httpx's errors and refusals turned into ours.
    @contextmanager
    def _sent(self, request: httpx.Request) -> Iterator[httpx.Response]:
        import httpx

        if (stop := current()) is not None:
            request.extensions["trace"] = stop.trace
        asked = Asked(request)
        if asked.traceparent:
            request.headers["traceparent"] = asked.traceparent
        began = time.perf_counter()
        try:
            response = self._reply(self._http if stop is None else self._unshared, request)
            took = time.perf_counter() - began
            log.debug("%s %s: %s in %.2f s", request.method, request.url.path, response.status_code, took)
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
            log.debug("no gateway answers", exc_info=True)
            reason = f"No gateway answers at {self.url} ({type(error).__name__})."
            raise GatewayUnreachable(reason, hint="%rsql doctor finds out why.") from error
        finally:
            asked.end(sys.exc_info()[1])

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

    def get_changed(self, path: str, tag: str) -> tuple[Any, str]:
        """The JSON at a path with its ``ETag``, or None where it has this tag still; at most 8 MB."""
        request = self._built("GET", path, _QUICK, headers={"If-None-Match": tag} if tag else {})
        with self._sent(request) as response:
            found = response.headers.get("ETag", "")
            if response.status_code == _UNCHANGED:
                return None, tag
            body = b""
            for part in response.iter_bytes():
                body += part
                if len(body) > _LARGEST:
                    raise GatewayError(f"{path} is larger than {_LARGEST >> 20} MB.", hint="Share less.")
            try:
                return json.loads(body), found
            except ValueError:
                raise not_a_gateway(self.url, response.status_code) from None

    def content(self, path: str) -> Iterator[bytes]:
        """What is at a path, in pieces, however large it is."""
        with self._sent(self._built("GET", path, None)) as response:
            yield from response.iter_bytes()

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Post JSON to a path below the base URL and give back the JSON of the reply."""
        return self._json("POST", path, body=body)

    def put(self, path: str, body: Mapping[str, Any], *, tag: str | None = None) -> Any:
        """Put JSON at a path below the base URL and give back the JSON of the reply.

        ``tag`` is the ``ETag`` of what it may replace, ``""`` where nothing may be there; None for whatever is.
        """
        condition = {"If-Match": tag} if tag else {"If-None-Match": "*"}
        return self._json("PUT", path, body=body, headers={} if tag is None else condition)

    def upload(self, name: str, content: bytes, *, purpose: str) -> Any:
        """Send a file to ``v1/files`` and give back the JSON of the reply."""
        built = self._built("POST", "v1/files", None, files={"file": (name, content)}, data={"purpose": purpose})
        with self._sent(built) as response:
            response.read()
            return response.json()

    def lines(self, path: str) -> Iterator[str]:
        """The lines of what is at a path, as they come."""
        with self._sent(self._built("GET", path, None)) as response:
            yield from response.iter_lines()

    def delete(self, path: str, *, timeout: float | None = None) -> Any:
        """Delete what is at a path below the base URL and give back the JSON of the reply."""
        return self._json("DELETE", path, timeout=timeout)

    def embed(self, model: str, texts: Sequence[str]) -> Vectors:
        """A vector for each text, by a model that embeds; secrets and personal identifiers are replaced first."""
        reply = self.post("v1/embeddings", {"model": model, "input": [redact(text)[0] for text in texts]})
        try:
            found = [[float(number) for number in each["embedding"]] for each in reply["data"]]
        except (KeyError, TypeError, ValueError):
            found = []
        if len(found) != len(texts) or len({len(each) for each in found}) > 1:
            raise GatewayError(
                f"{model} gave no vectors.", hint="Name a model that embeds: %config Rsql.embedding_model."
            )
        return Vectors(found, reply.get("rsql") or {})

    def _json(self, method: str, path: str, *, body: Any = None, timeout: float | None = None, **more: Any) -> Any:
        with self._sent(self._built(method, path, timeout, json=body, **more)) as response:
            response.read()
            try:
                return response.json()
            except ValueError:
                raise not_a_gateway(self.url, response.status_code) from None

    def models(self) -> list[str]:
        """Names of the models this caller may use."""
        return [str(model["id"]) for model in self.get("v1/models", timeout=10.0).get("data", [])]

    def pictures(self) -> dict[str, bool]:
        """Whether a model takes pictures, for those of which it is told; ``default`` is where none is named."""
        listed = self.get("v1/models", timeout=10.0)
        try:
            described = [each for each in listed["data"] if each.get("architecture")]
            told = {str(each["id"]): "image" in each["architecture"]["input_modalities"] for each in described}
            default = listed.get("default")
        except (AttributeError, KeyError, TypeError):
            return {}
        return told | ({"default": told[default]} if default in told else {})

    def prices(self, model: str | None) -> tuple[float, float] | None:
        """US dollars for a token that a model reads and for one that it writes; None where no price is told.

        Raises:
            GatewayError: The gateway does not answer.
        """
        listed = self.get("v1/models", timeout=10.0)
        try:
            model = model or listed.get("default")
            listed = listed["data"]
            told = {each["id"]: each.get("pricing") for each in listed}
            # Where the default is not told, it costs at most what the dearest does.
            pricing = [told[model]] if model else list(told.values())
            return max(float(each["prompt"]) for each in pricing), max(float(each["completion"]) for each in pricing)
        except (KeyError, TypeError, ValueError):
            return None


# Stopping from another thread.

_current: ContextVar[Stop | None] = ContextVar("rsql_stop", default=None)


class Stop:
    """Stops the requests of a thread from another thread: Ctrl-C reaches the main thread only.

    Example:
        >>> stop = Stop()
        >>> with stop.governs():
        ...     stop()
        ...     current().asked
        True
    """

    # A thread that waits for a gateway waits in the system's `recv`. Shutting its socket down ends that at once, and
    # with the connection the request at the provider.

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


# What a model takes.


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """What is known of one model at one address, found out from its refusals."""

    refuses: tuple[str, ...] = ()  # parameters that it answers with an error
    context: int = 0  # tokens that its context holds; 0 when it is not known
    seen: float = 0.0  # when this was found out, in seconds since 1970


@dataclass
class ModelRecords:
    """The records of models by address and name, in a file or, without ``path``, in this process."""

    # A month at most, as servers change. A file that cannot be read or written is no error: the model is asked again.
    path: Path | None = None
    clock: Callable[[], float] = time.time  # in seconds since 1970
    _known: dict[str, ModelRecord] = field(default_factory=dict)

    @classmethod
    def of_user(cls, environ: Mapping[str, str] = os.environ) -> ModelRecords:
        """Those in the file ``rsql/models.json`` of the user's cache folder."""
        folder = environ.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser())
        return cls(Path(folder, "rsql", "models.json"))

    def of(self, url: str, model: str | None) -> ModelRecord:
        """The record of a model; an empty one where nothing is known, or was found out a month ago."""
        if not self._known and self.path is not None:
            with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
                kept: dict[str, dict[str, Any]] = json.loads(self.path.read_text(encoding="utf-8"))
                self._known = {
                    key: ModelRecord(tuple(map(str, one["refuses"])), int(one["context"]), float(one["seen"]))
                    for key, one in kept.items()
                }
        record = self._known.get(_key(url, model), ModelRecord())
        return record if self.clock() - record.seen < _MONTH else ModelRecord()

    def learn(self, url: str, model: str | None, *, refuses: str = "", context: int = 0) -> None:
        """Add what a refusal told."""
        old = self.of(url, model)
        refused = (*old.refuses, refuses) if refuses and refuses not in old.refuses else old.refuses
        self._known[_key(url, model)] = replace(old, refuses=refused, context=context or old.context, seen=self.clock())
        if self.path is not None:
            with suppress(OSError):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                kept = {key: asdict(record) for key, record in self._known.items()}
                self.path.write_text(json.dumps(kept, indent=1, sort_keys=True), encoding="utf-8")


def _key(url: str, model: str | None) -> str:
    return f"{url} {model or 'default'}"


def refused_parameter(error: GatewayError, sent: Collection[str]) -> str:
    """The optional parameter that a refusal names; empty for another refusal."""
    # llama.cpp's server fails where its template has no tools, OpenRouter finds no endpoint.
    for name, words in _SAID.items():
        if name in sent and error.status in {400, 404, 422, 500, 501} and words.search(error.message):
            return name
    if error.status not in {400, 422}:
        return ""
    spare = [name for name in sent if name in {*OPTIONAL, "stream_options"}]
    return next((name for name in spare if re.search(rf"\b{name}\b", error.message)), "")


def context_exceeded(error: GatewayError) -> int | None:
    """The tokens that a model's context holds, where a refusal says that it is exceeded; 0 where it does not say.

    Example:
        >>> words = "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens."
        >>> context_exceeded(GatewayError(words, status=400)), context_exceeded(GatewayError("No.", status=400))
        (8192, None)
    """
    refused = error.status in {400, 413, 422} and _TOO_LONG.search(error.message)
    says_so = refused or (error.status == 500 and _EXCEEDED.search(error.message))
    if error.code != "context_length_exceeded" and not says_so:
        return None
    return min((int(found.replace(",", "")) for found in _TOKENS.findall(error.message)), default=0)
