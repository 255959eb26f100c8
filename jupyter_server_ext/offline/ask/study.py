"""Study material from what is known: described frames, help pages, the glossary, and small programs with their output.

Nothing is invented: each item is a fact of a description, what a help page says of an argument, or a term of the
glossary. Where there are fewer of them than were asked for, there are fewer items; where there are none, that is said.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .glossary import terms_in
from .help_pages import arguments_of
from .notebook import Notebook

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..request import Described, FrameColumn, OfflineRequest

_NOTHING = (
    "I am rsql's offline model and know nothing certain about this. I make study material about data frames that "
    "are described to me, help pages of R and common terms of statistics, R, Python and SQL; name one of them."
)


@dataclass(frozen=True)
class Fact:
    """Something that is known.

    Args:
        question: What asks for it.
        answer: The answer.
        others: Wrong answers of the same kind.
        why: Where it is known from.
        code: A program that shows it, as (language, source, output).
    """

    question: str
    answer: str
    others: tuple[str, ...] = ()
    why: str = ""
    code: tuple[str, str, str] | None = None
    term: str = ""
    """The term whose meaning ``why`` is, where it is about one."""


# Programs that show a term, each with what it prints.
_PROGRAMS: dict[str, tuple[Fact, ...]] = {
    "mean": (Fact("What is the mean of 1, 2 and 6?", "3", ("2", "4.5"), "(1 + 2 + 6) / 3",
                  ("python", "import statistics\nprint(statistics.mean([1, 2, 6]))", "3")),),
    "median": (Fact("What is the median of 1, 2 and 6?", "2", ("3", "6"), "It is the middle value.",
                    ("python", "import statistics\nprint(statistics.median([1, 2, 6]))", "2")),),
    "null": (Fact("How many rows does WHERE x = NULL keep?", "0", ("1", "all"), "NULL equals nothing; use IS NULL.",
                  ("sql", "SELECT COUNT(*) FROM (VALUES (1), (NULL)) AS t(x) WHERE x = NULL", "0")),),
    "left join": (Fact("A left join of 3 rows with a table in which one key matches once gives how many rows?", "3",
                       ("1", "4"), "Every row of the first table is kept.",
                       ("sql", "SELECT COUNT(*) FROM (VALUES (1), (2), (3)) AS a(k) LEFT JOIN (VALUES (2)) AS b(k) "
                        "ON a.k = b.k", "3")),),
    "group by": (Fact("Grouping the values a, b, a gives how many groups?", "2", ("3", "1"), "One per distinct value.",
                      ("sql", "SELECT COUNT(*) FROM (SELECT g FROM (VALUES ('a'), ('b'), ('a')) AS t(g) GROUP BY g)",
                       "2")),),
    "na": (Fact("What is sum(c(1, NA, 3), na.rm = TRUE) in R?", "4", ("NA", "5"), "na.rm leaves missing values out.",
                ("r", "sum(c(1, NA, 3), na.rm = TRUE)", "4")),),
    "factor": (Fact('What is as.numeric(factor(c("10", "20"))) in R?', "1 2", ("10 20", "NA NA"),
                    "It gives the codes and not the labels.", ("r", 'as.numeric(factor(c("10", "20")))', "1 2")),),
}  # fmt: skip


def study(request: OfflineRequest) -> str:
    """The material as a block of JSON, or plain words where nothing is known."""
    topic = request.question
    pages = [fact for page in request.help for fact in _of_page(page.name, page.text)]
    frames = _meant(Notebook(request, topic))
    facts = [*pages, *_of_terms(topic), *(fact for frame in frames for fact in _of_frame(frame))]
    items = [item for fact in facts if (item := _ITEMS[request.sheet](fact))][: request.count or 8]
    if not items:
        return _NOTHING
    return f"```json\n{json.dumps({'title': _title(topic), 'items': items}, ensure_ascii=False, indent=1)}\n```"


_ALL = re.compile(r"\b(?:notebook|session|my data|the data|all frames)\b", re.IGNORECASE)


def _meant(notebook: Notebook) -> list[Described]:
    """The frames that the topic names, itself or by a column; all of them where it is about the notebook."""
    words = set(re.findall(r"\w+", notebook.question.lower()))
    return [
        frame
        for frame in notebook.frames
        if _ALL.search(notebook.question)
        or frame.name.lower() in words
        or any(column.name.lower() in words for column in frame.columns)
    ]


def _title(topic: str) -> str:
    return topic.strip().rstrip(".?!").splitlines()[0][:80] or "This notebook"


def _of_terms(topic: str) -> Iterator[Fact]:
    """The terms of the glossary that a topic names, and the programs that show them."""
    named = terms_in(topic)
    for term, meaning in named:
        others = tuple(other for other, _ in terms_in("") if other != term)[:3]
        yield from _PROGRAMS.get(term, ())
        yield Fact(f"Which term is meant? {_unnamed(meaning, term)}", term, others, meaning, term=term)


def _of_page(name: str, page: str) -> Iterator[Fact]:
    """What a help page says of each argument of its function; the others' meanings are the wrong answers."""
    arguments = arguments_of(page)
    function = name.rpartition("::")[2]
    for place, argument in enumerate(arguments):
        others = tuple(other.meaning for other in arguments[place + 1 :] + arguments[:place])[:3]
        names = ", ".join(f"`{each}`" for each in argument.names)
        question = f"What does {names} do" if len(argument.names) == 1 else f"What are {names}"
        yield Fact(f"{question} in {function}()?", argument.meaning, others, f"The help page of {name} says so.")


