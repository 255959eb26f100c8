"""A model's Markdown, read and written anew, so that every front end sees the same harmless text."""

# Front ends read Markdown with different libraries, which do not agree on where code ends or what is a link. So nothing
# of the text is passed on as it was written: it is parsed (CommonMark, GitHub's tables, strikethrough and links,
# formulas), and the tree is written in a form that can be read in one way only. A sign that is text is a character
# entity, which stays text in every reader; code that could be read otherwise is written as HTML made of such entities.
# Raw HTML is text, an image is its description, a link leads to the web or to a mail address, the language of code is
# one of a list.
#
# JupyterLab and nbconvert look for formulas in the Markdown, MathJax in the finished page, there also between signs
# that were entities. So a dollar sign that is no formula's stands in an element of its own, which is not searched.

from __future__ import annotations

import html
import re
from functools import cache
from itertools import takewhile
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from rsql_magic.display.tex import tamed
from rsql_magic.plain_text import entities, html_text, printable, printable_so_far

if TYPE_CHECKING:
    from collections.abc import Iterator

    from markdown_it import MarkdownIt
    from markdown_it.rules_block import StateBlock
    from markdown_it.rules_inline import StateInline
    from markdown_it.token import Token

_CODE = (
    "awk bash bat bibtex c c++ clojure cmake console cpp cs csharp css csv cypher dart diff docker "
    "dockerfile elixir erlang fish fortran go graphql groovy haskell html http ini ipython java "
    "javascript js json json5 jsonc julia kotlin latex less lisp lua make makefile markdown matlab md "
    "nginx objective-c ocaml octave perl php plaintext powershell prolog properties proto ps1 py python "
    "python3 r regex rmd rscript ruby rust sas scala scheme scss sh shell sparql sql stan stata swift tcl "
    "terraform tex text toml ts tsv tsx txt typescript vb vim xml yaml yml zsh duckdb mysql plsql "
    "postgres postgresql pycon sqlite tsql zig"
)
_LANGUAGES = frozenset(_CODE.split())
_SCHEME = re.compile(r"(?:https?://|mailto:)", re.I)
_DEEPEST = 6  # emphasis within emphasis
_SIGN = re.compile(
    r"[\\`*{}\[\]<>$~|]|&(?=\S|$)|(?<![^\W_])_|_(?![^\W_])|^@|@(?=@|$)|(?<=@)@|(?<=[A-Za-z]):(?=/)|/(?=/)|(?i:(?<=www)\.)"
)
_TYPESET = re.compile(r"\\(?=[(\[$]|begin|ref|eqref|$)")  # a backslash that MathJax would obey
_BLOCK_START = re.compile(r"\A(\d{0,9})([#+=:>%.)-])")
_PLAIN_CODE = re.compile(r"[\w.,:;=+\-/%()'\"?#^][\w .,:;=+\-/%()'\"?#^]*(?<! )")
_RISKY_IN_A_LIST = re.compile(r"<[A-Za-z/!?]|!\[|\]\(|\]\[|@@")
_FORMULA = re.compile(
    r"\$\$([^$`]+?)\$\$|\$(?!\s)((?:\\.|[^$\\\n`])+?)(?<!\s)\$(?!\d)|\\\(([^`]+?)\\\)|\\\[([^`]+?)\\\]"
)
_FORMULA_BLOCK = re.compile(
    r"\s*(?:\$\$(?P<dollars>[^$]+)\$\$|\\\[(?P<brackets>.+?)\\\]|\\begin\{(?P<name>[a-z]+\*?)\}.+?\\end\{(?P=name)\})\s*",
    re.S,
)
_REST_OF_ADDRESS = re.compile(r"[\w-]+(?:\.[\w-]+)+(?:[/?#][\w/.,:;?#=&%+~()@-]*[\w/=&%+-])?")
# Blocks that a paragraph in the next line would continue.
_OPEN_ENDED = {f"{kind}_open" for kind in ("paragraph", "bullet_list", "ordered_list", "blockquote", "table")}
_OPEN_ENDED.add("formula_block")
_SIDES = (("left", ":--"), ("right", "--:"), ("center", ":-:"))
_PAIRS = {
    **dict.fromkeys(("em_open", "em_close"), ("*", "em")),
    **dict.fromkeys(("strong_open", "strong_close"), ("**", "strong")),
    **dict.fromkeys(("s_open", "s_close"), ("~~", "del")),
}


