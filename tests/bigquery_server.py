"""A server that speaks as much of BigQuery's REST API v2 as its Python client asks for; DuckDB answers the queries.

https://cloud.google.com/bigquery/docs/reference/rest
"""

from __future__ import annotations

import itertools
import json
import re
import threading
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import duckdb
import sqlglot
from servers import http_server

TYPES = {"BIGINT": "INTEGER", "INTEGER": "INTEGER", "HUGEINT": "INTEGER", "DOUBLE": "FLOAT", "BOOLEAN": "BOOLEAN"}
TYPES |= {"DATE": "DATE", "TIMESTAMP": "DATETIME", "VARCHAR": "STRING"}
COLUMNS = """
    SELECT table_name, column_name, data_type, is_nullable, CASE column_name WHEN 'amount' THEN 'EUR' END
    FROM information_schema.columns WHERE table_schema = '{dataset}' ORDER BY table_name, ordinal_position"""


class BigQuery:
    """Jobs by their ids; each runs in a thread."""

    def __init__(self, setup):
        self.database = duckdb.connect(":memory:")
        self.database.execute("CREATE SCHEMA shop")
        for statement in setup:
            self.database.execute(statement)
        self.ids, self.jobs, self.asked, self.cancelled = itertools.count(1), {}, [], []

    def insert(self, body):
        config = body["configuration"]
        sql, dry = config["query"]["query"], config.get("dryRun", False)
        self.asked.append((sql, dry))
        name = body.get("jobReference", {}).get("jobId") or f"job{next(self.ids)}"
        job = SimpleNamespace(name=name, sql=sql, dry=dry, config=config, error="", names=[], rows=[], thread=None)
        job.cursor = self.database.cursor()
        job.kind = re.match(r"\s*(\w+)", sql)[1].upper().replace("WITH", "SELECT")
        if dry:
            self.prepare(job)
        else:
            self.jobs[name] = job
            job.thread = threading.Thread(target=self.run, args=(job,), daemon=True)
            job.thread.start()
        return job

    def translated(self, sql):
        dataset = re.search(r"`(\w+)`\.INFORMATION_SCHEMA\.COLUMNS", sql)
        if dataset:
            return COLUMNS.format(dataset=dataset[1])
        return sqlglot.transpile(sql.replace("`proj`.", ""), read="bigquery", write="duckdb")[0]

    def prepare(self, job):
        try:
            if job.kind == "SELECT":
                job.cursor.execute(f"EXPLAIN {self.translated(job.sql)}")
        except duckdb.Error as error:
            job.error = str(error).partition("\n")[0]

    def run(self, job):
        try:
            job.cursor.execute(self.translated(job.sql))
            job.names = [(name, str(kind)) for name, kind, *_ in job.cursor.description]
            job.rows = job.cursor.fetchall()
        except duckdb.Error as error:
            job.error = job.error or str(error).partition("\n")[0]

    def resource(self, job):
        running = job.thread is not None and job.thread.is_alive()
        size = {"totalBytesProcessed": "12300000000"}
        statistics = {**size, "query": {**size, "statementType": job.kind}}
        if "margin(" in job.sql:
            statistics["query"]["referencedRoutines"] = [{"routineId": "margin", "datasetId": "shop"}]
        status = {"state": "RUNNING" if running else "DONE"}
        if job.error and not running:
            reason = "stopped" if job.name in self.cancelled else "invalidQuery"
            status["errorResult"] = {"reason": reason, "message": job.error}
        place = {"projectId": "proj", "jobId": job.name, "location": "EU"}
        return {"jobReference": place, "configuration": job.config, "statistics": statistics, "status": status}

    def results(self, job, start, most):
        job.thread.join(0.1)
        told = {"kind": "bigquery#getQueryResultsResponse", "jobReference": self.resource(job)["jobReference"]}
        if job.thread.is_alive():
            return told | {"jobComplete": False}
        fields = [{"name": name, **typed(kind)} for name, kind in job.names]
        rows = job.rows[start : start + most]
        told |= {"jobComplete": True, "schema": {"fields": fields}, "totalRows": str(len(job.rows))}
        told["rows"] = [{"f": [{"v": cell(value)} for value in row]} for row in rows]
        return told | ({"pageToken": str(start + most)} if start + most < len(job.rows) else {})


def typed(kind):
    return {"type": "NUMERIC" if kind.startswith("DECIMAL") else TYPES[kind], "mode": "NULLABLE"}


def cell(value):
    if value is None:
        return None
    return str(value).lower() if isinstance(value, bool) else str(value).replace(" ", "T" if ":" in str(value) else " ")


@contextmanager
def bigquery_server(setup):
    """A running server with its `endpoint`, and `bigquery` for what it was asked."""
    bigquery = BigQuery(setup)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def say(self, body, status=200):
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def refuse(self, job):
            reason = "stopped" if job.name in bigquery.cancelled else "invalidQuery"
            errors = [{"reason": reason, "message": job.error}]
            self.say({"error": {"code": 400, "message": job.error, "errors": errors}}, 400)

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"] or 0)) or b"{}")
            path = urlsplit(self.path).path
            if path.endswith("/cancel"):
                job = bigquery.jobs[path.split("/")[-2]]
                bigquery.cancelled.append(job.name)
                job.error = "Job execution was cancelled: User requested cancellation"
                job.cursor.interrupt()
                return self.say({"job": bigquery.resource(job)})
            job = bigquery.insert(body)
            return self.refuse(job) if job.dry and job.error else self.say(bigquery.resource(job))

        def do_GET(self):
            at = urlsplit(self.path)
            options = {name: values[0] for name, values in parse_qs(at.query).items()}
            kind, *rest = at.path.split("/projects/proj/")[1].split("/")
            if kind == "queries":
                job = bigquery.jobs[rest[0]]
                told = bigquery.results(job, int(options.get("pageToken", 0)), int(options.get("maxResults", 500)))
                return self.refuse(job) if job.error and not job.thread.is_alive() else self.say(told)
            if kind == "jobs":
                return self.say(bigquery.resource(bigquery.jobs[rest[0]]))
            if rest:
                found = bigquery.database.cursor().execute(
                    "SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = ?", [rest[0]]
                )
                place = {"projectId": "proj", "datasetId": rest[0]}
                listed = [
                    {"tableReference": place | {"tableId": name}, "type": kind.replace("BASE ", "")}
                    for name, kind in found.fetchall()
                ]
                return self.say({"tables": listed, "totalItems": len(listed)})
            return self.say({"datasets": [{"datasetReference": {"projectId": "proj", "datasetId": "shop"}}]})

        def log_message(self, *_):
            """Nothing."""

    with closing(bigquery.database), http_server(Handler) as port:
        yield SimpleNamespace(endpoint=f"http://127.0.0.1:{port}", bigquery=bigquery)
