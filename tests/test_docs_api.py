"""docs/api.md lists what is public, and the docs have an example of each name."""

from __future__ import annotations

import doctest
import re
import runpy
from pathlib import Path

import pytest

from rsql_magic import api

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = {name: (DOCS / f"{name}.md").read_text(encoding="utf-8") for name in ("api", "extending")}
EXAMPLES = "\n".join(block for page in PAGES.values() for block in re.findall(r"```python\n(.*?)```", page, re.S))


def test_the_page_lists_what_is_public():
    made = runpy.run_path(str(ROOT / "scripts" / "docs.py"))
    assert made["api_table"]() in PAGES["api"], "run: make docs"


def test_every_public_name_is_there_and_no_other():
    assert sorted(dir(api)) == sorted(api.__all__)
    assert len(set(api.__all__)) == len(api.__all__)
    with pytest.raises(AttributeError, match=r"docs/api\.md"):
        api.nothing  # noqa: B018


@pytest.mark.parametrize("name", api.__all__)
def test_a_public_name_has_a_docstring_and_an_example(name):
    said = getattr(api, name).__doc__ or ""
    assert said.strip()
    assert ">>>" in said or re.search(rf"\b{name}\b", EXAMPLES)


def test_the_pages_of_docs_import_what_is_public_from_there():
    imported = {
        name.strip()
        for page in DOCS.glob("*.md")
        for line in re.findall(r"from rsql_magic\.api import (.+)", page.read_text(encoding="utf-8"))
        for name in line.split(",")
    }
    assert imported <= {*api.__all__}


def test_the_examples_of_the_page_are_true():
    assert doctest.testfile(str(DOCS / "api.md"), module_relative=False, optionflags=doctest.ELLIPSIS).failed == 0
