"""The ``rsql`` command: questions and a look at the gateway from any terminal.

    rsql ask "What is a left join?"
    Rscript analysis.R 2>&1 | rsql ask "why does this fail?"
    rsql sql "How many orders per month?" --on shop.duckdb
    rsql status | usage | models | doctor | monitor

It finds the gateway as a notebook does. Exit codes: 0 an answer, 1 an error in one line, 2 a wrong command line, 130 a
stop.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from typing import TYPE_CHECKING

from rsql_magic import reports
from rsql_magic.answer_writer import Scene
from rsql_magic.assistant import Assistant
from rsql_magic.context import fence
from rsql_magic.display import TerminalScreen
from rsql_magic.errors import BadInput, RsqlError, Stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rsql_magic.display import Shown

_CLEAR = "\x1b[H\x1b[2J"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; gives its exit code.

    Args:
        argv: Arguments, by default those of the process.
    """
    options = _parser().parse_args(argv)
    if options.gateway:
        os.environ["RSQL_GATEWAY_URL"] = options.gateway
    assistant = Assistant()
    try:
        options.run(assistant, options)
    except (KeyboardInterrupt, Stopped):
        return 130
    except BrokenPipeError:  # the reader, such as head, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except RsqlError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    finally:
        assistant.close()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("rsql", description="Ask questions where your data is.")
    parser.add_argument("--gateway", metavar="URL", help="the gateway to use; its token is in RSQL_GATEWAY_TOKEN")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    ask = _command(commands, "ask", _ask, "ask a question; what is piped in goes with it")
    ask.add_argument("question", nargs="+", help="the question")
    ask.add_argument("--format", choices=("markdown", "text", "json"), default="markdown", help="how it is printed")
    sql = _command(commands, "sql", _sql, "answer a question by a checked, read-only query")
    sql.add_argument("question", nargs="+", help="the question")
    sql.add_argument("--on", metavar="DATABASE", required=True, help="a URL, or a DuckDB or SQLite file")
    sql.add_argument("--no-run", action="store_true", help="print the query without running it")
    sql.add_argument("--max-rows", type=int, metavar="N", help="most rows printed")
    for one in (ask, sql):
        one.add_argument("--model", "-m", help="the model to ask")
    _command(commands, "status", _report(reports.status), "the gateway: where it is, its keys, queue and models")
    _command(commands, "usage", _report(reports.usage), "your limits, tokens and money")
    _command(commands, "models", _report(reports.models), "the models there are")
    _command(commands, "doctor", _doctor, "look at everything a question needs")
    monitor = _command(commands, "monitor", _monitor, "the status again and again, until Ctrl-C")
    monitor.add_argument("--every", type=float, default=2.0, metavar="S", help="seconds between two looks")
    monitor.add_argument("--times", type=int, default=0, metavar="N", help="how many looks; 0 for no end")
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: Callable[[Assistant, argparse.Namespace], None],
    what: str,
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}.")
    command.set_defaults(run=run)
    return command


def _ask(assistant: Assistant, options: argparse.Namespace) -> None:
    question = " ".join(options.question)
    piped = "" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.read(assistant.settings.max_question_chars + 1)
    if piped.strip():
        question = f"{question}\n\n{fence('object', 'standard input', piped)}"
    scene = Scene()
    asked = assistant.question(question, scene, model=options.model, format=options.format)
    answer = assistant.ask(asked, scene, screen=TerminalScreen())
    if answer.ended_by:
        raise answer.ended_by


def _sql(assistant: Assistant, options: argparse.Namespace) -> None:
    wish = assistant.wish(model=options.model, run=not options.no_run, max_rows=options.max_rows)
    question = " ".join(options.question)
    if not assistant.connections.takes(options.on, {}):
        raise BadInput(
            f"{options.on!r} is neither a URL nor a DuckDB or SQLite file that exists.", hint="rsql sql --help."
        )
    assistant.sql_ai(question, options.on, scene=Scene(), wish=wish, screen=TerminalScreen())


def _report(report: Callable[[Assistant], Shown]) -> Callable[[Assistant, argparse.Namespace], None]:
    return lambda assistant, _: TerminalScreen().show(report(assistant))


def _doctor(assistant: Assistant, _: argparse.Namespace) -> None:
    findings = reports.doctor(assistant)
    TerminalScreen().show(reports.examined(findings))
    wrong = [finding for finding in findings if finding.well is False]
    if wrong:
        raise BadInput(
            f"Not as it should be: {', '.join(finding.what for finding in wrong)}.", hint="See 'to do' above."
        )


def _monitor(assistant: Assistant, options: argparse.Namespace) -> None:
    looks = 0
    while True:
        shown = reports.status(assistant)
        sys.stdout.write(_CLEAR if sys.stdout.isatty() else "")
        TerminalScreen().show(shown)
        looks += 1
        if looks == options.times:
            return
        time.sleep(options.every)
