"""What may be presented once."""

import sqlalchemy as sa
from alembic import op

revision = "state_0003"
down_revision = "state_0002"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "single_use",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("expires", sa.BigInteger, nullable=False),
    )
    op.create_index("single_use_expires", "single_use", ["expires"])
