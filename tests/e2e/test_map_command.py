"""``rsql map`` and R's ``ask_rows()``: a question about each row from a terminal and from R."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from e2e.r_session import rscript
from whole_replies import WholeReplies

RSQL = Path(sys.executable).with_name("rsql")
TEXTS = ["fine, really", 'né\n"quoted"', "fine, really", "x"]


class Handler(WholeReplies, BaseHTTPRequestHandler):
    """Answers each row by its text."""

    def do_GET(self):
        self.whole(b'{"data": [{"id": "m"}]}', "application/json")

    def do_POST(self):
        self.server.asked += 1
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        data = re.search(r"<data [^>]*>\n(.*)\n</data", body["messages"][-1]["content"], re.DOTALL)[1]
        rows = [json.loads(line) for line in data.splitlines()]
        said = [
            {"row": row["row"], "mood": "so, so" if len(row["text"]) > 1 else None, "length": len(row["text"])}
            for row in rows
        ]
        said = [{**one, "row": n} for n, one in enumerate(said)] if self.server.counts_rows else said
        text = json.dumps({"choices": [{"delta": {"content": json.dumps({"rows": said})}}]})
        self.whole(f"data: {text}\n\ndata: [DONE]\n\n".encode(), "text/event-stream")


class Where(dict):
    """The variables by which a program finds the provider."""

    def __init__(self, variables, server):
        super().__init__(variables)
        self.server = server


@pytest.fixture
def provider(tmp_path):
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.asked, server.counts_rows = 0, False
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        where = {"RSQL_GATEWAY_URL": f"http://127.0.0.1:{server.server_port}/rsql/", "RSQL_GATEWAY_TOKEN": "t"}
        yield Where(where | {"XDG_CACHE_HOME": str(tmp_path / "cache")}, server)
        server.shutdown()
        thread.join()


def rsql(provider, *words):
    return subprocess.run(
        [RSQL, *words], env=os.environ | provider, capture_output=True, text=True, timeout=240, check=False
    )


@pytest.mark.spine
def test_a_file_gets_columns(provider, tmp_path):
    source, target = tmp_path / "reviews.csv", tmp_path / "judged.parquet"
    duckdb.from_arrow(pa.table({"n": [1, 2, 3, 4], "text": TEXTS})).write_csv(str(source))
    returns = '{"mood": ["so, so", "good"], "length": "int"}'
    words = ("map", str(source), "How does {{text}} sound?", "--returns", returns, "-o", str(target))
    refused = rsql(provider, *words)
    assert refused.returncode == 1
    assert "the level is stats" in refused.stderr
    assert not target.exists()
    done = rsql(provider, *words, "--privacy", "sample")
    assert done.returncode == 0, done.stderr
    assert "3 different rows of 4" in done.stdout
    made = duckdb.sql(f"SELECT n, text, mood, length, error FROM '{target}' ORDER BY n").fetchall()
    assert [row[2:4] for row in made] == [("so, so", 12), ("so, so", 11), ("so, so", 12), (None, 1)]
    assert made[3][4] == "mood: the row does not tell"
    assert [row[:2] for row in made] == list(zip(range(1, 5), TEXTS, strict=True))
    again = rsql(provider, *words, "--privacy", "sample")
    assert "3 of them known from before" in again.stdout
    told = rsql(provider, "report", str(target), "--format", "json")
    [record] = json.loads(told.stdout)
    assert record["rows"] == {"different": 3, "known": 3, "answered": 3, "failed": 0, "unasked": 0}


def test_rows_that_failed_make_the_command_fail_and_are_asked_alone_by_the_next(provider, tmp_path):
    source, target = tmp_path / "reviews.csv", tmp_path / "judged.csv"
    source.write_text("text\nfine\nnot fine\n")
    words = ("map", str(source), "How does {{text}} sound?", "--returns", "length: int", "-o", str(target))
    provider.server.counts_rows = True
    failed = rsql(provider, *words, "--privacy", "sample")
    assert failed.returncode == 1
    assert "2 different rows have no answer that can be used" in failed.stderr
    assert duckdb.sql(f"SELECT count(*) FROM '{target}' WHERE length IS NULL AND error IS NOT NULL").fetchall() == [
        (2,)
    ]
    told = rsql(provider, "report", str(target))
    assert "2 rows, 2 failed" in told.stdout
    provider.server.counts_rows = False
    done = rsql(provider, *words, "--privacy", "sample")
    assert done.returncode == 0, done.stderr
    assert duckdb.sql(f"SELECT length FROM '{target}' ORDER BY 1").fetchall() == [(4,), (8,)]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nowhere.csv", "{{text}}?", "-o", "x.csv"), "There is no file"),
        (("a.xlsx", "{{text}}?", "-o", "x.csv"), "is no .csv"),
        (("broken.parquet", "{{text}}?", "-o", "x.csv"), "cannot be read"),
        (("fine.csv", "{{text}}?"), "need a file to go to"),
        (("fine.csv", "{{text}}?", "-o", "fine.csv/x.csv"), "cannot be written"),
    ],
)
def test_a_file_that_cannot_be_read_is_said(provider, tmp_path, words, said):
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no")
    (tmp_path / "fine.csv").write_text("text\nfine\n")
    words = [str(tmp_path / word) if word.endswith((".csv", ".xlsx", ".parquet")) else word for word in words]
    done = rsql(provider, "map", *words, "--privacy", "sample")
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("text", ["", "no", "[]", '{"question": "a?", "privacy": "sample", "returns": {}}'])
def test_what_a_program_sends_wrongly_is_one_line(provider, text):
    options = {"env": os.environ | provider, "capture_output": True, "text": True, "timeout": 60}
    done = subprocess.run([RSQL, "map", "-"], input=text, check=False, **options)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("BadInput: Standard input")
    assert done.stderr.count("\n") == 1


def test_r_asks_about_each_row_of_a_data_frame(provider, real_r):
    code = """
    texts <- c("fine, really", "n\\u00e9\\n\\"quoted\\"", "fine, really", "x")
    reviews <- data.frame(n = 1:4, text = texts, at = as.Date("2024-01-01"))
    returns <- list(mood = c("so, so", "good"), length = "int")
    judged <- ask_rows(reviews, "How does {{text}} of {{ at }} sound?", returns, privacy = "sample", quiet = TRUE)
    stopifnot(identical(names(judged), c("n", "text", "at", "mood", "length", "error")))
    stopifnot(is.factor(judged$mood), identical(levels(judged$mood), c("so, so", "good")), is.integer(judged$length))
    cat(as.character(judged$mood), "|", judged$length, "|", judged$error, "\\n")
    one <- ask_rows(reviews[1, ], "How does {{text}} sound?", returns, privacy = "sample", quiet = TRUE)
    cat(nrow(one), as.character(one$mood), "\\n")
    for (wrong in list(quote(ask_rows(reviews, "Is {{txt}}?", privacy = "sample")),
                       quote(ask_rows(1, "{{text}}")),
                       quote(ask_rows(reviews, "Is {{text}}?")),
                       quote(ask_rows(reviews, "Is it?", privacy = "sample"))))
      cat(tryCatch(eval(wrong), error = conditionMessage), "\\n")
    """
    lines = rscript(code, provider).splitlines()
    assert lines[0] == "so, so so, so so, so NA | 12 11 12 1 | NA NA NA mood: the row does not tell "
    assert lines[1] == "1 so, so "
    assert "There is no column txt" in lines[2]
    assert "data frame" in lines[3]
    assert "the level is stats" in lines[4]
    assert "names no column" in lines[5]
