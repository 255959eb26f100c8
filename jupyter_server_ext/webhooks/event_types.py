"""The events that a gateway tells: declared here, and read by the detector, the routes, the console and the docs."""

from __future__ import annotations

from dataclasses import dataclass

_MINUTE, _QUARTER, _HOUR = 60.0, 900.0, 3600.0


@dataclass(frozen=True, slots=True)
class EventType:
    """One kind of event.

    Example:
        >>> EVENTS["key.cooling"].every
        900.0
    """

    when: str  # it is told, in Markdown
    again: str  # when the same is told again
    every: float = 0.0  # seconds for which it is not; 0 for ever
    of_tenants: bool = False  # whether it may concern one tenant alone, so that its instructors may be told


EVENTS: dict[str, EventType] = {
    "request.failed": EventType(
        "a request ended with a failure or timeout, after all other keys and models were tried",
        "each minute for a group, model and error",
        _MINUTE,
        of_tenants=True,
    ),
    "limit.reached": EventType(
        "a request was refused by a limit or budget",
        "each hour for a limit of a caller, group or everyone",
        _HOUR,
        of_tenants=True,
    ),
    "budget.threshold": EventType(
        "80 % or 100 % of a budget of a group or of everyone is spent, requests under way included",
        "once in its day or month",
        of_tenants=True,
    ),
    "key.cooling": EventType("a key rests, seen every two seconds", "each 15 minutes for a key", _QUARTER),
    "key.exhausted": EventType(
        "a long limit of a key, such as that of a day, is used up", "each hour for a key", _HOUR
    ),
    "key.retired": EventType(
        "the provider refuses a key, or an administrator retired it", "each hour for a key", _HOUR
    ),
    "job.finished": EventType(
        "a [job](jobs.md) has ended: `state`, `total`, `done`, `failed`, `cost_usd`",
        "once for each end",
        of_tenants=True,
    ),
    "storage.degraded": EventType("the ledger or Redis is away", "each 15 minutes", _QUARTER),
    "config.refused": EventType(
        "a changed `rsql.toml` was not taken, or a restart not made for its sake: `reason`",
        "each 15 minutes for a reason",
        _QUARTER,
    ),
}


def possible_events(tenant: str) -> tuple[str, ...]:
    """The events that a webhook may be told: of a tenant, or of all with an empty text.

    Example:
        >>> possible_events("course")
        ('request.failed', 'limit.reached', 'budget.threshold', 'job.finished')
    """
    return tuple(name for name, kind in EVENTS.items() if kind.of_tenants or not tenant)


def events_table() -> str:
    """The events as a table of docs/webhooks.md."""
    rows = (f"| `{name}` | {kind.when} | {kind.again} |" for name, kind in EVENTS.items())
    return "\n".join(["| event | when | told again |", "|---|---|---|", *rows, ""])
