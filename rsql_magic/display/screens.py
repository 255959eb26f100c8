"""How things look: a streamed answer, a table, the usage line; in a notebook, on a terminal, in a batch run."""

# Nothing of a model's words or of data is passed on as it was written: Markdown is read and written anew (`markdown`),
# HTML is made of escaped text and sanitised, and a terminal gets text without escape sequences.

from __future__ import annotations

import json
import re
import sys
import time
import uuid
from abc import ABC, abstractmethod
from base64 import b64encode
from dataclasses import dataclass, field, replace
from typing import IO, TYPE_CHECKING, Any, Literal

from rsql_magic.display.markdown import Growing, as_html, plain_markdown, quiet, safe_markdown, with_cards
from rsql_magic.gateway import Text, Waiting
from rsql_magic.plain_text import html_text, printable, printable_so_far, unlinked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import pandas as pd

    from rsql_magic.gateway import Event, Usage

Bundle = dict[str, Any]  # representations of one thing by MIME type

_REST = 2  # times as long as a drawing took there is none
_UNLIMITED = 2**31 - 1  # how the gateway writes that there is no limit


@dataclass(frozen=True)
class CellOutput:
    """One finished output."""

    markdown: str = ""  # safe to show; empty when only text is wanted
    plain: str = ""  # for terminals and files
    footer: str = ""  # the usage line, without markup
    data: Mapping[str, Any] = field(default_factory=dict)  # further representations by MIME type
    metadata: Mapping[str, Any] = field(default_factory=dict)  # for programs that read the notebook

    def with_chart(self, chart: Bundle) -> list[CellOutput]:
        """This output and a chart, which stands above the usage line.

        A chart with its pictures becomes one output with this: exports show one representation of an output, and
        their HTML has both.
        """
        if "image/svg+xml" not in chart:
            drawing = CellOutput(plain=chart["text/plain"], data=chart)
            return [replace(self, footer=""), drawing, *([CellOutput(footer=self.footer)] if self.footer else [])]
        svg = b64encode(chart["image/svg+xml"].encode("utf-8")).decode("ascii")
        words = html_text(chart["text/plain"].strip("<>"))
        picture = f'<img alt="{words}" style="max-width:100%" src="data:image/svg+xml;base64,{svg}">'
        pictures = {kind: value for kind, value in chart.items() if kind.startswith("image/")}
        line = f"\n{quiet(self.footer, 'usage')}" if self.footer else ""
        page = {"text/html": f"{as_html(with_cards(self.markdown))}\n<p>{picture}</p>{line}"}
        return [replace(self, data={**self.data, **page, **pictures})]

    def bundle(self) -> Bundle:
        """All representations."""
        plain = "\n\n".join(part for part in (self.plain, self.footer) if part)
        bundle: Bundle = {"text/plain": unlinked(plain), **self.data}
        if self.markdown or (self.footer and not self.plain):
            line = quiet(self.footer, "usage") if self.footer else ""
            bundle["text/markdown"] = "\n\n".join(part for part in (with_cards(self.markdown), line) if part)
        return bundle


class Showable(ABC):
    """A result that a cell has shown by the time it returns it: its next display must not repeat that.

    ``next_display`` is ``full`` except just after a cell: then ``none``, or ``brief`` in a terminal, which prints
    ``Out[3]:`` before it asks.
    """

    next_display: Literal["full", "brief", "none"] = "full"

    @abstractmethod
    def shown(self) -> CellOutput:
        """The finished output."""

    def _ipython_display_(self) -> None:
        if self.next_display != "none":
            raise NotImplementedError  # IPython goes on to _repr_mimebundle_
        self.next_display = "full"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Bundle:  # noqa: ARG002 - IPython's signature
        if self.next_display == "brief":
            self.next_display = "full"
            return {"text/plain": repr(self)}
        return self.shown().bundle()


