"""Study sheets to practise in a notebook: cards that flip, a quiz that is scored, an exam whose solutions open."""

# The material is a model's. It is shown as the Markdown that its answers are, made safe, so that code and formulas look
# as they do there.

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from rsql_magic.answers.study.schedule import KNOWN, NOT_YET, StudyProgress
from rsql_magic.answers.study.sheet import Card, Choice, Exercise, Sheet, answer_of, letter, question_of
from rsql_magic.display import as_html, safe_markdown
from rsql_magic.plain_text import counted, html_text, printable

if TYPE_CHECKING:
    from collections.abc import Callable

# A notebook's own rules for words do not reach into widgets, and ipywidgets lets buttons shrink to a letter.
STYLE = """
.rsql-study .widget-htmlmath-content { line-height: 1.5; overflow-wrap: anywhere; }
.rsql-study .widget-htmlmath-content :is(p, ul, ol, pre) { margin: 0 0 6px; }
.rsql-study .widget-htmlmath-content :is(ul, ol) { padding-left: 22px; }
.rsql-study .widget-htmlmath-content pre { white-space: pre-wrap; }
.rsql-study .widget-htmlmath-content code { font: 13px var(--jp-code-font-family, monospace); }
.rsql-study h3 { margin: 4px 0; line-height: 1.3; overflow-wrap: anywhere; }
"""
_AS_LARGE = {"width": "auto"}
_WRAPPED = {"flex_flow": "row wrap", "align_items": "center"}
_FACE = {"border": "1px solid var(--jp-border-color2, gray)", "padding": "10px 12px 4px", "min_height": "88px"}


def widget_of(sheet: Sheet, progress: StudyProgress | None = None) -> Any:
    """The widget of a sheet; None for a summary, which is only read. What is answered goes into ``progress``."""
    progress = StudyProgress() if progress is None else progress
    if sheet.kind == "flashcards":
        return Cards(sheet, progress).box
    if sheet.kind == "quiz":
        return Quiz(sheet, progress).box
    return exam(sheet, progress) if sheet.kind == "exam" else None


def widget_bundle(sheet: Sheet, progress: StudyProgress | None = None) -> dict[str, Any] | None:
    """What shows the widget of a sheet, and its title where there are no widgets; None for a summary."""
    if (widget := widget_of(sheet, progress)) is None:
        return None
    name = f"{printable(sheet.title)}: {sheet.kind} of {counted(len(sheet.items), 'item')}"
    return {**widget._repr_mimebundle_(), "text/plain": name}


def _words(markdown: str, **layout: str) -> Any:
    import ipywidgets

    return ipywidgets.HTMLMath(_html(markdown), layout={**_AS_LARGE, **layout})


def _html(markdown: str) -> str:
    return as_html(safe_markdown(markdown))


def _line() -> Any:
    import ipywidgets

    return ipywidgets.HTML(layout=_AS_LARGE)  # a label would cut it off


def _button(words: str, work: Callable[[], None], **more: Any) -> Any:
    import ipywidgets

    button = ipywidgets.Button(description=words, layout=_AS_LARGE, **more)
    button.on_click(lambda _: work())
    return button


def _row(*parts: Any) -> Any:
    import ipywidgets

    return ipywidgets.HBox(parts, layout=_WRAPPED)


def _box(sheet: Sheet, *parts: Any) -> Any:
    import ipywidgets

    title = ipywidgets.HTML(f"<style>{STYLE}</style><h3>{html_text(sheet.title)}</h3>")
    box = ipywidgets.VBox([title, *parts])
    box.add_class("rsql-study")
    return box


class Cards:
    """Flashcards: flip, next, back, and which ones are known; those that are due come first."""

    def __init__(self, sheet: Sheet, progress: StudyProgress) -> None:
        self._progress = progress
        self._order = progress.order(len(sheet.items))
        self._cards: tuple[Card, ...] = tuple(sheet.items[item] for item in self._order)
        self._at = 0
        self._flipped = False
        self.face, self.where = _words("", **_FACE), _line()
        self.back = _button("Back", lambda: self._go(-1))
        self.flip = _button("Flip", self._turn, button_style="primary")
        self.know = _button("I knew it", lambda: self._answered(KNOWN))
        self.not_yet = _button("Not yet", lambda: self._answered(NOT_YET))
        self.next = _button("Next", lambda: self._go(1))
        buttons = _row(self.back, self.flip, self.know, self.not_yet, self.next)
        self.box = _box(sheet, self.face, buttons, self.where)
        self._draw(progress.when(len(self._cards)))

    def _turn(self) -> None:
        self._flipped = not self._flipped
        self._draw()

    def _go(self, by: int, said: str = "") -> None:
        self._at, self._flipped = (self._at + by) % len(self._cards), False
        self._draw(said)

    def _answered(self, quality: int) -> None:
        if not self._flipped:  # as after a second click on the card before
            self._draw("flip it first")
            return
        self._go(1, f"the last one {self._progress.answer(self._order[self._at], quality)}")

    def _draw(self, said: str = "") -> None:
        card, count = self._cards[self._at], len(self._cards)
        self.face.value = _html(answer_of(card) if self._flipped else question_of(card))
        stands = f"{self._at + 1} of {count}, {self._progress.known(count)} known"
        self.where.value = html_text("; ".join(filter(None, [stands, said])))


