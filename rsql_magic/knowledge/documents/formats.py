"""Formats: the bytes of a document become sections with headings and line numbers."""

# A reader yields what it can and tells what it could not in `Notes`; only what holds nothing to read is refused. The
# structure is the format's own: headings, functions, cells, pages.

from __future__ import annotations

import ast
import codecs
import io
import json
import re
from contextlib import suppress
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

from rsql_magic.diagnostics import ignoring
from rsql_magic.errors import BadInput
from rsql_magic.knowledge.documents.passages import Section
from rsql_magic.knowledge.documents.rd import rd_sections
from rsql_magic.plain_text import printable
from rsql_magic.sql import names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rsql_magic.knowledge.documents.passages import Line

    Reader = Callable[[str], Iterable[Section]]

_MOST_PAGES = 5_000  # of a PDF
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")


@dataclass
class Notes:
    """What a reader has to say, and whom it tells how far it is: pages done, and all of them."""

    progress: Callable[[int, int], None] = lambda _done, _all: None
    said: list[str] = field(default_factory=list)


KINDS = {
    ".md": "markdown",
    ".markdown": "markdown",
    ".qmd": "markdown",
    ".rmd": "markdown",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".pdf": "pdf",
    ".txt": "text",
    ".text": "text",
    ".rst": "text",
    ".log": "text",
    ".sql": "text",
    ".ipynb": "notebook",
    ".rd": "rd",
    ".py": "python",
    ".r": "r",
}
"""The format of a file, by its suffix in lower case."""


def sections(data: bytes, kind: str, name: str, notes: Notes | None = None) -> list[Section]:
    r"""Read a document.

    Args:
        data: Its bytes.
        kind: One of the values of `KINDS`, ``help`` for a help page as text, or the suffix of a plug-in's format.
        name: What it is called in errors.
        notes: Takes what is to be said about it.

    Raises:
        BadInput: It is not of this format, is encrypted, or holds no text.

    Example:
        >>> [(each.path, each.lines) for each in sections(b"# Install\n\nUse pip.", "markdown", "a.md")]
        [(('Install',), ((3, 'Use pip.'),))]
    """
    notes = notes or Notes()
    read: Iterable[Section]
    if kind in _READERS:
        read = _READERS[kind](_text(data, kind, name, notes))
    elif kind == "pdf":
        read = _pdf(data, name, notes)
    else:
        from rsql_magic.knowledge.documents.plugged import plugged_sections

        read = plugged_sections(data, kind, name)
    try:
        found = [each for each in read if any(line.strip() for _, line in each.lines)]
    except RecursionError:
        raise BadInput(f"{name} is nested too deeply to be read.", hint="Save it as plain text.") from None
    if not found:
        raise BadInput(f"{name} holds no text.", hint="Look into the file.")
    return found


def _text(data: bytes, kind: str, name: str, notes: Notes) -> str:
    """The characters of a file: its byte order mark counts, then UTF-8, then what its HTML says, then Windows-1252."""
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if data.startswith(mark):
            return _cleaned(data.decode(encoding, "replace").removeprefix("\ufeff"))
    if b"\0" in data[:100_000]:
        raise BadInput(f"{name} is no text.", hint="Documents are Markdown, HTML, PDF, text, notebooks or R help.")
    try:
        return _cleaned(data.decode("utf-8"))
    except UnicodeDecodeError:
        pass
    declared = re.search(rb"charset=[\"']?([\w-]{2,20})", data[:4096]) if kind == "html" else None
    encoding = declared[1].decode("ascii") if declared else "cp1252"
    with suppress(LookupError):
        text = data.decode(encoding, "replace")
        odd = len(_CONTROLS.findall(text)) + text.count("\ufffd") + len(re.findall(r"[\x80-\x9f]", text))
        if odd * 50 > len(text):
            raise BadInput(f"{name} is no text.", hint="Documents are Markdown, HTML, PDF, text, notebooks or R help.")
        notes.said.append(f"{name} is no UTF-8 and was read as {encoding}")
        return _cleaned(text)
    raise BadInput(f"{name} is in an encoding that is not known.", hint="Save it as UTF-8.")


