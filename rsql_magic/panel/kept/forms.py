"""The form that a record of another machine, or of a program, has to have to be shown; any other is kept unread."""

# A gateway keeps what it is sent, and programs may keep conversations there, too. What is shown of a record is declared
# here; what else stands in it is left alone.

from __future__ import annotations

from typing import Any, Literal

import msgspec

from rsql_magic.panel.kept.records import ODD_AS, read

_ODD = (AttributeError, KeyError, TypeError, ValueError)
Objects = list[dict[str, Any]]


class _ColumnForm(msgspec.Struct):
    name: str
    right: bool = False


class _DraftForm(msgspec.Struct):
    why: str = ""
    mended: bool = False


class _ResultForm(msgspec.Struct):
    sql: str
    columns: list[_ColumnForm] = []
    rows: list[list[str]] = []
    chart: bool = False
    count: str = ""
    variable: str = ""
    connection: str = ""
    drafts: list[_DraftForm] = []
    more: int = 0


class _ChangeForm(msgspec.Struct):
    type: str
    title: str
    state: str
    reason: str
    source: str


class _ErrorForm(msgspec.Struct):
    message: str
    hint: str = ""
    retry_after: float | None = None


class _PassageForm(msgspec.Struct):
    label: str
    text: str
    borne_out: bool = False


class _UsageForm(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    requests: int = 0
    seconds: float = 0.0
    queue_seconds: float = 0.0
    cost_usd: float | None = None
    model: str = ""
    request_id: str = ""


class _OriginForm(msgspec.Struct):
    cell: str = ""
    run: str = ""


class _TurnForm(msgspec.Struct):
    question: str
    answer: str
    task: str = "ask"
    sources: list[str] = []
    place: int = 0
    connection: str = ""
    level: str = "stats"
    usage: _UsageForm | None = None
    origin: _OriginForm | None = None


class _QueryForm(msgspec.Struct):
    question: str
    sql: str
    dialect: str = ""


class _RecordForm(msgspec.Struct):
    question: str
    answer: str = ""
    state: Literal["running", "done", "stopped", "failed"] = "running"
    task: str = "ask"
    by: Literal["panel", "cell"] = "panel"
    footer: str = ""
    model: str = ""
    requested_model: str = ""
    request_id: str = ""
    rating: str = ""
    topic: str = ""
    at: float = 0.0
    sources: list[str] = []
    problems: list[str] = []
    notes: list[str] = []
    citations: list[_PassageForm] = []
    changes: list[_ChangeForm] = []
    error: _ErrorForm | None = None
    result: _ResultForm | None = None
    turn: _TurnForm | None = None
    query: _QueryForm | None = None
    agent: dict[str, Any] | None = None


def kept_as(record: dict[str, Any]) -> bytes:
    """A record of another machine as it is kept here; one that cannot be shown is kept as it came.

    Example:
        >>> kept_as({"question": "Why?"}), kept_as({"question": 7})
        (b'{"question":"Why?"}', b'{"odd":{"question":7}}')
    """
    body = msgspec.json.encode(record)
    is_known = ODD_AS not in record and _can_be_shown(record, body)
    return body if is_known else msgspec.json.encode({ODD_AS: record})


def _can_be_shown(record: dict[str, Any], body: bytes) -> bool:
    try:
        msgspec.convert(record, _RecordForm)
        read(body).as_dict()
    except _ODD:
        return False
    return True
