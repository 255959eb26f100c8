"""A proxy on this machine that keeps every reply of a model on disk, so that a question asked again costs nothing."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PASSED_ON = ("authorization", "content-type", "accept")
_MOST_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply of the model, kept or new.

    Args:
        request: The body that was sent.
        status: The HTTP status.
        text: The body of the reply.
        seconds: What the model took when it was asked.
    """

    request: dict[str, Any]
    status: int
    text: str
    seconds: float

    @property
    def content(self) -> str:
        """The words of the answer, of a stream or of a whole reply."""
        return "".join(
            choice.get("delta", choice.get("message", {})).get("content") or ""
            for chunk in self._chunks()
            for choice in chunk.get("choices", ())
        )

    @property
    def calls(self) -> bool:
        """Whether the model calls tools in place of an answer."""
        choices = (choice for chunk in self._chunks() for choice in chunk.get("choices", ()))
        return any((choice.get("delta") or choice.get("message") or {}).get("tool_calls") for choice in choices)

    @property
    def usage(self) -> dict[str, Any]:
        """The tokens that the server counted."""
        return next((chunk["usage"] for chunk in reversed(self._chunks()) if chunk.get("usage")), {})

    def _chunks(self) -> list[dict[str, Any]]:
        streamed = self.text.lstrip().startswith(("data:", ":", "event:"))
        found = (line.removeprefix("data:").strip() for line in (self.text.splitlines() if streamed else [self.text]))
        return [json.loads(line) for line in found if line.startswith("{")]


@dataclass
class Replies:
    """The replies of a model at ``url``, each asked for once and kept in ``folder`` from then on.

    Args:
        url: Base URL of an OpenAI-compatible server, without ``v1``.
        folder: Holds a JSON file for each reply.
    """

    url: str
    folder: Path
    _new: list[Reply] = field(default_factory=list)
    _client: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=_MOST_SECONDS, trust_env=False))

    def complete(self, path: str, body: dict[str, Any], headers: dict[str, str]) -> Reply:
        """The reply to a chat completion. One that is an error is not kept."""
        canonical = json.dumps([self.url, path, body], sort_keys=True)
        file = self.folder / f"{hashlib.sha256(canonical.encode()).hexdigest()[:24]}.json"
        if file.exists():
            kept = json.loads(file.read_text(encoding="utf-8"))
        else:
            began = time.perf_counter()
            response = self._client.post(self.url + path, json=body, headers=headers)
            kept = {"status": response.status_code, "text": response.text, "seconds": time.perf_counter() - began}
            if response.is_success:
                self.folder.mkdir(parents=True, exist_ok=True)
                file.write_text(json.dumps({**kept, "request": body}), encoding="utf-8")
        reply = Reply(body, kept["status"], kept["text"], kept["seconds"])
        self._new.append(reply)
        return reply

    def get(self, path: str, headers: dict[str, str]) -> httpx.Response:
        """What the server says at a route that asks no model."""
        return self._client.get(self.url + path, headers=headers)

    def taken(self) -> list[Reply]:
        """The replies since this was last called."""
        taken, self._new = self._new, []
        return taken

    @contextmanager
    def served(self) -> Iterator[str]:
        """The URL of a proxy on 127.0.0.1 that answers with these replies, until the block ends."""
        replies = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                reply = replies.complete(self.path[1:], body, self._headers())
                kind = "text/event-stream" if body.get("stream") else "application/json"
                self._send(reply.status, kind, reply.text.encode())

            def do_GET(self) -> None:
                response = replies.get(self.path[1:], self._headers())
                self._send(response.status_code, response.headers.get("content-type", ""), response.content)

            def _headers(self) -> dict[str, str]:
                return {name: value for name in _PASSED_ON if (value := self.headers.get(name))}

            def _send(self, status: int, kind: str, content: bytes) -> None:
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
                """Nothing: the page lists the replies."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            server.server_close()