def _cleaned(text: str) -> str:
    return printable(text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n"))


def _numbered(text: str) -> list[Line]:
    return list(enumerate((line.rstrip() for line in text.split("\n")), 1))


class _Outline:
    """Headings as they come, each with its level, and the lines below them."""

    def __init__(self) -> None:
        self._open: list[tuple[int, str]] = []
        self._lines: list[Line] = []
        self.found: list[Section] = []

    @property
    def path(self) -> tuple[str, ...]:
        return tuple(heading for _, heading in self._open)

    def heading(self, level: int, words: str, part: str = "") -> None:
        self.close(part)
        self._open = [*(each for each in self._open if each[0] < level), (level, words)]

    def line(self, line: Line) -> None:
        self._lines.append(line)

    def close(self, part: str = "") -> None:
        if any(line.strip() for _, line in self._lines):
            said = [place for place, (_, line) in enumerate(self._lines) if line.strip()]
            self.found.append(Section(self.path, tuple(self._lines[said[0] : said[-1] + 1]), part))
        self._lines = []


# Markdown and text.

_ATX = re.compile(r" {0,3}(#{1,6})[ \t]+(.*?)(?:[ \t]+#+)?[ \t]*$")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_UNDERLINE = re.compile(r" {0,3}(=+|-{2,}|~{3,}|\^{3,})[ \t]*$")
_ATTRIBUTES = re.compile(r"\s*\{[#.][^}]*\}$")
_MARKUP = re.compile(r"!?\[([^\]]*)\]\([^)]*\)|[*`]+")


def _markdown(text: str) -> Iterator[Section]:
    outline = _Outline()
    _read_markdown(_numbered(text), outline)
    outline.close()
    return iter(outline.found)


def _read_markdown(lines: list[Line], outline: _Outline, part: str = "") -> None:
    fence = ""
    for place, (number, line) in enumerate(lines):
        if fence:
            fence = "" if line.strip().startswith(fence) and not line.strip().strip(fence[0]) else fence
            outline.line((number, line))
        elif opened := _FENCE.match(line):
            fence = opened[1]
            outline.line((number, line))
        elif heading := _ATX.match(line):
            outline.heading(len(heading[1]), _plain(heading[2]), part)
        elif _is_underlined(lines, place):
            outline.heading(1 if lines[place + 1][1].lstrip()[0] == "=" else 2, _plain(line), part)
        elif not (_UNDERLINE.match(line) and place and _is_underlined(lines, place - 1)):
            outline.line((number, line))


def _is_underlined(lines: list[Line], place: int) -> bool:
    """Whether a line is a heading that the next one underlines: a line of its own, not the end of a paragraph."""
    line, after = lines[place][1], lines[place + 1][1] if place + 1 < len(lines) else ""
    alone = place == 0 or not lines[place - 1][1].strip()
    if not (alone and line.strip() and len(line) <= 200 and _UNDERLINE.match(after)):
        return False
    return not _UNDERLINE.match(line) and line.lstrip()[0] not in "|>-*+"


def _plain(words: str) -> str:
    return _MARKUP.sub(lambda found: found[1] or "", _ATTRIBUTES.sub("", words)).strip()


_HELP_HEADING = re.compile(r"[A-Z][^:]{0,75}:|[A-Z][A-Z ]{2,75}")  # of R, of Python


def _help(text: str) -> Iterator[Section]:
    """A help page of R or Python as text: its title, and headings that begin a line above what is indented."""
    lines = _numbered(text)
    outline = _Outline()
    outline.heading(1, lines[0][1].strip())
    for number, line in lines[1:]:
        if _HELP_HEADING.fullmatch(line):
            outline.heading(2, line.strip().rstrip(":"))
        else:
            outline.line((number, re.sub(r"(?<=\S)[ \t]{2,}(?=\S)", " ", line.removeprefix("     "))))
    outline.close()
    return iter(outline.found)


# HTML.

_BLOCKS = names(
    "address article aside blockquote br caption dd div dl dt figure figcaption footer form header hr li main nav ol p"
    " pre section summary table tbody tr ul h1 h2 h3 h4 h5 h6"
)
_UNSEEN = frozenset({"script", "style", "noscript", "template", "svg", "nav", "head", "iframe", "object", "select"})
_VOID = names("area base br col embed hr img input link meta source track wbr")


class _Page(HTMLParser):
    """A page's text by its headings; lines are those of the file."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.outline = _Outline()
        self.title = ""
        self._unseen: list[str] = []  # elements around this place that show nothing
        self._heading = ""  # the tag of the heading around this place
        self._words: list[str] = []  # of the line that is being put together
        self._start = 0  # its number
        self._pre = self._in_title = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in_title = tag == "title" or (self._in_title and tag in _VOID)
        hidden = tag in _UNSEEN or any(
            name == "hidden" or (name, value) == ("aria-hidden", "true") for name, value in attrs
        )
        if tag not in _VOID and (self._unseen or hidden):
            self._unseen.append(tag)
        if tag in _BLOCKS:
            self._end_line()
        if tag in {"td", "th"} and self._words:
            self._words.append(" | ")
        if not self._unseen and re.fullmatch("h[1-6]", tag):
            self._heading = tag
        self._pre = self._pre or tag == "pre"

    def handle_endtag(self, tag: str) -> None:
        self._in_title = False
        if self._unseen and tag in self._unseen:
            del self._unseen[len(self._unseen) - 1 - self._unseen[::-1].index(tag) :]
            return
        if tag == self._heading:
            words = " ".join("".join(self._words).split())
            self._words, self._heading = [], ""
            if words:
                self.outline.heading(int(tag[1]), words)
        elif tag in _BLOCKS:
            self._end_line()
        if tag in {"p", "pre", "table", "ul", "ol", "dl"}:
            self.outline.line((self.getpos()[0], ""))
        self._pre = self._pre and tag != "pre"

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title += data
        if self._unseen:
            return
        if self._pre:
            first = self.getpos()[0]
            for place, line in enumerate(data.split("\n")):
                if place:
                    self._end_line(keep=True)
                self._start = self._start or first + place
                self._words.append(line)
        elif data.strip() or self._words:
            self._start = self._start or self.getpos()[0]
            self._words.append(data)

    def _end_line(self, *, keep: bool = False) -> None:
        if self._heading:
            self._words.append(" ")
            return
        line = "".join(self._words)
        line = line.rstrip() if self._pre or keep else " ".join(line.split())
        if line or keep:
            self.outline.line((self._start or self.getpos()[0], line))
        self._words, self._start = [], 0

    def sections(self) -> list[Section]:
        self.close()
        self._end_line()
        self.outline.close()
        title = " ".join(self.title.split())
        found = self.outline.found
        if not title or any(each.path and each.path[0] == title for each in found):
            return found
        return [Section((title, *each.path), each.lines) for each in found]


def _html(text: str) -> list[Section]:
    page = _Page()
    page.feed(text)
    return page.sections()


# Notebooks and code.


def _notebook(text: str) -> Iterator[Section]:
    """The cells of a notebook; what they gave is left out, as it is data and no text about it."""
    try:
        cells: list[dict[str, Any]] = json.loads(text)["cells"]
        sources = [("".join(each["source"]), str(each["cell_type"])) for each in cells]
    except (ValueError, KeyError, TypeError) as wrong:
        raise BadInput(f"It is no notebook ({type(wrong).__name__}).", hint="Open and save it in JupyterLab.") from None
    outline = _Outline()
    for number, (source, kind) in enumerate(sources, 1):
        part = f"cell {number}"
        if kind == "markdown":
            _read_markdown(_numbered(source), outline, part)
        else:
            for line in _numbered(source):
                outline.line(line)
        outline.close(part)
    return iter(outline.found)


def _python(text: str) -> Iterator[Section]:
    """Functions and classes by their names; what stands between them below the file's own heading."""
    starts: dict[int, tuple[int, str]] = {}
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, MemoryError):
        return iter([Section((), tuple(_numbered(text)))])
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            starts[_first(node)] = (1, node.name)
            inner = node.body if isinstance(node, ast.ClassDef) else []
            methods = (each for each in inner if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef))
            starts |= {_first(each): (2, each.name) for each in methods}
            starts.setdefault((node.end_lineno or 0) + 1, (1, ""))
    return _by_starts(text, starts)


