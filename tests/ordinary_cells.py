"""Ordinary cells: examples that installed packages give in their own documentation, drawn by a seed when needed.

`python ordinary_cells.py [python|r]` prints which share of them asks by `effects_of`, and what it asks about most.
"""

from __future__ import annotations

import argparse
import collections
import doctest
import functools
import importlib
import inspect
import json
import pkgutil
import random
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rsql_magic.agent import SessionNames

IMPORTS = {
    "pandas": "import pandas as pd",
    "polars": "import polars as pl",
    "numpy": "import numpy as np",
    "matplotlib": "import matplotlib.pyplot as plt",
    "seaborn": "import seaborn as sns",
    "altair": "import altair as alt",
    "sklearn": "",
    "statsmodels": "import statsmodels.api as sm",
}
_USES = {"pd": "import pandas as pd", "np": "import numpy as np", "plt": "import matplotlib.pyplot as plt"}
_TRIED_ELSEWHERE = re.compile(
    r"\.(?:tests?|testing|_testing|conftest|_libs|compat|externals|cbook|sphinxext|f2py|distutils)(?:\.|$)|_test$|^numpy\.(?:core|_core\.tests)"
)
R_PACKAGES = ("dplyr", "tidyr", "ggplot2", "data.table", "stats")
FEWEST = {"python": 300, "r": 100}
DRAWN = {"python": 480, "r": 160}
"""How many are drawn, so that there are enough when those that act or fail are left out."""
MOST_THAT_ASK = {"python": 0.14, "r": 0.11}
"""The share that may ask: today's, so that it does not grow. Wanted is 0.10."""


def documented(package: str) -> Iterator[tuple[str, str]]:
    """The names of what a package documents with examples, and its docstring; nothing is called."""
    seen: set[str] = set()
    for module in _modules(package):
        for name, held in sorted(vars(module).items()):
            if name.startswith("_") or not (inspect.isclass(held) or callable(held)):
                continue
            if not str(getattr(held, "__module__", "")).startswith(package):
                continue
            members = [("", held)]
            if inspect.isclass(held):
                members += [(f".{key}", value) for key, value in sorted(vars(held).items()) if not key.startswith("_")]
            for key, value in members:
                text = getattr(value, "__doc__", None)
                if isinstance(text, str) and text not in seen and ((">>> " in text) or "\n::" in text):
                    seen.add(text)
                    yield f"{module.__name__}.{name}{key}", text


def _modules(package: str) -> Iterator[object]:
    try:
        top = importlib.import_module(package)
    except ImportError:
        return
    yield top
    for info in pkgutil.walk_packages(top.__path__, f"{package}.", onerror=lambda _: None):
        if _TRIED_ELSEWHERE.search(info.name) or "._" in info.name:
            continue
        try:
            yield importlib.import_module(info.name)
        except BaseException:
            continue


def examples(package: str) -> list[str]:
    """Every cell that the examples of a package make, one for each docstring, with the imports that it needs."""
    cells = []
    for _, text in documented(package):
        try:
            parsed = doctest.DocTestParser().get_examples(text)
        except ValueError:
            continue
        wanted = [each for each in parsed if doctest.SKIP not in each.options and "Error" not in (each.exc_msg or "")]
        code = "".join(each.source for each in wanted)
        if not wanted or len(code) > 3000:
            continue
        lines = [IMPORTS[package]] if IMPORTS[package] else []
        lines += [line for name, line in _USES.items() if re.search(rf"\b{name}\.", code)]
        lines = [line for line in dict.fromkeys(lines) if line not in code]
        cells.append("\n".join([*lines, code.rstrip()]))
    return cells


def python_cells(count: int, seed: int = 0) -> list[str]:
    """Cells drawn from the examples of all packages, as many of each as there are, up to the same share."""
    return drawn({package: examples(package) for package in IMPORTS}, count, seed)


def r_cells(count: int, seed: int = 0) -> list[str]:
    """Cells drawn from the examples in the help of R's packages."""
    return drawn(r_examples(), count, seed)


def drawn(cells: dict[str, list[str]], count: int, seed: int) -> list[str]:
    """Cells drawn by a seed, from each package in turn."""
    chance = random.Random(seed)
    left = {package: chance.sample(each, len(each)) for package, each in cells.items() if each}
    taken: list[str] = []
    while len(taken) < count and left:
        for package in list(left):
            if len(taken) < count:
                taken.append(left[package].pop())
            if not left[package]:
                del left[package]
    return taken


