"""What leaves the kernel of the assistant's cells: checked representations; originals are kept for a person."""

from __future__ import annotations

import base64
import random
import threading
import unicodedata
from html.parser import HTMLParser
from types import SimpleNamespace

import altair as alt
import pandas as pd
import pytest
from IPython.core.events import EventManager, available_events

from rsql_magic.agent import HeldOutputs
from rsql_magic.display import checked_output, difference, oddities
from rsql_magic.errors import BadInput

SALES = pd.DataFrame({"region": ["N", "S"], "amount": [1, 2]})
DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
ELEMENTS = [
    "a",
    "abbr",
    "animate",
    "applet",
    "area",
    "audio",
    "b",
    "base",
    "bdo",
    "body",
    "button",
    "canvas",
    "details",
    "dialog",
    "div",
    "embed",
    "font",
    "form",
    "frame",
    "frameset",
    "head",
    "html",
    "iframe",
    "image",
    "img",
    "input",
    "isindex",
    "keygen",
    "link",
    "map",
    "marquee",
    "math",
    "meta",
    "mglyph",
    "mtext",
    "noscript",
    "object",
    "p",
    "param",
    "picture",
    "plaintext",
    "portal",
    "script",
    "select",
    "slot",
    "source",
    "span",
    "style",
    "svg",
    "table",
    "td",
    "template",
    "textarea",
    "title",
    "tr",
    "track",
    "use",
    "video",
    "x-y",
    "xmp",
]
ATTRIBUTES = [
    "onclick",
    "onerror",
    "onload",
    "onfocus",
    "ontoggle",
    "onpointerrawupdate",
    "href",
    "src",
    "srcset",
    "xlink:href",
    "action",
    "formaction",
    "data",
    "poster",
    "background",
    "style",
    "srcdoc",
    "ping",
    "cite",
    "usemap",
    "is",
    "name",
    "http-equiv",
    "content",
    "accesskey",
    "contenteditable",
    "autofocus",
    "tabindex",
    "popover",
    "target",
    "download",
    "part",
    "slot",
    "class",
    "id",
    "lowsrc",
    "dynsrc",
    "longdesc",
]
VALUES = (
    "javascript:window.hacked=1",
    "http://canary.invalid/x",
    "//canary.invalid/x",
    "data:text/html,<script>1</script>",
    "data:image/svg+xml,<svg onload=1>",
    'data:image/png;base64,AAAA" onerror=1 x="',
    "background:url(http://canary.invalid/)",
    "color:red;position:fixed;inset:0",
    "background:\\75rl(//canary.invalid)",
    "width:expression(alert(1))",
    "background-image:image-set('//canary.invalid/x' 1x)",
    "margin:-500px",
    "jp-Dialog lm-Widget rsql-primary",
    "T_1 jupyterapp",
)
FRAMES = ("{}", "<table><tr><td>{}</td></tr></table>", "<math><mtext>{}</mtext></math>", "<svg>{}</svg>", "<!--{}-->")
SHEETS = (
    "@import '//canary.invalid';",
    "body {display: none}",
    "* {position: fixed}",
    "#T_1 {background: url(//canary.invalid)}",
    "#T_1 {} </style><img src=x onerror=1>",
    "a[href^='x'] {color: red}",
    "#T_1:has(+ body) {color: red}",
    "> body, + div, ~ div {color: red}",
    "#T_1 {content: 'x'; cursor: url(//canary.invalid)}",
    "@media print {#T_1 {color: red}}",
)


