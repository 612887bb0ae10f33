"""Definitions of tools: what was approved, and what waits for approval."""

import sqlalchemy as sa
from alembic import op

revision = "state_0002"
down_revision = "state_0001"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "tool_pins",
        sa.Column("server", sa.Text, primary_key=True),
        sa.Column("tool", sa.Text, primary_key=True),
        sa.Column("approved_digest", sa.Text),
        sa.Column("approved_document", sa.LargeBinary),
        sa.Column("approved_at", sa.BigInteger, nullable=False),
        sa.Column("found_digest", sa.Text),
        sa.Column("found_document", sa.LargeBinary),
        sa.Column("found_at", sa.BigInteger, nullable=False),
    )
