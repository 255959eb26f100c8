"""Files and batches by the openai package: sent, answered line by line, read, cancelled and deleted."""

from __future__ import annotations

import io
import json
import time
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import openai
import pytest

from rsql_magic.cli import command

CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def client(gateway):
    with openai.OpenAI(base_url=f"{gateway}v1", api_key="ada-token", max_retries=0) as client:
        yield client


def line(name, url=CHAT, **body):
    asked = {"model": "chatty", "messages": [{"role": "user", "content": f"Question {name}"}]} | body
    return json.dumps({"custom_id": name, "method": "POST", "url": url, "body": asked})


def sent(client, lines, **metadata):
    """A file of these lines, and a job of it."""
    file = client.files.create(file=("rows.jsonl", "\n".join(lines).encode()), purpose="batch")
    metadata = {"for": "a test", **metadata}
    return file, client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h", metadata=metadata)


def ended(client, job):
    until = time.monotonic() + 30
    while (found := client.batches.retrieve(job.id)).status not in {"completed", "cancelled", "expired", "failed"}:
        assert time.monotonic() < until, found
        time.sleep(0.05)
    return found


def results(client, file_id):
    return [json.loads(row) for row in client.files.content(file_id).text.splitlines()]


@pytest.mark.spine
def test_a_job_from_its_file_to_its_results(client, upstream):
    file, job = sent(client, [line(f"row-{n}") for n in range(25)])
    assert (file.status, file.purpose, file.filename) == ("processed", "batch", "rows.jsonl")
    assert job.status == "in_progress"
    assert job.request_counts.total == 25

    done = ended(client, job)
    assert done.status == "completed"
    assert (done.request_counts.completed, done.request_counts.failed) == (25, 0)
    assert (done.error_file_id, done.metadata) == (None, {"for": "a test"})
    assert done.usage.total_tokens == 25 * 16
    rows = results(client, done.output_file_id)
    assert [row["custom_id"] for row in rows] == [f"row-{n}" for n in range(25)]
    answers = [row["response"]["body"]["choices"][0]["message"]["content"] for row in rows]
    assert answers == ["1 messages| came."] * 25
    asked = [body["messages"][0]["content"] for path, body in upstream.seen if path.endswith("/completions")]
    assert [asked.count(f"Question row-{n}") for n in range(25)] == [1] * 25
    output = client.files.retrieve(done.output_file_id)
    assert output.bytes == len(client.files.content(output.id).content)
    assert client.files.content(file.id).text.splitlines()[3] == line("row-3")


def test_wrong_lines_fail_alone_and_say_why(client):
    _, job = sent(
        client,
        [
            line("good"),
            "{not json",
            "",
            line("good"),
            line("stream", stream=True),
            line("elsewhere", url="/v1/embeddings"),
            line("no model", model="unknown"),
            line("refused", model="wrong"),
            json.dumps({"custom_id": "bare"}),
        ],
    )
    done = ended(client, job)
    assert (done.request_counts.total, done.request_counts.completed, done.request_counts.failed) == (8, 1, 7)
    assert [row["custom_id"] for row in results(client, done.output_file_id)] == ["good"]
    failed = results(client, done.error_file_id)
    codes = [(row["error"] or row["response"]["body"]["error"])["code"] for row in failed]
    assert codes == [
        *("invalid_json_line", "duplicate_custom_id", "invalid_request", "invalid_request"),
        *("model_not_found", "upstream_refused", "invalid_json_line"),
    ]
    assert failed[0]["error"]["line"] == 2
    assert failed[5]["response"]["status_code"] == 400


