"""The examples in the docstrings are true: those of every module of both packages."""

from __future__ import annotations

import builtins
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


@pytest.fixture(autouse=True)
def _last_value_forgotten():
    """Examples leave their last value as a builtin ``_``, and a shell of IPython then keeps none of its own."""
    yield
    vars(builtins).pop("_", None)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    assert doctest.testmod(import_module(name), optionflags=doctest.ELLIPSIS).failed == 0
