"""Whether anybody has changed a ledger beside its gateways, and what cannot be known of that."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from jupyter_server_ext.ledger.records import TRAIL_OF
from jupyter_server_ext.ledger.rows import GENESIS, SumsOfEntries, problems_of
from jupyter_server_ext.ledger.schema import SUMMED_BEFORE, chains, changes, decisions, entries, trail
from jupyter_server_ext.ledger.trail import problems_of_trail

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jupyter_server_ext.ledger.files import ChainHead


def problems_in(db: sa.Connection, heads: Iterable[ChainHead]) -> list[str]:
    """What is wrong with a snapshot of a ledger, one sentence each; see ``SqlLedgerReader.verify``."""
    problems: list[str] = []
    problems += [wrong for head in dict.fromkeys(heads) if (wrong := _missing(db, head))]
    starts = {row.instance: (row.first_number, row.first_hash) for row in db.execute(sa.select(chains))}
    ordered = sa.select(entries).order_by(entries.c.instance, entries.c.number)
    instance, number, chain = "", 0, GENESIS
    sums = SumsOfEntries()
    for mapping in db.execution_options(yield_per=1000).execute(ordered).mappings():
        row = dict(mapping)
        if row["instance"] != instance:
            instance = row["instance"]
            first, chain = starts.get(instance, (1, GENESIS))
            number = first - 1
        number += 1
        problems += problems_of(row, number, chain)
        number, chain = row["number"], row["chain_hash"]
        sums.add(row)
    problems += sums.problems(db, _summed_since(db))
    problems += problems_of_trail(db)
    return problems


def unknown_in(db: sa.Connection) -> list[str]:
    """What a verification cannot know of a ledger beside what an anchor would show, one sentence each."""
    notes = []
    nameless = db.execute(sa.select(sa.func.count()).where(entries.c.forgotten)).scalar_one()
    if nameless:
        notes.append(f"{nameless:,} entries are of forgotten callers: what they said cannot be checked.")
    gone = db.execute(sa.select(sa.func.count()).select_from(chains)).scalar_one()
    if gone:
        notes.append(f"Retention deleted the oldest entries of {gone} chains: nothing is known of them.")
    if since := _summed_since(db):
        notes.append(f"Sums of days up to {since} are not compared: not all entries of them are there.")
    recorded = sa.select(sa.func.min(sa.cast(trail.c.subject, sa.BigInteger))).where(trail.c.kind == "change")
    first = db.execute(recorded).scalar()
    older = sa.select(sa.func.count()).select_from(changes)
    older = older if first is None else older.where(changes.c.number < first)
    if count := db.execute(older).scalar_one():
        notes.append(f"{count:,} changes are older than the trail: whether they are whole is not known.")
    return notes


def _summed_since(db: sa.Connection) -> str:
    """The last day whose sums may hold more than entries say; empty where all days can be compared."""
    decided = sa.select(decisions.c.value).where(decisions.c.name == SUMMED_BEFORE)
    before = str(db.execute(decided).scalar() or "")
    expired = sa.select(sa.func.min(entries.c.day)).where(entries.c.instance.in_(sa.select(chains.c.instance)))
    first_days = db.execute(expired.group_by(entries.c.instance)).scalars().all()
    is_expired = db.execute(sa.select(sa.func.count()).select_from(chains)).scalar_one()
    if is_expired and not first_days:
        return "9999"
    return max([before, *map(str, first_days)])


def _missing(db: sa.Connection, head: ChainHead) -> str:
    """What is wrong with a chain that once ended there; empty for nothing."""
    is_trail = head.instance.startswith(TRAIL_OF)
    table, name = (trail, head.instance.removeprefix(TRAIL_OF)) if is_trail else (entries, head.instance)
    found: str | None = db.execute(
        sa.select(table.c.chain_hash).where(table.c.instance == name, table.c.number == head.number)
    ).scalar()
    start = db.execute(sa.select(chains.c.first_number).where(chains.c.instance == head.instance)).scalar()
    if found == head.chain_hash or head.number == 0 or (start is not None and head.number < start):
        return ""
    if found is not None:
        return f"{head.instance} #{head.number}: it is another entry than was written down elsewhere."
    last = db.execute(sa.select(sa.func.max(table.c.number)).where(table.c.instance == name)).scalar()
    return f"{head.instance}: the newest entries are missing, {(last or 0) + 1} to {head.number} at least."
