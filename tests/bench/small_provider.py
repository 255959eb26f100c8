"""A provider that costs next to nothing, for the gateway's benchmark: python small_provider.py PORT WORDS PAUSE."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any


def event(**more: Any) -> bytes:
    """One event of a stream, as a chunk of HTTP."""
    data = json.dumps({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", **more}).encode()
    return b"%x\r\ndata: %s\n\n\r\n" % (len(data) + 8, data)


class Answers:
    """The two answers there are, made once."""

    def __init__(self, words: int) -> None:
        usage = {"prompt_tokens": 7, "completion_tokens": words, "total_tokens": 7 + words}
        word = event(choices=[{"index": 0, "delta": {"content": "word "}, "finish_reason": None}])
        stop = event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
        done = b"e\r\ndata: [DONE]\n\n\r\n"
        self.stream = [word] * words + [stop, event(choices=[], usage=usage), done]
        self.end = b"0\r\n\r\n"
        self.head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "word " * words}}
        body = json.dumps({"id": "c", "object": "chat.completion", "created": 1, "usage": usage, "choices": [choice]})
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        self.whole = (head + body).encode()


class Served(asyncio.Protocol):
    """One connection."""

    def __init__(self, answers: Answers, pause: float) -> None:
        self._answers, self._pause, self._buffer = answers, pause, b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        lengths = [line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        if found and len(body) >= int(lengths[0]):
            self._buffer = b""
            self._answer(is_stream=b'"stream":true' in body.replace(b" ", b""))

    def _answer(self, *, is_stream: bool) -> None:
        answers = self._answers
        if not is_stream:
            self._transport.write(answers.whole)
        elif not self._pause:
            self._transport.write(answers.head + b"".join(answers.stream) + answers.end)
        else:
            self._slow = asyncio.ensure_future(self._slowly())

    async def _slowly(self) -> None:
        self._transport.write(self._answers.head)
        for part in self._answers.stream:
            self._transport.write(part)
            await asyncio.sleep(self._pause)
        self._transport.write(self._answers.end)


async def main(port: int, words: int, pause: float) -> None:
    """Serve until killed."""
    answers, loop = Answers(words), asyncio.get_running_loop()
    server = await loop.create_server(lambda: Served(answers, pause), "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
