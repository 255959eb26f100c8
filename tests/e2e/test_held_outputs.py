"""What the assistant's cells show acts in no page before a person asks for it: real JupyterLab and Notebook 7."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import nbformat
import pytest
from playwright.sync_api import expect
from waiting import eventually

SETUP = """\
import pandas as pd
from IPython.display import display, HTML, SVG, Image, IFrame, Javascript, Markdown, Latex, publish_display_data
sales = pd.DataFrame({"region": ["N", "S", "N"], "amount": [1, 2, 3]})
import rsql_magic; rsql_magic.ChatPanel()"""
# A script that writes into the notebook's folder by the session of whoever looks.
WRITES = (
    "window.hacked=1;fetch(document.baseURI.replace(/(lab|notebooks).*/,'')+'api/contents/HIT_NAME.txt',"
    "{method:'PUT',headers:{'X-XSRFToken':(document.cookie.match(/_xsrf=([^;]+)/)||[])[1]},"
    "body:JSON.stringify({type:'file',format:'text',content:'x'})})"
)
PAGES = {
    "script": "<script>WRITES</script>",
    "image": '<img src="{server}/image" onerror="WRITES">',
    "svg": '<svg xmlns="http://www.w3.org/2000/svg" onload="WRITES"><image href="{server}/svg"/></svg>',
    "frame": '<iframe src="{server}/frame"></iframe><iframe srcdoc="<script>parent.hacked=1</script>"></iframe>',
    "style": "<style>@import '{server}/style'; body { background: url({server}/ground) }</style><p>words</p>",
    "tooltip": '<details open ontoggle="WRITES">x</details><input autofocus onfocus="WRITES">',
}
# Ways in which a cell shows something; `page` is a text of HTML.
WAYS = {
    "html": "HTML(page)",
    "raw": "display({'text/html': page}, raw=True)",
    "publisher": "get_ipython().display_pub.publish({'text/html': page})",
    "published": "publish_display_data({'text/html': page, 'text/plain': 'x'})",
    "own": "class Shown:\n    def _repr_html_(self):\n        return page\nShown()",
    "bundle": "class Shown:\n    def _repr_mimebundle_(self, **more):\n        return {'text/html': page}\nShown()",
    "itself": "class Shown:\n    def _ipython_display_(self):\n        display(HTML(page))\nShown()",
    "updated": "shown = display('first', display_id=True)\nshown.update(HTML(page))",
    "thread": (
        "import threading\nthread = threading.Thread(target=lambda: display(HTML(page)))\nthread.start()\nthread.join()"
    ),
    "script": "Javascript(page.partition('<script>')[2].partition('<')[0] or 'window.hacked=1')",
    "svg": "SVG(page if page.startswith('<svg') else '<svg xmlns=\"http://www.w3.org/2000/svg\">' + page + '</svg>')",
    "markdown": "Markdown('![x]({server}/markdown)\\n\\n' + page)",
    "latex": ("Latex('$\\\\href{javascript:window.hacked=1}{\\\\style{background:url({server}/latex)}{x}}$' + page)"),
    "picture": "Image(url='{server}/picture')",
    "widget": "import ipywidgets\nipywidgets.HTML(page)",
    "anywidget": (
        "import anywidget\nclass Widget(anywidget.AnyWidget):\n"
        "    _esm = 'window.hacked=1; export default { render() { window.hacked=1 } }'\nWidget()"
    ),
    "styled": "sales.style.set_caption(page)",
    "chart": (
        "display({'application/vnd.vegalite.v5+json': {'data': {'url': '{server}/chart.json'}, 'mark': 'point'}, "
        "'text/html': page}, raw=True)"
    ),
    "frame": "IFrame('{server}/iframe', 100, 100)",
}
TABLE = "sales.style.bar(subset=['amount'], color='#d65f5f')"
CHART = """\
import altair as alt
alt.Chart(sales).mark_bar().encode(x='amount:Q', y='region:N')"""
DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PICTURE = f"import base64\nImage(base64.b64decode('{DOT}'), format='png')"


@pytest.fixture
def canary():
    """A server that must be asked for nothing."""

    class Canary(BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.asked.append(self.path)
            self.send_response(404)
            self.end_headers()

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Canary)
    server.daemon_threads, server.asked = True, []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.url = f"http://127.0.0.1:{server.server_port}"
    yield server
    server.shutdown()
    server.server_close()


def cell(way, page, server):
    html = PAGES[page].replace("WRITES", WRITES.replace("NAME", f"{way}_{page}"))
    return f"page = {html!r}\n{WAYS[way]}".replace("{server}", server)


def proposal(sources):
    return "Shown.\n\n" + "\n\n".join(f"### new cell after 1: it\n```python\n{source}\n```" for source in sources)


def proposed(page, town, sources, word):
    town.provider.answers |= {word: (proposal(sources), 0.0)}
    does = page.panel.get_by_role("button", name="Do it in the notebook instead of answering", exact=True)
    if does.get_attribute("aria-pressed") == "false":
        does.click()
    sets = page.panel.locator(".rsql-changes")
    number = sets.count()
    page.ask(word)
    changes = sets.nth(number)  # results go back, and another one comes
    for each in changes.get_by_label("Yes, this cell may do that.").all():
        each.check()
    return changes


def run(page, changes):
    changes.get_by_role("button", name="Apply and run", exact=True).click()
    changes.get_by_text("The cells have run.").wait_for()
    page.page.evaluate("() => new Promise((done) => setTimeout(done, 500))")  # what would come, comes by then


# Tables, pictures and charts stay as they are.
def shows_what_is_fine(page, town):
    changes = proposed(page, town, ["sales", TABLE, CHART, PICTURE], "Draw what is fine")
    run(page, changes)
    cells = page.page.locator(".jp-Notebook .jp-CodeCell")
    expect(cells.nth(1).locator("table.dataframe")).to_be_visible()
    bar = cells.nth(2).locator("td", has_text="3").first
    assert "linear-gradient" in bar.evaluate("(node) => getComputedStyle(node).backgroundImage")
    cells.nth(3).scroll_into_view_if_needed()
    expect(cells.nth(3).locator(".vega-embed").first).to_be_visible()
    expect(cells.nth(4).locator("img")).to_be_visible()
    expect(changes.get_by_role("button", name="Show as the cell made it")).to_have_count(0)


@pytest.mark.spine
@pytest.mark.parametrize("front_end", ["jupyterlab", pytest.param("notebook", marks=pytest.mark.sweep)])
def test_nothing_that_a_cell_shows_acts_before_a_person_asks_for_it(town, canary, front_end):
    page = town.page(front_end, "held", [SETUP])
    page.panel.wait_for()
    shows_what_is_fine(page, town)
    names = list(PAGES)
    sources = [cell(way, names[number % len(names)], canary.url) for number, way in enumerate(WAYS)]
    changes = proposed(page, town, sources, "Show them")
    run(page, changes)
    assert page.page.evaluate("window.hacked") is None
    assert canary.asked == []
    assert not list(town.folder.glob("HIT_*"))
    # The file has what was shown, which acts for nobody who opens it.
    page.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    page.page.wait_for_function("() => !window.jupyterapp.shell.currentWidget.context.model.dirty")
    saved = nbformat.read(town.folder / f"held_{front_end}.ipynb", 4)
    shown = [output for each in saved.cells[1:] for output in each.get("outputs", [])]
    assert not any("window.hacked" in str(output.get("data", {}).get("text/html", "")) for output in shown)
    # Page content cannot press the button; a person can, and then the cell's output is as it was made.
    held = changes.get_by_role("button", name="Show as the cell made it").first
    held.evaluate("(node) => node.click()")
    page.page.evaluate("() => new Promise((done) => setTimeout(done, 300))")
    assert page.page.evaluate("window.hacked") is None
    held.click()
    page.page.wait_for_function("() => window.hacked === 1")
    page.page.evaluate("() => { delete window.hacked; }")
    eventually(lambda: list(town.folder.glob("HIT_*")))  # the script does write, where it may
    for file in town.folder.glob("HIT_*"):
        file.unlink()


@pytest.mark.sweep
def test_no_page_by_any_way(town, canary):
    page = town.page("jupyterlab", "held_all", [SETUP])
    page.panel.wait_for()
    for name in PAGES:
        run(page, proposed(page, town, [cell(way, name, canary.url) for way in WAYS], f"Show all of {name}"))
        assert page.page.evaluate("window.hacked") is None
        assert canary.asked == []
        assert not list(town.folder.glob("HIT_*"))
