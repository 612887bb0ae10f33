"""Trust bundles: those fetched of other domains, and the sequence of the own one."""

import sqlalchemy as sa
from alembic import op

revision = "state_0007"
down_revision = "state_0005"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "trust_bundles",
        sa.Column("trust_domain", sa.Text, primary_key=True),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("document", sa.LargeBinary),
        sa.Column("fetched", sa.BigInteger, nullable=False),
    )
