"""What a study cell holds: a summary, flashcards, a quiz or an exam, as values that are checked when they are read."""

# The form is declared once, as classes: a reply is read against them, and the prompt shows an example of each.

from __future__ import annotations

import re
from functools import partial
from typing import Annotated, Any, Literal

import msgspec

from rsql_magic.answers.study.schedule import KNOWN, NOT_YET, StudyProgress
from rsql_magic.errors import BadInput
from rsql_magic.plain_text import html_text, label

StudyKind = Literal["summary", "flashcards", "quiz", "exam"]
# Most items of a sheet.
MOST_ITEMS = 30
# Models put JSON into a block, whether or not the form says so.
_BLOCK = re.compile(r"```(?:json)?[ \t]*\n(.*?)\n?[ \t]*```", re.DOTALL)
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
    size = len(sheet.items)
    found = []
    if count is not None and size != count:
        found.append(f"There are {size} items; {count} were asked for.")
    if not 1 <= size <= MOST_ITEMS:
        found.append(f"There are {size} items; there should be 1 to {MOST_ITEMS}.")
    for number, item in enumerate(sheet.items, 1):
        found += [f"Item {number}: {problem}" for problem in _item_problems(item)]
    if found:
        raise Unusable(*found)
    return sheet


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
    return Sheet(kept.kind, kept.title, items)


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
    front = "\n\n".join(_front(number, item) for number, item in numbered)
    answers = [_back(number, item) for number, item in numbered if not isinstance(item, Point)]
    end = ["### Answers\n\n" + "\n".join(answers)] if answers else []
    return "\n\n".join([f"## {sheet.title}", front, *end, *(f"*{note}*" for note in notes)])


def _front(number: int, item: Item) -> str:
    if isinstance(item, Point):
        return f"**{item.heading}**\n{item.text}"
    if isinstance(item, Card):
        return f"{number}. {item.front}"
    if isinstance(item, Exercise):
        return f"{number}. {item.task} ({item.points} point{'s' * (item.points != 1)})"
    return "\n".join([f"{number}. {item.question}", *(f"   - {letter(n)}) {c}" for n, c in enumerate(item.choices))])


def _back(number: int, item: Item) -> str:
    if isinstance(item, Card):
        return f"{number}. {item.back}"
    if isinstance(item, Exercise):
        return f"{number}. {item.solution}{_code(item.code)}"
    assert isinstance(item, Choice)  # noqa: S101 - points have no answers
    return f"{number}. {letter(item.answer)}) {item.choices[item.answer]}: {item.explanation}{_code(item.code)}"


def _code(code: Code | None) -> str:
    if code is None:
        return ""
    indented = "\n".join(f"   {line}" for line in code.source.splitlines())
    return f"\n\n   ```{code.language}\n{indented}\n   ```\n\n   prints `{code.output.strip()}`"


def letter(place: int) -> str:
    """The letter of a choice, counted from 0."""
    return "abcdef"[place]


# Everything shown is escaped: the material is a model's.


def widget_of(sheet: Sheet, progress: StudyProgress | None = None) -> Any:
    """The widget of a sheet; None for a summary, which is only read. What is answered goes into ``progress``."""
    progress = StudyProgress() if progress is None else progress
    if sheet.kind == "flashcards":
        return Cards(sheet, progress).box
    if sheet.kind == "quiz":
        return Quiz(sheet, progress).box
    return exam(sheet, progress) if sheet.kind == "exam" else None


def _shown(text: str) -> str:
    return "<br>".join(map(html_text, text.split("\n")))


def _html(text: str) -> Any:
    import ipywidgets

    return ipywidgets.HTML(_shown(text))


def _title(sheet: Sheet) -> Any:
    import ipywidgets

    return ipywidgets.HTML(f"<h3>{_shown(sheet.title)}</h3>")


class Cards:
    """Flashcards: flip, next, back, and which ones are known; those that are due come first."""

    def __init__(self, sheet: Sheet, progress: StudyProgress | None = None) -> None:
        import ipywidgets

        self._progress = StudyProgress() if progress is None else progress
        self._order = self._progress.order(len(sheet.items))
        self._cards: tuple[Card, ...] = tuple(sheet.items[item] for item in self._order)
        self._at = 0
        self._flipped = False
        self._said = ""
        self.known: set[int] = set()
        self.face = _html("")
        self.where = ipywidgets.Label()
        self.flip, self.back, self.next, self.know, self.not_yet = (
            ipywidgets.Button(description=text) for text in ("Flip", "Back", "Next", "I knew it", "Not yet")
        )
        self.flip.on_click(lambda _: self._turn())
        self.back.on_click(lambda _: self._go(-1))
        self.next.on_click(lambda _: self._go(1))
        self.know.on_click(lambda _: self._knew())
        self.not_yet.on_click(lambda _: self._answered(NOT_YET))
        buttons = ipywidgets.HBox([self.back, self.flip, self.know, self.not_yet, self.next, self.where])
        self.box = ipywidgets.VBox([_title(sheet), self.face, buttons])
        self._draw()

    def _turn(self) -> None:
        self._flipped = not self._flipped
        self._draw()

    def _go(self, by: int, said: str = "") -> None:
        self._at, self._flipped, self._said = (self._at + by) % len(self._cards), False, said
        self._draw()

    def _knew(self) -> None:
        self.known.add(self._at)
        self._answered(KNOWN)

    def _answered(self, quality: int) -> None:
        if quality == NOT_YET:
            self.known.discard(self._at)
        self._go(1, f"; the last one {self._progress.answer(self._order[self._at], quality)}")

    def _draw(self) -> None:
        card = self._cards[self._at]
        self.face.value = _shown(card.back if self._flipped else card.front)
        self.where.value = f"{self._at + 1} of {len(self._cards)}, {len(self.known)} known{self._said}"


