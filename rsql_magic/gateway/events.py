"""The reply of a gateway: events (``Waiting``, ``Text``, ``Done``), the answer as it grows, and what it took."""

from __future__ import annotations

import json
import math
import re
import time
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rsql_magic.errors import AnswerCut, GatewayError, GatewayUnreachable, Stopped
from rsql_magic.gateway.finishes import ended_early, ending_of
from rsql_magic.gateway.prompt_keys import hashes_of
from rsql_magic.gateway.refusals import error_of, not_a_gateway

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    import httpx

    from rsql_magic.gateway.client import Message, Stop
    from rsql_magic.gateway.finishes import Ending

_QUEUED = re.compile(r"queued position=(\d+) eta=([\d.]+)")
_BEATS = "X-RSQL-Heartbeat"  # says how often a gateway sends a comment: every so many seconds
_MISSED = 3  # of them in a row, and the connection is lost
RUN_AGAIN = "Run the cell again."  # what a cell says of an answer that was cut off
_LONGEST = 200_000  # most characters of an answer; the longest of models have half of that
_MOST_CALLS = 100  # of tools, in one reply
# Characters at the end of an answer that are searched for repetition, those compared, and fewest repetitions.
_TAIL, _PIECE, _TIMES = 4_000, 200, 8
# How models mark what they think before they answer.
_THOUGHTS = {
    "<think>": "</think>",
    "<thinking>": "</thinking>",
    "<thought>": "</thought>",
    "<reasoning>": "</reasoning>",
    "[THINK]": "[/THINK]",
    "<|channel|>analysis<|message|>": "<|channel|>final<|message|>",
}
# Templates that open the thoughts in the prompt leave only their end: at the end of a line, where no sentence names it.
_LONE_END = re.compile(r"(?:</(?:think|thinking|thought|reasoning)>|\[/THINK\])[ \t]*(?=\n|\Z)")
_SILENCES = {
    "tools": "The model asked for a tool instead of answering, and there is none.",
    "filter": "The provider's filter kept the answer back.",
}


@dataclass(frozen=True, slots=True)
class Waiting:
    """The request is in the gateway's queue: its place (1 is next) and the expected wait in seconds."""

    position: int
    eta: float


@dataclass(frozen=True, slots=True)
class Text:
    """The next piece of the answer."""

    text: str


@dataclass(slots=True)
class ToolCall:
    """A model's call of a tool: its name, and its arguments as JSON, as the model wrote it."""

    name: str = ""
    arguments: str = ""
    extra: Any = None  # what a provider wants to be sent back with it, such as Gemini's signature of a thought
    id: str = ""


@dataclass(frozen=True, slots=True)
class Done:
    """The answer is complete."""

    usage: Mapping[str, Any] = field(default_factory=dict)
    rsql: Mapping[str, Any] = field(default_factory=dict)  # what the gateway adds: ``request_id``, …
    finish_reason: str = ""  # ``stop``, or ``length`` when the model ran out of tokens
    model: str = ""
    limits: Mapping[str, str] = field(default_factory=dict)  # from the ``x-ratelimit-*`` headers, by their short names
    calls: tuple[ToolCall, ...] = ()


Event = Waiting | Text | Done


