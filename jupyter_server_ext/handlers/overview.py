"""What an administrator sees first: how answers are doing, what is wrong now, and what to do about it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from heapq import nlargest
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from jupyter_server_ext.errors import LedgerUnavailable
from jupyter_server_ext.handlers.analytics import rates, summed
from jupyter_server_ext.handlers.base import health
from jupyter_server_ext.ledger import LedgerPage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from jupyter_server_ext.handlers.base import AppContext
    from jupyter_server_ext.handlers.shapes.console import FindingRow, OverviewReply
    from jupyter_server_ext.ledger import SqlAnalytics

LOOK_SECONDS = 2.0  # between two looks; all who look get the same one
_SLOT = 300  # seconds, of the ledger's finest sums
_SHOWN_HOURS = 3  # of the curve
_CAUSES = 100  # failed requests of which the commonest reason is named
_FEW = 5  # failed or refused requests that may be anybody's bad luck
_MANY_FAILED, _MANY_REFUSED = 0.05, 0.2  # parts of all requests
_LONG_WAIT = 10.0  # seconds
_CLOCK_BACK = 60.0  # seconds that a record may lie ahead
_LONG_LAG = 10.0  # seconds that entries wait to be written
_MOST_BUDGETS = 100  # those of which most is spent
_NEARLY_SPENT = 0.8  # of a budget

_WHY = {
    "credential": ("Its provider does not accept it any more.", "Add a new key, then retire this one."),
    "rate_limit": ("Its provider says that it is used too often.", "It comes back by itself; another key shortens it."),
    "quota_exhausted": ("Its quota at the provider is used up.", "Wait for the next day, or add another key."),
    "overloaded": ("Its provider answers with errors.", "It is tried again by itself. See the provider's status page."),
    "timeout": ("Its provider did not answer in time.", "It is tried again by itself. See the provider's status page."),
    "silence": ("Its provider began an answer and fell silent.", "It is tried again by itself."),
    "connection": ("Its provider cannot be reached.", "Look at the network, the proxy and the address of the key."),
    "malformed": ("Its provider's answers are damaged.", "Look at the address of the key, and at proxies between."),
    "cut": ("Its provider's answers break off.", "Look at the network and at proxies between."),
    "web_page": ("A web page comes in place of answers.", "Look at the address of the key, and at proxies between."),
}
_BY_STATE = {
    "paused": ("An administrator has paused it.", "Resume it to have it used again."),
    "retired": ("It is not used any more.", "Resume it, or add a new key."),
    "cooling": ("It rests for a moment after a failure.", "It is tried again by itself."),
    "exhausted": ("One of its limits for a longer time is used up.", "It is full again by itself, or add another key."),
}


def explained(row: Mapping[str, Any]) -> dict[str, str]:
    """Why a key rests and what to do, for a row of ``Gateway.status``; empty texts for one that is ready.

    Example:
        >>> explained({"state": "retired", "reason": "credential"})["do"]
        'Add a new key, then retire this one.'
    """
    state = str(row.get("state", "ready"))
    why, do = _WHY.get(str(row.get("reason", "")), _BY_STATE.get(state, ("", "")))
    return {"why": why, "do": do} if state in _BY_STATE else {"why": "", "do": ""}


def findings(
    *,
    keys: Sequence[Mapping[str, Any]] = (),
    lost: Iterable[str] = (),
    wait: float | None = None,
    checks: Mapping[str, str] | None = None,
    recent: Mapping[str, Any] | None = None,
    causes: Iterable[str] = (),
    budgets: Iterable[tuple[str, str, float]] = (),
    lag: float = 0.0,
    configuration: str = "",
    disk_is_full: bool = False,
    ahead: float = 0.0,
) -> list[FindingRow]:
    """What is wrong now and what to do about it, the worst first.

    Args:
        keys: As ``Gateway.status`` has them; none where the reader is not to see keys.
        lost: Keys that were added at run time, and whose text is gone.
        wait: Seconds that the next request is expected to wait.
        checks: States of parts such as ``ledger``, by name.
        recent: Sums of the last minutes, as ``rates`` makes them.
        causes: Codes of the latest failed requests.
        budgets: Whose, ``day`` or ``month``, and the part that is spent.
        lag: Seconds that entries wait to be written.
        configuration: Why the configuration's file was not taken, as it is now.
        disk_is_full: Whether they wait because no room is left.
        ahead: Seconds by which the latest record lies after the present time.

    Example:
        >>> [row["what"] for row in findings(wait=42.0)]
        ['The next request waits about 42 s for a key.']
    """
    found = [
        *_of_keys(keys),
        *_of_checks(checks or {}, disk_is_full=disk_is_full),
        *_of_requests(recent or {}, list(causes)),
        *_of_budgets(budgets),
    ]
    if configuration:
        words = "Mend the file; until then the gateway goes on with what it had. See rsql config check."
        found.append(_finding("bad", f"The configuration's file is not in force. {configuration}", words, "settings"))
    for name in lost:
        what = f"Key {name} was added while the gateway ran, and its text is gone."
        words = "Add it again, with prompt_keys in [storage] for good; or undo the change by which it was added."
        found.append(_finding("warn", what, words, "changes"))
    if wait is not None and wait >= _LONG_WAIT:
        words = "Add a key, or lower the limits of those who ask most."
        found.append(_finding("warn", f"The next request waits about {wait:.0f} s for a key.", words, "keys"))
    if ahead >= _CLOCK_BACK:
        what = f"The clock stands {_span(ahead)} before the latest record."
        words = "It was set back, or another gateway's is ahead: see the time service (NTP) of each machine."
        found.append(_finding("warn", what, words, "settings"))
    if lag >= _LONG_LAG and (checks or {}).get("ledger", "ok") != "unavailable":
        words = "See its disk or its server; requests go on, and are written when it answers."
        found.append(_finding("warn", f"Records wait for the database since {lag:.0f} s.", words, "settings"))
    return sorted(found, key=lambda row: row["level"] != "bad")


def _of_keys(keys: Sequence[Mapping[str, Any]]) -> Iterator[FindingRow]:
    if keys and not any(row.get("state") == "ready" for row in keys):
        soonest = min((row["ready_in"] for row in keys if "ready_in" in row), default=None)
        again = "No request is answered until one is added or resumed."
        if soonest is not None:
            again = f"The first of them is back in about {soonest:.0f} s; requests wait until then."
        yield _finding("bad", "No key can answer now.", again, "keys")
    for row in keys:
        told = explained(row)
        lost = row.get("state") == "retired" and row.get("reason") == "credential"
        if lost or row.get("state") == "exhausted":
            level = "bad" if lost else "warn"
            yield _finding(level, f"Key {row['key']}: {told['why']}", told["do"], "keys", row["key"])
    resting = [row for row in keys if row.get("state") == "cooling" and row.get("reason")]
    for row in resting[:3]:
        told = explained(row)
        yield _finding("warn", f"Key {row['key']} rests. {told['why']}", told["do"], "keys", row["key"])


_PARTS = {"ledger": "The database of records", "state": "Redis, where limits are counted,"}


def _of_checks(checks: Mapping[str, str], *, disk_is_full: bool) -> Iterator[FindingRow]:
    for part, word in checks.items():
        if part == "plugins" and word != "ok":
            words = "rsql config check names it, and why. Update or uninstall its package."
            yield _finding("warn", "A plug-in is left out.", words, "settings")
        elif part == "ledger" and word == "unavailable":
            why = "its disk is full" if disk_is_full else "it cannot be written"
            words = "Make room on its disk." if disk_is_full else "Start it again, or look at its log and its disk."
            what = f"No request is answered, as none can be recorded: {why}."
            yield _finding("bad", what, f"{words} Requests are taken again within seconds, by themselves.", "settings")
        elif part not in {"keys", "configuration"} and word != "ok":
            words = "Requests go on meanwhile. Start it again, or look at its log and its disk."
            yield _finding("bad", f"{_PARTS.get(part, part)} is {word}.", words, "settings")


def _of_requests(recent: Mapping[str, Any], causes: list[str]) -> Iterator[FindingRow]:
    asked = recent.get("requests", 0)
    failed = recent.get("failure", 0) + recent.get("timeout", 0)
    if asked and failed >= _FEW and failed / asked >= _MANY_FAILED:
        common = max({*causes}, key=causes.count, default="")
        named = f" Most of them: {common}." if common else ""
        level = "bad" if failed / asked >= 2 * _MANY_REFUSED else "warn"
        words = "Open the errors: each has its reason, its key and its request."
        yield _finding(level, f"{failed} of the last {asked} requests failed.{named}", words, "activity", "errors")
    refused = recent.get("refused", 0)
    if asked and refused >= _FEW and refused / asked >= _MANY_REFUSED:
        words = "See whose they are; raise the limit, or leave it as a sign that somebody asks too much."
        what = f"{refused} of the last {asked} requests were refused, most often by a limit."
        yield _finding("warn", what, words, "activity", "errors")


def _of_budgets(budgets: Iterable[tuple[str, str, float]]) -> Iterator[FindingRow]:
    for whose, period, part in budgets:
        if part >= _NEARLY_SPENT:
            kind, _, name = whose.partition(":")
            owner = f"course {name}" if kind == "tenant" else "everyone together"
            time_of = "today" if period == "day" else "this month"
            words = "Raise the budget, or see who spends it."
            level, spent = ("bad", "is used up") if part >= 1 else ("warn", f"is {part:.0%} spent")
            yield _finding(level, f"The budget of {owner} for {time_of} {spent}.", words, "people", name)


def _span(seconds: float) -> str:
    unit, size = next((one for one in (("h", 3_600), ("min", 60)) if seconds >= 2 * one[1]), ("s", 1))
    return f"{seconds / size:.0f} {unit}"


def _finding(level: str, what: str, do: str, part: str, name: str = "") -> FindingRow:
    return {"level": level, "what": what, "do": do, "part": part, "name": name}


@dataclass(eq=False, repr=False)
class Overviews:
    """Overviews of all courses or of one, each made once for all who look at the same moment."""

    # Instructors are many, and each looks at another course: theirs are made less often.

    _made: dict[str | None, tuple[float, asyncio.Task[OverviewReply]]] = field(default_factory=dict)

    async def of(self, app: AppContext, tenant: str | None) -> OverviewReply:
        """The overview of a tenant, not older than ten seconds, or of all, not older than two."""
        now = time.monotonic()
        until, task = self._made.get(tenant, (0.0, None))
        if task is None or now >= until:
            if len(self._made) > 1_000:  # tenants that nobody looks at any more
                self._made.clear()
            task = asyncio.create_task(_overview(app, tenant))
            self._made[tenant] = now + LOOK_SECONDS * (0.9 if tenant is None else 4.9), task
        return await asyncio.shield(task)


async def _overview(app: AppContext, tenant: str | None) -> OverviewReply:
    now, status = time.time(), app.gateway.status()
    sums = await _sums(app, tenant, now)
    queue, state = status.get("queue", {}), health(app)
    budgets = [] if app.accounting.budgets is None else [*app.accounting.budgets.used()]
    if tenant is not None:
        budgets = [one for one in budgets if one[0] == f"tenant:{tenant}"]
    budgets = nlargest(_MOST_BUDGETS, budgets, key=itemgetter(2))
    _, lag = app.accounting.ledger.waiting
    whole = tenant is None
    keys = [dict(row) | explained(row) for row in status.get("pool", [])] if whole else []
    found = findings(
        keys=keys,
        lost=app.key_changes.lost if whole else (),
        wait=queue.get("expected_wait_seconds"),
        checks=state["checks"] if whole else {},
        recent=sums["recent"],
        causes=sums["causes"],
        budgets=budgets,
        lag=lag if whole else 0.0,
        configuration=status.get("configuration", "") if whole else "",
        disk_is_full=app.accounting.ledger.disk_is_full,
        ahead=sums["latest"] - now if whole else 0.0,
    )
    if whole and not app.accounting.ledger.keeps:
        words = "Name a 'ledger' in [storage] of the rsql.toml."
        found.append(_finding("warn", "No records are kept, so there is no history.", words, "settings"))
    return {
        "at": now,
        "status": state["status"],
        "version": state["version"],
        "seconds": sums["seconds"],
        "recent": sums["recent"],
        "today": sums["today"],
        "series": sums["series"],
        "keys": keys,
        "queue": {name: queue.get(name) for name in ("length", "expected_wait_seconds")},
        "checks": dict(state["checks"]),
        "budgets": [{"whose": whose, "period": period, "part": part} for whose, period, part in budgets],
        "findings": found,
    }


async def _sums(app: AppContext, tenant: str | None, now: float) -> dict[str, Any]:
    # Of the ledger, which knows of all gateways: the last minutes, the last hours by five minutes, and today.
    begins = now // _SLOT * _SLOT - _SLOT  # the slot before the current one, which may just have begun

    def asked(known: SqlAnalytics) -> dict[str, Any]:
        slots = known.sums_of_slots(now, _SHOWN_HOURS, _SLOT, tenant)
        failed = known.executions(LedgerPage(_CAUSES), failed=True, tenant=tenant)
        return {
            "recent": rates(summed(row for row in slots if row["start"] >= begins)),
            "today": rates(known.sums_of_today(now, tenant)),
            "series": [{"start": row["start"], **rates(row)} for row in slots],
            "causes": [row["error"] for row in failed if now >= row["at"] >= begins and row["attempts"]],
            "latest": known.latest(),
        }

    try:
        known = await app.accounting.ledger.analyze(asked)
    except LedgerUnavailable:
        known = {"recent": None, "today": None, "series": [], "causes": [], "latest": 0.0}
    return known | {"seconds": now - begins}
