"""The examples in the docstrings are true."""

from __future__ import annotations

import doctest
from importlib import import_module

import pytest

MODULES = [
    *("answers", "batch", "charts", "chat", "client", "config", "connect", "display", "drafts", "interpolate"),
    *("columns_used", "literals", "reports", "results", "sql_writer", "study", "study.proving", "study.sheet"),
    *("gateway_figures", "table_text"),
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    found = doctest.testmod(import_module(f"rsql_magic.{name}"))
    assert found.failed == 0
