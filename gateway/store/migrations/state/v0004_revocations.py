"""What was revoked, and lifted again."""

import sqlalchemy as sa
from alembic import op

revision = "state_0004"
down_revision = "state_0003"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "revocations",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("target", sa.LargeBinary),
        sa.Column("expires", sa.BigInteger),
        sa.Column("request_key", sa.Text, unique=True),
        sa.Column("request_digest", sa.Text),
        sqlite_autoincrement=True,
    )
    op.create_index("revocations_event", "revocations", ["id", "event"], unique=True)
