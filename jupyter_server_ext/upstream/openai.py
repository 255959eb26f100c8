"""The OpenAI-compatible dialect, as nearly every provider speaks it, and the tokens that its requests take."""

from __future__ import annotations

import math
import re
import time
from bisect import bisect_left, insort
from collections import Counter, OrderedDict, deque
from email.utils import parsedate_to_datetime
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from jupyter_server_ext.config import PRESETS, Preset
from jupyter_server_ext.http_client import httpx
from jupyter_server_ext.keys import Cost, Rate
from jupyter_server_ext.messages import ChatRequest, TokenUsage
from jupyter_server_ext.messages import characters as characters  # noqa: PLC0414  (for the door)

from .failures import Failure, classify, duration
from .sparing import spared

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from jupyter_server_ext.keys import Key, Unit
    from jupyter_server_ext.messages import Json

    from .sparing import Part
    from .sse import ReportedUsage

# https://platform.openai.com/docs/api-reference/chat

_HEADERS = [
    (b"Content-Type", b"application/json"),
    (b"Accept", b"application/json, text/event-stream"),
    (b"Accept-Encoding", b"identity"),  # events should arrive as they are made
    (b"User-Agent", b"rsql"),
]
_COUNT = re.compile(r"[0-9]{1,15}")
# OpenRouter puts its headers into the body.
_RESET = re.compile(rb'"x-ratelimit-reset"\s*:\s*"?([0-9]{1,15})', re.IGNORECASE)
_FIRST_DATE, _FIRST_IN_MILLISECONDS = 1e9, 1e12  # larger numbers are no lengths of time but Unix time
_MOST_READ = 4000  # characters of an error
_REFUSED = 429  # the only status at which a reset without a limit of its own says when to come back
_SECRET_FIELDS = re.compile(r"api[_-]?key", re.IGNORECASE)


class _LimitHeaders(NamedTuple):
    """The headers that tell of one limit."""

    unit: Unit
    limit: str
    remaining: str
    reset: str


_PARTS = ("limit", "remaining", "reset")
_OPENAI: tuple[Unit, ...] = ("requests", "tokens")
_OPENAI_NAMES = tuple(_LimitHeaders(unit, *(f"x-ratelimit-{part}-{unit}" for part in _PARTS)) for unit in _OPENAI)
_ANTHROPIC: tuple[Unit, ...] = ("requests", "input_tokens", "output_tokens")
_ANTHROPIC_NAMES = tuple(
    _LimitHeaders(unit, *(f"anthropic-ratelimit-{unit.replace('_', '-')}-{part}" for part in _PARTS))
    for unit in _ANTHROPIC
)


