"""Which agents work in which live chains."""

import sqlalchemy as sa
from alembic import op

revision = "state_0006"
down_revision = "state_0005"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "live_chains",
        sa.Column("agent", sa.Text, primary_key=True),
        sa.Column("sub", sa.Text, primary_key=True),
        sa.Column("txn", sa.Text, primary_key=True),
        sa.Column("depth", sa.Integer, nullable=False),
        sa.Column("root_expires", sa.BigInteger, nullable=False),
    )
    op.create_index("live_chains_root_expires", "live_chains", ["root_expires"])
