"""Screens and tables: what is shown, how often, and what is escaped."""

from __future__ import annotations

import io
import re

import pandas as pd
import pytest

from rsql_magic.answers import Answer
from rsql_magic.display import (
    CellOutput,
    Screen,
    TerminalScreen,
    fenced,
    folded,
    listing,
    quiet,
    safe_markdown,
    table_html,
    usage_line,
)
from rsql_magic.display import screens as display
from rsql_magic.display.screens import BatchScreen, NotebookScreen
from rsql_magic.gateway import Text, Usage, Waiting
from rsql_magic.plain_text import unlinked


@pytest.fixture
def published(monkeypatch):
    """Everything that is published: (markdown or text, whether it updates)."""
    seen = []

    def publish(bundle, metadata, **options):
        seen.append((bundle.get("text/markdown", bundle.get("text/plain")), options.get("update", False)))

    monkeypatch.setattr(display, "_publish", publish)
    return seen


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_a_notebook_is_redrawn_at_most_ten_times_a_second(published):
    clock = Clock()
    screen = NotebookScreen(10, clock)
    screen.status("asking")
    for _ in range(1000):  # one second of words
        clock.now += 0.001
        screen.event(Text("w "))
    screen.show(CellOutput("the end"))
    assert 10 <= len(published) <= 13
    assert [update for _, update in published] == [False] + [True] * (len(published) - 1)
    assert published[-1] == ("the end", True)


def test_the_first_word_is_drawn_at_once(published):
    clock = Clock()
    screen = NotebookScreen(10, clock)
    screen.status("asking")
    clock.now += 0.01
    screen.write("Hello")
    assert published[-1][0] == "Hello"


def test_status_words_stand_below_a_draft(published):
    clock = Clock()
    screen = NotebookScreen(10, clock)
    for word in ("linking", "writing"):
        clock.now += 1
        screen.status(word)
    clock.now += 1
    screen.draft("```sql\nSELECT 1\n```")
    assert published[-1][0].endswith("*writing …*")
    clock.now += 1
    screen.restart("repairing: no such column")
    assert published[-1][0] == "*repairing: no such column …*"


def test_the_place_in_the_queue_is_shown(published):
    screen = NotebookScreen()
    screen.event(Waiting(4, 6.2))
    assert published[-1][0] == "*waiting for a free key: place 4, about 6 s …*"
    screen.event(Text("```sql\nSELECT"), draft=True)
    assert "waiting" not in published[-1][0]


def test_a_batch_run_has_one_output(published):
    screen = BatchScreen()
    screen.status("asking")
    screen.write("a")
    screen.draft("b")
    screen.restart("c")
    screen.show(CellOutput("the end", "the end", "usage"))
    assert published == [(f"the end\n\n{quiet('usage', 'usage')}", False)]


CHART = {"application/vnd.vegalite.v5+json": {}, "text/plain": "<Bar chart of n by origin>"}


def test_a_chart_stands_above_the_usage_line(published):
    shown = CellOutput("the table", "the table", "usage")
    BatchScreen().show_all(shown.with_chart(CHART))
    assert [text for text, _ in published] == ["the table", CHART["text/plain"], quiet("usage", "usage")]
    drawn = {**CHART, "image/svg+xml": "<svg/>", "image/png": "x"}
    (one,) = shown.with_chart(drawn)
    page = one.bundle()["text/html"]
    assert page.index("the table") < page.index('<img alt="Bar chart of n by origin"') < page.index("usage</div>")
    assert "max-width:100%" in page


@pytest.mark.parametrize("footer", [True, False])
def test_a_terminal_prints_a_chart_above_the_usage_line(footer):
    out = io.StringIO()
    TerminalScreen(footer=footer, out=out).show_all(CellOutput("", "the table", "usage").with_chart(CHART))
    assert out.getvalue() == "the table\n<Bar chart of n by origin>\n" + "usage\n" * footer


def test_code_has_a_card_with_its_language_wherever_it_ends():
    shown = CellOutput(safe_markdown("A\n```sql\nSELECT '```'\n```\n\n- b\n\n  ```\n  c\n  ```\n\n```\nd")).bundle()
    text = shown["text/markdown"]
    assert re.findall(r'rsql-code-head"[^>]*>(\w+)</div>', text) == ["SQL", "Text"]  # one in a list stays there
    assert text.count("<div") == text.count("</div>") == 6
    assert "\n\n````sql\nSELECT '```'\n````\n\n</div></div>" in text


def test_words_cannot_close_or_forge_a_card():
    hostile = '</div><div class="rsql-code">\n\n$$\n```sql\nDROP\n$$\n\n```sql"><script>\nx\n```'
    text = CellOutput(safe_markdown(hostile)).bundle()["text/markdown"]
    assert "<script" not in text
    outside = re.sub(r"(?ms)^(`{3,}).*?^\1$", "", text)
    assert outside.count('<div class="rsql-code"') == outside.count("</div>") / 3


def test_nobody_sees_nothing(published, capsys):
    screen = Screen()
    for call in (screen.status, screen.write, screen.draft, screen.restart, screen.say):
        call("x")
    screen.show(CellOutput("x"))
    screen.also({"text/plain": "x"})
    assert published == []
    assert capsys.readouterr().out == ""


