"""Reading large bodies in a process of its own."""

# Python runs one thing at a time, and a JSON text of 10 MB is read in one go: with 200,000 messages nobody else would
# be served for most of a second. So another process reads it, checks it, counts its characters and hashes it. What
# comes back are the small fields as values, and the large ones as JSON text, which is passed on to a provider as it is.

from __future__ import annotations

import hashlib
import importlib
from typing import TYPE_CHECKING, Any

import msgspec

from jupyter_server_ext.errors import BadRequest, RsqlGatewayError, TooLarge
from jupyter_server_ext.handlers import requests
from jupyter_server_ext.handlers.requests import ReadBody
from jupyter_server_ext.messages import Weighed, characters, letters
from jupyter_server_ext.questions import question_of
from jupyter_server_ext.worker import Worker, WorkerEnded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Fields = dict[str, Any]
    Shape = Callable[[Fields], Fields]

_SMALL = 1_100  # bytes of JSON up to which a field comes back as a value: the longest name of a model
_INLINE = 16 * 1024  # up to which one does as long as all of these have no more than …
_ALL_INLINE = 64 * 1024


class _ReadBody(msgspec.Struct):
    """What the process says of a body: an error, or the fields and which of them follow as text."""

    error: dict[str, Any] | None = None
    sent: dict[str, Any] = msgspec.field(default_factory=dict)
    asked: dict[str, Any] = msgspec.field(default_factory=dict)
    large: list[tuple[str, str]] = msgspec.field(default_factory=list)  # field and part of each text
    weighed: Weighed = msgspec.field(default_factory=Weighed)
    fingerprint: str = ""


class BodyReader:
    """Reads large bodies, one after the other, in a process that starts with the first and ends with ``close``."""

    def __init__(self) -> None:
        self._worker = Worker("rsql-bodies")

    async def read(self, body: bytes, shape: Shape) -> ReadBody:
        """The fields of a JSON body; ``shape``, a function of a module, makes the body in OpenAI's form from it.

        Raises:
            BadRequest: It is not JSON, or a field is wrong.
            TooLarge: Its values need more memory than there is.
        """
        named = f"{shape.__module__}:{shape.__qualname__}".encode()
        try:
            head, *texts = await self._worker.run(answer, named + b"\n" + body)
        except WorkerEnded:
            raise TooLarge("The body cannot be read. Send less in one request.") from None
        reply = msgspec.json.decode(head, type=_ReadBody)
        if reply.error is not None:
            raise (TooLarge if reply.error["status"] == TooLarge.status else BadRequest)(**reply.error)
        for (field, part), text in zip(reply.large, texts, strict=True):
            getattr(reply, part)[field] = msgspec.Raw(text)
        return ReadBody(reply.sent, reply.asked, reply.weighed, reply.fingerprint)

    def close(self) -> None:
        """End the process."""
        self._worker.close()


# In the other process ------------------------------------------------------------------------------------------------


def answer(named: bytes) -> Iterator[bytes]:
    """What the process says of a body after the name of its shape: the head, and the large fields as JSON."""
    shape, _, body = named.partition(b"\n")
    module, _, name = shape.decode().partition(":")
    try:
        reply, texts = _taken_apart(body, getattr(importlib.import_module(module), name))
    except RsqlGatewayError as error:
        refusal = {"message": error.message, "param": error.param, "code": error.code, "status": error.status}
        reply, texts = _ReadBody(error=refusal), []
    except (MemoryError, RecursionError):
        refusal = {"message": "The body holds too many values. Send less in one request.", "status": TooLarge.status}
        reply, texts = _ReadBody(error=refusal), []
    yield msgspec.json.encode(reply)
    yield from texts


def _taken_apart(body: bytes, shape: Shape) -> tuple[_ReadBody, list[bytes]]:
    sent = requests.json_object(body)
    asked = shape(sent)
    if "messages" in asked:
        requests.check_messages(asked["messages"])
    question = asked.get("messages", asked.get("input"))
    as_json = msgspec.json.encode(question)
    messages: Any = question if "messages" in asked else []
    leads = bool(messages) and messages[0].get("role") == "system" and isinstance(messages[0].get("content"), str)
    weighed = Weighed(
        characters=characters(asked),
        letters=letters(question, as_json),
        size=len(msgspec.json.encode(asked)),
        prompt_hash=hashlib.sha256(as_json).hexdigest(),
        system=1 + len(msgspec.json.encode(messages[0])) if leads else 0,
        last=len(msgspec.json.encode(messages[-1])) if messages else 0,
        question=question_of(messages),
    )
    reply = _ReadBody(weighed=weighed, fingerprint=requests.fingerprint_of(sent))
    texts: list[bytes] = []
    inline = _ALL_INLINE
    unasked = {name: value for name, value in sent.items() if name not in {"messages", "input", "message", "context"}}
    for part, fields in (("sent", {} if asked is sent else unasked), ("asked", asked)):
        for name, value in fields.items():
            text = msgspec.json.encode(value)
            if len(text) <= _SMALL or len(text) <= min(_INLINE, inline):
                inline -= len(text) if len(text) > _SMALL else 0
                getattr(reply, part)[name] = value
            else:
                reply.large.append((name, part))
                texts.append(text)
    return reply, texts