def _first(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> int:
    return min([node.lineno, *(each.lineno for each in node.decorator_list)])


_R_FUNCTION = re.compile(r"^([A-Za-z.][\w.]*)\s*(?:<-|=)\s*function\b")


def _r(text: str) -> Iterator[Section]:
    """Functions by their names, each with the comments just above it."""
    lines = _numbered(text)
    starts: dict[int, tuple[int, str]] = {}
    for place, (number, line) in enumerate(lines):
        if found := _R_FUNCTION.match(line):
            above = place
            while above and lines[above - 1][1].startswith("#"):
                above -= 1
            starts[number - (place - above)] = (1, found[1])
    return _by_starts(text, starts)


def _by_starts(text: str, starts: dict[int, tuple[int, str]]) -> Iterator[Section]:
    outline = _Outline()
    for number, line in _numbered(text):
        if number in starts:
            outline.heading(*starts[number])
        outline.line((number, line))
    outline.close()
    return iter(outline.found)


# PDF.


def _pdf(data: bytes, name: str, notes: Notes) -> list[Section]:
    try:
        from pypdf.errors import PyPdfError
    except ImportError:
        hint = "pip install 'rsql-jupyter[pdf]', then add it again."
        raise BadInput("PDF needs the package pypdf.", hint=hint) from None
    try:
        reader = _pdf_reader(data, name)
        pages, found = len(reader.pages), _pdf_pages(reader, notes)
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError) as broken:
        reason = f"{name} is damaged and cannot be read as PDF ({type(broken).__name__})."
        raise BadInput(reason, hint="Open it, and save it as PDF anew.") from None
    read, said = min(pages, _MOST_PAGES), [each for each in found if any(line.strip() for _, line in each.lines)]
    if found and not said:
        hint = "It seems to be scanned: run text recognition (OCR) over it, and add the result."
        raise BadInput(f"{name} has {pages:,} page{'' if pages == 1 else 's'} and no text.", hint=hint)
    if pages > read:
        notes.said.append(f"{name} was read up to page {read:,} of {pages:,}; split it to have the rest")
    if read > len(found):
        notes.said.append(f"{read - len(found):,} damaged page(s) of {name} left out")
    if len(found) > len(said):
        notes.said.append(f"{len(found) - len(said):,} page(s) of {name} without text, perhaps scanned")
    return said


