"""Readers of Markdown as front ends have them, and what is in the pages they make."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

from markdown_it import MarkdownIt

import rsql_magic

_MARKED = Path(rsql_magic.__file__).parent / "static" / "vendor" / "marked.umd.js"
_NODE = """
const { marked } = require(process.argv[1]);
const texts = JSON.parse(require("fs").readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(texts.map((text) => marked.parse(text, { gfm: true }))));
"""


def by_marked(texts):
    """As JupyterLab, Notebook and the panel read."""
    if shutil.which("node") is None:
        return [""] * len(texts)
    done = subprocess.run(
        ["node", "-e", _NODE, str(_MARKED)], input=json.dumps(texts), capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def by_mistune(texts):
    """As nbconvert reads."""
    from nbconvert.filters.markdown_mistune import markdown2html_mistune

    return [markdown2html_mistune(text) for text in texts]


def by_markdown_it(texts):
    """As VS Code reads, more or less, with HTML let through."""
    reader = MarkdownIt("gfm-like", {"html": True})
    return [reader.render(text) for text in texts]


READERS = {"marked": by_marked, "mistune": by_mistune, "markdown_it": by_markdown_it}


class _Page(HTMLParser):
    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.events = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.events.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        self.events.append((f"/{tag}", {}))

    def handle_data(self, data):
        self.events.append(("", data))


_TAGS = (
    "p br hr strong em del s code pre ul ol li blockquote a sup sub h1 h2 h3 h4 h5 h6 table thead tbody tr th td span "
    "details summary i div input"
)
SAFE_TAGS = set(_TAGS.split())
SAFE_ATTRIBUTES = {"href", "title", "start", "align", "class", "style", "id", "disabled", "checked", "type"}


def dangers(html):
    """What in a page could run, load, or lead elsewhere than to the web or a mail address."""
    found = []
    for tag, attributes in _Page(html).events:
        if not tag or tag.startswith("/"):
            continue
        if tag not in SAFE_TAGS:
            found.append(f"<{tag}>")
        for name, given in attributes.items():
            value = given or ""
            if name not in SAFE_ATTRIBUTES:
                found.append(f"{name}=")
            if name == "href" and not re.match(r"https?://|mailto:|#", value, re.I):
                found.append(f"href={value}")
            if name == "style" and not re.fullmatch(r"text-align: ?(left|right|center);?", value):
                found.append(f"style={value}")
            if name == "type" and value != "checkbox":
                found.append(f"type={value}")
            if name == "class" and "mermaid" in value:
                found.append("mermaid")
    return found


_DROPPED = {"span", "/span", "thead", "/thead", "tbody", "/tbody", "div", "/div"}
_SAME = {"s": "del", "/s": "/del", "b": "strong", "i": "em"}
_BLOCKS = {"p", "hr", "ul", "ol", "li", "blockquote", "h[1-6]", "table", "tr", "th", "td", "pre", "br"}


def looks(html):
    """What a page shows, without differences that nobody sees: one text with its marks."""
    parts, preformatted = [], 0
    for made, what in _Page(html).events:
        tag = _SAME.get(made, made)
        if not tag:
            parts.append(what if preformatted else re.sub(r"[ \t\n]+", " ", what))
            continue
        preformatted += (tag == "pre") - (tag == "/pre")
        if tag in _DROPPED or (tag == "a" and what.get("class") == "anchor-link"):
            continue
        marks = {key: unquote(what[key]) for key in ("href", "title", "start") if what.get(key)}
        marks |= {"align": found[0]} if (found := re.findall("left|right|center", str(what))) and tag in "thtd" else {}
        parts.append(f"<{tag}{''.join(f' {key}={value}' for key, value in sorted(marks.items()))}>")
    text = "".join(parts)
    text = re.sub(r"\n*</code></pre>", "</code></pre>", re.sub(r" start=1>", ">", text))
    for block in _BLOCKS:
        text = re.sub(rf"\s*(</?{block}\b[^>]*>)\s*", r"\1", text)
    text = re.sub(r"<p>(?=</li>|<)|(?<=<li>)<p>|</p>(?=</li>)", "", text)
    return text.strip()
