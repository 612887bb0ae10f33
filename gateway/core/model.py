"""The values of a hop: who calls, what they call, and what was decided. Frozen, no behaviour but naming.

Out: ``Peer`` + ``Route`` + ``User`` + ``Call`` + ``Chain`` make a ``Hop``; ``Decision`` names its Hop;
``Grant`` holds Hop, Permit and the minted token, and is the only thing an upstream is sent.
"""

from collections.abc import Mapping
from typing import Any, Literal, NewType

from msgspec import Struct

from gateway.core.reasons import Reason

SpiffeId = NewType("SpiffeId", str)
PolicyId = NewType("PolicyId", str)
VerifiedClaims = NewType("VerifiedClaims", Mapping[str, Any])
"""Claims of a JWS whose signature, algorithm, type, issuer, audience and times were verified."""

ProtocolName = Literal["mcp", "a2a"]
Binding = Literal["jsonrpc", "http"]
Proof = Literal["x509-svid", "xfcc", "jwt-svid"]
"""How a caller is proven: its own certificate, a mesh proxy's word, or a token."""
Effect = Literal["permit", "forbid"]
Way = Literal["header", "trace", "exchange"]
"""How an agent goes on with a chain: by the hop token that it received, by the handle in the trace that it received,
or by a token of the token endpoint (TOKENS §3)."""
WAYS: frozenset[Way] = frozenset({"header", "trace", "exchange"})
Tier = Literal["guardrails", "platform", "teams", "baseline"]


class Uid(Struct, frozen=True, order=True):
    """A Cedar entity UID, e.g. ``Tool::"ledger/read_balance"``."""

    type: str
    id: str

    def __str__(self) -> str:
        escaped = self.id.replace("\\", "\\\\").replace('"', '\\"')
        return f'{self.type}::"{escaped}"'


class Forwarder(Struct, frozen=True):
    """The mesh proxy whose certificate a connection shows, where it says that another workload calls."""

    spiffe_id: SpiffeId
    x5t: str
    """Of the proxy's own certificate."""


class Peer(Struct, frozen=True):
    """The verified workload that calls: by the certificate of its connection, a mesh proxy's word, or a JWT-SVID."""

    spiffe_id: SpiffeId
    trust_domain: str
    x5t: str
    """RFC 8705 ``x5t#S256``: base64url SHA-256 of the DER certificate; empty unless the connection shows its own."""
    not_after: int
    """Unix seconds: when what proves it ends."""
    proof: Proof = "x509-svid"
    forwarder: Forwarder | None = None
    """Set with ``xfcc``."""
    gateway: SpiffeId | None = None
    """The peer gateway that speaks for the workload over a connection of its own; ``x5t`` is then the gateway's."""


class Route(Struct, frozen=True):
    """One path of the gateway: an MCP server or an A2A agent of the registry."""

    protocol: ProtocolName
    name: str
    """The registry's server or agent name."""
    path: str
    """``/mcp/<server>`` or ``/a2a/<agent>``."""
    resource: str
    """The route's public URI: RFC 9728 ``resource``, and the audience of user tokens for it."""
    audience: str
    """The ``aud`` of hop tokens minted for the upstream."""
    user: Literal["required", "optional"] = "required"
    clients: Literal["agents", "user-only"] = "agents"
    """``user-only`` routes are served on the public listener too, to people's own clients."""
    continuation: frozenset[Way] = WAYS
    """In which ways agents may continue a chain here."""
    jwt_svid: bool = False
    """Whether agents without a certificate may prove themselves by a JWT-SVID, on the public listener."""
    record_arguments: bool = False
    """Whether call arguments are recorded in the clear."""
    explain: bool = False
    """Whether the caller is told which policies decided, by which values, and which permits a denial missed."""


class User(Struct, frozen=True):
    """The person a chain acts for, from their verified token."""

    issuer: str
    idp: str
    """The issuer's short configured name; first half of ``sub``."""
    subject: str
    email: str | None = None
    roles: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()

    @property
    def sub(self) -> str:
        """``<idp>|<subject>``: constant along a chain, and the id of the Cedar ``User``."""
        return f"{self.idp}|{self.subject}"


class RootToken(Struct, frozen=True):
    """A verified token of an OIDC issuer: the beginning of a chain."""

    user: User
    client: str
    """``azp`` or ``client_id``."""
    scopes: frozenset[str]
    """Gateway scopes: the token's scopes through the issuer's ``scope_map`` plus its ``ceiling``."""
    expires: int
    digest: str
    """Hex SHA-256 of ``header.payload``."""
    jti: str | None = None
    shared_by: frozenset[str] = frozenset()
    """Agents that may each begin a chain of their own with it."""


