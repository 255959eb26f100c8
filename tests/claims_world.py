"""Statements about random frames: true ones, also of a part of the data, and ones whose number is wrong."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa

FRAMES = ("sales", "df", "flights", "trips", "survey_2023", "penguins", "data")
NUMBERS = (
    "amount",
    "unit price",
    "delay",
    "x",
    "bill_length_mm",
    "temp",
    "max_temp",
    "total",
    "score",
    "Age",
    "n_items",
    "distance.km",
    "fare",
    "weight",
    "mean_score",
    "y",
    "count",
    "hours",
)
TEXTS = ("region", "city", "carrier", "species", "sex", "group", "class")
WORDS = ("North", "South", "women", "men", "JFK", "Adelie", "Oslo", "B", "premium")


@dataclass(frozen=True)
class Said:
    """An answer to a question over frames."""

    question: str
    answer: str
    frames: dict[str, Any]


class World:
    """A frame or two, and what can be said of a column."""

    def __init__(self, seed: int) -> None:
        self.dice = dice = random.Random(seed)
        self.name, other = dice.sample(FRAMES, 2)
        self.column, self.column_2 = dice.sample(NUMBERS, 2)
        self.text = dice.choice(TEXTS)
        rows = dice.choice((5, 12, 90, 345, 1234))
        self.frame = pd.DataFrame(
            {
                self.column: self._numbers(rows),
                self.column_2: self._numbers(rows),
                self.text: [dice.choice(WORDS) for _ in range(rows)],
            }
        )
        library = dice.choice((lambda frame: frame, pl.from_pandas, pa.Table.from_pandas))
        self.frames: dict[str, Any] = {self.name: library(self.frame)}
        if dice.random() < 0.3:
            column = dice.choice((self.column, "other_column"))
            self.frames[other] = pd.DataFrame({column: self._numbers(7), "label": list("abcdefg")})

    def _numbers(self, rows: int) -> list[float | None]:
        dice, size = self.dice, self.dice.choice((1, 10, 1000, 2_000_000))
        whole, gaps = dice.random() < 0.4, dice.choice((0, 0, 0.1))
        made = [dice.gauss(2 * size, size) if dice.random() < 0.9 else -dice.random() * size for _ in range(rows)]
        kept = [None if dice.random() < gaps else round(value) if whole else value for value in made]
        return kept if any(value is not None for value in kept) else [1.5] * rows

    def spelled(self, name: str) -> str:
        """A name as an answer writes it."""
        plain = name if len(name) > 2 and name not in {"total", "count", "data", "group", "class"} else f"`{name}`"
        forms = (f"`{name}`", plain, f"`{name}`", f"**{plain}**", f'"{name}"')
        return self.dice.choice(forms)

    def figures(self, part: pd.DataFrame | None = None) -> dict[str, float]:
        """What is true of the column."""
        column = (self.frame if part is None else part)[self.column]
        return {
            "mean": column.mean(),
            "median": column.median(),
            "minimum": column.min(),
            "maximum": column.max(),
            "sum": column.sum(),
            "missing": int(column.isna().sum()),
            "distinct": column.nunique(),
        }

    def written(self, value: float, *, whole: bool = False) -> str:
        """A number as an answer writes it: rounded, with separators, in words of size."""
        dice = self.dice
        if whole or value == int(value):
            return dice.choice((f"{value:,.0f}", f"{value:.0f}"))
        places = dice.choice((1, 2, 2, 3, 4)) if abs(value) < 1000 else dice.choice((0, 1, 2))
        forms = [f"{value:.{places}f}", f"{value:,.{places}f}", f"about {value:.3g}" if abs(value) < 1000 else ""]
        forms.append(f"{value / 1e6:.2f} million" if abs(value) > 1e6 else "")
        forms.append(f"approximately {value:,.1f}")
        return dice.choice([form for form in forms if form])

    def asked(self) -> str:
        """A question of the whole."""
        c, f = self.spelled(self.column), self.spelled(self.name)
        return self.dice.choice(
            (
                f"What is the mean of {c} in {f}?",
                f"Describe {f}.",
                f"Summarize the column {c} of {f}",
                f"Tell me about {f}",
                f"How is {c} distributed in {f}?",
                f"What is the range of {c}?",
                f"Give me some statistics of {c} in {f}",
                f"How many rows does {f} have, and are there missing values in {c}?",
                f"What does {f} hold?",
            )
        )

    def statement(self, wrong: bool = False) -> str:
        """One of many ways to state a figure of the whole column, or a wrong one."""
        dice, c, f = self.dice, self.spelled(self.column), self.spelled(self.name)
        figures = self.figures()
        kind = dice.choice(list(figures))
        value = figures[kind]
        if kind in {"missing", "distinct"}:
            value += dice.choice((1, 2, 7)) * wrong
            number = self.written(value, whole=True)
            what = dice.choice(
                ("missing values", "missing entries", "nulls")
                if kind == "missing"
                else ("distinct values", "unique values", "different values")
            )
            return dice.choice(
                (
                    f"{c} has {number} {what}.",
                    f"The column {c} has {number} {what}.",
                    f"There are {number} {what} in {c}.",
                    f"The number of {what} in {c} is {number}.",
                    f"{number} {what} are in {c}.",
                    f"In {f}, {c} has {number} {what}.",
                    f"- {c}: {number} {what}",
                    f"{c} contains {number} {what}",
                    f"{f} has {len(self.frame):,} rows, and {c} has {number} {what}.",
                )
            )
        if wrong:
            value = value * dice.choice((0.5, 0.7, 1.4, 3)) + dice.choice((-1, 1)) * 0.37 * abs(figures["maximum"])
        number = self.written(value)
        a = dice.choice(
            {
                "mean": ("mean", "average"),
                "minimum": ("minimum", "min", "smallest value", "lowest value"),
                "maximum": ("maximum", "max", "largest value", "highest value"),
                "sum": ("sum", "total"),
                "median": ("median",),
            }[kind]
        )
        more = figures["median"]
        return dice.choice(
            (
                f"The {a} of {c} is {number}.",
                f"The {a} of the column {c} in {f} is {number}.",
                f"{a.capitalize()} of {c}: {number}",
                f"The {a} {c} is {number}.",
                f"- **{a.capitalize()}** of {c}: **{number}**",
                f"{c} has a {a} of {number}.",
                f"Overall, the {a} of {c} is {number}, so it is fairly typical.",
                f"In {f}, the {a} of {c} is {number}.",
                f"The {a} of {c} is {number} and the median is {self.written(more)}.",
                f"{c}: {a} {number}",
                f"The median of {c} is {self.written(more)}, while the {a} is {number}.",
                f"I looked at {f}. The {a} of {c} equals {number}.",
                f"{c} has a median of {self.written(more)} and a {a} of {number}.",
                f"The {a} value of {c} in the data is {number}.",
                f"Its {a} is {number}.",
                f"With {number}, the {a} of {c} is notable.",
                f"The {a} of `{self.name}['{self.column}']` is {number}.",
                f"You can see that the {a} of {c} is {number}.",
            )
        )

    def size(self, wrong: bool = False) -> str:
        """The size of the frame."""
        dice, f, rows, columns = self.dice, self.spelled(self.name), len(self.frame), len(self.frame.columns)
        rows += wrong * dice.choice((1, 3, 50))
        return dice.choice(
            (
                f"{f} has {rows:,} rows and {columns} columns.",
                f"The frame {f} contains {rows} rows.",
                f"There are {rows} rows in {f}.",
                f"{f} is a pandas DataFrame with {rows} rows and {columns} columns.",
                f"The number of rows in {f} is {rows}.",
                f"{f}: {rows:,} rows × {columns} columns",
                f"{f} consists of {rows:,} observations of {columns} variables.",
                f"{f} has {columns} columns and {rows} rows.",
            )
        )

    def of_a_part(self) -> Said:
        """What is true of some rows, or said of no data, in ways that a hasty reader takes for the whole."""
        dice, c, f = self.dice, self.spelled(self.column), self.spelled(self.name)
        word = dice.choice(list(self.frame[self.text]))
        part = self.frame[self.frame[self.text] == word]
        figures = {kind: value for kind, value in self.figures(part).items() if pd.notna(value)}
        kind = dice.choice([each for each in figures if each not in {"missing", "distinct"}] or ["sum"])
        v, n = self.written(figures[kind]), len(part)
        plain = self.asked()
        return Said(
            *dice.choice(
                (
                    (f"What is the {kind} of {c} for {word}?", f"The {kind} of {c} is {v}."),
                    (f"{kind} {self.column} of {word} in {f}", f"The {kind} {c} is {v}."),
                    (f"How many {word} are there in {f}?", f"There are {n} rows in {f}."),
                    (f"What is the {kind} of {c} by {self.text}?", f"{word}:\n- the {kind} of {c} is {v}"),
                    (f"How many rows of {f} are from {word}?", f"{f} has {n} rows."),
                    (f"What is left of {f} without missing values?", f"{f} has {n} rows."),
                    (plain, f"The {kind} of {c} is {v} for {word}."),
                    (plain, f"For {word}, the {kind} of {c} is {v}."),
                    (plain, f"Among {word}, the {kind} of {c} is {v}."),
                    (plain, f"### {word}\n\n- {kind} of {c}: {v}"),
                    (plain, f"{word}:\n\n- {kind} of {c}: {v}"),
                    (plain, f"**{word}**: the {kind} of {c} is {v}."),
                    (plain, f"Consider only {word}. The {kind} of {c} is {v}."),
                    (plain, f"In {word} things differ. The {kind} of {c} is {v}."),
                    (plain, f"The {kind} of {c} where {self.text} is {word} is {v}."),
                    (plain, f"{word} has a {kind} {c} of {v}."),
                    (plain, f"If you keep {word}, {f} has {n} rows."),
                    (plain, f"After filtering, {f} has {n} rows."),
                    (plain, f"Suppose the {kind} of {c} is {v}."),
                    (plain, f"The {kind} of {c} is above {v}."),
                    (plain, f"The {kind} of {c} would be {v}."),
                    (plain, f"The {kind} of {c} in {word} is {v}."),
                    (plain, f"```python\n{self.name} = {self.name}.dropna()\n```\n\n{f} has {n} rows."),
                    (plain, f"```python\n{self.name}.query('{self.text} == 1')\n```\nThe {kind} of {c} is {v}."),
                    (plain, f'A sentence such as "the {kind} of {c} is {v}" is clear.'),
                    (plain, f"> The {kind} of {c} is {v}."),
                    (plain, f"The {kind} of the {word} {c} is {v}."),
                    (plain, f"The {kind} of {c} is {v} ({word} only)."),
                    (plain, f"The {kind} of {c} is not {v}."),
                    (plain, f"Is the {kind} of {c} {v}?"),
                    (plain, f"The {kind} of {c} per {self.text} is {v} in {word}."),
                    (plain, f"The group {word} has {n} rows. The {kind} of {c} is {v} there."),
                    (plain, f"The {kind} of {c}, without {word}, is {v}."),
                    (plain, f"The {kind} of log({self.column}) is {v}."),
                    (plain, f"The {kind} of {c} squared is {v}."),
                    (plain, f"The {kind} of {c} rose from {v} to {v}."),
                    (plain, f"The {word} rows: {kind} of {c} is {v}."),
                    (plain, f"The first row of {f} is typical. The {kind} of {c} is {v}."),
                )
            ),
            self.frames,
        )


def true_of(seed: int) -> Said:
    """An answer that is true."""
    world = World(seed)
    if seed % 3 == 0:
        return world.of_a_part()
    parts = [
        world.statement() if world.dice.random() < 0.7 else world.size() for _ in range(world.dice.choice((1, 1, 2, 4)))
    ]
    return Said(world.asked(), world.dice.choice(("\n", "\n\n", " ")).join(parts), world.frames)


def false_of(seed: int) -> Said:
    """An answer whose one number is wrong."""
    world = World(seed)
    said = world.statement(wrong=True) if world.dice.random() < 0.7 else world.size(wrong=True)
    return Said(world.asked(), said, world.frames)
