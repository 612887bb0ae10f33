"""What every grant does at its end: the token is handed out once its record is durable, counted and described."""

from msgspec import Struct

from gateway.core.audit.issued import Issue, issued_outcome, issued_record
from gateway.core.errors import HopError, StoreError
from gateway.core.model import Chain, Minted, Peer, Route, Uid, User
from gateway.core.reasons import Reason
from gateway.protocols.token_request import TokenRequest
from gateway.proxy import chains
from gateway.proxy.gate import Gate, Passage
from gateway.proxy.oauth.grant import Issued
from gateway.telemetry import semconv


class Made(Struct, frozen=True):
    """A token that is ready: for which route, of which chain, for whom."""

    route: Route
    chain: Chain
    user: User | None
    minted: Minted


def target(passage: Passage, request: TokenRequest) -> Route:
    """The route that the token is for.

    Raises:
        HopError: TOKEN_REQUEST_INVALID without a resource, TARGET_UNKNOWN for one that is no route.
    """
    base, wanted = passage.edition.bases["data"], request.need("resource")
    route = passage.snapshot.routes.get(wanted.removeprefix(base)) if wanted.startswith(base) else None
    if route is None:
        raise HopError(Reason.TARGET_UNKNOWN, "resource is not the URI of a route of this gateway")
    return chains.at(route, base)


async def hand_out(
    gate: Gate, passage: Passage, caller: Peer, made: Made, *, action: str, grant: str, kind: str | None = None
) -> Issued:
    """``made`` as the endpoint's answer; ``grant`` says how it was asked for, ``kind`` its ``issued_token_type``.

    Raises:
        StoreError: the record is not durable; no token is handed out.
    """
    await _record(gate, passage, caller, made, action, grant)
    gate.metrics.minted()
    _describe(gate, passage, made, action)
    return Issued(made.minted.token, made.minted.expires - passage.at // 1000, made.minted.scope, kind)


async def _record(gate: Gate, passage: Passage, caller: Peer, made: Made, action: str, grant: str) -> None:
    snapshot, route = passage.snapshot, made.route
    issue = Issue(
        id=passage.id,
        now=passage.at,
        peer=caller,
        user=made.user,
        action=action,
        grant=grant,
        route=route.name,
        resource=Uid("McpServer" if route.protocol == "mcp" else "Agent", route.name),
        chain=made.chain,
        minted=made.minted,
        bundle=snapshot.bundle.digest,
        generation=snapshot.generation,
        trace_id=passage.span(gate.tracing).trace_id,
    )
    with gate.metrics.stage("audit"):
        await gate.audit.append(issued_record(issue, snapshot.registry))
    try:
        await gate.audit.append(issued_outcome(issue, len(made.minted.token), passage.milliseconds))
    except StoreError as lost:
        gate.log.error("outcome not recorded", decision_id=passage.id, reason=lost.reason, detail=lost.detail)


def _describe(gate: Gate, passage: Passage, made: Made, action: str) -> None:
    chain, span = made.chain, passage.span(gate.tracing)
    span.rename(f"{action} {made.route.name}")
    span.set(
        {
            semconv.HOPGATE_ACTION: action,
            semconv.HOPGATE_ROUTE: made.route.path,
            semconv.HOPGATE_AGENT: chain.agents[-1],
            semconv.HOPGATE_SUBJECT: chain.sub,
            semconv.HOPGATE_TXN: chain.txn,
            semconv.HOPGATE_DEPTH: chain.depth,
            semconv.HOPGATE_ACTORS: chain.actors,
            semconv.HOPGATE_VIA: chain.via,
            semconv.HTTP_RESPONSE_STATUS_CODE: 200,
        }
    )