def _unnamed(meaning: str, term: str) -> str:
    """What a term means, without saying it."""
    return re.sub(re.escape(term), "…", meaning, flags=re.IGNORECASE)


def _of_frame(frame: Described) -> Iterator[Fact]:
    """What a description says of a frame and its columns."""
    said = f"The description of {frame.name} says so."
    if frame.rows is not None and frame.width is not None:
        rows, columns = f"{frame.rows:,}", f"{frame.width:,}"
        yield Fact(
            f"How many rows does {frame.name} have?", rows, (f"{frame.rows * 2:,}", f"{frame.rows + 10:,}"), said
        )
        yield Fact(
            f"How many columns does {frame.name} have?",
            columns,
            (f"{frame.width + 1:,}", f"{frame.width * 2:,}"),
            said,
        )
    unique = [column.name for column in frame.columns if frame.is_unique(column)]
    repeated = tuple(column.name for column in frame.columns if not frame.is_unique(column))
    if len(unique) == 1 and repeated:
        yield Fact(f"Which column of {frame.name} is different in every row?", unique[0], repeated[:3], said)
    for column in frame.columns:
        yield from _of_column(frame, column, said)


def _of_column(frame: Described, column: FrameColumn, said: str) -> Iterator[Fact]:
    if column.many > 1:
        return
    kinds = tuple(dict.fromkeys(other.type for other in frame.columns if other.type != column.type))
    if kinds:
        yield Fact(f"What type does the column {column.name} of {frame.name} have?", column.type, kinds[:3], said)
    known, (low, high) = column.known, column.ends or ("", "")
    if high and not high.startswith("≈"):
        others = (low.removeprefix("≈"),) if low != high else ()
        yield Fact(f"What is the largest value of {column.name} in {frame.name}?", high, others, said)
    if known.values and known.complete:
        values = ", ".join(known.values)
        names = tuple(other.name for other in frame.columns if other.name not in known.values)
        yield Fact(f"Which values does {column.name} of {frame.name} have?", values, (), said)
        yield Fact(f"Which of these is a value of {column.name} in {frame.name}?", known.values[0], names[:3], said)


def _summary(fact: Fact) -> dict[str, Any]:
    return {"heading": fact.term or fact.question, "text": fact.why if fact.term else fact.answer}


def _card(fact: Fact) -> dict[str, Any]:
    return {"front": fact.term or fact.question, "back": fact.why if fact.term else fact.answer}


def _choice(fact: Fact) -> dict[str, Any]:
    others = [other for other in dict.fromkeys(fact.others) if other != fact.answer]
    if not others:
        return {}
    place = sum(map(ord, fact.question)) % (len(others) + 1)  # not always the first, and the same every time
    choices = [*others[:place], fact.answer, *others[place:]]
    made = {"question": fact.question, "choices": choices, "answer": place, "explanation": fact.why or fact.answer}
    return made | _code(fact)


def _exercise(fact: Fact) -> dict[str, Any]:
    solution = f"{fact.answer}. {fact.why}".strip()
    return {"task": fact.question, "points": 2 if fact.code else 1, "solution": solution} | _code(fact)


def _code(fact: Fact) -> dict[str, Any]:
    names = ("language", "source", "output")
    return {"code": dict(zip(names, fact.code, strict=True))} if fact.code else {}


_ITEMS = {"summary": _summary, "flashcards": _card, "quiz": _choice, "exam": _exercise}
