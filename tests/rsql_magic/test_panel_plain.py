"""The panel in a page that is no JupyterLab, as VS Code and Colab show widgets: a model, and nothing around it."""

from __future__ import annotations

import base64
import json
import queue
import random
import time
from pathlib import Path

import httpx
import markdown_replies
import pandas as pd
import pytest
from e2e import panel_lab, xss
from playwright.sync_api import expect
from waiting import SECONDS

from rsql_magic.display import charts
from rsql_magic.display.charts import Chart
from rsql_magic.panel import widget
from rsql_magic.panel.file_requests import FileRequests
from rsql_magic.panel.threads import MessagePair

pytestmark = pytest.mark.usefixtures("without_r")

ATTACKS = Path(__file__).parent / "markdown_cases" / "attacks.jsonl"
RED = "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAEElEQVR4nGP4z8AARAwQCgAf7gP9i18U1AAAAABJRU5ErkJggg=="
PLOTTED = (
    '```sql\nSELECT n, n * n AS square FROM t\n```\nSquares.\n```json\n{"chart": "bar", "x": "n", "y": "square"}\n```'
)


@pytest.fixture(autouse=True)
def jp_asyncio_loop():
    """No loop of pytest-jupyter's: Playwright runs one in this thread, which must not be closed after each test."""


@pytest.fixture(autouse=True)
def jp_server_cleanup():
    """Nor does it clean up with that loop after servers of other tests."""


class Host:
    """A page with one view, whose model is this process's panel."""

    def __init__(self, page, panel):
        self.page, self.panel = page, panel
        self._asked, self._told = queue.SimpleQueue(), queue.SimpleQueue()
        panel._widget = self
        page.expose_function("sent", self.sent)
        page.set_content("<style id=style></style><main id=view></main>")
        page.evaluate(
            """async ([module, style]) => {
              const heard = new Set();
              const model = {
                on: (_, work) => heard.add(work), off: (_, work) => heard.delete(work), send: (told) => sent(told),
              };
              window.hear = (told) => heard.forEach((work) => work(told));
              document.getElementById("style").textContent = style;
              const url = URL.createObjectURL(new Blob([module], { type: "text/javascript" }));
              (await import(url)).default.render({ model, el: document.getElementById("view") });
            }""",
            [widget.module(), widget.style()],
        )

    model_id = "plain"

    def anew(self, page=None):
        """A page with a view of what the panel holds now, in place of the one before."""
        before = self.page
        self.__init__(page or before.context.new_page(), self.panel)
        before.close()
        return self.page

    def sent(self, told):
        self._asked.put(told)

    def send(self, content):
        self._told.put(content)

    def close(self):
        pass

    def gateway_is(self, world):
        """Have another one answer the requests that the panel sends."""
        self.panel.assistant.locator.gateway._http._transport.handler = world

    def until(self, true):
        """Carry messages to and fro until something is true of the page."""
        deadline = time.monotonic() + SECONDS
        while not true():
            if time.monotonic() > deadline:
                pytest.fail(self.page.locator(".rsql-panel").inner_text())
            self.page.wait_for_timeout(10)
            while not self._asked.empty():
                self.panel.receive(self._asked.get())
            while not self._told.empty():
                self.page.evaluate("told => hear(told)", self._told.get())

    def reply_to(self, name):
        """The reply to the next request of a name, which its view is not given."""
        while (asked := self.next_request())["do"] != name:
            self.panel.receive(asked)
        self.panel.receive(asked)
        others = []
        while (told := self._told.get(timeout=240)).get("n") != asked["n"]:
            others.append(told)
        for each in others:
            self._told.put(each)
        return told

    def next_request(self):
        while self._asked.empty():
            self.page.wait_for_timeout(10)
        return self._asked.get()

    def ask(self, text):
        box = self.page.get_by_label("Message", exact=True)
        self.until(lambda: self.page.locator(".rsql-title").inner_text() != "…")
        box.fill(text)
        box.press("Escape")
        box.press("Enter")
        self.until(lambda: self.page.locator(".rsql-turn[data-state=done]").count())
        return self.page.locator(".rsql-turn").last


@pytest.fixture(scope="module")
def browser(programs):
    with panel_lab.chromium() as browser:
        yield browser


