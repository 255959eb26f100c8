"""``rsql map``: a question about each row of a file, or of a frame of another program's."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rsql_magic.answers import MapOptions, fails, parsed_returns, problems_of
from rsql_magic.assistant import ending, row_map
from rsql_magic.cli.notebook_files import refuse_unwritable, write_whole
from rsql_magic.cli.r import piped_json
from rsql_magic.cli.run_records import record_beside
from rsql_magic.display import Screen, TerminalScreen
from rsql_magic.errors import BadInput
from rsql_magic.reports import progress_bar

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from rsql_magic.assistant import Assistant
    from rsql_magic.display import CellOutput

_KINDS = {".csv": "read_csv", ".tsv": "read_csv", ".parquet": "read_parquet"}


def map_options(parser: argparse.ArgumentParser) -> None:
    """What ``rsql map`` takes."""
    parser.add_argument("file", help="a .csv, .tsv or .parquet file; - for a program: JSON in, JSON out")
    parser.add_argument("question", nargs="?", default="", help="the question; {{column}} is what stands in the row")
    parser.add_argument(
        "--returns", metavar="COLUMNS", default="answer", help="such as 'label: good|bad, score: float'"
    )
    parser.add_argument("--output", "-o", metavar="FILE", help="where the rows go, with their new columns")
    parser.add_argument("--model", "-m", help="model or alias")
    parser.add_argument("--privacy", choices=("names", "stats", "sample"), help="must be sample: rows are sent")
    parser.add_argument("--budget", type=float, metavar="USD", help="most US dollars that may be spent")


def map_rows(assistant: Assistant, options: argparse.Namespace) -> int:
    """Ask about each row, and write the rows with what was answered, and beside them where that came from.

    Returns:
        The exit code: 1 where rows failed, or a budget reached none of those that were to be asked about.
    """
    if options.file == "-":
        asked = piped_json("question", "privacy", mappings=("columns", "returns"))
        sys.stdout.write(json.dumps(_of_program(assistant, asked), default=str) + "\n")
        return 0  # the program is told in the JSON
    if not options.output:
        raise BadInput("The rows need a file to go to.", hint="Name one: -o judged.csv.")
    source, target = Path(options.file), Path(options.output)
    for path in (source, target):
        if path.suffix.lower() not in _KINDS:
            hint = "rsql map reviews.csv 'Is {{text}} good?' --privacy sample -o judged.csv"
            raise BadInput(f"{path} is no .csv, .tsv or .parquet file.", hint=hint)
    if not source.is_file():
        raise BadInput(f"There is no file {source}.", hint="Give the path of a table.")
    refuse_unwritable([target, record_beside(target)])
    screen = TerminalScreen(footer=False)
    rows = row_map(assistant, screen, progress_bar(screen.status))
    level = options.privacy or assistant.settings.privacy
    how = MapOptions(assistant.settings.resolve(options.model), level, options.budget)
    with ending(screen):
        made = rows.of(_read(source), options.question, parsed_returns(options.returns), how)
    _write(made, target)
    screen.say(f"{target} has {len(made):,} rows.")
    record = {**rows.record, "question": options.question, "file": target.name}
    write_whole(record_beside(target), json.dumps(record, ensure_ascii=False, indent=1) + "\n")
    if not fails(rows.record):
        return 0
    sys.stderr.write("".join(f"{line}\n" for line in problems_of(rows.record)))
    return 1


def _read(path: Path) -> Any:
    import duckdb

    try:
        return getattr(duckdb.connect(), _KINDS[path.suffix.lower()])(str(path))
    except duckdb.Error as wrong:
        raise BadInput(f"{path} cannot be read: {str(wrong).splitlines()[0]}", hint="Look at the file.") from None


def _write(relation: Any, path: Path) -> None:
    import duckdb

    kind = path.suffix.lower()
    try:
        if kind == ".parquet":
            relation.write_parquet(str(path))
        else:
            relation.write_csv(str(path), sep="\t" if kind == ".tsv" else ",")
    except duckdb.Error as wrong:
        hint = "What was answered is kept: repeat the command with another -o."
        raise BadInput(f"{path} cannot be written: {str(wrong).splitlines()[0]}", hint=hint) from None


class _Told(Screen):
    """Keeps what is said, for a program."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def show(self, shown: CellOutput) -> None:
        self.lines += shown.plain.splitlines()


def _of_program(assistant: Assistant, asked: Mapping[str, Any]) -> dict[str, Any]:
    """The new columns of a frame that was piped in, and what is to be said."""
    import pandas as pd

    screen = _Told()
    rows = row_map(assistant, screen)
    columns = {name: values if isinstance(values, list) else [values] for name, values in asked["columns"].items()}
    frame = pd.DataFrame({name: pd.Series(values, dtype="object") for name, values in columns.items()})
    returns = {name: one if isinstance(one, list | str) else str(one) for name, one in asked["returns"].items()}
    how = MapOptions(assistant.settings.resolve(asked.get("model")), asked["privacy"], asked.get("budget"))
    made = rows.of(frame, asked["question"], returns, how)
    wrong = problems_of(rows.record)
    added = {name: json.loads(made[name].to_json(orient="values")) for name in (*returns, "error")}
    said = [line for line in screen.lines if line not in wrong]
    return {"columns": added, "said": said, "wrong": wrong, "fails": fails(rows.record), "record": rows.record}
