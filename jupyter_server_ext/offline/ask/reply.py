"""The answer to an ``%%ask`` prompt."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..request import only_english
from ..sql import NotUnderstood
from .code import computed
from .errors import explain_error, is_about_error, is_known_message
from .glossary import explain_term
from .known import known_answer
from .notebook import Notebook
from .plots import plot_code
from .tasks import task_code

if TYPE_CHECKING:
    from ..request import OfflineRequest

_FIRST_PERSON = re.compile(
    r"^\W*(?:hi|hello|hey|thanks|thank you|who are you|what are you|what can you do|help)\b", re.IGNORECASE
)
_ALSO = re.compile(
    r"(?:,|\?|\.|;)\s*(?:and\s+)?(?=(?:how|what|which|plot|draw|describe|show|also|then)\b)|\s+and\s+(?=how (?:do|"
    r"can|to)\b)",
    re.IGNORECASE,
)


def reply(request: OfflineRequest) -> str:
    """The answer, or an empty text when the question is beyond the offline model."""
    notebook = Notebook(request, request.question)
    if is_about_error(notebook):
        return explain_error(notebook)
    if _FIRST_PERSON.match(request.question):
        return ""
    try:
        return _parts(notebook)
    except NotUnderstood as doubt:
        if is_known_message(request.question):
            return explain_error(notebook)
        return only_english(request.question) or _unknown(notebook, str(doubt))


def _parts(notebook: Notebook) -> str:
    """The answer to each part of the question, else to it as a whole: "What is in cars, and how do I get …?"."""
    pieces = [piece.strip(" ,.?;") for piece in _ALSO.split(notebook.question) if piece and piece.strip(" ,.?;")]
    try:
        answers = [_single(notebook, piece) for piece in (pieces if len(pieces) > 1 else [notebook.question])]
    except NotUnderstood:
        return _single(notebook, notebook.question)
    return "\n\n".join(answer for place, answer in enumerate(answers) if not any(answer in a for a in answers[:place]))


def _single(notebook: Notebook, text: str) -> str:
    """The answer to one question by the first of the parts that can give it."""
    if found := explain_term(text) or known_answer(notebook, text):
        return found
    language, code = plot_code(notebook, text)
    if code:
        return _block(language, code)
    try:
        language, code, notes = computed(notebook, text)
        return _block(language, code) + (f"\n{notes}" if notes else "")
    except NotUnderstood:
        language, code = task_code(notebook, text)
        if not code:
            raise
        return _block(language, code)


def _block(language: str, code: str) -> str:
    return f"```{language}\n{code}\n```"


_THING = re.compile(
    r"^\W*(?:please )?(?:describe|summari[sz]e|explain|what is in|what does|tell me about) `?([\w.]+)`?"
    r"(?: hold| contain)?\W*$",
    re.IGNORECASE,
)


def _unknown(notebook: Notebook, doubt: str) -> str:
    """Plain words for a question about data that was not understood; empty when there is no data."""
    frames = notebook.frames[:5]
    if not frames:
        return ""
    named = "; ".join(f"`{frame.name}` ({', '.join(column.name for column in frame.columns[:8])})" for frame in frames)
    asked = _THING.match(notebook.question)
    missed = asked and asked[1].lower() not in {item.name.lower() for item in notebook.objects}
    reason = f"I was told of nothing called `{asked[1]}`" if asked and missed else doubt
    return (
        f"{reason}. As the offline model I describe frames and R objects, write code for plain wishes over one frame "
        f"(means, counts, filters, plots) and explain common errors. I know {named}. For open questions, set up a "
        "language model (`GROQ_API_KEY=…` or `rsql.toml`)."
    )
