"""HTML of code that nobody vouches for: its tables, text and looks, and nothing that acts or asks for an address."""

# What is allowed is a list: elements, attributes, classes and names of tables, and properties of style sheets whose
# values are words, numbers and colours. A style sheet reaches its own output only. Links are their text, as an address
# can carry rows away.

from __future__ import annotations

import hashlib
import re
from html.parser import HTMLParser

_SHOWS = (
    "table caption colgroup col thead tbody tfoot tr th td div span p br hr b strong i em u s small sub sup code pre "
    "samp kbd var ul ol li dl dt dd h1 h2 h3 h4 h5 h6 blockquote details summary figure figcaption img"
)
_TAGS = set(_SHOWS.split())
_HIDES = "script style template noscript iframe object embed title textarea xmp noembed noframes svg math select"
_WITHOUT_CONTENT = set(_HIDES.split())
_NUMBER = re.compile(r"\d{1,5}%?")
_PICTURE = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/\s]+={0,2}\s*")
_VALUES = {
    "id": re.compile(r"T_[A-Za-z0-9_]{1,80}"),  # as pandas names the cells of a styled table
    "src": _PICTURE,
    "alt": re.compile(r"[\w .,:()-]*"),
    "align": re.compile(r"left|right|center|justify"),
    "valign": re.compile(r"top|middle|bottom|baseline"),
    "scope": re.compile(r"row|col|rowgroup|colgroup"),
    "open": re.compile(r"(?:open)?"),
    **dict.fromkeys(("colspan", "rowspan", "span", "border", "start", "width", "height"), _NUMBER),
}
# Of pandas, polars, great_tables and statsmodels; a page's own classes would have its looks, an overlay's too.
_CLASS = re.compile(
    r"dataframe|data|blank|(?:row|col|level)\d+|(?:row|col)_(?:heading|trim)|index_name|simpletable|gt_[a-z_]+"
)
_LOOKS = (
    "color background background-color border border-top border-right border-bottom border-left border-color "
    "border-style border-width border-top-color border-top-style border-top-width border-bottom-color "
    "border-bottom-style border-bottom-width border-left-color border-left-style border-left-width border-right-color "
    "border-right-style border-right-width border-collapse border-spacing border-radius padding padding-top "
    "padding-right padding-bottom padding-left margin margin-top margin-right margin-bottom margin-left text-align "
    "text-decoration text-transform vertical-align font-weight font-style font-size font-variant line-height "
    "white-space width min-width max-width height min-height max-height opacity display caption-side empty-cells "
    "table-layout word-break overflow-wrap"
)
_PROPERTIES = frozenset(_LOOKS.split())
_VALUE = re.compile(
    r"(?:(?:rgba?|hsla?|linear-gradient)\(|[\w\s#%.,)!]|-(?!\s*[\d.]))*"
)  # no address, nothing below zero
_SHEET = re.compile(r"<style\b[^>]*>(.*?)</style\s*>", re.S | re.I)
_RULE = re.compile(r"([^{}]*)\{([^{}]*)\}")
_SELECTOR = re.compile(
    r"[\w\s.#>*-]+(?::(?:hover|(?:first|last|only)-(?:child|of-type)|(?:not|nth-(?:child|of-type))\([\w\s.#+-]*\))[\w\s.#>*-]*)*"
)
_COMMENT = re.compile(r"/\*.*?\*/|<!--|-->", re.S)
_LONGEST = 5_000_000  # characters; more is shown as text


def checked_html(html: str) -> tuple[str, bool]:
    """HTML that shows and does nothing else, and whether anything was left out; empty where nothing is to be seen.

    Args:
        html: As a cell made it.

    Example:
        >>> checked_html("<b>1</b><script>x</script>")
        ('<div style="overflow:auto;contain:paint"><b>1</b></div>', True)
    """
    import nh3

    if len(html) > _LONGEST:
        return "", True
    sheets = _SHEET.findall(html)
    clean = nh3.clean(
        html,
        tags=_TAGS,
        clean_content_tags=_WITHOUT_CONTENT,
        attributes={"*": {"class", "style", *(_VALUES.keys() - {"src", "alt"})}, "img": {"src", "alt"}},
        attribute_filter=lambda _, name, value: _checked_value(name, value),
        url_schemes={"data"},
        link_rel=None,
    )
    rules, lost = _checked_sheets(sheets)
    left_out = lost or _marks(_SHEET.sub("", html)) != _marks(clean)
    if not re.sub(r"<(?!img\b[^>]*\ssrc=)[^>]*>|\s", "", clean):
        return "", left_out
    # MathJax looks for formulas in the words between two tags, and a formula can be a link. No attribute that is
    # allowed holds these signs.
    clean = re.sub(r"[$\\]", lambda sign: f"<span>&#{ord(sign[0])};</span>", clean)
    if not rules:
        return f'<div style="overflow:auto;contain:paint">{clean}</div>', left_out
    scope = f"rsql-checked-{hashlib.sha256(html.encode('utf-8', 'replace')).hexdigest()[:12]}"
    sheet = "\n".join(
        f"{', '.join(f'.{scope} {each}' for each in selectors)} {{ {style} }}" for selectors, style in rules
    )
    return f'<div class="{scope}" style="overflow:auto;contain:paint"><style>\n{sheet}\n</style>{clean}</div>', left_out


def _checked_value(name: str, value: str) -> str | None:
    if name == "class":
        return " ".join(each for each in value.split() if _CLASS.fullmatch(each)) or None
    if name == "style":
        return _checked_style(value)[0] or None
    allowed = _VALUES.get(name)
    return value if allowed is not None and allowed.fullmatch(value) else None


def _checked_style(text: str) -> tuple[str, bool]:
    """The declarations of a style that are allowed, and whether others are left out."""
    kept, lost = list[str](), False
    for declaration in filter(str.strip, text.split(";")):
        name, _, value = (each.strip() for each in declaration.partition(":"))
        if name.lower() in _PROPERTIES and value and _VALUE.fullmatch(value):
            kept.append(f"{name.lower()}: {value}")
        else:
            lost = True
    return "; ".join(kept), lost


def _checked_sheets(sheets: list[str]) -> tuple[list[tuple[list[str], str]], bool]:
    """The rules of style sheets as selectors with their style, and whether others are left out."""
    rules, lost = list[tuple[list[str], str]](), False
    for sheet in sheets:
        text = _COMMENT.sub("", sheet)
        lost = lost or bool(_RULE.sub("", text).strip())
        for names, style in _RULE.findall(text):
            selectors = [each.strip() for each in names.split(",")]
            kept = [each for each in selectors if _SELECTOR.fullmatch(each) and each[0] not in ">*-"]
            checked, less = _checked_style(style)
            lost = lost or less or len(kept) < len(selectors)
            if kept and checked:
                rules.append((kept, checked))
    return rules, lost


class _Marks(HTMLParser):
    """Elements and attributes of HTML, in the form in which they are allowed."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, ...]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            words = str(value or "")
            kept = (
                "; ".join(sorted(filter(None, map(_squeezed, words.split(";")))))
                if name == "style"
                else " ".join(words.split())
            )
            if kept:
                self.found.append((tag, name, kept))
        if tag != "tbody":  # parsers add it
            self.found.append((tag,))


def _squeezed(declaration: str) -> str:
    name, _, value = declaration.partition(":")
    return f"{name.strip().lower()}: {value.strip()}" if value else ""


def _marks(html: str) -> list[tuple[str, ...]]:
    marks = _Marks()
    marks.feed(html)
    marks.close()
    return sorted(marks.found)
