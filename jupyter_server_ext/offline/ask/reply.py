"""The answer to an ``%%ask`` prompt."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from jupyter_server_ext.offline.ask.errors.reply import explain_error, is_about_error, is_known_message

from ..languages import only_english
from ..sql import NotUnderstood
from .computing import computed
from .expressions import expression_code
from .files import joining_code, reading_code
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
    if answered := _parts(notebook):
        return answered
    if is_known_message(request.question):
        return explain_error(notebook)
    return only_english(request.question) or _unknown(notebook)


def _parts(notebook: Notebook) -> str:
    """The answer to each part of the question, else to it as a whole: "What is in cars, and how do I get …?"."""
    pieces = [piece.strip(" ,.?;") for piece in _ALSO.split(notebook.question) if piece and piece.strip(" ,.?;")]
    answers = [_single(notebook, piece) for piece in pieces] if len(pieces) > 1 else [""]
    if not all(answers):
        return _single(notebook, notebook.question)
    return "\n\n".join(answer for place, answer in enumerate(answers) if not any(answer in a for a in answers[:place]))


def _single(notebook: Notebook, text: str) -> str:
    """The answer to one question by the first of the parts that can give it."""
    if said := explain_term(text):
        return said
    language, code = expression_code(notebook, text)
    if code:
        return _block(language, code)
    if said := known_answer(notebook, text):
        return said
    for find in (reading_code, joining_code, plot_code):
        language, code = find(notebook, text)
        if code:
            return _block(language, code)
    try:
        language, code, notes = computed(notebook, text)
        return _block(language, code) + (f"\n{notes}" if notes else "")
    except NotUnderstood:
        language, code = task_code(notebook, text)
    return _block(language, code) if code else ""


def _block(language: str, code: str) -> str:
    return f"```{language}\n{code}\n```"


def _doubt(notebook: Notebook) -> str:
    """Why the question could not be computed: the word that was not understood, or what it could mean."""
    try:
        computed(notebook, notebook.question)
    except NotUnderstood as doubt:
        return f"{str(doubt)[:1].upper()}{str(doubt)[1:]}"
    return "I did not understand this"


_THING = re.compile(
    r"^\W*(?:please )?(?:describe|summari[sz]e|explain|what is in|what does|tell me about) `?([\w.]+)`?"
    r"(?: hold| contain)?\W*$",
    re.IGNORECASE,
)


def _unknown(notebook: Notebook) -> str:
    """Plain words for a question about data that was not understood; empty when there is no data."""
    frames = notebook.frames[:5]
    if not frames:
        return ""
    named = "; ".join(f"`{frame.name}` ({', '.join(column.name for column in frame.columns[:8])})" for frame in frames)
    asked = _THING.match(notebook.question)
    missed = asked and asked[1].lower() not in {item.name.lower() for item in notebook.objects}
    said = f"I was told of nothing called `{asked[1]}`." if asked and missed else f"{_doubt(notebook)}."
    return (
        f"{said} As the offline model I describe frames and R objects, write code for plain "
        "wishes (means, counts, filters, "
        f"joins, plots) and explain common errors. I know {named}. For open questions, set up a language model "
        f"(`GROQ_API_KEY=…` or `rsql.toml`)."
    )
