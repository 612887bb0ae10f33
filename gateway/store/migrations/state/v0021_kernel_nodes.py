"""Nodes of the kernel half: generations of rules that only grow, and how far their events are recorded."""

import sqlalchemy as sa
from alembic import op

revision = "state_0021"
down_revision = "state_0015"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "kernel_nodes",
        sa.Column("node", sa.Text, primary_key=True),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("event_time", sa.BigInteger, nullable=False),
        sa.Column("event_seq", sa.BigInteger, nullable=False),
    )
