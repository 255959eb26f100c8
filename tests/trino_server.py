"""A server that speaks Trino's REST protocol for clients, as its documentation has it; DuckDB answers the queries.

https://trino.io/docs/current/develop/client-protocol.html
"""

from __future__ import annotations

import itertools
import json
import re
import threading
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler
from types import SimpleNamespace

import duckdb
from servers import http_server

NOTES = {"orders": "One row per order."}


class Trino:
    """Queries by their ids; each runs in a thread and is asked for by `nextUri` until it has ended."""

    def __init__(self, setup):
        self.database = duckdb.connect(":memory:")
        self.database.execute("CREATE SCHEMA shop; SET schema = 'memory.shop'")
        for statement in setup:
            self.database.execute(statement)
        self.ids = itertools.count(1)
        self.queries = {}
        self.read_only = set()
        self.seen, self.cancelled = [], []

    def start(self, sql, transaction):
        self.seen.append((sql, transaction))
        query = SimpleNamespace(id=f"q{next(self.ids)}", sql=sql, headers={}, error="", names=[], rows=[], cursor=None)
        self.queries[query.id] = query
        query.cursor = self.database.cursor()
        query.cursor.execute("SET schema = 'memory.shop'")
        query.thread = threading.Thread(target=self.run, args=(query, transaction), daemon=True)
        query.thread.start()
        return query

    def run(self, query, transaction):
        try:
            self.answer(query, transaction)
        except duckdb.Error as error:
            query.error = query.error or str(error).partition("\n")[0]

    def answer(self, query, transaction):
        sql = query.sql
        if sql.startswith("START TRANSACTION"):
            name = f"t{next(self.ids)}"
            self.read_only |= {name} if sql.endswith("READ ONLY") else set()
            query.headers["X-Trino-Started-Transaction-Id"] = name
        elif sql in {"ROLLBACK", "COMMIT"}:
            self.read_only.discard(transaction)
            query.headers["X-Trino-Clear-Transaction-Id"] = "true"
        elif "table_comments" in sql:
            query.names = [("schema_name", "VARCHAR"), ("table_name", "VARCHAR"), ("comment", "VARCHAR")]
            query.rows = [("shop", name, note) for name, note in NOTES.items()]
        elif "current_timezone()" in sql:
            query.names, query.rows = [("_col0", "VARCHAR")], [("Europe/Vienna",)]
        else:
            if transaction in self.read_only:
                query.cursor.execute("BEGIN TRANSACTION READ ONLY")
            query.cursor.execute(sql)
            query.names = [(name, str(kind)) for name, kind, *_ in query.cursor.description]
            while rows := query.cursor.fetchmany(500):
                query.rows += rows
                if len(query.rows) > 250_000:  # a real one waits for its client
                    break

    def page(self, query, number, base):
        """What `GET nextUri` gives: while it runs the state alone, then rows 500 at a time."""
        query.thread.join(0.05)
        running = query.thread.is_alive()
        told = {"id": query.id, "infoUri": f"{base}/ui/{query.id}", "stats": {"state": "RUNNING"}, "warnings": []}
        if query.error:
            kind = "USER_CANCELED" if query.id in self.cancelled else "SYNTAX_ERROR"
            error = {"message": query.error, "errorName": kind, "errorType": "USER_ERROR", "errorCode": 1}
            return told | {"error": error, "stats": {"state": "FAILED"}}
        if not running and query.names:
            told["columns"] = [column(name, kind) for name, kind in query.names]
            told["data"] = [list(map(value, row)) for row in query.rows[500 * number : 500 * number + 500]]
        if running or len(query.rows) > 500 * number + 500:
            told["nextUri"] = f"{base}/v1/statement/executing/{query.id}/slug/{number + (not running)}"
        return told


def column(name, kind):
    size = re.fullmatch(r"DECIMAL\((\d+),(\d+)\)", kind)
    raw = {"HUGEINT": "bigint", "TIMESTAMP": "timestamp(6)", "INTEGER": "integer"}.get(kind, kind.lower())
    arguments = [{"kind": "LONG", "value": int(digits)} for digits in size.groups()] if size else []
    if raw == "varchar":
        arguments = [{"kind": "LONG", "value": 2147483647}]
    if raw.startswith("timestamp"):
        arguments = [{"kind": "LONG", "value": 6}]
    return {"name": name, "type": raw, "typeSignature": {"rawType": raw.partition("(")[0], "arguments": arguments}}


def value(cell):
    return cell if cell is None or isinstance(cell, (bool, int, float, str)) else str(cell)


@contextmanager
def trino_server(setup):
    """A running server with `url`, and `trino` for what it was asked."""
    trino = Trino(setup)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def say(self, body, headers=(), status=200):
            data = b"" if body is None else json.dumps(body).encode()
            self.send_response(status)
            for name, text in dict(headers).items():
                self.send_header(name, text)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        @property
        def base(self):
            return f"http://127.0.0.1:{self.server.server_port}"

        def do_POST(self):
            sql = self.rfile.read(int(self.headers["Content-Length"])).decode()
            query = trino.start(sql, self.headers.get("X-Trino-Transaction-Id"))
            uri = f"{self.base}/v1/statement/queued/{query.id}/slug/0"
            self.say({"id": query.id, "infoUri": uri, "nextUri": uri, "stats": {"state": "QUEUED"}, "warnings": []})

        def do_GET(self):
            *_, name, _, number = self.path.split("/")
            query = trino.queries[name]
            told = trino.page(query, int(number), self.base)
            self.say(told, query.headers if "nextUri" not in told else {})

        def do_DELETE(self):
            query = trino.queries[self.path.split("/")[-3]]
            if query.thread.is_alive():
                trino.cancelled.append(query.id)
                query.error = "Query was canceled"
                query.cursor.interrupt()
            self.say(None, status=204)

        def log_message(self, *_):
            """Nothing."""

    with closing(trino.database), http_server(Handler) as port:
        yield SimpleNamespace(url=f"trino://ada@127.0.0.1:{port}/memory/shop", trino=trino)
