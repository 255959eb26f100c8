"""What the data have against a draft in R: told to the model once, and always to the person."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from e2e.r_session import rscript
from e2e.test_r import ORDERS
from e2e.test_r_replies import words
from whole_replies import WholeReplies

pytestmark = pytest.mark.usefixtures("real_r")


@pytest.fixture
def scripted():
    """A provider that gives the replies it is handed, and keeps what it was sent."""
    replies, sent = [], []

    class Handler(WholeReplies, BaseHTTPRequestHandler):
        def do_GET(self):
            self.whole(b"{}", "application/json")

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            sent.append(body["messages"][-1]["content"])
            lines = words(f"```sql\n{replies.pop(0)}\n```")
            self.whole("".join(f"{line}\n\n" for line in lines).encode(), "text/event-stream")

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield {"RSQL_GATEWAY_URL": f"http://127.0.0.1:{server.server_port}/rsql/", "RSQL_GATEWAY_TOKEN": "t"}, replies, sent
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_draft_that_the_data_deny_is_told_once_in_r(scripted):
    gateway, replies, sent = scripted
    count = "SELECT COUNT(*) AS n FROM orders WHERE region = '{}'"
    replies += [count.format("North"), count.format("N"), count.format("South")]
    shown = 'cat("\\nTOTAL", rows$n, "NOTES", attr(rows, "notes"), "\\n")'
    first = f'rows <- sql_ai("How many there?", con, model = "m"); {shown}\n'
    out = rscript(f"{ORDERS}{first}{first.replace('con,', 'con, retries = 0,')}", gateway)
    found = [line for line in out.splitlines() if line.startswith("TOTAL")]
    assert "- No row of orders has region = 'North'." in sent[1]
    assert [line.split()[1] for line in found] == ["2", "0"]
    assert "No row" not in found[0]
    assert "No row of orders has region = 'South'" in found[1]
    assert replies == []
