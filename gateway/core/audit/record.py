"""The provenance records: who did what for whom, which policy let them, and how it ended.

Shapes only; ``build`` fills them from a hop, ``chain`` orders and links them. No field holds a token,
cookie or key. The JSON Schema of these types is ``schemas/audit.schema.json``.
"""

from typing import Literal

import msgspec
from msgspec import Raw, Struct, field

from gateway.core.audit.canonical import Digest
from gateway.core.model import Effect, Forwarder, Proof, Tier, Uid, Usage, Way
from gateway.core.reasons import Reason

Verdict = Literal["permit", "ask", "deny"]


class Record(Struct, frozen=True, kw_only=True, tag_field="kind"):
    """One entry of the audit log; the tag ``kind`` says which."""

    id: str
    """The decision id for a decision or refusal; other kinds derive theirs."""
    at: int
    """Unix milliseconds."""
    hop: str = ""
    """Decision id of the hop; empty for what belongs to the log itself."""
    writer: str = ""
    """``<instance>/<worker>/<boot>``, given by the log when the record is chained."""
    seq: int = 0
    """Position in the writer's chain; 0 is its genesis."""


class Head(Struct, frozen=True):
    """The end of a writer's chain at one moment."""

    writer: str
    seq: int
    link: str
    """Lowercase hex of the SHA-256 link."""


class GenesisRecord(Record, frozen=True, kw_only=True, tag="genesis"):
    """The first record of a boot."""

    predecessor: Head | None = None
    """Where the previous boot of the same log ended; None in a new log."""


class CheckpointRecord(Record, frozen=True, kw_only=True, tag="checkpoint"):
    """A signed statement of where every chain ended; kept off the host it proves what was there."""

    heads: tuple[Head, ...]
    """The signing writer's own head first."""
    key_id: str
    signature: str
    """Lowercase hex of the Ed25519 signature over ``chain.signed_bytes``."""


class Workload(Struct, frozen=True, kw_only=True):
    """The verified caller and who answers for it."""

    spiffe_id: str
    x5t: str
    """RFC 8705 ``x5t#S256`` of its certificate; empty where ``proof`` isn't one."""
    proof: Proof = "x509-svid"
    forwarder: Forwarder | None = None
    """The mesh proxy that named it, where ``proof`` is ``xfcc``."""
    name: str | None = None
    """Registered agent name; None for a SPIFFE ID that isn't registered."""
    gateway: str | None = None
    """The peer gateway that spoke for it by its own certificate, which ``x5t`` then is of."""
    owner: str | None = None
    """``Person.id`` of the accountable person."""
    owner_name: str | None = None
    team: str | None = None


class ChainFacts(Struct, frozen=True, kw_only=True):
    """The delegation so far, as verified."""

    sub: str
    txn: str
    actors: tuple[str, ...]
    """SPIFFE IDs, entry agent first, caller last."""
    agents: tuple[str, ...]
    depth: int
    max_depth: int
    ceiling: tuple[str, ...]
    root_expires: int
    root: bool
    """Whether this hop begins the chain; otherwise ``parent`` is the token of an earlier hop."""
    parent: str | None = None
    """Digest of the presented token."""
    client: str = ""
    reentry: bool = False
    purpose: str | None = None
    via: str | None = None
    """The peer gateway of another trust domain that vouched for the chain."""
    way: Way | None = None
    """How the caller continued it; None where it begins here."""
    possible_parents: tuple[str, ...] = ()
    """``txn`` of live chains that the agent worked in when it began this one, the deepest first, at most 16."""
    live_depth: int = 0
    """The deepest at which it took part in them."""


class MatchedValue(Struct, frozen=True):
    """What a determining policy read, and the JSON value it found there."""

    path: str
    value: Raw


class PolicyFacts(Struct, frozen=True, kw_only=True):
    """A determining policy as it stood in the bundle."""

    id: str
    tier: Tier
    file: str
    effect: Effect
    matched: tuple[MatchedValue, ...] = ()
    approval: str | None = None


class MintedFacts(Struct, frozen=True, kw_only=True):
    """What is kept of the token minted for the next hop: never the token."""

    jti: str
    digest: str
    """What the next hop's ``chain.parent`` will be."""
    scope: tuple[str, ...]
    ceiling: tuple[str, ...]
    expires: int
    gateway: str | None = None
    """The peer gateway that the chain goes on at, where the token is an assertion for it."""


