"""What a study cell holds: a summary, flashcards, a quiz or an exam, as values that are checked when they are read."""

# The form is declared once, as classes: a reply is read against them, and the prompt shows an example of each.

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import msgspec

from rsql_magic.errors import BadInput
from rsql_magic.plain_text import counted

StudyKind = Literal["summary", "flashcards", "quiz", "exam"]
# Most items of a sheet.
MOST_ITEMS = 30
# Models put JSON into a block, whether or not the form says so. Texts in it may hold fences, but no new lines.
_BLOCK = re.compile(r"```[ \t]*(?:json)?[ \t]*\n(.*?)(?:\n[ \t]*```|(?<=\})[ \t]*```[ \t]*$)", re.DOTALL | re.MULTILINE)
_CODE = '"code": {"language": "python|r|sql", "source": "print(1 + 1)", "output": "2"}'
# An example of each kind, for the prompt.
FORMS: dict[StudyKind, str] = {
    "summary": '{"title": "…", "items": [{"heading": "…", "text": "one or two sentences"}]}',
    "flashcards": '{"title": "…", "items": [{"front": "a term or question", "back": "its answer"}]}',
    "quiz": '{"title": "…", "items": [{"question": "…", "choices": ["…", "…", "…"], "answer": 0, "explanation": "why", '
    + _CODE
    + '}]}\n\n"answer" counts the choices from 0; exactly one choice is right.',
    "exam": '{"title": "…", "items": [{"task": "…", "points": 5, "solution": "…", ' + _CODE + "}]}",
}


