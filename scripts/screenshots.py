"""Make the pictures of the README and the docs: real cells, answered in a real JupyterLab by the offline model.

Writes ``docs/images/*.png``. Needs Chromium (``apt-get install chromium``) and the packages of ``make setup``.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

import nbformat
from demo import OUT, ROOT, jupyter_server
from playwright.sync_api import Page, sync_playwright

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
    "sql_ai": "%%sql_ai con --plot bar\nWhich airlines had the longest average arrival delay?",
    "ask": "%%ask --lang python\nDescribe weather. What is the mean temp by month?",
}


def main() -> int:
    """Take one picture per cell."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        print("Chromium is missing. Install it (apt-get install chromium) and run again.", file=sys.stderr)
        return 1
    IMAGES.mkdir(parents=True, exist_ok=True)
    OUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        shutil.copy(ROOT / "notebooks" / "flights.py", work)
        cells = [nbformat.v4.new_code_cell(text) for text in (SETUP, *CELLS.values())]
        notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": KERNEL})
        nbformat.write(notebook, work / "pictures.ipynb")
        with jupyter_server("jupyterlab", work) as (url, token), sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium)
            page = browser.new_page(viewport={"width": 1100, "height": 1600}, device_scale_factor=1.5)
            page.goto(f"{url}lab/tree/pictures.ipynb?token={token}&reset")
            _run_all(page)
            for number, name in enumerate(CELLS, start=1):
                cell = page.locator(".jp-Notebook .jp-Cell").nth(number)
                cell.scroll_into_view_if_needed()
                page.wait_for_timeout(500)
                cell.screenshot(path=str(IMAGES / f"{name}.png"))
                print(IMAGES / f"{name}.png")
            browser.close()
    return 0


def _run_all(page: Page) -> None:
    """Run every cell and wait until the last has its number."""
    page.get_by_text("| Idle").wait_for(timeout=60_000)
    page.evaluate("() => document.querySelector('.jp-SideBar .lm-mod-current')?.click()")  # more room for the notebook
    page.locator(".jp-Notebook .jp-Cell").first.click()
    for number in range(1, len(CELLS) + 2):
        page.keyboard.press("Shift+Enter")
        page.locator(f".jp-InputPrompt:has-text('[{number}]:')").wait_for(timeout=60_000)
    no_news = page.get_by_role("button", name="No", exact=True)
    if no_news.count():
        no_news.click()
    page.wait_for_timeout(1500)


if __name__ == "__main__":
    os.environ.pop("PYTHONPATH", None)
    sys.exit(main())
