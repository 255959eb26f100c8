"""A sidebar that is hidden asks and draws nothing; when it is shown again, it is read where it was read before."""

from __future__ import annotations

import re

import nbformat
import pytest
from e2e import panel_lab
from playwright.sync_api import expect
from servers import free_port

NAME, OTHER, FIRST = "hidden_away", "elsewhere", "price = 1"
LONG = "\n\n".join(f"Paragraph {n}: {'word ' * 30}" for n in range(12))
# The log of the panel that is shown.
LOG = """[...document.querySelectorAll(".rsql-sidebar .rsql-log")].find((log) => log.clientHeight)"""
AT_THE_END = f"""() => {{
  const log = {LOG};
  return log && log.scrollHeight > log.clientHeight && log.scrollHeight - log.scrollTop - log.clientHeight < 3;
}}"""
PLACE = """(turn) => turn.getBoundingClientRect().top - turn.closest(".rsql-log").getBoundingClientRect().top"""
TWO_FRAMES = "() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))"
# What the first notebook's kernel runs, whichever is in front.
KERNEL = "() => { window.first = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel; }"
RUN = """async (code) => {
  const asked = window.first.requestExecute({ code: `${code}\\n# a test's own`, store_history: false });
  const { content } = await asked.done;
  if (content.status !== "ok") throw new Error(content.evalue);
}"""
ASK = "get_ipython().run_cell_magic('ask', '', {question!r})"
DRAWN = """() => {
  window.drawn = 0;
  const all = { subtree: true, childList: true, characterData: true };
  for (const panel of document.querySelectorAll(".rsql-sidebar > *"))
    new MutationObserver((changes) => { window.drawn += changes.length; }).observe(panel, all);
}"""
TAB = ".jp-SideBar .lm-TabBar-tab[data-id=rsql-sidebar]"
REQUEST = re.compile(rb'rsql|"do": ?"')


class Frames(list):
    """What a panel sends to kernels: its requests, and before them the one for the magics and a comm."""

    def of(self, context):
        context.on("page", lambda page: page.on("websocket", lambda socket: socket.on("framesent", self.note)))

    def note(self, frame):
        frame = frame.encode() if isinstance(frame, str) else frame
        if REQUEST.search(frame) and b"# a test's own" not in frame:
            self.append(frame)


@pytest.fixture(scope="module")
def frames():
    return Frames()


@pytest.fixture(scope="module")
def side(town, frames):
    page = panel_lab.Page(town.browser, town.lab, town.folder, NAME, [FIRST], prepare=frames.of)
    try:
        side = panel_lab.Side(page)
        side.page.evaluate(KERNEL)
        side.open()
        yield side
        assert page.errors == []
    finally:
        page.close()


@pytest.fixture(autouse=True)
def shown(side):
    side.open()


@pytest.fixture
def provider(town):
    with panel_lab.answers_of_a_test(town.provider) as provider:
        yield provider


def collapse(side):
    side.page.locator(TAB).click()
    side.sidebar.wait_for(state="hidden")


def go_elsewhere(side):
    kernel = {"kernelspec": panel_lab.KERNEL}
    nbformat.write(nbformat.v4.new_notebook(metadata=kernel), side.notebook.folder / f"{OTHER}.ipynb")
    side.go_to(f"{OTHER}.ipynb")
    side.sidebar.locator(".rsql-welcome").wait_for()


def come_back(side):
    side.go_to(f"{NAME}.ipynb")


def move(side):
    """To the other side, by the menu of its tab; an even number of times, as it stays there for other files."""
    side.page.locator(TAB).click(button="right")
    side.page.locator(".lm-Menu").get_by_text("Switch Sidebar Side").click()


WAYS = {
    "collapsed": (collapse, panel_lab.Side.open),
    "beside": (go_elsewhere, come_back),
    "moved": (move, panel_lab.Side.open),
}


@pytest.fixture(scope="module")
def long_answers(side, town):
    town.provider.answers["at length"] = (LONG, 0.0)
    for number in range(3):
        side.ask(f"Say {number} at length.")
    yield
    del town.provider.answers["at length"]


def place(turn):
    turn.page.evaluate(TWO_FRAMES)
    return turn.evaluate(PLACE)


