"""The outbox of webhooks."""

import sqlalchemy as sa
from alembic import op

revision = "state_0015"
down_revision = "state_0014"


def upgrade() -> None:
    """Add the table."""
    entry = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "webhook_letters",
        sa.Column("place", entry, primary_key=True, autoincrement=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("approval", sa.Text, nullable=False),
        sa.Column("notice", sa.LargeBinary, nullable=False),
        sa.Column("made_at", sa.BigInteger, nullable=False),
        sa.Column("due", sa.BigInteger, nullable=False),
        sa.Column("give_up", sa.BigInteger, nullable=False),
        sa.Column("attempts", sa.BigInteger, nullable=False),
        sa.Column("standing", sa.Text, nullable=False),
        sa.Column("last_at", sa.BigInteger),
        sa.Column("detail", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("webhook_letters_due", "webhook_letters", ["standing", "due"])
