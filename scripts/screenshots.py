"""Make the pictures of the README and the docs: real cells, answered in a real JupyterLab by the offline model.

The console's are of a gateway with a past that is played.

Writes ``docs/images/*.png``; with ``--cells`` not those of the console. Needs Chromium (``apt-get install chromium``)
and the packages of ``make setup``.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

import nbformat
from demo import CONFIG, OUT, ROOT, jupyter_server
from playwright.sync_api import Browser, Locator, Page, sync_playwright

IMAGES = ROOT / "docs" / "images"
KERNEL = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
SETUP = """\
%load_ext rsql_magic
import duckdb
from flights import build
con = duckdb.connect(build("flights.duckdb"), read_only=True)
weather = con.sql("SELECT origin, month, hour, temp, humid, wind_speed, visib FROM weather").df()
"""
CELLS = {
    "sql_ai": "%%sql_ai con --plot bar\naverage arrival delay by airline, highest first",
    "ask": "%%ask --lang python\nDescribe weather. What is the mean temp by month?",
}


PANEL = "from rsql_magic import ChatPanel\nChatPanel()"
DAILY = 60
LIMITED = f"""\
{CONFIG}
[limits.caller]
requests_per_day = {DAILY}
"""
USE_UP = f"""\
import rsql_magic
for number in range({DAILY}):
    try:
        rsql_magic.ask(f"What is the mean of {{number}} numbers?", new=True)
    except rsql_magic.errors.LimitReached:
        break
"""


def main() -> int:
    """Take one picture per cell, and three of the panel."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        print("Chromium is missing. Install it (apt-get install chromium) and run again.", file=sys.stderr)
        return 1
    IMAGES.mkdir(parents=True, exist_ok=True)
    OUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        shutil.copy(ROOT / "notebooks" / "flights.py", work)
        cells = [nbformat.v4.new_code_cell(text) for text in (SETUP, *CELLS.values(), PANEL, USE_UP)]
        notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": KERNEL})
        nbformat.write(notebook, work / "pictures.ipynb")
        with (
            jupyter_server("jupyterlab", work, LIMITED) as (url, token),
            sync_playwright() as playwright,
        ):
            browser = playwright.chromium.launch(executable_path=chromium)
            page = browser.new_page(viewport={"width": 1200, "height": 1600}, device_scale_factor=1.5)
            page.goto(f"{url}lab/tree/pictures.ipynb?token={token}&reset")
            _run_all(page)
            for number, name in enumerate(CELLS, start=1):
                cell = page.locator(".jp-Notebook .jp-Cell").nth(number)
                cell.scroll_into_view_if_needed()
                page.wait_for_timeout(500)
                cell.screenshot(path=str(IMAGES / f"{name}.png"))
                print(IMAGES / f"{name}.png")
            _panel(page)
            if "--cells" not in sys.argv:
                _console(browser)
            _rows(browser)
            _sidebar(browser)
            _hub(browser)
            browser.close()
    return 0


def _panel(page: Page) -> None:
    """The panel: its start, an answer with its chart, the chips of a message, a limit that is reached."""
    panel = page.locator(".rsql-panel")
    box = panel.get_by_label("Message", exact=True)
    panel.get_by_label("New conversation").first.click()
    panel.locator(".rsql-offer").nth(2).wait_for()
    _shot(panel, "panel_start")
    panel.evaluate("node => { node.style.height = '1190px'; }")
    box.fill("/sql con average arrival delay by airline, highest first, as a bar chart")
    box.press("Enter")
    panel.locator(".rsql-chart svg").wait_for()
    _shot(panel, "panel_answer")
    panel.evaluate("node => { node.style.height = '420px'; }")
    panel.get_by_label("New conversation").first.click()
    box.fill("How does temp in @weather depend on the hour? I began with @cell:1 ")
    panel.locator(".rsql-chip").nth(1).wait_for()
    _shot(panel, "panel_chips")
    page.locator(".jp-Notebook .jp-Cell").nth(len(CELLS) + 2).click()
    page.keyboard.press("Shift+Enter")
    page.locator(f".jp-InputPrompt:has-text('[{len(CELLS) + 3}]:')").wait_for(timeout=60_000)
    box.press("Enter")
    panel.locator(".rsql-limited").wait_for()
    page.wait_for_timeout(1000)
    _shot(panel, "panel_quota")


