"""How far runs of notebooks are: a bar in a terminal, and a line for each piece of news elsewhere."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rsql_magic.cli.notebook_runs import NotebookRun

_WIDEST = 60  # characters of a reason


@contextmanager
def progress(runs: Sequence[NotebookRun], spent: Callable[[], str], err: IO[str] | None = None) -> Iterator[Any]:
    """Gives what shows how far the runs are when it is called; ``spent`` says what they have cost so far."""
    err = err or sys.stderr
    if err.isatty() and os.environ.get("TERM") not in {"dumb", None, ""}:
        with _Bars(runs, spent, err) as bars:
            yield bars
    else:
        yield _Lines(runs, spent, err)


class _Bars:
    """A bar for all cells, one for each notebook that runs, and below them what these wait for."""

    def __init__(self, runs: Sequence[NotebookRun], spent: Callable[[], str], err: IO[str]) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._runs, self._spent = runs, spent
        console = Console(file=err, highlight=False)
        name, note = (TextColumn(f"{{task.{of}}}", markup=False) for of in ("description", "fields[note]"))
        columns = (name, BarColumn(20), MofNCompleteColumn(), TextColumn("cells"), TimeRemainingColumn(), note)
        self._bars = Progress(*columns, console=console)
        self._all = self._bars.add_task("", total=sum(each.plan.cells for each in runs), note="")
        self._tasks: dict[str, Any] = {}
        self._live = Live(get_renderable=self._drawing, console=console, transient=True, refresh_per_second=4)

    def __enter__(self) -> _Bars:
        self()
        self._live.start(refresh=True)
        return self

    def __exit__(self, *_: object) -> None:
        self()
        self._live.stop()

    def __call__(self) -> None:
        """Take over how far it is now; it is drawn four times a second."""
        over = sum(each.over for each in self._runs)
        # What has ended counts as a whole, so that the time left is that of the others.
        done = sum(each.plan.cells if each.over else each.done for each in self._runs)
        which = f"{over} of {len(self._runs)} notebooks"
        self._bars.update(self._all, completed=done, description=which, note=self._spent())
        for each in self._runs:
            name = each.plan.name
            if each.state == "running":
                if name not in self._tasks:
                    self._tasks[name] = self._bars.add_task(f"  {name}", total=each.plan.cells, note="")
                self._bars.update(self._tasks[name], completed=each.done)
            elif name in self._tasks:
                self._bars.remove_task(self._tasks.pop(name))

    def _drawing(self) -> Any:
        from rich.console import Group
        from rich.text import Text

        waits = [f"  {each.plan.name}: {each.waits}" for each in self._runs if each.state == "running" and each.waits]
        return Group(self._bars, *(Text(line, "yellow", no_wrap=True, overflow="ellipsis") for line in waits))


@dataclass
class _Lines:
    """A line when a run begins, waits for something else, or ends; for a single run only when it waits."""

    runs: Sequence[NotebookRun]
    spent: Callable[[], str]
    err: IO[str]
    _told: dict[str, tuple[str, str]] = field(default_factory=dict)

    def __call__(self) -> None:
        for number, each in enumerate(self.runs, 1):
            state, waits = self._told.get(each.plan.name, ("planned", ""))
            if each.state != state and len(self.runs) > 1:
                self._say(number, each, _ended(each, self.spent()) if each.over else "begins")
            if (now := _reason_of(each.waits)) and now != waits:
                self._say(number, each, _short(each.waits))
            self._told[each.plan.name] = (each.state, now or waits)

    def _say(self, number: int, run: NotebookRun, words: str) -> None:
        self.err.write(f"[{number}/{len(self.runs)}] {run.plan.name}: {words}\n")
        self.err.flush()


# What a run waits for, without how long: that changes with each attempt.
def _reason_of(waits: str) -> str:
    return waits.partition(": ")[2] or waits


def _short(words: str) -> str:
    return words if len(words) <= 2 * _WIDEST else f"{words[: 2 * _WIDEST - 1]}…"


def _ended(run: NotebookRun, spent: str) -> str:
    took = f" in {run.seconds:.1f} s" if run.seconds else ""
    why = f": {run.reason}" if run.reason else ""
    return f"{run.state}{took}{why}{f' · {spent} in all' if spent else ''}"
