"""Passages by the words of a question: SQLite's FTS5 and PostgreSQL's text search, with bounded work."""

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
_RANKED = 2_000  # passages that are ranked, as far as words are rare enough: of each, all words are looked up
_TRUSTED = 5 * _RANKED  # passages, of which an estimate is believed
_ENOUGH = 100  # passages among which the best are


def by_words(
    db: sa.Connection, question: str, allowed: Sequence[sa.ColumnElement[bool]], most: int
) -> dict[int, float]:
    """The passages that hold words of a question and their scores, the best first."""
    asked = (word[:_LONGEST_WORD] for word in _WORD.findall(question.lower()) if word not in _SMALL)
    words = list(dict.fromkeys(asked))[:_MOST_WORDS]
    count, match = (_counted, _fts5) if db.dialect.name == "sqlite" else (_estimated, _text_search)
    counts = {word: number for word in words if (number := count(db, [word]))}
    ways = narrowed(counts, lambda some: count(db, some))
    found = _ranked(db, match(db, counts, ways), allowed, most) if ways else {}
    every = [[word] for word in counts]
    if len(found) < most and {*map(tuple, ways)} != {*map(tuple, every)}:
        # What is rare in all documents may be in none of these, and an estimate may be wrong.
        found = _ranked(db, match(db, counts, every), allowed, most)
    return found


def _ranked(db: sa.Connection, match: Match, allowed: Sequence[sa.ColumnElement[bool]], most: int) -> dict[int, float]:
    rank, condition, given = match
    query = (
        sa.select(document_passages.c.id, sa.text(f"{rank} AS score"))
        .select_from(PASSAGES)
        .where(*allowed, sa.text(condition))
        .order_by(sa.text("score DESC"), document_passages.c.id)
        .limit(most)
    )
    if db.dialect.name == "sqlite":
        query = query.join(sa.text("document_words"), sa.text("document_words.rowid = document_passages.id"))
    return {number: float(score) for number, score in db.execute(query, given)}


def narrowed(counts: Mapping[str, int], count: Callable[[Sequence[str]], int]) -> list[list[str]]:
    """Words of which a passage holds all of one list, so that not too many passages need be ranked.

    A passage with a rare word is better than one with a common word; where all are common, the best hold several.

    Args:
        counts: The words of a question, and how many passages hold each.
        count: How many passages hold all of some words.

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
        if size > _RANKED and (fewer := count([*together, word])) >= _ENOUGH:
            together, size = [*together, word], fewer
    return [*ways, together]


# How well a passage matches, whether it does, and the values of both. Headings count more.


def _fts5(_db: sa.Connection, counts: Mapping[str, int], ways: Ways) -> Match:
    # FTS5's bm25 is the smaller the better. Where words are left out, those of candidates count twice: the rare ones.
    candidates = " OR ".join(f"({' AND '.join(map(_quoted, way))})" for way in ways)
    left_out = counts.keys() - {word for way in ways for word in way}
    asked = f"({candidates}) AND ({' OR '.join(map(_quoted, counts))})" if left_out else candidates
    return "-bm25(document_words, 2.0, 1.0)", "document_words MATCH :asked", {"asked": asked}


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
