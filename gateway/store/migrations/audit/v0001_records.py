"""The audit log: records and the policies that decided them."""

import sqlalchemy as sa
from alembic import op

revision = "audit_0001"
down_revision = None

_SEARCHED = ("hop", "trace_id", "txn", "agent", "user_sub", "action", "resource", "verdict")


def upgrade() -> None:
    """Create the tables and the indexes of the filters."""
    op.create_table(
        "records",
        sa.Column("entry", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("writer", sa.Text, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.Column("link", sa.LargeBinary, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("hop", sa.Text),
        sa.Column("trace_id", sa.Text),
        sa.Column("txn", sa.Text),
        sa.Column("agent", sa.Text),
        sa.Column("user_sub", sa.Text),
        sa.Column("action", sa.Text),
        sa.Column("resource_type", sa.Text),
        sa.Column("resource", sa.Text),
        sa.Column("verdict", sa.Text),
        sqlite_autoincrement=True,
    )
    op.create_index("records_place", "records", ["writer", "seq"], unique=True)
    op.create_index("records_at", "records", ["at"])
    for column in _SEARCHED:
        filled = sa.column(column).is_not(None)
        op.create_index(f"records_{column}", "records", [column, "at"], sqlite_where=filled, postgresql_where=filled)
    op.create_table(
        "record_policies",
        sa.Column("policy", sa.Text, primary_key=True),
        sa.Column("writer", sa.Text, primary_key=True),
        sa.Column("seq", sa.BigInteger, primary_key=True),
        sa.ForeignKeyConstraint(["writer", "seq"], ["records.writer", "records.seq"]),
        sqlite_with_rowid=False,
    )
    if op.get_bind().dialect.name == "sqlite":
        # Against accidents; against intent there are the links and the checkpoints.
        for table in ("records", "record_policies"):
            for change in ("update", "delete"):
                op.execute(
                    f"CREATE TRIGGER {table}_no_{change} BEFORE {change.upper()} ON {table} "
                    "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
                )
