"""``rsql ledger`` reads the records, ``rsql config`` an rsql.toml; ``jupyter rsql sizing`` says what keys can serve."""

from __future__ import annotations

import argparse
import getpass
import json
import math
import os
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from jupyter_server_ext.app.advice import advice_on, refuse_missing_folders, refuse_unusable
from jupyter_server_ext.app.assembly import default_folder
from jupyter_server_ext.config import add_plugged, load_settings, read_by_others, with_preset
from jupyter_server_ext.errors import ConfigError
from jupyter_server_ext.ledger import (
    FORMATS,
    WITHOUT_ANCHOR,
    Anchor,
    TrailRecord,
    add_line,
    export,
    line_of,
    read_anchor,
)
from jupyter_server_ext.plugins import left_out
from jupyter_server_ext.webhooks import plugged_sinks

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jupyter_server_ext.config import KeySettings, Settings


def run(words: Sequence[str]) -> int:
    """Do what the words say; gives the exit code: 1 when the ledger was tampered with, 2 for a wrong command line."""
    options = _parser().parse_args(words)
    problems: list[str] = options.run(options)
    return 1 if problems else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("rsql ledger", description="Look at the records of a gateway on this machine.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    verify = commands.add_parser("verify", help="whether anybody has changed, removed or put in an entry")
    verify.add_argument("--anchor", type=Path, metavar="FILE", help="the 'anchor' of [storage], or a log of gateways")
    verify.add_argument("--anchor-key", default="", metavar="NAME", help="environment variable with its 'anchor_key'")
    verify.set_defaults(run=lambda options: verify_ledger(options.ledger, options.anchor, options.anchor_key))
    out = commands.add_parser("export", help="the entries as a file, without what people wrote")
    out.add_argument("file", type=Path, help="where to write; its ending, .csv or .parquet, is the format")
    out.add_argument("--since", type=_day, default="0001-01-01", metavar="DAY", help="the first day: 2026-11-01")
    out.add_argument("--until", type=_day, default="9999-12-31", metavar="DAY", help="the last day")
    out.set_defaults(run=_export)
    restored = commands.add_parser(
        "restored", help="tell the anchor that a backup was put in, from which verify goes on"
    )
    restored.add_argument("--anchor", type=Path, metavar="FILE", required=True, help="the 'anchor' of [storage]")
    restored.add_argument("--anchor-key", default="", metavar="NAME", help="environment variable with its 'anchor_key'")
    restored.set_defaults(run=lambda options: note_restore(options.ledger, options.anchor, options.anchor_key))
    reseal = commands.add_parser("reseal", help="encrypt all kept texts anew with the first of 'prompt_keys'")
    reseal.add_argument("--gateway-config", metavar="FILE", help="the rsql.toml with 'prompt_keys', the new key first")
    reseal.set_defaults(run=lambda options: reseal_texts(options.ledger, options.gateway_config))
    for command in (verify, out, restored, reseal):
        command.add_argument(
            "--ledger",
            default=f"sqlite:///{default_folder() / 'ledger.db'}",
            metavar="URL",
            help="sqlite:///rsql.db or postgresql://…; by default the ledger in Jupyter's data folder",
        )
    return parser


def _day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no day such as 2026-11-01") from None


def verify_ledger(url: str, anchor: Path | None = None, key_variable: str = "") -> list[str]:
    """What is wrong with the ledger at this URL, one sentence each; prints it, and what cannot be known.

    Args:
        url: The ledger.
        anchor: The file with ends of its chains as gateways wrote them.
        key_variable: The environment variable with the key that lines of the anchor are signed with.
    """
    known = read_anchor(anchor, _key_in(key_variable)) if anchor else Anchor([], [], [WITHOUT_ANCHOR])
    unsigned = known.problems
    if anchor and not known.heads and not unsigned:
        unsigned = [f"{anchor} holds no end of a chain."]
    from jupyter_server_ext.ledger import opened

    _must_exist(url)
    with opened(url, instance="verify") as store:
        problems = unsigned + store.verify(known.heads)
        print("\n".join(problems) or f"ok: {len(store):,} entries")  # noqa: T201
        for note in known.restored + store.unverifiable():
            print(f"not known: {note}" if note not in known.restored or not anchor else f"note: {note}")  # noqa: T201
    return problems


def note_restore(url: str, anchor: Path, key_variable: str = "") -> list[str]:
    """Write into the anchor and the trail that this ledger was restored; what is wrong with it, one sentence each.

    What the anchor holds of entries that came after the backup is void from then on, and named by each ``verify``.

    Raises:
        ConfigError: The anchor or its key is missing.
    """
    from jupyter_server_ext.ledger import opened

    key = _key_in(key_variable)
    # None was written yet where no gateway has run for an hour or ended.
    known = read_anchor(anchor, key) if anchor.exists() else Anchor([], [], [])
    _must_exist(url)
    with opened(url, instance="restored") as store:
        if problems := known.problems + store.verify():
            print("\n".join(["The ledger is not whole by itself, so nothing is written:", *problems]))  # noqa: T201
            return problems
        newest = {head.instance: head for head in sorted(known.heads, key=lambda head: head.number)}
        ends = [end for head in newest.values() if (end := store.end_of(head.instance)).number < head.number]
        lost = {end.instance: [end.number + 1, newest[end.instance].number] for end in ends}
        record = TrailRecord("restored", getpass.getuser(), detail=json.dumps(lost))
        store.trail.note(record)
        now = time.time()
        for end in ends:
            add_line(anchor, line_of(end, now, key, restored=True))
        add_line(anchor, line_of(store.trail.head(), now, key))
    for instance, (first, last) in lost.items():
        print(f"{instance}: entries {first:,} to {last:,} were lost by the restore.")  # noqa: T201
    print(f"{anchor}: from now on verify goes by the restored ledger.")  # noqa: T201
    return []


def reseal_texts(url: str, config: str | None) -> list[str]:
    """Encrypt all kept texts with the first of ``prompt_keys``; what still needs another key, one sentence each.

    Raises:
        ConfigError: There are no ``prompt_keys``, or the configuration is wrong.
    """
    from jupyter_server_ext.ledger import PromptVault, opened, reseal

    keys = load_settings(config, os.environ).storage.prompt_keys
    if not keys:
        raise ConfigError("There are no 'prompt_keys' in [storage]. Name the new key first and the old ones behind it.")
    _must_exist(url)
    problems = []
    with opened(url, instance="reseal") as store:
        for table, found in reseal(store.engine, PromptVault(keys)).items():
            print(f"{table}: {found.sealed:,} encrypted anew")  # noqa: T201
            if found.unreadable:
                problems.append(f"{table}: {found.unreadable:,} need a key that is not among 'prompt_keys'.")
    print("\n".join(problems) or "All is encrypted with the first of 'prompt_keys'; the others can go.")  # noqa: T201
    return problems


def _key_in(variable: str) -> str:
    if variable and variable not in os.environ:
        raise ConfigError(f"The environment variable {variable} is not set.")
    return os.environ.get(variable, "")


def _export(options: argparse.Namespace) -> list[str]:
    from jupyter_server_ext.ledger import opened

    form = options.file.suffix.removeprefix(".")
    if form not in FORMATS:
        raise ConfigError(f"The file's name must end in one of: {', '.join('.' + name for name in FORMATS)}.")
    _must_exist(options.ledger)
    with opened(options.ledger, instance="export") as store:
        count = export(store.rows(since=options.since, until=options.until), options.file.absolute(), form)
        span = {"since": options.since, "until": options.until, "entries": count}
        store.trail.note(TrailRecord("export", getpass.getuser(), detail=json.dumps(span)))
    print(f"{options.file}: {count:,} entries")  # noqa: T201
    return []


def _must_exist(url: str) -> None:
    path = url.removeprefix("sqlite:///")
    if path != url and not Path(path).exists():
        raise ConfigError(f"There is no file {path}.")


# A provider limits requests and tokens, per minute and per day, and the tightest of the four decides. For free tiers
# that is nearly always tokens per minute.


_MINUTE, _DAY = 60.0, 86_400.0
_SPANS = {1.0: "second", _MINUTE: "minute", 3600.0: "hour", _DAY: "day"}
_READ_AND_WRITTEN = {"prompt": "tokens read per request", "answer": "tokens written per request"}
_WANTED = {"users": "people", "requests": "requests of each a day", **_READ_AND_WRITTEN}
_MARGIN = 5.0  # a window is held a little longer than its minute, and answers take their time


@dataclass(frozen=True)
class ClassDemand:
    """What a class wants."""

    users: int = 75  # how many people
    requests: int = 25  # requests of each a day
    prompt: int = 1500  # tokens read per request
    answer: int = 250  # tokens written per request

    @property
    def tokens(self) -> int:
        """Tokens of one request."""
        return self.prompt + self.answer


@dataclass(frozen=True)
class ServedRate:
    """Requests that something allows in a length of time, and the limit that decides; infinite without one."""

    requests: float = math.inf
    reason: str = "no limit is known"

    def __str__(self) -> str:
        return "unlimited" if math.isinf(self.requests) else f"{self.requests:,.1f} by {self.reason}"


def group_rate(keys: Iterable[KeySettings], model: str, demand: ClassDemand, seconds: float) -> ServedRate:
    """Requests for a model that one quota group allows in ``seconds``."""
    limits = (limit for key in keys for limit in key.limits if limit.model in {"", "*", model})
    each = {"requests": 1, "input_tokens": demand.prompt, "output_tokens": demand.answer}
    rates = []
    for limit in limits:
        in_a_window = limit.amount / max(1, each.get(limit.unit, demand.tokens))
        span = _SPANS.get(limit.seconds, f"{limit.seconds:g} s")
        words = f"{limit.amount:,} {limit.unit.replace('_', ' ')} per {span}"
        rates.append(ServedRate(in_a_window * max(1.0, seconds / limit.seconds), words))
    return min(rates, key=lambda rate: rate.requests, default=ServedRate())


def report(settings: Settings, demand: ClassDemand) -> list[str]:
    """The arithmetic for a configuration, as lines to print."""
    keys = [with_preset(key) for key in settings.keys]
    model = settings.default_model or next((key.models[0] for key in keys if key.models), "")
    if not keys or not model:
        raise ConfigError("Sizing needs a key and a default_model. Name them in the rsql.toml.")
    groups: dict[str, list[KeySettings]] = {}
    for at, key in enumerate(keys):
        if not key.models or model in key.models:
            groups.setdefault(key.quota_group or f"key {key.name or at + 1}", []).append(key)
    minute = {name: group_rate(own, model, demand, _MINUTE) for name, own in groups.items()}
    day = {name: group_rate(own, model, demand, _DAY) for name, own in groups.items()}
    a_minute = sum(rate.requests for rate in minute.values())
    a_day = sum(rate.requests for rate in day.values())
    return [
        f"{demand.users} users, {demand.requests} requests a day each, {demand.prompt:,} + {demand.answer:,} tokens a "
        f"request, model {model}",
        "",
        *(f"{name}: a minute {minute[name]}; a day {day[name]}" for name in groups),
        "",
        *_verdict(demand, a_minute, a_day),
        *_burst(settings.pool.queue_deadline_seconds, demand, [rate.requests for rate in minute.values()]),
    ]


def _verdict(demand: ClassDemand, a_minute: float, a_day: float) -> list[str]:
    wanted = demand.users * demand.requests
    if math.isinf(a_minute):
        return [f"a day: {wanted:,} requests wanted. Nothing limits them but the machines that answer."]
    return [
        f"a day: {wanted:,} requests wanted, {a_day:,.0f} allowed: enough for {a_day / demand.requests:,.0f} users",
        f"a minute: {a_minute:,.1f} requests: in 90 minutes {90 * a_minute / demand.users:,.1f} for each user",
    ]


def _burst(patience: float, demand: ClassDemand, groups: Sequence[float]) -> list[str]:
    # What happens when everybody asks at once: each minute starts whole requests, group by group.
    if any(math.isinf(rate) for rate in groups):
        return []
    at_once = sum(math.floor(rate) for rate in groups)
    if at_once == 0:
        return ["everyone at once: a request takes more than a minute's limit of any key; none can start at once"]
    minutes = math.ceil(demand.users / at_once) - 1
    lines = [f"everyone at once: {min(at_once, demand.users)} start, the last one after {minutes} min"]
    served = at_once * (1 + int(patience // (_MINUTE + _MARGIN)))
    enough = math.ceil((minutes + 1) * (_MINUTE + _MARGIN))  # one more: not every key has room at the same moment
    if served < demand.users:
        lines.append(
            f"a request waits for {patience:g} s at most (queue_deadline_seconds): {served} of {demand.users} are "
            f"answered, the others are told when to come back. {enough} lets all wait."
        )
    return lines


def size(words: Sequence[str]) -> None:
    """``jupyter rsql sizing``: print the arithmetic.

    Raises:
        ConfigError: The configuration is wrong.
    """
    parser = argparse.ArgumentParser("jupyter rsql sizing", description="How many people the configured keys serve.")
    parser.add_argument("--gateway-config", help="the rsql.toml; RSQL_CONFIG without it")
    for name, what in _WANTED.items():
        parser.add_argument(f"--{name}", type=int, default=getattr(ClassDemand, name), help=what)
    options = parser.parse_args(words)
    settings = load_settings(options.gateway_config, os.environ)
    wanted = ClassDemand(**{name: max(1, getattr(options, name)) for name in _WANTED})
    print("\n".join(report(settings, wanted)))  # noqa: T201


def check_config(words: Sequence[str]) -> None:
    """``rsql config check``: read an rsql.toml as a gateway does, and print what it would serve, without secrets.

    Raises:
        ConfigError: The file is missing, or says something that is not understood.
    """
    parser = argparse.ArgumentParser("rsql config", description="Check the rsql.toml of a gateway.")
    parser.add_argument("action", choices=("check",), help="read it as a gateway does")
    parser.add_argument("file", nargs="?", help="the rsql.toml; RSQL_CONFIG without it")
    options = parser.parse_args(words)
    settings = load_settings(options.file, os.environ)
    refuse_unusable(settings)
    refuse_missing_folders(settings)
    doubts = [*advice_on(settings), read_by_others(options.file, os.environ)]
    said = [*described_settings(settings), *(f"warning: {words}" for words in doubts if words)]
    said += check_plug_ins()
    print("\n".join(said))  # noqa: T201


def check_plug_ins() -> list[str]:
    """Load the plug-ins of a gateway; a sentence for each that is left out."""
    add_plugged()
    plugged_sinks()
    return [f"warning: {sentence}" for sentence in left_out()]


def described_settings(settings: Settings) -> Iterable[str]:
    """What a gateway with these settings would serve, a line each, without secrets.

    Example:
        >>> from jupyter_server_ext.config import KeySettings, Settings
        >>> next(iter(described_settings(Settings(keys=(KeySettings("groq", name="one"),)))))
        'key one: groq, any model; 30 requests in 60 s, 1,000 requests in 86400 s, 6,000 tokens in 60 s'
    """
    for key in map(with_preset, settings.keys):
        limits = ", ".join(f"{limit.amount:,} {limit.unit} in {limit.seconds:g} s" for limit in key.limits)
        yield f"key {key.name}: {key.provider}, {', '.join(key.models) or 'any model'}{f'; {limits}' if limits else ''}"
    if settings.default_model:
        yield f"default model: {settings.default_model}"
    yield f"callers of the file: {len(settings.api_keys):,}"
    yield f"tenants: {', '.join(tenant.name for tenant in settings.tenants) or 'none'}"
    for what in ("state", "ledger", "cache"):
        yield f"{what}: {_without_password(getattr(settings.storage, what)) or 'by default'}"


def _without_password(url: str) -> str:
    scheme, found, rest = url.partition("://")
    return f"{scheme}{found}{'…@' if '@' in rest else ''}{rest.rpartition('@')[2]}"
