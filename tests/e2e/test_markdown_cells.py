"""A model's words in cells, typed, saved and opened again in JupyterLab and Notebook 7: nothing runs or is fetched."""

from __future__ import annotations

import json
import random

import nbformat
import pytest
from e2e import panel_lab
from e2e.test_markdown_pages import SERVER, known, strange
from e2e.xss import ACTING
from markdown_replies import reply

SETUP = """\
%load_ext rsql_magic
import pandas as pd
sales = pd.DataFrame({"region": ["N", "S"], "amount": [1, 2]})


def run(cells):
    for magic, line, question in cells:
        try:
            get_ipython().run_cell_magic(magic, line, question)
        except Exception:
            get_ipython().showtraceback()
"""
SQL = "--retries 0"
CARDS = 4
WAYS = {
    "answer": ("ask", "", "{text}"),
    "sentence": ("sql_ai", SQL, "```sql\nSELECT region FROM sales\n```\n\n{text}"),
    "words": ("sql_ai", SQL, "{text}"),
    "failure": ("sql_ai", SQL, '```sql\nSELECT "{name}" FROM sales\n```'),
    "table": ("sql_ai", SQL, "```sql\nSELECT '{value}' AS \"{name}\" FROM sales\n```"),
}


def cut(text, seed):
    """A reply as it comes: in random pieces."""
    chance, pieces = random.Random(seed), []
    while text:
        size = chance.choice((1, 2, 3, 5, 8, 40, 200))
        pieces.append(text[:size])
        text = text[size:]
    return pieces


def told(provider, replies, *, each):
    """Cells that ask, each way one of the replies or all of them; what the provider answers is a hostile reply."""
    cells, sheets = [], []
    for number, text in enumerate(replies):
        for way in WAYS if each else [list(WAYS)[number % len(WAYS)]]:
            magic, line, form = WAYS[way]
            flat = text.replace("```", "'''")
            filled = form.format(text=text, name=flat.replace('"', '""'), value=flat.replace("'", "''"))
            provider.answers[f"{way}{number}"] = (cut(filled, number), 0.0)
            cells.append((magic, line, f"{way}{number}"))
    for kind, item in SHEETS.items():
        sheet = {"title": replies[0], "items": [item(text) for text in replies[-CARDS:]]}
        provider.answers[kind] = (cut(json.dumps(sheet), 1), 0.0)
        sheets.append(("ask", f"--as {kind}", kind))
    return f"run({cells!r})", f"run({sheets!r})"


SHEETS = {
    "flashcards": lambda text: {"front": text, "back": text},
    "quiz": lambda text: {"question": text, "choices": [text, f"{text} not"], "answer": 0, "explanation": text},
    "summary": lambda text: {"heading": text, "text": text},
}


SAVE = "window.jupyterapp.commands.execute('docmanager:save')"
TRUSTED = "[...window.jupyterapp.shell.currentWidget.content.model.cells].map((cell) => cell.trusted)"


def harm(page):
    """What the notebook as it is drawn lets its words do, and how many outputs it draws."""
    for cell in page.page.locator(".jp-Notebook .jp-Cell").all():
        cell.scroll_into_view_if_needed()
    page.page.wait_for_timeout(500)
    outputs = "[...document.querySelectorAll('.jp-OutputArea-output')]"
    found = page.page.evaluate(f"{outputs}.flatMap({ACTING})")
    hacked = page.page.evaluate("window.hacked ?? 0")
    return [*found, *(["a script"] * hacked), *strange(page)], page.page.evaluate(f"{outputs}.length")


def nothing_happens(town, front_end, replies, name, *, each):
    page = town.page(front_end, name, [SETUP])
    name, file = f"{name}_{front_end}", town.folder / f"{name}_{front_end}.ipynb"
    for cell in told(town.provider, replies, each=each):
        page.type_cell(cell, seconds=300)  # for many answers
    flip(page, CARDS)
    found, drawn = harm(page)
    assert found == []
    assert drawn > len(replies)
    page.page.evaluate(SAVE)
    page.open(name)
    assert all(page.page.evaluate(TRUSTED)[:-1])
    assert harm(page) == ([], drawn)
    copy = nbformat.read(file, 4)
    copy.metadata["changed"] = "so that no signature fits"
    nbformat.write(copy, file.with_stem(f"{name}_copy"))
    page.open(f"{name}_copy")
    assert not any(page.page.evaluate(TRUSTED)[1:-1])
    assert harm(page) == ([], drawn)


def flip(page, cards):
    """Look at both sides of every card."""
    for _ in range(cards):
        page.page.get_by_role("button", name="Flip").click()
        assert page.page.locator(".jupyter-widgets").evaluate_all(f"all => all.flatMap({ACTING})") == []
        page.page.get_by_role("button", name="Next").click()


def worst():
    return known()[:8] + [reply(seed, SERVER) for seed in range(8)]


@pytest.mark.parametrize("front_end", ["jupyterlab", pytest.param("notebook", marks=pytest.mark.sweep)])
def test_hostile_words_do_nothing_in_cells_that_are_typed_and_opened_again(town, front_end):
    nothing_happens(town, front_end, worst(), "hostile", each=False)


@pytest.mark.sweep
@pytest.mark.parametrize("front_end", panel_lab.FRONT_ENDS)
def test_many_hostile_words_do_nothing_in_cells_that_are_typed_and_opened_again(town, front_end):
    for first in range(0, 150, 50):
        replies = known() if not first else [reply(seed, SERVER) for seed in range(first, first + 50)]
        nothing_happens(town, front_end, replies, f"hostile{first}", each=True)
