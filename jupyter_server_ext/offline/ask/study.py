"""Study material from what is known: described frames and the terms of the glossary.

Nothing is invented: each item is a fact of a description or a term. Where there are fewer of them than were asked for,
there are fewer items; where there are none, the answer says so.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from .glossary import terms_in
from .notebook import Notebook

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..request import Described, OfflineRequest

_NOTHING = (
    "I am rsql's offline model and know nothing certain about this. I make study material about data frames that "
    "are described to me and common terms of statistics, R, Python and SQL; name one of them."
)
_ALL = re.compile(r"\b(?:notebook|session|my data|the data|all frames)\b", re.IGNORECASE)


class Fact(NamedTuple):
    """Something that is known: a question, its answer, wrong answers of the same kind, and the term it is about."""

    question: str
    answer: str
    others: tuple[str, ...] = ()
    why: str = ""
    term: str = ""


def study(request: OfflineRequest) -> str:
    """The material as a block of JSON, or plain words where nothing is known."""
    topic = request.question
    frames = _meant(Notebook(request, topic))
    facts = [*_of_terms(topic), *(fact for frame in frames for fact in _of_frame(frame))]
    items = [item for fact in facts if (item := _item(fact, request.sheet))][: request.count or 8]
    if not items:
        return _NOTHING
    title = topic.strip().rstrip(".?!").splitlines()[0][:80] or "This notebook"
    return f"```json\n{json.dumps({'title': title, 'items': items}, ensure_ascii=False, indent=1)}\n```"


def _meant(notebook: Notebook) -> list[Described]:
    """The frames that the topic names, itself or by a column; all of them where it is about the notebook."""
    words = set(re.findall(r"\w+", notebook.question.lower()))
    return [
        frame
        for frame in notebook.frames
        if _ALL.search(notebook.question) or words & {name.lower() for name in (frame.name, *_columns(frame))}
    ]


def _columns(frame: Described) -> list[str]:
    return [column.name for column in frame.columns]


def _of_terms(topic: str) -> Iterator[Fact]:
    """The terms of the glossary that a topic names."""
    for term, meaning in terms_in(topic):
        others = tuple(other for other, _ in terms_in("") if other != term)[:3]
        unnamed = re.sub(re.escape(term), "…", meaning, flags=re.IGNORECASE)
        yield Fact(f"Which term is meant? {unnamed}", term, others, meaning, term)


def _of_frame(frame: Described) -> Iterator[Fact]:
    """What a description says of a frame and its columns."""
    name, why = frame.name, f"The description of {frame.name} says so."
    if frame.rows is not None:
        others = (f"{frame.rows * 2:,}", f"{frame.rows + 10:,}")
        yield Fact(f"How many rows does {name} have?", f"{frame.rows:,}", others, why)
    unique = [column.name for column in frame.columns if frame.is_unique(column)]
    repeated = tuple(column.name for column in frame.columns if not frame.is_unique(column))
    if len(unique) == 1 and repeated:
        yield Fact(f"Which column of {name} is different in every row?", unique[0], repeated[:3], why)
    for column in frame.columns:
        kinds = tuple(dict.fromkeys(other.type for other in frame.columns if other.type != column.type))
        if column.many > 1:
            continue
        yield Fact(f"What type does the column {column.name} of {name} have?", column.type, kinds[:3], why)
        low, high = column.ends or ("", "")
        if high and not high.startswith("≈"):
            yield Fact(f"What is the largest value of {column.name} in {name}?", high, (low.removeprefix("≈"),), why)
        if column.known.values and column.known.complete:
            names = tuple(other for other in _columns(frame) if other not in column.known.values)
            question = f"Which of these is a value of {column.name} in {name}?"
            yield Fact(question, column.known.values[0], names[:3], why)


def _item(fact: Fact, sheet: str) -> dict[str, Any]:
    """A fact in the form of a sheet; empty where a choice has no wrong answer."""
    heading, text = (fact.term, fact.why) if fact.term else (fact.question, fact.answer)
    if sheet == "summary":
        return {"heading": heading, "text": text}
    if sheet == "flashcards":
        return {"front": heading, "back": text}
    if sheet == "exam":
        return {"task": fact.question, "points": 1, "solution": f"{fact.answer}. {fact.why}".strip()}
    others = [other for other in dict.fromkeys(fact.others) if other != fact.answer]
    place = sum(map(ord, fact.question)) % (len(others) + 1)  # not always the first, and the same every time
    choices = [*others[:place], fact.answer, *others[place:]]
    quiz = {"question": fact.question, "choices": choices, "answer": place, "explanation": fact.why}
    return quiz if others else {}