@pytest.fixture
def colours():
    return "light"


@pytest.fixture
def host(colours, browser, ip, assistant):
    from rsql_magic.notebook import loaded

    ip.run(
        "import duckdb\ncon = duckdb.connect()\n_ = con.execute('CREATE TABLE t AS SELECT range AS n FROM range(3)')"
    )
    context = browser.new_context(color_scheme=colours, viewport={"width": 420, "height": 800})
    page = context.new_page()
    page.on("pageerror", lambda error: pytest.fail(str(error)))
    panel = loaded(ip).panel()
    yield Host(page, panel)
    panel.close()
    context.close()


def test_what_needs_the_notebook_is_left_out_and_the_rest_works(host, gateway, ip):
    gateway.replies = ["Add them:\n\n```python\nprint(1 + 1)\n```"]
    turn = host.ask("How?")
    expect(turn.get_by_label("Insert below as a cell")).to_have_count(0)
    host.page.evaluate("document.addEventListener('copy', () => { window.copied = String(document.getSelection()) })")
    turn.get_by_label("Copy the code").click()
    assert host.page.evaluate("window.copied ?? document.activeElement.value") == "print(1 + 1)"
    turn.get_by_label("Run", exact=True).click()
    host.until(lambda: turn.locator(".rsql-confirm").count())
    turn.locator(".rsql-confirm .rsql-primary").click()
    host.until(lambda: turn.locator(".rsql-output pre").count())
    expect(turn.locator(".rsql-output")).to_have_text("2")
    host.page.get_by_label("More").click()
    expect(host.page.get_by_text("Insert as cells")).to_have_count(0)
    expect(host.page.get_by_text("Copy as Markdown")).to_be_visible()


def test_a_chart_is_a_picture_or_says_what_to_install(host, gateway, monkeypatch):
    gateway.replies = [PLOTTED]
    turn = host.ask("/sql con Draw the squares")
    host.until(lambda: turn.locator(".rsql-chart img").count())
    assert turn.locator(".rsql-chart img").evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
    expect(turn.locator("td")).to_have_text(["0", "0", "1", "1", "2", "4"])
    monkeypatch.setattr(charts, "bundle", lambda *_: {})
    host.page.evaluate("document.querySelector('.rsql-panel').remove()")
    host.__init__(host.page.context.new_page(), host.panel)
    host.until(lambda: host.page.get_by_text("pip install 'rsql-jupyter[png]'").count())


def test_an_empty_conversation_offers_three_questions_about_what_is_there(host, gateway):
    offers = host.page.get_by_role("group", name="Questions to begin with").get_by_role("button")
    host.until(lambda: offers.count() == 3)
    expect(offers.first).to_have_text("/sql con How many t are there?")
    assert gateway.requests == []  # no model was asked
    panel_lab.accessible(host.page, ".rsql-panel")
    gateway.replies = ["```sql\nSELECT count(*) AS n FROM t\n```"]
    offers.first.focus()  # by keyboard alone
    host.page.keyboard.press("Enter")
    host.until(lambda: host.page.locator(".rsql-turn[data-state=done]").count())
    expect(host.page.locator(".rsql-turn td")).to_have_text(["3"])
    expect(host.page.locator(".rsql-welcome")).to_have_count(0)


DROP = """([name, type, data]) => {
  const bytes = Uint8Array.from(atob(data), (sign) => sign.charCodeAt(0));
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([bytes], name, { type }));
  for (const kind of ["dragover", "drop"])
    document.querySelector(".rsql-panel").dispatchEvent(
      new DragEvent(kind, { dataTransfer, bubbles: true, cancelable: true }));
}"""