def r_examples(packages: Iterable[str] = R_PACKAGES) -> dict[str, list[str]]:
    """The examples of each R package that is installed, one cell a help page."""
    if shutil.which("Rscript") is None:
        return {}
    program = r"""
    args <- commandArgs(TRUE)
    for (package in args) {
      if (!nzchar(system.file(package = package))) next
      pages <- tools::Rd_db(package)
      for (page in names(pages)) {
        lines <- character()
        out <- textConnection("lines", "w", local = TRUE)
        try(tools::Rd2ex(pages[[page]], out, commentDontrun = TRUE, commentDonttest = TRUE), silent = TRUE)
        close(out)
        if (length(lines)) {
          cat("\n#@@", package, page, "\n")
          cat(enc2utf8(lines), sep = "\n")
        }
      }
    }
    """
    done = subprocess.run(
        ["Rscript", "--vanilla", "-e", program, *packages], capture_output=True, text=True, check=True
    )
    cells: dict[str, list[str]] = {}
    for part in done.stdout.split("\n#@@ ")[1:]:
        head, _, text = part.partition("\n")
        package = head.split()[0]
        lines = [line for line in text.splitlines() if not line.startswith(("##D", "###", "## Not run", "## End(Not"))]
        code = re.sub(r"(?m)^\s*#.*\n?", "", "\n".join(lines)).strip()
        if code and len(code) < 3000:
            load = "" if package == "stats" or f"library({package}" in code else f"library({package})\n"
            cells.setdefault(package, []).append(load + code)
    return cells


HARMLESS_KINDS = {"page"}
"""What a cell shows is not an effect here: outputs of cells are cleaned before they are shown."""


def corpus(cells: list[str], language: str, *, modules: Sequence[str] | None = None) -> list[str]:
    """Those of the cells that came to their end and that the monitor saw without an effect."""
    from effects_monitor import watch

    seen = watch(cells, language, modules=modules)
    return [each.code for each in seen if each.ended and not each.error and not each.kinds - HARMLESS_KINDS]


def whole_corpus(language: str, count: int | None = None, seed: int = 0) -> list[str]:
    """Ordinary cells of all packages; ``count`` is how many are drawn before those that act or fail are left out."""
    count = count or DRAWN[language]
    cells = python_cells(count, seed) if language == "python" else r_cells(count, seed)
    left = corpus(cells, language)
    print(f"{language}: {len(cells)} drawn, {len(left)} came to their end without an effect", file=sys.stderr)
    return left


@functools.cache
def r_session() -> SessionNames:
    """What a session tells of R: the packages that are installed."""
    from rsql_magic.agent import SessionNames

    program = 'cat(list.files(.libPaths()), sep = "\\n")'
    done = subprocess.run(["Rscript", "--vanilla", "-e", program], capture_output=True, text=True, check=True)
    return SessionNames(r_libraries=frozenset(done.stdout.split()))


def asks(code: str, language: str) -> list[str]:
    """What `effects_of` would ask about."""
    from rsql_magic.agent import effects_of

    if language == "python":
        return [str(each) for each in effects_of(code)]
    return [str(each) for each in effects_of(f"%%R\n{code}", r_session())]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("language", nargs="*", default=["python", "r"])
    parser.add_argument("--cells", type=int, help="how many are drawn")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="where the corpus is kept between runs, to be quick: FOLDER")
    parser.add_argument("--show", action="store_true", help="print each cell that asks")
    options = parser.parse_args()
    for language in options.language:
        cells = _corpus(options, language)
        began = time.perf_counter()
        asking = {code: found for code in cells if (found := asks(code, language))}
        spent = (time.perf_counter() - began) / max(1, len(cells))
        print(
            f"{language}: {len(asking)} of {len(cells)} ordinary cells ask ({len(asking) / max(1, len(cells)):.1%}), "
            f"{spent * 1000:.1f} ms a cell"
        )
        only = collections.Counter(found[0] for found in asking.values() if len(found) == 1)
        all_of_them = collections.Counter(each for found in asking.values() for each in set(found))
        print("  the commonest reasons (cells with it; those with no other):")
        for reason, count in all_of_them.most_common(40):
            print(f"  {count:4} {only[reason]:4}  {reason}")
        for code, found in asking.items() if options.show else ():
            print(f"\n--- {found}\n{code}")


def _corpus(options: argparse.Namespace, language: str) -> list[str]:
    kept = options.keep and options.keep / f"{language}-{options.seed}-{options.cells}.json"
    if kept and kept.exists():
        return json.loads(kept.read_text())
    cells = whole_corpus(language, options.cells, options.seed)
    if kept:
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(cells))
    return cells


if __name__ == "__main__":
    main()
