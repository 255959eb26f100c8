"""r/rsql.R in R itself: by Rscript and in a real IRkernel, with a real gateway, the guard included."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import psutil
import pytest
from e2e.r_session import FILE, SOURCE, rscript, terminal
from jupyter_client.manager import KernelManager

from rsql_magic import prompts

if TYPE_CHECKING:
    from collections.abc import Sequence

FRAME = 'sales <- data.frame(region = rep(c("N", "S"), 50), amount = c(NA, 2:100), mail = "ada@example.org")\n'
ORDERS = """
con <- DBI::dbConnect(RSQLite::SQLite(), ":memory:")
DBI::dbWriteTable(con, "orders", data.frame(id = 1:4, region = c("N", "S", "N", "W"), amount = c(1, 2, 3, 40)))
"""
pytestmark = pytest.mark.usefixtures("real_r")
BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def gateway():
    """What R needs to find a gateway with the offline model."""
    command = [sys.executable, "-m", "jupyter_server_ext", "--port=0"]
    environment = {**os.environ, "JUPYTER_TOKEN": "r-token"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as process:
        url = process.stdout.readline().split("ready at ")[1].strip()
        yield {"RSQL_GATEWAY_URL": url, "RSQL_GATEWAY_TOKEN": "r-token"}
        process.terminate()
        process.stdout.read()


@pytest.fixture(scope="module")
def r(gateway, tmp_path_factory):
    """Runs code in an R that stays; gives what it prints."""
    with terminal(gateway, tmp_path_factory.mktemp("r")) as run:
        yield run


# Rscript, and R in a terminal

DICTIONARY = """
tables:
  orders:
    columns: {id: {kind: id}, region: {display: restricted}}
    metrics: {revenue: {expression: SUM(amount), where: id < 4}}
