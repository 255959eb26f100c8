"""Which schemas a question names, where their names may be words like any other."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rsql_magic.sql.linking.words import STOP_WORDS, stems

if TYPE_CHECKING:
    from collections.abc import Iterable

_PRONOUNS = frozenset("it me them this that these those which all one".split())  # noqa: SIM905
"""What may follow "in" without being a place."""


def named_schemas(question: str, schemas: Iterable[str]) -> set[str]:
    """The schemas that a question names.

    A name that is a small word, such as ``us`` or ``it``, is one only where it can be no other: in capitals, before a
    dot, beside "schema" or "database", or behind "in".

    Args:
        question: The question in plain words.
        schemas: Names of schemas, or of ``prefix__`` groups.

    Example:
        >>> sorted(named_schemas("Show us the orders of hr", ["us", "hr"])), named_schemas("orders in us", ["us"])
        (['hr'], {'us'})
    """
    said = f" {' '.join(stems(question))} "
    return {name for name in schemas if name and (_is_said(question, name) if _is_small(name) else _is_in(said, name))}


def _is_small(name: str) -> bool:
    return name.casefold() in STOP_WORDS


def _is_in(said: str, name: str) -> bool:
    words = " ".join(stems(name))
    return bool(words) and f" {words} " in said


def _is_said(question: str, name: str) -> bool:
    """Whether a small word stands where only a name can."""
    word = re.escape(name)
    shouted = rf"(?-i:\b{re.escape(name.upper())}\b)" if question != question.upper() else "(?!)"
    places = [shouted, rf"\b{word}\.\w", rf"\b{word} (?:schema|database)\b", rf"\b(?:schema|database) {word}\b"]
    if name.casefold() not in _PRONOUNS:
        places.append(rf"\bin {word}\b")
    return re.search("|".join(places), question, re.IGNORECASE) is not None


def small_names(question: str, schemas: Iterable[str]) -> set[str]:
    """Those named whose name is a word that questions are otherwise full of."""
    return {name for name in named_schemas(question, schemas) if _is_small(name)}
