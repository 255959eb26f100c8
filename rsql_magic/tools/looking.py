"""A model that looks before it answers: its calls of tools are run, and it is asked again, within a budget."""

# Whatever a model calls, and however often, it is run at most so many times, and then asked for its answer: without
# tools, with what they found before the question. Servers differ in what they take after calls, and small models write
# better from one message.

from __future__ import annotations

import json
import re
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from rsql_magic.errors import BadInput, GatewayError, QueryFailed, QueryRejected, UnknownName
from rsql_magic.gateway import ToolCall
from rsql_magic.redaction import redact
from rsql_magic.sql import count_tokens, cut, fence, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from rsql_magic.gateway import Message, Reply
    from rsql_magic.sql import Privacy

# Tokens of all results, of one, and of the words beside a call.
_TOKENS, _EACH, _BESIDE = 6_000, 1_500, 300
# A result of fewer tokens tells nothing.
_FEWEST = 50
# Seconds after which no more is looked at; a safety limit.
_SECONDS = 300.0
# Characters of a call's arguments that are read.
_LONGEST = 10_000
# What a server may answer to a request only because it has tools.
_REFUSALS = frozenset({400, 404, 413, 422, 500, 501, 502})
_WRITTEN = re.compile(
    r"<tool_call>\s*(\{.*?\})\s*</tool_call>|```(?:json)?\s*(\{.*?\})\s*```|\A\s*(\{.*\})\s*\Z", re.DOTALL
)
_PLAIN = re.compile(r"[\w.]+")
_ODD = re.compile(r"[^A-Za-z0-9_-]")


class Tool(ABC):
    """What a model may call. A parameter is a text; one whose description begins with "Optional" may be left out."""

    name: ClassVar[str]
    parameters: ClassVar[Mapping[str, str]]
    # The privacy level from which on it is offered, as what it tells may leave from there on.
    level: ClassVar[Privacy] = "sample"

    @property
    @abstractmethod
    def purpose(self) -> str:
        """What it is for, as a model reads it."""

    @property
    def needed(self) -> list[str]:
        """The parameters that a call must have."""
        return [name for name, text in self.parameters.items() if not text.startswith("Optional")]

    @property
    def schema(self) -> dict[str, Any]:
        """The tool as a request describes it."""
        properties = {name: {"type": "string", "description": text} for name, text in self.parameters.items()}
        parameters = {"type": "object", "properties": properties, "required": self.needed}
        return {
            "type": "function",
            "function": {"name": self.name, "description": self.purpose, "parameters": parameters},
        }

    @abstractmethod
    def run(self, arguments: Mapping[str, str]) -> str:
        """What it finds, as far as it may leave.

        Raises:
            BadInput: The arguments name nothing, or what may not be told.
            QueryFailed: The database refused.
            QueryRejected: The guard refused.
        """


@dataclass(frozen=True, slots=True)
class ToolResult:
    """One call of a tool, and what it found or why it failed.

    Example:
        >>> str(ToolResult("values", {"column": "orders.status", "like": "open or not"}, "open"))
        'values(orders.status, "open or not")'
    """

    tool: str
    arguments: Mapping[str, str]
    text: str
    failed: bool = False

    def __str__(self) -> str:
        return f"{one_line(self.tool, 30)}({', '.join(map(_shown, self.arguments.values()))})"

    @property
    def fenced(self) -> str:
        """The result as a model reads it: as data."""
        return fence("result", str(self), self.text)


