"""The panel in a page that is no JupyterLab, as VS Code and Colab show widgets: a model, and nothing around it."""

from __future__ import annotations

import base64
import queue
import time

import httpx
import pytest
from e2e import panel_lab
from playwright.sync_api import expect

from rsql_magic.display import charts
from rsql_magic.panel import widget

pytestmark = pytest.mark.usefixtures("without_r")

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
        deadline = time.monotonic() + 15
        while not true():
            if time.monotonic() > deadline:
                pytest.fail(self.page.locator(".rsql-panel").inner_text())
            self.page.wait_for_timeout(10)
            while not self._asked.empty():
                self.panel.receive(self._asked.get())
            while not self._told.empty():
                self.page.evaluate("told => hear(told)", self._told.get())

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
    box.press("Enter")
    host.until(lambda: page.locator(".rsql-turn[data-state=done]").count())
    assert gateway.sent[1]["image_url"]["url"].endswith(RED)
    expect(chips).to_be_hidden()
    box.fill("#")
    expect(box).to_have_value("#")


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
