"""The ``rsql`` command: questions and a look at the gateway from any terminal."""

# It finds the gateway as a notebook does. In a terminal of RStudio a question takes along what R there is.

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from contextlib import contextmanager, nullcontext, suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from rsql_magic import diagnostics, reports
from rsql_magic.answers import NotebookSnapshot
from rsql_magic.assistant import Assistant
from rsql_magic.cli import (
    admin,
    console,
    effects,
    handed_over,
    jobs,
    monitor,
    notebooks,
    on_gateway,
    r,
    rows,
    run_records,
    terminal,
)
from rsql_magic.context import Piece
from rsql_magic.databases import check_dictionary, draft_dictionary
from rsql_magic.diagnostics import log
from rsql_magic.display import TerminalScreen, table_plain
from rsql_magic.errors import BadInput, GatewayUnreachable, LimitReached, QueryRejected, RsqlError, Stopped
from rsql_magic.gateway import ReplayFile
from rsql_magic.options import ASK, DICTIONARIES, SQL_AI
from rsql_magic.plain_text import printable
from rsql_magic.text2sql import given

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rsql_magic.display import CellOutput

    Run = Callable[[Assistant, argparse.Namespace], int | None]

# What the process ends with, by the error; the first that fits.
EXIT_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (Stopped, 130),
    (KeyboardInterrupt, 130),
    (QueryRejected, 3),
    (GatewayUnreachable, 4),
    (LimitReached, 75),  # EX_TEMPFAIL of sysexits.h
    (RsqlError, 1),
)


