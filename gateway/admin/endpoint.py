"""What an endpoint of the admin API is: its place in the table, its types, what it asks leave for, what it does.

The table is enough to route, to read requests strictly and to generate OpenAPI. Decides nothing.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple

from msgspec import Struct
from structlog.typing import FilteringBoundLogger

from gateway.admin.edition import AdminEdition
from gateway.admin.kernel import KernelDesk
from gateway.admin.policies import PolicyDesk
from gateway.core.administration import Principal, Question
from gateway.core.approval_port import Approvals
from gateway.core.audit import AdminCaller
from gateway.core.metering import Standing
from gateway.core.ports import AuditLog, Revocations, Sealer
from gateway.core.usage import Kind
from gateway.core.webhook_letters import Letters
from gateway.store.query import AuditReader
from gateway.telemetry.logs import RefusalLog
from gateway.telemetry.metrics import Metrics

Method = Literal["GET", "POST", "DELETE"]


class Office(NamedTuple):
    """What the admin API is made of, handed in by ``app``."""

    edition: Callable[[], AdminEdition]
    audit: AuditLog
    revocations: Revocations
    apply: Callable[[], Awaitable[None]]
    """Puts in force, in this process, what the store holds by now."""
    check_revoked: Callable[[Principal], Awaitable[None]]
    """Raises HopError for a caller that is revoked by name, person or attribute."""
    decisions: Callable[[], AuditReader]
    standings: Callable[[Kind], Iterable[Standing]]
    """Who has used how much lately."""
    policies: PolicyDesk
    kernel: KernelDesk
    approvals: Approvals
    wake: Callable[[str], None]
    """Tells the calls that are held for an approval that it was decided."""
    letters: Letters
    """The outbox of webhooks."""
    sealer: Sealer
    metrics: Metrics
    log: FilteringBoundLogger
    refusals: RefusalLog
    clock: Callable[[], float]
    """Unix seconds."""
    new_id: Callable[[], str]


class Empty(Struct, frozen=True, forbid_unknown_fields=True):
    """No query."""


class Asked(Struct, frozen=True, kw_only=True):
    """A request to an endpoint, read."""

    id: str
    at: int
    """Unix milliseconds."""
    caller: AdminCaller
    principal: Principal | None = None
    """None on the socket, where no policy is asked."""
    names: Mapping[str, str]
    """Of the path."""
    query: Any
    body: Any
    headers: Mapping[str, str]

    @property
    def seconds(self) -> int:
        """``at`` in Unix seconds."""
        return self.at // 1000


class Told(Struct, frozen=True):
    """What an endpoint answers."""

    body: Any = None
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()


class Endpoint(Struct, frozen=True, kw_only=True):
    """One method of one path."""

    method: Method
    path: str
    """``/api/v1/revocations/{id}``."""
    summary: str
    question: Callable[[Office, Asked], Awaitable[Question | tuple[Question, ...]]]
    """What the caller needs leave for; of several, for each."""
    handle: Callable[[Office, Asked], Awaitable[Told]]
    query: type = Empty
    body: type | None = None
    answer: type | None = None
    status: int = 200
    tried: int | None = None
    """The status of the same answer where nothing was changed."""
    headers: Mapping[str, str] = {}
    """Request headers that it reads, with their meaning."""

    asks: bool = False
    """Whether it only asks something, though by POST: what it asks with is large."""
    large: bool = False
    """Whether its body may hold policies."""
    noted: Callable[[Any], Any] = lambda body: body
    """What of its body the record holds; the body is any JSON value."""

    @property
    def writes(self) -> bool:
        """Whether it changes something, and so is recorded before it does."""
        return self.method != "GET" and not self.asks

    def names(self, path: str) -> Mapping[str, str] | None:
        """The values of the path's names, or None where it is another path."""
        wanted, given = self.path.split("/"), path.split("/")
        if len(wanted) != len(given):
            return None
        found: dict[str, str] = {}
        for want, have in zip(wanted, given, strict=True):
            if want.startswith("{"):
                found[want.strip("{}")] = have
            elif want != have:
                return None
        return found
