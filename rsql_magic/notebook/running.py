"""Running the code of an answer, for ``%%ask --run``."""

from __future__ import annotations

import sys
from base64 import b64encode
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rsql_magic.display import checked_output
from rsql_magic.errors import BadInput, CodeFailed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from IPython.core.interactiveshell import InteractiveShell

    from rsql_magic.answers import Answer
    from rsql_magic.assistant import Assistant
    from rsql_magic.display import Screen


def run_code(
    answer: Answer, lang: str, shell: InteractiveShell, assistant: Assistant, screen: Screen, *, agreed: bool = False
) -> None:
    """Run the one block of code of an answer, where it is proven to do nothing beyond computing.

    Args:
        answer: The answer that holds the block.
        lang: The language asked for; ``auto`` takes a block in any.
        shell: The notebook's own, in which Python runs.
        assistant: The one that answered.
        screen: Where the output is shown.
        agreed: Whether the person agreed beforehand to whatever the code does, by ``--agree``.

    Raises:
        BadInput: There is not exactly one block, or it would do something that was not agreed to.
        CodeFailed: It does not parse, or raised an error.
    """
    languages = {"python", "r", "sql"} if lang == "auto" else {lang}
    blocks = [block for block in answer.blocks if block.language in languages]
    if len(blocks) != 1:
        there = "no code" if not blocks else f"{len(blocks)} blocks of code"
        hint = "Copy what you want to run." if blocks else "Ask for code, or leave --run out."
        raise BadInput(f"The answer holds {there} to run; --run runs the one block there is.", hint=hint)
    if answer.problems:
        raise CodeFailed(" ".join(answer.problems), hint="Nothing was run.")
    block = blocks[0]
    if block.language != "sql" and not agreed:  # SQL is held to the guard
        source = f"%%R\n{block.code}" if block.language == "r" else block.code
        if effects := assistant.proposals.effects(source, shell.user_ns):
            hint = "Nothing was run. Look at it and run it as a cell (--insert), or agree to whatever it does: --agree."
            raise BadInput(f"The code {'; '.join(map(str, effects))}.", hint=hint)
    if block.language == "python":
        _run_python(block.code, shell, screen)
    elif block.language == "r":
        _run_r(block.code, screen)
    else:
        _run_sql(block.code, shell, assistant)


# What it displays is shown as that of cells that *Do* runs: nothing in it acts in the notebook's page.
def _run_python(code: str, shell: InteractiveShell, screen: Screen) -> None:
    with _displays(shell) as made:
        done = shell.run_cell(code, store_history=False)  # type: ignore[no-untyped-call]
    for output in made:
        screen.also(checked_output(output["data"], output.get("metadata") or {}).data)
    error = done.error_before_exec or done.error_in_exec
    if error is not None:
        raise CodeFailed(f"The code raised {type(error).__name__}.", hint="%ask explains it.") from error


# What is displayed in a shell, in place of being shown; IPython's own `capture_output` takes the process's one shell.
@contextmanager
def _displays(shell: InteractiveShell) -> Iterator[list[dict[str, Any]]]:
    from IPython.core.displayhook import CapturingDisplayHook
    from IPython.core.displaypub import CapturingDisplayPublisher

    own = shell.display_pub, sys.displayhook, shell.display_trap.hook
    shell.display_pub = publisher = CapturingDisplayPublisher()  # type: ignore[no-untyped-call]
    hook = CapturingDisplayHook(shell=shell, outputs=publisher.outputs)  # type: ignore[no-untyped-call]
    sys.displayhook = shell.display_trap.hook = hook
    try:
        yield publisher.outputs
    finally:
        shell.display_pub, sys.displayhook, shell.display_trap.hook = own


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
    rows = engine.run(code, max_rows=settings.max_rows, timeout=settings.query_timeout)
    display(rows.df)  # type: ignore[no-untyped-call]
    for remark in rows.remarks:
        print(remark)  # noqa: T201 - below the rows, as a cell's own output