class OpenAIProvider:
    """The dialect, with the habits of one provider."""

    def __init__(self, preset: Preset, wall: Callable[[], float] = time.time) -> None:
        self._preset = preset  # what is known of it
        self._wall = wall  # Unix time, to read dates in headers
        self._urls: dict[tuple[str, str], httpx.URL] = {}
        self._names = _ANTHROPIC_NAMES if preset.anthropic_headers else _OPENAI_NAMES

    def body(self, body: Json, model: str, *, stream: bool, spare: Collection[Part] = ()) -> bytes:
        """The caller's JSON with this model; a stream is asked to tell its usage. Values of a kernel stay here."""
        body = spared(body, spare) if spare else body
        sent = {name: value for name, value in body.items() if not _SECRET_FIELDS.match(name)}
        if not self._preset.takes_values:
            sent.pop("rsql", None)
        sent["model"] = model
        if stream and self._preset.stream_usage and "stream_options" not in spare:
            options = sent.get("stream_options")
            sent["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}
        return msgspec.json.encode(sent)

    def request(self, key: Key, path: str, body: bytes) -> httpx.Request:
        """The request with this key's address and secret."""
        base = key.settings.base_url
        url = self._urls.get((base, path))
        if url is None:
            url = self._urls[base, path] = httpx.URL(base.rstrip("/") + path)
        return _request(url, key, body)

    def check(self, key: Key) -> httpx.Request:
        """The list of models, or what else tells of a key at the provider's own address."""
        # OpenRouter and Hugging Face list their models for everybody. Anthropic takes a bearer token for chat
        # completions only: https://docs.anthropic.com/en/api/models-list
        preset, base = self._preset, key.settings.base_url
        if base == preset.base_url and preset.anthropic_headers:
            request = _request(httpx.URL(base + "/models"), key, b"", b"x-api-key", b"")
            request.headers["anthropic-version"] = "2023-06-01"
            return request
        if base == preset.base_url and preset.check_url:
            return _request(httpx.URL(preset.check_url), key, b"")
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

    def _rate(self, headers: httpx.Headers, names: _LimitHeaders) -> Rate | None:
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


def _request(
    url: httpx.URL, key: Key, body: bytes, name: bytes = b"Authorization", kind: bytes = b"Bearer "
) -> httpx.Request:
    secret = key.settings.key.reveal().encode()
    own = [(name, kind + secret)] if secret else []
    headers = [(b"Host", url.netloc), *_HEADERS, (b"Content-Length", b"%d" % len(body)), *own]
    # With a stream, httpx takes the headers as they are.
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


# The expectation is reserved before the request is sent: of the prompt from its length, of the answer from those before
# it, both learnt per model, the answer's per model and caller. A little too much is right, as the unused part goes back
# when the answer has ended.
#
# A report is checked against what was sent, what was asked for, and what came. A token is at least a byte, and a prompt
# at least a token. Beyond the prompt that we know a provider may count one of its own, and beyond the text that comes a
# reasoning that it does not show, up to what was asked for or the longest answer of any model. What is outside these
# bounds is replaced, part by part, by our own estimate.


_UNKNOWN_ANSWER = 1024  # tokens of an answer when nothing like it was seen yet
_CHARACTERS_PER_TOKEN = 3.0  # of a prompt, likewise; real texts have 3.5 to 4.5
# Waits are predicted by this: a caller who is refused for nothing comes back later than need be.
_MOST_CHARACTERS = 4.0
_SPARE = 3  # tokens that a prompt has whatever its length, where nothing is known
_HAIR = 1e-9  # of rounding, so that a product that is whole is not rounded up
_FORGETTING = 0.05  # of the distance to a lower rate, by which one answer moves it
_MARGIN = 1.5  # over the longest answer of late, at most
_REMEMBERED = 200  # answers per model and caller
_FEW = 20  # of them, before their spread says anything
_SIGMAS = 4.0  # standard deviations by which several answers together hardly ever exceed their means
_ENOUGH = 50  # of them, before a caller is taken to differ from the others
_MOST_CALLERS = 5000  # with lengths of their own; the one silent for longest goes first
_MOST_BYTES = 4  # of a character in UTF-8, each of which may be a token
_HIDDEN_PROMPT = 20_000  # tokens of a provider's own: templates, tools, search results
_MEDIA = 1_000_000  # tokens of pictures, sound, files and films
_LONGEST_ANSWER = 262_144  # tokens, of any model
_SLACK = 64  # tokens beyond what was asked for, such as those that end an answer


class Lengths:
    """The lengths of the last answers, and how long the next may be."""

    def __init__(self) -> None:
        self._in_time: deque[int] = deque()
        self._in_order: list[int] = []
        self._sum = self._squares = 0

    def __len__(self) -> int:
        return len(self._in_time)

    def add(self, tokens: int) -> None:
        """One more answer; the oldest is forgotten."""
        if len(self._in_time) >= _REMEMBERED:
            oldest = self._in_time.popleft()
            self._sum -= oldest
            self._squares -= oldest * oldest
            del self._in_order[bisect_left(self._in_order, oldest)]
        self._in_time.append(tokens)
        self._sum += tokens
        self._squares += tokens * tokens
        insort(self._in_order, tokens)

    @property
    def mean(self) -> int:
        """Their mean."""
        return self._sum // max(1, len(self._in_time))

    def bound(self) -> int:
        """A length that hardly any answer exceeds: above the longest by as much as that stands out from the others."""
        longest = self._in_order[-1]
        margin = _MARGIN
        if len(self) >= _FEW:
            margin = min(_MARGIN, longest / max(1, self._in_order[int(0.9 * len(self))]))
        return math.ceil(longest * margin)

    def spread(self) -> tuple[int, int]:
        """How far ``bound`` is above the mean, and how far one of several answers may be."""
        # The mean is that of all, or of the last few where that is higher.
        number = len(self)
        if number < _FEW:
            return 0, 0
        lately = sum(islice(reversed(self._in_time), _FEW)) / _FEW
        above = max(0, math.floor(self.bound() - max(self._sum / number, lately)))
        variance = max(0.0, self._squares / number - (self._sum / number) ** 2)
        return above, max(above, math.ceil(_SIGMAS * math.sqrt(variance)))


class Expectation:
    """What is expected of answers, by what was seen."""

    def __init__(self) -> None:
        self._answers: OrderedDict[tuple[str, str], Lengths] = OrderedDict()
        self.lessons: Counter[str] = Counter()  # answers learnt from, by model: what is expected changes with each
        self._rates: dict[str, dict[int, float]] = {}  # tokens per character, per model and size of prompt

    def cost(self, caller: str, request: ChatRequest, model: str) -> Cost:
        """What to reserve for a request to ``model``."""
        length = length_of(request)
        prompt = self._prompt(model, length)
        if request.embeds:
            return Cost(prompt, 0, 0)
        asked, number = asked_tokens(request), choices(request)
        if asked:
            return Cost(prompt, asked, asked)
        # The answers to this caller; those to everybody, where these are few.
        own = self._answers.get((model, caller))
        seen = own if own is not None and len(own) >= _ENOUGH else self._answers.get((model, ""))
        if seen is None:
            return Cost(prompt, _UNKNOWN_ANSWER * number)
        spread, swing = seen.spread()
        return Cost(prompt, seen.bound() * number, spread=spread * number, swing=swing * number)

    def usual(self, cost: Cost, model: str) -> Cost:
        """What a request that reserves ``cost`` usually takes; as little as its prompt, where nothing was seen yet."""
        seen = self._answers.get((model, ""))
        prompt = cost.prompt if model in self._rates else int(cost.prompt * _CHARACTERS_PER_TOKEN / _MOST_CHARACTERS)
        return Cost(prompt, min(cost.completion, seen.mean if seen is not None else 0))

    def learn(self, caller: str, request: ChatRequest, model: str, usage: TokenUsage) -> None:
        """An answer of ``model`` has ended."""
        if usage.estimated or request.embeds:
            return
        self.lessons[model] += 1
        length = math.ceil(usage.completion_tokens / choices(request))
        for key in ((model, caller), (model, "")):
            self._answers.setdefault(key, Lengths()).add(length)
            self._answers.move_to_end(key)
        while len(self._answers) > _MOST_CALLERS:
            self._answers.popitem(last=False)
        if (size := length_of(request)) > 0 and usage.prompt_tokens > 0:
            seen = usage.prompt_tokens / size
            if len(self._rates) >= _MOST_CALLERS and model not in self._rates:
                self._rates.clear()
                self.lessons.clear()
            rates = self._rates.setdefault(model, {})
            known = rates.get(size.bit_length(), seen)
            # A higher rate holds at once, a lower one slowly.
            rates[size.bit_length()] = max(seen, known + _FORGETTING * (seen - known))

    def _prompt(self, model: str, length: int) -> int:
        # By the highest rate of prompts about as long: short ones have a higher one, as each message costs more.
        rates = self._rates.get(model)
        known = rates.get(length.bit_length()) if rates else None
        if known is not None:
            return math.ceil(length * known - _HAIR)
        return int(length * (max(rates.values()) if rates else 1 / _CHARACTERS_PER_TOKEN)) + _SPARE


def asked_tokens(request: ChatRequest) -> int:
    """The most tokens that the request allows; 0 when it does not say."""
    most = request.body.get("max_completion_tokens") or request.body.get("max_tokens")
    return max(0, most * choices(request)) if isinstance(most, int) else 0


def choices(request: ChatRequest) -> int:
    """How many answers the request asks for; what is no number is the provider's to refuse."""
    number = request.body.get("n")
    return max(1, number) if isinstance(number, int) else 1


def length_of(request: ChatRequest) -> int:
    """Length of all that is read, in characters."""
    return characters(request.body) if request.weighed is None else request.weighed.characters


def may_have_media(request: ChatRequest) -> bool:
    """Whether more than text is sent: pictures, sound, files, films; or, of a large body, may be."""
    messages = request.body.get("messages") or []
    if not isinstance(messages, list):
        return True
    contents = (message.get("content") for message in messages if isinstance(message, dict))
    parts = (part for content in contents if isinstance(content, list) for part in content)
    return any(isinstance(part, dict) and part.get("type", "text") != "text" for part in parts)


def checked(
    reported: ReportedUsage | None, estimate: TokenUsage, request: ChatRequest
) -> tuple[TokenUsage, tuple[str, ...]]:
    """The usage to believe, and which of the reported counts could not be."""
    # The completion of ``estimate`` is that of the text that came.
    if reported is None:
        return estimate, ()
    prompt, completion, cached = reported
    faults: list[str] = []
    if not _can_be_prompt(prompt, request):
        faults += ["prompt"] * (prompt is not None)
        prompt = None
    if request.embeds:
        completion = 0
    elif not _can_be_answer(completion, estimate.completion_tokens, request):
        faults += ["completion"] * (completion is not None)
        completion = None
    whole = prompt is not None and completion is not None
    prompt = estimate.prompt_tokens if prompt is None else prompt
    completion = estimate.completion_tokens if completion is None else completion
    if cached is not None and not 0 <= cached <= prompt:
        faults.append("cached")
        cached = 0
    return TokenUsage(prompt, completion, cached or 0, estimated=bool(faults) or not whole), tuple(faults)


def _can_be_prompt(tokens: int | None, request: ChatRequest) -> bool:
    if tokens is None or tokens < 0:
        return False
    if 0 < tokens <= _HIDDEN_PROMPT:
        return True  # as nearly all are, so nothing need be measured
    length = length_of(request)
    beyond = tokens - _MOST_BYTES * length - _HIDDEN_PROMPT
    return (tokens > 0 or not length) and (beyond <= 0 or (beyond <= _MEDIA and may_have_media(request)))


def _can_be_answer(tokens: int | None, written: int, request: ChatRequest) -> bool:
    # ``written`` is the estimate, of four characters each: as bytes, sixteen times as many.
    if tokens is None or tokens < 0:
        return False
    asked = asked_tokens(request)
    most = asked + _SLACK if asked else _LONGEST_ANSWER * choices(request)
    return (tokens > 0 or not written) and tokens <= max(most, 4 * _MOST_BYTES * written)
