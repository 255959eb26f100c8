"""What administrators see of a gateway: sums of time, errors, users, questions, conversations, changes, health."""

# All of it comes from sums and rankings that the ledger keeps, and from pages of entries by an index.

from __future__ import annotations

import time
from bisect import bisect_right
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import msgspec

from jupyter_server_ext.errors import BadRequest, LedgerUnavailable
from jupyter_server_ext.handlers.base import GatewayHandler, health, installed_version
from jupyter_server_ext.handlers.described import described
from jupyter_server_ext.handlers.parameters import HOURS, PAGED, TENANT, USER, amount, choice, moment, text_of, whole
from jupyter_server_ext.handlers.shapes.analytics import (
    ActivityReply,
    AdminHealthReply,
    AnalyticsStatsReply,
    ErrorsReply,
    ExecutionRow,
    ExecutionsReply,
    MetricsReply,
    RankedReply,
    StatsOfAllReply,
    TimeSeriesReply,
    UsersReply,
)
from jupyter_server_ext.handlers.shapes.conversations import ConversationsReply, DeletedReply, NamedReply, SessionsReply
from jupyter_server_ext.identity import needs_scope
from jupyter_server_ext.ledger import OUTCOMES, LedgerPage, LogFilter, figures, heat_of
from jupyter_server_ext.messages import as_name, outcome_of
from jupyter_server_ext.pipeline import NANODOLLARS
from jupyter_server_ext.plugins import left_out
from jupyter_server_ext.questions import text_of as question_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from jupyter_server_ext.ledger import SqlAnalytics

_A_DAY = 86_400.0
_KIND = choice("kind", "What is ranked.", "question", "table", "caller", default="question")
_BY = choice("by", "The order.", "requests", "lately", "last", default="last")
_STEP = choice("step", "The width of a slot.", "five-minutes", "hour", "day", default="hour")
_STEPS = {"five-minutes": 300, "hour": 3_600, "day": 86_400}
_DAYS = whole("days", "How many days back the sums by day go.", least=1, most=366, default=30)
_LOG = (
    text_of("who", "Only of users whose name holds this."),
    *(text_of(name, "Only with this.") for name in ("model", "task", "key")),
    choice("outcome", "Only those that ended so.", *OUTCOMES),
    moment("since", "Only from this time on, in the gateway's time zone."),
    moment("until", "Only before this time."),
    amount("least_seconds", "Only those that took so long or longer."),
    amount("least_usd", "Only those that cost so much or more."),
)
_FOUND = ("model", "code", "request_id")
_MORE = ("cache_hits", "prompt_tokens", "completion_tokens", "cached_tokens")


class HourlyMetrics(GatewayHandler):
    """``GET admin/api/metrics``."""

    @needs_scope("instructor")
    @described(MetricsReply, HOURS, TENANT)
    async def get(self) -> None:
        """Requests of the last hours: how they ended, their times, tokens and cost, also by model, task and group.

        The first slot counts whole: five minutes for up to 12 hours, an hour for up to 72, a day for more.
        """
        asked, now = self.query(), time.time()
        hours, tenant = asked["hours"], self.tenant_seen()
        groups = ("tenant", "model", "task")
        rows, since = await self.analyze(
            lambda known: (known.sums(now, hours, by=groups, tenant=tenant), known.first_slot(now, hours))
        )
        parts = {f"{name}s": _by_name(rows, name) for name in groups}
        self.reply({"hours": hours, "since": since, "total": rates(summed(rows)), **parts})


