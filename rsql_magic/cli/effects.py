"""``rsql effects``: whether a cell is proven harmless, or would ask for a yes of its own, and why."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rsql_magic.agent import SessionName, SessionNames, effects_of
from rsql_magic.cli.r import libraries
from rsql_magic.errors import BadInput
from rsql_magic.plain_text import printable

if TYPE_CHECKING:
    import argparse

    from rsql_magic.assistant import Assistant

ASKS = 5
_MAGICS = {"python": "", "r": "%%R\n", "sql": "%%sql\n"}


def effects_options(parser: argparse.ArgumentParser) -> None:
    """What ``rsql effects`` takes."""
    parser.add_argument("file", metavar="FILE", help="the cell, or - for standard input")
    parser.add_argument("--lang", choices=tuple(_MAGICS), default="python", help="its language; python without it")
    parser.add_argument("--dialect", default="duckdb", help="of SQL; duckdb without it")
    what = "an object of the session and its class, as df=pandas.DataFrame; what is not given asks"
    parser.add_argument("--given", metavar="NAME=CLASS", action="append", default=[], type=_given, help=what)


def _given(text: str) -> tuple[str, str]:
    name, is_given, kind = text.partition("=")
    if not (name and is_given and kind):
        raise ValueError(text)  # argparse says it, and ends with 2
    return name, kind


def effects(_: Assistant, options: argparse.Namespace) -> int:
    """Say what a cell would ask for; 0 where it is proven harmless, 5 where it asks.

    Raises:
        BadInput: The file cannot be read.
    """
    try:
        source = sys.stdin.read() if options.file == "-" else Path(options.file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{options.file} cannot be read: {error}") from None
    given = dict(options.given)
    in_python = {name: SessionName(kind, is_object=True) for name, kind in given.items()} if options.lang != "r" else {}
    in_r = given if options.lang == "r" else {}
    # What is behind `if (requireNamespace("a"))` does not run where that package is not installed.
    asks_r = options.lang == "r" and "require" in source
    known = libraries(os.environ) if asks_r else None
    names = SessionNames(in_python, dialect=options.dialect, r_objects=in_r, r_libraries=known)
    found = effects_of(f"{_MAGICS[options.lang]}{source}", names)
    for effect in found:
        sys.stdout.write(f"{printable(str(effect))}\n")
    sys.stdout.write("It would ask.\n" if found else "It is proven harmless.\n")
    return ASKS if found else 0
