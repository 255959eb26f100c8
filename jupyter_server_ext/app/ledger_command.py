"""``jupyter rsql ledger verify`` and ``… export``: a look at the records without a gateway."""

from __future__ import annotations

import argparse
import os
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from jupyter_server_ext.app.assembly import default_folder
from jupyter_server_ext.errors import ConfigError
from jupyter_server_ext.ledger import FORMATS, export, read_anchor

if TYPE_CHECKING:
    from collections.abc import Sequence


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
    for command in (verify, out):
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
    """What is wrong with the ledger at this URL, one sentence each; prints how many entries were read.

    Args:
        url: The ledger.
        anchor: File with ends of its chains, written by gateways.
        key_variable: Environment variable with what its lines are signed with; empty looks at no signature.
    """
    if key_variable and key_variable not in os.environ:
        raise ConfigError(f"The environment variable {key_variable} is not set.")
    heads, unsigned = read_anchor(anchor, os.environ.get(key_variable, "")) if anchor else ([], [])
    if anchor and not heads and not unsigned:
        unsigned = [f"{anchor} holds no end of a chain."]
    from jupyter_server_ext.ledger import opened

    _must_exist(url)
    with opened(url, instance="verify") as store:
        problems = unsigned + store.verify(heads)
        print("\n".join(problems) or f"ok: {len(store):,} entries")  # noqa: T201
    return problems


def _export(options: argparse.Namespace) -> list[str]:
    from jupyter_server_ext.ledger import opened

    form = options.file.suffix.removeprefix(".")
    if form not in FORMATS:
        raise ConfigError(f"The file's name must end in one of: {', '.join('.' + name for name in FORMATS)}.")
    _must_exist(options.ledger)
    with opened(options.ledger, instance="export") as store:
        count = export(store.rows(since=options.since, until=options.until), options.file.absolute(), form)
    print(f"{options.file}: {count:,} entries")  # noqa: T201
    return []


def _must_exist(url: str) -> None:
    path = url.removeprefix("sqlite:///")
    if path != url and not Path(path).exists():
        raise ConfigError(f"There is no file {path}.")
