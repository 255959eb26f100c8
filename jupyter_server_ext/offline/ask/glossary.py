"""Short answers to "what is …" for common words of statistics, R, Python and SQL."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path

_ASK = re.compile(
    r"^\W*(?:what(?:'s| is| are| does)|explain|define|meaning of|what do you mean by|tell me what)\s+(?:is\s+|"
    r"are\s+|the\s+term\s+)?(?:an?\s+|the\s+)?"
    r"(?P<term>.+?)(?:\s+(?:do|does|mean|means|function|clause|in r|in sql|in pandas|in dplyr|in statistics|in "
    r"python))*\s*(?:\(\))?\W*$",
    re.IGNORECASE,
)
_DIFFERENCE = re.compile(
    r"^\W*(?:what(?:'s| is)|explain)\s+the\s+difference\s+between\s+(?:an?\s+|"
    r"the\s+)?(?P<one>.+?)\s+and\s+(?:an?\s+|the\s+)?(?P<two>.+?)(?:\s+in\s+(?:r|sql|pandas|python))?\W*$",
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
    both = _DIFFERENCE.match(question)
    if both:
        found = [_look_up(both[name]) for name in ("one", "two")]
        return "\n\n".join(found) if all(found) else ""
    match = _ASK.match(question)
    return _look_up(match["term"]) if match else ""


def terms_in(text: str) -> list[tuple[str, str]]:
    """The terms that a text names, each with its meaning; all terms for an empty text.

    Example:
        >>> [term for term, _ in terms_in("medians and left joins")]
        ['join', 'left join', 'median']
    """
    folded = text.lower()
    found = []
    for names, meaning in _terms().items():
        said = any(re.search(rf"(?<!\w){name}s?(?!\w)", folded) for name in names.split("|") if name != "\\")
        if not text or said:
            found.append((names.split("|")[0], meaning))
    return found


def _look_up(term: str) -> str:
    plain = term.strip(" `'\"().?").lower()
    for names, text in _terms().items():
        if re.fullmatch(names, plain):
            return text
    return ""
