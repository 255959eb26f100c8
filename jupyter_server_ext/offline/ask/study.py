"""Common terms (``glossary.toml``), and study material of them and of the frames that are described."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from ..tables import table
from .notebook import PATTERNS, Notebook

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..request import Described, OfflineRequest

_NOTHING = (
    "I am rsql's offline model and know nothing certain about this. I make study material about data frames that "
    "are described to me and common terms of statistics, R, Python and SQL; name one of them."
)


def explain_term(question: str) -> str:
    """The explanation of a term that a question asks for, or an empty text."""
    match = PATTERNS["term"].match(question)
    plain = match["term"].strip(" `'\"().?").lower() if match else ""
    return next((meaning for names, meaning in table("ask/glossary").items() if re.fullmatch(names, plain)), "")


def _terms_in(text: str) -> list[tuple[str, str]]:
    """The terms that a text names, each with its meaning; all terms for an empty text."""
    return [
        (names.split("|")[0], meaning)
        for names, meaning in table("ask/glossary").items()
        if not text
        or any(re.search(rf"(?<!\w){name}s?(?!\w)", text.lower()) for name in names.split("|") if name != "\\")
    ]


class _Fact(NamedTuple):
    """Something that is known: a question, its answer, wrong answers of the same kind, and the term it is about."""

    question: str
    answer: str
    others: tuple[str, ...] = ()
    why: str = ""
    term: str = ""


def study(request: OfflineRequest) -> str:
    """The material as a block of JSON, or plain words where nothing is known."""
    topic, words = request.question, set(re.findall(r"\w+", request.question.lower()))
    # The frames that the topic names, itself or by a column; all of them where it is about the notebook.
    frames = [
        frame
        for frame in Notebook(request, topic).frames
        if PATTERNS["all"].search(topic)
        or words & {frame.name.lower(), *(column.name.lower() for column in frame.columns)}
    ]
    # Nothing is invented: where fewer facts are known than items are wanted, there are fewer items.
    facts = [*_of_terms(topic), *(fact for frame in frames for fact in _of_frame(frame))]
    items = [item for fact in facts if (item := _item(fact, request.sheet))][: request.count or 8]
    if not items:
        return _NOTHING
    title = topic.strip().rstrip(".?!").splitlines()[0][:80] or "This notebook"
    return f"```json\n{json.dumps({'title': title, 'items': items}, ensure_ascii=False, indent=1)}\n```"


def _of_terms(topic: str) -> Iterator[_Fact]:
    """The terms of the glossary that a topic names."""
    for term, meaning in _terms_in(topic):
        # A quiz needs wrong answers of the same kind.
        others = tuple(other for other, _ in _terms_in("") if other != term)[:3]
        # The explanation must not give the term away.
        unnamed = re.sub(re.escape(term), "…", meaning, flags=re.IGNORECASE)
        yield _Fact(f"Which term is meant? {unnamed}", term, others, meaning, term)


def _of_frame(frame: Described) -> Iterator[_Fact]:
    """What a description says of a frame and its columns."""
    name, why = frame.name, f"The description of {frame.name} says so."
    if frame.rows is not None:
        others = (f"{frame.rows * 2:,}", f"{frame.rows + 10:,}")
        yield _Fact(f"How many rows does {name} have?", f"{frame.rows:,}", others, why)
    unique = [column.name for column in frame.columns if frame.is_unique(column)]
    repeated = tuple(column.name for column in frame.columns if not frame.is_unique(column))
    if len(unique) == 1 and repeated:
        yield _Fact(f"Which column of {name} is different in every row?", unique[0], repeated[:3], why)
    for column in frame.columns:
        kinds = tuple(dict.fromkeys(other.type for other in frame.columns if other.type != column.type))
        # A range of columns has one description for all.
        if column.many > 1:
            continue
        yield _Fact(f"What type does the column {column.name} of {name} have?", column.type, kinds[:3], why)
        low, high = column.ends or ("", "")
        # A rounded value would be a wrong answer.
        if high and not high.startswith("≈"):
            yield _Fact(f"What is the largest value of {column.name} in {name}?", high, (low.removeprefix("≈"),), why)
        if column.known.values and column.known.complete:
            names = tuple(one.name for one in frame.columns if one.name not in column.known.values)
            question = f"Which of these is a value of {column.name} in {name}?"
            yield _Fact(question, column.known.values[0], names[:3], why)


def _item(fact: _Fact, sheet: str) -> dict[str, Any]:
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
