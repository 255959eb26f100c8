"""Documents that tenants share, with what they are searched by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the tables, and an index of words: FTS5 in SQLite, a column of lexemes in PostgreSQL."""
    op.create_table(
        "documents",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("tenant", sa.String(255), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("passages", sa.Integer, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("added", sa.Float, nullable=False),
        sa.Column("expires", sa.Float),
        sa.UniqueConstraint("tenant", "name", name="documents_once"),
    )
    op.create_table(
        "document_passages",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("document", sa.String(16), nullable=False),
        sa.Column("tenant", sa.String(255), nullable=False),
        sa.Column("heading", sa.Text, nullable=False),
        sa.Column("part", sa.String(64), nullable=False),
        sa.Column("first_line", sa.Integer, nullable=False),
        sa.Column("last_line", sa.Integer, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
    )
    op.create_index("document_passages_document", "document_passages", ["document"])
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "ALTER TABLE document_passages ADD COLUMN words tsvector GENERATED ALWAYS AS ("
            "setweight(to_tsvector('english', heading), 'A') || to_tsvector('english', text)) STORED"
        )
        op.execute("CREATE INDEX document_passages_words ON document_passages USING gin (words)")
        return
    op.execute(
        "CREATE VIRTUAL TABLE document_words USING fts5(heading, text, content='document_passages', content_rowid='id',"
        " tokenize='porter unicode61 remove_diacritics 2')"
    )
    op.execute(
        "CREATE TRIGGER document_passages_added AFTER INSERT ON document_passages BEGIN"
        " INSERT INTO document_words(rowid, heading, text) VALUES (new.id, new.heading, new.text); END"
    )
    op.execute(
        "CREATE TRIGGER document_passages_removed AFTER DELETE ON document_passages BEGIN INSERT INTO"
        " document_words(document_words, rowid, heading, text) VALUES ('delete', old.id, old.heading, old.text); END"
    )
