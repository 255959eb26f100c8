"""What other programs use the command for, ``r/rsql.R`` first: one guard, one linking, one filter for all of them."""

from __future__ import annotations

import json
import sys
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rsql_magic.errors import BadInput
from rsql_magic.sql import fence

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Sequence

    from rsql_magic.assistant import Assistant
    from rsql_magic.sql import Catalog, Problem

_MOST_CHARACTERS = 20_000_000  # of standard input


def r_file(_: Assistant, _options: argparse.Namespace) -> None:
    """Print the path of rsql.R: in the package when installed, beside it in a checkout; in a folder ``r`` in both."""
    package = Path(__file__).parents[1]
    installed, checkout = package / "r" / "rsql.R", package.parent / "r" / "rsql.R"
    sys.stdout.write(f"{installed if installed.is_file() else checkout}\n")


def check(_: Assistant, _options: argparse.Namespace) -> None:
    """Check a query: ``{"sql", "dialect", "ddl"}`` in, ``{"sql"}`` or ``{"problems"}`` out."""
    # The query that comes out is the one to run: without comments and hints. Problems are for its author. With
    # `"mend": true` a slip that can mean one thing only is corrected as `%%sql_ai` does, and the answer also has
    # `mended`, the changes, and `wrong`, the problems before. `refused` is the database's own message on the query.
    from rsql_magic.sql import Catalog
    from rsql_magic.text2sql import DraftCheck

    request = _json("sql", "dialect")
    dialect, sql = request["dialect"], request["sql"]
    catalog = Catalog.from_ddl(request.get("ddl") or "", dialect)
    statement, problems = DraftCheck(dialect, lambda: catalog, _function_fields(dialect, catalog)).read(sql)
    problems = problems or [text for text in [str(request.get("refused") or "")] if text]
    if problems and request.get("mend"):
        with _compiler(dialect, catalog) as compiled:
            checks = DraftCheck(dialect, lambda: catalog, compiled)
            if fix := checks.autofix(sql, refused=True):
                _say({"sql": checks.read(fix.sql)[0], "mended": fix.changes, "wrong": problems})
                return
    _say({"problems": problems} if problems else {"sql": statement})


# The problems of a statement over empty tables like these; none in a dialect whose database is not at hand.
@contextmanager
def _compiler(dialect: str, catalog: Catalog) -> Iterator[Callable[[str], Sequence[Problem]]]:
    import sqlite3

    from rsql_magic.databases import open_engine
    from rsql_magic.sql import ddl

    fields = _function_fields(dialect, catalog)
    if dialect != "sqlite":
        yield fields
        return
    with closing(sqlite3.connect(":memory:")) as empty:
        with suppress(sqlite3.Error):  # a type or a name that only the real database takes
            empty.executescript("\n".join(ddl(table, "names", "sqlite") for table in catalog))
        with open_engine(empty) as engine:
            yield lambda statement: [*fields(statement), *engine.check(statement)]


# Problems of PostgreSQL's fields that may call a function: `(t).total`. No server is at hand to be asked.
def _function_fields(dialect: str, catalog: Catalog) -> Callable[[str], list[Problem]]:
    columns = {column.name for table in catalog for column in table.columns} | {"key", "value"}

    def problems(statement: str) -> list[Problem]:
        from rsql_magic.databases import named
        from rsql_magic.sql import Problem

        found = named(statement) if dialect == "postgres" else None
        return [
            Problem("column", part, f"There is no column {part}, and a function of that name would be called.")
            for part in sorted(found.parts - columns if found else ())
        ]

    return problems


def link(_: Assistant, _options: argparse.Namespace) -> None:
    """Choose tables for a question: out ``{"context", "question"}`` as they may leave, and ``asks_of_now``."""
    # `rsql` is the same as values, for the gateway's model of fixed rules. In come `question`, `ddl`, `dialect` and, if
    # it is not 8,000, `tokens`.
    from rsql_magic.context import asks_of_now
    from rsql_magic.gateway import described_within
    from rsql_magic.redaction import redact as filtered
    from rsql_magic.sql import Catalog, as_stated_in_ddl, ddl
    from rsql_magic.sql import link as linked

    request = _json("question", "ddl", "dialect")
    catalog = Catalog.from_ddl(request["ddl"], request["dialect"])
    if not len(catalog):
        raise BadInput("The DDL describes no table.", hint="It needs CREATE TABLE statements.")
    chosen = linked(request["question"], catalog, int(request.get("tokens") or 8000))
    places = {table.full_name: place for place, table in enumerate(catalog)}
    tables = sorted(chosen, key=lambda table: places[table.full_name])  # the same tables are the same bytes
    context = fence("schema", "database", "\n".join(ddl(table, "names") for table in tables))
    if len(tables) < len(catalog):
        context += f"\n\n{len(tables)} of {len(catalog)} tables are shown."
    context, question = filtered(context)[0], filtered(request["question"])[0]
    stated = [as_stated_in_ddl(table, "names") for table in tables]
    values = {"task": "sql", "question": question, "dialect": request["dialect"], "tables": stated}
    held = "\n".join([context, question, request["dialect"]])
    reply = {"context": context, "question": question, "asks_of_now": asks_of_now(question)}
    _say(reply | {"rsql": described_within(values, held)})


def describe(_: Assistant, _options: argparse.Namespace) -> None:
    """Describe an R session that ``r/rsql.R`` has read: out ``{"context", "question"}`` as they may leave."""
    # `rsql` is the same as values, for the gateway's model of fixed rules. In come `question`, `level`, `survey` and
    # `details` (what session.R gave), `with` (names that must be described) and `error`.
    from rsql_magic.context import Context, Piece, gather, reported
    from rsql_magic.gateway import described_within
    from rsql_magic.redaction import redact as filtered

    request = _json("question", "level")
    session = reported(request.get("survey") or [], request.get("details") or [])
    found = gather(
        request["question"],
        {each.name: each for each in session.objects},
        names=request.get("with") or (),
        level=request["level"],
        error=request.get("error") or None,
        r=False,
    )
    pieces = [piece for piece in found.pieces if (piece.kind, piece.name) != ("session", "python")]
    gathered = Context((*pieces, Piece("session", "R", session.text())))
    context, question = filtered(gathered.text.strip())[0], filtered(request["question"])[0]
    values = {"task": "ask", "question": question, "language": "r", **gathered.as_values()}
    _say({"context": context, "question": question, "rsql": described_within(values, f"{context}\n{question}")})


def redact(_: Assistant, _options: argparse.Namespace) -> None:
    """Pass text through the filter that every message of a notebook passes."""
    from rsql_magic.redaction import redact as filtered

    sys.stdout.write(filtered(sys.stdin.read(_MOST_CHARACTERS))[0])


def _json(*needed: str) -> dict[str, Any]:
    try:
        request = json.loads(sys.stdin.read(_MOST_CHARACTERS))
    except ValueError:
        raise BadInput("Standard input is not JSON.", hint="See docs/r.md.") from None
    missing = [name for name in needed if not isinstance(request, dict) or not isinstance(request.get(name), str)]
    if missing:
        raise BadInput(f"Standard input lacks {', '.join(missing)}.", hint="See docs/r.md.")
    return dict(request)


def _say(value: Any) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
