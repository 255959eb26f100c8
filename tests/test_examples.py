"""The examples in the docstrings are true: those of every module of both packages."""

from __future__ import annotations

import doctest
import pkgutil
from importlib import import_module

import pytest

MODULES = [
    module.name
    for package in ("rsql_magic", "jupyter_server_ext")
    for module in pkgutil.walk_packages(import_module(package).__path__, f"{package}.")
    if not module.name.endswith(("__main__", "migrations.env"))
]


OF_R = "rsql_magic.context.r"
OF_PROGRAMS = "rsql_magic.answers.study.proving"


@pytest.mark.spine
@pytest.mark.parametrize("name", [name for name in MODULES if name not in {OF_R, OF_PROGRAMS}])
def test_examples(name):
    assert doctest.testmod(import_module(name), optionflags=doctest.ELLIPSIS).failed == 0


def test_examples_of_r(real_r):
    test_examples(OF_R)


def test_examples_of_programs(programs):
    test_examples(OF_PROGRAMS)
