"""Reading large bodies in a process of its own."""

# Python runs one thing at a time, and a JSON text of 10 MB is read in one go: with 200,000 messages nobody else would
# be served for most of a second. So another process reads it, checks it, counts its characters and hashes it. What
# comes back are the small fields as values, and the large ones as JSON text, which is passed on to a provider as it is.

from __future__ import annotations

import asyncio
import hashlib
import importlib
import os
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import msgspec

from jupyter_server_ext.errors import BadRequest, RsqlGatewayError, TooLarge
from jupyter_server_ext.handlers import requests
from jupyter_server_ext.handlers.requests import ReadBody
from jupyter_server_ext.messages import Weighed, characters, letters
from jupyter_server_ext.questions import question_of

if TYPE_CHECKING:
    from collections.abc import Callable

    Fields = dict[str, Any]
    Shape = Callable[[Fields], Fields]

_INLINE = 16 * 1024  # bytes of JSON up to which a field comes back as a value
_MOST_MEMORY = 3 << 30  # of the process; 10 MB of brackets are no more than 1 GB of lists
_SPENT = 400 << 20  # beyond it the process ends after its answer, so that the memory is given back
_FRAME = struct.Struct("!QQ")
_START = "from jupyter_server_ext.handlers.reading import main; main()"


class _ReadBody(msgspec.Struct):
    """What the process says of a body: an error, or the fields and the lengths of what follows as text."""

    error: dict[str, Any] | None = None
    sent: dict[str, Any] = msgspec.field(default_factory=dict)
    asked: dict[str, Any] = msgspec.field(default_factory=dict)
    lengths: list[tuple[str, str, int]] = msgspec.field(default_factory=list)
    weighed: Weighed = msgspec.field(default_factory=Weighed)
    fingerprint: str = ""


class BodyReader:
    """Reads large bodies, one after the other, in a process that starts with the first and ends with ``close``."""

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None
        self._process: subprocess.Popen[bytes] | None = None

    async def read(self, body: bytes, shape: Shape) -> ReadBody:
        """The fields of a JSON body; ``shape``, a function of a module, makes the body in OpenAI's form from it.

        Raises:
            BadRequest: It is not JSON, or a field is wrong.
            TooLarge: Its values need more memory than there is.
        """
        if self._thread is None:
            # One at a time: several bodies of 10 MB of brackets would need gigabytes together.
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="rsql-bodies")
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._ask, body, shape)

    def close(self) -> None:
        """End the process."""
        if self._thread is not None:
            self._thread.shutdown()
        self._end()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()  # else a zombie is left, with its pipes open

    def _ask(self, body: bytes, shape: Shape) -> ReadBody:
        for last in (False, True):  # the process may have ended after the body before
            if self._process is None:
                # It ends when this one does, as its standard input does. Nothing that could hold a key is in its
                # environment.
                names = ("PATH", "PYTHONPATH", "HOME", "LANG", "SYSTEMROOT", "VIRTUAL_ENV")
                self._process = subprocess.Popen(  # noqa: S603 - words of our own
                    [sys.executable, "-c", _START],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    env={name: os.environ[name] for name in names if name in os.environ},
                    start_new_session=True,  # Ctrl-C is the gateway's to deal with
                )
            try:
                return _asked(self._process, body, shape)
            except (OSError, EOFError):
                self._end()
                if last:
                    # Twice means that it is this body that ends the process.
                    raise TooLarge("The body cannot be read. Send less in one request.") from None
        raise AssertionError


def _asked(process: subprocess.Popen[bytes], body: bytes, shape: Shape) -> ReadBody:
    into, out = cast("BinaryIO", process.stdin), cast("BinaryIO", process.stdout)
    name = f"{shape.__module__}:{shape.__qualname__}".encode()
    _write(into, name, body)
    head, texts = _read(out)
    reply = msgspec.json.decode(head, type=_ReadBody)
    if reply.error is not None:
        raise (TooLarge if reply.error["status"] == TooLarge.status else BadRequest)(**reply.error)
    at = 0
    for field, part, length in reply.lengths:
        getattr(reply, part)[field] = msgspec.Raw(texts[at : at + length])
        at += length
    return ReadBody(reply.sent, reply.asked, reply.weighed, reply.fingerprint)


def _write(file: BinaryIO, first: bytes, second: bytes) -> None:
    file.write(_FRAME.pack(len(first), len(second)))
    file.write(first)
    file.write(second)
    file.flush()


def _read(file: BinaryIO) -> tuple[bytes, bytes]:
    head = file.read(_FRAME.size)
    if len(head) < _FRAME.size:
        raise EOFError
    first, second = _FRAME.unpack(head)
    parts = file.read(first), file.read(second)
    if len(parts[1]) < second:
        raise EOFError
    return parts


# In the other process ------------------------------------------------------------------------------------------------


def main() -> None:
    """Read bodies from standard input and answer on standard output, until its end."""
    with suppress(ImportError, ValueError, OSError):
        import resource  # not on Windows

        resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
    with suppress(EOFError):
        while True:
            name, body = _read(sys.stdin.buffer)
            _write(sys.stdout.buffer, *_answer(name.decode(), body))
            with suppress(ImportError):
                import resource

                if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 > _SPENT:
                    return


def _answer(shape: str, body: bytes) -> tuple[bytes, bytes]:
    module, _, name = shape.partition(":")
    try:
        reply, texts = _taken_apart(body, getattr(importlib.import_module(module), name))
        return msgspec.json.encode(reply), texts
    except RsqlGatewayError as error:
        refusal = {"message": error.message, "param": error.param, "code": error.code, "status": error.status}
    except (MemoryError, RecursionError):
        refusal = {"message": "The body holds too many values. Send less in one request.", "status": TooLarge.status}
    return msgspec.json.encode(_ReadBody(error=refusal)), b""


def _taken_apart(body: bytes, shape: Shape) -> tuple[_ReadBody, bytes]:
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
    unasked = {name: value for name, value in sent.items() if name not in {"messages", "input", "message", "context"}}
    for part, fields in (("sent", {} if asked is sent else unasked), ("asked", asked)):
        for name, value in fields.items():
            text = msgspec.json.encode(value)
            if len(text) <= _INLINE:
                getattr(reply, part)[name] = value
            else:
                reply.lengths.append((name, part, len(text)))
                texts.append(text)
    return reply, b"".join(texts)
