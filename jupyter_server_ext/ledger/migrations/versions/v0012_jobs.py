"""Files that callers send for jobs, the jobs, and their lines."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "job_files",
        sa.Column("id", sa.String(64), primary_key=True),
        *(sa.Column(name, sa.String(255), nullable=False) for name in ("caller", "tenant", "name")),
        *(sa.Column(name, sa.String(16), nullable=False) for name in ("purpose", "state")),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("bytes", "lines")),
        sa.Column("pieces", sa.Integer, nullable=False),
        sa.Column("made", sa.Float, nullable=False),
        sa.Column("expires", sa.Float),
        sa.Column("job", sa.String(64), nullable=False),
    )
    op.create_index("job_files_caller", "job_files", ["caller", "made"])
    op.create_index("job_files_expires", "job_files", ["expires"])
    op.create_table(
        "job_file_pieces",
        sa.Column("file", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("lines", sa.Integer, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("file", "number"),
    )
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(64), primary_key=True),
        *(sa.Column(name, sa.String(255), nullable=False) for name in ("caller", "tenant")),
        sa.Column("api_key", sa.String(16), nullable=False),
        *(sa.Column(name, sa.String(64), nullable=False) for name in ("endpoint", "input")),
        *(sa.Column(name, sa.String(16), nullable=False) for name in ("completion_window", "state")),
        *(sa.Column(name, sa.Float, nullable=False) for name in ("made", "expires")),
        *(sa.Column(name, sa.Float) for name in ("stopping", "ended", "kept_seconds")),
        sa.Column("stopped_for", sa.String(64), nullable=False),
        *(sa.Column(name, sa.Integer, nullable=False) for name in ("piece", "pieces")),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("read", "total", "done", "failed")),
        *(
            sa.Column(name, sa.BigInteger, nullable=False)
            for name in ("prompt_tokens", "completion_tokens", "cost_nanodollars")
        ),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("metadata", "waits_for")),
        sa.Column("told", sa.Boolean, nullable=False),
    )
    op.create_index("jobs_state", "jobs", ["state", "made"])
    op.create_index("jobs_caller", "jobs", ["caller", "made"])
    op.create_table(
        "job_lines",
        sa.Column("job", sa.String(64), nullable=False),
        *(sa.Column(name, sa.Integer, nullable=False) for name in ("number", "piece", "start", "length")),
        sa.Column("digest", sa.String(64)),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("due", sa.Float, nullable=False),
        sa.Column("lease", sa.String(255), nullable=False),
        sa.Column("leased", sa.Float, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("result", sa.LargeBinary),
        sa.PrimaryKeyConstraint("job", "number"),
        sa.UniqueConstraint("job", "digest", name="job_lines_once"),
    )
    op.create_index("job_lines_state", "job_lines", ["job", "state", "number"])
    leased = sa.text("lease <> ''")
    op.create_index("job_lines_lease", "job_lines", ["lease"], sqlite_where=leased, postgresql_where=leased)
