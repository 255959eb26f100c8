"""A terminal: an answer whose Markdown is drawn as it comes."""

# Finished blocks of an answer stay, the last one is drawn anew as it grows.

from __future__ import annotations

import html
import os
import re
import sys
import time
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from rsql_magic.display import Growing, TerminalScreen, safe_markdown
from rsql_magic.plain_text import printable

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.live import Live
    from rich.markdown import Markdown
    from rich.segment import Segment

    from rsql_magic.display import CellOutput

_PAUSE = 0.1  # seconds between two drawings
_CODE = re.compile(r'<pre><code(?: class="language-([\w+#-]+)")?>(.*)</code></pre>\s*', re.S)


class _RenderedScreen(TerminalScreen):
    """A terminal that shows bold words as bold, and code in colours."""

    def __init__(self) -> None:
        super().__init__()
        self._raw = ""
        self._words = Growing()
        self._live: Live | None = None
        self._printed = 0
        self._drawn = 0.0

    # Draw the piece with what there is of its block.
    def write(self, text: str) -> None:
        self._wipe()
        self._raw += text
        self._words.add(text)
        if time.monotonic() - self._drawn >= _PAUSE:
            self._draw()
            self._drawn = time.monotonic()

    # Close what was drawn.
    def restart(self, why: str) -> None:
        self._written, self._raw = self._raw, ""
        self._finish()
        super().restart(why)

    # Leave what was drawn, and begin a new line.
    def end(self, note: str = "") -> None:
        self._finish()
        super().end(note)

    # Draw what has not been drawn yet; the usage line stands last.
    def show(self, shown: CellOutput) -> None:
        self._finish()
        plain = printable(shown.plain).strip()
        rest = plain.removeprefix(printable(self._raw).strip()).strip()
        console = _console(self._out)
        if rest:
            console.print("\n" if self._raw else "", end="")
            console.print(rendered(safe_markdown(rest)))
        if shown.footer:
            console.print(f"\n{printable(shown.footer)}", style="dim", markup=False)

    def _draw(self) -> None:
        from rich.live import Live

        blocks, last = self._words.blocks()
        if self._live is None:
            self._live = Live(console=_console(self._out), auto_refresh=False, transient=True)
            self._live.start()
        self._settle(self._live.console, blocks)
        self._live.update(rendered(last), refresh=True)

    def _settle(self, console: Any, blocks: list[str]) -> None:
        for block in blocks[self._printed :]:
            console.print(rendered(block))
            console.print()
        self._printed = len(blocks)

    # Take the block in the making away, and print it for good.
    def _finish(self) -> None:
        if self._live is not None:
            self._live.stop()
        blocks, last = self._words.blocks()
        if self._live is not None or blocks or last:
            console = _console(self._out)
            self._settle(console, blocks)
            console.print(rendered(last))
        self._words, self._live, self._printed = Growing(), None, 0


def _console(out: IO[str]) -> Any:
    from rich.console import Console

    return Console(file=out, highlight=False)


def rendered(markdown: str) -> _Blocks:
    """Safe Markdown for a terminal. Addresses are written out: a terminal's own links can say something else."""
    from rich.markdown import Markdown

    made = Markdown(markdown, hyperlinks=False, code_theme="ansi_dark")
    blocks: list[Markdown] = []
    for token in made.parsed:
        if token.type == "html_block" and (code := _CODE.fullmatch(token.content)):
            token.type, token.tag, token.info, token.content = "fence", "code", code[1] or "", html.unescape(code[2])
        token.children = _said_once(_with_code(token.children)) if token.children else token.children
        if token.level == 0 and token.nesting >= 0:
            blocks.append(Markdown("", hyperlinks=False, code_theme="ansi_dark"))
        blocks[-1].parsed.append(token)
    return _Blocks(blocks)


@dataclass(frozen=True)
class _Blocks:
    """Blocks of Markdown with one empty line between them: rich leaves more around code, lists and tables."""

    _blocks: list[Markdown]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.segment import Segment

        for number, block in enumerate(self._blocks):
            lines = [_without_end(line) for line in console.render_lines(block, options, pad=False)]
            written = [place for place, line in enumerate(lines) if line]
            if number:
                yield Segment.line()
            for line in lines[written[0] : written[-1] + 1] if written else ():
                yield from line
                yield Segment.line()


# A line without the spaces that fill it up, which would be copied with it.
def _without_end(line: list[Segment]) -> list[Segment]:
    line = list(line)
    while line and not line[-1].text.strip():
        line.pop()
    return [*line[:-1], *(part._replace(text=part.text.rstrip()) for part in line[-1:])]


# Words in which an address that is its own name is no link: it would be written out twice.
def _said_once(words: list[Any]) -> list[Any]:
    made: list[Any] = []
    for word in words:
        made.append(word)
        link = made[-3:] if word.type == "link_close" and len(made) >= 3 else []
        if link and link[0].type == "link_open":
            address = str(link[0].attrs.get("href", ""))
            if link[1].content in {address, address.removeprefix("mailto:"), address.removeprefix("http://")}:
                made[-3:] = [link[1]]
    return made


# Words in which code that is written as HTML is code.
def _with_code(words: list[Any]) -> list[Any]:
    made: list[Any] = []
    inside = False
    for word in words:
        if word.type == "html_inline" and word.content in {"<code>", "</code>"}:
            if inside := word.content == "<code>":
                made.append(word)
                word.type, word.tag, word.content = "code_inline", "code", ""
        elif inside:
            made[-1].content += word.content
        else:
            made.append(word)
    return made


def screen_for(format_: str) -> TerminalScreen:
    """The screen of an answer: its Markdown is drawn for a person, and left as it is for a pipe or a plain terminal."""
    drawn = format_ == "markdown" and sys.stdout.isatty() and os.environ.get("TERM") not in {"dumb", None, ""}
    return _RenderedScreen() if drawn else TerminalScreen()


# `rsql monitor`: the gateway and one's own limits, live. On a pipe it is one line for each look, for a log.
