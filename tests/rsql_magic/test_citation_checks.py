"""Citations are marked where the passage has other units, says the contrary or nothing of it; others are not."""

from __future__ import annotations

import io
from itertools import product

import pytest

from rsql_magic.answers.citations import check_citations
from rsql_magic.display import CellOutput, TerminalScreen
from rsql_magic.knowledge import Passage

AMOUNTS = [("24 hours", ["24 h", "24 hrs"], ["24 days", "24 minutes"]), ("5 mg", ["5 milligrams"], ["5 g", "5 kg"])]
AMOUNTS += [("30 %", ["30%", "30 percent"], ["30 days", "30 euros"]), ("$40", ["40 dollars"], ["€40", "40 cents"])]
SENTENCES = ["Samples are kept for {} in the cold room", "The dose that the lab prepares is {} for each sample"]
DENIED = [
    ("Coats are worn in the cold room", "Coats are not worn in the cold room"),
    ("Visitors may enter the cold room alone", "Visitors may never enter the cold room alone"),
    ("Samples are opened without gloves", "Samples are opened with gloves"),
    ("Food is kept in the cold room", "Food isn't kept in the cold room"),
    ("Die Proben werden im Kühlraum gelagert", "Die Proben werden nicht im Kühlraum gelagert"),
]
OTHER = "Doors close at night."


def marked(said, passage):
    return bool(check_citations(f"{said} [1].", [Passage("lab.md", (), 3, 3, f"{passage}. {OTHER}")]).wrong)


@pytest.mark.parametrize("sentence", SENTENCES)
def test_other_units_are_marked_and_other_names_of_them_are_not(sentence):
    for amount, same, others in AMOUNTS:
        for other in (amount, *same):
            assert not marked(sentence.format(other), sentence.format(amount)), other
            assert not marked(sentence.format(amount), sentence.format(other)), other
        for other in others:
            assert marked(sentence.format(other), sentence.format(amount)), other
            assert marked(sentence.format(amount), sentence.format(other)), other


def test_the_contrary_is_marked_and_the_same_is_not():
    for yes, no in DENIED:
        assert marked(yes, no)
        assert marked(no, yes)
        assert not marked(yes, yes)
        assert not marked(no, no)


@pytest.mark.parametrize(
    ("said", "passage"),
    [
        ("Samples are kept for 24 months, not for years", "Samples are kept in the cold room for 24 months"),
        ("Glass goes into the yellow bin", "Broken glass goes into the yellow bin, never into the paper bin"),
        ("Glass goes into the yellow bin, not the paper bin", "Broken glass goes into the yellow bin"),
    ],
)
def test_what_is_denied_of_something_else_is_no_contrary(said, passage):
    assert not marked(said, passage)


def test_what_a_passage_says_nothing_of_is_marked():
    for (yes, _), other in product(DENIED[:4], ["Invoices are paid by the end of the month"]):
        assert marked(yes, other)


def test_a_terminal_shows_what_is_wrong_below_words_that_were_printed():
    said = "Samples are kept for 24 days [1]."
    cited = check_citations(said, [Passage("lab.md", (), 3, 3, "Samples are kept for 24 hours.")])
    out = io.StringIO()
    screen = TerminalScreen(out=out, err=io.StringIO())
    screen.write(said)
    screen.show(CellOutput(plain="\n\n".join([cited.text, f"⚠ {cited.wrong[0]}", "[1] lab.md:3"])))
    assert cited.text == "Samples are kept for 24 days [1?]."
    assert out.getvalue().startswith(f"{said}\n⚠ lab.md:3 does not say")
    assert out.getvalue().count("Samples") == 2  # printed, and in the warning