class TimeSeries(GatewayHandler):
    """``GET admin/api/analytics/timeseries``."""

    @needs_scope("instructor")
    @described(TimeSeriesReply, HOURS, _STEP, TENANT)
    async def get(self) -> None:
        """The same by slots of time, the oldest first, without those that had no requests; ``starts`` has all.

        Slots are an hour wide at least for more than 12 hours, and a day of ``time_zone`` for more than 168.
        """
        asked, now = self.query(), time.time()
        hours, step, tenant = asked["hours"], _STEPS[asked["step"]], self.tenant_seen()
        rows, (seconds, starts) = await self.analyze(
            lambda known: (known.sums_of_slots(now, hours, step, tenant), known.slots(now, hours, step))
        )
        slots: dict[int, list[Mapping[str, Any]]] = {}
        for row in rows:
            # What was summed before days began at midnight of this zone belongs to the day that it begins in.
            slots.setdefault(starts[max(0, bisect_right(starts, row["start"]) - 1)], []).append(row)
        series = [{"start": start, **rates(summed(own))} for start, own in sorted(slots.items())]
        self.reply({"hours": hours, "seconds": seconds, "starts": starts, "series": series})


class Errors(GatewayHandler):
    """``GET admin/api/errors``."""

    @needs_scope("instructor")
    @described(ErrorsReply, *PAGED, USER, TENANT, *(text_of(name, "Only with this.") for name in _FOUND))
    async def get(self) -> None:
        """What did not end well, the latest first: requests, and tries of a request that were followed by others.

        Status 499: the caller left first; 0: the gateway was stopped before the end.
        """
        asked, page = self.query(), self.page()
        wanted = {name: asked[name] for name in ("model", "request_id")} | {"tenant": self.tenant_seen()}
        wanted |= {"caller": asked["user"], "error": asked["code"]}
        rows = await self.analyze(lambda known: known.executions(page, failed=True, **wanted))
        self.reply({"errors": [execution(row) for row in rows[: page.limit]], "next": _next(page, rows)})


class Executions(GatewayHandler):
    """``GET admin/api/requests``."""

    @needs_scope("admin")
    @described(ExecutionsReply, *PAGED, USER, text_of("session", "Only of this conversation."))
    async def get(self) -> None:
        """Executions, the latest first: of everybody, of one user, or of one conversation."""
        asked, page = self.query(), self.page()
        wanted = {"caller": asked["user"], "session": asked["session"]}
        rows = await self.analyze(lambda known: known.executions(page, **wanted))
        self.reply({"requests": [execution(row) for row in rows[: page.limit]], "next": _next(page, rows)})


class RequestLog(GatewayHandler):
    """``GET admin/api/log``."""

    @needs_scope("instructor")
    @described(ExecutionsReply, *PAGED, TENANT, *_LOG)
    async def get(self) -> None:
        """The request log, the latest first: requests without their tries, as all of the filters want them.

        Instructors see their own group's. ``GET admin/api/requests/{id}`` has the tries of one.
        """
        asked, page = self.query(), self.page()
        zone = ZoneInfo(self.app.settings.storage.time_zone)
        times: dict[str, Any] = {}
        for name in ("since", "until"):
            given: datetime | None = asked[name]
            times[name] = None if given is None else given.replace(tzinfo=zone).timestamp()
        dollars = asked["least_usd"]
        wanted = LogFilter(
            **{name: asked[name] for name in ("who", "model", "task", "key", "outcome", "least_seconds")},
            **times,
            tenant=self.tenant_seen(),
            least_nanodollars=None if dollars is None else round(dollars * NANODOLLARS),
        )
        rows = await self.analyze(lambda known: known.log(page, wanted))
        self.reply({"requests": [execution(row) for row in rows[: page.limit]], "next": _next(page, rows)})


