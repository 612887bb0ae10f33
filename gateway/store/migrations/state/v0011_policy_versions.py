"""Versions of the policies folder, and the texts of their files."""

import sqlalchemy as sa
from alembic import op

revision = "state_0011"
down_revision = "state_0010"


def upgrade() -> None:
    """Create both tables."""
    op.create_table(
        "policy_versions",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("bundle", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("origin", sa.Text, nullable=False),
        sa.Column("comment", sa.Text, nullable=False),
        sa.Column("back_to", sa.BigInteger),
        sa.Column("files", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "policy_texts",
        sa.Column("digest", sa.Text, primary_key=True),
        sa.Column("text", sa.Text, nullable=False),
    )