# Commands that there are in a terminal as well, and sentences that name a magic which is not.
_MAGIC = re.compile(r"%rsql (?=(?:status|stats|usage|models|doctor|dictionary (?:check|init|share))\b)")
_OF_NOTEBOOKS = re.compile(r"(?:^|(?<=[.?!]) )[^.?!]*%rsql\b.*?(?:[.?!](?= |$)|$)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with these arguments, by default the process's; gives its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] in (["ledger"], ["config"]):
        return _of_the_gateway(words)
    if (options := _parser().parse_args(words)).gateway:
        os.environ["RSQL_GATEWAY_URL"] = options.gateway
    diagnostics.begin_if_wanted(os.environ)
    assistant = Assistant()
    try:
        return options.run(assistant, options) or 0
    except BrokenPipeError:  # the reader, such as head, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (KeyboardInterrupt, RsqlError) as error:
        code = next(code for kind, code in EXIT_CODES if isinstance(error, kind))
        log.debug("the command has failed", exc_info=True)
        if code != 130:
            sys.stderr.write(f"{type(error).__name__}: {without_magics(str(error))}\n")
        return code
    finally:
        assistant.close()
    return 0


def without_magics(message: str) -> str:
    """An error's message where there are no magics: with the same command, or without the advice.

    Example:
        >>> without_magics("No gateway answers. %rsql doctor finds out why.")
        'No gateway answers. rsql doctor finds out why.'
        >>> without_magics("There is no table nosuch here. %rsql catalog lists the tables.")
        'There is no table nosuch here.'
    """
    return _OF_NOTEBOOKS.sub("", _MAGIC.sub("rsql ", message)).strip() or message


def _parser() -> argparse.ArgumentParser:
    codes = "Exit codes: 0 an answer, 1 an error, 2 a wrong command line, 3 refused by the guard, 4 no gateway, "
    parser = argparse.ArgumentParser(
        "rsql",
        description="Ask questions where your data is.",
        epilog=f"{codes}5 the cell asks, 75 a limit (try later), 130 stopped.",
    )
    gateway = "the gateway to use; its token is in RSQL_GATEWAY_TOKEN"
    parser.add_argument("--gateway", metavar="URL", help=gateway)
    parser.add_argument("--version", action="version", version=f"rsql {version('rsql-jupyter')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Run, what: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}.")
        made.add_argument("--gateway", metavar="URL", default=argparse.SUPPRESS, help=gateway)  # or before the command
        made.set_defaults(run=run)
        return made

    _asking(command)
    parser_of_run = command("run", _run, "run notebooks, or a query from a file, without a person")
    what = "notebooks (.ipynb), or one query (.sql), or - for a query on standard input"
    parser_of_run.add_argument("files", nargs="*", metavar="FILE", help=what)
    parser_of_run.add_argument("--on", metavar="DATABASE", help="for a query: a URL, or a DuckDB or SQLite file")
    what = "where the notebook goes, over itself without it; for several a folder"
    parser_of_run.add_argument("--output", "-o", metavar="FILE", help=what)
    what = "for notebooks: keep answers in this file and take them from there; strict:FILE asks for nothing else, "
    parser_of_run.add_argument("--replay", metavar="FILE", help=f"{what}record:FILE asks for all anew")
    parser_of_run.add_argument("--max-rows", type=int, metavar="N", help="for a query: most rows printed")
    notebooks.run_options(parser_of_run)
    on_gateway.on_gateway_options(parser_of_run)
    parser_of_run.set_defaults(wrong=parser_of_run.error)
    what = "list the answers in notebooks: model, request, hashes of prompt and context, tokens, cost"
    run_records.report_options(command("report", lambda _, options: run_records.report(options), what))
    rows.map_options(command("map", rows.map_rows, "ask about each row of a table in a file"))
    what = "draft a dictionary of a database, check one against it, or share one with your group"
    _about_dictionaries(command("dictionary", _dictionary, what))
    command("status", _report(reports.status), "the gateway: where it is, its keys, queue and models")
    for name in ("stats", "usage"):
        command(name, _report(reports.limits), "your limits, tokens and money")
    command("models", _report(reports.models), "the models there are")
    _doctor_options(command("doctor", _doctor, "look at everything a question needs"))
    monitor.monitor_options(command("monitor", monitor.monitor, "the gateway and your limits, live, until Ctrl-C"))
    ledger = commands.add_parser("ledger", help="verify or export the records of a gateway on this machine")
    ledger.set_defaults(run=lambda *_: _of_the_gateway(["ledger"]))  # after --gateway, which is none of its options
    config = commands.add_parser("config", help="check the rsql.toml of a gateway, and say what it makes of it")
    config.set_defaults(run=lambda *_: _of_the_gateway(["config"]))
    admin.keys_options(
        command("keys", admin.keys, "for administrators: the gateway's keys; pause, resume, retire or check them")
    )
    what = "for administrators and instructors: open the gateway's console in a browser of this machine"
    console.console_options(command("console", console.console, what))
    jobs.jobs_options(
        command("jobs", jobs.jobs, "your jobs at the gateway: list, show, cancel, download their results")
    )
    admin.load_options(
        command("load", admin.load, "for administrators: ask as many users would, and tell what they saw")
    )
    command("r-file", r.r_file, "print where rsql.R is, which R can source()")
    command("check", r.check, "check a query for a program: JSON in, JSON out")
    command("link", r.link, "choose tables for a question, for a program: JSON in, JSON out")
    command("describe", r.describe, "describe an R session, for a program: JSON in, JSON out")
    what = "say whether a cell of Python, R or SQL is proven harmless, or would ask for a yes, and why"
    effects.effects_options(command("effects", effects.effects, what))
    command("redact", r.redact, "replace secrets and personal identifiers in what is piped in")
    return parser


# The gateway's own command, in a process of its own: the two packages share no code.
def _of_the_gateway(words: Sequence[str]) -> int:
    command = [sys.executable, "-P", "-m", "jupyter_server_ext", *words]
    return subprocess.run(command, check=False).returncode  # noqa: S603  (the user's own words, to our own program)


def _asking(command: Callable[[str, Run, str], argparse.ArgumentParser]) -> None:
    ask = command("ask", _ask, "ask a question; what is piped in goes with it")
    ask.add_argument("--no-r", action="store_true", help="in RStudio's terminal: say nothing of R and its packages")
    sql = command("sql", _sql, "answer a question by a checked, read-only query")
    sql.add_argument("--on", metavar="DATABASE", required=True, help="a URL, or a DuckDB or SQLite file")
    for one, options in ((ask, ASK), (sql, SQL_AI)):
        one.add_argument("question", nargs="+", help="the question")
        for option in options:
            if option.command:
                one.add_argument(*option.flags, **option.declared())


def _ask(assistant: Assistant, options: argparse.Namespace) -> None:
    in_rstudio, text = r.noticed(os.environ) and not options.no_r, " ".join(options.question)
    attached = []
    if in_rstudio and (session := r.session(os.environ, text)):
        attached.append(Piece("session", "RStudio", session))
    # As far as a question may be long; nothing at a keyboard.
    most = assistant.settings.max_question_chars + 1
    piped = "" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.read(most)
    if piped.strip():
        attached.append(Piece("object", "standard input", piped))
    snapshot, look = NotebookSnapshot(), bool(options.show_context)
    unsure = assistant.locator.unknown_policy() if look else ""
    lang = "r" if in_rstudio else None
    question = assistant.question(
        text, snapshot, model=options.model, format=options.format, lang=lang, look=look, attached=attached
    )
    if look:
        sys.stdout.write(printable(assistant.preview(question, snapshot).saying(unsure)) + "\n")
        return
    answer = assistant.ask(question, snapshot, screen=terminal.screen_for(question.format))
    if answer.ended_by:
        raise answer.ended_by


def _sql(assistant: Assistant, options: argparse.Namespace) -> None:
    query = assistant.query_options(**{**given(options), "run": not options.no_run})
    question = " ".join(options.question)
    _refuse_no_database(assistant, options.on, "rsql sql --help")
    assistant.sql_ai(question, options.on, snapshot=NotebookSnapshot(), options=query, screen=TerminalScreen())


def _report(made: Callable[[Assistant], CellOutput]) -> Callable[[Assistant, argparse.Namespace], None]:
    return lambda assistant, _: TerminalScreen().show(made(assistant))


def _doctor_options(parser: argparse.ArgumentParser) -> None:
    what = "pack what was found, and the log of RSQL_LOG=on, for whoever helps"
    parser.add_argument("--report", nargs="?", const="", metavar="FILE", help=what)


# Look at everything a question needs; what is not as it should be makes the command fail.
def _doctor(assistant: Assistant, options: argparse.Namespace) -> None:
    findings = reports.doctor(assistant)
    TerminalScreen().show(reports.examined(findings))
    if options.report is not None:
        sys.stdout.write(f"{without_magics(reports.packed(findings, options.report))}\n")
    if wrong := [finding.what for finding in findings if finding.well is False]:
        raise BadInput(f"Not as it should be: {', '.join(wrong)}.", hint="See 'to do' above.")


def _about_dictionaries(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("check", "init", "share"), help="what to do; share: with your group")
    parser.add_argument(
        "file", nargs="?", default=DICTIONARIES[0], help=f"the dictionary; {DICTIONARIES[0]} without it"
    )
    parser.add_argument("--on", metavar="DATABASE", help="a URL, or a DuckDB or SQLite file; without it only the file")


# Draft a dictionary, or show what does not fit; an error in it makes the command fail.
def _dictionary(assistant: Assistant, options: argparse.Namespace) -> None:
    engine = None
    if options.action == "share":
        sys.stdout.write(f"{assistant.shared.share_dictionary(options.file)}\n")
        return
    if options.on:
        _refuse_no_database(assistant, options.on, "rsql dictionary --help")
        engine, _ = assistant.connections.engine(options.on, {}, "")
    if options.action == "check":
        found = check_dictionary(options.file, engine)
        TerminalScreen().show(reports.misfits(found, options.file, engine.name if engine else ""))
        if errors := sum(each.error for each in found):
            raise BadInput(f"{errors:,} error{'s' * (errors != 1)} in {options.file}.", hint="They are listed above.")
    elif engine is None:
        raise BadInput("A draft needs a database.", hint="Name it: --on shop.duckdb.")
    else:
        sys.stdout.write(f"{draft_dictionary(options.file, engine, assistant.settings.privacy)} is drafted.\n")


# `rsql run`: notebooks or a query from a file, without a person.
def _run(assistant: Assistant, options: argparse.Namespace) -> None:
    files = options.files
    if options.handed_over:
        handed_over.refuse_a_terminal()
        handed_over.run_handed_over()
        return
    if not files:
        options.wrong("the following arguments are required: FILE")
    if not options.on_gateway and (options.follow or options.along):
        raise BadInput("--follow and --with are options of --on-gateway.", hint="rsql run --help.")
    if options.on_gateway:
        if wrong := [file for file in files if not file.endswith(".ipynb")]:
            raise BadInput(f"{wrong[0]!r} is no notebook.", hint="Only notebooks are handed over.")
        on_gateway.hand_over(lambda: assistant.locator.gateway, options)
    elif all(file.endswith(".ipynb") for file in files):
        with _replaying(ReplayFile.named(options.replay), options) if options.replay else nullcontext():
            notebooks.run_notebooks(options, lambda: _for_all(assistant))
    elif len(files) == 1 and (files[0] == "-" or files[0].endswith(".sql")):
        _query(assistant, options)
    elif wrong := [file for file in files if file != "-" and not file.endswith((".ipynb", ".sql"))]:
        raise BadInput(f"{wrong[0]!r} is neither a notebook nor a query.", hint="Its name ends in .ipynb or .sql.")
    else:
        raise BadInput("A query runs by itself.", hint="Run each .sql file with a call of its own.")


# A gateway for all kernels, where each would start its own: it counts the limits of the keys for all of them together.
def _for_all(assistant: Assistant) -> dict[str, str]:
    if assistant.locator.is_within_reach() or not assistant.settings.embedded:
        return {}
    if (recording := ReplayFile.named(os.environ.get("RSQL_REPLAY", ""))) and recording.mode == "replay":
        return {}
    with suppress(GatewayUnreachable):  # a notebook that asks nothing needs none, and others say why there is none
        address = assistant.locator.embedded.address()
        return {"RSQL_GATEWAY_URL": address.url, "RSQL_GATEWAY_TOKEN": address.token}
    return {}


# Have the kernels use a recording; a broken one is told before anything runs. Several that record begin it anew once,
# together.
@contextmanager
def _replaying(file: ReplayFile, options: argparse.Namespace) -> Iterator[None]:
    together = file.mode == "record" and (len(options.files) > 1 or options.params)
    if file.mode != "record" or together:
        file.opened()
    options.again = options.again or together  # what is not run again would not be recorded
    mode = "" if file.mode == "auto" or together else f"{file.mode}:"
    os.environ["RSQL_REPLAY"] = f"{mode}{file.path}"  # absolute, as the notebook runs in its own folder
    try:
        yield
    finally:
        if together:
            file.settle()


def _refuse_no_database(assistant: Assistant, target: str, where: str) -> None:
    if not assistant.connections.takes(target, {}):
        raise BadInput(f"{target!r} is neither a URL nor a DuckDB or SQLite file that exists.", hint=f"{where}.")


def _existing(name: str) -> Path:
    if not (path := Path(name)).is_file():
        raise BadInput(f"There is no file {name!r}.", hint="Check the path.")
    return path


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise BadInput(f"{str(path)!r} is not UTF-8 text.", hint="Save it as UTF-8.") from None


def _query(assistant: Assistant, options: argparse.Namespace) -> None:
    if not options.on:
        raise BadInput("A query needs a database.", hint="Name it: --on shop.duckdb.")
    _refuse_no_database(assistant, options.on, "rsql run --help")
    query = sys.stdin.read() if options.files[0] == "-" else _text(_existing(options.files[0]))
    engine, _ = assistant.connections.engine(options.on, {}, "")
    settings = assistant.settings
    most = options.max_rows or settings.max_rows
    rows = engine.run(query, max_rows=most, timeout=settings.query_timeout)
    sys.stdout.write(f"{table_plain(rows.df, rows=most, columns=settings.shown_columns)}\n\n{rows.count}\n")
    sys.stderr.writelines(f"{remark}\n" for remark in rows.remarks)
