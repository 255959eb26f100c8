"""Of a generated corpus of secrets hardly one is left by the filter, and hardly anything of ordinary text is taken."""

from __future__ import annotations

import ast
import random
import time
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from secret_corpus import WHOLE, ordinary, secrets

from rsql_magic.redaction import redact

SECRETS = {"secret", "token", "key", "password", "private key"}


def missed(seed, count):
    """The cases of which half a secret and more is left, and those that a second run changes."""
    left = []
    for case in secrets(seed, count):
        said, _ = redact(case.text)
        half = max(len(case.secret) // 2, 4)
        parts = (case.secret[at : at + half] for at in range(len(case.secret) - half + 1))
        if any(part in said for part in parts if part not in case.text.replace(case.secret, "")):
            left.append(case)
        assert redact(said)[0] == said, case
    return left


@pytest.mark.parametrize(("seed", "count"), [(101, 300), pytest.param(102, 20_000, marks=pytest.mark.sweep)])
def test_hardly_a_secret_is_left(seed, count):
    left = missed(seed, count)
    assert len(left) <= 0.01 * count, "\n".join(map(repr, left[:20]))


def test_the_corpus_has_each_notation_and_its_secrets():
    """A test that finds nothing to miss proves nothing."""
    cases = list(secrets(1, 3_000))
    assert all(case.secret in case.text for case in cases if case.kind != "pem")
    notations = Counter(case.notation for case in cases)
    assert set(WHOLE) <= set(notations)
    assert min(notations.values()) >= 3
    assert len({case.language for case in cases}) == 15


@pytest.mark.parametrize(("seed", "count"), [(201, 300), pytest.param(202, 20_000, marks=pytest.mark.sweep)])
def test_what_only_looks_like_a_secret_stays(seed, count):
    taken = [case.text for case in ordinary(seed, count) if redact(case.text)[1]]
    assert len(taken) <= 0.005 * count, taken[:20]


def public(packages, files, seed):
    """Docstrings and code, with its comments, of modules of installed packages, drawn by a seed."""
    site = Path(pd.__file__).parent.parent
    paths = sorted(path for name in packages for path in (site / name).rglob("*.py") if "tests" not in path.parts)
    for path in random.Random(seed).sample(paths, files):
        text = path.read_text(errors="replace")[:30_000]
        yield text
        for node in ast.walk(ast.parse(path.read_text(errors="replace"))):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and (said := ast.get_docstring(node)):
                yield said


@pytest.mark.parametrize("files", [3, pytest.param(300, marks=pytest.mark.sweep)])
def test_public_code_and_its_documentation_are_hardly_touched(files):
    packages = ["pandas", "polars", "numpy", "sklearn", "statsmodels", "seaborn", "altair", "scipy"]
    found: Counter[str] = Counter()
    words = 0
    for text in public(packages, files, 3):
        words += len(text.split())
        found.update(kind for kind, times in redact(text)[1].items() if kind in SECRETS for _ in range(times))
    assert words > 500 * files
    assert found.total() <= 1 + words * 10 / 100_000, found


PIECES = ["password", "pass", "_", "PASS", "：", "=", ": ", "“", "'", '"', "\\", "mysql ", " -p", "-p", "auth=('a', "]
PIECES += [
    "clave de ",
    "密码",
    "API",
    " key",
    "x",
    "\n",
    "- name: ",
    "value: ",
    "> ",
    "#",
    "{",
    ";",
    "/",
    "@",
    "Bearer ",
]
PIECES += [".", "-", "login("]


def seconds(text):
    started = time.thread_time()
    redact(text)
    return time.thread_time() - started


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_the_time_grows_with_the_text_and_not_with_its_square(seed):
    """Ten times as long a text of pieces that patterns begin with takes not a hundred times as long."""
    draw = random.Random(seed)
    for _ in range(4):
        some = draw.sample(PIECES, draw.randint(1, 4))
        short = "".join(some) * (500 // len("".join(some)))
        assert seconds(short * 8) < 30 * max(seconds(short), 0.002), some


def test_looking_around_names_finds_what_looking_everywhere_does(monkeypatch):
    """Lines of several cases together, so that names stand near and far from each other's values."""
    draw = random.Random(5)
    cases = [case.text for case in (*secrets(5, 300), *ordinary(5, 100))]
    texts = ["\n".join(draw.choices(cases, k=draw.randrange(1, 12))) for _ in range(60)]
    found = [redact(text)[0] for text in texts]
    monkeypatch.setattr("rsql_magic.redaction.filter._around_names", lambda text: [(0, len(text))])
    assert found == [redact(text)[0] for text in texts]
