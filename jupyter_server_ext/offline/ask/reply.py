"""The answer to a question about the session: a term, an error, what a description says, or code."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..request import only_english
from ..sql import NotUnderstood, listed
from .code import computed
from .documents import quoted
from .errors import explain_error, is_about_error, is_known_message
from .notebook import PATTERNS, Notebook, describe, facts_of, missing, named_at, size
from .session import of_session
from .study import explain_term
from .wishes import plot_code, task_code

if TYPE_CHECKING:
    from ..request import Described, OfflineRequest


def reply(request: OfflineRequest) -> str:
    """The answer, or an empty text when the question is beyond the offline model."""
    notebook = Notebook(request, request.question)
    if is_about_error(notebook):
        return explain_error(notebook)
    if PATTERNS["first person"].match(request.question):
        return ""
    try:
        return quoted(request) or _parts(notebook)
    except NotUnderstood as doubt:
        # A bare message such as “division by zero” is no question that could be read.
        if is_known_message(request.question):
            return explain_error(notebook)
        return only_english(request.question) or _untold(request) or _unknown(notebook, str(doubt))


def _untold(request: OfflineRequest) -> str:
    return "The passages that were found do not say it in words that I understand." if request.documents else ""


def _parts(notebook: Notebook) -> str:
    """The answer to each part of the question, else to it as a whole: "What is in cars, and how do I get …?"."""
    pieces = [one for piece in PATTERNS["also"].split(notebook.question) if (one := (piece or "").strip(" ,.?;"))]
    try:
        # A part that cannot be answered makes the whole one question.
        answers = [_single(notebook, piece) for piece in (pieces if len(pieces) > 1 else [notebook.question])]
    except NotUnderstood:
        return _single(notebook, notebook.question)
    return "\n\n".join(answer for place, answer in enumerate(answers) if not any(answer in a for a in answers[:place]))


def _single(notebook: Notebook, text: str) -> str:
    # Cheap and certain parts come first: a term, a fact that is told, a plot, a query, a wish.
    if found := explain_term(text) or of_session(notebook, text) or _known_answer(notebook, text):
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


def _unknown(notebook: Notebook, doubt: str) -> str:
    """Plain words for a question about data that was not understood; empty when there is no data."""
    frames = notebook.frames[:5]
    if not frames:
        return ""
    named = "; ".join(f"`{frame.name}` ({', '.join(column.name for column in frame.columns[:8])})" for frame in frames)
    asked = PATTERNS["thing"].match(notebook.question)
    missed = asked and asked[1].lower() not in {item.name.lower() for item in notebook.request.objects}
    reason = f"I was told of nothing called `{asked[1]}`" if asked and missed else doubt
    return (
        f"{reason}. As the offline model I describe frames and R objects, write code for plain wishes over one frame "
        f"(means, counts, filters, plots) and explain common errors. I know {named}. For open questions, set up a "
        "language model (`GROQ_API_KEY=…` or `rsql.toml`)."
    )


# What the description says --------------------------------------------------------------------------------------------


def _known_answer(notebook: Notebook, text: str) -> str:
    # Nothing is computed here: figures are those of the request, with the mark ≈ where a sample gave them.
    if PATTERNS["to compute"].search(text):
        return ""
    about = [item for item in notebook.named if named_at(item, text) >= 0]
    # A question that names an object of another kind is not about the frames.
    frame = next((item for item in about if item.is_frame), None) or (notebook.subject if not about else None)
    if frame is not None and (facts := _facts(notebook, frame, text)):
        return facts
    if PATTERNS["figure"].match(text):
        return ""  # "what is the median age in patients" is to be computed
    rest = text
    for item in about:
        rest = rest.replace(item.name, "")
    if about and (PATTERNS["what"].match(text) or not re.sub(r"[\W_]|\band\b", "", rest)):
        return "\n\n".join(describe(item) for item in about[:3])
    of_data = PATTERNS["what"].match(text) and PATTERNS["of data"].search(text)
    return describe(frame) if frame is not None and of_data else ""


def _facts(notebook: Notebook, frame: Described, text: str) -> str:
    asked = [say for name, say in _FACTS.items() if PATTERNS[name].search(text) and PATTERNS["asks"].search(text)]
    found = [say(notebook, frame, text) for say in asked]
    whole = rf"(?:describe|summar\w+|overview of|about)\W+(?:the )?{re.escape(frame.name)}"
    described = [describe(frame)] if PATTERNS["what"].match(text) and re.search(whole, text, re.IGNORECASE) else []
    return "\n\n".join(dict.fromkeys([*described, *filter(None, found)]))


def _rows(notebook: Notebook, frame: Described, text: str) -> str:
    if notebook.names_part(frame, text):
        return ""  # "how many rows have a price over 5" is no question about all of them
    untold = " I was not told how many rows." if frame.rows is None else ""
    return f"`{frame.name}` has {size(frame)}.{untold}"


def _columns(_notebook: Notebook, frame: Described, text: str) -> str:
    if PATTERNS["missing"].search(text) or PATTERNS["key"].search(text):
        return ""
    names = listed([f"`{column.name}` ({column.type})" for column in frame.columns[:30]])
    rest = frame.hidden + max(len(frame.columns) - 30, 0)
    return f"`{frame.name}` has {frame.width:,} columns: {names}{f', and {rest:,} more' if rest else ''}."


def _missing(notebook: Notebook, frame: Described, text: str) -> str:
    if PATTERNS["counted"].search(text) and notebook.columns_in(frame, text):
        return ""  # a number is asked for, and only a share is known
    told = sum(column.many for column in frame.columns if column.profile is not None)
    if not told:
        return f"I was not told whether values of `{frame.name}` are missing."
    sampled = " in the sample I was told of" if frame.sampled else ""
    rest = (frame.width or told) - told
    untold = f" I was not told of {rest:,} of its columns." if rest else ""
    return (missing(frame) or f"No column of `{frame.name}` has missing values{sampled}.") + untold


def _types(notebook: Notebook, frame: Described, text: str) -> str:
    columns = notebook.columns_in(frame, text) or list(frame.columns[:30])
    return f"In `{frame.name}`: {listed([f'`{c.name}` is {c.type}' for c in columns])}."


def _key(_notebook: Notebook, frame: Described, _text: str) -> str:
    unique = [f"`{column.name}`" for column in frame.columns if frame.is_unique(column)]
    if not unique:
        return f"No single column of `{frame.name}` is known to identify its rows."
    return f"{listed(unique)} {'identifies' if len(unique) == 1 else 'each identify'} the rows of `{frame.name}`."


def _range(notebook: Notebook, frame: Described, text: str) -> str:
    columns = notebook.columns_in(frame, text)
    return " ".join(f"`{column.name}`: {facts}." for column in columns if (facts := facts_of(frame, column)))


# The facts of a description, by the pattern that asks for each; several may be asked for at once.
_FACTS = {"rows": _rows, "columns": _columns, "missing": _missing, "types": _types, "key": _key, "range": _range}