class Acting(HTMLParser):
    """What of a page could act, ask for an address, or stand outside of its own place."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        if tag in {"script", "iframe", "object", "embed", "form", "link", "meta", "base", "svg", "math", "a", "input"}:
            self.found.append(tag)
        for name, value in attrs:
            safe = name == "src" and str(value).startswith(("data:image/png;base64,", "data:image/svg+xml;base64,"))
            if name.startswith("on") or (name not in SHOWN and not safe):
                self.found.append(f"{tag} {name}")
            if name == "style" and any(
                word in str(value).lower() for word in ("url", "\\", "position", "-5", "image-set")
            ):
                self.found.append(str(value))
            if name == "class" and str(value).startswith(("jp-", "lm-", "rsql-primary")):
                self.found.append(str(value))


SHOWN = {"class", "id", "style", "colspan", "rowspan", "border", "alt", "scope", "align", "valign"}


def acting(html):
    found = Acting()
    found.feed(html)
    found.close()
    return found.found


def pages(seed, number):
    chosen = random.Random(seed)
    for _ in range(number):
        tag, name, value = chosen.choice(ELEMENTS), chosen.choice(ATTRIBUTES), chosen.choice(VALUES)
        sign = chosen.choice(["'", '"', ""])
        inner = f"<{tag}{chosen.choice([' ', '/', chr(10)])}{name}={sign}{value}{sign}>words</{tag}>"
        if chosen.random() < 0.3:
            inner += f"<style>{chosen.choice(SHEETS)}</style>"
        yield chosen.choice(FRAMES).format(inner)


def tried(number):
    for page in pages(33, number):
        shown = checked_output({"text/html": page}, {})
        html = shown.data.get("text/html", "")
        assert acting(html) == [], page
        assert "canary" not in html.partition("<style>")[2].partition("</style>")[0], page
        assert shown.data.keys() <= {"text/plain", "text/html"}


def test_of_pages_made_by_chance_nothing_acts():
    tried(600)


@pytest.mark.sweep
def test_of_many_pages_made_by_chance_nothing_acts():
    tried(60_000)


def test_a_style_sheet_reaches_its_own_output_only():
    for sheet in SHEETS:
        html = checked_output({"text/html": f"<style>{sheet}</style><p>x</p>"}, {}).data["text/html"]
        rules = html.partition("<style>")[2].partition("</style>")[0].strip().splitlines()
        assert all(rule.startswith(".rsql-checked-") for rule in rules), sheet
        assert acting(html) == []


def test_formulas_in_words_of_a_page_are_no_formulas():
    html = checked_output({"text/html": r"<p>$\href{javascript:1}{x}$ and \begin{x}</p>"}, {}).data["text/html"]
    assert "$" not in html
    assert "\\" not in html


@pytest.mark.parametrize(
    "kind",
    [
        *("application/javascript", "application/vnd.jupyter.widget-view+json", "application/geo+json", "text/x-own"),
        *(
            "application/vnd.holoviews_exec.v0+json",
            "application/json",
            "application/pdf",
            "application/vnd.vega.v5+json",
        ),
    ],
)
def test_what_is_not_on_the_list_is_named_in_words(kind):
    shown = checked_output({kind: {"a": 1}, "text/plain": "x"}, {"isolated": True, kind: {"expanded": True}})
    assert shown.data == {"text/plain": f"x\n[not shown: {kind}]"}
    assert shown.metadata == {}
    assert shown.left_out == (kind,)


def test_pictures_are_pictures_and_svg_is_one():
    shown = checked_output({"image/png": DOT + "\n", "image/jpeg": '" onerror="x'}, {"image/png": {"width": 3, "x": 1}})
    assert shown.data == {"image/png": DOT, "text/plain": ""}
    assert shown.metadata == {"image/png": {"width": 3}}
    assert checked_output({"image/png": base64.b64encode(b"<svg onload=1>").decode()}, {}).left_out == ("image/png",)
    drawn = checked_output({"image/svg+xml": "<svg onload='window.hacked=1'/>"}, {})
    assert acting(drawn.data["text/html"]) == []
    assert "onload" not in drawn.data["text/html"]


def test_markdown_and_formulas_are_written_anew():
    shown = checked_output({"text/markdown": "*a* ![x](http://canary.invalid) <img src=x onerror=1>"}, {})
    assert shown.data["text/markdown"] == "*a* x &lt;img src=x onerror=1&gt;"
    assert shown.left_out == ("parts of text/markdown",)
    latex = checked_output({"text/latex": r"$\displaystyle x^2 \href{javascript:1}{y}$"}, {}).data["text/latex"]
    assert "href" not in latex
    assert "x^2" in latex


def test_tables_stay_whole():
    for made in (SALES._repr_html_(), SALES.style.bar(subset=["amount"]).set_caption("Sums")._repr_html_()):
        assert checked_output({"text/html": made}, {}).left_out == ()
    hostile = SALES.style.format('<img src="http://canary.invalid/{}" onerror="x">', subset=["amount"])
    assert acting(checked_output({"text/html": hostile._repr_html_()}, {}).data["text/html"]) == []


def chart(**more):
    spec = alt.Chart(SALES).mark_bar().encode(x="amount:Q", y="region:N").to_dict()
    return {**spec, **more}


def drawn(spec):
    return checked_output({"application/vnd.vegalite.v6+json": spec}, {}).data.get("application/vnd.vegalite.v5+json")


def test_charts_are_data():
    base = alt.Chart(SALES)
    for made in (
        base.mark_line(point=True).encode(x="region", y="amount", color="region").interactive(),
        base.mark_bar().encode(x="count()", y=alt.Y("region").sort("-x")).properties(title="Sums", width=200),
        base.mark_point().encode(x="amount", y="amount") | base.mark_tick().encode(x="amount"),
        base.mark_bar().encode(x=alt.X("amount").bin(maxbins=9), y="count()")
        + base.mark_rule().encode(x="mean(amount)"),
    ):
        assert drawn(made.to_dict()), made.to_json()
    assert drawn(chart())["datasets"]
    for more in (
        {"data": {"url": "http://canary.invalid"}},
        {"mark": {"type": "image", "url": "x"}},
        {"mark": {"type": "bar", "href": "javascript:1"}},
        {"encoding": {"href": {"field": "region"}}},
        {"encoding": {"url": {"field": "region"}}},
        {"encoding": {"x": {"field": "constructor"}}},
        {"encoding": {"x": {"field": "amount", "axis": {"labelExpr": "1"}}}},
        {"encoding": {"x": {"field": "amount", "axis": {"labelFont": {"expr": "1"}}}}},
        {"transform": [{"calculate": "1", "as": "x"}]},
        {"transform": [{"filter": "warn(1)"}]},
        {"transform": [{"lookup": "x", "from": {"data": {"url": "//canary.invalid"}}}]},
        {"params": [{"name": "p", "bind": {"input": "text", "element": "body"}}]},
        {"params": [{"name": "p", "expr": "1"}]},
        {"config": {"customFormatTypes": True}},
        {"$schema": "http://canary.invalid/schema.json"},
        {"title": "http://canary.invalid"},
    ):
        assert drawn(chart(**more)) is None, more
    told = drawn(chart(usermeta={"embedOptions": {"loader": {}}}, mark={"type": "bar", "tooltip": {"content": "data"}}))
    assert "usermeta" not in told
    assert told["mark"] == {"type": "bar"}


def test_figures_of_plotly_are_data():
    kind = "application/vnd.plotly.v1+json"
    figure = {
        "data": [{"type": "bar", "x": ["<a href='x'>N</a>"], "y": [1]}],
        "layout": {"template": {}, "title": {"text": "A"}},
    }
    shown = checked_output({kind: {**figure, "config": {"plotlyServerURL": "http://canary.invalid"}}}, {}).data[kind]
    assert shown == {
        "data": [{"type": "bar", "x": ["&lt;a href='x'>N&lt;/a>"], "y": [1]}],
        "layout": {"title": {"text": "A"}},
    }
    for wrong in (
        {"data": [], "layout": {"images": [{"source": "http://canary.invalid"}]}},
        {"data": [{"type": "image", "source": "x"}]},
        {"data": [{"type": "scattermapbox"}]},
        {"data": [{"type": "scattergeo"}]},
        {"data": [], "layout": {"updatemenus": []}},
    ):
        assert kind not in checked_output({kind: wrong}, {}).data


# The hooks, on a session that notes what is sent.


class Session:
    def __init__(self):
        self.sent = []

    def send(self, stream, message, content=None, parent=None, **options):
        kind = message["header"]["msg_type"] if isinstance(message, dict) else message
        self.sent.append((kind, message["content"] if isinstance(message, dict) else content))


class Shell:
    def __init__(self):
        self.events = EventManager(self, available_events)
        self.kernel = SimpleNamespace(session=Session())
        self.request = 0

    def get_parent(self):
        return {"header": {"msg_id": f"request {self.request}"}}

    def run(self, source, work):
        self.request += 1
        self.events.trigger("pre_run_cell", SimpleNamespace(raw_cell=source))
        work()
        self.events.trigger("post_run_cell", None)

    def show(self, html="<script>1</script>", kind="display_data", **transient):
        content = {"data": {"text/html": html, "text/plain": "x"}, "metadata": {}, "transient": transient}
        header, parent = {"msg_type": kind}, self.get_parent()["header"]
        self.kernel.session.send(None, {"header": header, "parent_header": parent, "content": content})
        return self.kernel.session.sent[-1][1]

    @property
    def last(self):
        return self.kernel.session.sent[-1][1]


@pytest.fixture
def shell():
    return Shell()


def is_held(content):
    return "<script" not in str(content["data"])


def test_the_next_run_of_the_text_is_held_and_no_other(shell):
    held = HeldOutputs.of(shell)
    assert HeldOutputs.of(shell) is held
    held.expect("a")
    shell.run("b", shell.show)
    assert not is_held(shell.last)
    shell.run("a", shell.show)
    assert is_held(shell.last)
    shell.run("a", shell.show)  # now it is the user's own
    assert not is_held(shell.last)
    held.expect("a")
    held.expect("a")
    for _ in range(2):  # twice in the queue
        shell.run("a", shell.show)
        assert is_held(shell.last)
    held.expect("a")
    held.forget(["a"])
    shell.run("a", shell.show)
    assert not is_held(shell.last)


def test_what_comes_later_is_held_and_what_the_user_shows_is_not(shell):
    held, go, threads = HeldOutputs.of(shell), threading.Event(), []

    def begins():
        threads.append(threading.Thread(target=lambda: (go.wait(), shell.show(), inner())))
        threads[-1].start()
        shell.show(display_id="one")

    def inner():
        other = threading.Thread(target=shell.show)
        other.start()
        other.join()

    held.expect("a")
    shell.run("a", begins)
    before = len(shell.kernel.session.sent)
    shell.run("b", lambda: (go.set(), threads[0].join()))  # in the user's next cell
    assert [is_held(content) for _, content in shell.kernel.session.sent[before:]] == [True, True]
    assert is_held(shell.show(kind="update_display_data", display_id="one"))
    shell.run("c", lambda: shell.show(display_id="two"))
    assert not is_held(shell.last)


def test_widgets_wait_and_come_with_what_shows_them(shell):
    session, held = shell.kernel.session, HeldOutputs.of(shell)

    def comm(kind, name):
        session.send(None, kind, {"comm_id": name, "data": {}}, parent=shell.get_parent())

    held.expect("a")
    shell.run("a", lambda: (comm("comm_open", "w"), comm("comm_msg", "user's"), shell.show()))
    comm("comm_msg", "w")  # an observer's, later
    comm("comm_msg", "panel's")  # beside the cell
    assert [kind for kind, _ in session.sent] == ["display_data", "comm_msg"]
    assert session.sent[1][1]["comm_id"] == "panel's"
    name = session.sent[0][1]["metadata"]["rsql"]["held"]
    assert held.as_made([name])[name]["data"]["text/html"] == "<script>1</script>"
    assert [content["comm_id"] for kind, content in session.sent[2:]] == ["w", "user's", "w"]
    comm("comm_msg", "w")
    assert session.sent[-1][1]["comm_id"] == "w"


def test_a_page_of_the_pager_is_text_and_unknown_messages_go_nowhere(shell):
    session, held = shell.kernel.session, HeldOutputs.of(shell)
    page = {"source": "page", "data": {"text/html": "<script>1</script>", "text/plain": "x"}}
    payload = [page, {"source": "set_next_input", "text": "1", "replace": True}]
    held.expect("a")
    shell.run("a", lambda: session.send(None, "own", {"x": 1}))
    session.send(None, "execute_reply", {"status": "ok", "payload": payload}, shell.get_parent())
    assert [kind for kind, _ in session.sent] == ["execute_reply"]
    assert session.sent[0][1]["payload"] == [{"source": "page", "start": 0, "data": {"text/plain": "x"}}]


def test_what_is_printed_makes_no_links_that_run(shell):
    session, held = shell.kernel.session, HeldOutputs.of(shell)
    held.expect("a")
    shell.run("a", lambda: None)
    for text in (
        "see javascript:",
        "//alert(1) ",
        "data:/",
        "/x data",
        ":x data:",
        "x",
        " /tmp/a http://a.b \x1b[31mred",
    ):
        session.send(None, "stream", {"name": "stdout", "text": text}, shell.get_parent())
    session.send(
        None, "error", {"ename": "E", "evalue": "x", "traceback": ["\x1b[31mdata:text/html,x"]}, shell.get_parent()
    )
    printed = "".join(content.get("text", "") for _, content in session.sent)
    assert (
        printed.replace("\N{WORD JOINER}", "|")
        == "see javascript:|//alert(1) data|:/|/x data|:x data:|x /tmp/a http://a.b \x1b[31mred"
    )
    assert session.sent[-1][1]["traceback"] == ["\x1b[31mdata\N{WORD JOINER}:text/html,x"]


def test_what_is_no_longer_kept_is_said(shell, monkeypatch):
    held = HeldOutputs.of(shell)
    monkeypatch.setattr("rsql_magic.agent.held_outputs._MOST_KEPT", 100)
    names = []
    for _ in range(4):
        held.expect("a")
        shell.run("a", lambda: shell.show("<script>" + "x" * 20))
        names.append(shell.last["metadata"]["rsql"]["held"])
    assert len(held.as_made([names[-1]])) == 1
    for name in (names[0], "of another kernel"):
        with pytest.raises(BadInput, match="no longer kept"):
            held.as_made([name])
    held.expect("a")
    shell.run("a", lambda: shell.show("<script>" + "x" * 500))
    with pytest.raises(BadInput, match="no longer kept"):
        held.as_made([shell.last["metadata"]["rsql"]["held"]])


def test_answers_of_our_own_magics_are_made_safe_where_they_are_made(shell):
    held = HeldOutputs.of(shell)
    held.expect("%%sql_ai\nHow many?")
    shell.run("%%sql_ai\nHow many?", shell.show)
    assert not is_held(shell.last)
    assert HeldOutputs.of(None).expect("a") is None


def test_code_in_a_difference_says_what_cannot_be_seen():
    hidden = [chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) in {"Cf", "Zl", "Zp"}]
    for sign in hidden:
        code = f"U+{ord(sign):04X}"
        assert code in oddities(f"x{sign} = 1")[0]
        assert code in difference("x = 1", f"x{sign} = 1")["text/plain"]
    for word in ("о\u0440en", "pаndas", "ｏｓ", "οpen", "ﬁle", "ɡet"):
        assert "look like others" in " ".join(oddities(f"{word}(1)")), word
    for fine in ("größe", "Δt", "продажи", "数据df", "x = 1  # fine"):
        assert oddities(fine) == [], fine
    assert "runs of blanks" in " ".join(oddities("x = 1" + " " * 90 + "; y"))


MIMES = [
    *("application/vnd.vegalite.v5+json", "application/vnd.plotly.v1+json", "text/html", "text/markdown", "text/latex"),
    *("image/svg+xml", "image/png", "text/plain", "application/javascript", "application/vnd.jupyter.widget-view+json"),
]
CHART_WORDS = [
    *(
        "data",
        "layout",
        "values",
        "type",
        "mark",
        "encoding",
        "template",
        "datasets",
        "name",
        "$schema",
        "filter",
        "bind",
    ),
    *("tooltip", "x", "title", "usermeta", "spec", "params", "href", "url", "constructor"),
]


def any_json(draw, depth=0):
    kind = draw.randrange(8 if depth < 4 else 5)
    if kind < 5:
        return [None, draw.random(), draw.choice(CHART_WORDS), "<a href=x>", True][kind]
    if kind == 5:
        return [any_json(draw, depth + 1) for _ in range(draw.randrange(4))]
    return {draw.choice(CHART_WORDS): any_json(draw, depth + 1) for _ in range(draw.randrange(5))}


def test_no_form_of_an_output_fails_its_check():
    draw = random.Random(33)
    for _ in range(5_000):
        kind, value = draw.choice(MIMES), any_json(draw)
        if draw.random() < 0.5 and isinstance(value, dict):
            value |= {"data": [any_json(draw), {"type": any_json(draw)}], "mark": draw.choice(["bar", any_json(draw)])}
        shown = checked_output({kind: value}, {kind: any_json(draw)})
        assert {*shown.data} <= {*MIMES} - {"application/javascript", "application/vnd.jupyter.widget-view+json"}
