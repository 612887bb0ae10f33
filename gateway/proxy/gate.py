"""What the data path is made of: every part a hop meets, handed in by ``app``; and the facts of one attempt."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from time import monotonic_ns, perf_counter

from structlog.typing import FilteringBoundLogger

from gateway.core.approval import Approval
from gateway.core.approval_port import Approvals, KeptApproval
from gateway.core.errors import HopError
from gateway.core.limits import Limits
from gateway.core.metering import Metered, Metering
from gateway.core.model import Call, Chain, Hop, Presented, Route
from gateway.core.ports import AuditLog, Bindings, Handles, LiveChains, Sealer, SingleUse, TaskOwners, ToolPins
from gateway.core.reasons import Reason
from gateway.core.registry import Agent
from gateway.core.snapshot import Snapshot
from gateway.identity.jwt_svid import JwtSvids
from gateway.identity.material import MaterialError
from gateway.identity.mint_cache import MintCache
from gateway.identity.rotation import ClientIdentity
from gateway.protocols.base import Refusal, Reply
from gateway.proxy.approval_waiters import Waiters
from gateway.proxy.callers import NO_MESH, Mesh
from gateway.proxy.edition import Edition
from gateway.proxy.exchange import Exchange
from gateway.proxy.kept import Keeping
from gateway.proxy.lease import Lease
from gateway.proxy.problem import problem
from gateway.proxy.revoked import Revoked
from gateway.proxy.third_party import ThirdParties
from gateway.proxy.trust_bundle import Document
from gateway.proxy.upstream import Upstreams
from gateway.telemetry import semconv
from gateway.telemetry.logs import RefusalLog
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.traces import HopSpan, Tracing


def _ticks() -> int:
    return monotonic_ns() // 1_000_000


@dataclass(frozen=True)
class Gate:
    """The parts of the data path. One a process; a hop's state is never kept here."""

    edition: Callable[[], Edition]
    """The generation in force; a request pins the one it begins with."""
    client: Callable[[], ClientIdentity]
    """Who the gateway is towards upstreams; raises MaterialError while it has no SVID."""
    sealer: Sealer
    audit: AuditLog
    bindings: Bindings
    handles: Handles
    single_use: SingleUse
    tasks: TaskOwners
    approvals: Approvals
    pins: ToolPins
    revoked: Revoked
    live_chains: LiveChains
    mint_cache: MintCache
    upstreams: Upstreams
    third_parties: ThirdParties
    tracing: Tracing
    metrics: Metrics
    log: FilteringBoundLogger
    refusals: RefusalLog
    digest_key: bytes
    """Keys the digests of sensitive arguments."""
    clock: Callable[[], float]
    """Unix seconds."""
    new_id: Callable[[], str]
    own_bundle: Document | None = None
    """The own trust bundle's document, where it is served."""
    mesh: Mesh = NO_MESH
    """Whose word is taken for who calls."""
    jwt_svids: JwtSvids | None = None
    """None where none are taken."""
    kept: Keeping = field(default_factory=Keeping)
    """What decisions were made from, written once a process."""
    metering: Metering = field(default_factory=Metering)
    """What was used lately, for quotas and policies."""
    ticks: Callable[[], int] = _ticks
    """Milliseconds, from any moment: it never goes back."""
    streams: Counter[str] = field(default_factory=Counter)
    """Open streams by caller, for the limit."""
    leases: set[Lease] = field(default_factory=set)
    """Of the streams that are open, to be decided again when a generation changes."""
    waiting: set[Lease] = field(default_factory=set)
    """Of the hops whose upstream has not answered yet, to be cut off when they are revoked."""
    waiters: Waiters = field(default_factory=Waiters)
    """Calls that are held until people decide."""
    draining: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the graceful stop begins: no stream stands from then on."""
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when hops that outlast the graceful stop are ended."""

    def cut_off(self) -> HopError:
        """Why a hop was cancelled: its client left, or the gateway is stopping."""
        if self.stopping.is_set():
            return HopError(Reason.DRAINING, "the hop outlasted graceful_stop_seconds")
        return HopError(Reason.CLIENT_CLOSED, "the client left before the answer ended")


@dataclass
class Passage:
    """What is known so far of one request. Filled step by step; whatever ends it is recorded from here."""

    id: str
    at: int
    """Unix milliseconds."""
    exchange: Exchange
    edition: Edition
    metered: Metered
    """The hop's share of what is used: released when the last of the answer is written."""
    began: float = field(default_factory=perf_counter)
    headers: Mapping[str, str] = field(default_factory=dict)
    route: Route | None = None
    rest: str = ""
    """The path below the route."""
    agent: Agent | None = None
    presented: Presented = None
    call: Call | None = None
    chain: Chain | None = None
    hop: Hop | None = None
    decided: bool = False
    """Whether a decision record exists."""
    upstream_session: str | None = None
    opens_urls: bool = False
    """Whether the client that opened the session has declared that it opens URLs (MCP URL elicitation)."""
    named: str = ""
    """The approval that the client says it waits for."""
    declined: bool = False
    """Whether the client's user doesn't want it asked for."""
    binding: str = ""
    """What an approval of the call is bound to, once one is needed."""
    held: KeptApproval | None = None
    """The approval that the call waits for."""
    used: Approval | None = None
    """The approval that the hop has taken, until it is settled."""
    sending: bool = False
    """Whether that is on record, so that something may have been sent since."""
    client: ClientIdentity | None = None
    """Whom the hop's upstream sees: the token's ``cnf`` and the connection agree."""
    refused_as: Callable[[Refusal], Reply] = problem
    """The form of a refusal where no route is known."""
    action: str = ""
    """What is recorded of an attempt that has no call."""
    _span: HopSpan | None = None
    _open: ExitStack = field(default_factory=ExitStack)

    @property
    def snapshot(self) -> Snapshot:
        """The pinned snapshot."""
        return self.edition.snapshot

    @property
    def limits(self) -> Limits:
        """Limits of the pinned snapshot."""
        return self.snapshot.limits

    @property
    def known(self) -> bool:
        """Whether there is a verified caller, and so a record to write."""
        return self.exchange.peer is not None or self.presented is not None

    @property
    def milliseconds(self) -> int:
        """Time since the request's head was read."""
        return int((perf_counter() - self.began) * 1000)

    def span(self, tracing: Tracing) -> HopSpan:
        """The hop's server span: opened once, at the latest moment that may know its parent, from its true start."""
        if self._span is None:
            carried = {} if self.call is None else self.call.trace
            opened = tracing.hop_span("hop", self.headers, message=carried, started_ns=self.at * 1_000_000)
            self._span = self._open.enter_context(opened)
            self._span.set({semconv.HOPGATE_DECISION_ID: self.id, semconv.HOPGATE_GENERATION: self.snapshot.generation})
        return self._span

    def close(self) -> None:
        """End the span. Called once the outcome is known."""
        self._open.close()


def client_of(gate: Gate, passage: Passage) -> ClientIdentity:
    """Whom the hop's upstream sees, the same for its token and all its connections.

    Raises:
        HopError: IDENTITY_UNAVAILABLE.
    """
    if passage.client is None:
        try:
            passage.client = gate.client()
        except MaterialError as error:
            raise HopError(Reason.IDENTITY_UNAVAILABLE, str(error)) from None
    return passage.client
