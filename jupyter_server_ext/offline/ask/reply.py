"""The answer to a question about the session: a term, an error, what a description says, or code."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..request import only_english
from ..sql import NotUnderstood
from .code import computed
from .errors import explain_error, is_about_error, is_known_message
from .notebook import Notebook, describe, facts_of, listed, missing, named_at, size
from .study import explain_term
from .wishes import plot_code, task_code

if TYPE_CHECKING:
    from ..request import Described, OfflineRequest

_MISSING = re.compile(r"\b(?:missing|NAs?|NaNs?|nulls?|incomplete)\b(?: values?| data)?", re.IGNORECASE)
_KEY = re.compile(
    r"\b(?:unique|primary) key\b|\bidentif(?:y|ies) (?:a|each|the) rows?\b|\bwhich columns? (?:is|are) unique\b",
    re.IGNORECASE,
)
_ASKS = re.compile(
    r"\b(?:how|which|what|any|is|are|does|do|has|have|list|tell|describe|show|summar\w+|overview|number|shape|size|"
    r"dimensions?|types?|dtypes?|names|key|range|levels|values)\b",
    re.IGNORECASE,
)
_WHAT = re.compile(
    r"^\W*(?:please )?(?:(?:can|could) you )?(?:describe|summar(?:ise|ize)|explain|what(?:'s| is| are| does| do)|"
    r"tell me about|give (?:me )?(?:a |an )?(?:summary|overview|description) of|"
    r"overview of|show me what|look at|explore|introduce)\b",
    re.IGNORECASE,
)
_FIGURE = re.compile(
    r"^\W*(?:please )?what(?:'s| is| was) the (?:mean|average|median|sum|total|max(?:imum)?|min(?:imum)?|"
    r"largest|smallest|highest|lowest|standard deviation|variance|correlation)\b",
    re.IGNORECASE,
)
_CODE = re.compile(
    r"\b(?:how (?:do|can|to|would|should)|code|write|plot|draw|compute|calculate|fill|drop|remove|replace|impute|"
    r"convert|rename|read|save)\b|"
    r"\b(?:per|for each|in each|grouped|where|whose|greater|less|more|above|below) ",
    re.IGNORECASE,
)
_COUNTED = re.compile(r"\b(?:how many|number of|count)\b", re.IGNORECASE)
_OF_DATA = re.compile(r"\b(?:data|frame|table|dataset)\b", re.IGNORECASE)
_FIRST_PERSON = re.compile(
    r"^\W*(?:hi|hello|hey|thanks|thank you|who are you|what are you|what can you do|help)\b", re.IGNORECASE
)
_ALSO = re.compile(
    r"(?:,|\?|\.|;)\s*(?:and\s+)?(?=(?:how|what|which|plot|draw|describe|show|also|then)\b)|\s+and\s+(?=how (?:do|"
    r"can|to)\b)",
    re.IGNORECASE,
)


_THING = re.compile(
    r"^\W*(?:please )?(?:describe|summari[sz]e|explain|what is in|what does|tell me about) `?([\w.]+)`?"
    r"(?: hold| contain)?\W*$",
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
    if found := explain_term(text) or _known_answer(notebook, text):
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
    asked = _THING.match(notebook.question)
    missed = asked and asked[1].lower() not in {item.name.lower() for item in notebook.request.objects}
    reason = f"I was told of nothing called `{asked[1]}`" if asked and missed else doubt
    return (
        f"{reason}. As the offline model I describe frames and R objects, write code for plain wishes over one frame "
        f"(means, counts, filters, plots) and explain common errors. I know {named}. For open questions, set up a "
        "language model (`GROQ_API_KEY=…` or `rsql.toml`)."
    )


# What the description says --------------------------------------------------------------------------------------------


def _known_answer(notebook: Notebook, text: str) -> str:
    """The answer from the description, or an empty text."""
    # Nothing is computed here: figures are those of the request, with the mark ≈ where a sample gave them.
    if _CODE.search(text):
        return ""
    about = [item for item in notebook.named if named_at(item, text) >= 0]
    frame = next((item for item in about if item.is_frame), None) or (notebook.subject if not about else None)
    if frame is not None and (facts := _facts(notebook, frame, text)):
        return facts
    if _FIGURE.match(text):
        return ""  # "what is the median age in patients" is to be computed
    rest = text
    for item in about:
        rest = rest.replace(item.name, "")
    if about and (_WHAT.match(text) or not re.sub(r"[\W_]|\band\b", "", rest)):
        return "\n\n".join(describe(item) for item in about[:3])
    return describe(frame) if frame is not None and _WHAT.match(text) and _OF_DATA.search(text) else ""


def _facts(notebook: Notebook, frame: Described, text: str) -> str:
    found = [say(notebook, frame, text) for pattern, say in _FACTS if pattern.search(text) and _ASKS.search(text)]
    whole = rf"(?:describe|summar\w+|overview of|about)\W+(?:the )?{re.escape(frame.name)}"
    described = [describe(frame)] if _WHAT.match(text) and re.search(whole, text, re.IGNORECASE) else []
    return "\n\n".join(dict.fromkeys([*described, *filter(None, found)]))


def _rows(notebook: Notebook, frame: Described, text: str) -> str:
    if notebook.names_part(frame, text):
        return ""  # "how many rows have a price over 5" is no question about all of them
    untold = " I was not told how many rows." if frame.rows is None else ""
    return f"`{frame.name}` has {size(frame)}.{untold}"


def _columns(_notebook: Notebook, frame: Described, text: str) -> str:
    if _MISSING.search(text) or _KEY.search(text):
        return ""
    names = listed([f"`{column.name}` ({column.type})" for column in frame.columns[:30]])
    rest = frame.hidden + max(len(frame.columns) - 30, 0)
    return f"`{frame.name}` has {frame.width:,} columns: {names}{f', and {rest:,} more' if rest else ''}."


def _missing(notebook: Notebook, frame: Described, text: str) -> str:
    if _COUNTED.search(text) and notebook.columns_in(frame, text):
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


# What asks for each fact; several may be asked for at once.
_FACTS = tuple(
    (re.compile(pattern, re.IGNORECASE), say)
    for pattern, say in (
        (
            r"\bhow (?:many (?:rows|observations|records)|big|large|long)\b|\bnumber of rows\b|"
            r"\b(?:shape|size|dimensions?) of\b",
            _rows,
        ),
        (
            r"\b(?:how many|number of|which|what|list(?: the| all)?(?: the)?|names of(?: the)?) "
            r"(?:columns|variables|fields)\b",
            _columns,
        ),
        (_MISSING.pattern, _missing),
        (r"\b(?:types?|dtypes?|classes) of\b|\bwhat (?:type|dtype|class)\b|\bdata types?\b", _types),
        (_KEY.pattern, _key),
        (
            r"\b(?:range|values|levels|categories) of\b|\b(?:what|which) values\b|"
            r"\bhow many (?:different|distinct|unique)\b",
            _range,
        ),
    )
)