"""


def test_sql_ai_knows_the_dictionary_in_the_working_directory(gateway, tmp_path):
    (tmp_path / "dictionary.yaml").write_text(DICTIONARY, encoding="utf-8")

    def asked(question: str, before: str = "") -> str:
        said = "message = function(m) cat(conditionMessage(m))"
        ask = f'withCallingHandlers(rows <- sql_ai("{question}", con), {said})\ncat("total", rows[[1]])'
        return rscript(f'setwd("{tmp_path}")\n{before}\n{ORDERS}{ask}', gateway)

    out = asked("What is the revenue?")
    assert "total 6" in out
    assert "By the definition of revenue (dictionary.yaml, line 5)." in out
    assert "described by dictionary.yaml: 1 table, 1 metric" in out
    out = asked("How many orders are there?", "options(rsql.dictionary = FALSE)")
    assert "total 4" in out
    assert "dictionary" not in out


@pytest.mark.spine
def test_a_question_about_frames(gateway):
    out = rscript(FRAME + 'answer <- ask("Which columns of sales have missing values?")\ncat(class(answer))', gateway)
    assert "Values are missing in `amount`" in out
    assert re.search(r"offline · [\d,]+ \+ [\d,]+ tokens · [\d.]+ s", out)
    assert out.endswith("rsql_answer")


@pytest.mark.parametrize(
    ("level", "seen", "unseen"),
    [("names", "- amount integer\n", "2..100"), ("stats", "2..100", "first rows"), ("sample", "first rows", "ada@")],
)
def test_the_levels_are_those_of_python(r, level, seen, unseen):
    secret = "api_key <- 123456789\n"
    out = r(f'{FRAME}{secret}ask("Describe sales", privacy = "{level}", show_context = TRUE)')
    assert seen in out
    assert unseen not in out
    assert "123456789" not in out
    assert "ada@" not in out


def test_show_context_prints_the_whole_request(r):
    out = r('ask("What is a left join?", quiet = TRUE)\nask("Describe sales", show_context = TRUE)')
    assert [line for line in out.splitlines() if line in {"[system]", "[user]", "[assistant]"}] == [
        "[system]",
        "[user]",
        "[assistant]",
        "[user]",
    ]
    assert "You help a data analyst" in out
    assert out.endswith("Question: Describe sales\n\nNothing was sent.\n")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("ask(NULL)", "The question is one text in quotes."),
        ('ask(c("a", "b"))', "The question is one text in quotes."),
        ('sql_ai(" ", con)', "There is no question."),
        ('sql_ai("How many orders?", con, max_rows = "a")', "max_rows is a number of at least 1."),
        ('sql_ai("How many orders?", con, timeout = 0)', "timeout is a number of at least 1."),
    ],
)
def test_wrong_arguments_are_said(r, call, words):
    assert words in r(f"{ORDERS}tryCatch({call}, error = function(e) cat(conditionMessage(e)))")


@pytest.mark.spine
def test_secrets_in_a_question_do_not_leave(r):
    out = r('ask("Write to bob@example.org, password=hunter2secret", show_context = TRUE)')
    assert "[email]" in out
    assert "hunter2" not in out


@pytest.mark.spine
def test_a_query_is_checked_and_run(r):
    out = r(ORDERS + 'x <- sql_ai("What is the average amount by region?", con)\nprint(x[order(x[[1]]), ])')
    assert "AVG(amount)" in out
    assert [line.split()[1:] for line in out.splitlines()[-3:]] == [["N", "2"], ["S", "2"], ["W", "40"]]


def test_a_mistake_is_repaired(r):
    done = r(
        ORDERS + 'x <- withCallingHandlers(sql_ai("What is the average of `amounts` by region?"), '
        'message = function(m) cat("SAID", conditionMessage(m)))'
    )
    assert "SAID draft 1: There is no column amounts in orders. Did you mean orders.amount?" in done
    assert "AVG(amount)" in done


def test_a_slip_is_mended_without_asking_and_the_rounds_are_shown(r):
    code = """
    said <- character()
    asked <- function(question) withCallingHandlers(
      sql_ai(question, con),
      message = function(m) { said <<- c(said, conditionMessage(m)); invokeRestart("muffleMessage") }
    )
    x <- asked("run: SELECT regoin FROM orders WHERE id = 2")
    y <- asked("run: SELECT region, SUM(amount) AS total FROM orders WHERE total > 3 GROUP BY region")
    cat("\n", attr(x, "sql"), "\n", attr(y, "sql"), "\n", nrow(y), "\n", said, sep = "")
    """
    lines = r(ORDERS + code).splitlines()[-7:]
    assert lines[0] == "SELECT region FROM orders WHERE id = 2"
    assert lines[1].endswith("HAVING SUM(amount) > 3")
    assert lines[2] == "2"
    assert lines[3].startswith("draft 1: There is no column regoin")
    assert lines[4] == "draft 2: mended without asking: regoin → region"
    assert lines[5].startswith("draft 1: misuse of aggregate")
    assert lines[6] == "draft 2: mended without asking: WHERE total > 3 → HAVING SUM(amount) > 3"


@pytest.mark.spine
def test_what_would_write_is_refused_and_the_connection_stays_as_it_was(r):
    code = (
        ORDERS
        + """
    said <- tryCatch(sql_ai("run: DELETE FROM orders", con), error = conditionMessage)
    cat(said, "\n", DBI::dbExecute(con, "INSERT INTO orders VALUES (5, 'W', 1)"), nrow(DBI::dbReadTable(con, "orders")))
    """
    )
    out = r(code)
    assert "DELETE changes rows" in out
    assert out.endswith("1 5")


def test_without_the_command_nothing_is_run_and_only_names_leave(gateway, tmp_path):
    copy = shutil.copytree(FILE.parent, tmp_path / "copied") / "rsql.R"
    path = ":".join(p for p in os.environ["PATH"].split(":") if not (Path(p) / "rsql").exists())
    code = (
        f'source("{copy}")\n{ORDERS}{FRAME}'
        + """
    x <- withCallingHandlers(sql_ai("How many orders are there?", con), message = function(m) cat(conditionMessage(m)))
    print(x)
    delayedAssign("later", stop("was run"))
    ask("Describe sales", show_context = TRUE)
    """
    )
    out = rscript(code, {**gateway, "PATH": path})
    assert "later: R promise, not read" in out
    assert "Not run: the rsql command" in out
    assert '"SELECT' in out
    assert "- amount integer" in out
    assert "2..100" not in out


def test_without_the_files_beside_it_it_says_so(tmp_path):
    copy = shutil.copy(FILE, tmp_path)
    done = subprocess.run(["Rscript", "--vanilla", copy], capture_output=True, text=True, check=False)
    assert "rsql.R needs the files that come beside it" in done.stderr
    done = subprocess.run(
        ["Rscript", "--vanilla", "-e", f'source("{copy}")'], capture_output=True, text=True, check=False
    )
    assert "rsql.R needs the files that come beside it" in done.stderr


@pytest.mark.spine
def test_a_refusal_is_one_line(gateway):
    wrong = {**gateway, "RSQL_GATEWAY_TOKEN": "wrong"}
    assert rscript('ask("hello")', wrong, wrong=True).startswith("Error: This token is not known here")
    nowhere = {**gateway, "RSQL_GATEWAY_URL": "http://127.0.0.1:9/rsql/"}
    assert "No gateway answers at http://127.0.0.1:9/rsql/" in rscript('ask("hello")', nowhere, wrong=True)


class Sparing(BaseHTTPRequestHandler):
    """An endpoint that refuses what its model has no place for, one thing at a time."""

    wants_not: Sequence[str] = ()
    asked: ClassVar[list[dict]] = []

    def do_GET(self):
        self._send(404, {"error": {"message": "There is nothing here."}})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append(body)
        roles = [message["role"] for message in body["messages"]]
        if named := next((name for name in self.wants_not if name in body), ""):
            self._send(422, {"error": {"message": f"Extra inputs are not permitted: body.{named}"}})
        elif "system" in self.wants_not and "system" in roles:
            self._send(500, {"error": {"message": "Only user and assistant roles are supported!"}})
        else:
            self._send(200, {"choices": [{"message": {"content": "fine"}, "finish_reason": "stop"}]})

    def _send(self, status, body):
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        """Nothing is logged."""


@pytest.mark.parametrize("refused", [["system"], ["stream_options"], ["stream_options", "temperature", "system"]])
def test_what_an_endpoint_refuses_is_left_out_from_then_on(r, gateway, refused):
    handler = type("Handler", (Sparing,), {"wants_not": refused, "asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/"
        ask = 'ask("What is a left join?", model = "m")\n'
        out = r(f'Sys.setenv(RSQL_GATEWAY_URL = "{url}")\n{ask}{ask}')
        r(f'Sys.setenv(RSQL_GATEWAY_URL = "{gateway["RSQL_GATEWAY_URL"]}")')
        server.shutdown()
    assert out.count("fine") >= 2
    assert len(handler.asked) == 2 + len(refused), "what was refused is not sent again"
    last = handler.asked[-1]
    assert not set(refused) & {*last, *(message["role"] for message in last["messages"])}
    assert "left join" in last["messages"][-1]["content"]
    if refused == ["system"]:
        first = handler.asked[0]["messages"][0]
        assert handler.asked[1]["messages"][0]["content"].startswith(first["content"])


def test_without_a_gateway_it_starts_one_that_ends_with_r():
    out = rscript('ask("What is a left join?")\ncat("\nAT", rsql_status()$status$default_model)\nrsql_status()', {})
    assert "AT " in out
    port = re.search(r"127\.0\.0\.1:(\d+)", out)[1]
    end = time.monotonic() + 10
    while any(f":{port}" in str(one) for one in _listening(int(port))):
        assert time.monotonic() < end, "the gateway outlived R"
        time.sleep(0.05)


def _listening(port):
    return [f":{c.laddr.port}" for c in psutil.net_connections("tcp") if c.status == "LISTEN" and c.laddr.port == port]


def test_its_prompts_are_those_of_the_package():
    code = "p <- environment(ask)$prompts\ncat(jsonlite::toJSON(p, auto_unbox = TRUE))"
    told = json.loads(rscript(code, {}))
    assert told == {name: prompts.load(name) for name in told}
    assert set(told) == {"ask", "question", "sql", "sql_question", "repair", "proposed"}


def test_the_command_says_where_the_file_is():
    done = subprocess.run([BIN / "rsql", "r-file"], capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()) == FILE


# IRkernel


@pytest.fixture(scope="module")
def irkernel(gateway):
    """Runs code in one IRkernel; gives what it prints, piece by piece, and its errors."""
    manager = KernelManager(kernel_name="ir")
    manager.start_kernel(env={**os.environ, **gateway}, stderr=subprocess.DEVNULL)
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=240)

    def run(code):
        said = []
        done = client.execute_interactive(code, timeout=240, output_hook=said.append, allow_stdin=False)
        contents = [message["content"] for message in said]
        return [c.get("text") or (c.get("data") or {}).get("text/plain", "") for c in contents], done["content"]

    run(SOURCE)
    yield run
    client.stop_channels()
    manager.shutdown_kernel(now=True)


@pytest.mark.spine
def test_a_cell_of_a_notebook_streams(irkernel):
    pieces, done = irkernel(FRAME + 'ask("Describe sales")')
    text = "".join(pieces)
    assert done["status"] == "ok"
    assert "`sales` is an R data.frame with 100 rows and 3 columns" in text
    assert len(pieces) > 3, "the words came in one piece"


def test_a_query_in_a_notebook_gives_a_frame(irkernel):
    irkernel(ORDERS)
    pieces, done = irkernel('x <- sql_ai("How many orders are there?"); class(x); x[[1]]')
    assert done["status"] == "ok"
    assert any("SELECT" in piece for piece in pieces)
    assert any("4" in piece for piece in pieces[1:])


def test_the_last_error_is_explained(irkernel):
    _, failed = irkernel("mean(sale)")
    assert failed["status"] == "error"
    pieces, done = irkernel("ask()")
    assert done["status"] == "ok"
    assert "sale" in "".join(pieces)


SEQUENCES = r"""
env <- environment(ask)
reply <- new.env()
reply$text <- reply$held <- ""
one <- paste0(
  "ok \u001b]52;c;aGk=\u0007and \u001b[31mred\u001b[0m \u00e9\r\n",
  "line \u202e\u009b2Jx \u001b]8;;http://e.x\u001b\\link\u001b]8;;\u001b\\ end\u0008"
)
for (piece in strsplit(one, "")[[1]]) {
  chunk <- jsonlite::toJSON(list(choices = list(list(delta = list(content = jsonlite::unbox(piece))))))
  env$read_event(reply, paste0("data: ", chunk), env$printed)
}
cat("\n", utf8ToInt(reply$text), "\n")
"""


def test_escape_sequences_of_a_model_are_taken_out():
    shown, codes = rscript(SEQUENCES, {}).rsplit("\n ", 1)
    assert shown == "ok and red é\nline x link end"
    assert bytes(map(int, codes.split())).decode("latin-1") == shown