def safe_markdown(*texts: str) -> str:
    """A model's Markdown as Markdown that shows the same and does nothing; of several texts each by itself.

    Example:
        >>> safe_markdown("a <script>b</script> `x`, *see* [this](javascript:alert(1))")
        'a &lt;script&gt;b&lt;/script&gt; `x`, *see* this'
    """
    return "\n\n".join(map(_safe, list(map(printable, texts))))


def _safe(text: str) -> str:
    try:
        return _blocks(iter(_parser().parse(text)), "") or plain_markdown(text)
    except RecursionError:  # thousands of brackets within each other
        return "\n\n".join(plain_markdown(part) for part in re.split(r"\n\s*\n", text))


class Growing:
    r"""An answer that comes in pieces, at any time as safe Markdown; only its last block is read again.

    Example:
        >>> answer = Growing()
        >>> for piece in ("*One", "*.\n\nTw", "o <b>."):
        ...     answer.add(piece)
        >>> answer.blocks()
        (['*One*.'], 'Two &lt;b&gt;.')
    """

    def __init__(self) -> None:
        self._settled: list[str] = []
        self._open = ""
        self._held = ""
        self._known: dict[str, Any] = {}

    def add(self, text: str) -> None:
        """Take the next piece."""
        text, self._held = printable_so_far(self._held + text)
        self._open += text

    def markdown(self) -> str:
        """What there is so far."""
        settled, last = self.blocks()
        return "\n\n".join(filter(None, [*settled, last]))

    def blocks(self) -> tuple[list[str], str]:
        """The blocks that nothing that follows can change, and the last one."""
        try:
            last = self._last()
        except RecursionError:
            last = safe_markdown(self._open)
        return self._settled, last

    def _last(self) -> str:
        tokens = _parser().parse(self._open, self._known)
        starts = [token.map[0] for token in tokens if token.level == 0 and token.nesting >= 0 and token.map]
        if len(starts) > 1:
            lines = self._open.split("\n")
            before, self._open = "\n".join(lines[: starts[-1]]), "\n".join(lines[starts[-1] :])
            self._settled.append(_blocks(iter(_parser().parse(before, self._known)), ""))
            tokens = _parser().parse(self._open, self._known)
        return _blocks(iter(tokens), "")


def plain_markdown(text: str) -> str:
    """Text as Markdown that shows it as it is, on one line.

    Example:
        >>> plain_markdown("2 * 3 <b>")
        '2 &#42; 3 &lt;b&gt;'
    """
    return _guarded(_escaped(" ".join(printable(text).split()), apart=text.count("$") > 1))


def _code_words(code: str) -> str:
    code = code.replace("\n", " ")
    return f"`{code}`" if _PLAIN_CODE.fullmatch(code) else f"<code>{entities(code)}</code>"


def fenced(code: str, language: str = "") -> str:
    """Code as a Markdown block whose fence is longer than any inside it."""
    return _fence(printable(code).rstrip(), language)


def _fence(code: str, language: str) -> str:
    longest = max((len(run) for run in re.findall(r"`{3,}", code)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{code}{chr(10) if code else ''}{fence}"


_FENCED = re.compile(r"^(`{3,})(\S*)\n(?:.*\n)*?\1$", re.M)
# Inline styles, as front ends drop style sheets, and colours that stand on a dark and on a light ground.
_CARD = "border:1px solid rgba(128,128,128,0.35);border-radius:8px;margin:8px 0;overflow-x:auto"
_HEAD = (
    "border-bottom:1px solid rgba(128,128,128,0.25);background-color:rgba(128,128,128,0.1);"
    "padding:4px 12px;font-size:12px;line-height:20px"
)
# Exported pages let the code of an output inherit its font, which is that of the text elsewhere.
_BODY = "padding:8px 12px;font-family:var(--jp-code-font-family,monospace)"
_SPELLED = {"sql": "SQL", "python": "Python", "r": "R", "bash": "Shell", "json": "JSON"}


def with_cards(markdown: str) -> str:
    r"""Safe Markdown with a card around each block of code that stands by itself.

    The card has the class ``rsql-code``, by which a front end finds what to copy, insert and run.

    Example:
        >>> print(re.sub('style="[^"]+"', 'style="…"', with_cards("One:\n\n```sql\nSELECT 1\n```")))
        One:
        <BLANKLINE>
        <div class="rsql-code" style="…"><div class="rsql-code-head" style="…">SQL</div><div style="…">
        <BLANKLINE>
        ```sql
        SELECT 1
        ```
        <BLANKLINE>
        </div></div>
    """
    # What languages there are is a list, so that the name needs no escape.
    return _FENCED.sub(lambda block: card(_SPELLED.get(block[2], block[2]) or "Text", block[0]), markdown)


def card(name: str, block: str) -> str:
    """A block of Markdown in a card with a name; both are taken as they are."""
    head = f'<div class="rsql-code-head" style="{_HEAD}">{name}</div>'
    return f'<div class="rsql-code" style="{_CARD}">{head}<div style="{_BODY}">\n\n{block}\n\n</div></div>'


def quiet(text: str, kind: str) -> str:
    """A line of small, quiet text; ``kind`` is the end of its class.

    Example:
        >>> quiet("offline · 2 s", "usage")
        '<div class="rsql-usage" style="font-size:85%;opacity:0.75">offline · 2 s</div>'
    """
    return f'<div class="rsql-{kind}" style="font-size:85%;opacity:0.75">{html_text(text)}</div>'


# Reading.


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False, "linkify": True, "maxNesting": 40})
    parser.enable(["table", "strikethrough", "linkify"])
    parser.validateLink = bool  # type: ignore[assignment] # all: where they lead is looked at when written
    if parser.linkify is not None:
        parser.linkify.set({"fuzzy_link": False})
        parser.linkify.add("ftp:", None)
        parser.linkify.add("//", None)
        parser.linkify.add("www.", {"validate": _www, "normalize": _with_scheme})
    parser.inline.ruler.before("escape", "formula", _inline_formula)
    parser.block.ruler.before("code", "formula", _block_formula, {"alt": ["paragraph", "blockquote", "list"]})
    return parser


