"""The closed list of reason codes. Every record, reply, metric and span uses one of these.

A reason says *why* a hop ended as it did. It decides the default HTTP status and carries the
next step that a person reads; the shape of the reply is the protocol's business.
``docs/REASONS.md`` is generated from this table.
"""

from enum import StrEnum
from typing import NamedTuple


class Meaning(NamedTuple):
    """HTTP status, one sentence of meaning, and the next step for whoever reads it."""

    status: int
    text: str
    next_step: str


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
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    PRECONDITION_FAILED = "precondition_failed"

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
    AUDIT_UNAVAILABLE = "audit_unavailable"
    STORE_UNAVAILABLE = "store_unavailable"
    INTERNAL_ERROR = "internal_error"

    @property
    def meaning(self) -> Meaning:
        """Status, text and next step of this code."""
        return _MEANINGS[self]

    @property
    def status(self) -> int:
        """Default HTTP status of a reply that ends for this reason."""
        return _MEANINGS[self].status


_MEANINGS: dict[Reason, Meaning] = {
    Reason.PERMITTED: Meaning(200, "a policy permitted the call", ""),
    Reason.TOKEN_MISSING: Meaning(
        401,
        "the route needs a user or hop token and none was sent",
        "send Authorization: Bearer with a token from an issuer named in the resource metadata",
    ),
    Reason.TOKEN_MALFORMED: Meaning(
        401,
        "the bearer token is not one well-formed, canonical JWS with unique claims",
        "obtain a fresh token; do not edit or re-encode it",
    ),
    Reason.TOKEN_SIGNATURE: Meaning(
        401,
        "the token's signature, algorithm or key id does not verify against its issuer's keys",
        "check the issuer's JWKS and the algorithms configured for it",
    ),
    Reason.TOKEN_TYPE: Meaning(
        401,
        "the token is of another type than an access token",
        "send an access token, not an ID token or a refresh token",
    ),
    Reason.TOKEN_ISSUER: Meaning(
        401, "no configured issuer has issued the token", "add the issuer to the configuration, or use a configured one"
    ),
    Reason.TOKEN_AUDIENCE: Meaning(
        401,
        "the token was issued for another resource",
        "request a token for the resource URI in the resource metadata",
    ),
    Reason.TOKEN_EXPIRED: Meaning(
        401, "the token is expired or not yet valid", "obtain a fresh token; check the clocks"
    ),
    Reason.TOKEN_CLAIMS: Meaning(
        401, "a required claim of the token is missing or of the wrong type", "check the issuer's token profile"
    ),
    Reason.KEYS_UNAVAILABLE: Meaning(
        503,
        "the issuer's keys could not be fetched, so the token can't be verified",
        "check that the gateway reaches the issuer's JWKS endpoint",
    ),
    Reason.AGENT_UNREGISTERED: Meaning(
        403, "the certificate's SPIFFE ID is not a registered agent", "register the agent with its owner and attributes"
    ),
    Reason.AGENT_SUSPENDED: Meaning(403, "the agent is registered but not active", "ask the agent's owner"),
    Reason.CERTIFICATE_EXPIRED: Meaning(
        403, "the client certificate expired while its connection was open", "reconnect with a current certificate"
    ),
    Reason.TRUST_WITHDRAWN: Meaning(
        403,
        "the root that vouched for the connection's certificate is no longer trusted",
        "reconnect with a current SVID",
    ),
    Reason.IDENTITY_UNAVAILABLE: Meaning(
        503, "the gateway has no certificate of its own at present", "check the source of the gateway's SVID"
    ),
    Reason.FORWARDED_IDENTITY: Meaning(
        403,
        "the mesh proxy did not name exactly one workload that it may speak for",
        "let Envoy set x-forwarded-client-cert by SANITIZE_SET with uri: true, for callers that show an SVID",
    ),
    Reason.WORKLOAD_TOKEN: Meaning(
        403,
        "the JWT-SVID in Hopgate-Workload-Token does not prove its sender for this route",
        "fetch one from the Workload API whose only audience is the route's resource",
    ),
    Reason.WORKLOAD_TOKEN_SPENT: Meaning(
        403, "the JWT-SVID was presented before", "fetch one for each request; a fragment makes its audience new"
    ),
    Reason.ENTRY_POINT_REQUIRED: Meaning(
        403,
        "the agent may not begin a chain: it is not an entry point for this client",
        "send the hop token that the agent received, or register the agent as an entry point",
    ),
    Reason.ROOT_TOKEN_BOUND: Meaning(
        403,
        "another agent presented this root token first",
        "give each entry agent a token of its own, or list them in shared_by; a delegate continues with its hop token",
    ),
    Reason.CHAIN_HOLDER: Meaning(
        403,
        "the hop token was minted for another agent than the one presenting it",
        "an agent continues a chain only with the token it received itself",
    ),
    Reason.CHAIN_FORGED: Meaning(
        403, "the hop token's chain contradicts itself", "treat as an attack: see the record's agent and certificate"
    ),
    Reason.CHAIN_EXPIRED: Meaning(
        401, "the chain has reached the end of its life", "begin a new chain with a fresh token"
    ),
    Reason.DEPTH_EXCEEDED: Meaning(
        403, "the chain is longer than its maximum depth", "shorten the chain of delegations"
    ),
    Reason.CONTINUATION_REFUSED: Meaning(
        403,
        "the agent or the route doesn't continue chains in this way",
        "see continuation of the agent's registry entry and of the route's settings",
    ),
    Reason.HANDLE_UNKNOWN: Meaning(
        403,
        "the handle in the trace continues no chain of this agent here",
        "pass on the trace of the delegation that is being worked on, and no other",
    ),
    Reason.CHAIN_CONFLICT: Meaning(
        403,
        "the request's token and the handle in its trace are of different chains",
        "send the token and the trace of one delegation, or only one of the two",
    ),
    Reason.TOKEN_REQUEST_INVALID: Meaning(
        400, "the request to the token endpoint is not a valid one", "see the detail for the parameter"
    ),
    Reason.GRANT_UNSUPPORTED: Meaning(
        400, "the token endpoint doesn't have this grant_type", "use one of the issuer metadata's grant_types_supported"
    ),
    Reason.CLIENT_MISMATCH: Meaning(
        401,
        "the token request names another client than the certificate proves",
        "leave client_id out, or send the SPIFFE ID of the certificate",
    ),
    Reason.TARGET_UNKNOWN: Meaning(
        400,
        "the token request doesn't name one resource that tokens are issued for",
        "send resource once, with the URI of the resource metadata",
    ),
    Reason.SCOPE_MALFORMED: Meaning(
        400, "the requested scope is not a list of scopes", "send scopes with single spaces between them"
    ),
    Reason.ASSERTION_SPENT: Meaning(
        400,
        "the assertion of a peer gateway was redeemed before",
        "treat as an attack, unless the peer's client retries: each assertion is good for one token",
    ),
    Reason.PEER_REFUSED: Meaning(
        502,
        "the gateway of another trust domain does not take the chain",
        "see the reason that it gave; its own record says more",
    ),
    Reason.REVOKED: Meaning(
        403,
        "the agent, an agent of its chain, its user, the chain, or everything is revoked at present",
        "ask an operator, who sees why with hopgate revocations list",
    ),
    Reason.TOKEN_REVOKED: Meaning(401, "the token, or the one that it was minted from, is revoked", "obtain a new one"),
    Reason.REVOCATIONS_UNKNOWN: Meaning(
        503, "the gateway can't tell whether something was revoked within the last second", "check the state store"
    ),
    Reason.LIVE_ANCESTRY: Meaning(
        403,
        "the agent begins a chain while it works in another one, which its registration forbids",
        "continue with the hop token that the agent received, or wait until that chain is over",
    ),
    Reason.NO_PERMIT: Meaning(403, "no policy permits the call", "see the near misses of the decision"),
    Reason.FORBIDDEN: Meaning(403, "a policy forbids the call", "see the determining policies of the decision"),
    Reason.APPROVAL_REQUIRED: Meaning(403, "a person has to approve the call", "ask the groups named in the decision"),
    Reason.INSUFFICIENT_SCOPE: Meaning(
        403, "the user's token lacks a scope that the call needs", "request the scopes named in the challenge"
    ),
    Reason.SCOPE_CEILING: Meaning(
        403,
        "the call needs a scope that this chain can't have",
        "grant the scope to every agent of the chain and to the user's issuer mapping",
    ),
    Reason.POLICY_ERROR: Meaning(
        403,
        "the policies could not be evaluated, so the call is denied",
        "see the decision's error; the bundle or the registry needs mending",
    ),
    Reason.HTTP_MALFORMED: Meaning(
        400, "the request is not one well-formed HTTP/1.1 message within the limits", "use a conforming HTTP client"
    ),
    Reason.ROUTE_UNKNOWN: Meaning(
        404, "no route has this path", "use /mcp/<server> or /a2a/<agent> of a registered server or agent"
    ),
    Reason.HOST_FORBIDDEN: Meaning(403, "the Host header names another host", "use the gateway's configured URL"),
    Reason.ORIGIN_FORBIDDEN: Meaning(
        403, "the Origin header is not allowed", "add the origin to the listener's origins"
    ),
    Reason.HTTP_METHOD: Meaning(405, "the route does not have this HTTP method", "use the methods of the Allow header"),
    Reason.HEADER_DUPLICATE: Meaning(
        400, "a header that must be sent once was sent more often", "send exactly one of the named header"
    ),
    Reason.HEADER_MISMATCH: Meaning(
        400, "a protocol header is missing or differs from the body", "let the SDK set the header from the body"
    ),
    Reason.CONTENT_TYPE: Meaning(
        415, "the request's media type or coding is not served", "send application/json, uncompressed"
    ),
    Reason.BODY_MALFORMED: Meaning(400, "the body is not one strict JSON value", "send UTF-8 JSON with unique keys"),
    Reason.BODY_TOO_LARGE: Meaning(413, "the body is larger than the limit", "send less, or raise the limit"),
    Reason.BODY_SLOW: Meaning(408, "the body did not arrive in time", "send it faster, or raise the limit"),
    Reason.BATCH_REFUSED: Meaning(400, "JSON-RPC batches are not served", "send one message a request"),
    Reason.MESSAGE_INVALID: Meaning(400, "the message is not a valid one of its protocol", "see the detail"),
    Reason.VERSION_UNSUPPORTED: Meaning(
        400, "the protocol version is not served", "use a version named in the error's data"
    ),
    Reason.CAPABILITY_MISSING: Meaning(
        400,
        "the call takes a capability that the client does not declare",
        "call with a client that has the capability, and declares it",
    ),
    Reason.METHOD_UNKNOWN: Meaning(404, "the protocol has no such method", "check the method's spelling"),
    Reason.NOT_SUPPORTED_YET: Meaning(
        501, "the gateway does not carry this method yet", "see the list of served methods"
    ),
    Reason.TOOL_UNKNOWN: Meaning(
        403, "the tool is not registered for this server", "register the tool with its attributes"
    ),
    Reason.TOOL_QUARANTINED: Meaning(
        403,
        "the server's definition of the tool is not the approved one",
        "compare them with hopgate tools diff, then hopgate tools approve, or mend the server",
    ),
    Reason.ARGUMENTS_INVALID: Meaning(
        400, "the call's arguments do not fit the tool's registered definition", "see the detail for the path"
    ),
    Reason.SESSION_UNKNOWN: Meaning(404, "the session is not one of this caller on this route", "initialize again"),
    Reason.TASK_UNKNOWN: Meaning(
        404, "the task is not one of this caller on this route", "use the id that send returned"
    ),
    Reason.TOO_MANY_STREAMS: Meaning(429, "the limit of concurrent streams is reached", "close a stream and retry"),
    Reason.NOT_FOUND: Meaning(404, "the admin API has no such thing", "list what there is, and look at the id"),
    Reason.CONFLICT: Meaning(409, "it contradicts what was done before", "see the detail"),
    Reason.PRECONDITION_FAILED: Meaning(412, "it was changed since it was read", "read it again, then decide"),
    Reason.UPSTREAM_UNREACHABLE: Meaning(
        502, "no connection to the upstream could be made", "check that the upstream runs and that its URL is right"
    ),
    Reason.UPSTREAM_IDENTITY: Meaning(
        502,
        "the upstream's certificate is not the registered SPIFFE ID's",
        "check the upstream's SVID and registration",
    ),
    Reason.UPSTREAM_TIMEOUT: Meaning(504, "the upstream did not answer in time", "retry later, or raise the limit"),
    Reason.UPSTREAM_RESET: Meaning(
        502, "the upstream closed the connection before its answer ended", "see the upstream's log"
    ),
    Reason.UPSTREAM_MALFORMED: Meaning(
        502, "the upstream's answer is not a valid one of its protocol", "see the upstream's log"
    ),
    Reason.UPSTREAM_TOO_LARGE: Meaning(502, "the upstream's answer is larger than the limit", "raise the limit"),
    Reason.UPSTREAM_STATUS: Meaning(
        502, "the upstream answered with an HTTP error of its own", "see the upstream's log"
    ),
    Reason.UPSTREAM_CREDENTIAL: Meaning(
        502,
        "the third-party upstream's credential could not be had, or the upstream refused it",
        "see the detail; check the client that the gateway is registered as, and the upstream's oauth section",
    ),
    Reason.UPSTREAM_ISSUER_UNAVAILABLE: Meaning(
        503,
        "the authorization server of the third-party upstream can't be asked",
        "check that the gateway reaches the issuer named in the upstream's oauth section",
    ),
    Reason.UPSTREAM_ECHO: Meaning(
        502,
        "the upstream's answer holds the gateway's own credential for it, and is withheld",
        "tell the upstream's owner; renew the credential",
    ),
    Reason.CONSENT_REQUIRED: Meaning(
        403,
        "the user has not let the gateway use the third-party server in their name",
        "the user opens the link in the error's data, then the call is made again",
    ),
    Reason.CONSENT_USER: Meaning(
        403,
        "somebody else than the user of the call tried to consent",
        "open the link in a browser where that user is logged in",
    ),
    Reason.CONSENT_INVALID: Meaning(
        400,
        "the link or the answer of an authorization server is forged, used or too old",
        "make the call again for a fresh link",
    ),
    Reason.CLIENT_CLOSED: Meaning(499, "the client closed the connection before the answer ended", ""),
    Reason.LEASE_ENDED: Meaning(403, "the stream's token, certificate or chain ended", "open the stream again"),
    Reason.DRAINING: Meaning(503, "the gateway is stopping", "retry; another instance will answer"),
    Reason.AUDIT_UNAVAILABLE: Meaning(
        503, "the decision could not be recorded, so nothing was forwarded", "check the audit store"
    ),
    Reason.STORE_UNAVAILABLE: Meaning(503, "the state store can't be asked, so the call is denied", "check the store"),
    Reason.INTERNAL_ERROR: Meaning(
        500, "the gateway failed; nothing was forwarded after the failure", "see the log by decision id"
    ),
}
