"""Shapes of replies: files and jobs."""

from __future__ import annotations

from typing_extensions import TypedDict

from jupyter_server_ext.handlers.described import Counts, Object


class FileRow(TypedDict):
    """A file, in OpenAI's form."""

    id: str
    object: str
    bytes: int
    created_at: int
    expires_at: int | None
    filename: str
    purpose: str
    status: str


class FilesReply(TypedDict):
    """``v1/files``."""

    object: str
    data: list[FileRow]
    first_id: str | None
    last_id: str | None
    has_more: bool


class DeletedFile(TypedDict):
    """The file that was deleted, in OpenAI's form."""

    id: str
    object: str
    deleted: bool


class JobProgress(TypedDict):
    """How many lines of a job there are, were answered, and failed for good."""

    total: int
    completed: int
    failed: int


class BatchRow(TypedDict):
    """A job, in OpenAI's form of a batch; ``rsql`` says why it waits, what it has cost, how far its notebooks are."""

    id: str
    object: str
    endpoint: str
    errors: Object | None
    input_file_id: str
    completion_window: str
    status: str
    output_file_id: str | None
    error_file_id: str | None
    created_at: int
    in_progress_at: int
    expires_at: int
    finalizing_at: int | None
    completed_at: int | None
    failed_at: None
    expired_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    request_counts: JobProgress
    usage: Counts
    metadata: dict[str, str]
    rsql: Object


class BatchesReply(TypedDict):
    """``v1/batches``."""

    object: str
    data: list[BatchRow]
    first_id: str | None
    last_id: str | None
    has_more: bool


class JobRow(TypedDict):
    """A job, as administrators see it; times are Unix time."""

    id: str
    caller: str
    tenant: str
    api_key: str
    endpoint: str
    state: str
    made: float
    expires: float
    ended: float | None
    total: int
    done: int
    failed: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float
    budget_usd: float | None
    waits_for: str
    stopped_for: str
    asked_twice: int
    progress: Object | None


class JobsReply(TypedDict):
    """``admin/api/jobs``."""

    jobs: list[JobRow]
    next: str | None