class Code(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A program that proves an answer: what it prints must be ``output``."""

    language: Literal["python", "r", "sql"]
    source: str
    output: str


class Point(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One point of a summary."""

    heading: str
    text: str


class Card(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A flashcard."""

    front: str
    back: str


class Choice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A question with choices; ``answer`` counts them from 0."""

    question: str
    choices: Annotated[list[str], msgspec.Meta(min_length=2, max_length=6)]  # letters from a to f name them
    answer: int
    explanation: str
    code: Code | None = None


class Exercise(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An exercise of an exam, with its solution and points."""

    task: str
    points: Annotated[int, msgspec.Meta(ge=1)]
    solution: str
    code: Code | None = None


Item = Point | Card | Choice | Exercise
ITEMS: dict[StudyKind, type[Any]] = {"summary": Point, "flashcards": Card, "quiz": Choice, "exam": Exercise}


class Sheet(msgspec.Struct, frozen=True):
    """One study sheet: points, cards, questions or exercises."""

    kind: StudyKind
    title: str
    items: tuple[Any, ...]


class Unusable(ValueError):
    """A reply that is no sheet; its arguments say why, one sentence each."""


def read_sheet(text: str, kind: StudyKind, count: int | None = None) -> Sheet:
    r"""The sheet in a model's reply, a block of JSON or JSON alone; ``count`` is how many items were asked for.

    Raises:
        Unusable: It is not what was asked for.

    Example:
        >>> read_sheet('{"title": "Means", "items": [{"front": "mean", "back": "sum"}]}', "flashcards").items[0].back
        'sum'
    """
    block = _BLOCK.search(text)
    try:
        form_read: Any = msgspec.json.decode((block[1] if block else text).strip().encode(), type=_form(kind))
    except msgspec.DecodeError as problem:  # also a ValidationError, which says where
        raise Unusable(f"The JSON is not of the form that was asked for: {problem}.") from None
    sheet = Sheet(kind, form_read.title, tuple(form_read.items))
    if found := _problems(sheet, count):
        raise Unusable(*found)
    return sheet


def _problems(sheet: Sheet, count: int | None = None) -> list[str]:
    size, found = len(sheet.items), list[str]()
    if count is not None and size != count:
        found.append(f"There are {size} items; {count} were asked for.")
    if not 1 <= size <= MOST_ITEMS:
        found.append(f"There are {size} items; there should be 1 to {MOST_ITEMS}.")
    for number, item in enumerate(sheet.items, 1):
        found += [f"Item {number}: {problem}" for problem in _item_problems(item)]
    return found


def sheet_of(body: bytes) -> Sheet:
    """The sheet that was kept as JSON.

    Raises:
        BadInput: It is none.

    Example:
        >>> sheet_of(msgspec.json.encode(Sheet("flashcards", "Means", (Card("mean", "sum ÷ n"),)))).items[0].back
        'sum ÷ n'
    """
    try:
        kept = msgspec.json.decode(body, type=_KeptSheet)
        items: tuple[Any, ...] = tuple(msgspec.convert(item, ITEMS[kept.kind]) for item in kept.items)
    except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
        raise BadInput(f"This is no study set ({wrong}).") from None
    sheet = Sheet(kept.kind, kept.title, items)
    if found := _problems(sheet):  # a program may have kept it
        raise BadInput(f"This is no study set that can be practised. {found[0]}")
    return sheet


class _KeptSheet(msgspec.Struct):
    kind: StudyKind
    title: str
    items: list[Any]


def schema(kind: StudyKind, count: int | None = None) -> dict[str, Any]:
    """The JSON Schema of a sheet, for servers that keep a model to one.

    Example:
        >>> schema("flashcards", 5)["properties"]["items"]["maxItems"]
        5
    """
    definitions = msgspec.json.schema(_form(kind))["$defs"]
    form: dict[str, Any] = definitions.pop("Form")
    form["properties"]["items"] |= {"minItems": count or 1, "maxItems": count or MOST_ITEMS}
    return {**form, "$defs": definitions}


# A type made at run time: each kind of sheet has a form of its own, which msgspec checks and explains.
def _form(kind: StudyKind) -> type[msgspec.Struct]:
    items: Any = list.__class_getitem__(ITEMS[kind])
    return msgspec.defstruct("Form", [("title", str), ("items", items)], forbid_unknown_fields=True)


def _item_problems(item: Item) -> list[str]:
    values = ((name, getattr(item, name)) for name in item.__struct_fields__)
    found = [f"{name} is empty." for name, value in values if isinstance(value, str) and not value.strip()]
    if isinstance(item, Choice):
        if len(set(item.choices)) != len(item.choices):
            found.append("the choices should be all different.")
        elif not 0 <= item.answer < len(item.choices):
            found.append(f"answer is {item.answer}; it should count the choices from 0 to {len(item.choices) - 1}.")
    return found


def as_markdown(sheet: Sheet, notes: tuple[str, ...] = ()) -> str:
    """A sheet as plain Markdown: questions first, answers at the end."""
    numbered = list(enumerate(sheet.items, 1))
    if sheet.kind == "summary":
        front = [f"**{point.heading}**\n{point.text}" for point in sheet.items]
        end = []
    else:
        front = [f"{number}. {question_of(item)}" for number, item in numbered]
        end = ["### Answers\n\n" + "\n".join(f"{number}. {answer_of(item)}" for number, item in numbered)]
    return "\n\n".join([f"## {sheet.title}", *front, *end, *(f"*{note}*" for note in notes)])


def question_of(item: Card | Choice | Exercise) -> str:
    """What an item asks, as Markdown that can stand in a numbered list.

    Example:
        >>> print(question_of(Choice("1 + 1?", ["2", "3"], 0, "a sum")))
        1 + 1?
           - a) 2
           - b) 3
    """
    if isinstance(item, Card):
        return item.front
    if isinstance(item, Exercise):
        return f"{item.task} ({counted(item.points, 'point')})"
    return "\n".join([item.question, *(f"   - {letter(n)}) {choice}" for n, choice in enumerate(item.choices))])


def answer_of(item: Card | Choice | Exercise) -> str:
    """Its answer, likewise.

    Example:
        >>> answer_of(Choice("1 + 1?", ["2", "3"], 0, "a sum"))
        'a) 2: a sum'
    """
    if isinstance(item, Card):
        return item.back
    if isinstance(item, Exercise):
        return f"{item.solution}{_code(item.code)}"
    return f"{letter(item.answer)}) {item.choices[item.answer]}: {item.explanation}{_code(item.code)}"


def _code(code: Code | None) -> str:
    if code is None:
        return ""
    indented = "\n".join(f"   {line}" for line in code.source.splitlines())
    return f"\n\n   ```{code.language}\n{indented}\n   ```\n\n   prints `{code.output.strip()}`"


def letter(place: int) -> str:
    """The letter of a choice, counted from 0."""
    return "abcdef"[place]
