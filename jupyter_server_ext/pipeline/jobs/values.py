"""Files, jobs and lines as values, and what OpenAI's protocol says of them."""

# https://platform.openai.com/docs/api-reference/batch
# https://platform.openai.com/docs/api-reference/files

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from jupyter_server_ext.errors import BadRequest, RsqlGatewayError

if TYPE_CHECKING:
    from collections.abc import Iterator

NOTEBOOKS = "/v1/notebooks"
"""What the one line of a job asks for that hands over notebooks: a call of ``rsql run``."""
ENDPOINTS = {
    "/v1/chat/completions": "chat",
    "/v1/embeddings": "embeddings",
    "/v1/responses": "chat",
    NOTEBOOKS: "notebooks",
}
"""What a line may ask for, with the scope that whoever made its job needs for that."""

JobState = Literal["in_progress", "finalizing", "cancelling", "completed", "expired", "cancelled"]
ACTIVE: tuple[JobState, ...] = ("in_progress", "finalizing", "cancelling")
"""The states of jobs that still have lines to settle."""

LineState = Literal["waiting", "done", "failed"]
Part = Literal["output", "errors"]
LINES_OF: dict[Part, LineState] = {"output": "done", "errors": "failed"}
"""Which lines of a job the files of its results hold."""

# Why a job stopped before its end: the code that its unanswered lines have in the results, and what that means.
STOPS = {
    "batch_cancelled": "The job was cancelled before this line was answered.",
    "batch_expired": "The job's time was over before this line was answered. Send the line in a new job.",
    "budget_exceeded": "The job's budget does not reach for this line. Send it in a new job.",
    "caller_gone": "Whoever made the job may ask no more: the key was revoked or has expired, or the user has gone.",
}
_ENDED_EARLY = ("batch_cancelled", "budget_exceeded", "caller_gone")
STATE_AFTER: dict[str, JobState] = {"": "completed", **dict.fromkeys(_ENDED_EARLY, "cancelled")}
"""The state that a job ends in, by why it stopped; ``expired`` otherwise."""

_LONGEST_ID = 512  # characters of a ``custom_id``


class NoSuchFile(BadRequest):
    """There is no file of this id, or not for this caller."""

    status, code = 404, "file_not_found"


