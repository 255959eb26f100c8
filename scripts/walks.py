"""Count how far a request walks through the code: files, functions, and moves from one file to another.

    .venv/bin/python scripts/walks.py            # each road; exits with 1 where one is over its limit
    .venv/bin/python scripts/walks.py --files    # with the files of each, and the functions called in them

Each road is walked once to warm up and three times to be counted, and the shortest walk is told: what other threads do
at times only adds to it. It is walked in this process and on the checkout that the script stands in: a streamed
completion through a gateway with its ledger on disk; one cell of ``%%sql_ai`` and of ``%%ask``, a question in the panel
and a round of *Do* against replies that are written here. Only functions of ``rsql_magic`` and ``jupyter_server_ext``
count; lambdas and comprehensions do not. A move is a call of a function in another file than that of the call before,
in the same thread.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import threading
import time
from collections import defaultdict
from contextlib import AsyncExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parent.parent
# What is installed may be another checkout than the one to be measured.
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import duckdb
import httpx
import pandas as pd
from IPython.core.interactiveshell import InteractiveShell
from panel_talk import Talk
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from traitlets.config import Config

from jupyter_server_ext.app.assembly import build_app
from jupyter_server_ext.app.serve import web_application
from jupyter_server_ext.config import KeySettings, Secret, Settings
from jupyter_server_ext.config.settings import ApiKeySettings, StorageSettings
from rsql_magic.assistant import Assistant
from rsql_magic.gateway import LLMClient
from rsql_magic.notebook import load

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

PACKAGES = tuple(f"{ROOT}/{name}/" for name in ("rsql_magic", "jupyter_server_ext"))

LIMITS = {
    "stream": (34, 195),
    "%%sql_ai": (59, 405),
    "%%ask": (38, 215),
    "panel": (55, 375),
    "do": (63, 610),
}
"""The most files and moves that each road may take: today's, so that none grows.

Threads that meet at another moment make a few moves more or less, which the limits leave room for.
"""

TIMES = 3  # that each road is walked to be counted

Function = tuple[str, str]


@dataclass
class Walk:
    """What one request passed through."""

    functions: set[Function] = field(default_factory=set)
    moves: int = 0

    @property
    def files(self) -> dict[str, list[str]]:
        """The functions called, by file."""
        files = defaultdict(list)
        for file, name in sorted(self.functions):
            files[file].append(name)
        return dict(files)


class Recorder:
    """A profile function that fills ``walk`` while there is one."""

    def __init__(self) -> None:
        self.walk: Walk | None = None
        self.file = threading.local()

    def __call__(self, frame: FrameType, event: str, _argument: object) -> None:
        """Note a call of one of our functions, and whether it is in another file than the one before."""
        if self.walk is None or event != "call" or not (called := _function(frame)):
            return
        self.walk.functions.add(called)
        self.walk.moves += getattr(self.file, "name", called[0]) != called[0]
        self.file.name = called[0]

    @contextmanager
    def recording(self) -> Iterator[Walk]:
        """The walk of what runs inside."""
        walk = Walk()
        self.walk, self.file = walk, threading.local()
        try:
            yield walk
        finally:
            self.walk = None


def shortest(walks: Sequence[Walk]) -> Walk:
    """The walk of the fewest moves."""
    return min(walks, key=lambda walk: walk.moves)


def _function(frame: FrameType) -> Function | None:
    code = frame.f_code
    if not code.co_filename.startswith(PACKAGES) or code.co_name.startswith("<"):
        return None
    return code.co_filename.removeprefix(f"{ROOT}/"), code.co_qualname


def _events(reply: str) -> bytes:
    """The events of a streamed reply, a word at a time."""
    chunks: list[dict[str, Any]] = [
        {"model": "m", "choices": [{"delta": {"content": f"{word} "}}]} for word in reply.split(" ")
    ]
    usage = {"prompt_tokens": 100, "completion_tokens": 20}
    chunks.append({"model": "m", "choices": [{"delta": {}, "finish_reason": "stop"}], "usage": usage})
    return "".join([*(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks), "data: [DONE]\n\n"]).encode()


async def _provider(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer each request of a connection with the same stream."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    with suppress(asyncio.IncompleteReadError):
        while asked := await reader.readuntil(b"\r\n\r\n"):
            await reader.readexactly(int(asked.lower().split(b"content-length:")[1].split(b"\r\n")[0]))
            writer.write(head)
            for event in _events("From JFK 111279 flights left.").splitlines(keepends=True):
                writer.write(b"%x\r\n%s\r\n" % (len(event), event))
                await writer.drain()
            writer.write(b"0\r\n\r\n")
    writer.close()


async def stream(recorder: Recorder) -> Walk:
    """The walk of a streamed completion: a key, a caller with a token, the ledger in SQLite on disk."""
    body = {"model": "m", "messages": [{"role": "user", "content": "How many flights?"}], "stream": True}
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncExitStack() as stack:
            provider = await stack.enter_async_context(await asyncio.start_server(_provider, "127.0.0.1", 0))
            url = f"http://127.0.0.1:{provider.sockets[0].getsockname()[1]}/v1"
            settings = Settings(
                default_model="m",
                keys=(KeySettings("sim", Secret("sk-0123456789abcd"), url, name="k", models=("m",)),),
                api_keys=(ApiKeySettings("ada", Secret("ada-token")),),
                storage=StorageSettings(ledger=f"sqlite:///{folder}/rsql.db"),
            )
            app = build_app(settings, [], "/rsql/")
            await app.gateway.start()
            stack.push_async_callback(app.gateway.close)
            server = HTTPServer(web_application(app))
            socket, port = bind_unused_port()
            server.add_socket(socket)
            stack.push_async_callback(server.close_all_connections)
            stack.callback(server.stop)
            client = await stack.enter_async_context(httpx.AsyncClient(trust_env=False, timeout=60))
            counted = []
            for record in (nullcontext, *[recorder.recording] * TIMES):
                await asyncio.sleep(1.0)  # what a gateway does once, after its start, is no part of a request
                with record() as walk:
                    url = f"http://127.0.0.1:{port}/rsql/v1/chat/completions"
                    reply = await client.post(url, json=body, headers={"Authorization": "Bearer ada-token"})
                    reply.raise_for_status()
                    await asyncio.sleep(0.2)  # what ends after the last byte, as the ledger's entry does
                counted += [walk] if walk else []
    return shortest(counted)


@contextmanager
def _session(reply: str) -> Iterator[InteractiveShell]:
    """A shell with a frame ``sales`` and a DuckDB connection ``con``, in which every question gets the same reply."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/models"):
            return httpx.Response(200, json={"data": [{"id": "m"}]})
        if not request.url.path.endswith("/chat/completions"):
            return httpx.Response(404, json={"error": {"message": "No such page.", "code": "not_found"}})
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=_events(reply))

    config = Config()
    config.HistoryManager.enabled = False
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance(config=config)
    client = LLMClient("http://gateway/rsql/", "token", transport=httpx.MockTransport(answer))
    load(shell, Assistant(client=client, environ={}))
    shell.user_ns["sales"] = pd.DataFrame({"region": ["N", "S", "N"] * 5, "amount": range(15)})
    connection = shell.user_ns["con"] = duckdb.connect()
    connection.execute("CREATE TABLE orders AS SELECT i AS id, i % 3 AS shop, i * 1.5 AS total FROM range(3000) t(i)")
    try:
        yield shell
    finally:
        connection.close()


