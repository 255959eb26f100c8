"""Files and batches, as OpenAI's protocol has them, and jobs as administrators see them."""

# https://platform.openai.com/docs/api-reference/files
# https://platform.openai.com/docs/api-reference/batch

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from tornado.iostream import StreamClosedError

from jupyter_server_ext.config import OFFLINE
from jupyter_server_ext.errors import BadRequest, ModelNotServed, RsqlGatewayError
from jupyter_server_ext.handlers import requests
from jupyter_server_ext.handlers.base import GatewayHandler, default_model_of
from jupyter_server_ext.handlers.described import described
from jupyter_server_ext.handlers.multipart import MultipartReader
from jupyter_server_ext.handlers.parameters import PAGED, TENANT, choice, text_of, whole
from jupyter_server_ext.handlers.response_events import ResponseFrame, response_of
from jupyter_server_ext.handlers.responses import chat_body
from jupyter_server_ext.handlers.shapes.jobs import (
    BatchesReply,
    BatchRow,
    DeletedFile,
    FileRow,
    FilesReply,
    JobRow,
    JobsReply,
)
from jupyter_server_ext.identity import needs_scope
from jupyter_server_ext.ledger import LedgerPage
from jupyter_server_ext.messages import is_name
from jupyter_server_ext.pipeline import NANODOLLARS, NOTEBOOKS, STOPS, LineRequest, file_too_large

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jupyter_server_ext.errors import TooLarge
    from jupyter_server_ext.handlers.reading import BodyReader
    from jupyter_server_ext.identity import Policy
    from jupyter_server_ext.messages import Caller
    from jupyter_server_ext.pipeline import BatchJob, Gateway, JobLine, StoredFile, Upload

_ENVELOPE = 64 * 1024  # bytes of a body around its file
_SLOWEST = 50_000.0  # bytes a second of a file that comes in
_LONGEST_SECONDS = 6 * 3600.0  # for which one may come
_STATES = ("in_progress", "finalizing", "cancelling", "completed", "expired", "cancelled")
_FILES = whole("limit", "How many at most.", least=1, most=10_000, default=1000)
_BATCHES = whole("limit", "How many at most.", least=1, most=100, default=20)
_AFTER = text_of("after", "The id of the last one of the page before.")
_PURPOSE = choice("purpose", "Only files of this kind.", "batch", "batch_output")
_ORDER = choice("order", "The newest first.", "desc", default="desc")
_STATE = choice("state", "Only jobs in this state.", *_STATES)


class _PassingBody(requests.IncomingBody):
    """A body that is passed on as it comes: it counts, and takes no memory."""

    @property
    def seconds(self) -> float:
        """How long it may take, by its length or the longest there may be."""
        return min(_LONGEST_SECONDS, 20.0 + (self._length or self._most) / _SLOWEST)

    def add(self, chunk: bytes) -> None:
        """Count a piece."""
        self.received += len(chunk)
        if self.received > self._most:
            raise self._too_large()

    def _hold(self, amount: int) -> None:
        pass

    def _too_large(self) -> TooLarge:
        return file_too_large(self._most - _ENVELOPE)


