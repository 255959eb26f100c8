"""What the last run of the tests tells, from the file that ``pytest --junitxml`` wrote.

    python scripts/test_report.py again build/tests.xml      # run the few that failed once more, by themselves
    python scripts/test_report.py times build/tests.xml      # tests/times.txt: which tests make test leaves out

``again``: on two busy processors one of thousands of tests may run out of time while it waits for another program, and
running it alone tells that from a fault. A test that passes then is named as flaky, below its first failure, and is to
be mended; more than a few failures are no coincidence, and none is run again.

``times``: the seconds and cases of each test that takes long, by which ``tests/conftest.py`` knows what ``make test``
leaves to ``make test-all``. It is written after a run of all tests on a machine with nothing else to do.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path
from xml.etree import ElementTree as ET

MOST_AGAIN = 3
LEAST_SECONDS = 1.0  # of all cases of a test that is written down
TIMES = Path(__file__).parent.parent / "tests" / "times.txt"
_HEAD = "# Seconds and cases of tests, written by scripts/test_report.py times; see tests/conftest.py\n"


def node_id(case: ET.Element) -> str:
    """The name by which pytest knows a test, from a ``testcase`` with its module and class as one dotted name.

    Example:
        >>> node_id(ET.fromstring('<testcase classname="tests.test_a.TestB" name="test_c[1]" />'))
        'tests/test_a.py::TestB::test_c[1]'
    """
    parts = case.attrib["classname"].split(".")
    modules = [part for part in parts if not part[0].isupper()]
    return "::".join(["/".join(modules) + ".py", *parts[len(modules) :], case.attrib["name"]])


def again(report: Path) -> int:
    """Run what failed again.

    Returns:
        0 where all pass by themselves, else 1.
    """
    cases = ET.parse(report).iter("testcase") if report.exists() else ()
    failed = sorted({node_id(case) for case in cases if {"failure", "error"} & {each.tag for each in case}})
    if not 0 < len(failed) <= MOST_AGAIN:
        print(f"{len(failed)} tests failed: only 1 to {MOST_AGAIN} are run again.")
        return 1
    print(f"Running again, by themselves: {', '.join(failed)}", flush=True)
    if subprocess.run([sys.executable, "-m", "pytest", "-q", "-n", "0", *failed], check=False).returncode:
        return 1
    for test in failed:
        print(f"FLAKY: {test} failed beside other tests and passes by itself")
    return 0


def times(report: Path) -> int:
    """Write down how long tests take, all cases of each together.

    Returns:
        0.
    """
    seconds, cases = defaultdict[str, float](float), Counter[str]()
    for case in ET.parse(report).iter("testcase"):
        function = node_id(case).partition("[")[0]
        seconds[function] += float(case.attrib["time"])
        cases[function] += 1
    rows = [f"{took:.1f} {cases[name]} {name}\n" for name, took in sorted(seconds.items()) if took >= LEAST_SECONDS]
    TIMES.write_text("".join([_HEAD, *rows]), encoding="utf-8")
    print(f"{TIMES.name}: {len(rows)} of {len(seconds)} tests take {LEAST_SECONDS} s or more")
    return 0


if __name__ == "__main__":
    sys.exit({"again": again, "times": times}[sys.argv[1]](Path(sys.argv[2])))
