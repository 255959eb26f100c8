"""Ways in which a model answers about rows wrongly: each takes the right answer and says something else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    Rows = list[dict[str, Any]]


def _json(rows: Any) -> str:
    return json.dumps({"rows": rows})


def _moved(rows: Rows, by: int) -> Rows:
    """Each row's values under another row's token."""
    return [{**rows[(n + by) % len(rows)], "row": row["row"]} for n, row in enumerate(rows)]


def _numbered(rows: Rows, start: int, kind: type = int) -> Rows:
    return [{**row, "row": kind(n)} for n, row in enumerate(rows, start)]


def _wrong(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "label": "bad" if row["label"] == "good" else "good", "score": row["score"] + 1}


def _all_wrong(rows: Rows) -> Rows:
    return [_wrong(row) for row in rows]


def _renamed(rows: Rows, change: Callable[[str], str]) -> Rows:
    """Wrong answers whose tokens are nearly right."""
    return [{**_wrong(row), "row": change(row["row"])} for row in rows]


def _pairs(rows: Rows, again: str) -> str:
    """JSON whose first row names one thing twice; another value stands first."""
    text = _json(rows)
    said = json.dumps(rows[0][again])
    other = json.dumps(_wrong(rows[0]).get(again) if again != "row" else rows[-1]["row"])
    return text.replace(f'"{again}": {said}', f'"{again}": {said}, "{again}": {other}', 1)


# What is said of the right rows: a text, or an error of the stream by its name.
WAYS: dict[str, Callable[[Rows], str]] = {
    "counted from 0": lambda rows: _json(_numbered(rows, 0)),
    "counted from 1": lambda rows: _json(_numbered(_moved(rows, 1), 1)),
    "counted in texts": lambda rows: _json(_numbered(_moved(rows, 1), 1, str)),
    "one left out, counted on": lambda rows: _json(_numbered(rows[1:], 1)),
    "one left out": lambda rows: _json(_all_wrong(rows[1:])),
    "the last left out": lambda rows: _json(_all_wrong(rows[:-1])),
    "one too many": lambda rows: _json([*_all_wrong(rows), {**rows[0], "row": "zzzzz"}]),
    "one twice, alike": lambda rows: _json([*_all_wrong(rows), _wrong(rows[0])]),
    "one twice, differently": lambda rows: _json([*rows, _wrong(rows[0])]),
    "one token for two": lambda rows: _json([{**_wrong(row), "row": rows[0]["row"]} for row in rows]),
    "no tokens": lambda rows: _json([{k: v for k, v in row.items() if k != "row"} for row in _moved(rows, 1)]),
    "tokens are null": lambda rows: _json([{**row, "row": None} for row in _moved(rows, 1)]),
    "tokens in capitals": lambda rows: _json(_renamed(rows, str.upper)),
    "tokens with a blank": lambda rows: _json(_renamed(rows, lambda token: f"{token} ")),
    "tokens cut": lambda rows: _json(_renamed(rows, lambda token: token[:4])),
    "tokens backwards": lambda rows: _json(_renamed(rows, lambda token: f"{token[::-1]}b")),
    "tokens in lists": lambda rows: _json([{**_wrong(row), "row": [row["row"]]} for row in rows]),
    "tokens in sentences": lambda rows: _json(_renamed(rows, lambda token: f"row {token}")),
    "the form's own word": lambda rows: _json([{**row, "row": "token"} for row in _moved(rows, 1)]),
    "tokens of another question": lambda rows: _json(
        _renamed(rows, lambda token: token.translate({98: "c", 99: "b"}) + "x")
    ),
    "by token, as names": lambda rows: json.dumps({row["row"]: _wrong(row) for row in rows}),
    "by column, as lists": lambda rows: json.dumps({name: [_wrong(row).get(name) for row in rows] for name in rows[0]}),
    "lists in lists": lambda rows: _json([_all_wrong(rows)]),
    "a row within a row": lambda rows: _json([{**_wrong(rows[0]), "rows": rows[1:]}]),
    "a row's token as a name": lambda rows: _json(
        [{**_wrong(rows[0]), rows[-1]["row"]: "good"}, *_all_wrong(rows[1:])]
    ),
    "a token named twice": lambda rows: _pairs(_all_wrong(rows), "row"),
    "a value named twice": lambda rows: _pairs(_all_wrong(rows), "label"),
    "a name in another case": lambda rows: _json([{**_wrong(row), "Label": row["label"]} for row in rows]),
    "a correction beside it": lambda rows: json.dumps({"rows": _all_wrong(rows), "corrections": rows}),
    "a correction behind it": lambda rows: f"{_json(_all_wrong(rows))}\n\nSorry, the labels are the other way round.",
    "a draft before it": lambda rows: f"{_json(_all_wrong(rows))}\n{_json(rows)}",
    "a draft in a fence before it": lambda rows: (
        f"```json\n{_json(_all_wrong(rows))}\n```\nNo:\n```json\n{_json(rows)}\n```"
    ),
    "a draft in words before it": lambda rows: f"First {_json(_all_wrong(rows))}. Now:\n```json\n{_json(rows)}\n```",
    "thought aloud": lambda rows: f"<think>{_json(_all_wrong(rows))}",
    "half": lambda rows: _json(_all_wrong(rows))[:-7],
    "half, closed": lambda rows: _json(_all_wrong(rows[: len(rows) // 2])),
    "a line each": lambda rows: "\n".join(json.dumps(_wrong(row)) for row in rows),
    "a table": lambda rows: "row | label\n" + "\n".join(f"{row['row']} | {_wrong(row)['label']}" for row in rows),
    "Python's way": lambda rows: str({"rows": _all_wrong(rows)}),
    "prose": lambda rows: f"The row {rows[0]['row']} is bad.",
    "nothing": lambda _: "",
    "the prompt again": lambda rows: "\n".join(json.dumps({"text": "x", "row": row["row"]}) for row in rows),
    "not a number": lambda rows: _json([{**row, "score": float("nan")} for row in rows]),
    "endless": lambda rows: _json([{**row, "score": float("inf")} for row in rows]),
    "a number in words": lambda rows: _json([{**row, "score": "1_0"} for row in rows]),
    "another choice": lambda rows: _json([{**row, "label": "middling"} for row in rows]),
    "two choices": lambda rows: _json([{**row, "label": ["good", "bad"]} for row in rows]),
    "values wrapped": lambda rows: _json([{**row, "label": {"value": "good"}} for row in rows]),
    "values left out": lambda rows: _json([{"row": row["row"]} for row in rows]),
    "deep": lambda _: "[" * 100_000,
    "stopped by the filter": lambda rows: _json(_all_wrong(rows)),
    "out of tokens": lambda rows: _json(_all_wrong(rows)),
    "calls a tool": lambda rows: _json(_all_wrong(rows)),
}
FINISHED = {"stopped by the filter": "content_filter", "out of tokens": "length", "calls a tool": "tool_calls"}
"""Why a provider says that an answer ended, where it is not ``stop``."""
