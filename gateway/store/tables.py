"""The tables, for SQLite now and PostgreSQL later. Their history is in ``migrations``; a test holds both together.

Two databases: ``audit`` is append-only and one file per writing process; ``state`` is what hops share.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    text,
)

_ENTRY = BigInteger().with_variant(Integer, "sqlite")

audit = MetaData()
state = MetaData()

records = Table(
    "records",
    audit,
    Column("entry", _ENTRY, primary_key=True, autoincrement=True),
    Column("writer", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("link", LargeBinary, nullable=False),
    Column("kind", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("hop", Text),
    Column("trace_id", Text),
    Column("txn", Text),
    Column("agent", Text),
    Column("user_sub", Text),
    Column("action", Text),
    Column("resource_type", Text),
    Column("resource", Text),
    Column("verdict", Text),
    sqlite_autoincrement=True,
)
"""One row a record. ``payload`` is the record; the columns after ``link`` only serve to find it."""

record_policies = Table(
    "record_policies",
    audit,
    Column("policy", Text, primary_key=True),
    Column("writer", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    ForeignKeyConstraint(["writer", "seq"], ["records.writer", "records.seq"]),
    # The key is the search index; a row id would make it two trees.
    sqlite_with_rowid=False,
)

Index("records_place", records.c.writer, records.c.seq, unique=True)
Index("records_at", records.c.at)
for _column in ("hop", "trace_id", "txn", "agent", "user_sub", "action", "resource", "verdict"):
    _filled = records.c[_column].is_not(None)
    Index(f"records_{_column}", records.c[_column], records.c.at, sqlite_where=_filled, postgresql_where=_filled)

for _kind in ("facts", "admin"):
    _only = text(f"kind = '{_kind}'")
    Index(f"records_{_kind}", records.c.at, sqlite_where=_only, postgresql_where=_only)

bindings = Table(
    "bindings",
    state,
    Column("token_digest", Text, primary_key=True),
    Column("agent", Text, nullable=False),
    Column("txn", Text, nullable=False),
    Column("root_expires", BigInteger, nullable=False),
    Column("token_expires", BigInteger, nullable=False),
)
Index("bindings_token_expires", bindings.c.token_expires)

task_owners = Table(
    "task_owners",
    state,
    Column("route", Text, primary_key=True),
    Column("task_id", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("origin", Text, nullable=False, server_default=""),
    Column("expires", BigInteger, nullable=False),
)
Index("task_owners_expires", task_owners.c.expires)

tool_pins = Table(
    "tool_pins",
    state,
    Column("server", Text, primary_key=True),
    Column("tool", Text, primary_key=True),
    Column("approved_digest", Text),
    Column("approved_document", LargeBinary),
    Column("approved_at", BigInteger, nullable=False),
    Column("found_digest", Text),
    Column("found_document", LargeBinary),
    Column("found_at", BigInteger, nullable=False),
)
"""Definitions of tools: the approved one, and another that waits for approval."""

single_use = Table(
    "single_use",
    state,
    Column("key", Text, primary_key=True),
    Column("expires", BigInteger, nullable=False),
)
Index("single_use_expires", single_use.c.expires)

handles = Table(
    "handles",
    state,
    Column("digest", Text, primary_key=True),
    Column("sealed", Text, nullable=False),
    Column("expires", BigInteger, nullable=False),
)
"""Chains that go on in a trace: SHA-256 of the handle, and the delegation that only its agent's handle opens."""
Index("handles_expires", handles.c.expires)
trust_bundles = Table(
    "trust_bundles",
    state,
    Column("trust_domain", Text, primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("digest", Text, nullable=False),
    Column("document", LargeBinary),
    Column("fetched", BigInteger, nullable=False),
)
"""The last good bundle document of each trust domain; of the own one only sequence and digest."""
revocations = Table(
    "revocations",
    state,
    Column("seq", _ENTRY, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("target", LargeBinary),
    Column("expires", BigInteger),
    Column("request_key", Text, unique=True),
    Column("request_digest", Text),
    sqlite_autoincrement=True,
)
"""Append-only: a revocation is a row ``made``, its lift a second one, ``lifted``, of the same ``id``."""

Index("revocations_event", revocations.c.id, revocations.c.event, unique=True)
live_chains = Table(
    "live_chains",
    state,
    Column("agent", Text, primary_key=True),
    Column("sub", Text, primary_key=True),
    Column("txn", Text, primary_key=True),
    Column("depth", Integer, nullable=False),
    Column("root_expires", BigInteger, nullable=False),
)
Index("live_chains_root_expires", live_chains.c.root_expires)
"""Agents that were delegated to, by SPIFFE ID, in chains that aren't over."""
signing_keys = Table(
    "signing_keys",
    state,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("kid", Text, nullable=False),
    Column("algorithm", Text, nullable=False),
    Column("sealed", Text, nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("signs_from", BigInteger, nullable=False),
    Column("distrusted_at", BigInteger, nullable=False),
)
"""Generated signing keys; ``sealed`` opens only with a secret that isn't in the database."""
upstream_tokens = Table(
    "upstream_tokens",
    state,
    Column("sub", Text, primary_key=True),
    Column("server", Text, primary_key=True),
    Column("sealed", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("consented", BigInteger, nullable=False),
    Column("renewed", BigInteger, nullable=False),
    Column("claimed_until", BigInteger, nullable=False),
)
"""Users' tokens of third-party servers, sealed with a key that isn't here."""
policy_versions = Table(
    "policy_versions",
    state,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("digest", Text, nullable=False),
    Column("bundle", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("by", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("comment", Text, nullable=False),
    Column("back_to", BigInteger),
    Column("files", LargeBinary, nullable=False),
)
"""Append-only. ``files`` is a JSON object: path → digest of its text."""

policy_texts = Table(
    "policy_texts",
    state,
    Column("digest", Text, primary_key=True),
    Column("text", Text, nullable=False),
)
"""Texts of policy files by their SHA-256, once for all versions that have them."""

approvals = Table(
    "approvals",
    state,
    Column("place", _ENTRY, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),
    Column("binding", Text, nullable=False),
    Column("slot", Text, unique=True),
    Column("whose", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("lapses", BigInteger),
    Column("ended_at", BigInteger),
    Column("document", LargeBinary, nullable=False),
    Column("sealed", Text),
    sqlite_autoincrement=True,
)
"""``document`` is the approval, the columns repeat of it what is searched. ``slot`` is the binding while it is open, so
that there is one; ``sealed`` the call's arguments until it is closed."""
Index("approvals_binding", approvals.c.binding, approvals.c.place)
Index("approvals_lapses", approvals.c.lapses)
Index("approvals_ended_at", approvals.c.ended_at)

kernel_nodes = Table(
    "kernel_nodes",
    state,
    Column("node", Text, primary_key=True),
    Column("generation", BigInteger, nullable=False),
    Column("content", Text, nullable=False),
    Column("event_time", BigInteger, nullable=False),
    Column("event_seq", BigInteger, nullable=False),
)
"""``content`` is a digest of the rules without their generation, so that equal rules keep it."""

webhook_letters = Table(
    "webhook_letters",
    state,
    Column("place", _ENTRY, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),
    Column("target", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("approval", Text, nullable=False),
    Column("notice", LargeBinary, nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("due", BigInteger, nullable=False),
    Column("give_up", BigInteger, nullable=False),
    Column("attempts", BigInteger, nullable=False),
    Column("standing", Text, nullable=False),
    Column("last_at", BigInteger),
    Column("detail", Text, nullable=False),
    sqlite_autoincrement=True,
)
"""What webhooks are told, one row for each event and target, written with the change that it tells of."""
Index("webhook_letters_due", webhook_letters.c.standing, webhook_letters.c.due)