class Screen:
    """A screen that shows nothing: for the Python functions, and for cells that end in a semicolon."""

    draws = False  # whether pictures can be shown
    _queues = False  # whether a free key is waited for

    def status(self, word: str) -> None:
        """What is being done now: linking, writing, checking, repairing, running."""

    def waiting(self, words: str) -> None:
        """What a run without a person waits for."""
        self.status(words)

    def write(self, text: str) -> None:
        """The next piece of the answer."""

    def draft(self, text: str) -> None:
        """The next piece of a text that is checked before it counts, such as a query."""

    def restart(self, why: str) -> None:
        """Drop what was written: another version follows."""

    def end(self, note: str = "") -> None:
        """Nothing follows: take the status away, and leave what was written, with a note such as ``[interrupted]``."""

    def show(self, shown: CellOutput) -> None:
        """The finished output, in place of everything before it."""

    def also(self, bundle: Bundle) -> None:
        """One more output, such as a plot."""

    def show_all(self, outputs: Sequence[CellOutput]) -> None:
        """The finished outputs, the first in place of everything before it."""
        for place, each in enumerate(outputs):
            if place:
                self.also(each.bundle())
            else:
                self.show(each)

    def say(self, line: str) -> None:
        """A line of its own, such as a warning."""

    def event(self, event: Event, *, draft: bool = False) -> None:
        """Show what came from the gateway."""
        if isinstance(event, Waiting):
            self._queues = True
            self.queued(f"waiting for a free key: place {event.position}, about {event.eta:.0f} s", event)
        elif isinstance(event, Text):
            if self._queues:
                self._queues = False
                self.status("writing")
            (self.draft if draft else self.write)(event.text)

    def queued(self, words: str, event: Waiting) -> None:  # noqa: ARG002 - for screens that show the place by itself
        """A free key is waited for, until the next status or piece of text."""
        self.status(words)


class BatchScreen(Screen):
    """One final output, nothing before it."""

    draws = True
    _waits = ""  # the id of the output that says what is waited for

    def waiting(self, words: str) -> None:
        """Publish what is waited for, until the output takes its place."""
        update, self._waits = bool(self._waits), self._waits or uuid.uuid4().hex
        bundle = {"text/markdown": f"*{plain_markdown(words)}*", "text/plain": unlinked(words)}
        about = {"rsql": {"waiting": unlinked(words)}}
        _publish(bundle, about, transient={"display_id": self._waits}, update=update)

    def show(self, shown: CellOutput) -> None:
        """Publish the output."""
        waited = {"transient": {"display_id": self._waits}, "update": True} if self._waits else {}
        _publish(shown.bundle(), shown.metadata, **waited)

    def also(self, bundle: Bundle) -> None:
        """Publish one more output."""
        _publish(bundle, {})

    def say(self, line: str) -> None:
        """Print the line."""
        print(unlinked(line))  # noqa: T201 - a cell's output is what this class is for


