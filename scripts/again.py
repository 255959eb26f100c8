"""Run the few tests that failed beside others once more, by themselves, and name those that pass then.

    python scripts/again.py build/tests.xml    # what pytest --junitxml wrote; exits with 1 unless each of them passes

On two busy processors one of thousands of tests may run out of time while it waits for another program. Running it
alone tells that from a fault. A test that passes then is named as flaky, below its first failure, and is to be mended;
more than a few failures are no coincidence, and none is run again.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

MOST = 3


def failed_tests(report: Path) -> list[str]:
    """The node ids of tests that failed or could not be set up.

    Args:
        report: A file in JUnit's format.
    """
    cases = ET.parse(report).iter("testcase")
    failed = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    return sorted({f"{case.attrib['classname'].replace('.', '/')}.py::{case.attrib['name']}" for case in failed})


def main(report: Path) -> int:
    """Run them again.

    Returns:
        0 where all pass by themselves, else 1.
    """
    failed = failed_tests(report) if report.exists() else []
    if not 0 < len(failed) <= MOST:
        print(f"{len(failed)} tests failed: only 1 to {MOST} are run again.")
        return 1
    print(f"Running again, by themselves: {', '.join(failed)}", flush=True)
    if subprocess.run([sys.executable, "-m", "pytest", "-q", "-n", "0", *failed], check=False).returncode:
        return 1
    for test in failed:
        print(f"FLAKY: {test} failed beside other tests and passes by itself")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
