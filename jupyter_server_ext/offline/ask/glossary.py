"""Short answers to "what is …" for common words of statistics, R, Python and SQL (``glossary.toml``)."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path

_ASK = re.compile(
    r"^\W*(?:what(?:'s| is| are| does)|explain|define|meaning of|what do you mean by|tell me what)\s+(?:is\s+|"
    r"are\s+|the\s+term\s+)?(?:an?\s+|the\s+)?"
    r"(?P<term>.+?)(?:\s+(?:do|does|mean|means|function|clause|in r|in sql|in pandas|in statistics|in python))*"
    r"\s*(?:\(\))?\W*$",
    re.IGNORECASE,
)


@cache
def _terms() -> dict[str, str]:
    return tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


def explain_term(question: str) -> str:
    """The explanation of a term that a question asks for, or an empty text.

    Example:
        >>> explain_term("What is a left join?").startswith("A left join keeps every row")
        True
    """
    match = _ASK.match(question)
    plain = match["term"].strip(" `'\"().?").lower() if match else ""
    return next((meaning for names, meaning in _terms().items() if re.fullmatch(names, plain)), "")


def terms_in(text: str) -> list[tuple[str, str]]:
    """The terms that a text names, each with its meaning; all terms for an empty text.

    Example:
        >>> [term for term, _ in terms_in("medians and left joins")]
        ['join', 'left join', 'median']
    """
    return [
        (names.split("|")[0], meaning)
        for names, meaning in _terms().items()
        if not text
        or any(re.search(rf"(?<!\w){name}s?(?!\w)", text.lower()) for name in names.split("|") if name != "\\")
    ]