@pytest.mark.spine
def test_a_budget_ends_a_job_before_it_is_passed(client, upstream):
    _, job = sent(client, [line(f"dear-{n}", model="dear", max_tokens=100) for n in range(60)], budget_usd="0.02")
    done = ended(client, job)
    answered, paid = done.request_counts.completed, done.model_extra["rsql"]["cost_usd"]
    asked = [body for path, body in upstream.seen if "dear-" in str(body)]
    assert len(asked) == answered
    assert paid == pytest.approx(answered * (11 * 1e-5 + 5 * 1e-4))
    assert 0.005 < paid <= 0.02
    assert (done.status, done.model_extra["rsql"]["budget_usd"]) == ("cancelled", 0.02)
    assert done.errors.data[0].code == "budget_exceeded"
    errors = {row["error"]["code"] for row in results(client, done.error_file_id)}
    assert (errors, done.request_counts.failed) == ({"budget_exceeded"}, 60 - answered)
    _, unpriced = sent(client, [line("a", max_tokens=1)], budget_usd="0.02")
    assert ended(client, unpriced).request_counts.failed == 1
    with pytest.raises(openai.BadRequestError, match="budget_usd"):
        sent(client, [line("a")], budget_usd="much")


def test_lists_pages_and_what_belongs_to_others(client):
    jobs = [sent(client, [line("only")])[1] for _ in range(3)]
    first = client.batches.list(limit=2)
    assert first.has_more
    assert [job.id for job in first.data] == [job.id for job in jobs[:0:-1]]
    assert jobs[0].id in [job.id for job in client.batches.list(limit=1)]
    assert jobs[0].input_file_id in [file.id for file in client.files.list(purpose="batch")]
    bob = client.with_options(api_key="bob-token")
    assert list(bob.files.list()) == [] == list(bob.batches.list())
    for attempt in (
        lambda: bob.batches.retrieve(jobs[0].id),
        lambda: bob.batches.cancel(jobs[0].id),
        lambda: bob.files.retrieve(jobs[0].input_file_id),
        lambda: bob.files.content(jobs[0].input_file_id),
        lambda: bob.files.delete(jobs[0].input_file_id),
        lambda: bob.batches.create(input_file_id=jobs[0].input_file_id, endpoint=CHAT, completion_window="24h"),
    ):
        with pytest.raises(openai.NotFoundError):
            attempt()
    for job in jobs:
        ended(client, job)


def test_a_file_is_deleted_when_no_job_reads_it(client):
    file, job = sent(client, [line("only")])
    done = ended(client, job)
    for name in (file.id, done.output_file_id):
        assert client.files.delete(name).deleted
        with pytest.raises(openai.NotFoundError):
            client.files.retrieve(name)


def test_what_cannot_be_a_job_is_refused_at_once(client):
    with pytest.raises(openai.BadRequestError, match="empty"):
        client.files.create(file=("rows.jsonl", io.BytesIO(b"\n \n")), purpose="batch")
    with pytest.raises(openai.BadRequestError, match="'purpose' must be batch"):
        client.files.create(file=("rows.jsonl", b"{}"), purpose="fine-tune")
    file = client.files.create(
        file=("rows.jsonl", line("x").encode()),
        purpose="batch",
        expires_after={"anchor": "created_at", "seconds": 3600},
    )
    assert file.expires_at - file.created_at == 3600
    for wrong in ({"endpoint": "/v1/images"}, {"completion_window": "a year"}, {"metadata": {"a": "b" * 600}}):
        with pytest.raises(openai.BadRequestError):
            client.batches.create(**{"input_file_id": file.id, "endpoint": CHAT, "completion_window": "24h"} | wrong)
    with pytest.raises(openai.NotFoundError):
        client.batches.create(input_file_id="file-none", endpoint=CHAT, completion_window="24h")


def test_a_file_of_ten_gigabytes_is_refused_before_it_comes(gateway):
    address = urlsplit(gateway)
    with closing(HTTPConnection(address.hostname, address.port, timeout=240)) as connection:
        connection.putrequest("POST", f"{address.path}v1/files")
        for name, value in (
            ("Authorization", "Bearer ada-token"),
            ("Content-Type", "multipart/form-data; boundary=rows"),
            ("Content-Length", str(10_000_000_000)),
        ):
            connection.putheader(name, value)
        connection.endheaders(b"--rows\r\n")
        reply = connection.getresponse()
        error = json.loads(reply.read())["error"]
    assert (reply.status, error["code"]) == (413, "file_too_large")
    assert "A file may have 200 MB" in error["message"]


