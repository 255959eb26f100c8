"""A model's words in real front ends: nothing runs, nothing is fetched, no link leads astray; formulas are drawn."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from e2e.xss import ACTING
from markdown_replies import reply

from rsql_magic.answers import Answer, Study
from rsql_magic.answers.study.sheet import Card, Sheet
from rsql_magic.display import difference, listing
from rsql_magic.errors import NoQuery
from rsql_magic.text2sql import SQLResult
from rsql_magic.text2sql.results import Attempt

CASES = Path(__file__).parents[1] / "rsql_magic" / "markdown_cases" / "attacks.jsonl"
SERVER = "http://canary.invalid"

RENDER = """async ({ bundles, trusted }) => {
  const rendermime = window.jupyterapp.shell.currentWidget.content.rendermime;
  const audit = ACTING;
  const found = [];
  const room = document.createElement("div");
  room.style.position = "absolute";
  document.body.append(room);
  for (const [index, data] of bundles.entries()) {
    const kind = rendermime.preferredMimeType(data, trusted ? "any" : "ensure");
    const renderer = rendermime.createRenderer(kind);
    const model = rendermime.createModel({ data, trusted });
    room.append(renderer.node);
    await renderer.renderModel(model);
    renderer.node.dataset.index = index;
  }
  await rendermime.latexTypesetter.typeset(room);
  await new Promise((resolve) => setTimeout(resolve, 300));
  for (const node of room.children)
    for (const bad of audit(node)) found.push([Number(node.dataset.index), bad]);
  const drawn = room.querySelectorAll("mjx-container").length;
  room.remove();
  return { found, drawn, hacked: window.hacked ?? 0 };
}""".replace("ACTING", ACTING)


def known():
    lines = CASES.read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["markdown"].replace("{{server}}", SERVER) for line in lines]


def ways(text):
    """What shows words, a way each."""
    frame = pd.DataFrame({text[:300]: ["x"], "v": [text]})
    query = SQLResult("SELECT 1", says=text, notes=(text,), attempts=(Attempt("SELECT", (text,)), Attempt("SELECT 1")))
    return [
        lambda: Answer(text).shown().bundle(),
        lambda: query.shown().bundle(),
        lambda: SQLResult(text, df=frame, plan=text).shown().bundle(),
        lambda: Study(Sheet("flashcards", text, (Card(text, text),))).shown().bundle(),
        lambda: listing([(text, text)], ("a", "b")).bundle(),
        lambda: Answer(str(NoQuery(text))).shown().bundle(),
        lambda: Answer(text[: len(text) // 2]).shown().bundle(),
        lambda: difference("\n".join(reversed(text.splitlines())), text),
    ]


WAYS = len(ways(""))


def bundles(text, number):
    """The words as one of the things that show words."""
    return ways(text)[number % WAYS]()


@pytest.fixture(scope="module", params=["jupyterlab", pytest.param("notebook", marks=pytest.mark.sweep)])
def page(request, town):
    return town.page(request.param)


@pytest.fixture(scope="module")
def browser(town):
    return town.browser


def strange(page):
    """Addresses that a page asked and that are not its server's."""
    own = (page.lab, page.lab.replace("http", "ws"), "data:", "blob:")
    return [url for url in page.asked if not url.startswith(own)]


def harm(page, texts, trusted=True):
    """What the front end lets texts do, and how many formulas it draws."""
    shown = [bundles(text, number) for number, text in enumerate(texts)]
    found, drawn = [], 0
    for at in range(0, len(shown), 200):
        told = page.page.evaluate(RENDER, {"bundles": shown[at : at + 200], "trusted": trusted})
        found += [(texts[at + index], bad) for index, bad in told["found"]]
        found += [("a script", told["hacked"])] if told["hacked"] else []
        drawn += told["drawn"]
    return found + [("fetched", url) for url in strange(page)], drawn


@pytest.mark.spine
@pytest.mark.parametrize("trusted", [True, False])
def test_known_attacks_do_nothing(page, trusted):
    texts = [text for text in known() for _ in range(WAYS)]
    found, drawn = harm(page, texts, trusted)
    assert found == []
    assert drawn


def test_made_up_replies_do_nothing(page):
    found, _ = harm(page, [reply(seed, SERVER) for seed in range(100)])
    assert found == []


@pytest.mark.sweep
@pytest.mark.parametrize("trusted", [True, False])
def test_many_made_up_replies_do_nothing(page, trusted):
    found, _ = harm(page, [reply(seed, SERVER) for seed in range(10_000)], trusted)
    assert found == []


def exported(browser, folder, texts):
    """The same for a page that nbconvert makes, beside what it fetches for a harmless notebook."""
    from nbconvert import HTMLExporter

    def opened(words, name):
        outputs = [nbformat.v4.new_output("display_data", bundles(text, at)) for at, text in enumerate(words)]
        cells = [nbformat.v4.new_code_cell("1", outputs=outputs)]
        file = folder / f"{name}.html"
        file.write_text(HTMLExporter().from_notebook_node(nbformat.v4.new_notebook(cells=cells))[0], encoding="utf-8")
        page, asked = browser.new_page(), []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"file://{file}", wait_until="domcontentloaded")
        page.wait_for_timeout(500)
        told = page.evaluate(f"[...document.querySelectorAll('.jp-OutputArea-output')].flatMap({ACTING})")
        hacked = page.evaluate("window.hacked")
        page.close()
        return told, hacked, {url for url in asked if not url.startswith("file:")}

    found, hacked, asked = opened(texts, "hostile")
    _, _, usual = opened(["A harmless reply."], "harmless")
    return found, hacked, asked - usual


@pytest.mark.spine
def test_attacks_do_nothing_in_an_exported_page(browser, tmp_path):
    texts = [text for text in known() for _ in range(WAYS)] + [reply(seed, SERVER) for seed in range(100)]
    assert exported(browser, tmp_path, texts) == ([], None, set())


@pytest.mark.sweep
def test_many_made_up_replies_do_nothing_in_exported_pages(browser, tmp_path):
    for first in range(0, 10_000, 1_000):
        texts = [reply(seed, SERVER) for seed in range(first, first + 1_000)]
        assert exported(browser, tmp_path, texts) == ([], None, set())


def test_formulas_are_drawn_without_what_acts(page):
    text = "So $x^2$, \\(y\\), costs $5 and $6:\n\n$$\na\n= b\n- c\n$$\n\n$\\href{javascript:window.hacked=1}{z}$"
    told = page.page.evaluate(RENDER, {"bundles": [Answer(text).shown().bundle()], "trusted": True})
    assert told == {"found": [], "drawn": 4, "hacked": 0}


def test_the_same_words_as_written_do_harm(page):
    told = page.page.evaluate(RENDER, {"bundles": [{"text/markdown": text} for text in known()], "trusted": True})
    fetched = {url for url in page.asked if url.startswith(SERVER)}
    page.asked.clear()
    page.page.evaluate("window.hacked = 0")
    assert told["hacked"]
    assert len(told["found"]) > 20
    assert fetched