class AllFiles(GatewayHandler):
    """``v1/files``."""

    def initialize(self, app: Any, route: str) -> None:
        """Called by tornado with the arguments of the route."""
        super().initialize(app, route)
        self._upload: Upload | None = None
        self._parts: MultipartReader | None = None
        self._dropping: asyncio.Task[None] | None = None
        if self.request.method == "POST":
            most = int(app.settings.jobs.file_mb * 1e6) + _ENVELOPE
            self.incoming = _PassingBody(app.bodies, self.request.headers, most)

    @needs_scope("files")
    @described(FilesReply, _FILES, _AFTER, _PURPOSE, _ORDER)
    async def get(self) -> None:
        """Your files: those that you sent, and those that your jobs wrote, the newest first."""
        asked, files = self.query(), self.app.jobs.files
        last = await files.one(self.asker, asked["after"]) if asked["after"] else None
        page = LedgerPage(asked["limit"], (last.made, last.id) if last else ())
        found = await files.page(self.asker, page, asked["purpose"] or "")
        self.reply(_listed([_file(one) for one in found], page))

    @needs_scope("files")
    @described(FileRow)
    async def post(self) -> None:
        """Send a file of requests, one JSON object a line, as multipart/form-data with ``purpose=batch``."""
        upload, parts = self._upload, self._parts
        if upload is None or parts is None:
            raise BadRequest("The body is empty. Send the file as multipart/form-data.", param="file")
        try:
            if not parts.has_ended or parts.file_name is None:
                raise BadRequest("The body has no field 'file', or has not come wholly. Send it again.", param="file")
            if parts.fields.get("purpose") != "batch":
                raise BadRequest("'purpose' must be batch: the gateway keeps files of jobs only.", param="purpose")
            name = parts.file_name[-255:] or "file.jsonl"
            if not is_name(name):
                raise BadRequest("The file's name holds control characters, or is too long.", param="file")
            self.reply(_file(await upload.finish(name, _seconds(parts.fields))))
        except RsqlGatewayError:
            await upload.drop()
            raise

    async def _admit(self) -> None:
        await super()._admit()
        if self.request.method == "POST":
            self._parts = MultipartReader(self.request.headers.get("Content-Type", ""))
            length = self.request.headers.get("Content-Length", "")
            announced = max(0, int(length) - _ENVELOPE) if length.isdecimal() else 0
            self._upload = await self.app.jobs.files.begin(self.asker, announced)

    async def data_received(self, chunk: bytes) -> None:  # type: ignore[override]
        """Pass a piece of the file on, and take no more of it meanwhile."""
        if self.refusal is not None or self._upload is None or self._parts is None:
            super().data_received(chunk)
            return
        try:
            self.incoming.add(chunk)
            for part in self._parts.feed(chunk):
                await self._upload.add(part)
        except RsqlGatewayError as error:
            await self._upload.drop()
            self._refuse(error)

    def on_connection_close(self) -> None:
        """The client has gone: what has come of its file is of no use."""
        super().on_connection_close()
        if self._upload is not None and not self._finished:
            self._dropping = asyncio.ensure_future(self._upload.drop())


class OneFile(GatewayHandler):
    """``v1/files/{id}``."""

    @needs_scope("files")
    @described(FileRow)
    async def get(self, file: str) -> None:
        """One of your files."""
        self.reply(_file(await self.app.jobs.files.one(self.asker, file)))

    @needs_scope("files")
    @described(DeletedFile)
    async def delete(self, file: str) -> None:
        """Delete one of your files; of one that a job wrote, the results."""
        await self.app.jobs.files.remove(self.asker, file)
        self.reply({"id": file, "object": "file", "deleted": True})


class FileContent(GatewayHandler):
    """``v1/files/{id}/content``."""

    @needs_scope("files")
    @described("application/jsonl")
    async def get(self, file: str) -> None:
        """What one of your files holds."""
        found = await self.app.jobs.files.one(self.asker, file)
        pieces = self.app.jobs.files.content(found)
        first = await anext(pieces, b"")  # an error comes before the headers
        self.set_header("Content-Type", "application/jsonl")
        self.set_header("Content-Length", str(found.bytes))
        self.set_header("Content-Disposition", f'attachment; filename="{found.id}.jsonl"')
        self.set_limit_headers()
        with suppress(StreamClosedError):
            self.write(first)
            await self.flush()
            async for piece in pieces:
                self.write(piece)
                await self.flush()
            self.finish()


class AllBatches(GatewayHandler):
    """``v1/batches``."""

    @needs_scope("batches")
    @described(BatchesReply, _BATCHES, _AFTER)
    async def get(self) -> None:
        """Your jobs, the newest first."""
        asked, jobs = self.query(), self.app.jobs
        last = await jobs.one(self.asker, asked["after"]) if asked["after"] else None
        page = LedgerPage(asked["limit"], (last.made, last.id) if last else ())
        found = await jobs.page(page, caller=self.asker.name)
        self.reply(_listed([_batch(one) for one in found], page))

    @needs_scope("batches")
    @described(BatchRow)
    async def post(self) -> None:
        """Make a job of a file: its lines are asked from quota that nobody else needs, and each is answered once."""
        body = requests.json_object(self.body)
        kept = _object(body, "output_expires_after").get("seconds")
        if kept is not None and not (type(kept) is int and kept > 0):
            raise BadRequest("'output_expires_after.seconds' must be a whole number.", param="output_expires_after")
        made = await self.app.jobs.make(
            self.asker,
            requests.required_text(body, "input_file_id"),
            requests.required_text(body, "endpoint"),
            window=requests.optional_text(body, "completion_window") or "24h",
            metadata=_object(body, "metadata"),
            kept_seconds=kept,
        )
        self.reply(_batch(made))


