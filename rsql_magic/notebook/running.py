"""Running the code of an answer, for ``%%ask --run``."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING

from rsql_magic.errors import BadInput, CodeFailed

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from rsql_magic.answers import Answer
    from rsql_magic.assistant import Assistant
    from rsql_magic.display import Screen


def run_code(answer: Answer, lang: str, shell: InteractiveShell, assistant: Assistant, screen: Screen) -> None:
    """Run the one block of code of an answer that is in the language asked for, or in any for ``auto``."""
    languages = {"python", "r", "sql"} if lang == "auto" else {lang}
    blocks = [block for block in answer.blocks if block.language in languages]
    if len(blocks) != 1:
        there = "no code" if not blocks else f"{len(blocks)} blocks of code"
        hint = "Copy what you want to run." if blocks else "Ask for code, or leave --run out."
        raise BadInput(f"The answer holds {there} to run; --run runs the one block there is.", hint=hint)
    if answer.problems:
        raise CodeFailed(" ".join(answer.problems), hint="Nothing was run.")
    if (block := blocks[0]).language == "python":
        _run_python(block.code, shell)
    elif block.language == "r":
        _run_r(block.code, screen)
    else:
        _run_sql(block.code, shell, assistant)


def _run_python(code: str, shell: InteractiveShell) -> None:
    done = shell.run_cell(code, store_history=False)  # type: ignore[no-untyped-call]
    error = done.error_before_exec or done.error_in_exec
    if error is not None:
        raise CodeFailed(f"The code raised {type(error).__name__}.", hint="%ask explains it.") from error


def _run_r(code: str, screen: Screen) -> None:
    from rsql_magic.context import r

    if (done := r.run_r(code)).output or done.warnings:
        screen.say("\n".join([done.output.rstrip("\n"), *(f"Warning: {text}" for text in done.warnings)]).strip("\n"))
    for plot in done.plots:
        screen.also({"image/png": b64encode(plot).decode("ascii"), "text/plain": "<a plot>"})
    if done.error:
        raise CodeFailed(f"R stopped: {done.error.strip()}", hint="%ask explains it.")


def _run_sql(code: str, shell: InteractiveShell, assistant: Assistant) -> None:
    from IPython.display import display

    engine, _ = assistant.connections.engine("", shell.user_ns)
    settings = assistant.settings
    display(engine.run(code, max_rows=settings.max_rows, timeout=settings.query_timeout).df)  # type: ignore[no-untyped-call]
