"""The closed list of reason codes. Every record, reply, metric and span uses one of these.

A reason says *why* a hop ended as it did. It decides the default HTTP status and carries the
next step that a person reads; the shape of the reply is the protocol's business.
``docs/REASONS.md`` is generated from it and ``core.meanings``.
"""

from enum import StrEnum

from gateway.core.meanings import MEANINGS, Meaning


class Reason(StrEnum):
    """A closed reason code; ``meaning`` gives status, text and next step."""

    PERMITTED = "permitted"

    TOKEN_MISSING = "token_missing"
    TOKEN_MALFORMED = "token_malformed"
    TOKEN_SIGNATURE = "token_signature"
    TOKEN_TYPE = "token_type"
    TOKEN_ISSUER = "token_issuer"
    TOKEN_AUDIENCE = "token_audience"
    TOKEN_EXPIRED = "token_expired"
    TOKEN_CLAIMS = "token_claims"
    KEYS_UNAVAILABLE = "keys_unavailable"

    AGENT_UNREGISTERED = "agent_unregistered"
    AGENT_SUSPENDED = "agent_suspended"
    CERTIFICATE_EXPIRED = "certificate_expired"
    TRUST_WITHDRAWN = "trust_withdrawn"
    IDENTITY_UNAVAILABLE = "identity_unavailable"
    FORWARDED_IDENTITY = "forwarded_identity"
    WORKLOAD_TOKEN = "workload_token"
    WORKLOAD_TOKEN_SPENT = "workload_token_spent"

    ENTRY_POINT_REQUIRED = "entry_point_required"
    ROOT_TOKEN_BOUND = "root_token_bound"
    CHAIN_HOLDER = "chain_holder"
    CHAIN_FORGED = "chain_forged"
    CHAIN_EXPIRED = "chain_expired"
    DEPTH_EXCEEDED = "depth_exceeded"
    CONTINUATION_REFUSED = "continuation_refused"
    HANDLE_UNKNOWN = "handle_unknown"
    CHAIN_CONFLICT = "chain_conflict"

    TOKEN_REQUEST_INVALID = "token_request_invalid"
    GRANT_UNSUPPORTED = "grant_unsupported"
    CLIENT_MISMATCH = "client_mismatch"
    TARGET_UNKNOWN = "target_unknown"
    SCOPE_MALFORMED = "scope_malformed"

    ASSERTION_SPENT = "assertion_spent"
    PEER_REFUSED = "peer_refused"

    REVOKED = "revoked"
    TOKEN_REVOKED = "token_revoked"
    REVOCATIONS_UNKNOWN = "revocations_unknown"
    LIVE_ANCESTRY = "live_ancestry"

    NO_PERMIT = "no_permit"
    FORBIDDEN = "forbidden"
    APPROVAL_REQUIRED = "approval_required"
    APPROVAL_REFUSED = "approval_refused"
    APPROVAL_EXPIRED = "approval_expired"
    APPROVAL_CANCELLED = "approval_cancelled"
    APPROVAL_SPENT = "approval_spent"
    APPROVAL_UNKNOWN = "approval_unknown"
    APPROVAL_LIMIT = "approval_limit"
    OWN_APPROVAL = "own_approval"
    NOT_APPROVER = "not_approver"
    WEBHOOK_SIGNATURE = "webhook_signature"
    WEBHOOK_REPLAYED = "webhook_replayed"
    WEBHOOK_PERSON = "webhook_person"
    INSUFFICIENT_SCOPE = "insufficient_scope"
    SCOPE_CEILING = "scope_ceiling"
    POLICY_ERROR = "policy_error"

    HTTP_MALFORMED = "http_malformed"
    ROUTE_UNKNOWN = "route_unknown"
    HOST_FORBIDDEN = "host_forbidden"
    ORIGIN_FORBIDDEN = "origin_forbidden"
    HTTP_METHOD = "http_method"
    HEADER_DUPLICATE = "header_duplicate"
    HEADER_MISMATCH = "header_mismatch"
    CONTENT_TYPE = "content_type"
    BODY_MALFORMED = "body_malformed"
    BODY_TOO_LARGE = "body_too_large"
    BODY_SLOW = "body_slow"
    BATCH_REFUSED = "batch_refused"
    MESSAGE_INVALID = "message_invalid"
    VERSION_UNSUPPORTED = "version_unsupported"
    CAPABILITY_MISSING = "capability_missing"
    METHOD_UNKNOWN = "method_unknown"
    NOT_SUPPORTED_YET = "not_supported_yet"
    TOOL_UNKNOWN = "tool_unknown"
    TOOL_QUARANTINED = "tool_quarantined"
    ARGUMENTS_INVALID = "arguments_invalid"
    SESSION_UNKNOWN = "session_unknown"
    TASK_UNKNOWN = "task_unknown"
    TOO_MANY_STREAMS = "too_many_streams"
    TOO_MANY_REQUESTS = "too_many_requests"
    TOO_MANY_CALLS = "too_many_calls"
    TOO_MANY_BYTES = "too_many_bytes"
    TOO_MANY_REFUSED = "too_many_refused"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    PRECONDITION_FAILED = "precondition_failed"
    POLICIES_INVALID = "policies_invalid"

    UPSTREAM_UNREACHABLE = "upstream_unreachable"
    UPSTREAM_IDENTITY = "upstream_identity"
    UPSTREAM_TIMEOUT = "upstream_timeout"
    UPSTREAM_RESET = "upstream_reset"
    UPSTREAM_MALFORMED = "upstream_malformed"
    UPSTREAM_TOO_LARGE = "upstream_too_large"
    UPSTREAM_STATUS = "upstream_status"
    UPSTREAM_CREDENTIAL = "upstream_credential"
    UPSTREAM_ISSUER_UNAVAILABLE = "upstream_issuer_unavailable"
    UPSTREAM_ECHO = "upstream_echo"

    CONSENT_REQUIRED = "consent_required"
    CONSENT_USER = "consent_user"
    CONSENT_INVALID = "consent_invalid"

    CLIENT_CLOSED = "client_closed"
    LEASE_ENDED = "lease_ended"
    DRAINING = "draining"
    KERNEL_DENIED = "kernel_denied"
    KERNEL_WOULD_DENY = "kernel_would_deny"
    KERNEL_EVENTS = "kernel_events"
    KERNEL_SHADOW = "kernel_shadow"
    AUDIT_UNAVAILABLE = "audit_unavailable"
    STORE_UNAVAILABLE = "store_unavailable"
    INTERNAL_ERROR = "internal_error"

    @property
    def meaning(self) -> Meaning:
        """Status, text and next step of this code."""
        return MEANINGS[self]

    @property
    def status(self) -> int:
        """Default HTTP status of a reply that ends for this reason."""
        return MEANINGS[self].status
