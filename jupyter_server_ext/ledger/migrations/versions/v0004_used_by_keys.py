"""Which virtual API key asked, so that its limits outlast a restart; what tells its owner from namesakes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the columns."""
    op.add_column("entries", sa.Column("api_key", sa.String(16), nullable=False, server_default=""))
    op.add_column("requests_open", sa.Column("api_key", sa.String(16), nullable=False, server_default=""))
    op.add_column("api_keys", sa.Column("mark", sa.String(64), nullable=False, server_default=""))
    some = sa.text("api_key <> ''")
    op.create_index("entries_api_key", "entries", ["api_key", "day"], sqlite_where=some, postgresql_where=some)
