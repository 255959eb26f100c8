"""What other programs use the command for, ``r/rsql.R`` first: one guard, one linking, one filter for all of them."""

from __future__ import annotations

import json
import sys
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rsql_magic.errors import BadInput, QueryFailed, QueryRejected
from rsql_magic.sql import fence

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from rsql_magic.assistant import Assistant
    from rsql_magic.sql import Catalog, Fix

_MOST_CHARACTERS = 20_000_000


def r_file(_: Assistant, options: argparse.Namespace) -> None:
    """Print the path of rsql.R: in the package when installed, beside it in a checkout; in a folder ``r`` in both."""
    del options
    package = Path(__file__).parents[1]
    installed, checkout = package / "r" / "rsql.R", package.parent / "r" / "rsql.R"
    sys.stdout.write(f"{installed if installed.is_file() else checkout}\n")


def check(_: Assistant, options: argparse.Namespace) -> None:
    """Check a query: ``{"sql", "dialect", "ddl"}`` in, ``{"sql"}`` or ``{"problems"}`` out.

    The query that comes out is the one to run: without comments and hints. Problems are for the one who wrote it. With
    ``"mend": true`` a slip that can mean one thing only is put right as ``%%sql_ai`` does, and the answer also has
    ``mended``, what was changed, and ``wrong``, what was wrong before. ``refused`` is what the database itself said
    of the query.

    Raises:
        QueryRejected: It does what is not allowed.
    """
    from rsql_magic.sql import Catalog

    del options
    told = _json("sql", "dialect")
    query = _Query(told["dialect"], Catalog.from_ddl(told.get("ddl") or "", told["dialect"]))
    statement, problems = query.read(told["sql"])
    problems = problems or [text for text in [str(told.get("refused") or "")] if text]
    mended = query.mended(told["sql"]) if problems and told.get("mend") else None
    if mended is not None:
        _say({"sql": query.read(mended.sql)[0], "mended": mended.said, "wrong": problems})
        return
    _say({"problems": problems} if problems else {"sql": statement})


@dataclass(frozen=True)
class _Query:
    """What a query is checked against.

    Args:
        dialect: sqlglot's name of its dialect.
        catalog: The tables there are; empty when nobody told.
    """

    dialect: str
    catalog: Catalog

    def read(self, sql: str) -> tuple[str, list[str]]:
        """The statement that the guard gives of a draft, and what is wrong with it."""
        from rsql_magic.sql import check as guard
        from rsql_magic.sql import validate

        try:
            statement = guard(sql, self.dialect)
            problems = [problem.message for problem in validate(statement, self.dialect, self.catalog)]
            problems += self._untold(statement)
            guard(statement, self.dialect, self.catalog if len(self.catalog) and not problems else None)
        except QueryRejected as error:
            if not error.repairable:
                raise
            return sql, [str(error)]
        return statement, problems

    def _untold(self, statement: str) -> list[str]:
        """Fields that may be functions of what is before them: ``(t).total``. No PostgreSQL is at hand to be asked."""
        from rsql_magic.databases import named

        found = named(statement) if self.dialect == "postgres" else None
        columns = {column.name for table in self.catalog for column in table.columns} | {"key", "value"}
        parts = sorted(found.parts - columns) if found else []
        return [f"There is no column {part}, and a function of that name would be called." for part in parts]

    def mended(self, sql: str) -> Fix | None:
        """The draft put right by the rules of ``%%sql_ai``; None where what was meant is not certain."""
        from rsql_magic.sql import mend

        with self._compiler() as compiles:

            def passes(text: str) -> bool:
                try:
                    statement, problems = self.read(text)
                    return text != sql and not problems and compiles(statement)
                except (QueryFailed, QueryRejected):
                    return False

            return mend(sql, self.dialect, self.catalog, passes)

    @contextmanager
    def _compiler(self) -> Iterator[Callable[[str], bool]]:
        """Whether a statement compiles over empty tables like these; of a dialect that is not at hand, it may."""
        import sqlite3

        from rsql_magic.databases import open_engine
        from rsql_magic.sql import ddl

        if self.dialect != "sqlite":
            yield lambda _: True
            return
        with closing(sqlite3.connect(":memory:")) as empty:
            with suppress(sqlite3.Error):  # a type or a name that only the real database takes
                empty.executescript("\n".join(ddl(table, "names", "sqlite") for table in self.catalog))
            with open_engine(empty) as engine:
                yield lambda statement: not engine.check(statement)


def link(_: Assistant, options: argparse.Namespace) -> None:
    """Choose tables for a question: out ``{"context", "question"}`` as they may leave, and ``asks_of_now``.

    ``rsql`` is the same as values, for the gateway's model of fixed rules. In come ``question``, ``ddl``, ``dialect``
    and, if it is not 8,000, ``tokens``.
    """
    from rsql_magic.context import asks_of_now
    from rsql_magic.gateway import described_within
    from rsql_magic.redaction import redact as filtered
    from rsql_magic.sql import Catalog, as_stated_in_ddl, ddl
    from rsql_magic.sql import link as linked

    del options
    told = _json("question", "ddl", "dialect")
    catalog = Catalog.from_ddl(told["ddl"], told["dialect"])
    if not len(catalog):
        raise BadInput("The DDL describes no table.", hint="It needs CREATE TABLE statements.")
    tables = linked(told["question"], catalog, int(told.get("tokens") or 8000))
    context = fence("schema", "database", "\n".join(ddl(table, "names") for table in tables))
    if len(tables) < len(catalog):
        context += f"\n\n{len(tables)} of {len(catalog)} tables are shown."
    context, question = filtered(context)[0], filtered(told["question"])[0]
    stated = [as_stated_in_ddl(table, "names") for table in tables]
    values = {"task": "sql", "question": question, "dialect": told["dialect"], "tables": stated}
    held = "\n".join([context, question, told["dialect"]])
    _say(
        {
            "context": context,
            "question": question,
            "asks_of_now": asks_of_now(question),
            "rsql": described_within(values, held),
        }
    )


def describe(_: Assistant, options: argparse.Namespace) -> None:
    """Describe an R session that ``r/rsql.R`` has read: out ``{"context", "question"}`` as they may leave.

    ``rsql`` is the same as values, for the gateway's model of fixed rules. In come ``question``, ``level``, ``survey``
    and ``details`` (what session.R gave), ``with`` (names that must be described) and ``error``.
    """
    from rsql_magic.context import Context, Piece, gather, reported
    from rsql_magic.gateway import described_within
    from rsql_magic.redaction import redact as filtered

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
    gathered = Context((*pieces, Piece("session", "R", session.text())))
    context, question = filtered(gathered.text.strip())[0], filtered(told["question"])[0]
    values = {"task": "ask", "question": question, "language": "r", **gathered.as_values()}
    _say({"context": context, "question": question, "rsql": described_within(values, f"{context}\n{question}")})


def redact(_: Assistant, options: argparse.Namespace) -> None:
    """Pass text through the filter that every message of a notebook passes."""
    from rsql_magic.redaction import redact as filtered

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
