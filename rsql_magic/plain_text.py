"""Plain text for every place that shows one: without what a terminal obeys, and as HTML."""

from __future__ import annotations

import re

_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"  # CSI: colours, the cursor, the screen
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"  # OSC: links, the clipboard
    r"|\x1b[ -/]*[0-~]?"
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_WEB = r"https?|s3|gs|[\w+]{0,12}(?:sql|duckdb|mariadb|oracle|redis|snowflake|bigquery|trino)[\w+]{0,12}"
_ADDRESS = re.compile(rf"(?<![a-z0-9+.-])(?!(?:{_WEB}):)[a-z0-9+.-]+:(?=//)|data(?=:\S)", re.I)
_UNFINISHED = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*\Z"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]{0,4000}\x1b?\Z"
    r"|\x1b[ -/]*\Z|\r\Z"
)
_READ = re.compile(r"[\t\n!\"#$&*<>@\[\\\]^_`{|}~]|:(?=[^\s\d])|/(?=/)|(?i:(?<=www)\.)")
_NAMED = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}


def counted(number: int, noun: str) -> str:
    """A number with its noun, in the plural where it is not one.

    Example:
        >>> counted(1, "row"), counted(1234, "row")
        ('1 row', '1,234 rows')
    """
    return f"{number:,} {noun}{'s' * (number != 1)}"


def printable(text: str) -> str:
    r"""Text without what a terminal would obey, and without marks that turn the direction of what follows.

    By such marks text can show something else than it says. Ends of lines become ``\n``.

    Example:
        >>> printable("\x1b[31mred\x1b[0m \x1b]52;c;aGk=\x07and\r\nplain")
        'red and\nplain'
    """
    if text.isascii() and text.isprintable():
        return text
    text = _SEQUENCE.sub("", text.replace("\r\n", "\n"))
    return with_whole_characters(_CONTROL.sub(_kept, text))


def with_whole_characters(text: str) -> str:
    r"""Text that can be written as UTF-8: halves of characters (unpaired surrogates) become the replacement sign.

    Example:
        >>> with_whole_characters("half \ud83d of it")
        'half � of it'
    """
    return _SURROGATE.sub("\ufffd", text)


def unlinked(text: str) -> str:
    r"""Printable text in which JupyterLab finds no addresses but those of the web and of databases.

    It makes a link of everything in plain text that looks like an address, ``javascript:`` and ``data:`` too.

    Example:
        >>> unlinked("javascript://x data:text/html,x http://a.b").replace("\N{WORD JOINER}", "|")
        'javascript:|//x data|:text/html,x http://a.b'
    """
    return without_addresses(printable(text))


def without_addresses(text: str) -> str:
    r"""Text, also with the colours of a terminal, in which JupyterLab finds no addresses but those of `unlinked`.

    Example:
        >>> without_addresses("\x1b[31mdata:x").replace("\N{WORD JOINER}", "|")
        '\x1b[31mdata|:x'
    """
    return _ADDRESS.sub("\\g<0>\N{WORD JOINER}", text)


def printable_so_far(text: str) -> tuple[str, str]:
    r"""The same for text that comes in pieces: what can be shown, and an unfinished sequence to put before the next.

    Example:
        >>> printable_so_far("red \x1b[3")
        ('red ', '\x1b[3')
    """
    held = _UNFINISHED.search(text)
    return (printable(text[: held.start()]), held[0]) if held else (printable(text), "")


def _kept(control: re.Match[str]) -> str:
    return "\n" if control[0] in "\r\u2028\u2029" else ""


def entities(text: str) -> str:
    """Text within HTML within Markdown: no sign that either of them, or a typesetter of formulas, could read."""
    return _READ.sub(lambda sign: _NAMED.get(sign[0]) or f"&#{ord(sign[0])};", text)


def html_text(text: str) -> str:
    """Text as HTML, also within Markdown, on one line; front ends look for formulas in the words between two tags."""
    return re.sub("&#(?:36|92);", r"<span>\g<0></span>", entities(printable(text).replace("\n", "↵")))