class OneBatch(GatewayHandler):
    """``v1/batches/{id}``."""

    @needs_scope("batches")
    @described(BatchRow)
    async def get(self, job: str) -> None:
        """One of your jobs: how far it is, why it waits, and where its results are."""
        self.reply(_batch(await self.app.jobs.one(self.asker, job)))


class CancelledBatch(GatewayHandler):
    """``v1/batches/{id}/cancel``."""

    @needs_scope("batches")
    @described(BatchRow)
    async def post(self, job: str) -> None:
        """Take no more lines of one of your jobs; those under way are still answered."""
        self.reply(_batch(await self.app.jobs.cancel(await self.app.jobs.one(self.asker, job))))


class AllJobs(GatewayHandler):
    """``GET admin/api/jobs``."""

    @needs_scope("instructor")
    @described(JobsReply, *PAGED, TENANT, _STATE)
    async def get(self) -> None:
        """Jobs, the newest first: all for an administrator, those of the own group for an instructor."""
        page, tenant = self.page(), self.tenant_seen()
        rows = [_job(one) for one in await self.app.jobs.page(page, tenant=tenant, state=self.query()["state"] or "")]
        self.reply({"jobs": rows[: page.limit], "next": page.mark(rows, "made", "id")})


class OneJob(GatewayHandler):
    """``GET admin/api/jobs/{id}``."""

    @needs_scope("instructor")
    @described(JobRow)
    async def get(self, job: str) -> None:
        """A job, without its texts."""
        self.reply(_job(await self.app.jobs.seen(job, self.tenant_seen())))


class ChangedJob(GatewayHandler):
    """``POST admin/api/jobs/{id}/{action}``."""

    @needs_scope("instructor")
    @described(JobRow)
    async def post(self, job: str, action: str) -> None:
        """Cancel a job, or have the failed lines of one that has ended asked again."""
        found = await self.app.jobs.seen(job, self.tenant_seen())
        changed = await (self.app.jobs.cancel(found) if action == "cancel" else self.app.jobs.again(found))
        did = "cancelled" if action == "cancel" else "repeated failed lines of"
        await self.app.runtime.note(f"{did} the job {found.id}", self.asker.name, found.tenant)
        self.reply(_job(changed))


@dataclass(frozen=True, slots=True)
class LineReader:
    """Makes requests of the lines of jobs."""

    gateway: Gateway
    policy: Policy
    default_model: str
    reader: BodyReader

    async def __call__(self, caller: Caller, line: JobLine, body: bytes) -> LineRequest:
        """The request that a line of a job makes, as batch work.

        Raises:
            BadRequest: A field is wrong.
        """
        endpoint, request_id = line.job.endpoint, f"req-{secrets.token_hex(16)}"
        shape = chat_body if endpoint == "/v1/responses" else requests.as_sent
        read = await self.reader.read(body, shape) if len(body) > requests.LARGE else requests.read(body, shape)
        if read.asked.get("stream"):
            raise BadRequest("A line of a job is not streamed. Leave 'stream' out.", param="stream")
        headers = {"X-RSQL-Task": "batch", "X-Request-Id": line.id, "X-RSQL-Whole": "false"}
        if endpoint == "/v1/embeddings":
            request = requests.embeddings_request(read.asked, headers, request_id=request_id, weighed=read.weighed)
            if request.model == OFFLINE:
                raise ModelNotServed(
                    "The model 'offline' has no embeddings. Name one that a provider serves.", param="model"
                )
            return LineRequest(request, bytes)
        request = requests.chat_request(
            read.asked,
            headers,
            default_model=lambda: default_model_of(caller, self.policy, self.gateway, self.default_model),
            request_id=request_id,
            weighed=read.weighed,
        )
        if endpoint != "/v1/responses":
            return LineRequest(request, bytes)
        frame = ResponseFrame(request_id, request.model, read.sent, int(time.time()))
        return LineRequest(request, lambda reply: response_of(reply, frame))


def _seconds(fields: Mapping[str, str]) -> float | None:
    """How long a file is to be kept, as its sender says."""
    if (given := fields.get("expires_after[seconds]")) is None:
        return None
    if not given.isdecimal() or fields.get("expires_after[anchor]", "created_at") != "created_at":
        words = '\'expires_after\' must be {"anchor": "created_at", "seconds": a whole number}.'
        raise BadRequest(words, param="expires_after")
    return float(given[:20])