class Looking:
    """The looks of one question.

    Args:
        tools: What the model may call; without any it is asked as if this were not there.
        send: Sends messages with options of a request and reads the reply.
        most: Calls that are run.
        say: Takes the words on a call that begins.
        restored: Puts what the filter replaced in the question into a call's arguments again.
        clock: Seconds that only go up.

    Example:
        >>> from rsql_magic.gateway import Reply
        >>> looking = Looking([], lambda messages, **options: Reply(text="SELECT 1"))
        >>> looking.answer([{"role": "user", "content": "one"}]).text, looking.line
        ('SELECT 1', '')
    """

    def __init__(
        self,
        tools: Sequence[Tool],
        send: Callable[..., Reply],
        *,
        most: int = 8,
        say: Callable[[str], None] = lambda _: None,
        restored: Callable[[str], str] = str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._send = send
        self._most = most
        self._say = say
        self._restored = restored
        self._clock = clock
        self._tokens = _TOKENS
        self._open = bool(tools) and most > 0
        self._tells = True
        self.looks: list[ToolResult] = []

    @property
    def line(self) -> str:
        """What was looked at, as a sentence; empty for nothing."""
        if not self.looks:
            return ""
        spent = f"{len(self.looks)} of {self._most} calls, {_TOKENS - self._tokens:,} of {_TOKENS:,} tokens"
        return f"Looked first: {', '.join(map(str, self.looks))} – {spent}."

    def answer(self, messages: Sequence[Message], **options: Any) -> Reply:
        """The answer of a model that may look first; later answers are given from what was found.

        Args:
            messages: What to answer.
            **options: Those of a request.

        Raises:
            GatewayError: The gateway refused or failed, not for the tools.
        """
        asked, end = list(messages), self._clock() + _SECONDS
        while self._open and self._clock() < end:
            reply = self._asked(asked, options)
            if reply is None:
                break
            if reply.calls:
                asked += self._turns(reply)
            elif written := _written(reply.text, self._tools):
                self._run(written)
                break  # a model that writes its calls as text goes on so, whatever it is told
            else:
                self._open = False
                return reply
        self._open = False
        return self._send(self._told(messages), **options)

    def forget(self) -> None:
        """Tell nothing of what was found: the model's context is too short."""
        self._open = self._tells = False

    def _asked(self, messages: list[Message], options: Mapping[str, Any]) -> Reply | None:
        """The reply of a model with tools; None where the server refuses, maybe for them."""
        try:
            return self._send(messages, **{**options, "tools": [tool.schema for tool in self._tools.values()]})
        except (BadInput, GatewayError) as error:  # a replay has no answer where the server refused
            if getattr(error, "status", 400) not in _REFUSALS:
                raise
            return None

    def _told(self, messages: Sequence[Message]) -> list[Message]:
        """Messages with what was found before the question."""
        found = [look.fenced for look in self.looks if self._tells and not look.failed]
        *before, last = messages
        return [*before, {**last, "content": "\n\n".join([*found, last["content"]])}]

    def _turns(self, reply: Reply) -> list[Message]:
        """A reply's calls and their results, as the next request has them."""
        before = len(self.looks)
        new = self._run(reply.calls)
        names = [f"call{number:05}" for number in range(before, len(self.looks))]  # the server's are others each time
        sent = [_as_sent(name, look, call) for name, look, call in zip(names, new, reply.calls, strict=False)]
        results = zip(names, new, strict=True)
        return [
            {"role": "assistant", "content": cut(reply.text, _BESIDE), "tool_calls": sent},
            *({"role": "tool", "tool_call_id": name, "content": look.fenced} for name, look in results),
        ]

    def _run(self, calls: Sequence[ToolCall]) -> list[ToolResult]:
        """The results of calls, without those over the budget; it ends also where two in a row fail."""
        before = len(self.looks)
        for call in calls[: self._most - before]:
            self.looks.append(self._look(call))
        is_stuck = len(self.looks) > 1 and all(look.failed for look in self.looks[-2:])
        self._open = len(self.looks) < self._most and self._tokens >= _FEWEST and not is_stuck
        return self.looks[before:]

    def _look(self, call: ToolCall) -> ToolResult:
        arguments = _read(self._restored(call.arguments[: _LONGEST + 1]))
        look = ToolResult(call.name, arguments or {}, "")
        self._say(f"looking: {look}")
        try:
            text, failed = self._found(look, arguments), False
        except (BadInput, QueryFailed, QueryRejected) as error:
            text, failed = str(error), True
        except TimeoutError:  # of what only the kernel's main thread may read
            text, failed = "This cannot be read now: a cell is running.", True
        text = cut(redact(text)[0], min(_EACH, self._tokens))
        self._tokens -= count_tokens(text)
        return ToolResult(call.name, look.arguments, text, failed)

    def _found(self, look: ToolResult, arguments: Mapping[str, str] | None) -> str:
        tool = self._tools.get(look.tool)
        if tool is None:
            there = f"There are: {', '.join(self._tools)}."
            raise UnknownName(f"There is no tool {one_line(look.tool)!r}.", hint=there)
        if arguments is None:
            raise BadInput("The arguments are not one short JSON object of texts.")
        if missing := [name for name in tool.needed if not arguments.get(name)]:
            raise BadInput(f"{tool.name} needs {' and '.join(missing)}.")
        if any((each.tool, each.arguments) == (look.tool, arguments) for each in self.looks):
            raise BadInput("This was called before.", hint="Answer from what it found.")
        return tool.run(arguments)


def _read(text: str) -> dict[str, str] | None:
    """The arguments of a call as texts; None where they are no short JSON object."""
    try:
        value = json.loads(text or "{}") if len(text) <= _LONGEST else None
    except (ValueError, RecursionError):
        return None
    texts = ((str(name), _text(each)) for name, each in value.items()) if isinstance(value, dict) else None
    return None if texts is None else {name: text for name, text in texts if text}


def _written(text: str, names: Collection[str]) -> tuple[ToolCall, ...]:
    """The calls that a small model writes as text, which its server does not read; none beside other code."""
    found: list[ToolCall] = []
    for match in _WRITTEN.finditer(text):
        with suppress(ValueError, RecursionError):
            value = json.loads(match[match.lastindex or 0])
            if str(value.get("name")) in names:
                found.append(ToolCall(value["name"], json.dumps(value.get("arguments") or {})))
    return () if "```" in _WRITTEN.sub("", text) else tuple(found)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return "" if value is None else str(value).strip()


def _as_sent(name: str, look: ToolResult, call: ToolCall) -> dict[str, Any]:
    """A call as the next request repeats it: readable and filtered, however the model wrote it."""
    arguments = {redact(each)[0]: redact(value)[0] for each, value in look.arguments.items()}
    function = {"name": _ODD.sub("_", look.tool)[:64] or "none", "arguments": json.dumps(arguments, ensure_ascii=False)}
    extra = {"extra_content": call.extra} if call.extra else {}
    return {"id": name, "type": "function", "function": function, **extra}


def _shown(value: str) -> str:
    line = one_line(value, 60)
    return line if _PLAIN.fullmatch(line) else json.dumps(line, ensure_ascii=False)
