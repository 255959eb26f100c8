"""An adversary who asks a model's tools for planted texts and numbers."""

from __future__ import annotations

import random
import sqlite3
import string
from dataclasses import dataclass, field

import duckdb

from rsql_magic.databases import open_engine
from rsql_magic.errors import BadInput, QueryFailed, QueryRejected
from rsql_magic.tools import DatabaseView, of_database

PEOPLE, LETTERS = 60, 5
LOW, HIGH = 20_000, 20_000 + 2**14
DATABASES = {"duckdb": duckdb.connect, "sqlite": sqlite3.connect}
# Ways to have one row counted as many, each with a place for a condition on the row `p`.
AMPLIFIED = [
    "SELECT p.id FROM people p WHERE {}",
    "SELECT p.id FROM people p CROSS JOIN people q WHERE {}",
    "SELECT p.id FROM people p JOIN people q ON q.id < 30 WHERE {}",
    "SELECT q.id FROM people q WHERE EXISTS (SELECT 1 FROM people p WHERE {})",
    "SELECT p.id FROM people p WHERE {} UNION ALL SELECT p.id FROM people p WHERE {}",
    "SELECT count(*) AS n FROM people p, people q WHERE {}",
    "SELECT 1 / (CASE WHEN EXISTS (SELECT 1 FROM people p WHERE {}) THEN 1 ELSE 0 END) AS x FROM people",
]


@dataclass
class Planted:
    """What the adversary is after: a number and a word of each row."""

    seed: int
    pay: list[int] = field(init=False)
    note: list[str] = field(init=False)

    def __post_init__(self):
        draw = random.Random(self.seed)
        self.pay = [LOW, HIGH - 1] + [draw.randrange(LOW, HIGH) for _ in range(PEOPLE - 2)]
        self.note = ["".join(draw.choices(string.ascii_lowercase, k=LETTERS)) for _ in range(PEOPLE)]

    def fill(self, connection):
        """Make a table of it, in which `ward` is a category, but for one row of its own."""
        connection.execute("CREATE TABLE people (id INTEGER, ward VARCHAR(9), pay INTEGER, note VARCHAR(9))")
        wards = [self.note[0], *(("north", "south")[n % 2] for n in range(1, PEOPLE))]
        rows = list(zip(range(PEOPLE), wards, self.pay, self.note, strict=True))
        connection.executemany("INSERT INTO people VALUES (?, ?, ?, ?)", rows)
        connection.commit()

    def tools(self, kind, level):
        """The tools for a database with it."""
        connection = DATABASES[kind](":memory:")
        self.fill(connection)
        engine = open_engine(connection)
        return {tool.name: tool for tool in of_database(DatabaseView(engine, engine.catalog(level), level))}


class Adversary:
    """Asks whether a condition holds for a row, and reads all that an answer may tell: that it differs."""

    def __init__(self, tools, seed):
        self.tools, self.draw, self.calls = tools, random.Random(seed), 0

    def call(self, name, **arguments):
        self.calls += 1
        try:
            return self.tools[name].run(arguments)
        except KeyError:
            return "no such tool"
        except (BadInput, QueryFailed, QueryRejected) as error:
            return str(error)

    def holds(self, person, condition):
        """Whether a condition holds as far as an answer tells; None where it tells nothing."""
        how = self.draw.choice(AMPLIFIED)
        said, yes, no = (
            self.call("query", sql=how.replace("{}", f"p.id = {person} AND {each}"))
            for each in (condition, "p.pay > 0", "p.pay < 0")
        )
        return said == yes if yes != no else None

    def pay(self, person):
        """A number by halving the range that the profile tells; its middle where nothing is learned."""
        low, high = LOW, HIGH
        while high - low > 1:
            middle = (low + high) // 2
            known = self.holds(person, f"p.pay >= {middle}")
            if known is None:
                return middle
            low, high = (middle, high) if known else (low, middle)
        return low

    def letter(self, person, place):
        """A letter of a word by halving the alphabet."""
        left = string.ascii_lowercase
        while len(left) > 1:
            known = self.holds(person, f"substr(p.note, {place + 1}, 1) >= '{left[len(left) // 2]}'")
            if known is None:
                break
            left = left[len(left) // 2 :] if known else left[: len(left) // 2]
        return left[0]

    def rare(self):
        """The rare category letter by letter, by searching for what begins so."""
        found = ""
        for _ in range(LETTERS):
            told = {each: self.call("values", column="people.ward", like=found + each) for each in FROM_RARE}
            common = max(told.values(), key=list(told.values()).count)
            found += next((each for each, text in told.items() if text != common), FROM_RARE[0])
        return found


# Letters that are in no common category.
FROM_RARE = [each for each in string.ascii_lowercase if each not in "northsouth"]
