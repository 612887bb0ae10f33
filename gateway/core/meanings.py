"""What each reason code means, by its text: the words of refusals and of ``docs/REASONS.md``."""

from typing import NamedTuple


class Meaning(NamedTuple):
    """HTTP status, one sentence of meaning, and the next step for whoever reads it."""

    status: int
    text: str
    next_step: str


MEANINGS: dict[str, Meaning] = {
    "permitted": Meaning(200, "a policy permitted the call", ""),
    "token_missing": Meaning(
        401,
        "the route needs a user or hop token and none was sent",
        "send Authorization: Bearer with a token from an issuer named in the resource metadata",
    ),
    "token_malformed": Meaning(
        401,
        "the bearer token is not one well-formed, canonical JWS with unique claims",
        "obtain a fresh token; do not edit or re-encode it",
    ),
    "token_signature": Meaning(
        401,
        "the token's signature, algorithm or key id does not verify against its issuer's keys",
        "check the issuer's JWKS and the algorithms configured for it",
    ),
    "token_type": Meaning(
        401,
        "the token is of another type than an access token",
        "send an access token, not an ID token or a refresh token",
    ),
    "token_issuer": Meaning(
        401, "no configured issuer has issued the token", "add the issuer to the configuration, or use a configured one"
    ),
    "token_audience": Meaning(
        401,
        "the token was issued for another resource",
        "request a token for the resource URI in the resource metadata",
    ),
    "token_expired": Meaning(401, "the token is expired or not yet valid", "obtain a fresh token; check the clocks"),
    "token_claims": Meaning(
        401, "a required claim of the token is missing or of the wrong type", "check the issuer's token profile"
    ),
    "keys_unavailable": Meaning(
        503,
        "the issuer's keys could not be fetched, so the token can't be verified",
        "check that the gateway reaches the issuer's JWKS endpoint",
    ),
    "agent_unregistered": Meaning(
        403, "the certificate's SPIFFE ID is not a registered agent", "register the agent with its owner and attributes"
    ),
    "agent_suspended": Meaning(403, "the agent is registered but not active", "ask the agent's owner"),
    "certificate_expired": Meaning(
        403, "the client certificate expired while its connection was open", "reconnect with a current certificate"
    ),
    "trust_withdrawn": Meaning(
        403,
        "the root that vouched for the connection's certificate is no longer trusted",
        "reconnect with a current SVID",
    ),
    "identity_unavailable": Meaning(
        503, "the gateway has no certificate of its own at present", "check the source of the gateway's SVID"
    ),
    "forwarded_identity": Meaning(
        403,
        "the mesh proxy did not name exactly one workload that it may speak for",
        "let Envoy set x-forwarded-client-cert by SANITIZE_SET with uri: true, for callers that show an SVID",
    ),
    "workload_token": Meaning(
        403,
        "the JWT-SVID in Hopgate-Workload-Token does not prove its sender for this route",
        "fetch one from the Workload API whose only audience is the route's resource",
    ),
    "workload_token_spent": Meaning(
        403, "the JWT-SVID was presented before", "fetch one for each request; a fragment makes its audience new"
    ),
    "entry_point_required": Meaning(
        403,
        "the agent may not begin a chain: it is not an entry point for this client",
        "send the hop token that the agent received, or register the agent as an entry point",
    ),
    "root_token_bound": Meaning(
        403,
        "another agent presented this root token first",
        "give each entry agent a token of its own, or list them in shared_by; a delegate continues with its hop token",
    ),
    "chain_holder": Meaning(
        403,
        "the hop token was minted for another agent than the one presenting it",
        "an agent continues a chain only with the token it received itself",
    ),
    "chain_forged": Meaning(
        403, "the hop token's chain contradicts itself", "treat as an attack: see the record's agent and certificate"
    ),
    "chain_expired": Meaning(401, "the chain has reached the end of its life", "begin a new chain with a fresh token"),
    "depth_exceeded": Meaning(403, "the chain is longer than its maximum depth", "shorten the chain of delegations"),
    "continuation_refused": Meaning(
        403,
        "the agent or the route doesn't continue chains in this way",
        "see continuation of the agent's registry entry and of the route's settings",
    ),
    "handle_unknown": Meaning(
        403,
        "the handle in the trace continues no chain of this agent here",
        "pass on the trace of the delegation that is being worked on, and no other",
    ),
    "chain_conflict": Meaning(
        403,
        "the request's token and the handle in its trace are of different chains",
        "send the token and the trace of one delegation, or only one of the two",
    ),
    "token_request_invalid": Meaning(
        400, "the request to the token endpoint is not a valid one", "see the detail for the parameter"
    ),
    "grant_unsupported": Meaning(
        400, "the token endpoint doesn't have this grant_type", "use one of the issuer metadata's grant_types_supported"
    ),
    "client_mismatch": Meaning(
        401,
        "the token request names another client than the certificate proves",
        "leave client_id out, or send the SPIFFE ID of the certificate",
    ),
    "target_unknown": Meaning(
        400,
        "the token request doesn't name one resource that tokens are issued for",
        "send resource once, with the URI of the resource metadata",
    ),
    "scope_malformed": Meaning(
        400, "the requested scope is not a list of scopes", "send scopes with single spaces between them"
    ),
    "assertion_spent": Meaning(
        400,
        "the assertion of a peer gateway was redeemed before",
        "treat as an attack, unless the peer's client retries: each assertion is good for one token",
    ),
    "peer_refused": Meaning(
        502,
        "the gateway of another trust domain does not take the chain",
        "see the reason that it gave; its own record says more",
    ),
    "revoked": Meaning(
        403,
        "the agent, an agent of its chain, its user, the chain, or everything is revoked at present",
        "ask an operator, who sees why with hopgate revocations list",
    ),
    "token_revoked": Meaning(401, "the token, or the one that it was minted from, is revoked", "obtain a new one"),
    "revocations_unknown": Meaning(
        503, "the gateway can't tell whether something was revoked within the last second", "check the state store"
    ),
    "live_ancestry": Meaning(
        403,
        "the agent begins a chain while it works in another one, which its registration forbids",
        "continue with the hop token that the agent received, or wait until that chain is over",
    ),
    "no_permit": Meaning(403, "no policy permits the call", "see the near misses of the decision"),
    "forbidden": Meaning(403, "a policy forbids the call", "see the determining policies of the decision"),
    "approval_required": Meaning(403, "a person has to approve the call", "ask the groups named in the decision"),
    "approval_refused": Meaning(
        403, "a person has refused the call", "see the approval; don't send the call again unless something changed"
    ),
    "approval_expired": Meaning(
        403,
        "nobody decided in time, or what was approved was not used in time",
        "send the call again later to ask anew",
    ),
    "approval_cancelled": Meaning(403, "whoever asked for the approval has cancelled it", "send the call to ask anew"),
    "approval_spent": Meaning(
        403, "the approval was used: each is good for one execution", "send the call without its state to ask anew"
    ),
    "approval_unknown": Meaning(
        403,
        "the approved call was sent, and how it ended is not known; it is not sent again",
        "look at the upstream whether it was done before asking anew",
    ),
    "approval_limit": Meaning(
        429, "the caller has as many approvals waiting as it may have", "wait for a decision, or cancel one"
    ),
    "own_approval": Meaning(403, "nobody approves a call that is made for them", "ask another member of the group"),
    "webhook_signature": Meaning(
        401,
        "the webhook is not signed by a key of its integration, or not at this time",
        "check the integration's secrets, its clock, and that nothing changes the body on its way",
    ),
    "webhook_replayed": Meaning(
        409, "the same webhook came before", "sign each attempt anew, with the same id and the time of the attempt"
    ),
    "webhook_person": Meaning(
        403,
        "the integration names nobody that it is configured to speak for",
        "add the person to the integration's people, and to the registry",
    ),
    "not_approver": Meaning(
        403, "the caller is in none of the groups that may decide now", "ask a member of the approval's groups"
    ),
    "insufficient_scope": Meaning(
        403, "the user's token lacks a scope that the call needs", "request the scopes named in the challenge"
    ),
    "scope_ceiling": Meaning(
        403,
        "the call needs a scope that this chain can't have",
        "grant the scope to every agent of the chain and to the user's issuer mapping",
    ),
    "policy_error": Meaning(
        403,
        "the policies could not be evaluated, so the call is denied",
        "see the decision's error; the bundle or the registry needs mending",
    ),
    "http_malformed": Meaning(
        400, "the request is not one well-formed HTTP/1.1 message within the limits", "use a conforming HTTP client"
    ),
    "route_unknown": Meaning(
        404, "no route has this path", "use /mcp/<server> or /a2a/<agent> of a registered server or agent"
    ),
    "host_forbidden": Meaning(403, "the Host header names another host", "use the gateway's configured URL"),
    "origin_forbidden": Meaning(403, "the Origin header is not allowed", "add the origin to the listener's origins"),
    "http_method": Meaning(405, "the route does not have this HTTP method", "use the methods of the Allow header"),
    "header_duplicate": Meaning(
        400, "a header that must be sent once was sent more often", "send exactly one of the named header"
    ),
    "header_mismatch": Meaning(
        400, "a protocol header is missing or differs from the body", "let the SDK set the header from the body"
    ),
    "content_type": Meaning(
        415, "the request's media type or coding is not served", "send application/json, uncompressed"
    ),
    "body_malformed": Meaning(400, "the body is not one strict JSON value", "send UTF-8 JSON with unique keys"),
    "body_too_large": Meaning(413, "the body is larger than the limit", "send less, or raise the limit"),
    "body_slow": Meaning(408, "the body did not arrive in time", "send it faster, or raise the limit"),
    "batch_refused": Meaning(400, "JSON-RPC batches are not served", "send one message a request"),
    "message_invalid": Meaning(400, "the message is not a valid one of its protocol", "see the detail"),
    "version_unsupported": Meaning(
        400, "the protocol version is not served", "use a version named in the error's data"
    ),
    "capability_missing": Meaning(
        400,
        "the call takes a capability that the client does not declare",
        "call with a client that has the capability, and declares it",
    ),
    "method_unknown": Meaning(404, "the protocol has no such method", "check the method's spelling"),
    "not_supported_yet": Meaning(501, "the gateway does not carry this method yet", "see the list of served methods"),
    "tool_unknown": Meaning(403, "the tool is not registered for this server", "register the tool with its attributes"),
    "tool_quarantined": Meaning(
        403,
        "the server's definition of the tool is not the approved one",
        "compare them with hopgate tools diff, then hopgate tools approve, or mend the server",
    ),
    "arguments_invalid": Meaning(
        400, "the call's arguments do not fit the tool's registered definition", "see the detail for the path"
    ),
    "session_unknown": Meaning(404, "the session is not one of this caller on this route", "initialize again"),
    "task_unknown": Meaning(404, "the task is not one of this caller on this route", "use the id that send returned"),
    "too_many_streams": Meaning(429, "the limit of concurrent streams is reached", "close a stream and retry"),
    "too_many_requests": Meaning(
        429,
        "a quota of requests is used up",
        "wait as long as Retry-After says, or ask for more under quotas",
    ),
    "too_many_calls": Meaning(
        429,
        "a quota of concurrent calls is used up",
        "wait until a call or stream has ended, then retry",
    ),
    "too_many_bytes": Meaning(
        429,
        "a quota of bytes is used up",
        "wait as long as Retry-After says; a stream that ended for this has done its work up to there",
    ),
    "too_many_refused": Meaning(
        429,
        "too many requests of this peer were refused before there was anything to decide",
        "mend what they were refused for, then wait as long as Retry-After says",
    ),
    "not_found": Meaning(404, "the admin API has no such thing", "list what there is, and look at the id"),
    "conflict": Meaning(409, "it contradicts what was done before", "see the detail"),
    "precondition_failed": Meaning(412, "it was changed since it was read", "read it again, then decide"),
    "policies_invalid": Meaning(
        422, "the policies can't be used, or a test of theirs fails", "mend every problem that is listed, then publish"
    ),
    "upstream_unreachable": Meaning(
        502, "no connection to the upstream could be made", "check that the upstream runs and that its URL is right"
    ),
    "upstream_identity": Meaning(
        502,
        "the upstream's certificate is not the registered SPIFFE ID's",
        "check the upstream's SVID and registration",
    ),
    "upstream_timeout": Meaning(504, "the upstream did not answer in time", "retry later, or raise the limit"),
    "upstream_reset": Meaning(
        502, "the upstream closed the connection before its answer ended", "see the upstream's log"
    ),
    "upstream_malformed": Meaning(
        502, "the upstream's answer is not a valid one of its protocol", "see the upstream's log"
    ),
    "upstream_too_large": Meaning(502, "the upstream's answer is larger than the limit", "raise the limit"),
    "upstream_status": Meaning(502, "the upstream answered with an HTTP error of its own", "see the upstream's log"),
    "upstream_credential": Meaning(
        502,
        "the third-party upstream's credential could not be had, or the upstream refused it",
        "see the detail; check the client that the gateway is registered as, and the upstream's oauth section",
    ),
    "upstream_issuer_unavailable": Meaning(
        503,
        "the authorization server of the third-party upstream can't be asked",
        "check that the gateway reaches the issuer named in the upstream's oauth section",
    ),
    "upstream_echo": Meaning(
        502,
        "the upstream's answer holds the gateway's own credential for it, and is withheld",
        "tell the upstream's owner; renew the credential",
    ),
    "consent_required": Meaning(
        403,
        "the user has not let the gateway use the third-party server in their name",
        "the user opens the link in the error's data, then the call is made again",
    ),
    "consent_user": Meaning(
        403,
        "somebody else than the user of the call tried to consent",
        "open the link in a browser where that user is logged in",
    ),
    "consent_invalid": Meaning(
        400,
        "the link or the answer of an authorization server is forged, used or too old",
        "make the call again for a fresh link",
    ),
    "client_closed": Meaning(499, "the client closed the connection before the answer ended", ""),
    "lease_ended": Meaning(403, "the stream's token, certificate or chain ended", "open the stream again"),
    "draining": Meaning(503, "the gateway is stopping", "retry; another instance will answer"),
    "kernel_denied": Meaning(
        403, "the kernel of the agent's machine refused it", "see the policy named, and hopgate policy compile"
    ),
    "kernel_would_deny": Meaning(
        403,
        "the kernel of the agent's machine would refuse it, but the class is in audit mode",
        "mend the policy or the agent before audit is switched off",
    ),
    "kernel_events": Meaning(
        503,
        "events of a kernel loader have no record of their own, since there were too many or they were lost",
        "find out what the agent tries so often; see kernel.events_per_second",
    ),
    "kernel_shadow": Meaning(
        403,
        "processes in an agent's cgroup belong to no registered class; denied: they are in quarantine",
        "find out who started them; register their cgroup for a class, or stop them",
    ),
    "audit_unavailable": Meaning(
        503, "the decision could not be recorded, so nothing was forwarded", "check the audit store"
    ),
    "store_unavailable": Meaning(503, "the state store can't be asked, so the call is denied", "check the store"),
    "internal_error": Meaning(
        500, "the gateway failed; nothing was forwarded after the failure", "see the log by decision id"
    ),
}
