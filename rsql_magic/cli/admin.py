"""For administrators: the gateway's keys, and how it bears many users at once."""

from __future__ import annotations

import statistics
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rsql_magic.display import TerminalScreen, listing
from rsql_magic.errors import BadInput, GatewayError
from rsql_magic.gateway import Done, Text
from rsql_magic.reports import in_words

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping

    from rsql_magic.assistant import Assistant
    from rsql_magic.gateway import LLMClient

_MOST_USERS, _MOST_SECONDS = 500, 3600
_QUESTION = "Answer with the word yes."


def keys_options(parser: argparse.ArgumentParser) -> None:
    """What ``rsql keys`` takes."""
    parser.add_argument(
        "action", nargs="?", choices=("pause", "resume", "retire", "check"), help="what to do; a list without it"
    )
    parser.add_argument("key", nargs="?", help="its name or id, as the list has it")


def keys(assistant: Assistant, options: argparse.Namespace) -> None:
    """Show all keys, try them, or change one.

    Raises:
        BadInput: There is no such key.
    """
    gateway = assistant.locator.gateway
    if options.action == "check":
        tried = [(one["key"], _tried(one)) for one in gateway.post("admin/health-check", {})["keys"]]
        TerminalScreen().show(listing(tried, ("key", "tried just now")))
        return
    report = gateway.get("admin/api/keys")
    if options.action:
        known = [one["key"] for one in report["keys"]]
        if options.key not in known:
            raise BadInput(
                f"There is no key {options.key!r}." if options.key else "Which key?",
                hint=f"There are: {', '.join(known)}.",
            )
        gateway.post(f"admin/api/keys/{options.key}/{options.action}", {})
        report = gateway.get("admin/api/keys")
    rows = [(one["key"], str(one.get("provider", "")), _state(one), _left(one)) for one in report["keys"]]
    TerminalScreen().show(listing(rows, ("key", "provider", "state", "left of its limits")))
    sys.stdout.write(f"{in_words(report['states'])}\n")


def _state(one: Mapping[str, Any]) -> str:
    ready = f", ready in {one['ready_in']:,.0f} s" if "ready_in" in one else ""
    return f"{one.get('state', '')}{ready}{': ' + str(one['reason']) if one.get('reason') else ''}"


def _left(one: Mapping[str, Any]) -> str:
    rows = [row for row in one.get("limits", ()) if row.get("limit") is not None]
    return ", ".join(f"{max(0, row['limit'] - row['used']):,.0f} of {row['limit']:,.0f} {row['unit']}" for row in rows)


def _tried(one: Mapping[str, Any]) -> str:
    took = f" in {one['seconds']:.2f} s" if "seconds" in one else ""
    return f"works{took}" if one.get("ok") and not one.get("reason") else str(one.get("reason") or "does not work")


def load_options(parser: argparse.ArgumentParser) -> None:
    """What ``rsql load`` takes."""
    parser.add_argument("--users", type=int, default=75, metavar="N", help="how many ask at once; 75 without it")
    parser.add_argument("--seconds", type=float, default=60.0, metavar="S", help="for how long; 60 without it")
    parser.add_argument(
        "--pause", type=float, default=30.0, metavar="S", help="between two questions of one; 30 without it"
    )
    parser.add_argument("--model", help="the model asked; the gateway's default without it")
    parser.add_argument(
        "--question", default=_QUESTION, help="what is asked; each is numbered, so that no cache answers"
    )


@dataclass
class Load:
    """What many users saw: seconds to the first word and to the end, and why there was no answer."""

    first: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def answered(self, first: float, whole: float) -> None:
        """Count an answer."""
        with self._lock:
            self.first.append(first)
            self.whole.append(whole)

    def failed(self, why: str) -> None:
        """Count a question without one."""
        with self._lock:
            self.refused[why] = self.refused.get(why, 0) + 1

    def rows(self, seconds: float) -> Iterator[tuple[str, str]]:
        """What there is to say of it.

        Example:
            >>> load = Load([0.1, 0.3], [1.0, 2.0], {"LimitReached": 1})
            >>> dict(load.rows(60.0))["answers"]
            '2 (2 a minute)'
        """
        yield "answers", f"{len(self.whole):,} ({60 * len(self.whole) / seconds:,.0f} a minute)"
        for what, times in (("first word", self.first), ("whole answer", self.whole)):
            if times:
                most = sorted(times)[min(len(times) - 1, int(0.95 * len(times)))]
                yield (
                    what,
                    f"median {statistics.median(times):.2f} s, 95 % within {most:.2f} s, at most {max(times):.2f} s",
                )
        for why, count in sorted(self.refused.items()):
            yield "no answer", f"{count:,} × {why}"


def load(assistant: Assistant, options: argparse.Namespace) -> None:
    """Ask as many users would, one question after the other, and tell what they saw.

    Raises:
        BadInput: The numbers are out of range.
    """
    if not (1 <= options.users <= _MOST_USERS and 1 <= options.seconds <= _MOST_SECONDS and options.pause >= 0):
        raise BadInput(
            "That is out of range.", hint=f"--users 1..{_MOST_USERS}, --seconds 1..{_MOST_SECONDS}, --pause 0 or more."
        )
    gateway, seen, started = assistant.locator.gateway, Load(), time.monotonic()
    until = started + options.seconds
    sys.stderr.write(f"{options.users} users ask for {options.seconds:.0f} s: real requests, which count and cost.\n")
    with ThreadPoolExecutor(options.users) as pool:
        for number in range(options.users):
            pool.submit(_user, gateway, seen, number, until, options)
    TerminalScreen().show(listing(list(seen.rows(time.monotonic() - started)), ("what", "as the users saw it")))
    if not seen.whole:
        raise BadInput("Nobody got an answer.", hint="rsql doctor looks for the reason.")


def _user(gateway: LLMClient, seen: Load, number: int, until: float, options: argparse.Namespace) -> None:
    """One user: begins some time within the first pause, and asks again and again."""
    time.sleep(min(options.pause, options.seconds / 2) * number / options.users)
    asked = 0
    while (begun := time.monotonic()) < until:
        asked += 1
        words = f"{options.question} ({number}.{asked})"
        first = 0.0
        try:
            for event in gateway.stream([{"role": "user", "content": words}], model=options.model):
                if isinstance(event, Text) and not first:
                    first = time.monotonic() - begun
                if isinstance(event, Done):
                    seen.answered(first or time.monotonic() - begun, time.monotonic() - begun)
        except GatewayError as error:
            seen.failed(f"{type(error).__name__}: {error.message}"[:100])
        time.sleep(max(0.0, min(options.pause, until - time.monotonic())))