def cell(recorder: Recorder, magic: str, question: str, reply: str) -> Walk:
    """The walk of one cell."""
    with _session(reply) as shell:
        shell.run_cell(f"{magic}\n{question}").raise_error()
        counted = []
        for _ in range(TIMES):
            with recorder.recording() as walk:
                shell.run_cell(f"{magic}\n{question}").raise_error()
            counted.append(walk)
    return shortest(counted)


def panel(recorder: Recorder, request: str, question: str, reply: str, **more: Any) -> Walk:
    """The walk of one question in the panel (``ask``), or of one round of *Do* (``do``)."""
    with _session(reply) as shell:
        talk = Talk(shell, None)

        def turn() -> None:
            begun = talk.do(request, thread=talk.thread, text=question, **more)
            ended = talk.ended(begun["exchange"]["id"])
            assert ended["state"] == "done", ended
            time.sleep(0.5)  # what ends after the answer, as the note of it on disk

        turn()
        counted = []
        for _ in range(TIMES):
            with recorder.recording() as walk:
                turn()
            counted.append(walk)
        talk.panel.close()
    return shortest(counted)


def walks() -> dict[str, Walk]:
    """The walk of each road."""
    recorder = Recorder()
    threading.setprofile(recorder)  # the ledger and the client's event loop have threads of their own
    sys.setprofile(recorder)
    try:
        sql = "```sql\nSELECT shop, sum(total) AS total FROM orders GROUP BY shop\n```\nThe total of each shop."
        code = "```python\nsales.groupby('region')['amount'].mean()\n```\nThe mean of each region."
        cells = [{"id": "a", "type": "code", "source": "sales.groupby('regoin').amount.sum()", "state": "failed [1]"}]
        notebook = {"cells": cells, "active": 0}
        edit = f"### edit cell 1: the column is called region\n{code.partition('The ')[0]}"
        change = f"The column is called region.\n\n{edit}"
        return {
            "stream": asyncio.run(stream(recorder)),
            "%%sql_ai": cell(recorder, "%%sql_ai con", "total per shop", sql),
            "%%ask": cell(recorder, "%%ask", "mean amount of sales per region", code),
            "panel": panel(recorder, "ask", "mean amount of sales per region", code),
            "do": panel(recorder, "do", "Mend the sums", change, notebook=notebook),
        }
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


def main() -> int:
    """Print the counts beside the limits.

    Returns:
        1 where a road is over its limit, else 0.
    """
    arguments = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    arguments.add_argument("--files", action="store_true", help="list files and functions")
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as home:  # what the panel keeps goes there
        os.environ.update(HOME=home, JUPYTER_DATA_DIR=home, IPYTHONDIR=home)
        found = walks()
    print(f"{'road':10}{'files':>12}{'functions':>12}{'moves':>14}")
    over = []
    for road, walk in found.items():
        files, moves = LIMITS[road]
        print(f"{road:10}{len(walk.files):>5} of {files:<4}{len(walk.functions):>11}{walk.moves:>8} of {moves:<4}")
        for file, names in walk.files.items() if options.files else ():
            print(f"    {file}: {', '.join(names)}")
        if len(walk.files) > files or walk.moves > moves:
            over.append(road)
    if over:
        print(f"over the limit: {', '.join(over)}")
    return int(bool(over))


if __name__ == "__main__":
    sys.exit(main())
