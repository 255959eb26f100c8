"""What R uses the command for, ``r/rsql.R`` first, and RStudio's terminal: one guard, linking and filter for all."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rsql_magic.errors import BadInput
from rsql_magic.sql import fence

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rsql_magic.assistant import Assistant
    from rsql_magic.knowledge import Dictionary
    from rsql_magic.sql import Catalog, Problem
    from rsql_magic.text2sql import DefinitionCheck, DraftCheck

_MOST_CHARACTERS = 20_000_000  # of standard input


def r_file(_: Assistant, _options: argparse.Namespace) -> None:
    """Print the path of rsql.R: in the package when installed, beside it in a checkout; in a folder ``r`` in both."""
    package = Path(__file__).parents[1]
    installed, checkout = package / "r" / "rsql.R", package.parent / "r" / "rsql.R"
    sys.stdout.write(f"{installed if installed.is_file() else checkout}\n")


def check(assistant: Assistant, _options: argparse.Namespace) -> None:
    """Check a query: ``{"sql", "dialect", "ddl"}`` in, ``{"sql"}`` or ``{"problems"}`` out."""
    # The query that comes out is the one to run: without comments and hints. Problems are for its author. With
    # `"mend": true` a slip that can mean one thing only is corrected as `%%sql_ai` does, and the answer also has
    # `mended`, the changes, and `wrong`, the problems before; other joins stand beside the problems as `proposed`, for
    # the model to decide. `refused` is the database's own message on the query. Where a dictionary describes the
    # tables, the query is held to it with the `question`: `said` is what there is to say of the result, and what the
    # model was `told` of a draft it is not told again. With `"look": true` the answer has `found`, what is to be said
    # of the query's conditions, and `asks`, queries that tell more of them.
    from rsql_magic.text2sql import DefinitionCheck, DraftCheck

    request = piped_json("sql", "dialect")
    dialect = request["dialect"]
    catalog = _catalog(assistant, request)
    defined = DefinitionCheck(dialect, lambda: catalog, str(request.get("question") or ""))
    sql = defined.put_in(request["sql"])
    checked = DraftCheck(dialect, lambda: catalog, _function_fields(dialect, catalog))
    statement, problems = checked.read(sql)
    mended: dict[str, list[str]] = {}
    problems = problems or [text for text in [str(request.get("refused") or "")] if text]
    if problems and request.get("mend"):
        with _compiler(dialect, catalog) as compiled:
            checks = DraftCheck(dialect, lambda: catalog, compiled)
            fix = checks.autofix(sql, refused=True)
            made = checks.read(fix.sql)[0] if fix else ""
        if fix and fix.restructured:
            _say({"problems": problems, "proposed": made})
            return
        if fix:
            mended = {"mended": list(fix.changes), "wrong": problems}
            sql, statement, problems = fix.sql, made, []
    if problems:
        _say({"problems": problems})
        return
    told = _held_to(defined, sql, statement, checked, request) if catalog.is_described else {"sql": statement}
    if "sql" in told and request.get("look"):
        told |= _by_counting(told["sql"], catalog, request)
    if "sql" in told:
        told |= {name: [*parts, *told.get(name, ())] for name, parts in mended.items()}
    _say(told)


# A query that passed, held to the dictionary: what goes against it, the query by rule, or the query with what it is.
def _held_to(
    defined: DefinitionCheck, sql: str, statement: str, checks: DraftCheck, request: Mapping[str, Any]
) -> dict[str, Any]:
    wrong = defined.problems(sql, statement, may_repair=not request.get("told"))
    if not wrong:
        return {"sql": statement, "said": list(defined.said(sql))}
    fix = defined.proposed if request.get("mend") else None
    made, problems = checks.read(fix.sql) if fix else ("", [])
    if fix is None or problems or fix.restructured:
        return {"problems": wrong, "told": True, **({"proposed": made} if made and not problems else {})}
    said = [] if defined.problems(fix.sql, made, may_repair=False) else list(defined.said(fix.sql))
    return {"sql": made, "mended": list(fix.changes), "wrong": wrong, "said": said}


# What the data have against a query that passed: what is seen in its text, and queries for a number each, with what to
# say where the number is 0, 1 or more. R asks its own database, and needs no second process for what that means.
def _by_counting(statement: str, catalog: Catalog, request: Mapping[str, Any]) -> dict[str, Any]:
    from rsql_magic.text2sql import data_notes

    dialect, question = request["dialect"], str(request.get("question") or "")
    asked: dict[str, None] = {}

    def notes(known: Mapping[str, int]) -> list[str]:
        def count(sql: str) -> int | None:
            asked[sql] = None
            return known.get(sql)

        return data_notes(statement, dialect, catalog, question, count)

    found = notes({})
    asks = [
        {"sql": sql, "said": [[note for note in notes({sql: number}) if note not in found] for number in range(3)]}
        for sql in list(asked)
    ]
    return {"found": found, "asks": asks}


# The tables of a request, as the dictionary in R's working directory, or the one that R names, describes them.
def _catalog(assistant: Assistant, request: Mapping[str, Any]) -> Catalog:
    from rsql_magic.sql import Catalog

    catalog = Catalog.from_ddl(request.get("ddl") or "", request["dialect"])
    if (dictionary := _dictionary(assistant, request)) is None:
        return catalog
    tables, definitions = dictionary.applied(catalog.tables, request["dialect"])
    return replace(catalog, tables=tables, definitions=definitions)


def _dictionary(assistant: Assistant, request: Mapping[str, Any]) -> Dictionary | None:
    chosen = request.get("dictionary")
    if chosen is not None and chosen != "":
        assistant.dictionary.use(str(chosen) if chosen else None)
    return assistant.dictionary.current()


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


def link(assistant: Assistant, _options: argparse.Namespace) -> None:
    """Choose tables for a question: out ``{"context", "question"}`` as they may leave, and ``asks_of_now``."""
    # `rsql` is the same as values, for the gateway's model of fixed rules. In come `question`, `ddl`, `dialect` and, if
    # it is not 8,000, `tokens`. Of a dictionary `more` says how its metrics are written, and `note` which one it is.
    from rsql_magic import prompts
    from rsql_magic.context import asks_of_now
    from rsql_magic.gateway import described_within
    from rsql_magic.redaction import redact as filtered
    from rsql_magic.sql import (
        as_stated_definition,
        as_stated_in_ddl,
        ddl,
        definition_tokens,
        stated_definition,
        told_definitions,
        with_tables_of_metrics,
    )
    from rsql_magic.sql import link as linked

    request = piped_json("question", "ddl", "dialect")
    if not len(catalog := _catalog(assistant, request)):
        raise BadInput("The DDL describes no table.", hint="It needs CREATE TABLE statements.")
    most = int(request.get("tokens") or 8000)
    part = definition_tokens(catalog, most)
    chosen = with_tables_of_metrics(linked(request["question"], catalog, most - part), request["question"], catalog)
    definitions = told_definitions(request["question"], catalog, chosen, part).definitions
    places = {table.full_name: place for place, table in enumerate(catalog)}
    tables = sorted(chosen, key=lambda table: places[table.full_name])  # the same tables are the same bytes
    context = fence("schema", "database", "\n".join(ddl(table, "names") for table in tables))
    if len(tables) < len(catalog):
        context += f"\n\n{len(tables)} of {len(catalog)} tables are shown."
    if definitions:
        context += f"\n\n{fence('definitions', 'database', chr(10).join(map(stated_definition, definitions)))}"
    metric = next((one.name for one in definitions if one.kind == "metric"), "")
    context, question = filtered(context)[0], filtered(request["question"])[0]
    stated = [as_stated_in_ddl(table, "names") for table in tables]
    values = {"task": "sql", "question": question, "dialect": request["dialect"], "tables": stated}
    values |= {"definitions": [as_stated_definition(one) for one in definitions]} if definitions else {}
    held = "\n".join([context, question, request["dialect"]])
    reply = {"context": context, "question": question, "asks_of_now": asks_of_now(question)}
    told = {
        "more": f"{prompts.render('sql_metrics', metric=metric)}\n\n" if metric else "",
        "note": assistant.dictionary.note,
    }
    _say(reply | {name: text for name, text in told.items() if text} | {"rsql": described_within(values, held)})


def describe(assistant: Assistant, _options: argparse.Namespace) -> None:
    """Describe an R session that ``r/rsql.R`` has read: out ``{"context", "question"}`` as they may leave."""
    # `rsql` is the same as values, for the gateway's model of fixed rules. In come `question`, `level`, `survey` and
    # `details` (what session.R gave), `with` (names that must be described) and `error`.
    from rsql_magic.context import Context, Piece, gather, reported
    from rsql_magic.gateway import described_within
    from rsql_magic.redaction import redact as filtered

    request = piped_json("question", "level")
    session = reported(request.get("survey") or [], request.get("details") or [])
    objects, names, error = {each.name: each for each in session.objects}, request.get("with"), request.get("error")
    found = gather(
        request["question"],
        objects,
        names=names or (),
        level=request["level"],
        dictionary=_dictionary(assistant, request),
        error=error or None,
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


def piped_json(*needed: str, mappings: Sequence[str] = ()) -> dict[str, Any]:
    """The object on standard input, with these fields of text, and those that are objects themselves.

    Raises:
        BadInput: It is none, or lacks one.
    """
    try:
        request = json.loads(sys.stdin.read(_MOST_CHARACTERS))
    except ValueError:
        raise BadInput("Standard input is not JSON.", hint="See docs/r.md.") from None
    kinds = dict.fromkeys(needed, str) | dict.fromkeys(mappings, dict)
    missing = [
        name for name, kind in kinds.items() if not (isinstance(request, dict) and isinstance(request.get(name), kind))
    ]
    if missing:
        raise BadInput(f"Standard input lacks {', '.join(missing)}.", hint="See docs/r.md.")
    return dict(request)


def _say(value: Any) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")


# RStudio's terminal: noticing it, and what R there is: its version, and packages attached, used and installed.
# The terminal is a process of its own beside RStudio's R session, whose objects it cannot see; `r/rsql.R` in the
# session can. What can be told from here is asked of a new R, which reads the same profile, and of the folder's
# scripts. https://docs.posit.co/ide/user/ide/guide/tools/terminal.html


_MARKS = ("RSTUDIO", "RSTUDIO_TERM", "RSTUDIO_SESSION_PORT", "RSTUDIO_SESSION_STREAM", "RSTUDIO_HTTP_REFERER")
_SECONDS = 5.0  # for a new R, with the user's profile
_SCRIPTS = 50  # files that are read
_SCRIPT_CHARACTERS = 100_000  # of each
_MOST_PACKAGES = 60  # that one line names
_USED = re.compile(r"\b(?:library|require|requireNamespace)\(\s*[\"']?([A-Za-z][\w.]*)|([A-Za-z][\w.]*):::?[A-Za-z.]")
_ASKED = """
cat(R.version$major, ".", R.version$minor, " on ", R.version$platform, "\\n", sep = "")
cat(sub("^package:", "", grep("^package:", search(), value = TRUE)), "\\n")
base <- rownames(installed.packages(priority = "base"))
found <- unique(list.files(.libPaths()))
found <- setdiff(found, base)
version <- function(p) tryCatch(as.character(packageVersion(p)), error = function(e) "")
cat(paste(found, vapply(found, version, "")), sep = "\\n")
"""


def noticed(environ: Mapping[str, str]) -> bool:
    """Whether this is a terminal of RStudio, by the variables that it sets there."""
    return any(environ.get(name, "0") not in {"", "0"} for name in _MARKS)


def session(environ: Mapping[str, str], question: str) -> str:
    """A few lines about R for the model; empty where R cannot be asked."""
    # `R_HOME` of the environment says which R; packages that the question names stand there with their versions.
    lines = _asked(environ, _ASKED)
    if len(lines) < 2:
        return ""
    installed = dict(line.split(" ", 1) for line in lines[2:] if " " in line)
    used = [name for name in _used(Path.cwd()) if name in installed]
    named = [name for name in installed if re.search(rf"(?<![\w.]){re.escape(name)}(?![\w.])", question)]
    rest = sorted(set(installed) - set(used) - set(named))
    told = (
        f"A terminal of RStudio. R {lines[0]}",
        f"attached in a new session: {', '.join(lines[1].split())}",
        _line("named in the question", [f"{name} {installed[name]}" for name in named]),
        _line("used by the scripts in this folder", [f"{name} {installed[name]}" for name in used]),
        _line("also installed", rest),
    )
    return "\n".join(filter(None, told))


def _line(what: str, names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_PACKAGES} more" if len(names) > _MOST_PACKAGES else ""
    return f"{what}: {', '.join(names[:_MOST_PACKAGES])}{more}" if names else ""


def libraries(environ: Mapping[str, str]) -> frozenset[str] | None:
    """The names of all packages that a new R finds; None where it cannot be asked."""
    return frozenset(_asked(environ, 'cat(list.files(.libPaths()), sep = "\\n")')) or None


def _asked(environ: Mapping[str, str], program: str) -> list[str]:
    home = environ.get("R_HOME", "")
    ours = Path(home) / "bin" / "Rscript"
    rscript = str(ours) if home and ours.is_file() else shutil.which("Rscript", path=environ.get("PATH"))
    if rscript is None:
        return []
    command = [rscript, "--no-echo", "-e", program]
    try:
        done = subprocess.run(  # noqa: S603 - the user's own R
            command, capture_output=True, text=True, timeout=_SECONDS, check=True, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]


# Packages that the R files of a folder use, in the order they are met.
def _used(folder: Path) -> list[str]:
    names: dict[str, None] = {}
    scripts: list[Path] = []
    with suppress(OSError):
        endings = {".r", ".rmd", ".qmd"}
        scripts = sorted(path for path in folder.iterdir() if path.suffix.lower() in endings and path.is_file())
    for script in scripts[:_SCRIPTS]:
        with suppress(OSError):
            text = script.read_text(encoding="utf-8", errors="replace")[:_SCRIPT_CHARACTERS]
            names.update(dict.fromkeys(found[1] or found[2] for found in _USED.finditer(text)))
    return list(names)
