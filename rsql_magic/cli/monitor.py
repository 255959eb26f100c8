"""``rsql monitor``: the gateway and one's own limits, live. On a pipe it is one line for each look, for a log."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rsql_magic.errors import GatewayError
from rsql_magic.gateway import figures
from rsql_magic.plain_text import printable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping

    from rsql_magic.assistant import Assistant

# The terminal's second page, without a cursor: what was there before comes back at the end.
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
_HOME, _REST_OF_LINE, _BELOW = "\x1b[H", "\x1b[K", "\x1b[J"
_BAR = 24  # characters


def options(parser: argparse.ArgumentParser) -> None:
    """What ``rsql monitor`` takes."""
    parser.add_argument("--every", type=float, default=2.0, metavar="S", help="seconds between two looks")
    parser.add_argument("--times", type=int, default=0, metavar="N", help="how many looks; 0 for no end")


def run(assistant: Assistant, options: argparse.Namespace) -> None:
    """Show the gateway again and again; one that is away after the first look is reported, and looked for again."""
    looks = 0
    with _screen() as live:
        while True:
            look = _look(assistant, first=looks == 0)
            now = datetime.now().astimezone()
            draw = page if live else lambda look, now, _: [line(look, now)]
            _write(draw(look, now, str(assistant.locator.address or "")), live=live)
            looks += 1
            if looks == options.times:
                return
            time.sleep(options.every)


def _look(assistant: Assistant, *, first: bool) -> dict[str, Any]:
    try:
        gateway = assistant.locator.gateway
        return {"status": gateway.get("status", timeout=10.0), "stats": gateway.get("stats", timeout=10.0)}
    except GatewayError as error:
        if first:
            raise
        return {"error": error.message}


# Another page of the terminal while it lasts, and the old one afterwards; False where there is no terminal.
@contextmanager
def _screen() -> Iterator[bool]:
    live = sys.stdout.isatty()
    sys.stdout.write(_ENTER if live else "")
    try:
        yield live
    finally:
        sys.stdout.write(_LEAVE if live else "")
        sys.stdout.flush()


def _write(lines: list[str], *, live: bool) -> None:
    ending = _REST_OF_LINE if live else ""
    text = "".join(f"{printable(one)}{ending}\n" for one in lines)
    sys.stdout.write(f"{_HOME}{text}{_BELOW}" if live else text)
    sys.stdout.flush()


def page(look: Mapping[str, Any], now: datetime, where: str) -> list[str]:
    """The lines of a whole page, from ``status`` and ``stats`` of the gateway, or ``error``."""
    head = [f"rsql · {where} · {now:%H:%M:%S} · Ctrl-C ends", ""]
    if "error" in look:
        return [*head, look["error"], "Looking again …"]
    status, stats = look["status"], look["stats"]
    keys = status.get("keys") or {}
    return [
        *head,
        f"keys     {bar(keys.get('ready', 0), sum(keys.values()))}  {figures.in_words(keys)}",
        f"queue    {figures.queue(status.get('queue') or {})}",
        f"models   {', '.join((status.get('models') or [])[:8])}",
        "",
        f"you      {stats.get('caller', '')}" + (f" in {stats['tenant']}" if stats.get("tenant") else ""),
        *_limits(stats),
    ]


def _limits(stats: Mapping[str, Any]) -> Iterator[str]:
    for unit, name in (("requests", "limits"), ("tokens", "tokens")):
        for period, row in (stats.get(name) or {}).items():
            if isinstance(row, dict) and row.get("limit") is not None:
                yield f"{unit:8} {bar(row.get('current') or 0, row['limit'])}  {figures.of(row)} this {period}"
    if spent := figures.money(stats.get("cost") or {}):
        yield f"money    {spent} today"


def bar(part: float, whole: float) -> str:
    """A bar that is filled as far as ``part`` is of ``whole``.

    Example:
        >>> bar(1, 2)
        '████████████░░░░░░░░░░░░'
    """
    filled = round(_BAR * min(1.0, max(0.0, part / whole))) if whole else 0
    return "█" * filled + "░" * (_BAR - filled)


def line(look: Mapping[str, Any], now: datetime) -> str:
    """One look as one line."""
    stamp = now.isoformat(timespec="seconds")
    if "error" in look:
        return f"{stamp} error={look['error']!r}"
    keys, queue = look["status"].get("keys") or {}, look["status"].get("queue") or {}
    parts = [f"{state}={count}" for state, count in keys.items()]
    minute = (look["stats"].get("limits") or {}).get("minute") or {}
    parts += [f"queue={queue.get('length', 0)}", f"requests_this_minute={minute.get('current', 0)}"]
    return " ".join([stamp, *parts])