class UserActivity(GatewayHandler):
    """``GET admin/api/user-activity/{user}``."""

    @needs_scope("admin")
    @described(ActivityReply, *PAGED, _DAYS)
    async def get(self, user: str) -> None:
        """What one user used by day, and the user's latest executions."""
        page, now = self.page(), time.time()
        ledger = self.app.accounting.ledger
        today = date.fromisoformat(await ledger.ask(lambda store: store.day(now)))
        since = (today - timedelta(days=self.query()["days"] - 1)).isoformat()

        def activity(known: SqlAnalytics) -> tuple[Any, ...]:
            ranked = known.ranked("caller", LedgerPage(1), name=user)
            return ranked[:1], known.days_of(user, since), known.executions(page, caller=user)

        total, days, rows = await self.analyze(activity)
        self.reply(
            {
                "user": user,
                "total": ranked_row(total[0], now) if total else None,
                "days": [_in_dollars(row) for row in days],
                "requests": [execution(row) for row in rows[: page.limit]],
                "next": _next(page, rows),
            }
        )


class AllUsers(GatewayHandler):
    """``GET admin/api/users``."""

    @needs_scope("instructor")
    @described(UsersReply, *PAGED, TENANT, _BY, text_of("name", "Only users whose name holds this."))
    async def get(self) -> None:
        """Users with what they used: those seen last first, or those who ask most, of all time or lately."""
        asked, page, now, tenant = self.query(), self.page(), time.time(), self.tenant_seen()
        by = {"requests": "requests", "lately": "heat", "last": "last_at"}[asked["by"]]
        rows = await self.analyze(lambda known: known.ranked("caller", page, tenant=tenant, by=by, holds=asked["name"]))
        users = [ranked_row(row, now) for row in rows[: page.limit]]
        self.reply({"users": users, "next": page.mark(rows, by, "name")})


class Popular(GatewayHandler):
    """``GET admin/api/analytics/popular``."""

    by = "requests"  # how it is ranked

    @needs_scope("instructor")
    @described(RankedReply, *PAGED, _KIND, TENANT)
    async def get(self) -> None:
        """Questions, tables or users that are asked for most.

        Questions are counted by a form that keeps their meaning. A question's ``name`` is a hash of it; its text is
        there where a group's policy keeps prompts.
        """
        asked, page, now, by = self.query(), self.page(), time.time(), self.by
        kind, tenant = asked["kind"], self.tenant_seen()

        def ranked(known: SqlAnalytics) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
            rows = known.ranked(kind, page, tenant=tenant, by=by)
            keeps = kind == "question" and self.app.accounting.vault is not None
            return rows, known.kept_prompts(row["name"] for row in rows) if keeps else {}

        rows, prompts = await self.analyze(ranked)
        items = [ranked_row(row, now) | self._text(prompts.get(row["name"])) for row in rows[: page.limit]]
        self.reply({"kind": kind, "items": items, "next": page.mark(rows, by, "name")})

    def _text(self, sealed: bytes | None) -> dict[str, str]:
        opened = self.app.accounting.opened(sealed)
        return {} if opened is None else {"text": question_text(msgspec.json.decode(opened))}


class Trending(Popular):
    """``GET admin/api/analytics/trending``."""

    by = "heat"

    @needs_scope("instructor")
    @described(RankedReply, *PAGED, _KIND, TENANT)
    async def get(self) -> None:
        """What is asked for most lately: each time counts half as much with every week since.

        A question that was asked once is no trend.
        """
        await Popular.get(self)


class AnalyticsStats(GatewayHandler):
    """``GET admin/api/analytics/stats``."""

    @needs_scope("instructor")
    @described(AnalyticsStatsReply, HOURS, TENANT)
    async def get(self) -> None:
        """How many different questions, tables and users there are, what they were for, and the busiest tables.

        ``…_lately`` are those of the last ``hours``, of which the tasks are as well.
        """
        asked, now = self.query(), time.time()
        hours, tenant = asked["hours"], self.tenant_seen()
        since = now - hours * 3600

        def known_of(known: SqlAnalytics) -> dict[str, Any]:
            questions, questions_lately = known.count_ranked("question", since=since, tenant=tenant)
            users, users_lately = known.count_ranked("caller", since=since, tenant=tenant)
            return {
                "questions": questions,
                "questions_lately": questions_lately,
                "tables": known.count_ranked("table", tenant=tenant).all,
                "users": users,
                "users_lately": users_lately,
                "tasks": _by_name(known.sums(now, hours, by=["task"], tenant=tenant), "task"),
                "busiest_tables": [
                    ranked_row(row, now) for row in known.ranked("table", LedgerPage(10), tenant=tenant)[:10]
                ],
            }

        self.reply(await self.analyze(known_of))