def _console(browser: Browser) -> None:
    """The console of a gateway with a past: a dead key, a student who burns a budget, one who gets no answers."""
    sys.path.insert(0, str(ROOT / "tests"))
    from console_world import world  # noqa: PLC0415 - on the path from here on

    views = {
        "console_overview": ("overview", "light", 1280, 1010),
        "console_person": ("people/user/noor", "light", 1280, 830),
        "console_activity": ("activity", "dark", 1280, 790),
        "console_phone": ("overview", "dark", 390, 1180),
    }
    with tempfile.TemporaryDirectory() as folder, world(Path(folder)) as town:
        town.send("POST", "admin/health-check", town.tokens["admin"])
        for _ in range(8):
            town.ask(town.tokens["ada"])
        for name, (way, scheme, width, height) in views.items():
            context = browser.new_context(
                viewport={"width": width, "height": height}, color_scheme="dark" if scheme == "dark" else "light"
            )
            context.add_init_script(f"sessionStorage.setItem('rsql-token', '{town.tokens['admin']}')")
            page = context.new_page()
            page.goto(f"{town.url}admin#/{way}")
            page.locator(".u-over").first.wait_for()
            page.wait_for_timeout(1000)
            page.screenshot(path=str(IMAGES / f"{name}.png"))
            print(IMAGES / f"{name}.png")
            context.close()


def _rows(browser: Browser) -> None:
    """A question about each row on its way."""
    sys.path.insert(0, str(ROOT / "tests"))
    from e2e import panel_lab  # noqa: PLC0415 - on the path from here on

    with tempfile.TemporaryDirectory() as folder, panel_lab.servers(Path(folder)) as (provider, work, _, lab):
        provider.answers["Question about each row"] = panel_lab.rows_judged, 0.0
        cache = f"import os\nos.environ['XDG_CACHE_HOME'] = {folder!r}"
        first = f"{cache}\n%load_ext rsql_magic\n{panel_lab.REVIEWS}"
        notebook = panel_lab.Page(browser, lab, work, "rows", [first], device_scale_factor=1.5)
        notebook.type_cell(panel_lab.MAP, wait=False)
        cell = notebook.page.locator(".jp-Notebook .jp-Cell").nth(1)
        cell.locator(".jp-OutputArea").filter(has_text="██████").wait_for()
        cell.screenshot(path=str(IMAGES / "map.png"))
        print(IMAGES / "map.png")
        notebook.close()


SALES = """\
import pandas as pd
sales = pd.DataFrame({"region": ["North", "South", "North"], "amount": [120, 80, 95]})
sales.head()"""
FAILING = """\
by_region = sales.groupby("region").amount.sum()
shares = by_region / total
shares.sort_values()"""
MENDED = FAILING.replace("/ total", "/ by_region.sum()").replace("sort_values()", "sort_values(ascending=False)")
ANSWERS = {
    "Fix": f"There is no `total`: a share is a part of the sum.\n\n```python\n{MENDED}\n```",
    "most": 'North sold most: 215 of 295.\n\n```python\nsales.groupby("region").amount.sum()\n```',
}


