"""What a provider says that is paid for, and what it costs."""

from __future__ import annotations

import json
from typing import Any

import httpx

from jupyter_server_ext.config import KeySettings, PriceSettings, Secret
from jupyter_server_ext.config.settings import ModelPrice

USAGE = {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500}
COST = 2_000_000
"""Nano-dollars of ``USAGE`` at ``PRICES``."""
PRICES = PriceSettings(models=(("m", ModelPrice(1.0, 2.0)), ("bad", ModelPrice(1.0, 2.0))))
KEYS = (KeySettings("sim", Secret("key"), "http://sim.invalid/v1", name="sim-1"),)
STREAM = {"content-type": "text/event-stream"}
END = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": USAGE}


def body(**fields: Any) -> dict[str, Any]:
    """A question, as a client sends it."""
    return {"messages": [{"role": "user", "content": "Hi"}], **fields}


def event(value: Any) -> bytes:
    """One event of a stream."""
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def whole(text: str) -> httpx.Response:
    """An answer in one piece."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return httpx.Response(200, json={"id": "c1", "object": "chat.completion", "choices": [choice], "usage": USAGE})