class StatsOfAll(GatewayHandler):
    """``GET admin/api/stats``."""

    @needs_scope("admin")
    @described(StatsOfAllReply)
    async def get(self) -> None:
        """The gateway as a whole: requests of all time and lately, users, keys, the queue."""
        now = time.time()

        def known_of(known: SqlAnalytics) -> dict[str, Any]:
            lately = {name: known.sums(now, hours) for name, hours in (("hour", 1), ("day", 24), ("week", 168))}
            users = known.count_ranked("caller", since=now - _A_DAY)
            return {
                "all_time": rates(known.sums_of_all()),
                **{f"last_{name}": rates(summed(rows)) for name, rows in lately.items()},
                "users": {"all_time": users.all, "last_day": users.lately},
            }

        found, status = await self.analyze(known_of), self.app.gateway.status()
        queue = {name: status.get("queue", {}).get(name) for name in ("length", "expected_wait_seconds")}
        state = {"keys": status.get("keys", {}), "queue": queue, "under_way": self.app.metrics.under_way}
        self.reply(found | state | {"version": installed_version()})


class AdminHealth(GatewayHandler):
    """``GET admin/api/health``."""

    @needs_scope("admin")
    @described(AdminHealthReply)
    async def get(self) -> None:
        """The database, what the gateway depends on, and how it does."""
        app, now = self.app, time.time()
        state, status = health(app), app.gateway.status()
        sums: list[dict[str, Any]] = []
        database: dict[str, Any] = {"status": "none", "kind": "memory", "version": "", "bytes": 0}
        database |= {"milliseconds": None, "unfolded": 0}
        ledger = app.accounting.ledger
        if ledger.keeps:
            database["status"] = ledger.health
            try:
                database |= await ledger.ask(lambda store: store.analytics.state())
                sums = await self.analyze(lambda known: known.sums(now, 1))
                database["unfolded"] = await ledger.ask(lambda store: store.unfolded())
            except LedgerUnavailable:
                database["status"] = "unavailable"
        waiting, lag = ledger.waiting
        lately, queue = rates(summed(sums)), status.get("queue", {})
        answered = lately["success"] + lately["failure"] + lately["timeout"]
        self.reply(
            {
                **{name: state[name] for name in ("status", "version", "checks")},
                "plugins": list(left_out()),
                "database": database | {"waiting": waiting, "lag_seconds": round(lag, 3)},
                "dependencies": {key["key"]: key.get("state", "") for key in status.get("pool", [])}
                | {name: word for name, word in state["checks"].items() if name not in {"keys", "ledger"}},
                "performance": {
                    "under_way": app.metrics.under_way,
                    "queue_length": queue.get("length", 0),
                    "expected_wait_seconds": queue.get("expected_wait_seconds"),
                    **{name: lately[name] for name in ("p50_seconds", "p95_seconds", "p99_seconds")},
                    "error_rate": round(1 - lately["success"] / answered, 4) if answered else None,
                    "memory_bytes": _memory(),
                    "uptime_seconds": round(time.monotonic() - app.started, 1),
                },
            }
        )


class Sessions(GatewayHandler):
    """``GET admin/api/sessions``."""

    @needs_scope("admin")
    @described(SessionsReply, *PAGED, USER, TENANT)
    async def get(self) -> None:
        """Sessions of notebooks and conversations with the sums of their requests, the latest first."""
        rows, mark = await conversations_of(self, self.page(), self.query()["user"], self.query()["tenant"])
        self.reply({"sessions": rows, "next": mark})


