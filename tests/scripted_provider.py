"""A provider that says what a test writes down, in OpenAI's form: words, calls of tools in pieces, and refusals.

It is as strict as the strictest: a conversation that any of them would refuse is refused, and noted in ``faults``.
"""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from itertools import count
from typing import NamedTuple

from servers import http_server

_PIECE = 7
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


class Refusal(NamedTuple):
    """An error in place of an answer."""

    status: int
    message: str


class Call(NamedTuple):
    """A call of a tool; ``arguments`` may be no JSON."""

    tool: str
    arguments: str


def call(tool, /, **arguments):
    return Call(tool, json.dumps(arguments))


class Provider:
    """What it was asked, and what it says: ``says`` has the next replies, or ``answer`` one for each request.

    A reply is a text, a ``Refusal``, or a list of calls. ``numbered`` is whether calls in a stream are counted and come
    in pieces, as OpenAI's; others send each as a whole, and all as the first.
    """

    def __init__(self):
        self.asked, self.faults = [], []
        self.numbered = True
        self.usage = {"prompt_tokens": 40, "completion_tokens": 7}
        self._ids = count()

    def says(self, *replies):
        left = list(replies)
        self.asked.clear()
        self.answer = lambda _: left.pop(0) if left else Refusal(400, "Nobody wrote down a reply.")

    def deltas(self, reply):
        """The pieces of a reply as a stream has them."""
        yield {"role": "assistant", "content": ""}
        if isinstance(reply, str):
            yield from ({"content": word} for word in re.findall(r"\s*\S+\s*", reply))
            return
        for at, (tool, arguments) in enumerate(reply):
            begins = {"index": at, "id": f"call_{next(self._ids)}", "type": "function"}
            if self.numbered:
                yield {"tool_calls": [begins | {"function": {"name": tool, "arguments": ""}}]}
                for start in range(0, len(arguments), _PIECE):
                    piece = arguments[start : start + _PIECE]
                    yield {"tool_calls": [{"index": at, "function": {"arguments": piece}}]}
            else:
                yield {"tool_calls": [begins | {"index": 0, "function": {"name": tool, "arguments": arguments}}]}

    def reply(self, body):
        self.asked.append(body)
        if found := list(faults(body)):
            self.faults += found
            return Refusal(400, found[0])
        return self.answer(body)


def faults(body):
    """What OpenAI or Anthropic would refuse in a conversation with tools."""
    offered = body.get("tools")
    if offered is not None and not offered:
        yield "'tools' is empty"
    yield from (f"no name: {tool}" for tool in offered or () if not _NAME.fullmatch(tool["function"]["name"]))
    expected = []
    for message in body["messages"]:
        if expected or message["role"] == "tool":
            wanted = expected.pop(0) if expected else None
            if message["role"] != "tool" or message["tool_call_id"] != wanted:
                yield f"{wanted} is not answered by {message}"
        for asked in message.get("tool_calls") or ():
            expected.append(asked["id"])
            if not _NAME.fullmatch(asked["function"]["name"]):
                yield f"no name: {asked}"
            if not isinstance(json.loads(asked["function"]["arguments"]), dict):
                yield f"no object: {asked}"
            if not offered:
                yield "calls without 'tools'"
    if expected:
        yield f"{expected} are not answered"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    provider: Provider

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        reply = self.provider.reply(body)
        if isinstance(reply, Refusal):
            self.whole(reply.status, json.dumps({"error": {"message": reply.message}}).encode(), "application/json")
            return
        head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": body["model"]}
        finish = "stop" if isinstance(reply, str) else "tool_calls"
        choices = [{"index": 0, "delta": delta, "finish_reason": None} for delta in self.provider.deltas(reply)]
        choices.append({"index": 0, "delta": {}, "finish_reason": finish})
        chunks = [head | {"choices": [choice]} for choice in choices]
        chunks.append(head | {"choices": [], "usage": self.provider.usage})
        lines = [*map(json.dumps, chunks), "[DONE]"]
        self.whole(200, "".join(f"data: {line}\n\n" for line in lines).encode(), "text/event-stream")

    def whole(self, status, data, kind):
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


@contextmanager
def scripted_provider():
    """A running provider, and the URL that a key names."""
    provider = Provider()
    with http_server(type("Handler", (_Handler,), {"provider": provider})) as port:
        yield provider, f"http://127.0.0.1:{port}/v1"