class StagedOpinion(Struct, frozen=True, kw_only=True):
    """What a staged policy, or all of them together, would have said instead of the verdict."""

    draft: str
    """``<id>@<revision>``; empty where all that concern the call were tried together."""
    verdict: Verdict
    reason: Reason
    policies: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    detail: str = ""


class StagedFacts(Struct, frozen=True, kw_only=True):
    """The staged policies that concerned the call."""

    asked: tuple[str, ...]
    """``<id>@<revision>`` of each; the revision is of its text."""
    differing: tuple[StagedOpinion, ...] = ()
    """Only those whose verdict, reason or groups differ."""


class FactsRecord(Record, frozen=True, kw_only=True, tag="facts"):
    """What the registry said of one agent, person, tool or server when a hop was decided, or which policies there were.

    Written once a process for many decisions, which name it by ``hop``: the SHA-256 of ``document``.
    """

    document: Raw
    """``core.policy.keeping.Kept``: no secrets, no argument values."""


class Further(Struct, frozen=True):
    """Another action that the call takes, decided with it."""

    action: str
    resource: Uid


class ApprovalUse(Struct, frozen=True, kw_only=True):
    """The approval that a hop was permitted by."""

    id: str
    groups: tuple[str, ...]
    approvers: tuple[Uid, ...]
    until: int
    """Unix seconds."""


class DecisionRecord(Record, frozen=True, kw_only=True, tag="decision"):
    """A hop was decided. Committed before anything is forwarded."""

    verdict: Verdict
    reason: Reason
    detail: str = ""
    agent: Workload | None = None
    """None for a user-only client."""
    user: str | None = None
    """``<idp>|<subject>``."""
    protocol: str
    route: str
    method: str
    action: str
    resource: Uid
    target: str = ""
    arguments_digest: Digest | None = None
    arguments: Raw = field(default_factory=lambda: Raw(b"null"))
    """In the clear only where the route asks for it; sensitive values are replaced by their digest."""
    chain: ChainFacts
    policies: tuple[PolicyFacts, ...] = ()
    groups: tuple[str, ...] = ()
    """Who may lift the forbids of an ``ask``."""
    bundle: str
    generation: int
    trace_id: str = ""
    minted: MintedFacts | None = None
    upstream_credential: str = ""
    """What a third party's upstream is asked with: kind and grant, never the secret. Empty for our own upstreams."""
    asking: str | None = None
    """The MCP server whose request to the agent this is; the agent is then who was asked."""
    staged: StagedFacts | None = None
    """None where no staged policy could concern the call. It has no part in the verdict."""
    facts: tuple[str, ...] = ()
    """``hop`` of the ``facts`` records of what it was decided from, arguments apart; empty where they weren't kept."""
    also: tuple[Further, ...] = ()
    """What was decided besides ``action``; the first that isn't permitted is what the record speaks of."""
    origins: tuple[tuple[Uid, Uid], ...] = ()
    """Tasks of the call, and the tool that each was made with."""
    usage: Usage | None = None
    """What policies could see of what was used lately; None where none read it."""
    approval: ApprovalUse | None = None
    """What people had said of the call, where that counted."""


class RefusedRecord(Record, frozen=True, kw_only=True, tag="refused"):
    """A hop of a known peer ended before a decision: a bad token, a malformed message, no such agent."""

    reason: Reason
    detail: str = ""
    agent: Workload | None = None
    user: str | None = None
    protocol: str | None = None
    route: str | None = None
    method: str | None = None
    action: str | None = None
    resource: Uid | None = None
    txn: str | None = None
    """Known where the presented hop token itself was genuine."""
    parent: str | None = None
    """Digest of the presented token, where its signature was verified."""
    trace_id: str = ""


class OutcomeRecord(Record, frozen=True, kw_only=True, tag="outcome"):
    """How a decided hop ended."""

    ok: bool
    reason: Reason
    status: int
    detail: str = ""
    bytes_out: int = 0
    events: int = 0
    hidden: tuple[str, ...] = ()
    duration_ms: int = 0
    """From the decision to the end of the answer."""


