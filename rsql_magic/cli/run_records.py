"""``rsql report``: where answers came from, as the outputs of notebooks and the records beside tables say."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rsql_magic.cli.notebook_files import read_notebook
from rsql_magic.display import TerminalScreen, as_json, listing
from rsql_magic.errors import BadInput
from rsql_magic.plain_text import counted, printable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping, Sequence

TABLES = frozenset({".csv", ".tsv", ".parquet"})
"""Files that ``rsql map`` reads and writes."""
_HASH = 12  # characters of a hash that a table shows


@dataclass(frozen=True)
class OutputRecord:
    """Answers of a cell, numbered from 1, or about the rows of a table (cell 0), and what is kept of their origin."""

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
        origin = "" if word("origin") in {"", "model"} else word("origin")
        more = ", ".join(filter(None, [origin, self._rows]))
        of = f" ({more})" if more else ""
        cell = str(self.cell) if self.cell else ""
        return (self.notebook, cell, word("model") + of, word("request_id"), *hashes, tokens, dollars(self.cost))

    @property
    def _rows(self) -> str:
        """How many rows the answers are about, and how many of them have none."""
        counts = self.about.get("rows")
        if not isinstance(counts, dict):
            return ""
        told = {name: number for name, number in counts.items() if isinstance(number, int)}
        wrong = [f"{told[name]:,} {name}" for name in ("failed", "unasked") if told.get(name)]
        return ", ".join([counted(told.get("different", 0), "row"), *wrong])

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


def record_beside(table: Path) -> Path:
    """Where ``rsql map`` notes of a table where its answers came from.

    Example:
        >>> record_beside(Path("judged.csv")).name
        'judged.csv.rsql.json'
    """
    return table.with_name(f"{table.name}.rsql.json")


def record_of_table(table: Path) -> OutputRecord:
    """Where the answers about the rows of a table came from.

    Raises:
        BadInput: There is no record of it.
    """
    path = record_beside(table)
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        about = None
    if not isinstance(about, dict) or "model" not in about:
        raise BadInput(f"There is no record {path.name} beside {table.name}.", hint="rsql map writes it.")
    return OutputRecord(table.name, 0, about)


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
    what = "notebooks that were run, or tables that rsql map wrote"
    parser.add_argument("files", nargs="+", metavar="FILE", help=what)
    parser.add_argument("--format", choices=("table", "json"), default="table", help="json has all that is known")


def _records(path: Path) -> Iterator[OutputRecord]:
    if path.suffix.lower() in TABLES:
        yield record_of_table(path)
    else:
        yield from records_of(read_notebook(path), path.name)


def report(options: argparse.Namespace) -> None:
    """Print where answers came from.

    Raises:
        BadInput: One of the files is neither a notebook nor a table with a record.
    """
    found = [one for file in map(Path, options.files) for one in _records(file)]
    if options.format == "json":
        sys.stdout.write(f"{as_json([each.as_dict() for each in found])}\n")
        return
    if found:
        header = ("notebook", "cell", "model", "request", "prompt", "context", "tokens", "cost")
        TerminalScreen().show(listing([each.row() for each in found], header))
    sys.stdout.write(f"{total(found)}\n")