def test_a_terminal_prints_words_as_they_come():
    out, err = io.StringIO(), io.StringIO()
    screen = TerminalScreen(out=out, err=err)
    screen.status("asking")
    screen.write("Hel")
    assert out.getvalue() == "Hel"
    screen.write("lo")
    screen.show(CellOutput("Hello", "Hello", "llama · 1 s"))
    assert out.getvalue() == "Hello\nllama · 1 s\n"
    assert err.getvalue() == ""


def test_a_terminal_wipes_its_status():
    class Tty(io.StringIO):
        def isatty(self):
            return True

    out, err = io.StringIO(), Tty()
    screen = TerminalScreen(out=out, err=err)
    screen.status("linking")
    screen.show(CellOutput("*x*", "x"))
    assert err.getvalue() == "\r\x1b[Klinking …\r\x1b[K"
    assert out.getvalue() == "x\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a <script>x</script>", "a &lt;script&gt;x&lt;/script&gt;"),
        ("1 < 2 and a<b", "1 &lt; 2 and a&lt;b"),
        ("`i` ``a`<b>`` <b>", "`i` <code>a&#96;&lt;b&gt;</code> &lt;b&gt;"),
        ("```html\n<b>\n```\n<b>", "```html\n<b>\n```\n\n&lt;b&gt;"),
        ("```html\n<b>", "```html\n<b>\n```"),
        ("~~~\n<b>\n~~~", "```\n<b>\n```"),
        ("![x](http://evil/?q=1) and [y](z)", "x and y"),
        ("<!-- x --> <?php", "&lt;!-- x --&gt; &lt;?php"),
        ("```\n``` <b>\n```\n<b>", "````\n``` <b>\n````\n\n&lt;b&gt;"),
    ],
)
def test_a_models_markdown_is_tamed(text, expected):
    assert safe_markdown(text) == expected


def test_a_table_is_escaped_and_on_one_line():
    frame = pd.DataFrame(
        {"<i>": ["<script>", "a\n\nb"], "x": [1.5, pd.NA], "m": ["$1$ `c` \\(", "[l](u)"], "more": [1, 2]}
    )
    made = table_html(frame, rows=10, columns=3)
    assert "\n" not in made
    for bad in ("<script>", "<i><", "$", "`", "\\"):
        assert bad not in made.replace("<i>NULL</i>", "")
    assert "<i>NULL</i>" in made
    assert made.count("<td>…</td>") == 2
    assert "1.5" in made


def test_numbers_stand_on_the_right():
    shown = table_html(pd.DataFrame({"name": ["a"], "n": [1], "ok": [True]}), rows=5, columns=5)
    assert '<td style="text-align:left">a</td><td style="text-align:right">1</td>' in shown
    assert '<td style="text-align:left">True</td>' in shown


def test_odd_frames_can_be_shown():
    duplicate = pd.DataFrame([[1, 2]], columns=["a", "a"])
    assert table_html(duplicate, rows=5, columns=5).count("<td") == 2
    assert "<tbody></tbody>" in table_html(duplicate.head(0), rows=5, columns=5)
    lists = pd.DataFrame({"a": [[1, None], {"b": 2}]})
    assert ">[1, None]</td>" in table_html(lists, rows=5, columns=5)


def test_code_cannot_leave_its_block():
    assert fenced("a\n```\nb") == "````\na\n```\nb\n````"
    assert "<script>" not in folded("<script>", "")


def test_the_usage_line_says_what_is_known_and_no_more():
    assert usage_line(Usage()) == ""
    full = Usage(
        1204,
        88,
        2,
        1.24,
        3.1,
        cached=True,
        cost_usd=0.00123,
        model="m",
        limits=(("limit-requests", "200"), ("remaining-requests", "12")),
    )
    assert usage_line(full, notes=["2 values redacted"]) == (
        "m · 1,204 + 88 tokens · 1.2 s · waited 3.1 s · 2 requests · cached · $0.0012 · "
        "12 of 200 requests left · 2 values redacted"
    )
    unlimited = Usage(model="m", limits=(("limit-requests", "2147483647"), ("remaining-requests", "2147483647")))
    assert usage_line(unlimited) == "m"


def test_a_listing_is_a_table_in_both_forms():
    shown = listing([("a", "<b>"), ("longer", "x")], ("name", "what"))
    assert shown.plain == "name    what\na       <b>\nlonger  x"
    assert "<td>&lt;b&gt;</td>" in shown.markdown


def test_what_stands_below_an_answer_is_not_part_of_its_unfinished_code():
    shown = Answer("```r\nx <- 1", sources=("frame sales",), problems=("It `stops`.",)).shown()
    assert shown.markdown == "```r\nx <- 1\n```\n\nfrom `sales`\n\n⚠ It `stops`."


def test_the_usage_line_beside_a_widget_looks_like_any_other():
    assert CellOutput(footer="1 s").bundle() == {"text/plain": "1 s", "text/markdown": quiet("1 s", "usage")}
    assert "text/markdown" not in CellOutput(plain="x", footer="1 s").bundle()


@pytest.mark.parametrize("before", ["", "9", "-", ".", "+", "sql" + "+" * 40, "é", "https", "data:"])
def test_no_front_end_finds_another_scheme_in_plain_text(before):
    link = re.compile(r"(?:[a-zA-Z][a-zA-Z0-9+.-]{2,40}://|data:)[^\s\"]{2,}")  # JupyterLab's
    assert not link.search(unlinked(f"{before}javascript://x%0aalert(1)"))
    assert not link.search(unlinked(f"{before} data:text/html,x"))
    assert link.search(unlinked("postgresql+psycopg://a/b"))
