"""The reports of a gateway on itself and on its caller, as rows of a table.

What is empty has no row: states that no key is in, a cache that has answered nothing. Fields that only a newer gateway
has come last, under their own names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Report = Mapping[str, Any]  # a report as the gateway gives it

Row = tuple[str, str]  # the subject of a row, and its text


def status_rows(report: Report) -> list[Row]:
    """Rows for the report ``GET status``.

    Example:
        >>> status_rows({"keys": {"ready": 2, "cooling": 0}, "queue": {"length": 0}, "models": ["qwen"]})
        [('keys', '2 ready'), ('queue', 'nobody waits'), ('models', 'qwen')]
    """
    rest = dict(report)
    rows = [
        ("keys", in_words(rest.pop("keys", None))),
        ("queue", queue(rest.pop("queue", None))),
        ("models", _models(rest.pop("models", None), rest.pop("default_model", ""))),
        *_rows(rest.pop("checks", None) or {}),
        ("cache", _cache(rest.pop("cache", None) or {})),
        *_policy(rest),
        *_rows(rest),
    ]
    return [row for row in rows if row[1]]


def usage_rows(report: Report) -> list[Row]:
    """Rows for the report ``GET stats``.

    Example:
        >>> usage_rows({"caller": "ada", "limits": {"day": {"current": 3, "limit": 200}}, "cost": {"today": 0.5}})
        [('you', 'ada'), ('requests this day', '3 of 200'), ('money today', '$0.50')]
    """
    rest = {name: value for name, value in report.items() if name != "offline_models"}
    caller, tenant = rest.pop("caller", ""), rest.pop("tenant", "")
    rows = [
        ("you", f"{caller} in {tenant}" if tenant else caller),
        *((f"requests this {period}", of(limit)) for period, limit in (rest.pop("limits", None) or {}).items()),
        *((f"tokens this {period}", of(limit)) for period, limit in (rest.pop("tokens", None) or {}).items()),
        ("requests under way", of(rest.pop("concurrency", None) or {})),
        ("money today", money(rest.pop("cost", None) or {})),
        ("from the cache today", _saved(rest.pop("cache", None) or {})),
        *_policy(rest),
        *_rows(rest),
    ]
    return [row for row in rows if row[1]]


def in_words(states: Report | None) -> str:
    """Keys by state.

    Example:
        >>> in_words({"ready": 2, "cooling": 1, "retired": 0})
        '2 ready, 1 cooling'
    """
    if states is None:
        return ""
    return ", ".join(f"{count:,} {state}" for state, count in states.items() if count) or "none"


def queue(report: Report | None) -> str:
    """Who waits, and how long it takes now.

    Example:
        >>> queue({"length": 3, "expected_wait_seconds": 12.4})
        '3 waiting, about 12 s'
    """
    if report is None:
        return ""
    length, wait = report.get("length") or 0, report.get("expected_wait_seconds")
    waiting = f"{length:,} waiting" if length else "nobody waits"
    return f"{waiting}, about {wait:.0f} s" if wait and wait >= 0.5 else waiting


def of(limit: Report) -> str:
    """How much of a limit is used; empty where nothing is counted and nothing limited.

    Example:
        >>> of({"current": 1200, "limit": 5000})
        '1,200 of 5,000'
    """
    used, most = limit.get("current"), limit.get("limit")
    if used is None and most is None:
        return ""
    return _number(used or 0) + ("" if most is None else f" of {_number(most)}")


def money(cost: Report) -> str:
    """What was spent today, in US dollars; empty where that is not known.

    Example:
        >>> money({"today": 0.0021, "limit": 5.0})
        '$0.0021 of $5.00'
    """
    today, most = cost.get("today"), cost.get("limit")
    if today is None:
        return ""
    return _dollars(today) + ("" if most is None else f" of {_dollars(most)}")


def _dollars(amount: float) -> str:
    return f"${amount:,.4f}" if 0 < amount < 0.1 else f"${amount:,.2f}"


def _models(names: list[str] | None, default: str) -> str:
    if names is None:
        return ""
    marked = (f"{name} (default)" if name == default and len(names) > 1 else name for name in names)
    return ", ".join(marked) or "none"


def _cache(report: Report) -> str:
    hits = (report.get("hit") or 0) + (report.get("shared") or 0)
    asked = hits + (report.get("miss") or 0)
    if not asked and not report.get("answers"):
        return ""
    saved = f", {_dollars(report['saved_usd'])} saved" if report.get("saved_usd") else ""
    return f"{report.get('answers') or 0:,} answers, {hits:,} of {asked:,} requests had theirs from it{saved}"


def _saved(report: Report) -> str:
    if not report.get("hits"):
        return ""
    saved = f", {_dollars(report['saved_usd'])} saved" if report.get("saved_usd") else ""
    return f"{report['hits']:,} of {report.get('requests') or 0:,} requests{saved}"


# The tenant's policy; taken out of `rest`.
def _policy(rest: dict[str, Any]) -> Iterator[Row]:
    yield "leaves the kernel at most", str(rest.pop("privacy_floor", "") or "")
    yield "your group's instructions", str(rest.pop("system_prompt", "") or "")


# A nested report as rows, such as `key limits`.
def _rows(report: Report, above: str = "") -> Iterator[Row]:
    for name, value in report.items():
        label = f"{above} {name}".strip().replace("_", " ")
        if isinstance(value, dict) and "limit" in value:
            yield label, money(value) if "today" in value else of(value)
        elif isinstance(value, dict):
            yield from _rows(value, label)
        elif isinstance(value, list):
            yield label, ", ".join(map(_brief, value)) or "none"
        elif value not in (None, ""):
            yield label, _number(value)


def _brief(item: Any) -> str:
    if not isinstance(item, dict):
        return str(item)
    name = item.get("name") or item.get("id") or item.get("key") or ""
    rest = [
        f"{key} {_number(value)}"
        for key, value in item.items()
        if value not in (name, None) and not isinstance(value, dict | list)
    ]
    return f"{name} ({', '.join(rest)})" if rest else str(name)


def _number(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.2f}" if isinstance(value, float) else str(value)
