"""Replies that no model should give and some do: texts, and pieces of a stream of any shape of JSON."""

from __future__ import annotations

import json
from typing import Any

import httpx

COUNT = "SELECT count(*) AS n FROM orders"
TEXTS = {
    "empty": "",
    "blank": " \n\t ",
    "thinking": "<think>hm, hm",
    "thought only": "<think>hm</think>",
    "NUL": "\x00\x00",
    "refusal": "I'm sorry, but I can't help with that.",
    "python": "```python\nprint(1)\n```",
    "r": "```r\nx <- 1\n```",
    "html": "<!DOCTYPE html><html><body>502</body></html>",
    "a fence": "```",
    "an empty block": "```sql\n```",
    "half a character": "\ud800abc",
    "delete": "```sql\nDELETE FROM orders\n```",
    "delete without a block": "DELETE FROM orders",
    "several": "```sql\nSELECT 1; DROP TABLE orders; SELECT 2\n```",
    "the same again": "the same again. " * 2_000,
    "a list without end": "SELECT " + "1, " * 6_000,
    "one line": "x" * 210_000,
}
QUERIES = {
    "bare": COUNT,
    "byte order mark": "\ufeff" + COUNT,
    "json": json.dumps({"sql": COUNT}),
    "json in a block": f"```json\n{json.dumps({'query': COUNT})}\n```",
    "prose after it": f"{COUNT}\n\nThis counts the orders.",
    "a block in a block": f"````sql\n```sql\n{COUNT}\n```\n````",
    "thought before": f"<think>select?</think>```sql\n{COUNT}\n```",
    "two blocks": f"```sql\n{COUNT}\n```\nor\n```sql\nSELECT 2\n```",
}
"""Texts in which a query is found."""
ODD = [[], 5, "x", {}, {"choices": None}, {"choices": []}, {"choices": "x"}, {"choices": [None]}, {"choices": [5]}]
ODD += [{"choices": [{"delta": delta}]} for delta in (None, "x", [], {"content": 5}, {"content": {"a": 1}})]
ODD += [{"choices": [{"delta": {"tool_calls": [{}]}, "finish_reason": "tool_calls"}]}, {"error": None}, {"usage": "x"}]
ODD += [{"choices": [{"delta": {}, "finish_reason": "content_filter"}]}, {"rsql": [1]}, {"model": 5}]
ODD += [
    {"choices": [{"delta": {"content": [{"type": "text", "text": "hi"}, "x", 5]}}]},
    {"usage": {"prompt_tokens": "a"}},
]
ODD += [{"choices": [{"delta": {"refusal": "I will not."}}]}, {"choices": [{"delta": {"reasoning_content": "hm"}}]}]


def streamed(chunk: Any) -> list[str]:
    """The lines of a stream of one piece."""
    return [f"data: {json.dumps(chunk)}", "data: [DONE]"]


def whole(chunk: Any) -> Any:
    """The same as a reply that is no stream."""
    return json.loads(json.dumps(chunk).replace('"delta"', '"message"'))


def replies() -> dict[str, Any]:
    """All of them as a fake gateway replies: texts, streams, and whole bodies, by name."""
    pieces = {f"stream {json.dumps(chunk)}": streamed(chunk) for chunk in ODD}
    return TEXTS | pieces | {f"whole {json.dumps(chunk)}": httpx.Response(200, json=whole(chunk)) for chunk in ODD}
