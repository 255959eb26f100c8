"""Speed of linking: 876 and 10,000 tables, made from words, with keys and categories.

Run by ``make bench``; the limits are those of docs/linking.md. Time is this process's CPU time: others may be busy.
"""

from __future__ import annotations

import random
import statistics
import time

import pytest

from rsql_magic.context import Catalog
from rsql_magic.sql import Column, ForeignKey, Index, Profile, Table, link

pytestmark = pytest.mark.bench

_SUBJECTS = """
    customer order product invoice payment shipment employee department student course teacher flight airport airline
    hotel room booking guest player team match league stadium song album artist concert patient doctor visit claim
    policy account loan branch card device sensor reading event ticket agent vehicle driver route station store region
    """.split()  # noqa: SIM905
_KINDS = ("history", "detail", "type", "status", "item", "log", "summary", "archive", "line", "note", "link")
_FACTS = """
    name code status amount price quantity created_at updated_at city country email phone score level weight height
    start_date end_date description category currency discount color size address zip_code total comment owner flag
    """.split()  # noqa: SIM905
_CITIES = ("Lisbon", "Oslo", "New York", "Nairobi", "Lima", "Kyoto", "Quito", "Cairo", "Perth", "Porto")
_QUESTIONS = (
    "How many customers in New York placed more than 3 orders in 2023, and what did they pay on average?",
    "List the names and birth dates of the pupils who never enrolled in any class, ordered by name",
    "Which airline had the most delayed flights from each airport in the last quarter of the fiscal year?",
    "What is the total revenue by product category and region for stores with an area above 500?",
    "Show the doctors whose patients filed claims against policies of more than one branch",
)


def _warehouse(tables: int) -> Catalog:
    """Schemas of ten tables each, as a large company has them."""
    chance = random.Random(7)
    return Catalog(tuple(t for number in range(tables // 10) for t in _schema(number, chance)), "postgres")


def _schema(number: int, chance: random.Random) -> list[Table]:
    subjects = chance.sample(_SUBJECTS, 10)
    return [_table(f"area{number}", name, subjects[:i], chance) for i, name in enumerate(subjects)]


def _table(schema: str, subject: str, others: list[str], chance: random.Random) -> Table:
    parents = chance.sample(others, min(2, len(others)))
    facts = [Column(fact, "VARCHAR", profile=_profile(fact, chance)) for fact in chance.sample(_FACTS, 12)]
    keys = [Column(f"{parent}_id", "INTEGER") for parent in parents]
    name = f"{subject}_{chance.choice(_KINDS)}" if chance.random() < 0.5 else subject
    return Table(
        name,
        (Column(f"{subject}_id", "INTEGER"), *keys, *facts),
        schema=schema,
        primary_key=(f"{subject}_id",),
        foreign_keys=tuple(ForeignKey((f"{p}_id",), f"{schema}.{p}", (f"{p}_id",)) for p in parents),
    )


def _profile(fact: str, chance: random.Random) -> Profile | None:
    if fact == "city":
        return Profile(values=tuple(chance.sample(_CITIES, 6)))
    return Profile(values=tuple(f"{fact} {n}" for n in range(4))) if fact in {"status", "category"} else None


def _median_ms(catalog: Catalog) -> float:
    times = []
    for question in _QUESTIONS * 3:
        start = time.process_time()
        link(question, catalog)
        times.append(1000 * (time.process_time() - start))
    return statistics.median(times)


@pytest.mark.parametrize(("tables", "index_seconds", "milliseconds"), [(880, 1.0, 20.0), (10_000, 2.0, 100.0)])
def test_linking_is_fast(tables, index_seconds, milliseconds, capsys):
    catalog = _warehouse(tables)
    Index(Catalog(catalog.tables[:10]))  # reads the thesaurus
    start = time.process_time()
    link(_QUESTIONS[0], catalog)
    first = time.process_time() - start
    median = _median_ms(catalog)
    with capsys.disabled():
        print(f"\nlinking, {tables:,} tables: first {first:.2f} s, then {median:.1f} ms")
    assert first <= index_seconds
    assert median <= milliseconds
