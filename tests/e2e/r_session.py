"""R with r/rsql.R loaded: by Rscript, or one that stays, as in a terminal, and forgets what was run before."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from pathlib import Path

FILE = Path(__file__).parents[2] / "r" / "rsql.R"
SOURCE = f'suppressMessages(source("{FILE}"))\n'
END = "-- this was all --"


def with_gateway(gateway):
    """The environment of an R that is told of this gateway, or of none."""
    names = ("RSQL_GATEWAY_URL", "RSQL_GATEWAY_TOKEN")
    return {name: value for name, value in os.environ.items() if name not in names} | gateway


def rscript(code, gateway, *, wrong=False, timeout=240):
    """What an R of its own prints, or what it says of an error."""
    command = ["Rscript", "--vanilla", "-e", SOURCE + code]
    options = {"capture_output": True, "text": True, "timeout": timeout}
    done = subprocess.run(command, env=with_gateway(gateway), check=False, **options)
    assert (done.returncode != 0) == wrong, done.stderr
    return done.stderr if wrong else done.stdout


@contextmanager
def terminal(gateway, folder):
    """A function that gives what code prints; packages stay loaded, objects and conversations are forgotten."""
    with (folder / "stderr").open("w+b") as said:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": said, "text": True}
        process = subprocess.Popen(["R", "--vanilla", "--no-echo"], env=with_gateway(gateway), **pipes)

        def run(code):
            process.stdin.write(f"rm(list = ls())\n{SOURCE}{code}\ncat('\\n{END}\\n')\n")
            process.stdin.flush()
            lines = [process.stdout.readline()]
            while lines[-1] != f"{END}\n":
                assert lines[-1], Path(said.name).read_text(encoding="utf-8")
                lines.append(process.stdout.readline())
            return "".join(lines[:-1]).removesuffix("\n")

        yield run
        process.stdin.close()
        process.stdout.close()
        process.wait(60)
