"""Heads of the hash chains, written down outside the ledger: who deletes its newest entries leaves them behind.

A chain shows what was changed, removed or put in within it, but not that its end is missing: a shorter chain is whole,
too. So each gateway writes every hour, and when it ends, how long its chain was, into the log and a file. With a key
the line is signed, so that who may write to the file cannot make one up; who may delete lines can take away the last.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from jupyter_server_ext.errors import ConfigError
from jupyter_server_ext.ledger.files import open_private

if TYPE_CHECKING:
    from pathlib import Path

_MARK = "rsql-head"


class Head(NamedTuple):
    """The end of a chain: the gateway whose it is, the number of its last entry, and the chain's hash there."""

    instance: str
    number: int
    chain_hash: str


def line_of(head: Head, at: float, key: str = "") -> str:
    """What is written down of a head.

    Example:
        >>> line_of(Head("g 1", 2, "ab"), 0.0)
        'rsql-head 1970-01-01T00:00:00+00:00 2 ab - g 1'
    """
    when = datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
    text = f"{when} {head.number} {head.chain_hash}"
    return f"{_MARK} {text} {_signature(text, head.instance, key)} {head.instance}"


def heads_in(text: str, key: str = "") -> tuple[list[Head], list[str]]:
    """The heads in a file or a log, and what is wrong with its lines.

    Args:
        text: Lines, of which those count that hold a head.
        key: What they must be signed with; empty where signatures are not looked at.
    """
    heads, problems = [], []
    for number, line in enumerate(text.splitlines(), start=1):
        _, found, text = line.partition(f"{_MARK} ")
        parts = text.split(" ", 4)
        if not found or len(parts) < 5 or not parts[1].isdecimal():
            continue
        when, last, chain_hash, signature, instance = parts
        if key and not hmac.compare_digest(signature, _signature(f"{when} {last} {chain_hash}", instance, key)):
            problems.append(f"line {number} of the anchor is not signed with this key.")
        else:
            heads.append(Head(instance, int(last), chain_hash))
    return heads, problems


def add_line(path: Path, line: str) -> None:
    """Add a line to a file, which is made for its owner only."""
    with os.fdopen(open_private(path, os.O_WRONLY | os.O_APPEND), "a", encoding="utf-8") as file:
        file.write(line + "\n")
        file.flush()
        # It is evidence only if it is on disk before anybody can delete an entry.
        os.fsync(file.fileno())


def read_anchor(path: Path, key: str = "") -> tuple[list[Head], list[str]]:
    """As ``heads_in``, of a file.

    Raises:
        ConfigError: It cannot be read.
    """
    try:
        return heads_in(path.read_text(encoding="utf-8", errors="replace"), key)
    except OSError as error:
        raise ConfigError(f"The anchor {path} cannot be read ({error.strerror}).") from None


def _signature(text: str, instance: str, key: str) -> str:
    return hmac.new(key.encode(), f"{text} {instance}".encode(), hashlib.sha256).hexdigest() if key else "-"
