"""A shell to type into."""

from __future__ import annotations

import atexit
from contextlib import contextmanager

from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config


class Shell(InteractiveShell):
    """A shell whose ``run`` gives back the result, or raises what the cell raised."""

    def run(self, cell):
        done = self.run_cell(cell, store_history=True)
        done.raise_error()
        return done.result


@contextmanager
def new_shell():
    """A shell without our magics."""
    config = Config()
    config.HistoryManager.enabled = False
    shell = Shell(config=config)
    try:
        yield shell
    finally:
        shell.history_manager.end_session()
        atexit.unregister(
            shell.atexit_operations
        )  # or each shell of all tests collects garbage at the end, for minutes
        Shell.clear_instance()