def _pdf_reader(data: bytes, name: str) -> Any:
    import pypdf

    if data.lstrip()[:5] != b"%PDF-":
        raise BadInput(f"{name} is no PDF.", hint="Open it, and save it as PDF anew.")
    reader = pypdf.PdfReader(io.BytesIO(data))
    if reader.is_encrypted and not reader.decrypt(""):
        raise BadInput(f"{name} is encrypted.", hint="Save a copy without a password, and add that.")
    return reader


def _pdf_pages(reader: Any, notes: Notes) -> list[Section]:
    """The pages that can be read, each below the bookmarks that lead to it."""
    headings, found = _pdf_headings(reader), list[Section]()
    path: tuple[str, ...] = ()
    pages = min(len(reader.pages), _MOST_PAGES)
    for number in range(1, pages + 1):
        notes.progress(number, pages)
        path = headings.get(number, path)
        with ignoring("a page of a PDF"):  # a page that is broken in any way costs that page alone
            text = _cleaned(reader.pages[number - 1].extract_text())
            found.append(Section(path, tuple(_numbered(text)), f"page {number}"))
    return found


def _pdf_headings(reader: Any) -> dict[int, tuple[str, ...]]:
    """The path of bookmarks that begin on a page, by the page's number."""
    found: dict[int, tuple[str, ...]] = {}

    def walk(entries: Any, above: tuple[str, ...], depth: int) -> None:
        last = above
        for entry in entries:
            if isinstance(entry, list):
                if depth < 6:
                    walk(entry, last, depth + 1)
                continue
            with ignoring("a bookmark of a PDF"):
                page = reader.get_destination_page_number(entry)
                last = (*above, printable(str(entry.title)))
                found.setdefault(page + 1, last)

    with ignoring("the bookmarks of a PDF"):  # bookmarks are a help, and many files have broken ones
        walk(reader.outline, (), 0)
    return found


def _rd(text: str) -> list[Section]:
    return rd_sections(text)


_READERS: dict[str, Reader] = {
    "markdown": _markdown,
    "text": _markdown,  # headings that are underlined, and nothing else that text has
    "html": _html,
    "notebook": _notebook,
    "python": _python,
    "r": _r,
    "rd": _rd,
    "help": _help,
}