class AdminCaller(Struct, frozen=True, kw_only=True):
    """Who administers, and how they were known."""

    id: str
    """``<idp>|<subject>``, an agent's SPIFFE ID, or ``socket:<uid>``."""
    via: Literal["oidc", "mtls", "socket", "webhook"]
    """``socket`` is the override on the gateway's host: no policy was asked."""
    name: str | None = None
    """Registered agent name; the system's name of the user on a socket; the integration that vouches by webhook."""
    roles: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    x5t: str | None = None
    process: int | None = None


class AdminRecord(Record, frozen=True, kw_only=True, tag="admin"):
    """Somebody administers the gateway, or may not. Committed before it takes effect."""

    caller: AdminCaller
    action: str
    """``view``, ``revoke``, ``approve`` and so on; empty where the request ended before that was known."""
    method: str
    path: str
    verdict: Literal["permit", "deny", "refused", "failed"]
    """``failed``: permitted, and recorded so, but then it could not be done."""
    reason: Reason
    detail: str = ""
    request: Raw = field(default_factory=lambda: Raw(b"null"))
    """What was asked for, in the clear."""
    policies: tuple[str, ...] = ()
    """Ids of the admin policies that decided."""
    bundle: str = ""
    """Digest of the admin bundle."""
    generation: int = 0


class ConsentRecord(Record, frozen=True, kw_only=True, tag="consent"):
    """A user let the gateway use a third party's server in their name, or somebody else tried to.

    Committed before any token is kept; ``hop`` is the call that asked.
    """

    user: str
    """``<idp>|<subject>`` of who proved to be there."""
    server: str
    issuer: str
    """The third party's authorization server."""
    scopes: tuple[str, ...]
    """What was asked for."""
    reason: Reason


class ApprovalRecord(Record, frozen=True, kw_only=True, tag="approval"):
    """A step in the life of an approval; ``hop`` is the call that asked, or the one that used it.

    ``asked`` is committed before anybody is; a vote's request is an ``admin`` record before it counts. ``consumed`` is
    between the decision's record and the upstream's request, ``closed`` says how it ended.
    """

    approval: str
    event: Literal["asked", "approved", "refused", "cancelled", "consumed", "released", "closed"]
    state: str
    """Of the approval after it."""
    groups: tuple[str, ...]
    """Whose yes is needed; of a vote, those that the voter spoke for."""
    by: str = ""
    """Who did it: a person, an agent's SPIFFE ID, or ``socket:<uid>``; empty for the gateway itself."""
    comment: str = ""
    binding: str = ""
    """What it is bound to: a keyed digest over user, agents, action, resource, arguments and groups."""
    detail: str = ""


class KernelRecord(Record, frozen=True, kw_only=True, tag="kernel"):
    """The kernel of an agent's machine denied it something; ``would_deny``: its class is in audit mode."""

    verdict: Literal["deny", "would_deny"]
    reason: Reason
    node: str
    agent_class: str
    agent: Workload | None = None
    """Known where one agent is registered for the class; the kernel doesn't tell agents of one class apart."""
    action: str
    resource: Uid | None = None
    policies: tuple[str, ...] = ()
    """The forbid that did it; empty where no permit reaches it."""
    generation: int = 0
    """Of the rules on the node."""
    detail: str = ""
    left_out: int = 0
    """So many denials have no record of their own, and this stands for them."""
    trace_id: str = ""


AnyRecord = (
    GenesisRecord
    | CheckpointRecord
    | DecisionRecord
    | RefusedRecord
    | OutcomeRecord
    | AdminRecord
    | ConsentRecord
    | FactsRecord
    | ApprovalRecord
    | KernelRecord
)

_ENCODER = msgspec.json.Encoder(order="sorted")
_DECODER: msgspec.json.Decoder[AnyRecord] = msgspec.json.Decoder(AnyRecord)


def encode(record: Record) -> bytes:
    """RFC 8785 bytes: every key is ASCII, no field is a float, free values were canonical before.

    Raises:
        ValueError: a text field isn't Unicode.
    """
    return _ENCODER.encode(record)


def decode(payload: bytes) -> AnyRecord:
    """The record of ``payload``.

    Raises:
        ValueError: it isn't one.
    """
    try:
        return _DECODER.decode(payload)
    except RecursionError as error:
        raise ValueError("the record is nested too deeply") from error
