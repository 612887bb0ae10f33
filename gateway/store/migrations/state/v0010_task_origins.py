"""What each task was made with: MCP tasks are of a tool."""

import sqlalchemy as sa
from alembic import op

revision = "state_0010"
down_revision = "state_0009"


def upgrade() -> None:
    """Add the column; the tasks that are known already are A2A's, which need none."""
    op.add_column("task_owners", sa.Column("origin", sa.Text, nullable=False, server_default=""))
