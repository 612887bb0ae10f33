"""Handles of chains that go on in a trace."""

import sqlalchemy as sa
from alembic import op

revision = "state_0005"
down_revision = "state_0003"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "handles",
        sa.Column("digest", sa.Text, primary_key=True),
        sa.Column("sealed", sa.Text, nullable=False),
        sa.Column("expires", sa.BigInteger, nullable=False),
    )
    op.create_index("handles_expires", "handles", ["expires"])
