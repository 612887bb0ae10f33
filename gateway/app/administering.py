"""The admin API of one process: its edition, its parts, and its ways in."""

import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import NamedTuple

import msgspec

from gateway.admin.api import ENDPOINTS
from gateway.admin.approval_page import ApprovalPage
from gateway.admin.desk import Desk
from gateway.admin.edition import AdminEdition
from gateway.admin.endpoint import Office
from gateway.admin.incoming_webhooks import Incoming, Integration
from gateway.admin.kernel import KernelDesk
from gateway.admin.policies import PolicyDesk
from gateway.admin.server import AdminListener, SocketTakenError
from gateway.app.identity import Identity
from gateway.app.ids import new_id
from gateway.app.parts import PartError, host_names, issuers_of
from gateway.app.revoking import Revoking
from gateway.app.telemetry import Telemetry
from gateway.config.settings import Settings
from gateway.core.administration import Principal
from gateway.core.approval import Approval, as_of
from gateway.core.model import User
from gateway.core.revocation import Key, keys_of_agent
from gateway.core.webhook_letters import Letters
from gateway.identity.approval_links import is_signed
from gateway.identity.jwks import Keys
from gateway.identity.tokens import OwnIssuer, TokenVerifier, TrustedIssuer
from gateway.protocols.http_head import Allowed
from gateway.proxy.gate import Gate
from gateway.publish import Published
from gateway.store.query import AuditReader


def admin_edition(published: Published, telemetry: Telemetry) -> AdminEdition:
    """What admin requests are decided with.

    Raises:
        PartError: an issuer can't be used.
    """
    settings, snapshot = published.loaded.settings, published.snapshot
    admin = settings.listen.admin
    hosts, origins = (admin.hosts, admin.origins) if admin is not None else ((), ())
    return AdminEdition(
        generation=snapshot.generation,
        bundle=published.admin,
        registry=snapshot.registry,
        tokens=_verifier(settings, telemetry, snapshot.limits.token_bytes),
        audience="" if admin is None or admin.audience is None else admin.audience,
        allowed=Allowed(host_names(settings, hosts), frozenset(origins)),
        limits=snapshot.limits,
        quotas=snapshot.quotas,
        body_bytes=16 * 1024 if admin is None else admin.body_bytes,
        policy_bytes=settings.publishing.body_bytes,
    )


class Administered(NamedTuple):
    """What of the running gateway is seen and changed through the admin API."""

    gate: Gate
    revoking: Revoking
    policies: PolicyDesk
    kernel: KernelDesk
    letters: Letters
    integrations: Callable[[str], Integration | None]
    """By name: whose word counts for people's."""


async def administer(
    settings: Settings,
    edition: Callable[[], AdminEdition],
    administered: Administered,
    identity: Identity,
    telemetry: Telemetry,
    stack: AsyncExitStack,
) -> int | None:
    """Serve the admin API; ``stack`` closes it. The port in use, None where it is served on the socket only.

    Raises:
        PartError: the port or the socket can't be bound.
    """
    office, gate = _office(settings, edition, administered, telemetry), administered.gate
    desk = Desk(office, ENDPOINTS)
    own, path = AdminListener(desk.handle), settings.admin_socket
    stack.push_async_callback(own.stop)
    try:
        await own.start_socket(path)
        stack.callback(path.unlink, missing_ok=True)
    except SocketTakenError as error:
        raise PartError(f"listen.admin_socket: {error}") from None
    except OSError as error:
        raise PartError(f"listen.admin_socket: {path}: {error.strerror or error}") from None
    admin = settings.listen.admin
    if admin is None:
        return None

    async def shown(name: str, query: Mapping[str, str]) -> Approval | None:
        now = int(gate.clock() * 1000)
        if not is_signed(name, query, gate.digest_key, now // 1000):
            return None
        kept = await gate.approvals.find(name)
        return None if kept is None else as_of(kept.approval, now)

    page = ApprovalPage(edition, shown, desk.handle)
    incoming = Incoming(office, administered.integrations, gate.single_use, desk.handle, page.handle)
    listener = AdminListener(incoming.handle)
    stack.push_async_callback(listener.stop)
    try:
        return await listener.start(admin.host, admin.port, identity.admin.context, identity.admin.peer_of)
    except OSError as error:
        raise PartError(f"listen.admin: {admin.host}:{admin.port}: {error.strerror or error}") from None


def _office(
    settings: Settings, edition: Callable[[], AdminEdition], administered: Administered, telemetry: Telemetry
) -> Office:
    gate, revoking = administered.gate, administered.revoking

    async def check_revoked(principal: Principal) -> None:
        await gate.revoked.check(_keys(principal), halted=False)

    return Office(
        edition=edition,
        audit=gate.audit,
        revocations=revoking.store,
        apply=lambda: revoking.apply(gate),
        check_revoked=check_revoked,
        decisions=lambda: AuditReader(settings.store.url),
        standings=lambda kind: gate.metering.standings(kind, gate.ticks()),
        policies=administered.policies,
        kernel=administered.kernel,
        approvals=gate.approvals,
        wake=gate.waiters.wake,
        letters=administered.letters,
        sealer=gate.sealer,
        metrics=telemetry.metrics,
        log=telemetry.log,
        refusals=telemetry.refusals,
        clock=time.time,
        new_id=new_id,
    )


def _keys(principal: Principal) -> tuple[Key, ...]:
    if isinstance(principal, User):
        return (("user", "", principal.sub),)
    return tuple(keys_of_agent(principal))


def _verifier(settings: Settings, telemetry: Telemetry, token_bytes: int) -> TokenVerifier | None:
    admin = settings.listen.admin
    if admin is None or not admin.issuers:
        return None
    # An audience that an issuer has on all routes is not one for here.
    trusted = tuple(
        TrustedIssuer(msgspec.structs.replace(each.issuer, audience=None), each.keys)
        for each in issuers_of(settings, telemetry.on_issuer_failure)
        if each.issuer.name in admin.issuers
    )
    return TokenVerifier(trusted, OwnIssuer(settings.issuer, Keys((), ("ES256",))), token_bytes)