class NotebookScreen(BatchScreen):
    """One output, redrawn in place, at most ``rate`` times a second."""

    def __init__(self, rate: float = 10.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._pause = self._least = 1.0 / rate
        self._clock = clock
        self._id = uuid.uuid4().hex
        self._drawn: float | None = None
        self._text = ""
        self._words = Growing()
        self._word = ""

    def status(self, word: str) -> None:
        """Draw the word below what is there; a new one at once, as a long wait may follow."""
        changed, self._word = word != self._word, word
        self._draw(now=changed)

    def waiting(self, words: str) -> None:
        """As ``status``."""
        self.status(words)

    def write(self, text: str) -> None:
        """Add to the text; the first words are drawn at once."""
        self._word = self._word if self._text else ""
        first = not self._text
        self._add(text)
        self._draw(now=first)

    def draft(self, text: str) -> None:
        """As ``write``, the status word staying below."""
        self._add(text)
        self._draw()

    def restart(self, why: str) -> None:
        """Begin anew, with the reason below."""
        self._text, self._words = "", Growing()
        self.status(why)

    def end(self, note: str = "") -> None:
        """Draw what is there without a status."""
        if self._drawn is not None:
            text = "\n\n".join(part for part in (self._text, note) if part)
            self._put({"text/markdown": with_cards(safe_markdown(text)), "text/plain": unlinked(text)}, {})

    def show(self, shown: CellOutput) -> None:
        """The last drawing."""
        self._put(shown.bundle(), shown.metadata)

    def _draw(self, *, now: bool = False) -> None:
        started = self._clock()
        due = self._drawn is None or started - self._drawn >= self._pause
        if due or now:
            word = f"*{plain_markdown(self._word)} …*" if self._word else ""
            text = "\n\n".join(part for part in (with_cards(self._words.markdown()), word) if part)
            self._put({"text/markdown": text, "text/plain": unlinked(self._text or self._word)}, {})
            self._pause = max(self._least, _REST * (self._clock() - started))

    def _add(self, text: str) -> None:
        self._text += text
        self._words.add(text)

    def _put(self, bundle: Bundle, metadata: Mapping[str, Any]) -> None:
        _publish(bundle, metadata, transient={"display_id": self._id}, update=self._drawn is not None)
        self._drawn = self._clock()


class TerminalScreen(Screen):
    """Words as they come on ``out``, a terminal or a pipe; the status goes to ``err``, when it is a terminal."""

    def __init__(self, *, footer: bool = True, out: IO[str] | None = None, err: IO[str] | None = None) -> None:
        self._footer, self._out, self._err = footer, out or sys.stdout, err or sys.stderr
        self._written = self._held = ""
        self._transient = False

    def status(self, word: str) -> None:
        """A word that the next output overwrites; nothing on a pipe."""
        if self._err.isatty():
            self._err.write(f"\r\x1b[K{' '.join(printable(word).split())} …")
            self._err.flush()
            self._transient = True

    def waiting(self, words: str) -> None:
        """A line of its own, also where it is no terminal: a log shows why a run took long."""
        self._wipe()
        self._err.write(f"{' '.join(printable(words).split())}\n")
        self._err.flush()

    def write(self, text: str) -> None:
        """Print the piece."""
        self._wipe()
        if self._held or not (text.isascii() and text.isprintable()):
            text, self._held = printable_so_far(self._held + text)
        self._written += text
        self._out.write(text)
        self._out.flush()

    def restart(self, why: str) -> None:
        """Close what was printed; it cannot be taken back."""
        if self._written:
            self.say(f"\n[{why}]")
        self._written = self._held = ""

    def end(self, note: str = "") -> None:
        """Begin a new line."""
        self._wipe()
        if self._written or note:
            self._out.write(f" {note}\n" if note else "\n")

    def show(self, shown: CellOutput) -> None:
        """Print what has not been printed yet."""
        self._wipe()
        shown = shown if self._footer else replace(shown, footer="")
        # What stands below the words that were printed as they came: what they cite, what is wrong with them.
        whole, written = shown.bundle()["text/plain"], self._written.strip()
        rest = whole[len(written) :].lstrip() if whole.startswith(written) else _behind(whole, written)
        if rest is None:  # other words than those that were printed: they are what counts
            rest = shown.footer if shown.plain.strip() in written else whole
        start = "\n" if self._written and not self._written.endswith("\n") else ""
        self._out.write(f"{start}{rest}\n" if rest else start)
        self._out.flush()

    def show_all(self, outputs: Sequence[CellOutput]) -> None:
        """Print them, one below the other."""
        if not self._footer:
            outputs = [replace(each, footer="") for each in outputs if each.markdown or each.plain]
        super().show_all(outputs)

    def also(self, bundle: Bundle) -> None:
        """Print the plain form."""
        self.say(str(bundle.get("text/plain", "")))

    def say(self, line: str) -> None:
        """Print the line."""
        self._wipe()
        self._out.write(f"{printable(line)}\n")

    def _wipe(self) -> None:
        if self._transient:
            self._err.write("\r\x1b[K")
            self._err.flush()
            self._transient = False


def _behind(whole: str, written: str) -> str | None:
    """What stands behind words that were written, in which citations may have been marked since; None for others."""
    place = 0
    for char in written:
        if place < len(whole) and whole[place] == "?" != char:
            place += 1
        if place >= len(whole) or whole[place] != char:
            return None
        place += 1
    return whole[place:].lstrip()


def _publish(bundle: Bundle, metadata: Mapping[str, Any], **options: Any) -> None:
    from IPython.display import publish_display_data

    publish_display_data(bundle, dict(metadata), **options)  # type: ignore[no-untyped-call]


def folded(title: str, body: str) -> str:
    """Markdown that opens on a click; the title is text, the body safe Markdown."""
    return f"<details><summary>{html_text(title)}</summary>\n\n{body}\n\n</details>"


def usage_line(usage: Usage, *, notes: Iterable[str] = ()) -> str:
    """The line under an answer: what is known, and nothing that is not; notes such as ``2 values redacted`` stand last.

    Example:
        >>> from rsql_magic.gateway import Usage
        >>> usage_line(Usage(1204, 88, 1, 1.24, model="llama"))
        'llama · 1,204 + 88 tokens · 1.2 s'
    """
    tokens = f"{usage.prompt_tokens:,} + {usage.completion_tokens:,} tokens"
    limits = dict(usage.limits)
    left, limit = limits.get("remaining-requests", ""), limits.get("limit-requests", "")
    limited = left.isdecimal() and limit.isdecimal() and int(limit) < _UNLIMITED
    parts = [
        usage.model,
        tokens if usage.prompt_tokens or usage.completion_tokens else "",
        f"{usage.seconds:.1f} s" if usage.requests and not usage.replayed else "",
        f"waited {usage.queue_seconds:.1f} s" if usage.queue_seconds >= 0.1 else "",
        f"{usage.requests} requests" if usage.requests > 1 else "",
        "replayed" if usage.replayed else "cached" if usage.cached else "",
        f"${usage.cost_usd:.4f}" if usage.cost_usd is not None else "",
        f"{int(left):,} of {int(limit):,} requests left" if limited else "",
        *notes,
    ]
    return printable(" · ".join(part for part in parts if part))


def as_json(value: Any) -> str:
    """JSON for people: two spaces, no escapes, dates and the like as text."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


# Tables

LONGEST = 200  # characters of a value that are shown

_DIGITS = 6  # that a column's largest number is shown with
_CENTS = 2  # decimals that are shown of larger numbers, too
_MOST_FIXED = 1e15  # beyond, a float has no decimals of its own
_TAGS = {"table", "thead", "tbody", "tr", "th", "td", "i", "p", "span"}


def texts_by_row(frame: pd.DataFrame) -> list[tuple[str | None, ...]]:
    """The rows of a small frame, as ``texts`` shows its columns."""
    return list(zip(*(texts(frame.iloc[:, number]) for number in range(frame.shape[1])), strict=True))


def on_the_right(frame: pd.DataFrame) -> list[bool]:
    """Which columns hold numbers, which stand on the right so that their digits line up."""
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    return [bool(is_numeric_dtype(kind) and not is_bool_dtype(kind)) for kind in frame.dtypes]


def texts(column: pd.Series[Any]) -> list[str | None]:
    """The values of a column; None stands for no value."""
    # Floating-point numbers have as many decimals as the others, so that the digits line up: what six significant
    # digits of the largest allow, two at least, and no more than any of them needs. Where that would hide a small one,
    # each is shown by itself.
    import pandas as pd

    values = [None if pd.api.types.is_scalar(value) and pd.isna(value) else value for value in column]
    floats = [value for value in values if isinstance(value, float)]
    decimals = _decimals(floats)
    form = f".{_DIGITS}g" if decimals is None else f".{decimals}f"
    written = [f"{value:{form}}" if isinstance(value, float) else value for value in values]
    words = [None if value is None else str(value) for value in written]
    return [word if word is None or len(word) <= LONGEST else word[: LONGEST - 1] + "…" for word in words]


# How many decimals show all of these numbers; None where no common number does.
def _decimals(floats: list[float]) -> int | None:
    if not (sizes := [abs(value) for value in floats if value and abs(value) != float("inf")]):
        return 0 if floats else None
    if max(sizes) >= _MOST_FIXED:
        return None
    before_point = len(str(int(max(sizes))))
    most = max(_CENTS, _DIGITS - before_point)
    if min(sizes) < 10.0 ** (1 - most):  # fewer than two digits of it would be seen
        return None
    return min(most, max(len(f"{size:.{most}f}".rstrip("0").partition(".")[2]) for size in sizes))


def table_html(frame: pd.DataFrame, *, rows: int, columns: int) -> str:
    """The top of a frame as an HTML table, all of it escaped, on one line so that Markdown leaves it alone."""
    part = frame.iloc[:rows, :columns]
    more = "…" if frame.shape[1] > columns else ""
    right = on_the_right(part)
    head = [html_text(str(name)) for name in part.columns]
    body = [["<i>NULL</i>" if text is None else html_text(text) for text in row] for row in texts_by_row(part)]
    return _table(head, body, [f' style="text-align:{"right" if each else "left"}"' for each in right], more)


# An HTML table of escaped cells, a style for each column; `more` ends each row where columns are left out.
def _table(head: list[str], body: list[list[str]], sides: list[str], more: str = "") -> str:
    import nh3

    def line(tag: str, cells: list[str]) -> str:
        written = "".join(f"<{tag}{side}>{text}</{tag}>" for side, text in zip(sides, cells, strict=True))
        return f"<tr>{written}{f'<{tag}>{more}</{tag}>' if more else ''}</tr>"

    lines = "".join(line("td", row) for row in body)
    html = f"<table><thead>{line('th', head)}</thead><tbody>{lines}</tbody></table>"
    styled: dict[str, set[str]] = {"td": {"style"}, "th": {"style"}}
    # Whatever the cells were made of, nothing but a table and small text is left, on one line for Markdown.
    clean = nh3.clean(html, tags=_TAGS, attributes=styled, filter_style_properties={"text-align"}, link_rel=None)
    return re.sub(r"[$\\`@]", lambda sign: f"&#{ord(sign[0])};", clean).replace("\n", " ")


def table_plain(frame: pd.DataFrame, *, rows: int, columns: int) -> str:
    """The top of a frame as text."""
    return printable(frame.head(rows).to_string(index=False, max_cols=columns, na_rep="NULL", max_colwidth=60))


def listing(rows: Sequence[Sequence[str]], header: Sequence[str]) -> CellOutput:
    """A small table of text, such as models or keys, as Markdown and as plain text."""
    lines = [header, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    padded = ([cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines)
    plain = "\n".join("  ".join(line).rstrip() for line in padded)
    head, *body = [list(map(html_text, line)) for line in lines]
    return CellOutput(_table(head, body, [""] * len(header)), plain)
