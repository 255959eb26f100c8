"""``rsql run``: a notebook or a query from a file, without a person; the exit code says how it ended."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rsql_magic.display import table_plain
from rsql_magic.errors import BadInput, CodeFailed

if TYPE_CHECKING:
    import argparse

    from traitlets.config import Config

    from rsql_magic.assistant import Assistant


def options(parser: argparse.ArgumentParser) -> None:
    """What ``rsql run`` takes."""
    parser.add_argument("file", help="a notebook (.ipynb), a query (.sql), or - for a query on standard input")
    parser.add_argument("--on", metavar="DATABASE", help="for a query: a URL, or a DuckDB or SQLite file")
    parser.add_argument("--output", "-o", metavar="FILE", help="where the notebook goes; over itself without it")
    parser.add_argument("--max-rows", type=int, metavar="N", help="for a query: most rows printed")


def run(assistant: Assistant, options: argparse.Namespace) -> None:
    """Run the file: a notebook or a query."""
    if options.file.endswith(".ipynb"):
        _notebook(_existing(options.file), Path(options.output or options.file))
    elif options.file == "-" or options.file.endswith(".sql"):
        _query(assistant, options)
    else:
        raise BadInput(f"{options.file!r} is neither a notebook nor a query.", hint="Its name ends in .ipynb or .sql.")


def refuse_no_database(assistant: Assistant, target: str, where: str) -> None:
    """Refuse what is neither the URL of a database nor its file."""
    if not assistant.connections.takes(target, {}):
        raise BadInput(f"{target!r} is neither a URL nor a DuckDB or SQLite file that exists.", hint=f"{where}.")


def _existing(name: str) -> Path:
    path = Path(name)
    if not path.is_file():
        raise BadInput(f"There is no file {name!r}.", hint="rsql run --help.")
    return path


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise BadInput(f"{str(path)!r} is not UTF-8 text.", hint="Save it as UTF-8.") from None


def _query(assistant: Assistant, options: argparse.Namespace) -> None:
    if not options.on:
        raise BadInput("A query needs a database.", hint="Name it: --on shop.duckdb.")
    refuse_no_database(assistant, options.on, "rsql run --help")
    query = sys.stdin.read() if options.file == "-" else _text(_existing(options.file))
    engine, _ = assistant.connections.engine(options.on, {}, "")
    settings = assistant.settings
    most = options.max_rows or settings.max_rows
    rows = engine.run(query, max_rows=most, timeout=settings.query_timeout)
    sys.stdout.write(f"{table_plain(rows.df, rows=most, columns=settings.shown_columns)}\n\n{rows.count}\n")


# Encryption between kernel and client where Jupyter has it; a kernel warns of a connection without.
def _encrypted() -> Config:
    from jupyter_client.manager import KernelManager
    from traitlets.config import Config

    known = "transport_encryption" in KernelManager.class_trait_names()
    return Config({"KernelManager": {"transport_encryption": "auto"}} if known else {})


# Run all cells in the notebook's folder, as nbconvert does, and write what they showed, also when one fails.
def _notebook(path: Path, output: Path) -> None:
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, DeadKernelError
    from nbformat.reader import NotJSONError

    try:
        notebook = nbformat.reads(_text(path), as_version=4)  # type: ignore[no-untyped-call]
    except (NotJSONError, nbformat.ValidationError):
        raise BadInput(f"{str(path)!r} is not a notebook.", hint="Open it in Jupyter and save it.") from None
    os.environ.setdefault("RSQL_BATCH", "1")
    folder = {"metadata": {"path": str(path.resolve().parent)}}
    client = NotebookClient(notebook, timeout=None, resources=folder, config=_encrypted())
    try:
        client.execute()
    except CellExecutionError as error:
        reason = f"{error.ename}: {error.evalue}".strip().rstrip(".")
        raise CodeFailed(f"{path.name} failed: {reason}.", hint=f"{output} shows where.") from None
    except DeadKernelError:
        raise CodeFailed(f"{path.name} failed: its kernel died.", hint="It may have run out of memory.") from None
    finally:
        output.write_text(nbformat.writes(notebook), encoding="utf-8")  # type: ignore[no-untyped-call]
    sys.stdout.write(f"{output}: {sum(cell.cell_type == 'code' for cell in notebook.cells)} cells ran\n")