def as_html(markdown: str) -> str:
    """Markdown that was made safe, as HTML for a page; formulas stay as they are, for MathJax.

    Example:
        >>> as_html(safe_markdown("two *rows*, $x_1$"))
        '<p>two <em>rows</em>, $x_1$</p>'
    """
    return str(_page_parser().render(markdown)).strip()


# Code with the classes that pages of nbconvert give colours to.
def _coloured(code: str, language: str, _: str) -> str:
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    try:
        made = highlight(code, get_lexer_by_name(language), HtmlFormatter(nowrap=True))
    except ClassNotFound:
        return ""
    return f'<pre class="highlight"><code>{made}</code></pre>'


@cache
def _page_parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    def formula(_: Any, tokens: list[Token], place: int, *__: Any) -> str:
        sign = "$$" if tokens[place].block else "$"
        return html.escape(f"{sign}{tokens[place].content}{sign}")

    # A page or notebook that is read stays open beside what it links to.
    def link(renderer: Any, tokens: list[Token], place: int, *more: Any) -> str:
        tokens[place].attrs |= {"target": "_blank", "rel": "noopener noreferrer nofollow"}
        return str(renderer.renderToken(tokens, place, *more))

    parser = MarkdownIt("commonmark", {"html": True, "highlight": _coloured}).enable(["table", "strikethrough"])
    parser.inline.ruler.before("escape", "formula", _inline_formula)
    parser.add_render_rule("formula", formula)
    parser.add_render_rule("link_open", link)
    return parser


# How far an address reaches whose `www.` ends at a place; 0 where none does.
def _www(_: Any, text: str, pos: int) -> int:
    found = _REST_OF_ADDRESS.match(text, pos)
    address = found[0] if found else ""
    closing = address.count("(") - address.count(")")
    return len(address) + (closing if closing > 0 and text.startswith(")" * closing, pos + len(address)) else 0)


def _with_scheme(_: Any, match: Any) -> None:
    match.url = f"http://{match.url}"


def _inline_formula(state: StateInline, silent: bool) -> bool:
    if state.src[state.pos] not in "$\\":
        return False
    found = _FORMULA.match(state.src, state.pos, state.posMax)
    formula = tamed(next(part for part in found.groups() if part is not None)) if found else ""
    if not found or not formula:
        return False
    if not silent:
        token = state.push("formula", "", 0)
        token.content, token.block = formula, found[0].startswith(("$$", "\\["))
    state.pos = found.end()
    return True


# A formula that is a paragraph of its own, whose lines are no lists or headings.
def _block_formula(state: StateBlock, first: int, last: int, silent: bool) -> bool:
    start = state.bMarks[first] + state.tShift[first]
    if not state.src.startswith(("$$", "\\[", "\\begin{"), start) or state.is_code_block(first):
        return False
    end = first + 1
    while end < last and not state.isEmpty(end) and state.sCount[end] >= state.blkIndent:
        end += 1
    for line in range(first + 1, end + 1):
        found = _FORMULA_BLOCK.fullmatch(state.getLines(first, line, state.blkIndent, False))
        formula = tamed(found["dollars"] or found["brackets"] or found[0]) if found else ""
        if found and formula:
            if not silent:
                token = state.push("formula_block", "", 0)
                token.content, token.info = formula, "" if found["name"] is None else formula
                token.map = [first, line]
            state.line = line
            return True
    return False