class AllConversations(GatewayHandler):
    """``GET admin/api/conversations``."""

    @needs_scope("admin")
    @described(ConversationsReply, *PAGED, USER, TENANT)
    async def get(self) -> None:
        """Everybody's conversations of ``POST chat`` and the chat panel, the latest first."""
        rows, mark = await conversations_of(
            self, self.page(), self.query()["user"], self.query()["tenant"], task="chat"
        )
        self.reply({"conversations": rows, "next": mark})


class OneSession(GatewayHandler):
    """``DELETE admin/api/sessions/{id}`` and ``admin/api/conversations/{id}``."""

    @needs_scope("admin")
    @described(DeletedReply, USER)
    async def delete(self, session: str) -> None:
        """Delete a conversation: its name, its turns, and the texts that are kept of its requests.

        Of everybody who has one of this id, or of ``user``. What was used and spent stays in the sums.
        """
        deleted = await delete_conversations(self, session, self.query()["user"])
        await self.app.runtime.note(f"deleted the conversation {session}", self.asker.name)
        self.reply({"deleted": deleted})


class OwnConversations(GatewayHandler):
    """``GET conversations``."""

    @needs_scope("conversations:read")
    @described(ConversationsReply, *PAGED)
    async def get(self) -> None:
        """Your own conversations and sessions, the latest first."""
        rows, mark = await conversations_of(self, self.page(), self.asker.name)
        self.reply({"conversations": rows, "next": mark})

    @needs_scope("conversations:delete")
    @described(DeletedReply)
    async def delete(self) -> None:
        """Delete all that you have said: conversations, the texts that are kept of your requests, and ratings.

        That you asked, and what it cost, stays in the records.
        """
        now, name, ledger = time.time(), self.asker.name, self.app.accounting.ledger
        await self.analyze(bool)
        found = await ledger.write(lambda store: store.notes.delete_all(now, name))
        self.app.conversations.forget(name)
        self.app.ratings.forget(name)
        self.reply({"deleted": len(found)})


class OwnConversation(GatewayHandler):
    """``PATCH`` and ``DELETE conversations/{id}``."""

    @needs_scope("conversations:write")
    @described(NamedReply)
    async def patch(self, session: str) -> None:
        """Give one of your conversations a name: ``{"name": "Delays in 2013"}``."""
        from jupyter_server_ext.handlers import requests

        name, caller = (
            as_name(requests.required_text(requests.own_object(self.body, "name"), "name").strip()),
            self.asker.name,
        )
        ledger = self.app.accounting.ledger
        await ledger.ask(lambda store: store.analytics.fold(1_000))
        if not await ledger.write(lambda store: store.notes.name_conversation(caller, session, name)):
            raise _unknown()
        self.reply({"id": session, "name": name})

    @needs_scope("conversations:delete")
    @described(DeletedReply)
    async def delete(self, session: str) -> None:
        """Delete one of your conversations: its name, its turns, and the texts that are kept of its requests."""
        self.reply({"deleted": await delete_conversations(self, session, self.asker.name)})


async def conversations_of(
    handler: GatewayHandler, page: LedgerPage, caller: str | None, tenant: str | None = None, task: str | None = None
) -> tuple[list[dict[str, Any]], str | None]:
    """A page of conversations, and the mark of the next one."""
    ledger = handler.app.accounting.ledger
    await handler.analyze(bool)  # what was asked a moment ago is among them
    rows = await ledger.ask(lambda store: store.notes.conversations(page, caller=caller, tenant=tenant, task=task))
    shown = [
        {"id": row["session"], "user": row["caller"]}
        | {name: row[name] for name in ("name", "tenant", "task", "requests", "failed", "tokens")}
        | {"cost_usd": row["cost_nanodollars"] / NANODOLLARS, "first_at": row["first_at"], "last_at": row["last_at"]}
        for row in rows[: page.limit]
    ]
    return shown, page.mark(rows, "last_at", "caller", "session")


