"""A provider that answers about each row, rightly or as ``dice`` decide, and what asks it."""

from __future__ import annotations

import json
import math
import random
import re
import threading
from collections import Counter

from rsql_magic.answers.row_types import columns_of
from rsql_magic.answers.rows import DifferentRows, KnownRows, RowAsker, RowQuestion
from rsql_magic.errors import AnswerCut, GatewayError
from rsql_magic.gateway import Done, Text

QUESTION = "Is {{text}} good?"
RETURNS = {"label": ["good", "bad"], "score": float}


def truth(text):
    """What is right for a row."""
    return {"label": "good" if len(text) % 2 else "bad", "score": len(text) / 4}


class World:
    """A provider that reads its prompt; ``dice`` decide how it fails, and its bill says what it answered."""

    def __init__(self, failing=0.0, seed=1, price=0.0):
        self.dice, self.failing, self.price = random.Random(seed), failing, price
        self.asked, self.bill, self.calls = Counter(), 0.0, 0
        self.lock = threading.Lock()

    def __call__(self, messages, **options):
        with self.lock:
            text, rows, cost = self.answer(messages)
        yield Text(text[: len(text) // 2])
        yield Text(text[len(text) // 2 :])
        rsql = {"cost_usd": cost} if self.price else {}
        yield Done(usage={"prompt_tokens": 10 * rows, "completion_tokens": rows}, rsql=rsql)

    def answer(self, messages):
        self.calls += 1
        data = re.search(r"<data [^>]*>\n(.*)\n</data", messages[-1]["content"], re.DOTALL)[1]
        rows = [json.loads(line) for line in data.splitlines()]
        if any("refuse" in row["text"] for row in rows):
            raise GatewayError("The provider's filter refuses this.", status=400)
        said = [{"row": row["row"], **truth(row["text"])} for row in rows]
        if self.dice.random() < self.failing:
            said = self.spoiled(said)
        text = said if isinstance(said, str) else json.dumps({"rows": said})
        cost = self.price * len(rows)
        self.bill += cost
        self.asked.update(row["text"] for row in rows)
        return text, len(rows), cost

    def spoiled(self, said):
        kind = self.dice.choice(["prose", "half", "missing", "twice", "type", "choice", "nan", "cut", "shifted"])
        if kind == "prose":
            return "I am not able to do that."
        if kind == "half":
            return json.dumps({"rows": said})[:-7]
        if kind == "cut":
            raise AnswerCut("It was cut.")
        if kind == "missing":
            return said[1:]
        if kind == "twice":
            return [*said, {**said[0], "label": "bad"}]
        if kind == "shifted":
            return [{**one, "row": str(n)} for n, one in enumerate(said)]
        wrong = {"type": {"score": "very"}, "choice": {"label": "middling"}, "nan": {"score": math.inf}}[kind]
        return [{**said[0], **wrong}, *said[1:]]


def asker(texts, world, path=None, **options):
    return RowAsker(
        RowQuestion(QUESTION, columns_of(RETURNS)),
        DifferentRows.of({"text": texts}),
        world,
        KnownRows(path),
        **options,
    )


def outcomes(asking, texts):
    return [asking.outcomes[place] for place in asking.rows.places]