def _object(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = body.get(name)
    if value is not None and not isinstance(value, dict):
        raise BadRequest(f"'{name}' must be an object.", param=name)
    return value or {}


def _listed(rows: Sequence[dict[str, Any]], page: LedgerPage) -> dict[str, Any]:
    shown = rows[: page.limit]
    ends = {"first_id": shown[0]["id"] if shown else None, "last_id": shown[-1]["id"] if shown else None}
    return {"object": "list", "data": shown, "has_more": len(rows) > page.limit} | ends


def _file(file: StoredFile) -> dict[str, Any]:
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.bytes,
        "created_at": int(file.made),
        "expires_at": _whole(file.expires),
        "filename": file.name,
        "purpose": file.purpose,
        "status": "processed",
    }


def _batch(job: BatchJob) -> dict[str, Any]:
    ended = _whole(job.ended)
    stopping = _whole(job.stopping)
    has_ended = job.ended is not None
    tokens = job.prompt_tokens, job.completion_tokens
    return {
        "id": job.id,
        "object": "batch",
        "endpoint": job.endpoint,
        "errors": _errors(job),
        "input_file_id": job.input,
        "completion_window": job.completion_window,
        "status": job.state,
        "output_file_id": job.part_id("output") if has_ended and job.done else None,
        "error_file_id": job.part_id("errors") if has_ended and job.failed else None,
        "created_at": int(job.made),
        "in_progress_at": int(job.made),
        "expires_at": int(job.expires),
        "finalizing_at": stopping,
        "completed_at": ended if job.state == "completed" else None,
        "failed_at": None,
        "expired_at": ended if job.state == "expired" else None,
        "cancelling_at": stopping if job.state in {"cancelling", "cancelled"} else None,
        "cancelled_at": ended if job.state == "cancelled" else None,
        "request_counts": {"total": job.total, "completed": job.done, "failed": job.failed},
        "usage": {"input_tokens": tokens[0], "output_tokens": tokens[1], "total_tokens": sum(tokens)},
        "metadata": msgspec.json.decode(job.metadata),
        "rsql": {
            "waits_for": _waits(job) or None,
            "asked_twice": job.asked_twice,
            **_money(job),
            **_of_notebooks(job),
        },
    }


def _of_notebooks(job: BatchJob) -> dict[str, Any]:
    """How far the notebooks are that were handed over, and the file in which their answers are recorded."""
    if job.endpoint != NOTEBOOKS:
        return {}
    return {"progress": _progress(job), "recording_file_id": job.recording_id}


def _waits(job: BatchJob) -> str:
    """Why a job waits, or the first of its notebooks that does."""
    runs = (_progress(job) or {}).get("runs", ()) if job.is_active else ()
    waits = (f"{run['name']}: {run['waits']}" for run in runs if run["state"] == "running" and run["waits"])
    return job.waits_for or next(waits, "")


def _progress(job: BatchJob) -> dict[str, Any] | None:
    return msgspec.json.decode(job.progress) if job.progress else None


def _errors(job: BatchJob) -> dict[str, Any] | None:
    """Why a job took no more lines before its end, where nobody wanted that."""
    if job.stopped_for in {"", "batch_cancelled"}:
        return None
    why = {"code": job.stopped_for, "message": STOPS[job.stopped_for], "line": None, "param": None}
    return {"object": "list", "data": [why]}


def _money(job: BatchJob) -> dict[str, float | None]:
    budget = job.budget_nanodollars
    return {
        "cost_usd": job.cost_nanodollars / NANODOLLARS,
        "budget_usd": None if budget is None else budget / NANODOLLARS,
    }


def _job(job: BatchJob) -> dict[str, Any]:
    names = ("id", "caller", "tenant", "api_key", "endpoint", "state", "made", "expires", "ended", "total", "done")
    more = ("failed", "prompt_tokens", "completion_tokens", "waits_for", "stopped_for", "asked_twice")
    shown = {name: getattr(job, name) for name in (*names, *more)}
    return shown | _money(job) | {"progress": _progress(job), "waits_for": _waits(job)}


def _whole(at: float | None) -> int | None:
    return None if at is None else int(at)