async def delete_conversations(handler: GatewayHandler, session: str, caller: str | None) -> int:
    """Delete a conversation everywhere; how many of this id there were.

    Raises:
        BadRequest: There is none.
    """
    now, ledger = time.time(), handler.app.accounting.ledger
    await handler.analyze(bool)
    found = await ledger.write(lambda store: store.notes.delete_conversations(now, session, caller))
    if not found:
        raise _unknown()
    for owner, name in found:
        handler.app.conversations.forget(owner, name)
    return len(found)


def _unknown() -> BadRequest:
    return BadRequest("There is no conversation of this id.", param="id", code="unknown_conversation", status=404)


def execution(row: Mapping[str, Any]) -> dict[str, Any]:
    """An entry as administrators see it."""
    tokens = {name: row[name] for name in ("prompt_tokens", "completion_tokens", "cached_tokens", "estimated")}
    shown = {name: row[name] for name in ExecutionRow.__annotations__ if name in row}
    more = {"usage": tokens, "outcome": outcome_of(row["status"]), "tables": _names(row["tables"])}
    return shown | more


def ranked_row(row: Mapping[str, Any], now: float) -> dict[str, Any]:
    """A row of a ranking as administrators see it."""
    same = ("name", "requests", "failed", "tokens", "first_at", "last_at", "task")
    shown = {name: row[name] for name in same} | {"tables": _names(row["tables"])}
    return shown | {"cost_usd": row["cost_nanodollars"] / NANODOLLARS, "lately": heat_of(row, now)}


def _names(joined: str) -> list[str]:
    return joined.split(",") if joined else []


def _next(page: LedgerPage, rows: Sequence[dict[str, Any]]) -> str | None:
    return page.mark(rows, "at", "instance", "number")


def _by_name(rows: Iterable[Mapping[str, Any]], name: str) -> list[dict[str, Any]]:
    """Sums by one column, those with most requests first."""
    parts: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        parts.setdefault(row[name], []).append(row)
    named = [{"name": value, **rates(summed(own))} for value, own in parts.items()]
    return sorted(named, key=lambda row: (-row["requests"], row["name"]))


def summed(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """One row of sums of several."""
    total: dict[str, Any] = {}
    for row in rows:
        for name, value in row.items():
            if not isinstance(value, str):
                total[name] = total.get(name, 0) + value
    return total


def rates(sums: Mapping[str, Any]) -> dict[str, Any]:
    """Sums as administrators see them; averages are None where there is nothing to take them of."""
    requests, success = sums.get("requests", 0), sums.get("success", 0)

    def per(name: str, count: int) -> float | None:
        return round(sums[name] / count, 4) if count else None

    return {
        "requests": requests,
        **{name: sums.get(name, 0) for name in (*OUTCOMES, "retries", *_MORE)},
        "cost_usd": sums.get("cost_nanodollars", 0) / NANODOLLARS,
        "saved_usd": sums.get("saved_nanodollars", 0) / NANODOLLARS,
        "success_rate": round(success / requests, 4) if requests else None,
        "average_seconds": per("duration_seconds", requests),
        **figures(sums.get("durations", 0)),
        "queue_seconds": per("queue_seconds", requests),
        "first_token_seconds": per("first_token_seconds", sums.get("first_tokens", 0)),
        "upstream_seconds": per("upstream_seconds", requests),
    }


def _in_dollars(row: Mapping[str, Any]) -> dict[str, Any]:
    shown = {name: value for name, value in row.items() if name != "cost_nanodollars"}
    return shown | {"cost_usd": row["cost_nanodollars"] / NANODOLLARS}


def _memory() -> int:
    """Bytes of memory that this process holds; 0 where the system does not tell."""
    try:
        import resource  # not on Windows

        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()
    except (ImportError, OSError, LookupError, ValueError):
        return 0
