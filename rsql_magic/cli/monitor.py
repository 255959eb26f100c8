"""``rsql monitor``: the caller's own part of a gateway, and for those who may see it all of it, again and again."""

from __future__ import annotations

import sys
import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rsql_magic import reports
from rsql_magic.errors import GatewayError
from rsql_magic.plain_text import printable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator, Mapping

    from rich.console import RenderableType
    from rich.text import Text

    from rsql_magic.assistant import Assistant

_OWN = {"status": "status", "stats": "stats"}
_OF_ALL = {"overview": "admin/api/overview", "errors": "admin/api/errors?limit=5"}
_REFUSED = {401, 403, 404}  # of callers who may not see it, and of gateways that do not have it
_BAR = 24  # characters
_LEVELS = "▁▂▃▄▅▆▇█"
_SLOT = 300.0  # seconds, of the overview's series
_SLOTS = 24
_OTHER_LINES = 24  # of a page, without its keys
_FEWEST_KEYS = 5
_STYLES = {"ready": "green", "cooling": "yellow", "exhausted": "yellow", "paused": "dim", "retired": "red"}


def monitor_options(parser: argparse.ArgumentParser) -> None:
    """What ``rsql monitor`` takes."""
    parser.add_argument("--every", type=float, default=2.0, metavar="S", help="seconds between two looks")
    parser.add_argument("--times", type=int, default=0, metavar="N", help="how many looks; 0 for no end")


def monitor(assistant: Assistant, options: argparse.Namespace) -> None:
    """Show the gateway again and again; one that is away after the first look is reported, and looked for again."""
    from rich.console import Console
    from rich.live import Live

    console = Console(highlight=False)
    live = Live(console=console, screen=True, auto_refresh=False) if console.is_terminal else None
    observer = Observer(assistant)
    looks = 0
    with live or nullcontext():
        while True:
            look = observer.look(first=looks == 0)
            now = datetime.now().astimezone()
            if live is not None:
                shown = page(look, now, str(assistant.locator.address or ""), keys=console.height - _OTHER_LINES)
                live.update(shown, refresh=True)
            else:
                sys.stdout.write(f"{_one_line(line(look, now))}\n")
                sys.stdout.flush()
            looks += 1
            if looks == options.times:
                return
            time.sleep(options.every)


@dataclass
class Observer:
    """Asks the gateway what a page shows; what this caller may not see is asked for once."""

    assistant: Assistant  # whose gateway it is
    _refused: set[str] = field(default_factory=set)

    def look(self, *, first: bool = False) -> dict[str, Any]:
        """Replies of the gateway by name, or ``error``.

        Raises:
            GatewayError: The gateway does not answer the ``first`` look.
        """
        try:
            gateway = self.assistant.locator.gateway
            found = {name: gateway.get(path, timeout=10.0) for name, path in _OWN.items()}
            for name, path in _OF_ALL.items():
                if name not in self._refused:
                    try:
                        found[name] = gateway.get(path, timeout=10.0)
                    except GatewayError as error:
                        if error.status not in _REFUSED:
                            raise
                        self._refused.add(name)
        except GatewayError as error:
            if first:
                raise
            return {"error": error.message}
        return found


# The page -------------------------------------------------------------------------------------------------------------


def page(look: Mapping[str, Any], now: datetime, where: str, *, keys: int = 20) -> RenderableType:
    """A whole page, from the replies of the gateway by their names, or ``error``.

    Args:
        look: ``status`` and ``stats``; of those who may see it also ``overview`` and ``errors``.
        now: The time of the look.
        where: The gateway's address.
        keys: So many keys at most.
    """
    from rich.console import Group

    head = _words(f"rsql · {where} · {now:%H:%M:%S} · Ctrl-C ends", style="bold")
    if "error" in look:
        return Group(head, "", _words(look["error"], style="red"), "Looking again …")
    gateway, own = [*_gateway(look["status"])], [*_own(look["stats"])]
    if "overview" not in look:
        return Group(head, "", _rows(gateway + own))
    overview = look["overview"]
    parts = [_rows([*gateway, *_of_all(overview)]), _findings(overview.get("findings") or [])]
    if overview.get("keys"):
        parts.append(_keys(overview["keys"], max(_FEWEST_KEYS, keys)))
    if failed := (look.get("errors") or {}).get("errors"):
        parts.append(_failed(failed, now))
    return Group(head, *(line for part in (*parts, _rows(own)) for line in ("", part)))


def _words(text: object, style: str = "") -> Text:
    # Text of the gateway's, in which nothing is markup and nothing is obeyed.
    from rich.text import Text

    return Text(printable(str(text)), style=style)


def _one_line(text: str) -> str:
    return " ".join(printable(text).split())


def _rows(rows: Iterable[tuple[str, str]]) -> RenderableType:
    from rich.table import Table

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, words in rows:
        table.add_row(name, _words(words))
    return table


