"""What hops share: first presenters of root tokens, and owners of A2A tasks."""

import sqlalchemy as sa
from alembic import op

revision = "state_0001"
down_revision = None


def upgrade() -> None:
    """Create the tables and the indexes of their clean-up."""
    op.create_table(
        "bindings",
        sa.Column("token_digest", sa.Text, primary_key=True),
        sa.Column("agent", sa.Text, nullable=False),
        sa.Column("txn", sa.Text, nullable=False),
        sa.Column("root_expires", sa.BigInteger, nullable=False),
        sa.Column("token_expires", sa.BigInteger, nullable=False),
    )
    op.create_index("bindings_token_expires", "bindings", ["token_expires"])
    op.create_table(
        "task_owners",
        sa.Column("route", sa.Text, primary_key=True),
        sa.Column("task_id", sa.Text, primary_key=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("expires", sa.BigInteger, nullable=False),
    )
    op.create_index("task_owners_expires", "task_owners", ["expires"])
