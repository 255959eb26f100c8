"""What a prompt is known by: hashes that leave out what differs from machine to machine and from run to run."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# The date, and the time zone beside it, whose name changes with summer time.
_TODAY = re.compile(r' ?today="[^"]*"(?: time_zone="[^"]*")?')
# What differs from machine to machine and from run to run, and what stands in its place: hashes of blocks that hold
# it, addresses of objects, numbers of processes and cells in tracebacks, folders of Python and its packages.
_OF_ONE_RUN = (
    (_TODAY, ""),
    (re.compile(r'(<data [^>\n]*?) id="[0-9a-f]{8}"'), r"\1"),
    (re.compile(r"</data [0-9a-f]{8}>"), "</data>"),
    (re.compile(r"\b0x[0-9a-fA-F]{6,16}\b"), "0x"),
    (re.compile(r"\bipykernel_\d+/\d+"), "ipykernel"),
    (re.compile(r"\bCell In ?\[\d+\](?=, line)"), "Cell In"),
    # From where a word begins: tried at each letter of a picture's, it would take the square of its length.
    (re.compile(r"(?<![^\s\"'<>])[^\s\"'<>]*/(site-packages|lib/python3\.\d+)/"), r"\1/"),
)
# The line on the session names versions, which an upgrade changes and the answer seldom hangs on.
_SESSION = re.compile(r'(?s)<data kind="session"[^>\n]*>.*?</data')
_VERSION = re.compile(r"(?<=[^\W\d]) v?\d+(?:\.\d+)+[\w.+-]*")
_DESCRIBED = re.compile(r"<data [^>\n]*>.*?</data>", re.S)  # of a text without hashes


def steady(text: str, folders: Sequence[str] = ()) -> str:
    """A text of a prompt without what differs between two runs on the same data; ``folders`` are this machine's own.

    Example:
        >>> steady('<data kind="frame" id="3fa9c1d2">a <Model at 0x7f12ab34cd56></data 3fa9c1d2>')
        '<data kind="frame">a <Model at 0x></data>'
        >>> steady("/home/ada/report/shop.db", ["/home/ada/report"])
        './shop.db'
        >>> steady('<data kind="session" id="3fa9c1d2">Python 3.11.9; imported pandas 3.0.1 as pd</data 3fa9c1d2>')
        '<data kind="session">Python; imported pandas as pd</data>'
    """
    for folder in folders:
        text = text.replace(folder, ".")
    for pattern, instead in _OF_ONE_RUN:
        text = pattern.sub(instead, text)
    return _SESSION.sub(lambda block: _VERSION.sub("", block[0]), text)


def _own_folders() -> list[str]:
    found = [os.getcwd(), os.path.expanduser("~"), tempfile.gettempdir()]  # noqa: PTH109, PTH111 - texts in a prompt
    return [folder for folder in found if len(folder) > 1]


def _steady_all(value: Any, folders: Sequence[str]) -> Any:
    if isinstance(value, str):
        return steady(value, folders)
    if isinstance(value, list | tuple):
        return [_steady_all(each, folders) for each in value]
    return {name: _steady_all(each, folders) for name, each in value.items()} if isinstance(value, dict) else value


def steady_messages(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Messages without what differs between two runs on the same data."""
    made: list[dict[str, Any]] = _steady_all(list(map(dict, messages)), _own_folders())
    return made


def hashes_of(messages: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """SHA-256 of a prompt, and of the descriptions of data in it; the same wherever the same is asked of the same.

    Example:
        >>> asked = {"role": "user", "content": '<data kind="frame" id="3fa9c1d2">a</data 3fa9c1d2> How many?'}
        >>> other = {"role": "user", "content": '<data kind="frame" id="3fa9c1d2">a</data 3fa9c1d2> How few?'}
        >>> hashes_of([asked])[0] == hashes_of([other])[0], hashes_of([asked])[1] == hashes_of([other])[1]
        (False, True)
    """
    steadied = steady_messages(messages)
    texts = [str(each.get("content") or "") for each in steadied]
    return _hash_of(steadied), _hash_of([block for text in texts for block in _DESCRIBED.findall(text)])


def _hash_of(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def key_of(messages: Sequence[Mapping[str, Any]], model: str | None, **params: Any) -> str:
    """The hash of messages, model and parameters under which an answer is kept, as `steady` has them."""
    sent = _steady_all([list(map(dict, messages)), model, params], _own_folders())
    return _hash_of(sent)


def first_key_of(messages: Sequence[Mapping[str, Any]], model: str | None, **params: Any) -> str:
    """The key under which recordings of the first version keep an answer."""
    text = json.dumps([list(map(dict, messages)), model, params], sort_keys=True, ensure_ascii=False, default=str)
    # In JSON the quotes around an attribute of the prompt are escaped, and the date would not be found.
    return hashlib.sha256(_TODAY.sub("", text.replace('\\"', '"')).encode("utf-8", "surrogatepass")).hexdigest()