class Quiz:
    """Questions with choices, and a score; those that are due come first."""

    def __init__(self, sheet: Sheet, progress: StudyProgress) -> None:
        import ipywidgets

        self._progress = progress
        self._order = progress.order(len(sheet.items))
        self._questions: tuple[Choice, ...] = tuple(sheet.items[item] for item in self._order)
        # The choices stand in the question, as they may be long or hold formulas, which ipywidgets shows in no option.
        self.choices = [
            ipywidgets.RadioButtons(
                options=[(letter(n), n) for n in range(len(question.choices))],
                value=None,  # else the first one would be chosen already
                description=f"Answer {number}",
                orientation="horizontal",
                style={"description_width": "initial"},
                layout=_AS_LARGE,
            )
            for number, question in enumerate(self._questions, 1)
        ]
        self.verdicts = [_words("") for _ in self._questions]
        self._scored: dict[int, str] = {}  # the letter that was scored, empty where none was chosen
        self.check, self.score = _button("Score", self._score, button_style="primary"), _line()
        rows = [
            part
            for number, question in enumerate(self._questions)
            for part in (_words(f"{number + 1}. {question_of(question)}"), self.choices[number], self.verdicts[number])
        ]
        self.box = _box(sheet, *rows, _row(self.check, self.score))

    def _score(self) -> None:
        right, lost = 0, ""
        for item, question, chosen, verdict in zip(
            self._order, self._questions, self.choices, self.verdicts, strict=True
        ):
            is_right = chosen.value == question.answer
            right += is_right
            verdict.value = _html(f"{'✓' if is_right else '✗'} {answer_of(question)}")
            answer = "" if chosen.value is None else letter(chosen.value)
            before = self._scored.get(item)
            if before == "":  # its answer was in sight before one was chosen
                continue
            self._scored[item] = answer
            if answer not in {"", before}:  # to score again is no answer again
                self._progress.answer(item, KNOWN if is_right else NOT_YET, answer)
                lost = lost or self._progress.lost
        missing = sum(chosen.value is None for chosen in self.choices)
        said = f"{right} of {len(self._questions)} right{f', {missing} not answered' if missing else ''}"
        self.score.value = html_text("; ".join(filter(None, [said, lost])))


def exam(sheet: Sheet, progress: StudyProgress) -> Any:
    """Exercises with room to write, their solutions closed, and buttons to say how it went."""
    import ipywidgets

    exercises: tuple[Exercise, ...] = sheet.items
    rows: list[Any] = []
    for number, exercise in enumerate(exercises):
        # Closed: an exercise whose solution is read first is none.
        answer, titles = _words(answer_of(exercise)), (f"Solution {number + 1}",)
        closed = ipywidgets.Accordion([answer], titles=titles, selected_index=None)
        text = ipywidgets.Textarea(
            value=progress.of(number).last,
            description=f"Answer {number + 1}",
            style={"description_width": "initial"},
            layout={"width": "95%"},
            continuous_update=False,
        )
        text.observe(partial(_written, progress, number), "value")
        task = _words(f"{number + 1}. {question_of(exercise)}")
        rows += [task, text, closed, _judged(progress, number, text)]
    return _box(sheet, *rows)


def _written(progress: StudyProgress, item: int, change: Any) -> None:
    progress.write(item, change["new"])


# One's own judgement of an answer, once its solution was read.
def _judged(progress: StudyProgress, item: int, text: Any) -> Any:
    said = _line()

    def judge(quality: int) -> None:
        said.value = html_text(progress.answer(item, quality, text.value))

    def button(words: str, quality: int) -> Any:
        return _button(words, partial(judge, quality), tooltip=f"Exercise {item + 1}: {words}")

    return _row(button("I had it", KNOWN), button("Not yet", NOT_YET), said)
