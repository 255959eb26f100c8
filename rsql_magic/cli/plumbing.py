"""What other programs use the command for, ``r/rsql.R`` first: one guard, one linking, one filter for all of them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rsql_magic.context import fence
from rsql_magic.errors import BadInput, QueryRejected

if TYPE_CHECKING:
    import argparse

    from rsql_magic.assistant import Assistant

_MOST_CHARACTERS = 20_000_000


def r_file(_: Assistant, options: argparse.Namespace) -> None:
    """Print the path of rsql.R: in the package when installed, beside it in a checkout; in a folder ``r`` in both."""
    del options
    package = Path(__file__).parents[1]
    installed, checkout = package / "r" / "rsql.R", package.parent / "r" / "rsql.R"
    sys.stdout.write(f"{installed if installed.is_file() else checkout}\n")


def check(_: Assistant, options: argparse.Namespace) -> None:
    """Check a query: ``{"sql", "dialect", "ddl"}`` in, one of ``{"sql"}`` and ``{"problems"}`` out.

    The query that comes out is the one to run: without comments and hints. Problems are for the one who wrote it.

    Raises:
        QueryRejected: It does what is not allowed.
    """
    from rsql_magic.context import Catalog
    from rsql_magic.guard import check as guard
    from rsql_magic.validate import validate

    del options
    told = _json("sql", "dialect")
    catalog = Catalog.from_ddl(told.get("ddl") or "", told["dialect"])
    try:
        statement = guard(told["sql"], told["dialect"])
        problems = [problem.message for problem in validate(statement, told["dialect"], catalog)]
        guard(statement, told["dialect"], catalog if len(catalog) and not problems else None)
    except QueryRejected as error:
        if not error.repairable:
            raise
        problems = [str(error)]
    _say({"problems": problems} if problems else {"sql": statement})


def link(_: Assistant, options: argparse.Namespace) -> None:
    """Choose tables for a question: out ``{"context", "question"}`` as they may leave.

    In come ``question``, ``ddl``, ``dialect`` and, if it is not 8,000, ``tokens``.
    """
    from rsql_magic.context import Catalog
    from rsql_magic.context import redact as filtered
    from rsql_magic.context.tables import ddl
    from rsql_magic.linking import link as linked

    del options
    told = _json("question", "ddl", "dialect")
    catalog = Catalog.from_ddl(told["ddl"], told["dialect"])
    if not len(catalog):
        raise BadInput("The DDL describes no table.", hint="It needs CREATE TABLE statements.")
    tables = linked(told["question"], catalog, int(told.get("tokens") or 8000))
    context = fence("schema", "database", "\n".join(ddl(table, "names") for table in tables))
    if len(tables) < len(catalog):
        context += f"\n\n{len(tables)} of {len(catalog)} tables are shown."
    _say({"context": filtered(context)[0], "question": filtered(told["question"])[0]})


def describe(_: Assistant, options: argparse.Namespace) -> None:
    """Describe an R session that ``r/rsql.R`` has read: out ``{"context", "question"}`` as they may leave.

    In come ``question``, ``level``, ``survey`` and ``details`` (what session.R gave), ``with`` (names that must be
    described) and ``error``.
    """
    from rsql_magic.context import Context, gather
    from rsql_magic.context import redact as filtered
    from rsql_magic.context.r import reported

    del options
    told = _json("question", "level")
    session = reported(told.get("survey") or [], told.get("details") or [])
    found = gather(
        told["question"],
        {each.name: each for each in session.objects},
        names=told.get("with") or (),
        level=told["level"],
        error=told.get("error") or None,
        r=False,
    )
    pieces = [piece for piece in found.pieces if (piece.kind, piece.name) != ("session", "python")]
    context = "\n".join([Context(tuple(pieces)).text, fence("session", "R", session.text())]).strip()
    _say({"context": filtered(context)[0], "question": filtered(told["question"])[0]})


def redact(_: Assistant, options: argparse.Namespace) -> None:
    """Pass text through the filter that every message of a notebook passes."""
    from rsql_magic.context import redact as filtered

    del options
    sys.stdout.write(filtered(sys.stdin.read(_MOST_CHARACTERS))[0])


def _json(*needed: str) -> dict[str, Any]:
    try:
        told = json.loads(sys.stdin.read(_MOST_CHARACTERS))
    except ValueError:
        raise BadInput("Standard input is not JSON.", hint="See docs/r.md.") from None
    missing = [name for name in needed if not isinstance(told, dict) or not isinstance(told.get(name), str)]
    if missing:
        raise BadInput(f"Standard input lacks {', '.join(missing)}.", hint="See docs/r.md.")
    return dict(told)


def _say(value: Any) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
