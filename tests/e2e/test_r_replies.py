"""Replies of any shape in R: ask() and sql_ai() end in an answer or in one sentence of their own, not of R."""

from __future__ import annotations

import json
import random
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from e2e.r_session import rscript
from e2e.test_r import ORDERS
from odd_replies import QUERIES, replies
from whole_replies import WholeReplies

pytestmark = pytest.mark.usefixtures("real_r")

REPLIES = replies() | QUERIES
NAMES = sorted(REPLIES)
OF_R = r"object '|subscript|\$ operator|non-character|invalid|unused argument|lexical error|argument is|embedded nul"
"""Words of R's own errors."""


class Handler(WholeReplies, BaseHTTPRequestHandler):
    """Replies by the number of the model."""

    def do_GET(self):
        self.whole(b"{}", "application/json")

    def do_POST(self):
        model = json.loads(self.rfile.read(int(self.headers["content-length"])))["model"]
        reply = REPLIES[NAMES[int(model)]]
        if isinstance(reply, httpx.Response):
            self.whole(reply.content, "application/json")
            return
        lines = reply if isinstance(reply, list) else words(reply)
        self.whole("".join(f"{line}\n\n" for line in lines).encode(), "text/event-stream")


def words(text):
    """The lines of a streamed answer, a word at a time."""
    for word in re.findall(r"\S+\s*|\s+", text):
        yield "data: " + json.dumps({"model": "m", "choices": [{"delta": {"content": word}}]})
    yield "data: [DONE]"


@pytest.fixture(scope="module")
def provider():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield {"RSQL_GATEWAY_URL": f"http://127.0.0.1:{server.server_port}/rsql/", "RSQL_GATEWAY_TOKEN": "t"}
    server.shutdown()
    server.server_close()
    thread.join()


def ends(provider, call, names, timeout=240):
    """How a call ends with each of these replies: 'answer', or what the error says."""
    numbers = ", ".join(f'"{NAMES.index(name)}"' for name in names)
    code = f"""
    for (number in c({numbers})) {{
      said <- suppressMessages(tryCatch({{ {call}; "answer" }}, error = conditionMessage))
      cat("\\nENDS ", as.character(jsonlite::toJSON(said, auto_unbox = TRUE)), "\\n", sep = "")
    }}
    """
    out = rscript(ORDERS + code, provider, timeout=timeout)
    found = [json.loads(line[5:]) for line in out.splitlines() if line.startswith("ENDS ")]
    return dict(zip(names, found, strict=True))


def assert_ends_well(ended):
    for name, said in ended.items():
        assert said.strip(), name
        assert "\n" not in said.strip(), name
        assert len(said) < 1_000, name
        assert not re.search(OF_R, said), (name, said)


ASK = 'ask("why?", model = number, new = TRUE)'
SQL = 'sql_ai("how many orders?", con, model = number, retries = 0)'


@pytest.mark.parametrize("call", [ASK, SQL], ids=["ask", "sql_ai"])
def test_a_reply_of_any_shape_ends_in_an_answer_or_a_sentence(provider, call):
    assert_ends_well(ends(provider, call, random.Random(3).sample(NAMES, 6)))


def test_silence_is_said_and_an_answer_is_one(provider):
    names = ["empty", "thinking", "NUL", "bare", "thought before"]
    assert list(ends(provider, ASK, names).values()) == [
        "The model answered with nothing.",
        "The model thought, and ended before it answered.",
        "The model answered with nothing.",
        "answer",
        "answer",
    ]


@pytest.mark.sweep
@pytest.mark.parametrize("call", [ASK, SQL], ids=["ask", "sql_ai"])
@pytest.mark.timeout(900)
def test_every_reply_ends_in_one(provider, call):
    assert_ends_well(ends(provider, call, NAMES, timeout=800))
