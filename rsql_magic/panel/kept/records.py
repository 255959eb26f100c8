"""Questions and answers as what is written of them, and read again."""

# A record is JSON: what a view shows of a pair (`MessagePair.as_dict`), the turn that the model reads again, the
# chart's specification, what a rating needs, and the cell whose error it is about. A field that this version does not
# know is left alone, one that is missing has its default, so that an older and a newer kernel can share the file.

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import msgspec

from rsql_magic.display import charts
from rsql_magic.errors import BadInput
from rsql_magic.gateway import Origin, Turn, Usage
from rsql_magic.panel.failed_cell import FailedCell
from rsql_magic.panel.threads import MessagePair
from rsql_magic.text2sql import Verified

if TYPE_CHECKING:
    from collections.abc import Mapping

LARGEST = 16_000_000  # bytes of a record
_TOO_LARGE = "too large to be kept whole: {0} left out"
ODD_AS = "odd"  # the field in which a record of another form stands as it came
_PLAIN = ("id", "question", "answer", "state", "task", "by", "footer", "model", "requested_model", "request_id")
_MORE = ("rating", "sources", "citations", "problems", "notes", "error", "result", "drawing", "topic", "at")
_OF_AGENT = ("changes", "agent", "undo")
OWN = ("undo", "about")  # cells of the notebook, which leave this machine with no copy
_UNKNOWN_FORM = "This answer has a form that this version of rsql does not show."


class OddRecord(BadInput):
    """A record that another program wrote, in another form."""


def written(pair: MessagePair, largest: int = LARGEST) -> bytes:
    """A pair as it is kept; what makes it larger than so many bytes is left out, and a note says so.

    Example:
        >>> read(written(MessagePair("How many?", "Two.", "done"))).answer
        'Two.'
    """
    body, longest = _encoded(values := _values(pair)), largest // 8
    if len(body) > largest:
        values["drawing"], values["notes"] = None, [*values["notes"], _TOO_LARGE.format("its chart")]
        if values["result"]:
            values["result"] = {**values["result"], "chart": False}
        body = _encoded(values)
    if len(body) > largest:
        values["notes"][-1] = _TOO_LARGE.format("its chart, its rows and the end of its text")
        values |= {name: values[name][:longest] for name in ("question", "answer")}
        values["turn"], values["undo"], values["about"], values["citations"] = None, None, None, []
        if values["result"]:
            kept = {**values["result"], "rows": [], "columns": [], "sql": values["result"]["sql"][:longest]}
            values["result"] = kept | {"drafts": []}
        body = _encoded(values)
    return body


def _values(pair: MessagePair) -> dict[str, Any]:
    values = {name: getattr(pair, name) for name in (*_PLAIN, *_MORE, *_OF_AGENT)}
    turn, query = pair.turn, pair.query
    kept = None if turn is None else msgspec.to_builtins(turn) | {"connection": turn.lasting_connection}
    verified = None if query is None else {"question": query.question, "sql": query.sql, "dialect": query.dialect}
    about = None if pair.about is None else dataclasses.asdict(pair.about)
    return values | {"notes": [*pair.notes], "turn": kept, "query": verified, "about": about}


def _encoded(values: Mapping[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(values, enc_hook=str)
    except UnicodeEncodeError:  # half a character, as a model may write one
        return msgspec.json.encode(_whole(msgspec.to_builtins(values, enc_hook=str)), enc_hook=str)


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_whole(name): _whole(each) for name, each in value.items()}
    return [_whole(each) for each in value] if isinstance(value, list | tuple) else value


def outward(body: bytes) -> dict[str, Any]:
    """A record as a copy of it may leave this machine: what it holds of the notebook's cells stays here."""
    values = msgspec.json.decode(body)
    return {name: value for name, value in values.get(ODD_AS, values).items() if name not in OWN}


def read(body: bytes) -> MessagePair:
    """The pair of a record.

    Raises:
        OddRecord: It was kept by another program, in a form of its own.
    """
    values: dict[str, Any] = msgspec.json.decode(body)
    if ODD_AS in values:
        raise OddRecord(_UNKNOWN_FORM)
    known = {name: values[name] for name in (*_PLAIN, *_MORE, *_OF_AGENT) if name in values}
    known |= {name: tuple(known.get(name) or ()) for name in ("sources", "citations", "problems", "notes", "changes")}
    known["drawing"] = charts.of_record(known.get("drawing"))
    pair = MessagePair(**known)
    if turn := values.get("turn"):
        pair.turn = _turn(turn)
    if query := values.get("query"):
        pair.query = Verified(query["question"], query["sql"], query["dialect"])
    pair.about = FailedCell.read(values.get("about"))
    return pair


def _turn(values: Mapping[str, Any]) -> Turn:
    usage = _fields(Usage, values.get("usage") or {})
    usage["limits"] = ()  # of a moment that is gone
    origin = Origin(**_fields(Origin, values.get("origin") or {}))
    known = _fields(Turn, values) | {"usage": Usage(**usage), "origin": origin}
    return Turn(**known | {"sources": tuple(known.get("sources") or ())})


def _fields(form: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    return {each.name: values[each.name] for each in dataclasses.fields(form) if each.name in values}


def text_of(values: Mapping[str, Any]) -> str:
    """What a search looks through: question, answer and query."""
    sql = str((values.get("result") or {}).get("sql") or "")
    return "\n".join([str(values.get("question") or ""), str(values.get("answer") or ""), sql])