@pytest.mark.usefixtures("long_answers")
@pytest.mark.parametrize("way", WAYS)
def test_it_is_read_where_it_was_read_before_it_was_hidden(side, way):
    """At its end, with what was said meanwhile, or further up."""
    hide, show = WAYS[way]

    def hidden_and_shown(meanwhile=""):
        hide(side)
        if meanwhile:
            side.page.evaluate(RUN, ASK.format(question=f"{meanwhile} Say it at length."))
        show(side)
        if meanwhile:
            side.turns.filter(has_text=meanwhile).wait_for(state="attached")

    side.page.evaluate(f"() => {{ {LOG}.scrollTop = 1e6; }}")
    side.page.wait_for_function(AT_THE_END)
    hidden_and_shown()
    side.page.wait_for_function(AT_THE_END)
    hidden_and_shown(f"Were you {way}?")
    side.turns.last.locator(".rsql-bar").wait_for()
    side.page.wait_for_function(AT_THE_END)
    read = side.turns.nth(1)
    side.sidebar.locator(".rsql-log").hover()
    read.scroll_into_view_if_needed()
    side.page.mouse.wheel(0, 300)
    side.page.wait_for_function(f"() => {LOG}.scrollTop > 0")
    before = place(read)
    read.evaluate("(turn) => { turn.drawnOnce = true; }")
    hidden_and_shown()
    assert abs(place(read) - before) < 2
    assert read.evaluate("(turn) => turn.drawnOnce")  # nothing was said
    hidden_and_shown(f"And {way} once more?")
    assert abs(place(read) - before) < 2


AWAY = """\
from rsql_magic.gateway import client
from rsql_magic.gateway.locator import Address
from rsql_magic.notebook import loaded
client._RESTART_PAUSES = (0.0,)
locator = loaded(get_ipython()).assistant.locator
there = locator.gateway and locator.address
locator._use(Address("http://127.0.0.1:{port}/rsql/", ""))"""
BACK = "locator._use(there)"
SESSION = "window.jupyterapp.shell.currentWidget.sessionContext"


def rests(side, frames):
    """While it is hidden nothing is drawn in it, and what it asked since it was hidden is nothing."""
    side.page.evaluate(DRAWN)
    side.page.wait_for_timeout(2500)  # the pause before it looked for a gateway once more
    assert (frames, side.page.evaluate("window.drawn")) == ([], 0)


def test_a_question_that_waits_for_a_gateway_goes_on_when_it_is_shown(side, frames, provider):
    side.page.evaluate(RUN, AWAY.format(port=free_port()))
    side.ask("Is anybody there?")
    side.turns.last.get_by_text("It is asked again by itself").wait_for()
    asked = len(provider.asked)
    collapse(side)
    frames.clear()
    side.page.evaluate(RUN, BACK)
    rests(side, frames)
    assert len(provider.asked) == asked
    side.open()
    side.turns.last.get_by_text("An answer in some words.").wait_for()
    expect(side.turns.filter(has_text="Is anybody there?")).to_have_count(1)


def edit(side, more):
    """The first cell as it was, and more."""
    first = "window.jupyterapp.shell.currentWidget.content.model.sharedModel.cells[0]"
    side.page.evaluate(f"(source) => {first}.setSource(source)", FIRST + more)


def test_an_edit_under_a_proposal_is_seen_when_it_is_shown(side, frames, provider):
    provider.answers["dearer"] = ("### edit cell 1: dearer\n```python\nprice = 2\n```", 0.0)
    does = side.button("Do it in the notebook instead of answering", side.sidebar)
    does.click()
    side.ask("Make it dearer")
    changes = side.sidebar.locator(".rsql-changes")
    side.button("Apply and run", changes).wait_for()
    does.click()
    collapse(side)
    frames.clear()
    edit(side, "# mine")
    rests(side, frames)
    side.open()
    changes.get_by_text("it no longer fits").wait_for()
    edit(side, "")
    expect(changes.get_by_text("it no longer fits")).to_have_count(0)


def test_a_kernel_that_restarts_is_left_alone_until_it_is_shown(side, frames):
    turns = side.turns.count()
    collapse(side)
    frames.clear()
    side.page.evaluate(f"async () => {{ await {SESSION}.restartKernel(); }}")
    side.page.wait_for_function(panel_lab.CONNECTED)
    rests(side, frames)
    side.open()
    side.ask("Is the new kernel there?")
    expect(side.turns).to_have_count(turns + 1)
    expect(side.sidebar.locator(".rsql-banner")).to_be_hidden()