# Writing blocks.


# The blocks up to the end of what holds them: `inside` has a `q` for each quotation, an `l` for each list. `tight`
# blocks have no empty line between them.
def _blocks(tokens: Iterator[Token], inside: str, *, tight: bool = False) -> str:
    written, before, lists = "", "", 0
    for token in tokens:
        if token.nesting < 0:
            break
        lists = lists + 1 if before.endswith("list_open") and token.type == before else 0
        if block := _block(token, tokens, inside, odd=bool(lists % 2)):
            # JupyterLab could take a dollar sign in a list's code for the start of a formula that ends outside.
            dollars = inside and block.startswith("```") and "$" in block
            air = dollars or (token.type == "paragraph_open" and before in _OPEN_ENDED)
            gap = "\n" if tight and not air and not written.endswith("\n") else "\n\n"
            written += (gap if written else "") + block
            before = token.type
    return written


def _block(token: Token, tokens: Iterator[Token], inside: str, *, odd: bool) -> str:
    if (kind := token.type) in {"bullet_list_open", "ordered_list_open"}:
        return _list(token, tokens, inside, odd=odd)
    if kind == "blockquote_open":
        return _indented(_blocks(tokens, inside + "q"), "> ", "> ") or ">"
    return _table(tokens) if kind == "table_open" else _leaf(token, tokens, inside)


# A block that holds no others.
def _leaf(token: Token, tokens: Iterator[Token], inside: str) -> str:
    if token.type == "paragraph_open":
        return _guarded(_inline_of(tokens))
    if token.type == "heading_open":
        words = " ".join(_inline_of(tokens).split("\n")).strip()
        return f"{'#' * int(token.tag[1])} {re.sub('#$', '&#35;', words)}".rstrip()
    if token.type in {"fence", "code_block"}:
        return _code(token.content, _language(token.info), inside)
    if token.type == "formula_block":
        return token.info or f"$${token.content}$$"
    return "___" if token.type == "hr" else ""


# The words of a paragraph or heading, which are followed by its end.
def _inline_of(tokens: Iterator[Token]) -> str:
    words = _Words(next(tokens).children or []).text()
    next(tokens)
    return words


def _language(info: str) -> str:
    word = re.split(r"[\s,]", info.strip().strip("{}").lower(), maxsplit=1)[0]
    return word if word in _LANGUAGES else ""


# A block of code; where readers disagree on how far it reaches, as HTML.
def _code(code: str, language: str, inside: str) -> str:
    if inside and (("$" in code and "q" in inside) or _RISKY_IN_A_LIST.search(code)):
        known = f' class="language-{language}"' if language else ""
        return f"<pre><code{known}>{entities(code)}</code></pre>"
    return _fence(code.removesuffix("\n") or code, language)


def _list(token: Token, tokens: Iterator[Token], inside: str, *, odd: bool) -> str:
    start = token.attrGet("start")  # none for 1
    number = int(1 if start is None else start) if token.type == "ordered_list_open" else None
    level = token.level
    items: list[str] = []
    inner = list(takewhile(lambda one: one.level != level or one.nesting >= 0, tokens))
    tight = not any(one.type == "paragraph_open" and one.level == level + 2 and not one.hidden for one in inner)
    rest = iter(inner)
    for one in rest:
        if one.type == "list_item_open":
            sign = ("*" if odd else "-") if number is None else f"{number + len(items)}{')' if odd else '.'}"
            # An item may begin with a box to tick, which GitHub's readers draw.
            body = re.sub(r"^&#91;([ xX])&#93; (?=\S)", r"[\1] ", _blocks(rest, inside + "l", tight=tight))
            items.append(_indented(body, f"{sign} ", " " * (len(sign) + 1)) or sign)
    return ("\n" if tight else "\n\n").join(items)


def _indented(text: str, first: str, others: str) -> str:
    lines = (f"{others}{line}" if line or others.startswith(">") else "" for line in text.split("\n"))
    return (first + "\n".join(lines)[len(others) :] if text else "").rstrip()