class ChainToken(Struct, frozen=True):
    """What every token of this gateway's own issuer says of its chain, verified."""

    sub: str
    audience: str
    actors: tuple[SpiffeId, ...]
    """Entry agent first, the current actor last."""
    txn: str
    ceiling: frozenset[str]
    """``del_scope``."""
    depth: int
    max_depth: int
    root_expires: int
    expires: int
    digest: str
    user: User | None
    purpose: str | None = None
    via: SpiffeId | None = None
    """The peer gateway that the chain came from."""
    jti: str | None = None
    parent: str | None = None
    """``par_hash``: digest of the token that the last actor presented when this one was minted."""


class HopToken(ChainToken, frozen=True):
    """A downstream token: the last actor called its audience, who continues the chain with it."""


class ExchangedToken(ChainToken, frozen=True, kw_only=True):
    """A token of the token endpoint: the last actor is its holder, who presents it at its audience, a route."""

    x5t: str
    """Of the certificate that it is bound to (RFC 8705 §3.1)."""


Presented = RootToken | HopToken | ExchangedToken | None


class Ancestry(Struct, frozen=True):
    """Live chains that the agent which begins another was delegated to in: its possible parents."""

    depth: int
    """The deepest at which the agent takes part."""
    txns: tuple[str, ...]


class Chain(Struct, frozen=True):
    """Verified delegation: from the person through every agent to the caller of this hop."""

    sub: str
    """The user's ``sub``, or the entry agent's SPIFFE ID where there is no user."""
    actors: tuple[SpiffeId, ...]
    """Entry agent first, the caller last; empty for a user-only client."""
    agents: tuple[str, ...]
    """Registered names of ``actors``, in their order."""
    txn: str
    root_expires: int
    max_depth: int
    ceiling: frozenset[str]
    parent: str | None = None
    """Hex SHA-256 of the token that this hop presented; None without one."""
    client: str = ""
    """OAuth client id of a root token's client."""
    reentry: bool = False
    purpose: str | None = None
    via: SpiffeId | None = None
    """The peer gateway of another trust domain that vouched for the chain; None for one that began here."""
    way: Way | None = None
    """How this hop's caller continued it; None where it begins here."""
    live: Ancestry | None = None
    """Only of a chain that an agent begins while it works in others (``core.ancestry``)."""
    until: int | None = None
    """Unix seconds at which what was presented ends, where that is before the chain's own end."""

    @property
    def depth(self) -> int:
        """Number of agents in the chain: an entry agent's own call is 1, a user-only client's 0."""
        return len(self.actors)


class Call(Struct, frozen=True, kw_only=True):
    """One parsed message: what is authorized, and re-serialised for the upstream."""

    protocol: ProtocolName
    version: str
    method: str
    """The wire method, e.g. ``tools/call``."""
    action: str
    """The Cedar action, e.g. ``invokeTool``."""
    resource: Uid
    message: Mapping[str, Any]
    """The parsed body. ``{}`` where the gateway's own request has none."""
    request_id: str | int | None = None
    """None for notifications."""
    target: str = ""
    """Tool name or task id as the protocol spells it."""
    arguments: Mapping[str, Any] | None = None
    session: str | None = None
    """The sealed session handle as the client sent it."""
    trace: Mapping[str, str] = {}
    """W3C ``traceparent``/``tracestate`` found in the message itself (MCP ``_meta``)."""
    also: tuple[tuple[str, Uid], ...] = ()
    """Further actions that the call takes, and on what: each is decided too, and all have to be permitted."""
    origins: Mapping[Uid, Uid] = {}
    """What created each task that the call is about: MCP tasks are of a tool."""
    state: str | None = None
    """The sealed state of an earlier round (MCP ``requestState``) as the client sent it."""
    answering: str | None = None
    """The sealed id of the server's request that the client answers."""
    asked: str = ""
    """The action of that request."""
    resuming: str | None = None
    """The last event of an earlier stream that the client saw: sealed as it sent it, then as the upstream knows it.

    The call is the one that the stream answers, decided anew; it isn't made again.
    """
    http_method: Literal["POST", "GET", "DELETE"] = "POST"
    """GET and DELETE have no message."""
    streaming: bool = False
    """Whether the method's answer is a stream by its nature (A2A SendStreamingMessage)."""
    binding: Binding = "jsonrpc"
    """How the client speaks, and so how it is answered: JSON-RPC, or A2A's HTTP+JSON."""