def _gateway(status: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    keys = status.get("keys") or {}
    yield "keys", f"{bar(keys.get('ready', 0), sum(keys.values()))}  {reports.in_words(keys)}"
    yield "queue", reports.queue(status.get("queue") or {})
    yield "models", ", ".join((status.get("models") or [])[:8])


def _own(stats: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "you", f"{stats.get('caller', '')}" + (f" in {stats['tenant']}" if stats.get("tenant") else "")
    for unit, name in (("requests", "limits"), ("tokens", "tokens")):
        for period, row in (stats.get(name) or {}).items():
            if isinstance(row, dict) and row.get("limit") is not None:
                yield unit, f"{bar(row.get('current') or 0, row['limit'])}  {reports.of(row)} this {period}"
    if spent := reports.money(stats.get("cost") or {}):
        yield "money", f"{spent} today"


def _of_all(overview: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    recent, today = overview.get("recent"), overview.get("today")
    if recent is None or today is None:
        yield "answers", "no records are kept"
    else:
        yield "answers", f"{trend(overview.get('series') or [], overview['at'])}  {_a_minute(overview):.1f} a minute"
        ended = ", ".join(
            f"{recent[how]:,} {how}" for how in ("failure", "timeout", "refused", "cancelled") if recent[how]
        )
        yield "errors", f"{ended or 'none'} of {recent['requests']:,} in {overview['seconds'] / 60:.0f} min"
        took = [(recent.get(f"p{part}_seconds"), f"{part} of 100") for part in (50, 95, 99)]
        if any(seconds is not None for seconds, _ in took):
            yield "took", ", ".join(f"{words} in {seconds:.3g} s" for seconds, words in took if seconds is not None)
        waits = [("in the queue", recent["queue_seconds"]), ("to the first word", recent["first_token_seconds"])]
        yield "waits", ", ".join(f"{seconds:.1f} s {name}" for name, seconds in waits if seconds is not None)
        yield "cost", f"{reports.money({'today': today['cost_usd']})} today, {today['success']:,} answers"
    for budget in overview.get("budgets") or []:
        yield "budget", f"{bar(budget['part'], 1)}  {budget['part']:.0%} of {budget['whose']} this {budget['period']}"


def _findings(found: Iterable[Mapping[str, Any]]) -> RenderableType:
    from rich.table import Table

    table = Table.grid(padding=(0, 2, 0, 0))
    for one in found:
        table.add_row(_words("●", style="red" if one.get("level") == "bad" else "yellow"), _words(one.get("what", "")))
        table.add_row("", _words(one.get("do", ""), style="dim"))
    return table if table.row_count else _words("Nothing is wrong.", style="green")


def _keys(keys: list[Mapping[str, Any]], most: int) -> RenderableType:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("key", "state", "left of its tightest limit", "why"):
        table.add_column(title, overflow="fold")
    # Those first that need somebody.
    order = sorted(keys, key=lambda one: (one.get("state") == "ready", str(one.get("key", ""))))
    for one in order[:most]:
        state = str(one.get("state", ""))
        left = [row for row in one.get("limits") or () if row.get("limit")]
        tightest = min((max(0.0, 1 - (row.get("used") or 0) / row["limit"]) for row in left), default=None)
        words = "" if tightest is None else f"{bar(tightest, 1)} {tightest:.0%}"
        table.add_row(
            _words(one.get("key", "")), _words(state, _STYLES.get(state, "")), words, _words(one.get("why", ""))
        )
    if len(order) > most:
        table.add_row(f"and {len(order) - most} more")
    return table


def _failed(failed: Iterable[Mapping[str, Any]], now: datetime) -> RenderableType:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("no answer at", "who", "model", "why"):
        table.add_column(title, overflow="ellipsis", no_wrap=True)
    for one in failed:
        at = datetime.fromtimestamp(one["at"], now.tzinfo)
        why = _one_line(f"{one.get('error', '')}: {one.get('error_text', '')}".strip(": "))
        table.add_row(f"{at:%H:%M:%S}", _words(one.get("caller", "")), _words(one.get("model", "")), _words(why))
    return table


def _a_minute(overview: Mapping[str, Any]) -> float:
    return float(60 * overview["recent"]["success"] / max(1.0, overview["seconds"]))


def trend(series: Iterable[Mapping[str, Any]], now: float) -> str:
    """Answers of the last two hours, each character five minutes, the highest the most.

    Example:
        >>> trend([{"start": 6600, "success": 4}, {"start": 7200, "success": 8}], 7300)[-4:]
        '▁▅▁█'
    """
    counts = {int(row["start"] // _SLOT): row.get("success") or 0 for row in series}
    last = int(now // _SLOT)
    shown = [counts.get(slot, 0) for slot in range(last - _SLOTS + 1, last + 1)]
    most = max(1, *shown)
    return "".join(_LEVELS[round((len(_LEVELS) - 1) * count / most)] for count in shown)


def bar(part: float, whole: float) -> str:
    """A bar that is filled as far as ``part`` is of ``whole``."""
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
    if (overview := look.get("overview")) and overview.get("recent"):
        recent = overview["recent"]
        parts += [f"answers_a_minute={_a_minute(overview):.1f}", f"failed={recent['failure'] + recent['timeout']}"]
        parts += [f"refused={recent['refused']}", f"cost_today={overview['today']['cost_usd']:.4f}"]
        named = {name: recent.get(f"{name}_seconds") for name in ("p50", "p95", "p99")}
        parts += [f"{name}_seconds={seconds:.4g}" for name, seconds in named.items() if seconds is not None]
    return " ".join([stamp, *parts])