class Quiz:
    """Questions with choices, and a score; those that are due come first."""

    def __init__(self, sheet: Sheet, progress: StudyProgress | None = None) -> None:
        import ipywidgets

        self._progress = StudyProgress() if progress is None else progress
        self._order = self._progress.order(len(sheet.items))
        self._questions: tuple[Choice, ...] = tuple(sheet.items[item] for item in self._order)
        self.choices = [
            ipywidgets.RadioButtons(
                options=[(f"{letter(n)}) {label(choice)}", n) for n, choice in enumerate(question.choices)],
                value=None,  # else the first one would be chosen already
                layout={"width": "max-content"},  # ipywidgets would cut a choice off at 300 pixels
            )
            for question in self._questions
        ]
        self.verdicts = [_html("") for _ in self._questions]
        self._scored: dict[int, str] = {}
        self.check = ipywidgets.Button(description="Score", button_style="primary")
        self.check.on_click(lambda _: self._score())
        self.score = ipywidgets.Label()
        rows = [
            part
            for number, question in enumerate(self._questions)
            for part in (_html(f"{number + 1}. {question.question}"), self.choices[number], self.verdicts[number])
        ]
        self.box = ipywidgets.VBox([_title(sheet), *rows, ipywidgets.HBox([self.check, self.score])])

    def _score(self) -> None:
        right = 0
        for item, question, chosen, verdict in zip(
            self._order, self._questions, self.choices, self.verdicts, strict=True
        ):
            is_right = chosen.value == question.answer
            right += is_right
            result = "✓" if is_right else f"✗ {letter(question.answer)}) {question.choices[question.answer]}"
            verdict.value = _shown(f"{result}: {question.explanation}")
            answer = "" if chosen.value is None else letter(chosen.value)
            if answer != self._scored.get(item):  # to score again is no answer again
                self._progress.answer(item, KNOWN if is_right else NOT_YET, answer)
                self._scored[item] = answer
        self.score.value = f"{right} of {len(self._questions)} right"


def exam(sheet: Sheet, progress: StudyProgress | None = None) -> Any:
    """Exercises with room to write, their solutions closed, and buttons to say how it went."""
    import ipywidgets

    exercises: tuple[Exercise, ...] = sheet.items
    progress = StudyProgress() if progress is None else progress
    rows: list[Any] = [_title(sheet)]
    for number, item in enumerate(exercises, 1):
        code = f"\n\n{item.code.source}" if item.code else ""
        solution = ipywidgets.HTML(f"<pre style='white-space: pre-wrap'>{_shown(item.solution + code)}</pre>")
        # Closed: an exercise whose solution is read first is none.
        closed = ipywidgets.Accordion([solution], titles=("Solution",), selected_index=None)
        text = ipywidgets.Textarea(
            value=progress.of(number - 1).last,
            placeholder="Your answer",
            layout={"width": "95%"},
            continuous_update=False,
        )
        text.observe(partial(_written, progress, number - 1), "value")
        task = _html(f"{number}. {item.task} ({item.points} points)")
        rows += [task, text, closed, _judged(progress, number - 1, text)]
    return ipywidgets.VBox(rows)


def _written(progress: StudyProgress, item: int, change: Any) -> None:
    progress.write(item, change["new"])


# One's own judgement of an answer, once its solution was read.
def _judged(progress: StudyProgress, item: int, text: Any) -> Any:
    import ipywidgets

    said = ipywidgets.Label()
    buttons = []
    for words, quality in (("I had it", KNOWN), ("Not yet", NOT_YET)):
        button = ipywidgets.Button(description=words)
        button.on_click(partial(_judge, progress, item, quality, text, said))
        buttons.append(button)
    return ipywidgets.HBox([*buttons, said])


def _judge(progress: StudyProgress, item: int, quality: int, text: Any, said: Any, *_: Any) -> None:
    said.value = progress.answer(item, quality, text.value)