class NoSuchJob(BadRequest):
    """There is no job of this id, or not for this caller."""

    status, code = 404, "batch_not_found"


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file, sent by a caller or written by a job. Times are Unix time."""

    id: str
    caller: str
    tenant: str
    name: str
    purpose: str
    state: Literal["arriving", "ready"]
    bytes: int
    lines: int  # without blank ones
    pieces: int  # parts of whole lines that it is kept in; 0 for one that a job wrote
    made: float
    expires: float | None
    job: str = ""  # the job that wrote it


@dataclass(frozen=True, slots=True)
class BatchJob:
    """A job. Times are Unix time."""

    id: str
    caller: str
    tenant: str
    api_key: str  # public id of the virtual key that made it, if one did
    endpoint: str
    input: str  # id of its file
    completion_window: str
    state: JobState
    made: float
    expires: float  # when it stops
    pieces: int  # of its file
    total: int  # lines
    metadata: str  # JSON
    kept_seconds: float | None = None  # for which results are kept; None for as long as the settings say
    stopping: float | None = None  # since when it takes no more lines
    stopped_for: str = ""  # why, one of ``STOPS``
    ended: float | None = None
    piece: int = 0  # the next piece of its file whose lines are to be known
    read: int = 0  # lines that are
    done: int = 0  # lines that were answered
    failed: int = 0  # lines that were not, for good
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_nanodollars: int = 0
    waits_for: str = ""  # why nothing of it is asked at the moment
    told: bool = False  # whether webhooks know that it has ended
    budget_nanodollars: int | None = None  # most that it may cost
    held_nanodollars: int = 0  # of that, for lines under way
    progress: str = ""  # how far its notebooks are, as JSON
    asked_twice: int = 0  # lines that were asked again as a gateway that may have asked them was gone

    @property
    def is_active(self) -> bool:
        """Whether lines are still to be settled."""
        return self.state in ACTIVE

    def part_id(self, part: Part) -> str:
        """The id of a file of its results."""
        return f"file-{self.id.removeprefix('batch_')}-{part}"

    @property
    def recording_id(self) -> str:
        """The id of the file in which the answers of its notebooks are recorded."""
        return f"file-{self.id.removeprefix('batch_')}-recording"


@dataclass(frozen=True, slots=True)
class JobLine:
    """A line of a job that this gateway has taken."""

    job: BatchJob
    number: int  # from 1
    text: bytes | None  # as it was sent; None where it cannot be decrypted any more
    attempts: int = 0  # how often a provider failed to answer it
    is_repeat: bool = False  # whether an earlier line of the job has the same ``custom_id``
    fence: int = 0  # the number of its lease, by which it is known whether another has taken it over

    @property
    def id(self) -> str:
        """Its id in the results, which is also the ``client_id`` of its requests in the ledger."""
        return f"{self.job.id}/{self.number}"


@dataclass(frozen=True, slots=True)
class LineOutcome:
    """What came of a line: a result for good, or when it is to be tried again."""

    line: JobLine
    state: LineState
    result: bytes = b""  # a line of the results
    pause: float = 0.0  # seconds before it is tried again
    attempts: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_nanodollars: int = 0
    is_cut: bool = False  # whether it was broken off, so that it is asked again whatever came of it


class _SentLine(msgspec.Struct, frozen=True):
    custom_id: str
    method: str
    url: str
    body: msgspec.Raw


class _OnlyId(msgspec.Struct, frozen=True):
    custom_id: str


_sent = msgspec.json.Decoder(_SentLine)
_only_id = msgspec.json.Decoder(_OnlyId)


def lines_of(piece: bytes) -> Iterator[tuple[int, bytes]]:
    r"""The lines of a piece of a file that are not blank, each with where it begins.

    Example:
        >>> list(lines_of(b'{"a": 1}\r\n\n {}'))
        [(0, b'{"a": 1}\r'), (11, b' {}')]
    """
    at = 0
    for line in piece.split(b"\n"):
        if line and not line.isspace():
            yield at, line
        at += len(line) + 1


def custom_id_of(text: bytes) -> str | None:
    r"""The caller's name for a line; None where it cannot be read.

    Example:
        >>> custom_id_of(b'{"custom_id": "row-1", "method": "POST"}'), custom_id_of(b"{")
        ('row-1', None)
    """
    try:
        return _only_id.decode(text).custom_id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def digest_of(custom_id: str) -> str:
    """What tells two names of lines apart."""
    return hashlib.sha256(custom_id.encode("utf-8", "surrogatepass")).hexdigest()


def body_of(line: JobLine) -> bytes:
    """The JSON body of the request that a line makes.

    Raises:
        BadRequest: The line is wrong; the message names its number.
    """
    where = f"Line {line.number:,}"
    if line.text is None:
        raise BadRequest(f"{where} cannot be decrypted: 'prompt_keys' in [storage] have changed. Send the file anew.")
    try:
        sent = _sent.decode(line.text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as wrong:
        words = f"{where} must be a JSON object with custom_id, method, url and body ({wrong})."
        raise BadRequest(words, code="invalid_json_line") from None
    if not 0 < len(sent.custom_id) <= _LONGEST_ID:
        raise BadRequest(f"{where}: 'custom_id' may have 1 to {_LONGEST_ID} characters.", param="custom_id")
    if line.is_repeat:
        words = f"{where}: an earlier line has the same 'custom_id'. Give each line its own."
        raise BadRequest(words, param="custom_id", code="duplicate_custom_id")
    if sent.method != "POST":
        raise BadRequest(f"{where}: 'method' must be POST.", param="method")
    if sent.url != line.job.endpoint:
        raise BadRequest(f"{where}: 'url' must be {line.job.endpoint}, as the job has it.", param="url")
    return bytes(sent.body)


def answered(line: JobLine, body: bytes, request_id: str) -> bytes:
    """The line of the results for an answer, which is JSON."""
    response = {"status_code": 200, "request_id": request_id, "body": msgspec.Raw(body)}
    return _result(line, response, None)


def refused(line: JobLine, error: RsqlGatewayError, request_id: str) -> bytes:
    """The line of the results for a request that failed for good."""
    response = {"status_code": error.status, "request_id": request_id, "body": error.as_json(request_id)}
    return _result(line, response, None)


def ran(line: JobLine, result: bytes, code: str = "", message: str = "") -> bytes:
    """The line of the results for notebooks that were run, with an error where one did not succeed."""
    response = {"status_code": 422 if code else 200, "request_id": "", "body": msgspec.Raw(result)}
    return _result(line, response, {"code": code, "message": message, "line": line.number} if code else None)


def unasked(line: JobLine, code: str, message: str) -> bytes:
    """The line of the results for what was never asked."""
    return _result(line, None, {"code": code, "message": message, "line": line.number})


def _result(line: JobLine, response: dict[str, Any] | None, error: dict[str, Any] | None) -> bytes:
    custom_id = custom_id_of(line.text or b"")
    whole = {"id": line.id, "custom_id": custom_id, "response": response, "error": error}
    return msgspec.json.encode(whole) + b"\n"
