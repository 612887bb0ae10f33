"""Generated signing keys, sealed."""

import sqlalchemy as sa
from alembic import op

revision = "state_0008"
down_revision = "state_0007"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "signing_keys",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("kid", sa.Text, nullable=False),
        sa.Column("algorithm", sa.Text, nullable=False),
        sa.Column("sealed", sa.Text, nullable=False),
        sa.Column("made_at", sa.BigInteger, nullable=False),
        sa.Column("signs_from", sa.BigInteger, nullable=False),
        sa.Column("distrusted_at", sa.BigInteger, nullable=False),
    )
