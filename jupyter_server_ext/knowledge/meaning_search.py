"""Passages that mean what a question means: the nearest by their signs, then by their vectors.

The database compares the signs for groups whose index is larger than the memory for it (`indexes.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from jupyter_server_ext.knowledge.meanings import differing, nearest, signs_of
from jupyter_server_ext.ledger import document_passages, documents, passage_signs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jupyter_server_ext.knowledge.meanings import QuestionVector

_RESCORED = 400  # passages whose vectors are compared, of all whose signs are
_LOCK = 7_715_103  # of those who make an index
# pgvector, whose scans go on until enough rows pass a query's conditions since 0.8.
_PGVECTOR = (
    "SELECT split_part(extversion, '.', 2)::int >= 8 OR extversion >= '1' FROM pg_extension WHERE extname = 'vector'"
)


def by_meaning(
    db: sa.Connection, meaning: QuestionVector, allowed: Sequence[sa.ColumnElement[bool]], most: int
) -> list[int]:
    """The passages whose vectors are the nearest to a question's, the best first."""
    near: list[int] = []
    if has_pgvector(db):
        db.execute(sa.text(f"SET LOCAL hnsw.ef_search = {_RESCORED}; SET LOCAL hnsw.iterative_scan = strict_order"))
        near = _nearest_signs(db, meaning, allowed, indexed=True)
    if len(near) < _RESCORED:  # a scan of the index ends early where few of the nearest are the caller's
        near = _nearest_signs(db, meaning, allowed)
    return by_vectors(db, meaning, near, most)


def by_vectors(db: sa.Connection, meaning: QuestionVector, passages: Sequence[int], most: int) -> list[int]:
    """Those of some passages whose vectors are the nearest to a question's, the best first."""
    part = document_passages.c
    among: sa.ColumnElement[bool] = part.id.in_(passages)
    if db.dialect.name == "postgresql":  # hundreds of values of their own would take milliseconds to be read
        among = part.id == sa.any_(sa.cast([*passages], postgresql.ARRAY(sa.BigInteger)))
    rows = db.execute(sa.select(part.id, part.vector).where(among).order_by(part.id))
    same_size = [(number, vector) for number, vector in rows if vector and len(vector) == len(meaning.vector)]
    return nearest(meaning.vector, same_size, most) if same_size else []


def _nearest_signs(
    db: sa.Connection, meaning: QuestionVector, allowed: Sequence[sa.ColumnElement[bool]], *, indexed: bool = False
) -> list[int]:
    signs, asked = passage_signs.c.signs, as_kept(db, signs_of(meaning.vector))
    size = len(asked)
    apart: sa.ColumnElement[int]
    if db.dialect.name == "sqlite":
        db.connection.driver_connection.create_function("differing", 2, differing, deterministic=True)  # type: ignore[union-attr]
        apart = sa.func.differing(signs, asked)
    elif indexed:
        bits = postgresql.BIT(size)
        apart = sa.cast(signs, bits).op("<~>")(sa.cast(asked, bits))
    else:
        apart = sa.func.bit_count(signs.op("#")(sa.cast(asked, signs.type)))
    few = (
        sa.select(passage_signs.c.passage)
        .join(documents, documents.c.id == passage_signs.c.document)
        .where(*allowed, documents.c.model == meaning.model)
        .order_by(apart)
        .limit(_RESCORED)
    )
    if not indexed:  # of other sizes an index has as many numbers; they are left out by their vectors
        few = few.where(sa.func.length(signs) == size).order_by(passage_signs.c.passage)
    return [*db.execute(few).scalars()]


def as_kept(db: sa.Connection, signs: bytes) -> bytes | str:
    """Signs as the database keeps them: bytes, or PostgreSQL's bits."""
    return signs if db.dialect.name == "sqlite" else "".join(f"{byte:08b}" for byte in signs)


def has_pgvector(db: sa.Connection) -> bool:
    """Whether the database has the extension, in a version that serves."""
    return db.dialect.name == "postgresql" and bool(db.execute(sa.text(_PGVECTOR)).scalar())


def index_signs(engine: sa.Engine, vector: bytes) -> None:
    """Make the index of vectors of this size, where the database has pgvector and it is not there."""
    if engine.dialect.name != "postgresql":
        return
    size = 8 * len(signs_of(vector))
    name = f"passage_signs_{size}"
    with engine.begin() as db:
        if not has_pgvector(db) or db.execute(sa.select(sa.func.to_regclass(name))).scalar():
            return
        db.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        on = f"passage_signs USING hnsw (CAST(signs AS BIT({size})) bit_hamming_ops)"
        db.execute(sa.text(f"CREATE INDEX IF NOT EXISTS {name} ON {on}"))
