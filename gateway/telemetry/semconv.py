"""Names of span attributes, spans, metrics and log fields, in one place.

From the OpenTelemetry semantic conventions for MCP, GenAI and RPC where they have a name; ours begin
with ``hopgate.``. Names only: who sets them, and whether a value may be told, is decided elsewhere.
"""

from typing import Final

SERVICE_NAME: Final = "service.name"
SERVICE_VERSION: Final = "service.version"
SERVICE_INSTANCE_ID: Final = "service.instance.id"
ERROR_TYPE: Final = "error.type"
HTTP_REQUEST_METHOD: Final = "http.request.method"
SERVER_ADDRESS: Final = "server.address"
HTTP_RESPONSE_STATUS_CODE: Final = "http.response.status_code"

JSONRPC_REQUEST_ID: Final = "jsonrpc.request.id"
MCP_METHOD_NAME: Final = "mcp.method.name"
MCP_PROTOCOL_VERSION: Final = "mcp.protocol.version"
GEN_AI_TOOL_NAME: Final = "gen_ai.tool.name"
A2A_METHOD_NAME: Final = "a2a.method.name"
A2A_PROTOCOL_VERSION: Final = "a2a.protocol.version"

HOPGATE_DECISION_ID: Final = "hopgate.decision.id"
HOPGATE_VERDICT: Final = "hopgate.decision.verdict"
HOPGATE_REASON: Final = "hopgate.decision.reason"
HOPGATE_POLICY_IDS: Final = "hopgate.policy.ids"
HOPGATE_MATCHED: Final = "hopgate.policy.matched"
"""Paths of the matched attributes with their values; argument values only where the route records them."""
HOPGATE_BUNDLE: Final = "hopgate.policy.bundle"
HOPGATE_GENERATION: Final = "hopgate.generation"
HOPGATE_PROTOCOL: Final = "hopgate.protocol"
HOPGATE_ROUTE: Final = "hopgate.route"
HOPGATE_ACTION: Final = "hopgate.action"
HOPGATE_RESOURCE: Final = "hopgate.resource"
HOPGATE_AGENT: Final = "hopgate.agent.name"
HOPGATE_AGENT_SPIFFE_ID: Final = "hopgate.agent.spiffe_id"
HOPGATE_AGENT_OWNER: Final = "hopgate.agent.owner"
HOPGATE_AGENT_TEAM: Final = "hopgate.agent.team"
HOPGATE_SUBJECT: Final = "hopgate.chain.subject"
HOPGATE_TXN: Final = "hopgate.chain.txn"
HOPGATE_DEPTH: Final = "hopgate.chain.depth"
HOPGATE_ACTORS: Final = "hopgate.chain.actors"
HOPGATE_VIA: Final = "hopgate.chain.via"
HOPGATE_REENTRY: Final = "hopgate.chain.reentry"
HOPGATE_STREAM_EVENTS: Final = "hopgate.stream.events"

SPAN_AUTHORIZE: Final = "authorize"
SPAN_UPSTREAM: Final = "upstream"
SPAN_REDEEM: Final = "redeem"

LOG_TRACE_ID: Final = "trace_id"
LOG_DECISION_ID: Final = "decision_id"

METRIC_DECISIONS: Final = "hopgate_decisions"
METRIC_STAGE_SECONDS: Final = "hopgate_stage_seconds"
METRIC_HANDSHAKES_REFUSED: Final = "hopgate_handshakes_refused"
METRIC_REFUSED_UNRECORDED: Final = "hopgate_refused_unrecorded"
METRIC_STREAMS: Final = "hopgate_streams_open"
METRIC_TOKENS_MINTED: Final = "hopgate_tokens_minted"
METRIC_TOKEN_REQUESTS: Final = "hopgate_token_requests"
METRIC_AUDIT_RECORDS: Final = "hopgate_audit_records"
METRIC_AUDIT_COMMIT_SECONDS: Final = "hopgate_audit_commit_seconds"
METRIC_AUDIT_PENDING: Final = "hopgate_audit_pending_records"
METRIC_AUDIT_FAILURES: Final = "hopgate_audit_failures"
METRIC_POLICY_LAST_EVALUATED: Final = "hopgate_policy_last_evaluated_timestamp_seconds"
METRIC_GENERATION: Final = "hopgate_snapshot_generation"
METRIC_SNAPSHOT_FAILURES: Final = "hopgate_snapshot_failures"
METRIC_IDENTITY_EXPIRES: Final = "hopgate_identity_expires_timestamp_seconds"
METRIC_IDENTITY_FAILURES: Final = "hopgate_identity_failures"
METRIC_UPSTREAM_ERRORS: Final = "hopgate_upstream_errors"
METRIC_TOOLS_CHANGED: Final = "hopgate_tool_definitions_changed"
METRIC_BUNDLE_FETCHED: Final = "hopgate_trust_bundle_fetched_timestamp_seconds"
METRIC_BUNDLE_FAILURES: Final = "hopgate_trust_bundle_failures"
METRIC_BUILD: Final = "hopgate_build"


def hop_span_name(method: str, target: str = "") -> str:
    """``{method} {target}``, e.g. ``tools/call read_balance`` (MCP conventions, span name)."""
    return f"{method} {target}" if target else method