def _table(tokens: Iterator[Token]) -> str:
    rows: list[list[str]] = []
    sides: list[str] = []
    for token in tokens:
        if token.type == "table_close":
            break
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline":
            rows[-1].append(_Words(token.children or []).text().replace("\n", " "))
        elif token.type == "th_open":
            style = str(token.attrGet("style") or "")
            sides.append(next((line for side, line in _SIDES if side in style), "---"))
    head, *body = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([head, f"| {' | '.join(sides)} |", *body])


# Writing words.


class _Words:
    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        dollars = sum(token.content.count("$") + (token.type == "formula") for token in tokens)
        self._apart = dollars > 1
        self._written = [""]
        self._links: list[tuple[str, str]] = []

    def text(self) -> str:
        for place, token in enumerate(self._tokens):
            if (kind := token.type) in _PAIRS:
                self._pair(token, place)
            elif kind.startswith("link"):
                self._link(token)
            else:
                self._add(self._one(token))
        return re.sub("(ftp|xmpp):", r"\1&#58;", self._written[0], flags=re.I)

    def _add(self, text: str) -> None:
        self._written[-1] += text

    def _one(self, token: Token) -> str:
        if token.type == "text":
            return _escaped(re.sub(r"[\t-\r]", " ", token.content), apart=self._apart)
        if token.type == "code_inline":
            return _code_words(token.content) if token.content.strip() else f"<code>{entities(token.content)}</code>"
        if token.type == "formula":
            return f"$${token.content}$$" if token.block else f"${token.content}$"
        if token.type == "image":
            return _escaped(_described(token), apart=True)
        return {"softbreak": "\n", "hardbreak": "  \n"}.get(token.type, "")

    def _pair(self, token: Token, place: int) -> None:
        sign, tag = _PAIRS[token.type]
        if token.nesting > 0:
            self._written.append("")
            return
        if (inner := self._written.pop()) and len(self._written) <= _DEEPEST:
            plain = self._stands_free(place) and not set(inner[0] + inner[-1]) & set("*~_ \n")
            inner = f"{sign}{inner}{sign}" if plain else f"<{tag}>{inner}</{tag}>"
        self._add(inner)

    # Whether spaces or the like stand around, so that every reader takes the signs for emphasis.
    def _stands_free(self, place: int) -> bool:
        after = next(iter(self._tokens[place + 1 : place + 2]), None)
        ends = after is None or after.type in {"softbreak", "hardbreak"}
        follows = after.content[:1] if after is not None and after.type == "text" else ""
        return self._written[-1][-1:] in {"", " ", "\n", "("} and (ends or follows in set(" .,;:!?)"))

    def _link(self, token: Token) -> None:
        if token.nesting > 0:
            self._written.append("")
            self._links.append((_address(str(token.attrGet("href") or "")), str(token.attrGet("title") or "")))
            return
        words, (address, title) = self._written.pop(), self._links.pop()
        if not address:
            self._add(words)
            return
        if self._written[-1].endswith("!"):  # or it would be an image
            self._written[-1] = f"{self._written[-1][:-1]}&#33;"
        tooltip = f' "{entities(" ".join(title.split()))}"' if title.strip() else ""
        self._add(f"[{words.strip() or _escaped(address, apart=True)}]({address}{tooltip})")


def _described(image: Token) -> str:
    parts: list[Any] = list(image.children or [])
    description = ""
    while parts:
        if (one := parts.pop(0)).type == "image":
            parts[:0] = one.children or []
        else:
            description += " " if one.type.endswith("break") else one.content
    return " ".join(description.split())


# A link's address as Markdown takes it in brackets; empty for one that does not lead to the web or to a mail.
def _address(url: str) -> str:
    if not _SCHEME.match(url):
        return ""
    quoted = quote(url, safe="-._~:/?#&=+,;%@!").replace("@@", "%40%40")
    return re.sub("&", "&amp;", quoted)


# Text whose signs are entities; those that MathJax would obey stand apart.
def _escaped(text: str, *, apart: bool) -> str:

    def entity(sign: re.Match[str]) -> str:
        written = html.escape(sign[0]) if sign[0] in "<>&" else f"&#{ord(sign[0])};"
        stands = apart if sign[0] == "$" else sign[0] == "\\" and _TYPESET.match(text, sign.start())
        return f"<span>{written}</span>" if stands else written

    return _SIGN.sub(entity, text)


# Words of which no line begins as a heading, a list or the like.
def _guarded(words: str) -> str:
    lines = (line.lstrip(" \t") for line in words.split("\n"))
    return "\n".join(_BLOCK_START.sub(lambda start: f"{start[1]}&#{ord(start[2])};", line) for line in lines)
