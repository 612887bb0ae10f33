"""Approvals: what people are asked, what they said, and that it is used once."""

import sqlalchemy as sa
from alembic import op

revision = "state_0014"
down_revision = "state_0011"


def upgrade() -> None:
    """Add the table."""
    entry = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "approvals",
        sa.Column("place", entry, primary_key=True, autoincrement=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("binding", sa.Text, nullable=False),
        sa.Column("slot", sa.Text, unique=True),
        sa.Column("whose", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("lapses", sa.BigInteger),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("document", sa.LargeBinary, nullable=False),
        sa.Column("sealed", sa.Text),
        sqlite_autoincrement=True,
    )
    op.create_index("approvals_binding", "approvals", ["binding", "place"])
    op.create_index("approvals_lapses", "approvals", ["lapses"])
    op.create_index("approvals_ended_at", "approvals", ["ended_at"])
