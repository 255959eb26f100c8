"""The answer to an ``%%ask`` prompt."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from jupyter_server_ext.offline.ask.errors.reply import explain_error, is_about_error, is_known_message

from ..languages import only_english
from ..prompt import code_blocks
from ..sql.explain import explain
from ..sql.query import NotUnderstood
from .computing import computed
from .expressions import expression_code
from .files import joining_code, reading_code
from .glossary import explain_term
from .known import known_answer
from .plots import plot_code
from .scene import Scene
from .tasks import task_code

if TYPE_CHECKING:
    from ..prompt import Prompt

_EXPLAIN_SQL = re.compile(r"^Explain in at most \w+ short sentences what this query does", re.IGNORECASE)
_FIRST_PERSON = re.compile(
    r"^\W*(?:hi|hello|hey|thanks|thank you|who are you|what are you|what can you do|help)\b", re.IGNORECASE
)
_ALSO = re.compile(
    r"(?:,|\?|\.|;)\s*(?:and\s+)?(?=(?:how|what|which|plot|draw|describe|show|also|then)\b)|\s+and\s+(?=how (?:do|"
    r"can|to)\b)",
    re.IGNORECASE,
)


def reply(prompt: Prompt) -> str:
    """The answer, or an empty text when the question is beyond the offline model."""
    scene = Scene.of(prompt)
    if _EXPLAIN_SQL.match(prompt.question):
        return _explained(prompt)
    if is_about_error(scene):
        return explain_error(scene)
    if _FIRST_PERSON.match(prompt.question):
        return ""
    if answered := _parts(scene):
        return answered
    if is_known_message(prompt.question):
        return explain_error(scene)
    return only_english(prompt.question) or _unknown(scene)


def _explained(prompt: Prompt) -> str:
    query = next(iter(code_blocks(prompt.message, "sql")), "")
    return explain(query, prompt.dialect)


def _parts(scene: Scene) -> str:
    """The answer to each part of the question, else to it as a whole: "What is in cars, and how do I get …?"."""
    pieces = [piece.strip(" ,.?;") for piece in _ALSO.split(scene.question) if piece and piece.strip(" ,.?;")]
    answers = [_single(scene, piece) for piece in pieces] if len(pieces) > 1 else [""]
    if not all(answers):
        return _single(scene, scene.question)
    return "\n\n".join(answer for place, answer in enumerate(answers) if not any(answer in a for a in answers[:place]))


def _single(scene: Scene, text: str) -> str:
    """The answer to one question by the first of the parts that can give it."""
    if said := explain_term(text):
        return said
    language, code = expression_code(scene, text)
    if code:
        return _block(language, code)
    if said := known_answer(scene, text):
        return said
    for find in (reading_code, joining_code, plot_code):
        language, code = find(scene, text)
        if code:
            return _block(language, code)
    try:
        language, code, notes = computed(scene, text)
        return _block(language, code) + (f"\n{notes}" if notes else "")
    except NotUnderstood:
        language, code = task_code(scene, text)
    return _block(language, code) if code else ""


def _block(language: str, code: str) -> str:
    return f"```{language}\n{code}\n```"


def _doubt(scene: Scene) -> str:
    """Why the question could not be computed: the word that was not understood, or what it could mean."""
    try:
        computed(scene, scene.question)
    except NotUnderstood as doubt:
        return f"{str(doubt)[:1].upper()}{str(doubt)[1:]}"
    return "I did not understand this"


_THING = re.compile(
    r"^\W*(?:please )?(?:describe|summari[sz]e|explain|what is in|what does|tell me about) `?([\w.]+)`?"
    r"(?: hold| contain)?\W*$",
    re.IGNORECASE,
)


def _unknown(scene: Scene) -> str:
    """Plain words for a question about data that was not understood; empty when there is no data."""
    frames = scene.frames[:5]
    if not frames:
        return ""
    named = "; ".join(f"`{frame.name}` ({', '.join(column.name for column in frame.columns[:8])})" for frame in frames)
    asked = _THING.match(scene.question)
    missed = asked and asked[1].lower() not in {item.name.lower() for item in scene.objects}
    said = f"I was told of nothing called `{asked[1]}`." if asked and missed else f"{_doubt(scene)}."
    return (
        f"{said} As the offline model I describe frames and R objects, write code for plain "
        "wishes (means, counts, filters, "
        f"joins, plots) and explain common errors. I know {named}. For open questions, set up a language model "
        f"(`GROQ_API_KEY=…` or `rsql.toml`)."
    )