class Usage(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What callers and tools have done lately, this call included; 0 where there is no such caller or tool.

    ``agent_tool``: this agent with this tool; ``agent_destructive``: this agent with all destructive tools.
    """

    agent_requests_minute: int = 0
    agent_concurrent: int = 0
    agent_bytes_hour: int = 0
    user_requests_minute: int = 0
    user_concurrent: int = 0
    user_bytes_hour: int = 0
    team_requests_minute: int = 0
    team_concurrent: int = 0
    team_bytes_hour: int = 0
    tool_requests_minute: int = 0
    tool_concurrent: int = 0
    tool_bytes_hour: int = 0
    agent_tool_requests_minute: int = 0
    agent_tool_concurrent: int = 0
    agent_tool_bytes_hour: int = 0
    user_tool_requests_minute: int = 0
    user_tool_concurrent: int = 0
    user_tool_bytes_hour: int = 0
    agent_destructive_requests_minute: int = 0
    agent_destructive_concurrent: int = 0
    agent_destructive_bytes_hour: int = 0


class Given(Struct, frozen=True, kw_only=True):
    """What people have said yes to: an approval of exactly this call, to be used once (POLICY 2.5)."""

    id: str
    """The approval's."""
    groups: frozenset[str]
    """Those that said yes, each with its quorum."""
    approvers: tuple[Uid, ...]
    """``User`` entities of the people who did."""
    until: int
    """Unix seconds at which it can't be used any longer."""


class Hop(Struct, frozen=True):
    """One authorized-or-not step of a chain: everything a decision is made from."""

    id: str
    """Decision id, unique; in every reply, record and span."""
    route: Route
    peer: Peer | None
    """None for a user-only client on the public listener."""
    agent: str | None
    """Registered name of the peer."""
    user: User | None
    call: Call
    chain: Chain
    now: int
    """Unix milliseconds at which the hop is decided."""
    asking: str | None = None
    """The MCP server whose request to its caller this is: then it is the principal, and the caller the resource."""
    usage: Usage | None = None
    """None where nobody knows: then nothing is decided by policies that read it."""
    given: Given | None = None
    """The approval that the hop is decided with."""


class Match(Struct, frozen=True):
    """One thing a determining policy read, and its value: ``principal.risk_level`` = ``"low"``."""

    path: str
    value: Any


class Determining(Struct, frozen=True):
    """A policy that decided, with the values its scope and conditions read."""

    id: PolicyId
    tier: Tier
    file: str
    effect: Effect
    matched: tuple[Match, ...] = ()
    approval: str | None = None
    """The group of its ``@approval`` annotation."""


class Permit(Struct, frozen=True):
    """A policy permitted the hop."""

    hop: Hop
    policies: tuple[Determining, ...]
    bundle: str
    generation: int


class Ask(Struct, frozen=True):
    """People of ``groups`` may lift every policy that stands in the way (POLICY 2.5)."""

    hop: Hop
    policies: tuple[Determining, ...]
    groups: tuple[str, ...]
    bundle: str
    generation: int


class Deny(Struct, frozen=True):
    """The hop is refused."""

    hop: Hop
    reason: Reason
    policies: tuple[Determining, ...]
    bundle: str
    generation: int
    detail: str = ""


Decision = Permit | Ask | Deny


class Minted(Struct, frozen=True):
    """A signed hop token and what the record keeps of it. ``token`` is a secret: never logged or stored."""

    token: str
    jti: str
    expires: int
    scope: frozenset[str]
    ceiling: frozenset[str]
    gateway: SpiffeId | None = None
    """The peer gateway that redeems it, where it is an assertion."""

    def __repr__(self) -> str:
        return f"Minted(jti={self.jti!r})"


class Grant(Struct, frozen=True):
    """Leave to forward one hop: the only value that ``proxy.upstream`` sends."""

    hop: Hop
    permit: Permit
    minted: Minted | None
    """None where the upstream is a third party's, which knows no token of ours."""


class Outcome(Struct, frozen=True):
    """How a decided hop ended: ``ok`` is the protocol's own success, ``reason`` says why not."""

    ok: bool
    reason: Reason
    status: int
    """HTTP status sent to the client."""
    detail: str = ""
    bytes_out: int = 0
    events: int = 0
    hidden: tuple[str, ...] = ()
    """Ids that a filtered list left out."""
