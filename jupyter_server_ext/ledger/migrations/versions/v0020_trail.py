"""Who changed, rated, read and exported, as chains of hashes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    """Add the table, empty: what was done before is in no chain."""
    op.create_table(
        "trail",
        sa.Column("instance", sa.String(255), nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("caller", sa.String(255), nullable=False),
        sa.Column("subject", sa.String(64), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("content_hash", sa.String(64), nullable=False),
        sa.Column("chain_hash", sa.String(64), nullable=False),
        sa.Column("forgotten", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("instance", "number"),
    )
    op.create_index("trail_at", "trail", ["at"])
    op.create_index("trail_caller", "trail", ["caller"])
    db = op.get_bind()
    if db.execute(sa.text("SELECT 1 FROM entries LIMIT 1")).scalar() is not None:
        # Older versions may have summed by other rules; the day is one of any time zone's.
        day = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()
        insert = sa.text("INSERT INTO decisions (name, value, at, caller) VALUES ('summed_before', :day, :at, '')")
        db.execute(insert, {"day": day, "at": datetime.now(UTC).timestamp()})
