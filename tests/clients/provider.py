"""A provider whose answers show what reached it: tools, forms of answers, vectors, and refusals on request.

What it does depends on the request alone, so a client's way through the gateway can be told from the client's own
words: with tools it calls the first one, then repeats what the tool said; without, it says how many messages came.
"""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

REFUSALS = {
    "limited": (429, {"message": "Rate limit reached.", "type": "requests", "code": "rate_limit_exceeded"}),
    "wrong": (400, {"message": "'temperature' is too high.", "type": "invalid_request_error", "param": "temperature"}),
}
"""Statuses and errors by model."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.whole(200, {"object": "list", "data": []})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.seen.append((self.path, body))
        if refusal := REFUSALS.get(body["model"]):
            self.whole(refusal[0], {"error": refusal[1]})
        elif self.path.endswith("/embeddings"):
            self.embed(body)
        elif body.get("stream"):
            self.stream(body)
        else:
            message, finish = answer(body)
            self.whole(200, completion(body, message=message, finish_reason=finish) | {"usage": usage()})

    def embed(self, body):
        if "embedding" not in body["model"]:
            self.whole(401, {"error": {"message": "This key has no embeddings.", "code": "invalid_api_key"}})
            return
        texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
        data = [{"object": "embedding", "index": n, "embedding": [len(t), 0.5]} for n, t in enumerate(texts)]
        told = {"prompt_tokens": 7, "total_tokens": 7}
        self.whole(200, {"object": "list", "model": body["model"], "data": data, "usage": told})

    def stream(self, body):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        message, finish = answer(body)
        deltas = [{"role": "assistant", "content": ""}]
        deltas += [{"content": piece} for piece in (message["content"] or "").split("|")]
        for at, call in enumerate(message.get("tool_calls", ())):
            function = call["function"]
            arguments = function["arguments"]
            deltas.append({"tool_calls": [{**call, "index": at, "function": {**function, "arguments": ""}}]})
            deltas += [
                {"tool_calls": [{"index": at, "function": {"arguments": a}}]} for a in (arguments[:4], arguments[4:])
            ]
        for delta in deltas:
            self.event(completion(body, delta=delta, finish_reason=None))
        self.event(completion(body, delta={}, finish_reason=finish))
        self.event({"choices": [], "usage": usage()})
        self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True

    def event(self, chunk):
        self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
        self.wfile.flush()

    def whole(self, status, value):
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


def answer(body):
    """The message for a request, and why it ends."""
    last = body["messages"][-1]
    if body.get("tools") and last["role"] != "tool":
        wanted = body["tools"][0]["function"]
        properties = (wanted.get("parameters") or {}).get("properties") or {}
        arguments = dict.fromkeys(properties, "Oslo")
        call = {"name": wanted["name"], "arguments": json.dumps(arguments)}
        calls = [{"id": "call_1", "type": "function", "function": call}]
        return {"role": "assistant", "content": None, "tool_calls": calls}, "tool_calls"
    if (body.get("response_format") or {}).get("type") in {"json_schema", "json_object"}:
        return {"role": "assistant", "content": '{"city": "Oslo", "population": 700000}'}, "stop"
    if last["role"] == "tool":
        return {"role": "assistant", "content": f"The tool| said {last['content']}."}, "stop"
    if (body.get("max_completion_tokens") or body.get("max_tokens") or 99) < 5:
        return {"role": "assistant", "content": "Cut"}, "length"
    return {"role": "assistant", "content": f"{len(body['messages'])} messages| came."}, "stop"


def completion(body, **choice):
    kind = "chat.completion" + (".chunk" if "delta" in choice else "")
    choices = [{"index": 0, "logprobs": None, **choice}]
    return {"id": "chatcmpl-1", "object": kind, "created": 1, "model": body["model"], "choices": choices}


def usage():
    return {
        "prompt_tokens": 11,
        "completion_tokens": 5,
        "total_tokens": 16,
        "prompt_tokens_details": {"cached_tokens": 3},
    }


@contextmanager
def provider(port=0):
    """A running provider: ``url``, and ``seen``, the paths and bodies that came."""
    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    server.seen = []
    server.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
