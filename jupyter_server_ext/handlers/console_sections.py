"""The sections of the console: who sees them, and what they show; the page asks for them, the docs are made of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection


@dataclass(frozen=True, slots=True)
class ConsoleSection:
    """One section, which is the module ``static/sections/NAME.js`` and an icon of its name."""

    name: str
    title: str
    shows: str  # in Markdown
    teaches: bool = False  # whether instructors see it, of the own course
    needs: str = ""  # the route without which it is not there


SECTIONS: tuple[ConsoleSection, ...] = (
    ConsoleSection(
        "overview",
        "Overview",
        "answers a minute, failures, waits and cost, live; the keys; what is wrong now, and what to do",
        teaches=True,
    ),
    ConsoleSection(
        "activity",
        "Activity",
        "requests and cost over time, how long answers took (p50, p95, p99); the request log, live, with filters, kept"
        " views and CSV; courses, people, models, tasks, tables, questions; every error, found by request id, person,"
        " model or code",
        teaches=True,
    ),
    ConsoleSection(
        "keys",
        "Keys",
        "state, what is left of each limit and was in the last three hours, why a key rests; add, check, pause, resume,"
        " retire",
    ),
    ConsoleSection(
        "people",
        "People",
        "courses with budget, limits, policy and members; a person's use, limits and requests; virtual keys",
        teaches=True,
    ),
    ConsoleSection(
        "webhooks", "Webhooks", "who is told of what, and what came of it ([webhooks](webhooks.md))", teaches=True
    ),
    ConsoleSection(
        "jobs",
        "Jobs",
        "work that nobody waits for, where the gateway takes it",
        teaches=True,
        needs="admin/api/jobs",
    ),
    ConsoleSection(
        "changes",
        "Changes",
        "everything that was changed while the gateway runs: who, when, what was there before, with undo",
        teaches=True,
    ),
    ConsoleSection(
        "settings",
        "Settings",
        "the settings in force, each with where it comes from: a line of the file, a profile, an environment variable,"
        " the console; health; the records",
    ),
)


def sections_of(scopes: Collection[str], routes: Collection[str]) -> list[dict[str, str]]:
    """The sections that somebody with these scopes sees, of a gateway with these routes.

    Example:
        >>> [section["name"] for section in sections_of({"instructor"}, ())]
        ['overview', 'activity', 'people', 'webhooks', 'changes']
        >>> sections_of({"chat"}, ())
        []
    """
    admin, instructor = "admin" in scopes, "instructor" in scopes
    return [
        {"name": one.name, "title": one.title}
        for one in SECTIONS
        if (admin or (instructor and one.teaches)) and (not one.needs or one.needs in routes)
    ]


def sections_table() -> str:
    """The sections as a table of docs/console.md."""
    rows = (f"| {one.title} | {one.shows} |" for one in SECTIONS)
    return "\n".join(["| section | |", "|---|---|", *rows, ""])