def _sidebar(browser: Browser) -> None:
    """The sidebar beside a notebook, with the fix of a cell that failed."""
    sys.path.insert(0, str(ROOT / "tests"))
    from e2e import panel_lab  # noqa: PLC0415 - on the path from here on

    with tempfile.TemporaryDirectory() as folder, panel_lab.servers(Path(folder)) as (provider, work, _, lab):
        provider.answers |= {word: (text, 0.0) for word, text in ANSWERS.items()}
        notebook = panel_lab.Page(browser, lab, work, "sales", [SALES], device_scale_factor=1.5)
        page = notebook.page
        page.set_viewport_size({"width": 1400, "height": 780})
        page.evaluate("window.jupyterapp.commands.execute('application:toggle-left-area')")
        page.evaluate("window.jupyterapp.commands.execute('rsql:open')")
        sidebar = page.locator(".rsql-sidebar")
        # As wide as somebody who works with it would have it.
        handle = page.locator(".lm-SplitPanel-handle:visible").last.bounding_box()
        page.mouse.move(handle["x"] + 1, handle["y"] + 300)
        page.mouse.down()
        page.mouse.move(handle["x"] - 160, handle["y"] + 300)
        page.mouse.up()
        box = sidebar.get_by_label("Message", exact=True)
        box.fill("Which region sold most?")
        box.press("Enter")
        sidebar.locator(".rsql-bar").wait_for()
        notebook.type_cell(FAILING)
        page.locator(".rsql-under button", has_text="Fix").click()
        page.locator(".rsql-diff").wait_for()
        page.locator(".rsql-diff").scroll_into_view_if_needed()
        page.mouse.move(0, 0)
        page.wait_for_timeout(1500)
        page.screenshot(path=str(IMAGES / "sidebar_fix.png"))
        print(IMAGES / "sidebar_fix.png")
        notebook.close()


def _hub(browser: Browser) -> None:
    """The sidebar of a student on a hub, with what is left of the group's limits in the status bar."""
    sys.path.insert(0, str(ROOT / "tests"))
    from e2e import panel_lab  # noqa: PLC0415 - on the path from here on
    from hub.conftest import GROUPS, RSQL  # noqa: PLC0415
    from hub.real_hub import RealHub  # noqa: PLC0415
    from hub.student import Student  # noqa: PLC0415

    query = "```sql\nSELECT region, sum(amount) AS sold FROM sales GROUP BY region\n```"
    with tempfile.TemporaryDirectory() as folder, panel_lab.provider() as provider:
        provider.answers["sell"] = f'{query}\n\n```json\n{{"chart": "bar", "x": "region", "y": "sold"}}\n```', 0.0
        hub = RealHub(folder, RSQL.format(provider=provider.url, talker=provider.url), GROUPS, lab=["lin"])
        try:
            hub.start()
            student = Student(hub, browser, viewport={"width": 1400, "height": 780}, device_scale_factor=1.5)
            student.write("sales.ipynb", [SALES])
            student.log_in("sales.ipynb")
            student.run(0)
            student.status.click()
            student.ask("/sql frames How much did each region sell?")
            student.turns.locator(".rsql-chart :is(canvas, svg)").first.wait_for()
            student.status.filter(has_text="left").wait_for()
            student.page.mouse.move(0, 0)
            student.page.wait_for_timeout(1500)
            student.page.screenshot(path=str(IMAGES / "sidebar_hub.png"))
            print(IMAGES / "sidebar_hub.png")
        finally:
            hub.close()


def _shot(panel: Locator, name: str) -> None:
    panel.scroll_into_view_if_needed()
    panel.page.mouse.move(0, 0)
    panel.page.wait_for_timeout(1500)
    panel.screenshot(path=str(IMAGES / f"{name}.png"))
    print(IMAGES / f"{name}.png")


def _run_all(page: Page) -> None:
    """Run every cell up to the panel and wait until the last has its number."""
    page.get_by_text("| Idle").wait_for(timeout=60_000)
    page.evaluate("() => document.querySelector('.jp-SideBar .lm-mod-current')?.click()")  # more room for the notebook
    page.locator(".jp-Notebook .jp-Cell").first.click()
    for number in range(1, len(CELLS) + 3):
        page.keyboard.press("Shift+Enter")
        page.locator(f".jp-InputPrompt:has-text('[{number}]:')").wait_for(timeout=60_000)
    no_news = page.get_by_role("button", name="No", exact=True)
    if no_news.count():
        no_news.click()
    page.wait_for_timeout(1500)


if __name__ == "__main__":
    os.environ.pop("PYTHONPATH", None)
    sys.exit(main())
