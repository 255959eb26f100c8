"""``rsql report``: where the answers in notebooks came from, as their outputs say."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rsql_magic.cli.notebook_files import read_notebook
from rsql_magic.display import TerminalScreen, as_json, listing
from rsql_magic.plain_text import printable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping, Sequence

_HASH = 12  # characters of a hash that a table shows


@dataclass(frozen=True)
class OutputRecord:
    """An answer in a notebook: the number of its cell, from 1, and what its output holds of where it came from."""

    notebook: str
    cell: int
    about: Mapping[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {"notebook": self.notebook, "cell": self.cell, **self.about}

    def row(self) -> tuple[str, ...]:
        """A row of the table."""
        word = self._word
        tokens = f"{self._count('prompt_tokens'):,} + {self._count('completion_tokens'):,}"
        hashes = (word(name)[:_HASH] for name in ("prompt_sha256", "context_sha256"))
        of = "" if word("origin") in {"", "model"} else f" ({word('origin')})"
        shown = dollars(self.cost)
        return (self.notebook, str(self.cell), word("model") + of, word("request_id"), *hashes, tokens, shown)

    @property
    def cost(self) -> float | None:
        """What it cost in US dollars when it was asked, None where that is not known."""
        cost = self.about.get("cost_usd")
        return float(cost) if isinstance(cost, int | float) else None

    @property
    def tokens(self) -> int:
        """Read and written together."""
        return self._count("prompt_tokens") + self._count("completion_tokens")

    def _word(self, name: str) -> str:
        value = self.about.get(name)
        return printable(value).replace("\n", " ") if isinstance(value, str) else ""

    def _count(self, name: str) -> int:
        value = self.about.get(name)
        return value if isinstance(value, int) else 0


def records_of(notebook: Any, name: str) -> Iterator[OutputRecord]:
    """The answers of a notebook, in order."""
    for number, cell in enumerate(notebook.cells, 1):
        for output in cell.get("outputs", ()):
            about = (output.get("metadata") or {}).get("rsql")
            if isinstance(about, dict) and "model" in about:
                yield OutputRecord(name, number, about)


def dollars(amount: float | None) -> str:
    """An amount in words.

    Example:
        >>> dollars(0.00123), dollars(12.0), dollars(None)
        ('$0.0012', '$12.00', 'unknown')
    """
    if amount is None:
        return "unknown"
    return f"${amount:,.4f}" if 0 < amount < 0.1 else f"${amount:,.2f}"


def total(records: Sequence[OutputRecord]) -> str:
    """The last line: how many answers, tokens and dollars, and how many answers have no price."""
    known = [each.cost for each in records if each.cost is not None]
    unknown = len(records) - len(known)
    more = f" and {unknown:,} of unknown price" if unknown else ""
    tokens = sum(each.tokens for each in records)
    plural = "s" * (len(records) != 1)
    return f"{len(records):,} answer{plural}, {tokens:,} tokens, {dollars(sum(known))}{more}"


def report_options(parser: argparse.ArgumentParser) -> None:
    """What ``rsql report`` takes."""
    parser.add_argument("files", nargs="+", metavar="NOTEBOOK", help="notebooks that were run")
    parser.add_argument("--format", choices=("table", "json"), default="table", help="json has all that is known")


def report(options: argparse.Namespace) -> None:
    """Print where the answers in notebooks came from.

    Raises:
        BadInput: One of the files is no notebook.
    """
    found = [one for file in options.files for one in records_of(read_notebook(Path(file)), Path(file).name)]
    if options.format == "json":
        sys.stdout.write(f"{as_json([each.as_dict() for each in found])}\n")
        return
    if found:
        header = ("notebook", "cell", "model", "request", "prompt", "context", "tokens", "cost")
        TerminalScreen().show(listing([each.row() for each in found], header))
    sys.stdout.write(f"{total(found)}\n")
