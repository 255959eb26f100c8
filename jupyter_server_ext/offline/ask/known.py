"""Questions whose answer stands in the description: how many rows, which columns, what is missing, what values.

Nothing is computed here: figures come from the prompt, with the mark ≈ where a sample gave them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .describe import describe, facts_of, listed, missing, size
from .notebook import named_at

if TYPE_CHECKING:
    from ..request import Described
    from .notebook import Notebook

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


def known_answer(notebook: Notebook, text: str) -> str:
    """The answer from the description, or an empty text."""
    if _CODE.search(text):
        return ""
    about = [item for item in notebook.named if named_at(item, text) >= 0]
    frame = next((item for item in about if item.is_frame), None) or (notebook.subject if not about else None)
    if frame is not None and (facts := _facts(notebook, frame, text)):
        return facts
    if _FIGURE.match(text):
        return ""  # "what is the median age in patients" is to be computed
    if about and (_WHAT.match(text) or not re.sub(r"[\W_]|\band\b", "", _without(text, about))):
        return "\n\n".join(describe(item) for item in about[:3])
    return describe(frame) if frame is not None and _WHAT.match(text) and _OF_DATA.search(text) else ""


def _without(text: str, about: list[Described]) -> str:
    for item in about:
        text = text.replace(item.name, "")
    return text


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


_FACTS = tuple(
    (re.compile(pattern, re.IGNORECASE), say)
    for pattern, say in (
        (
            r"\bhow (?:many rows|many observations|many records|big|large|long)\b|\bnumber of rows\b|"
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
            r"\b(?:range|values|levels|categories) of\b|\bwhat values\b|\bwhich values\b|"
            r"\bhow many (?:different|distinct|unique)\b",
            _range,
        ),
    )
)
