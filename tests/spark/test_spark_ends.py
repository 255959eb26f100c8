"""A classic session that dies: stopped, or its Java process killed. It comes last, as the others share the session."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.spark
SCRIPT = """
import sys
sys.path[:0] = [{here!r}, {tests!r}]
import conftest
from rsql_magic.databases import open_engine
from rsql_magic.errors import ConnectionProblem

with conftest.driver({folder!r}, conftest.free_port(), "local[1]") as session:
    engine = open_engine(session)
    assert engine.run("SELECT 1 AS one").df["one"].tolist() == [1]
    {end}
    for ask in (lambda: engine.catalog(sure=True), lambda: engine.run("SELECT 1 AS one")):
        try:
            ask()
        except ConnectionProblem as problem:
            print(problem)
    session.stop = lambda: None
"""
ENDS = {"stopped": "session.stop()", "killed": "session.sparkContext._gateway.proc.kill()"}


@pytest.mark.parametrize("end", ENDS)
def test_a_classic_session_that_ended_is_one_sentence(end, tmp_path):
    here = __file__.rpartition("/")[0]
    script = SCRIPT.format(here=here, tests=here.rpartition("/")[0], folder=str(tmp_path), end=ENDS[end])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, timeout=500, check=False
    )
    sentence = "The Spark session has ended. Start it again (SparkSession.builder.getOrCreate()) and pass that one.\n"
    assert done.stdout.endswith(2 * sentence), done.stdout + done.stderr
