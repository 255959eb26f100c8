"""How long answers took, in sketches that tell quantiles within 2 %, in place of numbers within six bounds."""

from __future__ import annotations

from collections import defaultdict

import sqlalchemy as sa
from alembic import op

from jupyter_server_ext.ledger.sketch import of_cumulated, packed, sketch_of

revision = "0023"
down_revision = "0022"

_BOUNDS = (1, 2, 5, 10, 30, 60)
_GRAINS = (300, 3_600, 86_400)
_LOGGED = (
    *("at", "instance", "number", "forgotten", "status", "attempts", "key", "caller", "tenant", "model", "task"),
    *("duration_seconds", "cost_nanodollars"),
)
_KEY = ("grain", "start", "tenant", "model", "task")


def upgrade() -> None:
    """Add the request log's index; fill the sketches from entries that are kept, else from numbers within bounds."""
    op.create_index("entries_log", "entries", list(_LOGGED))
    op.drop_index("entries_at", "entries")
    db = op.get_bind()
    op.add_column("series", sa.Column("durations", sa.LargeBinary))
    within = [f"within_{bound}" for bound in _BOUNDS]
    series = sa.table("series", *map(sa.column, (*_KEY, "success", *within)), sa.column("durations", sa.LargeBinary))
    slots = {tuple(row[:5]): row[5:] for row in db.execute(sa.select(*series.c[:-1]))}
    exact: dict[tuple[object, ...], int] = defaultdict(int)
    counted: dict[tuple[object, ...], list[int]] = defaultdict(lambda: [0] * (len(_BOUNDS) + 1))
    answered = sa.text(
        "SELECT e.at, e.tenant, e.model, e.task, e.duration_seconds FROM entries e"
        " JOIN folded f ON f.instance = e.instance AND e.number <= f.number"
        " WHERE e.status BETWEEN 200 AND 299 AND (e.attempts > 0 OR e.key = '') AND e.at >= :since"
    )
    first = {"since": min((key[1] for key in slots), default=0)}
    for at, tenant, model, task, seconds in db.execute(answered, first, execution_options={"yield_per": 1_000}):
        for grain in _GRAINS:
            start = int(at // grain) * grain
            named = next((name for name in (model, "other") if (grain, start, tenant, name, task) in slots), None)
            if named is not None:
                key = (grain, start, tenant, named, task)
                exact[key] += sketch_of(seconds)
                counts = counted[key]
                counts[0] += 1
                for place, bound in enumerate(_BOUNDS, 1):
                    counts[place] += seconds <= bound
    rows = []
    for key, (success, *cumulated) in slots.items():
        known, *known_within = counted[key]
        unknown = [max(0, all_ - own) for all_, own in zip(cumulated, known_within, strict=True)]
        left = {float(bound): count for bound, count in zip(_BOUNDS, unknown, strict=True)}
        sketch = exact[key] + of_cumulated(left, max(0, success - known))
        rows.append({f"of_{name}": value for name, value in zip(_KEY, key, strict=True)} | {"sketch": packed(sketch)})
    if rows:
        same = (series.c[name] == sa.bindparam(f"of_{name}") for name in _KEY)
        db.execute(sa.update(series).where(*same).values(durations=sa.bindparam("sketch")), rows)
    with op.batch_alter_table("series") as batch:
        for name in within:
            batch.drop_column(name)
