"""What kind of values a column type holds, whatever the engine calls it."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

ValueKind = Literal["number", "time", "text", "bool", "other"]

_WORDS: dict[ValueKind, str] = {
    "number": """
        bigint bignum bigserial byteint dec decfloat decimal double fixed float hugeint int integer mediumint money
        number numeric real serial signed smallint smallmoney smallserial tinyint ubigint uhugeint uint uinteger
        unsigned
        usmallint utinyint varint binary_double binary_float""",
    "time": """
        date datetime datetimeoffset smalldatetime time timestamp timestamp_ntz timestampltz timestamptz timetz
        year""",
    "text": """
        bpchar char character citext clob enum longtext longvarchar mediumtext name national native nchar nclob ntext
        nvarchar set str string text tinytext varchar varying""",
    "bool": "bool boolean logical",
}
_KINDS = {word: kind for kind, words in _WORDS.items() for word in words.split()}
_WORD = re.compile(r"\s*([a-z_]*[a-z])")


@lru_cache(maxsize=4096)
def value_kind(type_name: str) -> ValueKind:
    """What a type holds: numbers, points in time, text, truth values, or something else.

    Example:
        >>> [value_kind(t) for t in ("DECIMAL(10,2)", "timestamp with time zone", "ENUM('a', 'b')", "INTEGER[]")]
        ['number', 'time', 'text', 'other']
    """
    word = _WORD.match(type_name.lower())
    if word is None or type_name.endswith("]"):
        return "other"
    return _KINDS.get(word[1].removesuffix("_s"), "other")
