"""How fast the chat panel draws, in a real JupyterLab and Chromium.

A task's length is the processor time of the page's main thread, from Chromium's trace: other programs use the machine
too.
"""

from __future__ import annotations

import json

import pytest
from e2e import panel_lab

pytestmark = pytest.mark.bench

ANSWER = """\
## Part

The **mean** of `x` is $\\bar{x}$ and a [link](https://example.org) with some more words to fill the line nicely.

- one item
- two *items*

```python
x = pd.DataFrame({"a": [1, 2]})
print(x.describe())
```

| a | b |
|---|--:|
| x | 1 |

"""
FILLED = f"""\
%load_ext rsql_magic
import rsql_magic
from rsql_magic.panel.threads import MessagePair
panel = rsql_magic.ChatPanel()
for number in range(500):
    panel.threads.find(panel.threads.current).pairs.append(MessagePair(f"Question {{number}}", {ANSWER!r}, "done"))
"""
MARKS = """() => {
  window.marks = {};
  new MutationObserver(() => {
    const ran = [...document.querySelectorAll(".jp-InputPrompt")].some((node) => node.innerText === "[2]:");
    if (ran) marks.ran ??= performance.now();
    if (document.querySelector(".rsql-panel textarea") && !marks.there) {
      marks.there = true;
      requestAnimationFrame(() => requestAnimationFrame(() => { marks.painted = performance.now(); }));
    }
  }).observe(document.body, { subtree: true, childList: true, characterData: true });
}"""
UPDATES = """() => {
  window.updates = [];
  new MutationObserver(() => updates.push(performance.now()))
    .observe(document.querySelector(".rsql-log"), { subtree: true, childList: true, characterData: true });
}"""
SCROLL = """async () => {
  const log = document.querySelector(".rsql-log");
  for (let step = 0; step < 300; step += 1) {
    log.scrollTop -= 120;
    await new Promise(requestAnimationFrame);
  }
}"""


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    with (
        panel_lab.provider() as provider,
        panel_lab.gateway(folder, provider.url) as (gateway, _),
        panel_lab.jupyterlab(folder, gateway) as lab,
        panel_lab.chromium() as browser,
    ):
        yield provider, folder, lab, browser


def traced(browser, page, work):
    """Milliseconds of processor time of the longest task while ``work`` runs."""
    categories = ["toplevel", "devtools.timeline", "disabled-by-default-devtools.timeline"]
    browser.start_tracing(page=page, categories=categories)
    work()
    events = json.loads(browser.stop_tracing())["traceEvents"]
    mains = {
        (event["pid"], event["tid"])
        for event in events
        if event.get("name") == "thread_name" and event["args"].get("name") == "CrRendererMain"
    }
    tasks = [
        event.get("tdur", 0) / 1000
        for event in events
        if event.get("ph") == "X" and (event["pid"], event["tid"]) in mains and "RunTask" in event["name"]
    ]
    return max(tasks)


def test_an_answer_of_two_thousand_tokens_is_drawn_often_and_in_short_tasks(opened):
    provider, folder, lab, browser = opened
    provider.answers["long"] = (ANSWER * (2000 // len(ANSWER.split()) + 1), 0.008)
    page = panel_lab.Page(browser, lab, folder, "stream", ["%load_ext rsql_magic", "import rsql_magic"])
    page.page.evaluate(MARKS.replace("[2]:", "[3]:"))
    page.type_cell("rsql_magic.ChatPanel()")
    page.box.wait_for()
    page.page.wait_for_timeout(500)
    marks = page.page.evaluate("window.marks")
    page.page.evaluate(UPDATES)
    longest = traced(browser, page.page, lambda: page.ask("a long answer"))
    updates = page.page.evaluate("updates")
    rate = len(updates) / (updates[-1] - updates[0]) * 1000
    paint = marks["painted"] - marks["ran"]
    print(f"\nfirst paint {paint:.0f} ms after the cell; {rate:.0f} updates/s; longest task {longest:.0f} ms")
    page.close()
    assert paint <= 300
    assert rate >= 20
    assert longest <= 50


def test_five_hundred_turns_open_and_scroll_in_short_tasks(opened):
    _, folder, lab, browser = opened
    page = panel_lab.Page(browser, lab, folder, "many", [FILLED])

    def show():
        page.type_cell("panel")
        page.turns.last.wait_for()
        page.page.wait_for_timeout(1500)

    opening = traced(browser, page.page, show)
    scrolling = traced(browser, page.page, lambda: page.page.evaluate(SCROLL))
    print(f"\n500 turns: longest task {opening:.0f} ms to open, {scrolling:.0f} ms to scroll")
    assert page.turns.count() == 500
    page.close()
    assert max(opening, scrolling) <= 50
