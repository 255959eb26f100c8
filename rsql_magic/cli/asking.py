"""``rsql ask`` and ``rsql sql``."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from rsql_magic.ask import NotebookSnapshot
from rsql_magic.cli import rstudio
from rsql_magic.cli.rendering import screen_for
from rsql_magic.context import Piece
from rsql_magic.display import TerminalScreen
from rsql_magic.errors import BadInput
from rsql_magic.plain_text import printable
from rsql_magic.text2sql import given

if TYPE_CHECKING:
    import argparse

    from rsql_magic.assistant import Assistant


def ask(assistant: Assistant, options: argparse.Namespace) -> None:
    """Answer a question, with what was piped in, and with R's packages in a terminal of RStudio."""
    in_rstudio = rstudio.noticed(os.environ) and not options.no_r
    text = " ".join(options.question)
    attached = []
    if in_rstudio and (session := rstudio.session(os.environ, text)):
        attached.append(Piece("session", "RStudio", session))
    if piped := _piped(assistant.settings.max_question_chars + 1):
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
    answer = assistant.ask(question, snapshot, screen=screen_for(question.format))
    if answer.ended_by:
        raise answer.ended_by


def _piped(most: int) -> str:
    """What was piped in, as far as a question may be long; nothing at a keyboard."""
    text = "" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.read(most)
    return text if text.strip() else ""


def sql(assistant: Assistant, options: argparse.Namespace) -> None:
    """Answer a question by a query over a database."""
    query = assistant.query_options(**{**given(options), "run": not options.no_run})
    question = " ".join(options.question)
    refuse_no_database(assistant, options.on, "rsql sql --help")
    assistant.sql_ai(question, options.on, snapshot=NotebookSnapshot(), options=query, screen=TerminalScreen())


def refuse_no_database(assistant: Assistant, target: str, where: str) -> None:
    """Refuse what is neither the URL of a database nor its file."""
    if not assistant.connections.takes(target, {}):
        raise BadInput(f"{target!r} is neither a URL nor a DuckDB or SQLite file that exists.", hint=f"{where}.")
