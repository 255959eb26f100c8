"""What share of acting cells the net below the assistant's cells catches, with nothing else in their way.

    python -m tests.net_share            the cells of `tests/net_cells.py`, by class
    python -m tests.net_share FILE       those of a file of JSON lines (`code`, and `acted` where that was measured)

Each cell runs twice, with the net and without, in a fork of one prepared process and a folder of its own. It acts where
a file or folder appears or changes, or a server on loopback is reached. Cells name ``HIT`` and ``HITKEEP`` in their
folder, ``HITSQL`` and ``HITDUCK``, databases there, and ``{{server}}``.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

_PATIENCE = 20.0  # seconds for a cell
_REFUSED = 7


class Trials:
    """Where cells are tried; to be made before anything else has threads."""

    def __enter__(self):
        import duckdb
        import pandas as pd  # noqa: F401 - loaded before the forks
        from IPython.core.interactiveshell import InteractiveShell
        from traitlets.config import Config

        config = Config()
        config.HistoryManager.enabled = False
        self.shell = InteractiveShell(config=config)
        self.base = Path(tempfile.mkdtemp())  # what removes itself would do so in each fork
        self.server = socket.create_server(("127.0.0.1", 0))
        self.model, self.count = self.base / "model", 0
        self.model.mkdir()
        (self.model / "HITKEEP").write_text("a,b\n1,2\n")
        (self.model / "beside.py").write_text("open('HIT', 'w').close()\n")
        with contextlib.closing(sqlite3.connect(self.model / "HITSQL")) as made:
            made.executescript("CREATE TABLE b (a INTEGER); INSERT INTO b VALUES (1);")
        with duckdb.connect(self.model / "HITDUCK") as made:
            made.execute("CREATE TABLE t (a INTEGER)")
        return self

    def __exit__(self, *_):
        self.server.close()
        shutil.rmtree(self.base)

    def run(self, code, *, watched):
        """Whether a cell acts, or does not end, and whether it ends with a refusal of the net."""
        self.count += 1
        folder = self.base / str(self.count)
        shutil.copytree(self.model, folder)
        text = code.replace("http://{{server}}", "{{server}}")
        text = text.replace("{{server}}", f"http://127.0.0.1:{self.server.getsockname()[1]}")
        before = _state(folder)
        if (child := os.fork()) == 0:
            status = 0
            try:
                os.setsid()
                status = self._run(text, folder, watched=watched)
            finally:
                os._exit(status)
        is_heard_or_late = self._listen(child)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        return is_heard_or_late or _state(folder) != before, status == _REFUSED << 8

    def _listen(self, child):
        is_heard, end = False, time.monotonic() + _PATIENCE
        with os.fdopen(os.pidfd_open(child), "rb") as ended:
            while ready := select.select([self.server, ended], [], [], max(end - time.monotonic(), 0))[0]:
                if self.server not in ready:
                    break
                self.server.accept()[0].close()
                is_heard = True
        return is_heard or not ready

    def _run(self, code, folder, *, watched):
        import atexit
        import gc

        from rsql_magic.agent import ConsentNet

        null = os.open(os.devnull, os.O_RDWR)
        for standard in range(3):
            os.dup2(null, standard)
        os.chdir(folder)
        sys.path.insert(0, str(folder))
        socket.setdefaulttimeout(1)
        net = ConsentNet(self.shell)
        if watched:
            net.arm(code, ())
        error = self.shell.run_cell(code).error_in_exec
        self.shell.run_cell("1 + 1")
        self.shell.user_ns.clear()
        gc.collect()
        atexit._run_exitfuncs()
        return _REFUSED if type(error).__name__ == "NotAgreed" else 0


def caught(cells):
    """Of cells, those that act without the net, each with whether it does not with it."""
    with Trials() as trials:
        return {code: not trials.run(code, watched=True)[0] for code in cells if trials.run(code, watched=False)[0]}


def stopped(cells):
    """Of cells, those that the net stops."""
    with Trials() as trials:
        return [code for code in cells if trials.run(code, watched=True)[1]]


def _state(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in folder.rglob("*")
        if "__pycache__" not in path.parts
    }


def main():
    from tests.net_cells import CELLS

    if len(sys.argv) > 1:
        rows = [json.loads(line) for line in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()]
        cells = {"python": [row["code"] for row in rows if row["kind"] == "python" and row.get("acted", True)]}
    else:
        cells = CELLS
    kinds = {code: kind for kind, codes in cells.items() for code in codes}
    found = caught(kinds)
    counts, acted = Counter(kinds[code] for code in found if found[code]), Counter(kinds[code] for code in found)
    for kind in acted:
        print(f"{counts[kind]:3} of {acted[kind]:3} caught: {kind}")
    print(f"{counts.total()} of {acted.total()} in all")
    for code in set(kinds) - set(found):
        print(f"does not act: {code[:150]!r}")
    for code, is_caught in found.items():
        if not is_caught:
            print(f"passed ({kinds[code]}): {code[:150]!r}")


if __name__ == "__main__":
    main()
