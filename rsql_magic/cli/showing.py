"""Reports on a terminal: ``rsql status``, ``stats``, ``models``, ``doctor``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rsql_magic import reports
from rsql_magic.display import TerminalScreen
from rsql_magic.errors import BadInput

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from rsql_magic.assistant import Assistant
    from rsql_magic.display import CellOutput


def report(made: Callable[[Assistant], CellOutput]) -> Callable[[Assistant, argparse.Namespace], None]:
    """A command that shows a report."""
    return lambda assistant, _: TerminalScreen().show(made(assistant))


def doctor(assistant: Assistant, _: argparse.Namespace) -> None:
    """Look at everything a question needs.

    Raises:
        BadInput: Something is not as it should be.
    """
    findings = reports.doctor(assistant)
    TerminalScreen().show(reports.examined(findings))
    wrong = [finding.what for finding in findings if finding.well is False]
    if wrong:
        raise BadInput(f"Not as it should be: {', '.join(wrong)}.", hint="See 'to do' above.")