def test_a_table_that_is_dropped_is_read_after_consent_and_a_picture_goes_with_the_question(
    host, gateway, ip, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    page, box = host.page, host.page.get_by_label("Message", exact=True)
    host.until(lambda: page.locator(".rsql-offer").count() == 3)
    rows = "region,amount\n" + "".join(f"place {n},{n}\n" for n in range(30_000))  # two pieces
    page.evaluate(DROP, ["sales 2026.csv", "text/csv", base64.b64encode(rows.encode()).decode()])
    sheet = page.get_by_role("dialog")
    host.until(sheet.is_visible)
    expect(sheet).to_contain_text("sales_2026 = pd.read_csv('sales_2026.csv')")
    assert list(tmp_path.iterdir()) == []  # nothing before consent
    panel_lab.accessible(page, ".rsql-panel")
    sheet.get_by_role("button", name="Put it there and run the line").click()
    host.until(lambda: box.input_value() == "@sales_2026 ")
    assert len(ip.user_ns["sales_2026"]) == 30_000
    assert [each.name for each in tmp_path.iterdir()] == ["sales_2026.csv"]
    page.evaluate(DROP, ["tool.exe", "", ""])
    host.until(lambda: page.locator(".rsql-toast.rsql-wrong").is_visible())
    expect(page.locator(".rsql-toast")).to_contain_text("cannot be dropped here")
    page.evaluate(DROP, ["red.png", "image/png", RED])
    chips = page.get_by_role("group", name="Pictures")
    host.until(chips.is_visible)
    assert chips.locator("img").evaluate("image => image.decode().then(() => image.naturalWidth)") == 2
    gateway.replies = ["It is red."]
    box.fill("Which colour is it?")
    rows = [{"id": "llama", "architecture": {"input_modalities": ["text"]}}, {"id": "qwen"}]
    monkeypatch.setitem(gateway.paths, "v1/models", {"data": rows, "default": "llama"})
    box.press("Enter")
    host.until(lambda: page.get_by_text("takes no pictures").is_visible())
    expect(box).to_have_value("Which colour is it?")
    expect(chips).to_be_visible()
    assert gateway.requests == []
    monkeypatch.setitem(gateway.paths, "v1/models", {"data": rows, "default": "qwen"})
    box.press("Enter")
    host.until(lambda: page.locator(".rsql-turn[data-state=done]").count())
    assert gateway.sent[1]["image_url"]["url"].endswith(RED)
    expect(chips).to_be_hidden()
    box.fill("#")
    expect(box).to_have_value("#")


def test_a_parquet_file_that_is_dropped_becomes_a_frame(host, ip, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = host.page
    host.until(lambda: page.locator(".rsql-offer").count() == 3)
    sums = pd.DataFrame({"region": ["Ulm", None], "amount": [1.5, 2.5]})
    page.evaluate(DROP, ["sums.parquet", "", base64.b64encode(sums.to_parquet()).decode()])
    sheet = page.get_by_role("dialog")
    host.until(sheet.is_visible)
    expect(sheet).to_contain_text("sums = pd.read_parquet('sums.parquet')")
    sheet.get_by_role("button", name="Put it there and run the line").click()
    host.until(lambda: page.get_by_label("Message", exact=True).input_value() == "@sums ")
    pd.testing.assert_frame_equal(ip.user_ns["sums"], sums)


def test_a_gateway_that_is_away_is_said_and_the_question_goes_on_by_itself(host, gateway, monkeypatch):
    monkeypatch.setattr("rsql_magic.gateway.client._RESTART_PAUSES", (0.0,))
    page, box = host.page, host.page.get_by_label("Message", exact=True)
    host.until(lambda: page.locator(".rsql-offer").count() == 3)
    answers, trouble = gateway.__call__, page.locator(".rsql-trouble[role=alert]")

    def dead(_):
        raise httpx.ConnectError("refused")

    def behind_a_proxy(_):
        return httpx.Response(503, html="<html><body><h1>Service Unavailable</h1></body></html>")

    for world, words in ((dead, "No gateway answers at http://gateway/rsql/"), (behind_a_proxy, "503")):
        host.gateway_is(world)
        box.fill("Is anybody there?")
        box.press("Enter")
        host.until(lambda: trouble.count() and "as soon as the gateway answers" in trouble.last.inner_text())
        expect(trouble.last).to_contain_text(words)
        expect(trouble.last).not_to_contain_text("<")
        box.fill("what was typed meanwhile")
        gateway.replies = ["Here I am."]
        host.gateway_is(answers)
        host.until(lambda: page.get_by_text("Here I am.").count() and page.locator(".rsql-turn").count() == 1)
        expect(box).to_have_value("what was typed meanwhile")
        page.get_by_label("New conversation").first.click()
        host.until(lambda: page.locator(".rsql-offer").count() == 3)


def test_a_question_that_is_left_is_not_asked_again(host, gateway):
    page = host.page

    def dead(_):
        raise httpx.ConnectError("refused")

    host.gateway_is(dead)
    host.until(lambda: page.locator(".rsql-offer").count() == 3)
    page.get_by_label("Message", exact=True).fill("Hello?")
    page.get_by_label("Message", exact=True).press("Enter")
    leave = page.get_by_role("button", name="Do not ask again by itself")
    host.until(leave.count)
    leave.click()
    host.gateway_is(gateway.__call__)
    until = time.monotonic() + 1.5
    host.until(lambda: time.monotonic() > until)
    assert gateway.requests == []
    expect(page.get_by_role("button", name="Try again")).to_be_visible()


LOSE = "([thread, id]) => hear({ push: 'text', thread, id, at: 10_000, text: 'after a message that was lost' })"


def test_an_answer_that_ends_while_a_view_is_drawn_anew_is_seen_to_end(host):
    """What a view asks for is read before the end of the answer, and arrives after the end was told."""
    thread = host.panel.threads.find(host.panel.threads.current)
    thread.pairs.append(running := MessagePair("And now?", "Some", "running"))
    page = host.anew()
    turn = page.locator(".rsql-turn")
    host.until(lambda: turn.filter(has_text="Some").count())
    turn.get_by_label("Copy the question").focus()
    page.evaluate(LOSE, [thread.id, running.id])
    late = host.reply_to("hello")
    running.answer, running.state = "Some words.", "done"
    host.panel.threads.tell(thread, running, "exchange")
    host.until(lambda: turn.filter(has_text="Some words.").count())
    page.evaluate("told => hear(told)", late)
    host.until(lambda: page.get_by_role("button", name="Send", exact=True).count())
    expect(turn).to_have_count(1)
    expect(turn).to_have_attribute("data-state", "done")
    expect(turn).to_contain_text("Some words.")
    expect(turn.get_by_label("Copy the question")).to_be_focused()


def test_a_conversation_that_is_begun_is_not_left_for_the_one_before(host):
    """That one was to be drawn anew, after a message that was lost, while the kernel was slow to begin."""
    thread = host.panel.threads.find(host.panel.threads.current)
    thread.pairs.append(MessagePair("And now?", "Some", "done"))
    page = host.anew()
    turn = page.locator(".rsql-turn")
    host.until(lambda: turn.filter(has_text="Some").count())
    page.evaluate(LOSE, [thread.id, thread.pairs[0].id])
    page.get_by_role("button", name="New conversation", exact=True).first.click()
    page.wait_for_timeout(300)  # meanwhile the kernel answers nothing
    host.until(lambda: page.locator(".rsql-offer").count())
    for _ in range(30):
        host.until(lambda: True)
    expect(turn).to_have_count(0)
    assert host.panel.threads.current != thread.id


def everywhere(text):
    """A question and answer that have a text in all places."""
    change = dict.fromkeys(("title", "reason", "before", "type", "cell"), text)
    change |= {"id": "c1", "kind": "insert", "state": "proposed", "source": f"{text}\nx = 1", "number": 1}
    change |= {"findings": [text], "effects": [{"kind": text, "text": text}]}
    result = dict.fromkeys(("sql", "count", "variable", "connection"), text) | {"chart": False, "more": 1}
    result |= {"drafts": [{"why": text, "mended": False}]}
    result |= {"columns": [{"name": text, "right": False}], "rows": [[text]]}
    lines = dict.fromkeys(("sources", "problems", "notes"), (text,))
    passage = {"label": text, "text": text, "borne_out": False}
    error = dict.fromkeys(("message", "hint", "kind", "sql", "code"), text)
    words = dict.fromkeys(("footer", "status", "model", "requested_model", "request_id", "rating", "topic"), text)
    more = {"result": result, "error": error, "citations": (passage,), "changes": (change,)}
    return MessagePair(text, text, "failed", **words, **lines, **more)


OPENED = "document.querySelectorAll('.rsql-turn').forEach(({ exchange }) => exchange.appear())"


def test_hostile_words_do_nothing_in_any_place_of_the_panel(host, monkeypatch):
    """Beside answers: titles, reasons and diffs of changes, results, errors, passages, files, conversations, offers."""
    known = [json.loads(line)["markdown"] for line in ATTACKS.read_text(encoding="utf-8").splitlines()]
    known = [text.replace("{{server}}", "http://canary.invalid") for text in known]
    texts = [*xss.STRINGS, *known, *map(markdown_replies.reply, range(30))]
    threads = host.panel.threads
    thread = threads.find(threads.current)
    thread.title = texts[3]
    thread.pairs += map(everywhere, texts)
    head = thread.head()
    monkeypatch.setattr(
        threads, "heads", lambda: [head, *(head | {"id": str(n), "title": t} for n, t in enumerate(texts))]
    )
    file = dict.fromkeys(("kind", "media", "digest", "code", "pair"), "x") | {"bytes": 1, "made": 1.0, "pinned": False}
    files = [file | {"id": str(n), "name": text, "kind": text, "code": text} for n, text in enumerate(texts)]
    words = dict.fromkeys(("refused", "room"), "".join(texts))
    monkeypatch.setattr(FileRequests, "files", lambda *_, **__: {"files": files, **words})
    row = {"shared": False, "turns": 1, "changed": 1.0, "pair": ""}
    rows = [row | {"id": str(n), "title": t, "notebook": t, "text": t} for n, t in enumerate(texts)]
    kept = {"here": rows, "elsewhere": rows, "whole": False, "rest": None}
    monkeypatch.setattr(threads.reader, "listed", lambda *_, **__: kept)
    page, asked = host.page.context.new_page(), []
    page.on("request", lambda request: asked.append(request.url))
    host.anew(page)
    host.until(lambda: page.locator(".rsql-turn").count() == len(texts))
    page.evaluate(OPENED)
    changes = page.locator(".rsql-changes")
    expect(changes).to_have_count(len(texts))
    expect(changes.nth(3).locator(".rsql-reason")).to_have_text(texts[3])
    seen = [page.evaluate(xss.INSPECTED)]
    page.locator(".rsql-title").click()
    host.until(lambda: page.locator(".rsql-menu .rsql-thread").count() > len(texts))
    seen.append(page.evaluate(xss.INSPECTED, ".rsql-menu *"))
    for item in ("Find and manage all", "Files of this conversation"):
        if item.startswith("Files"):
            page.get_by_label("More").click()
        page.get_by_role("menuitem", name=item).click()
        host.until(lambda: page.locator(".rsql-sheet li").count() >= len(texts))
        seen.append(page.evaluate(xss.INSPECTED, ".rsql-sheet *"))
        page.locator(".rsql-sheet").get_by_label("Close").click()
    assert seen == [[], [], [], []]
    assert page.evaluate("window.hacked") is None
    assert [url for url in asked if not url.startswith(("blob:", "data:"))] == []


READ = """() => {
  const log = document.querySelector(".rsql-log");
  const place = (node) => node.getBoundingClientRect().top;
  window.line = { frames: 0 };
  // Scroll, and see how far the first line that can be read then moves, frame by frame, until the next time.
  window.read = (by) => {
    log.scrollTop += by;
    const { left, top } = log.getBoundingClientRect();
    const hits = [4, 24, 44, 64, 84].map((below) => document.elementFromPoint(left + 60, top + below));
    const node = hits.map((hit) => hit.closest("p, pre, td, th, .rsql-question")).find(Boolean) ?? hits[0];
    const line = { moved: 0, frames: 0, redrawn: false, words: node.textContent.slice(0, 30) };
    line.isText = node.matches("p, .rsql-question");
    const first = place(node);
    const look = () => {
      if (window.line !== line) return;
      line.frames += 1;
      if (node.isConnected) line.moved = Math.max(line.moved, Math.abs(place(node) - first));
      else line.redrawn = true;
      requestAnimationFrame(look);
    };
    window.line = line;
    requestAnimationFrame(look);
  };
}"""


def test_what_is_read_stays_in_its_place_while_answers_are_drawn_above_and_written_below(host):
    """Answers that come near the screen are drawn with formulas, colours, tables and charts, each of another height."""
    thread, dice = host.panel.threads.find(host.panel.threads.current), random.Random(7)
    spec, _ = charts.draw(Chart("bar", "n", "square"), pd.DataFrame({"n": ["a", "b"], "square": [1, 4]}))
    for n in range(24):
        pair = MessagePair(f"Question {n}? " * dice.randrange(1, 30), state="done")
        code = "```python\n" + "x = [1, 2, 3]  # some\n" * dice.randrange(1, 14) + "```"
        parts = [code, "$$\\sum_{i=1}^{n} \\frac{i^2}{2}$$", "some words " * dice.randrange(5, 60), "- one\n- two"]
        pair.answer = "\n\n".join(dice.choices(parts, k=dice.randrange(1, 14)))
        if n % 3 == 0:
            columns = [{"name": "n", "right": False}, {"name": "square", "right": True}]
            result = {"sql": "SELECT 1", "count": "2 rows", "variable": "sql_1", "connection": "", "drafts": []}
            pair.result = result | {"chart": True, "columns": columns, "rows": [["a", "1"], ["b", "4"]], "more": 0}
            pair.drawing = spec
        thread.pairs.append(pair)
    page = host.page
    running = MessagePair("And now?", state="running")
    thread.pairs.append(running)
    page = host.anew()
    host.until(lambda: page.locator(".rsql-turn").count() == 25)
    page.evaluate(READ)
    redrawn = 0
    for _ in range(24):
        page.evaluate("by => read(by)", -dice.choice((120, 400, 700, 900)))
        at, words = len(running.answer), "more words that are written below " * 4 + "\n\n" * dice.randrange(2)
        running.answer += words
        host.panel.threads.tell(thread, running, "text", at=at, text=words)
        for _ in range(3):  # colours, formulas and charts come from the kernel
            frames = page.evaluate("line.frames")
            host.until(lambda frames=frames: page.evaluate("line.frames") > frames + 1)
        line = page.evaluate("line")
        assert line["moved"] <= 1, line
        redrawn += line["redrawn"]
    assert redrawn < 6, "what is drawn anew cannot be followed"
    expect(page.locator(".rsql-chart img").nth(1)).to_be_attached()
    expect(page.locator(".rsql-turn").last).to_contain_text("more words that are written below")


@pytest.mark.parametrize(
    ("number", "by"),
    [
        pytest.param(1, 0, id="short"),
        pytest.param(40, -300, id="middle"),
        pytest.param(40, 0, id="end", marks=pytest.mark.sweep),
        pytest.param(40, -100_000, id="start", marks=pytest.mark.sweep),
    ],
)
def test_what_is_read_stays_in_its_place_while_a_banner_comes_and_goes(host, number, by):
    thread = host.panel.threads.find(host.panel.threads.current)
    thread.pairs += [MessagePair(f"Question {n}?", "some words " * 30, "done") for n in range(number)]
    page = host.page
    page = host.anew()
    host.until(lambda: page.locator(".rsql-turn").count() == number)
    page.evaluate(READ)
    page.evaluate("by => read(by)", by)

    def all_is_drawn():
        page.evaluate("read(0)")
        page.wait_for_function("line.frames > 5")
        return page.evaluate("line.isText && !line.moved")

    host.until(all_is_drawn)
    banner = page.locator(".rsql-panel > .rsql-trouble")
    for text in ("The disk is full.", "The disk is full. " * 20, ""):
        told = {"push": "threads", "threads": host.panel.threads.heads(), "trouble": text}
        page.evaluate("told => hear(told)", told)
        expect(banner).to_be_visible(visible=bool(text))
        expect(banner).to_have_text(text)
        frames = page.evaluate("line.frames")
        host.until(lambda frames=frames: page.evaluate("line.frames") > frames + 1)
        line = page.evaluate("line")
        assert line["moved"] <= 1, (line, text)


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_it_can_be_read_without_a_theme(host):
    host.until(lambda: host.page.locator(".rsql-welcome").count())
    styles = "node => [getComputedStyle(node).backgroundColor, getComputedStyle(node).color]"
    back, text = (_brightness(each) for each in host.page.locator(".rsql-panel").evaluate(styles))
    assert abs(back - text) > 120
    assert host.page.locator(".rsql-panel").evaluate("node => node.scrollWidth - node.clientWidth") <= 1


def _brightness(colour):
    red, green, blue = (float(part) for part in colour[colour.index("(") + 1 : -1].split(",")[:3])
    return 0.3 * red + 0.6 * green + 0.1 * blue
