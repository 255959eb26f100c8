"""A sheet as widgets: cards to flip, questions to choose and score, exercises with a solution to open."""

# Everything shown is escaped: the material is a model's.

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rsql_magic.plain_text import html_text, label
from rsql_magic.study.sheet import letter

if TYPE_CHECKING:
    from rsql_magic.study.sheet import Card, Choice, Exercise, Sheet


def widget_of(sheet: Sheet) -> Any:
    """The widget of a sheet; None for a summary, which is only read."""
    if sheet.kind == "flashcards":
        return Cards(sheet).box
    if sheet.kind == "quiz":
        return Quiz(sheet).box
    return exam(sheet) if sheet.kind == "exam" else None


def _shown(text: str) -> str:
    return "<br>".join(map(html_text, text.split("\n")))


def _html(text: str) -> Any:
    import ipywidgets

    return ipywidgets.HTML(_shown(text))


def _title(sheet: Sheet) -> Any:
    import ipywidgets

    return ipywidgets.HTML(f"<h3>{_shown(sheet.title)}</h3>")


class Cards:
    """Flashcards: flip, next, back, and which ones are known."""

    def __init__(self, sheet: Sheet) -> None:
        import ipywidgets

        self._cards: tuple[Card, ...] = sheet.items
        self._at = 0
        self._flipped = False
        self.known: set[int] = set()
        self.face = _html("")
        self.where = ipywidgets.Label()
        self.flip, self.back, self.next, self.know = (
            ipywidgets.Button(description=text) for text in ("Flip", "Back", "Next", "I knew it")
        )
        self.flip.on_click(lambda _: self._turn())
        self.back.on_click(lambda _: self._go(-1))
        self.next.on_click(lambda _: self._go(1))
        self.know.on_click(lambda _: self._knew())
        buttons = ipywidgets.HBox([self.back, self.flip, self.know, self.next, self.where])
        self.box = ipywidgets.VBox([_title(sheet), self.face, buttons])
        self._draw()

    def _turn(self) -> None:
        self._flipped = not self._flipped
        self._draw()

    def _go(self, by: int) -> None:
        self._at, self._flipped = (self._at + by) % len(self._cards), False
        self._draw()

    def _knew(self) -> None:
        self.known.add(self._at)
        self._go(1)

    def _draw(self) -> None:
        card = self._cards[self._at]
        self.face.value = _shown(card.back if self._flipped else card.front)
        self.where.value = f"{self._at + 1} of {len(self._cards)}, {len(self.known)} known"


class Quiz:
    """Questions with choices, and a score."""

    def __init__(self, sheet: Sheet) -> None:
        import ipywidgets

        self._questions: tuple[Choice, ...] = sheet.items
        self.choices = [
            ipywidgets.RadioButtons(
                options=[(f"{letter(n)}) {label(choice)}", n) for n, choice in enumerate(question.choices)],
                value=None,
                layout={"width": "max-content"},
            )
            for question in self._questions
        ]
        self.verdicts = [_html("") for _ in self._questions]
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
        for question, chosen, verdict in zip(self._questions, self.choices, self.verdicts, strict=True):
            is_right = chosen.value == question.answer
            right += is_right
            result = "✓" if is_right else f"✗ {letter(question.answer)}) {question.choices[question.answer]}"
            verdict.value = _shown(f"{result}: {question.explanation}")
        self.score.value = f"{right} of {len(self._questions)} right"


def exam(sheet: Sheet) -> Any:
    """Exercises with room to write, their solutions closed."""
    import ipywidgets

    exercises: tuple[Exercise, ...] = sheet.items
    rows: list[Any] = [_title(sheet)]
    for number, item in enumerate(exercises, 1):
        code = f"\n\n{item.code.source}" if item.code else ""
        solution = ipywidgets.HTML(f"<pre style='white-space: pre-wrap'>{_shown(item.solution + code)}</pre>")
        closed = ipywidgets.Accordion([solution], titles=("Solution",), selected_index=None)
        text = ipywidgets.Textarea(placeholder="Your answer", layout={"width": "95%"})
        rows += [_html(f"{number}. {item.task} ({item.points} points)"), text, closed]
    return ipywidgets.VBox(rows)
