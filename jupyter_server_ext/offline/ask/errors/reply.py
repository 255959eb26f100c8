"""The answer to a question about an error."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .python import PYTHON
from .r import R
from .sql import SQL
from .trouble import Advice, Trouble

if TYPE_CHECKING:
    from ..notebook import Notebook
    from .trouble import Explanations

_EXCEPTION = re.compile(
    r"^[ \t]*(?:[\w]+\.)*(?P<kind>[A-Z]\w*(?:Error|Exception|Warning|Interrupt|Iteration))(?:: ?(?P<message>.*))?$",
    re.MULTILINE,
)
_INLINE = re.compile(r"\b(?P<kind>[A-Z]\w*(?:Error|Exception|Warning))\b:? ?(?P<message>.*)", re.DOTALL)
_R_ERROR = re.compile(r"(?:^|\n|: )(?:Error(?: in .+?)?\s*:|Warning message)\s*(?P<message>.+)", re.DOTALL)
_SQL_HINTS = re.compile(
    r"\b(?:Binder|Catalog|Parser|Conversion|Constraint|INTERRUPT|Invalid Input) Error\b|\bno such (?:table|column|"
    r"function)\b|\brelation \"|\bsyntax error at or near\b|"
    r"\b(?:OperationalError|ProgrammingError|IntegrityError|BinderException|CatalogException|ParserException|"
    r"UndefinedColumn|UndefinedTable|GroupingError)\b|"
    r"\bGROUP BY clause\b|\bpsycopg|\bsqlite3\.|\bUnknown column\b|\bmisuse of aggregate\b|\bambiguous column\b|"
    r"\bUNION query\b|\bsubquery\b",
    re.IGNORECASE,
)
_ABOUT = re.compile(
    r"\berrors?\b|\bexceptions?\b|\btracebacks?\b|\bwarnings?\b|\bwhy (?:does|did|do|is|doesn't|don't|am "
    r"i)\b.*\b(?:fail|work|get|error)|\bwhat(?:'s| is| went) wrong\b|"
    r"\bdoes(?:n't| not) work\b|\bfix (?:it|this|that|the last|my)\b|\bwhat does this mean\b",
    re.IGNORECASE,
)


def is_about_error(notebook: Notebook) -> bool:
    """Whether a question is about an error: it says so, or it is one."""
    asks = bool(notebook.request.error) and _ABOUT.search(notebook.question) is not None
    return asks or _quotes_error(notebook.question)


def _quotes_error(question: str) -> bool:
    return any(pattern.search(question) for pattern in (_EXCEPTION, _INLINE, _R_ERROR))


def is_known_message(text: str) -> bool:
    """Whether a text is the bare message of an error of R or SQL: "division by zero"."""
    return SQL.knows(text) or R.knows(text)


def explain_error(notebook: Notebook) -> str:
    """What happened, why, and what to do; for an error nobody knows, that and the message itself."""
    question, error = notebook.question, notebook.request.error
    text = question if _quotes_error(question) or not error else error
    for trouble, explanations in _readings(notebook, text):
        advice = explanations.advice(trouble)
        if advice is not None:
            return _written(advice)
    message = _last_line(text)
    return (
        f"I do not know this error: `{message}`. The offline model explains common ones only; search for the message, "
        "or set up a language model."
    )


def _readings(notebook: Notebook, text: str) -> list[tuple[Trouble, Explanations]]:
    """The error as each language would read it, the likeliest first."""
    found = list(_EXCEPTION.finditer(text)) or list(_INLINE.finditer(text))
    python = Trouble(notebook, found[0]["kind"], (found[0]["message"] or "").strip(), text) if found else None
    plain = Trouble(notebook, "", text, text)
    r_error = _R_ERROR.search(text)
    in_r = Trouble(notebook, "", r_error["message"] if r_error else text, text)
    readings: list[tuple[Trouble, Explanations]] = []
    if _SQL_HINTS.search(text):
        readings.append((plain, SQL))
    if python is not None and not (r_error and "RRuntimeError" in text):
        readings.append((python, PYTHON))
    readings.append((in_r, R))
    readings.append((plain, SQL))
    if python is None:
        readings.append((plain, PYTHON))
    return readings


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    line = lines[-1] if lines else ""
    return line.replace("`", "'")[:200]


def _written(advice: Advice) -> str:
    parts = [f"{' '.join(advice.what.split())} {advice.fix}".strip()]
    if advice.code:
        parts.append(f"```{advice.language}\n{advice.code}\n```")
    return "\n\n".join(parts)