@dataclass(slots=True)
class Reply:
    """An answer as it grows."""

    messages: tuple[Message, ...] = ()
    started: float = 0.0  # by the chat's clock, in seconds
    text: str = ""  # without a model's thinking
    raw: str = ""  # all that came
    done: Done | None = None
    first_word: float | None = None
    ended: float = 0.0
    interrupted: bool = False
    began: float | None = None  # when its first data came
    checked: int = 0  # characters searched for repetition so far
    redacted: Counter[str] = field(default_factory=Counter)
    clock: Callable[[], float] = time.monotonic
    most_seconds: float = math.inf

    def read(self, stream: Callable[[], Generator[Event, None, None]]) -> Generator[Event, None, None]:
        """Take the events of a stream and yield them as they are shown."""
        self.started = self.ended = self.clock()
        try:
            with closing(stream()) as events:
                for event in events:
                    if (shown := self.add(event)) is not None:
                        yield shown
                    self._refuse_endless()  # what has come is shown first
        except KeyboardInterrupt:
            self.interrupted = True
            raise Stopped("Stopped; what had arrived is kept.") from None
        except AnswerCut as error:
            self.interrupted = True
            self.text = self.text or spoken(error.partial)
            raise
        finally:
            self.ended = self.clock()

    def add(self, event: Event) -> Event | None:
        """Take an event; the event as it is shown, or None while a model thinks aloud."""
        if isinstance(event, Done):
            self.done = event
            self.text = without_thoughts(self.text)
        if not isinstance(event, Text):
            return event
        self.raw += event.text
        before = len(self.text)
        # Once there are words the thinking is over; to look for it again would take longer with every piece.
        answering = self.first_word is not None and self.text.strip()
        self.text = self.text + event.text if answering else spoken(self.raw)
        if len(self.text) <= before:
            return None
        self.first_word = self.first_word if self.first_word is not None else self.clock()
        return Text(self.text[before:])

    def hear(self, line: str) -> None:
        """Take a line, also of comments or thoughts; ``most_seconds`` after the first data the answer is cut."""
        if self.began is None:
            self.began = self.clock() if line.startswith("data:") else None
        elif self.clock() - self.began > self.most_seconds:
            took = f"The answer took longer than {self.most_seconds:g} s and was stopped."
            hint = "Raise %config Rsql.answer_timeout, or ask for less."
            raise _cut_at(self.raw, AnswerCut(took, hint=hint))

    def _refuse_endless(self) -> None:
        why, length = "", 0 if self.done is not None else len(self.raw)
        if length > _LONGEST:
            why = f"The answer was stopped after {_LONGEST:,} characters."
        elif length >= self.checked + _TAIL:
            self.checked = length
            why = "The answer said the same again and again, and was stopped." if repeats(self.raw) else ""
        if why:
            raise _cut_at(self.raw, AnswerCut(why, hint="Ask again, or another --model."))

    @property
    def seconds(self) -> float:
        """From sending to the last word."""
        return max(0.0, self.ended - self.started)

    @property
    def silence(self) -> str:
        """Why there is no text, in a sentence; empty where there is some."""
        if re.search(r"[^\W_]", self.text) or self.interrupted or self.done is None:
            return ""
        thought = any(mark in self.raw for mark in (*_THOUGHTS, *_THOUGHTS.values())) or self.cut
        why = "The model thought, and ended before it answered." if thought else "The model answered with nothing."
        return _SILENCES.get(self._ending, why)

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """The tools that the model calls before it answers."""
        return self.done.calls if self.done is not None else ()

    @property
    def cut(self) -> bool:
        """Whether the answer ended before the model was done with it."""
        return bool(self.ended_early)

    @property
    def ran_out(self) -> bool:
        """Whether the model ran out of tokens before it was done."""
        return self._ending == "length"

    @property
    def ended_early(self) -> str:
        """Why the answer may not be whole, in a sentence; empty where it is."""
        return "" if self._ending in {"whole", "tools"} or self.done is None else ended_early(self.done.finish_reason)

    @property
    def is_whole(self) -> bool:
        """Whether the model came to the end of an answer, rather than of a call of a tool, or to none."""
        return self.done is not None and self._ending == "whole"

    @property
    def problem(self) -> str:
        """Why there is no text, or not all that a provider had, in a sentence; empty where nothing is missing."""
        return self.silence or ("" if self.ran_out else self.ended_early)

    @property
    def _ending(self) -> Ending:
        reason = self.done.finish_reason if self.done is not None else ""
        return "whole" if reason in {"", "stop"} else ending_of(reason)


