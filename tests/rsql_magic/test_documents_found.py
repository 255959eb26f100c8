"""R's help pages as documents: questions in users' words find their pages, and other questions do not."""

# The questions were written before anything was tuned, and weights and words were chosen by those of the even lines
# alone. Without R there is nothing to look into.

from __future__ import annotations

from pathlib import Path

import pytest

from rsql_magic.knowledge import Library
from rsql_magic.knowledge.documents.library import FITS
from rsql_magic.knowledge.documents.rd import installed_help

pytestmark = pytest.mark.slow
CASES = Path(__file__).parent / "document_cases"
PACKAGES = ("base", "stats", "graphics", "utils")


def library_of(folder, packages):
    """A library of help pages, and their names by all that they are an alias of."""
    library = Library(folder / "documents.db")
    library.add([f"r:{package}" for package in packages])
    pages = [page for package in packages for page in installed_help(package) if not isinstance(page, int)]
    return library, {f"{one.package}::{alias}": f"{one.package}::{one.name}" for one in pages for alias in one.aliases}


@pytest.fixture(scope="module")
def help_pages(real_r, tmp_path_factory):
    """All pages of R's own packages."""
    return library_of(tmp_path_factory.mktemp("help"), PACKAGES)


def cases():
    lines = (CASES / "r_questions.tsv").read_text(encoding="utf-8").splitlines()
    return [tuple(line.split("\t")) for line in lines]


def first_documents(library, question, most=5):
    found = library.search(question, most=2 * most)
    return list(dict.fromkeys(each.document for each in found.passages))[:most]


def test_questions_find_their_page_in_two_packages(real_r, tmp_path):
    library, pages = library_of(tmp_path, ("graphics", "utils"))
    asked = [(topic, question) for topic, question in cases() if topic in pages]
    hits = [pages[topic] in first_documents(library, question) for topic, question in asked]
    assert len(hits) > 30
    assert sum(hits) >= 0.9 * len(hits)


@pytest.mark.sweep
def test_nine_of_ten_questions_find_their_page_among_the_first_five(help_pages):
    library, pages = help_pages
    hits = [pages[topic] in first_documents(library, question) for topic, question in cases()]
    held_out = hits[1::2]
    print(f"recall@5 {sum(hits) / len(hits):.3f}, of those held out {sum(held_out) / len(held_out):.3f}")
    assert len(hits) == 200
    assert sum(hits) >= 0.9 * len(hits)
    assert sum(held_out) >= 0.87 * len(held_out)


@pytest.mark.sweep
def test_few_questions_about_data_or_the_world_fit_the_pages_by_themselves(help_pages):
    library, _ = help_pages
    others = (CASES / "data_questions.txt").read_text(encoding="utf-8").splitlines()
    wrong = [question for question in others if library.search(question, most=8).fits]
    right = sum(library.search(question, most=8).fits for _, question in cases())
    print(f"fit >= {FITS}: {len(wrong)} of {len(others)} other questions, {right} of 200 of the pages")
    assert len(wrong) <= 0.05 * len(others), wrong
    assert right >= 0.6 * 200
