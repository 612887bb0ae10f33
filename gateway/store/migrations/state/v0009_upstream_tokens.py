"""Users' tokens of third-party servers, sealed."""

import sqlalchemy as sa
from alembic import op

revision = "state_0009"
down_revision = "state_0008"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "upstream_tokens",
        sa.Column("sub", sa.Text, primary_key=True),
        sa.Column("server", sa.Text, primary_key=True),
        sa.Column("sealed", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("consented", sa.BigInteger, nullable=False),
        sa.Column("renewed", sa.BigInteger, nullable=False),
        sa.Column("claimed_until", sa.BigInteger, nullable=False),
    )