@dataclass(frozen=True, slots=True)
class Usage:
    """What answers took, in all."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    requests: int = 0  # repairs are requests too
    seconds: float = 0.0  # from the first request to the last word
    queue_seconds: float = 0.0  # part of it spent waiting for a free key
    cached: bool = False  # all of it came from a cache
    replayed: bool = False  # all of it came from a file of answers, which has no time
    cost_usd: float | None = None  # when the gateway has prices for all of it
    free: bool = False  # nothing was asked for it
    model: str = ""  # that answered last
    request_id: str = ""  # the last one's
    limits: tuple[tuple[str, str], ...] = ()  # what is left of the caller's, by short name
    prompt_sha256: str = ""  # of the first request's messages, without what differs from run to run
    context_sha256: str = ""  # of what they say of the data

    @property
    def total_tokens(self) -> int:
        """Read and written together."""
        return self.prompt_tokens + self.completion_tokens

    def record(self) -> dict[str, Any]:
        """What is kept with an output in a notebook's file, so that it can be told later where it came from.

        ``cost_usd`` is None where a price is not known, and 0 where nothing was asked for.

        Example:
            >>> Usage(1204, 88, 1, model="llama", request_id="req-1", cost_usd=0.0012).record()["tokens"]
            1292
        """
        names = ("model", "request_id", "prompt_sha256", "context_sha256", "prompt_tokens", "completion_tokens")
        kept = {name: getattr(self, name) for name in (*names, "requests", "cost_usd")}
        kept["cost_usd"] = 0.0 if self.free else self.cost_usd
        origin = "recording" if self.replayed else "cache" if self.cached else "model"
        return {**kept, "tokens": self.total_tokens, "origin": origin}


def usage_of(replies: Sequence[Reply]) -> Usage:
    """The usage of some answers together, such as a draft and its repairs.

    Example:
        >>> usage_of([]).total_tokens
        0
    """
    done = [reply.done for reply in replies if reply.done]
    costs = [event.rsql["cost_usd"] for event in done if event.rsql.get("cost_usd") is not None]
    last = done[-1] if done else Done()
    replayed = bool(done) and all(event.rsql.get("replayed") for event in done)
    return Usage(
        prompt_tokens=sum(int(event.usage.get("prompt_tokens") or 0) for event in done),
        completion_tokens=sum(int(event.usage.get("completion_tokens") or 0) for event in done),
        requests=len(replies),
        seconds=0.0 if replayed else sum(reply.seconds for reply in replies),
        queue_seconds=0.0 if replayed else sum(float(event.rsql.get("queue_seconds") or 0) for event in done),
        cached=bool(done) and all(event.rsql.get("cached") for event in done),
        replayed=replayed,
        cost_usd=sum(costs) if costs and len(costs) == len(done) else None,
        free=bool(done) and all(event.rsql.get("price") == "free" for event in done),
        model=last.model,
        request_id=str(last.rsql.get("request_id") or ""),
        limits=tuple(sorted(last.limits.items())),
        **_hashes(replies),
    )


def _hashes(replies: Sequence[Reply]) -> dict[str, str]:
    first = next((reply.messages for reply in replies if reply.messages), None)
    return dict(zip(("prompt_sha256", "context_sha256"), hashes_of(first), strict=True)) if first else {}


def spoken(text: str) -> str:
    r"""An answer without the thinking that some models write before it, between their marks; also of a part of one.

    Example:
        >>> spoken("<think>2 + 2 …</think>\n\n4"), spoken("<think>2 +"), spoken("<thi"), spoken("<b>")
        ('4', '', '', '<b>')
    """
    start = text.lstrip()
    for thinks, thought in _THOUGHTS.items():
        if start.startswith(thinks):
            return start.partition(thought)[2].lstrip()
    return "" if start and any(thinks.startswith(start) for thinks in _THOUGHTS) else text


def without_thoughts(text: str) -> str:
    r"""A whole answer without thoughts of which only the end is marked.

    Example:
        >>> without_thoughts("2 + 2, so 5? No.\n</think>\n\n4"), without_thoughts("Close it by `</think>`.")
        ('4', 'Close it by `</think>`.')
    """
    ends = [end for end in _LONE_END.finditer(text) if end[0].strip().replace("/", "", 1) not in text[: end.start()]]
    return text[ends[-1].end() :].lstrip() if ends else text


def repeats(text: str) -> bool:
    r"""Whether the end of a text is one piece again and again, as when a model cannot stop."""
    tail = text[-_TAIL:]
    end = tail[-_PIECE:]
    period = len(tail) - _PIECE - tail.rfind(end, 0, -1)
    return len(tail) == _TAIL and period * _TIMES <= _TAIL and tail[period:] == tail[:-period]


def _cut_at(partial: str, error: AnswerCut) -> AnswerCut:
    error.partial = partial
    return error


@dataclass
class Silence:
    """How long a gateway may be silent before its connection counts as lost; known from its first stream."""

    url: str
    lost_after: float = math.inf  # seconds

    def expect(self, response: httpx.Response) -> None:
        """Take a longer silence than a gateway with heartbeats ever keeps for the loss of the connection."""
        with suppress(KeyError, ValueError):
            self.lost_after = _MISSED * float(response.headers[_BEATS])
        timeouts = response.request.extensions["timeout"]
        timeouts["read"] = min(timeouts["read"], self.lost_after)

    def lines(self, lines: Iterable[str], patience: float, heard: Callable[[str], None] | None) -> Iterator[str]:
        """The lines of a stream; ``heard`` is called with each."""
        # `patience` bounds the seconds without data or a place in the queue; other lines only keep a connection open.
        import httpx

        last = time.monotonic()
        try:
            for line in lines:
                if line.startswith(("data:", ": queued")):
                    last = time.monotonic()
                elif time.monotonic() - last > patience:
                    raise self.too_long(patience)
                if heard is not None:
                    heard(line)
                yield line
        except httpx.ReadTimeout as error:
            if patience <= self.lost_after:
                raise
            raise self.too_long(self.lost_after) from error

    def too_long(self, seconds: float) -> GatewayUnreachable:
        """The error for a silence of so many seconds."""
        if seconds == self.lost_after:
            reason = f"The connection to {self.url} was lost: no sign of life for {seconds:g} s."
            return GatewayUnreachable(reason, hint="Run the cell again.")
        hint = "Raise --timeout, or see %rsql status."
        return GatewayUnreachable(f"{self.url} said nothing for {seconds:g} s.", hint=hint)


def read_events(
    sent: Callable[[], AbstractContextManager[httpx.Response]],
    silence: Silence,
    *,
    patience: float,
    heard: Callable[[str], None] | None,
    stop: Stop | None,
    can_repeat: Callable[[GatewayError], bool],
) -> Generator[Event, None, None]:
    """Send a request and yield the events of its reply; ``heard`` takes each line, ``stop`` stops this thread."""
    # A request that failed before its first event is sent again where `can_repeat` has changed it.
    begun = False
    while True:
        if stop is not None and stop.asked:  # while it was prepared
            raise KeyboardInterrupt
        try:
            with sent() as response:
                silence.expect(response)
                left = "x-ratelimit-"
                limits = {n.removeprefix(left): v for n, v in response.headers.items() if n.startswith(left)}
                request_id = response.headers.get("x-request-id", "")
                if "event-stream" in response.headers.get("content-type", ""):
                    lines = silence.lines(response.iter_lines(), patience, heard)
                    events = parse_sse(lines, request_id=request_id, limits=limits)
                else:
                    response.read()
                    events = _whole(response, request_id, limits)
                for event in events:
                    if stop is not None and stop.asked:
                        raise KeyboardInterrupt
                    begun = True
                    yield event
                return
        except GatewayError as error:
            if stop is not None and stop.asked:
                raise KeyboardInterrupt from None
            if begun or not can_repeat(error):
                raise


def parse_sse(
    lines: Iterable[str], *, request_id: str = "", limits: Mapping[str, str] | None = None
) -> Generator[Event, None, None]:
    """Events of a completion stream; comments, blank lines and fields other than ``data`` are allowed in it."""
    import httpx

    fields: dict[str, Any] = {"usage": {}, "rsql": {}, "finish_reason": "", "model": ""}
    calls = _Calls()
    partial: list[str] = []
    try:
        for chunk in _chunks(lines):
            if isinstance(chunk, Waiting):
                yield chunk
                continue
            if chunk is None or calls.size > _LONGEST:  # nobody reads the rest of such a call, or what follows the end
                fields["rsql"] = {"request_id": request_id, **fields["rsql"]}
                yield Done(**fields, limits=dict(limits or {}), calls=tuple(calls.all))
                return
            if text := _read_chunk(_record(chunk), fields, calls):
                partial.append(text)
                yield Text(text)
    except GatewayError as error:
        if not partial or isinstance(error, AnswerCut):
            raise  # nothing was cut, for nothing came; or it was cut on purpose, and says why
        raise _cut("".join(partial), error.message, error.request_id or request_id, error.code) from error
    except (httpx.TransportError, ValueError, RecursionError) as error:  # no JSON, or too deep
        if not partial and isinstance(error, httpx.TimeoutException):
            raise
        raise _cut("".join(partial), "", request_id) from error
    raise _cut("".join(partial), "", request_id)


def _chunks(lines: Iterable[str]) -> Iterator[Any]:
    """The JSON of each event, which may stand in several lines; places in a queue, and None for the end."""
    held = ""
    for line in lines:
        if waiting := _QUEUED.search(line) if line.startswith(":") else None:
            yield Waiting(int(waiting[1]), float(waiting[2]))
        data = line[5:].strip() if line.startswith("data:") else ""
        if data == "[DONE]" and not held:
            yield None
        elif data:
            held = f"{held}\n{data}" if held else data
            try:
                chunk = json.loads(held)
            except ValueError:
                if len(held) > _LONGEST:
                    raise
                continue
            held = ""
            yield chunk
        elif held and not line.strip():
            json.loads(held)  # raises: the event has ended, and is no JSON
    if held:
        json.loads(held)


def _status_of(error: dict[str, Any]) -> int:
    """The status that a reply would have had; some providers write it as the code."""
    said = error.get("status", error.get("code"))
    return said if isinstance(said, int) and 400 <= said < 600 else 0


def _read_chunk(chunk: dict[str, Any], fields: dict[str, Any], calls: _Calls) -> str:
    if chunk.get("error"):
        raise error_of(_status_of(_record(chunk["error"])), json.dumps(chunk), {}, "")
    fields["model"] = _words(chunk.get("model")) or fields["model"]
    fields["usage"] = _counts(chunk.get("usage")) or fields["usage"]
    fields["rsql"] = _record(chunk.get("rsql")) or fields["rsql"]
    choice = _record((chunk.get("choices") or [{}])[0]) if isinstance(chunk.get("choices"), list) else {}
    if choice.get("error"):
        raise error_of(_status_of(_record(choice["error"])), json.dumps(choice), {}, "")
    fields["finish_reason"] = _words(choice.get("finish_reason")) or fields["finish_reason"]
    delta = _record(choice.get("delta"))
    calls.add(delta.get("tool_calls"))
    return _content(delta)


class _Calls:
    """Calls of tools, put together from the pieces of a stream."""

    def __init__(self) -> None:
        self.all: list[ToolCall] = []
        self.size = 0  # characters of arguments
        self._open: dict[int | None, ToolCall] = {}

    def add(self, pieces: Any) -> None:
        for piece in map(_record, pieces if isinstance(pieces, list) else ()):
            function = _record(piece.get("function"))
            call = self._of(piece.get("index"), _words(piece.get("id")), _words(function.get("name")))
            arguments = function.get("arguments") or ""
            text = arguments if isinstance(arguments, str) else json.dumps(arguments)  # some servers send an object
            call.arguments += text
            call.extra = piece.get("extra_content") or call.extra
            self.size += len(text)

    # Some servers count all calls as the first one, or none of them: another id is another call.
    def _of(self, index: Any, own: str, name: str) -> ToolCall:
        place = index if isinstance(index, int) else None
        if (known := self._open.get(place)) is None or (own and own != known.id) or (place is None and name):
            known = self._open[place] = ToolCall(name, id=own)
            self.all += [known] if len(self.all) < _MOST_CALLS else []
        known.name = known.name or name
        return known


# What endpoints send in place of what the protocol has: anything that is not understood counts as not said.


def _record(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _words(value: Any) -> str:
    return value if isinstance(value, str) else ""


# Usage whose numbers are numbers.
def _counts(usage: Any) -> dict[str, Any]:
    numbers = ("prompt_tokens", "completion_tokens", "total_tokens")
    return {name: value for name, value in _record(usage).items() if name not in numbers or type(value) in {int, float}}


# The text of a message or a piece of one, also in parts; a refusal where that is all.
def _content(message: dict[str, Any]) -> str:
    if isinstance(content := message.get("content"), list):
        content = "".join(_words(part if isinstance(part, str) else _record(part).get("text")) for part in content)
    return (_words(content) or _words(message.get("refusal"))).encode("utf-8", "replace").decode()


# Events of an endpoint that answers a request for a stream in one piece.
def _whole(response: httpx.Response, request_id: str, limits: Mapping[str, str]) -> Generator[Event, None, None]:
    try:
        body = _record(response.json())
        choice = _record(body["choices"][0])
        message = choice["message"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        raise not_a_gateway(str(response.request.url), response.status_code) from None
    if failed := body.get("error") or choice.get("error"):
        raise error_of(_status_of(_record(failed)), json.dumps({"error": failed}), {}, "")
    yield Text(_content(_record(message)))
    rsql = {"request_id": request_id, **_record(body.get("rsql"))}
    calls = _Calls()
    calls.add(_record(message).get("tool_calls"))
    finish, model = _words(choice.get("finish_reason")), _words(body.get("model"))
    yield Done(_counts(body.get("usage")), rsql, finish, model, limits, tuple(calls.all))


def _cut(partial: str, why: str, request_id: str, code: str = "answer_cut") -> AnswerCut:
    message = f"The answer was cut off. {why}" if why else "The answer was cut off before it was complete."
    hint = "" if " again" in why else RUN_AGAIN
    return _cut_at(partial, AnswerCut(message, hint=hint, code=code, request_id=request_id))
