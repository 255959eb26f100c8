"""The sidebar beside odd notebooks: deleted, with another kernel, without a server part, with a huge conversation."""

from __future__ import annotations

import json
import sys

import pytest
from e2e import panel_lab
from playwright.sync_api import expect

HALF = "half a quest"
SESSION = "window.jupyterapp.shell.currentWidget.sessionContext"


@pytest.fixture(scope="module")
def side(town):
    side = panel_lab.Side(town.page("jupyterlab", "odd", ["word = 1"]))
    side.open()
    side.ask("Is this the first?")
    yield side
    assert side.notebook.errors == []


def spec(town, name, launcher, **more):
    """A kernel of a test's own."""
    folder = town.folder / "jupyter" / "kernels" / name
    folder.mkdir(parents=True, exist_ok=True)
    described = {"argv": [sys.executable, *launcher, "-f", "{connection_file}"], "display_name": name, **more}
    (folder / "kernel.json").write_text(json.dumps({"language": "python", **described}))


def change_kernel(side, name):
    side.page.evaluate("() => window.jupyterapp.serviceManager.kernelspecs.refreshSpecs()")
    side.page.evaluate(f"async () => {{ await {SESSION}.changeKernel({{ name: '{name}' }}); }}")


SPEAKS_R = """\
from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelapp import IPKernelApp
class Kernel(IPythonKernel):
    language_info = {"name": "R", "version": "4", "mimetype": "text/x-r-source", "file_extension": ".r"}
IPKernelApp.launch_instance(kernel_class=Kernel)
"""


def test_a_kernel_of_another_language_is_told_and_python_goes_on_where_it_was(side, town, tmp_path):
    (tmp_path / "speaks_r.py").write_text(SPEAKS_R)
    spec(town, "speaks_r", [str(tmp_path / "speaks_r.py")], language="R")
    spec(town, "another", ["-m", "ipykernel_launcher"])
    side.box.fill(HALF)
    change_kernel(side, "speaks_r")
    side.sidebar.get_by_text("The kernel of this notebook speaks R").wait_for()
    for name in ("another", "python3"):
        change_kernel(side, name)
        side.turns.filter(has_text="Is this the first?").wait_for()
        expect(side.sidebar.locator(".rsql-banner")).to_be_hidden()
        expect(side.box).to_have_value(HALF)
    side.ask("Does Python go on?")


@pytest.mark.sweep  # a gateway of its own starts
def test_without_a_gateway_and_the_servers_part_the_kernel_starts_its_own(side, town):
    nowhere = dict.fromkeys(("RSQL_GATEWAY_URL", "RSQL_SERVER_URL", "JUPYTERHUB_API_TOKEN"), "")
    spec(town, "alone", ["-m", "ipykernel_launcher"], env=nowhere)
    change_kernel(side, "alone")
    side.turns.first.wait_for()
    expect(side.sidebar.locator(".rsql-banner")).to_be_hidden()
    expect(side.ask("What is a p-value?")).to_contain_text("offline")
    change_kernel(side, "python3")
    expect(side.sidebar.locator(".rsql-banner")).to_be_hidden()
    expect(side.ask("And with a gateway?")).to_contain_text("talker")


HUGE = """\
import os
from rsql_magic.panel.kept.records import written
from rsql_magic.panel.kept.store import ConversationStore, Head, NewPair
from rsql_magic.panel.kept.writing import folder_of
from rsql_magic.panel.threads import MessagePair
def answer(n):
    return "\\n\\n".join(f"Paragraph {at} of answer {n} has `code` and words of all kinds." for at in range(1600))
said = [MessagePair(f"Question {n}?", answer(n), "done", at=n + 1.0) for n in range(500)]
store = ConversationStore(folder_of(os.environ))
pairs = [NewPair(f"huge-{n}", written(pair)) for n, pair in enumerate(said)]
store.write(store.notebook("elsewhere.ipynb"), Head("huge", "", "A huge one"), pairs)
store.close()
sum(len(pair.answer) for pair in said) > 50_000_000"""
LONGEST_TASK = """() => {
  window.longest = 0;
  new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) window.longest = Math.max(window.longest, duration);
  }).observe({ entryTypes: ["longtask"] });
}"""
AT_THE_END = """() => {
  const log = document.querySelector(".rsql-sidebar .rsql-log");
  return log.scrollHeight > log.clientHeight && log.scrollHeight - log.scrollTop - log.clientHeight < 40;
}"""


@pytest.mark.sweep  # half a minute
def test_of_fifty_megabytes_the_end_is_opened_and_the_page_stays_usable(side):
    expect(side.cell(HUGE)).to_contain_text("True")
    side.page.evaluate(LONGEST_TASK)
    side.sidebar.locator(".rsql-title").click()
    side.sidebar.get_by_role("menuitem", name="Find and manage all").click()
    side.button("Open A huge one", side.sidebar).click()
    expect(side.turns.last).to_contain_text("Paragraph 1599 of answer 499")
    side.page.wait_for_function(AT_THE_END)
    side.box.fill("Is it still usable?")
    side.notebook.type_cell("6 * 7")
    side.button("Show what was said before", side.sidebar).wait_for(state="attached")  # not all was read
    side.ask("Is it still usable?")
    print(f"the longest task took {side.page.evaluate('window.longest'):.0f} ms")
    side.sidebar.locator(".rsql-title").click()
    side.sidebar.locator(".rsql-menu .rsql-thread").first.click()
    side.turns.filter(has_text="Is this the first?").wait_for()


def test_beside_a_notebook_that_is_deleted_the_conversation_goes_on(side):
    side.box.fill(HALF)
    side.page.evaluate("() => window.jupyterapp.serviceManager.contents.delete('odd_jupyterlab.ipynb')")
    expect(side.box).to_have_value(HALF)
    side.ask("Is it still there?")
