"""What a request asks, told from its messages: a hash of the question's normal form, and the tables it is about."""

# Questions are counted by a form that keeps what they mean: two questions have one form only where they differ in
# spaces, in the case of a sentence's first word, in courtesies and in the mark at the end. Numbers, negations, the
# order of words, names and whatever stands in quotes stay as they are, so `Age` is not `age`.

from __future__ import annotations

import hashlib
import re
import unicodedata
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST_LETTERS = 4_000  # of a question; a longer one is data as well
_MOST_TABLES, _LONGEST_TABLES = 8, 255  # names, and letters of all together
_BLOCK = re.compile(r'<data kind="([\w-]*)" name="([^"\n]*)" id="(\w+)">')
_TABLE = re.compile(r'^CREATE TABLE (?:"([^"\n]+)"|`([^`\n]+)`|([^\s(]+))', re.M)
_QUOTED = re.compile(r"""(`[^`]*`|"[^"]*"|(?<!\w)'[^'\n]*'(?!\w))""")
_SPACES = re.compile(r"\s+")
_COURTESY = re.compile(
    r"^(?:(?:hi|hello|hey|please|pls)\b[ ,!.]*|(?:could|can|would|will) you (?:please )?)+(?=\S)"
    r"|,? ?\bplease(?=[.?! ]*$)",
    re.IGNORECASE,
)
_END = re.compile(r"[ .?!…]+$")
_TYPED = str.maketrans({"“": '"', "”": '"', "„": '"', "‘": "'", "’": "'", "–": "-", "\u00a0": " "})


class AskedQuestion(NamedTuple):
    """What one request asks."""

    hash: str = ""  # of its normal form; empty when no question can be told
    tables: str = ""  # names of the tables and frames that were described, with commas between


def question_of(messages: object) -> AskedQuestion:
    """What the messages of a request ask; the text after the last ``Question:``, else the user's last message.

    Example:
        >>> asked = question_of([{"role": "user", "content": "What is a p-value?"}])
        >>> asked == question_of([{"role": "user", "content": " what is  a p-value"}]), asked.tables
        (True, '')
    """
    texts = list(_user_texts(messages))
    if not texts:
        return AskedQuestion()
    tables: dict[str, None] = {}
    plain = [_without_data(text, tables) for text in texts]
    marked = next((after for text in reversed(plain) if (after := _after_mark(text))), "")
    form = normal_form(marked or plain[-1])
    return AskedQuestion(hash_of_form(form) if form else "", _joined(tables))


def text_of(messages: object) -> str:
    """The question itself, as it was asked; empty when none can be told."""
    plain = [_without_data(text, {}) for text in _user_texts(messages)]
    marked = next((after for text in reversed(plain) if (after := _after_mark(text))), "")
    return (marked or (plain[-1] if plain else "")).strip()[:_MOST_LETTERS]


def hash_of_form(form: str) -> str:
    """What stands for a question in the ledger where its text is not kept."""
    return hashlib.sha256(f"rsql question\0{form}".encode("utf-8", "replace")).hexdigest()[:32]


def normal_form(text: str) -> str:
    """The form that all ways of writing a question have in common that surely mean the same.

    Example:
        >>> normal_form("Please, how many  Flights left JFK?"), normal_form("how many Flights left JFK")
        ('how many Flights left JFK', 'how many Flights left JFK')
        >>> normal_form("delays of 'JFK' ") == normal_form("delays of 'jfk'")
        False
    """
    text = unicodedata.normalize("NFC", text[:_MOST_LETTERS]).translate(_TYPED)
    pieces = _QUOTED.split(text)
    # Every second piece is quoted, and stays.
    pieces[::2] = [_SPACES.sub(" ", piece) for piece in pieces[::2]]
    whole = "".join(pieces).strip()
    before = ""
    while before != whole:
        before, whole = whole, _COURTESY.sub("", whole).strip()
    whole = _END.sub("", whole)
    first, _, rest = whole.partition(" ")
    # A capital at the beginning is the sentence's. One inside the word, or in a lone letter, is a name's.
    lowered = first.lower() if rest and first[1:].islower() else first
    return f"{lowered} {rest}".strip()


def _user_texts(messages: object) -> Iterator[str]:
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict) and message.get("role") == "user":
            content: Any = message.get("content")
            if isinstance(content, str):
                yield content
            elif isinstance(content, list):
                parts = (part.get("text") for part in content if isinstance(part, dict))
                yield "\n".join(part for part in parts if isinstance(part, str))


def _without_data(text: str, tables: dict[str, None]) -> str:
    # The text without fenced blocks, whose tables are added to ``tables``.
    if "<data " not in text:
        return text
    kept, at = [], 0
    for begin in _BLOCK.finditer(text):
        if begin.start() < at:
            continue
        close = f"</data {begin[3]}>"
        end = text.find(close, begin.end())
        if end < 0:
            break
        kept.append(text[at : begin.start()])
        at = end + len(close)
        if begin[1] == "frame":
            tables[begin[2]] = None
        elif begin[1] == "schema":
            tables.update(
                (next(filter(None, found.groups())), None) for found in _TABLE.finditer(text, begin.end(), end)
            )
    return "".join([*kept, text[at:]])


def _after_mark(text: str) -> str:
    # What follows the last line that begins with ``Question:``, to the end of its paragraph.
    at = text.rfind("Question: ")
    if at < 0 or (at and text[at - 1] != "\n"):
        return ""
    return text[at + len("Question: ") :].split("\n\n", 1)[0].strip()


def _joined(tables: dict[str, None]) -> str:
    names = [name for raw in tables if (name := "".join(c for c in raw if c.isprintable() and c != ",").strip())]
    joined = ""
    for name in names[:_MOST_TABLES]:
        longer = f"{joined},{name}" if joined else name
        if len(longer) > _LONGEST_TABLES:
            break
        joined = longer
    return joined
