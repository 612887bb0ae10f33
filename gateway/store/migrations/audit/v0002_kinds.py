"""Facts and deeds of administrators are few among many records: they are found without reading the others."""

import sqlalchemy as sa
from alembic import op

revision = "audit_0002"
down_revision = "audit_0001"


def upgrade() -> None:
    """Create the indexes."""
    for kind in ("facts", "admin"):
        only = sa.text(f"kind = '{kind}'")
        op.create_index(f"records_{kind}", "records", ["at"], sqlite_where=only, postgresql_where=only)
