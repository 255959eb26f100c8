"""Passages by the words of a question: SQLite's FTS5 and PostgreSQL's text search, with bounded work.

For groups whose index is larger than the memory for it (`indexes.py`).
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from jupyter_server_ext.ledger import document_passages, documents

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Match = tuple[str, str, dict[str, Any]]  # a rank, a condition, and the values of both
    Ways = Sequence[Sequence[str]]

PASSAGES = document_passages.join(documents, documents.c.id == document_passages.c.document)
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
_MOST_WORDS = 30  # of a question
_LONGEST_WORD = 60  # characters
# Words that say nothing of what is asked, as PostgreSQL's English leaves out too.
_SMALL = frozenset(
    re.findall(
        r"\w+",
        "a about an and any are as at be by can do does for from has have how i if in into is it its many me much my"
        " no not of on or our should that the their there they this to was we what when where which who why with"
        " you your",
    )
)
_PLAN = "EXPLAIN (FORMAT JSON) SELECT 1 FROM document_passages"
_WORDS = sa.table("document_words", sa.column("rowid"), sa.column("rank"))  # of FTS5
_SORTED = _WORDS.join(PASSAGES, document_passages.c.id == _WORDS.c.rowid)
_RANKED = 2_000  # passages that are ranked, as far as words are rare enough: of each, all words are looked up
_TRUSTED = 5 * _RANKED  # passages, of which an estimate is believed
_ENOUGH = 100  # passages among which the best are


def by_words(
    db: sa.Connection, question: str, allowed: Sequence[sa.ColumnElement[bool]], most: int
) -> dict[int, float]:
    """The passages that hold words of a question and their scores, the best first."""
    words = asked_words(question)
    in_sqlite = db.dialect.name == "sqlite"
    count, match = (_counted, _fts5) if in_sqlite else (_estimated, _text_search)
    counts = {word: number for word in words if (number := count(db, [word]))}
    ways = narrowed(counts, lambda some: count(db, some), few=5 * _RANKED if in_sqlite else _RANKED)
    found = _ranked(db, match(db, counts, ways), allowed, most) if ways else {}
    every = [[word] for word in counts]
    if len(found) < most and {*map(tuple, ways)} != {*map(tuple, every)}:
        # What is rare in all documents may be in none of these, and an estimate may be wrong.
        found = _ranked(db, match(db, counts, every), allowed, most)
    return found


def asked_words(question: str) -> list[str]:
    """The words of a question that tell what it asks for.

    Example:
        >>> asked_words("Where is the glove, and whose?")
        ['glove', 'whose']
    """
    asked = (word[:_LONGEST_WORD] for word in _WORD.findall(question.lower()) if word not in _SMALL)
    return list(dict.fromkeys(asked))[:_MOST_WORDS]


def _ranked(db: sa.Connection, match: Match, allowed: Sequence[sa.ColumnElement[bool]], most: int) -> dict[int, float]:
    rank, condition, given = match
    query = sa.select(document_passages.c.id, sa.text(f"{rank} AS score")).where(*allowed, sa.text(condition))
    if db.dialect.name == "sqlite":
        # FTS5 sorts by its own column `rank` before rows are joined, so that only those that are given are looked up.
        query = query.select_from(_SORTED).order_by(_WORDS.c.rank).limit(most)
    else:
        query = query.select_from(PASSAGES).order_by(sa.text("score DESC"), document_passages.c.id).limit(most)
    scores = {number: float(score) for number, score in db.execute(query, given)}
    return dict(sorted(scores.items(), key=lambda each: (-each[1], each[0])))


def narrowed(counts: Mapping[str, int], count: Callable[[Sequence[str]], int], few: int = _RANKED) -> list[list[str]]:
    """Words of which a passage holds all of one list, so that not too many passages need be ranked.

    A passage with a rare word is better than one with a common word; where all are common, the best hold several.

    Args:
        counts: The words of a question, and how many passages hold each.
        count: How many passages hold all of some words.
        few: As many as common words together may leave to be ranked, which may cost less than to count on.

    Example:
        >>> narrowed({"yellow": 90, "bin": 40, "table": 60_000}, len)
        [['bin'], ['yellow']]
        >>> narrowed({"table": 60_000, "value": 50_000, "bin": 40}, lambda some: 50_000 // 50 ** (len(some) - 1))
        [['bin'], ['value', 'table']]
    """
    rarest = sorted(counts, key=lambda word: counts[word])
    alone: list[str] = []
    while len(alone) < len(rarest) and sum(counts[word] for word in rarest[: len(alone) + 1]) <= _RANKED:
        alone.append(rarest[len(alone)])
    ways = [[word] for word in alone]
    if sum(counts[word] for word in alone) >= _ENOUGH or len(alone) == len(rarest):
        return ways
    together, size = [rarest[len(alone)]], counts[rarest[len(alone)]]
    for word in rarest[len(alone) + 1 :]:
        if size > few and (fewer := count([*together, word])) >= _ENOUGH:
            together, size = [*together, word], fewer
    return [*ways, together]


# How well a passage matches, whether it does, and the values of both. Headings count more.


def _fts5(db: sa.Connection, counts: Mapping[str, int], ways: Ways) -> Match:
    # FTS5's bm25 is the smaller the better. It looks at all passages of each word that stands in the query, so none
    # stands there for nothing: a word of more than half of all passages has no weight in it.
    asked = " OR ".join(f"({' AND '.join(map(_quoted, way))})" for way in ways)
    chosen = {word for way in ways for word in way}
    half = (db.execute(sa.select(sa.func.count()).select_from(document_passages)).scalar() or 0) / 2
    if weighed := [word for word, count in counts.items() if word not in chosen and count < half]:
        asked = f"({asked}) AND ({' OR '.join(map(_quoted, [*(way[0] for way in ways), *weighed]))})"
    ranked = "document_words MATCH :asked AND document_words.rank MATCH 'bm25(2.0, 1.0)'"
    return "-document_words.rank", ranked, {"asked": asked}


def _counted(db: sa.Connection, words: Sequence[str]) -> int:
    asked = " AND ".join(map(_quoted, words))
    query = "SELECT count(*) FROM document_words WHERE document_words MATCH :asked"
    return int(db.execute(sa.text(query), {"asked": asked}).scalar() or 0)


def _quoted(word: str) -> str:
    """A word that is no operator."""
    return '"' + word.replace('"', "") + '"'


def _text_search(db: sa.Connection, counts: Mapping[str, int], ways: Ways) -> Match:
    # `ts_rank` takes every word for equally rare; here each counts by how rare it is, as in BM25.
    passages = _estimated(db, [])
    given: dict[str, Any] = {"asked": " | ".join(f"({' & '.join(map(_plain, way))})" for way in ways)}
    ranks = []
    for place, (word, count) in enumerate(counts.items()):
        ranks.append(f":rarity{place} * ts_rank(words, to_tsquery('english', :word{place}), 1)")
        given |= {f"word{place}": _plain(word), f"rarity{place}": math.log(1 + passages / count)}
    return " + ".join(ranks), "words @@ to_tsquery('english', :asked)", given


def _estimated(db: sa.Connection, words: Sequence[str]) -> int:
    """What PostgreSQL's planner expects by its statistics; as many as are ranked, and fewer, are counted."""
    if not words:
        plan = db.execute(sa.text(_PLAN)).scalar()
        return int(plan[0]["Plan"]["Plan Rows"]) if plan else 0
    given, where = {"asked": " & ".join(map(_plain, words))}, "WHERE words @@ to_tsquery('english', :asked)"
    plan = db.execute(sa.text(f"{_PLAN} {where}"), given).scalar()
    expected = int(plan[0]["Plan"]["Plan Rows"]) if plan else 0
    if expected > _TRUSTED:
        return expected
    counted = f"SELECT count(*) FROM (SELECT 1 FROM document_passages {where} LIMIT {_RANKED + 1}) AS few"  # noqa: S608
    number = int(db.execute(sa.text(counted), given).scalar() or 0)
    return number if number <= _RANKED else max(number, expected)


def _plain(word: str) -> str:
    return re.sub(r"\W", "", word)