@pytest.mark.spine
def test_embeddings_and_responses(client):
    body = {"model": "text-embedding-3-small", "input": "a text"}
    asked = {"custom_id": "v", "method": "POST", "url": "/v1/embeddings", "body": body}
    file = client.files.create(file=("v.jsonl", json.dumps(asked).encode()), purpose="batch")
    job = client.batches.create(input_file_id=file.id, endpoint="/v1/embeddings", completion_window="1h")
    (row,) = results(client, ended(client, job).output_file_id)
    assert row["response"]["body"]["data"][0]["embedding"] == [6, 0.5]

    asked = {"custom_id": "r", "method": "POST", "url": "/v1/responses", "body": {"model": "chatty", "input": "Hello"}}
    file = client.files.create(file=("r.jsonl", json.dumps(asked).encode()), purpose="batch")
    job = client.batches.create(input_file_id=file.id, endpoint="/v1/responses", completion_window="1h")
    (row,) = results(client, ended(client, job).output_file_id)
    assert row["response"]["body"]["object"] == "response"
    assert row["response"]["body"]["output"][0]["content"][0]["text"] == "1 messages| came."


# The rsql command


@pytest.fixture
def rsql(gateway, monkeypatch, capsys, tmp_path):
    """Runs the command as ada, in a folder of its own: exit code, output, errors."""
    monkeypatch.setenv("RSQL_GATEWAY_TOKEN", "ada-token")
    monkeypatch.chdir(tmp_path)

    def run(*argv):
        code = command.main(["--gateway", gateway, "jobs", *argv])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.mark.spine
def test_the_command_lists_shows_and_downloads(client, rsql):
    _, job = sent(client, [line("one"), "{bad", line("two")])
    ended(client, job)
    code, out, err = rsql()
    assert code == 0, err
    assert f"{job.id}" in out
    assert "completed  2 of 3, 1 failed" in out
    assert "failed    1" in rsql("show", job.id)[1]

    assert rsql("download")[:2] == (1, f"{job.id}.jsonl: 3 results, of which 1 failed.\n")
    rows = [json.loads(row) for row in Path(f"{job.id}.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["custom_id"] for row in rows] == ["one", "two", None]
    code, _, err = rsql("download", job.id)
    assert (code, "is there already" in err) == (1, True)
    assert rsql("download", job.id, "-o", "again.jsonl")[0] == 1, "lines failed, and scripts see it"
    assert sorted(path.name for path in Path().iterdir()) == sorted([f"{job.id}.jsonl", "again.jsonl"])
    assert rsql("cancel", job.id)[0] == 0, "it stays as it is"
    code, _, err = rsql("show", "batch_none")
    assert (code, "There is no such job" in err) == (1, True)
    assert rsql("cancel")[0] == 1


def test_the_command_tells_budgets(client, rsql):
    _, dear = sent(client, [line("dear", model="dear", max_tokens=100)], budget_usd="0.001")
    ended(client, dear)
    assert "$0.0000 of $0.001" in rsql()[1]
    assert "The job's budget does not reach" in rsql("show", dear.id)[1]


def test_half_a_download_is_no_file(client, rsql, monkeypatch):
    _, job = sent(client, [line("one"), line("two")])
    ended(client, job)

    def cut(self, path):
        del self, path
        yield b'{"custom_id": "one"}\n{"custom'

    monkeypatch.setattr("rsql_magic.gateway.LLMClient.content", cut)
    code, _, err = rsql("download", job.id)
    assert (code, "1 of 2 results came" in err) == (1, True)
    assert list(Path().iterdir()) == []
