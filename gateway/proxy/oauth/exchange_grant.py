"""RFC 8693 token exchange: an agent's own chain, as a token for one route of the gateway.

Which chain may be continued, and with which scopes, is ``core.exchange``'s; no policy is asked, since a token grants
nothing that its parent didn't, and is decided by policy whenever it is presented.
"""

from gateway.core import delegation, exchange
from gateway.core.audit.issued import Issue, issued_outcome, issued_record
from gateway.core.errors import HopError, StoreError
from gateway.core.exchange import Exchanged
from gateway.core.model import ExchangedToken, Minted, Peer, Route, Uid
from gateway.core.reasons import Reason
from gateway.identity.signer import EXCHANGED_TOKEN_TYPE
from gateway.protocols.token_request import TokenRequest, invalid
from gateway.proxy import chains
from gateway.proxy.gate import Gate, Passage
from gateway.proxy.oauth.grant import Grant, Issued
from gateway.telemetry import semconv

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
ACTION = "exchangeToken"
UNSERVED = ("actor_token", "actor_token_type", "audience")
"""Parameters of RFC 8693 that must not be passed over: the actor is the client, the target is the resource."""


async def issue(gate: Gate, passage: Passage, client: Peer, request: TokenRequest) -> Issued:
    """The exchanged token of a registered agent.

    Raises:
        HopError: see ``core.exchange``; TOKEN_REQUEST_INVALID, TARGET_UNKNOWN, SCOPE_MALFORMED of the request itself.
        TokenError: the subject token isn't one of this gateway's, or not good any more.
        StoreError: the record is not durable; no token is handed out.
    """
    now, snapshot = passage.at // 1000, passage.snapshot
    agent = passage.agent = delegation.calling_agent(client, snapshot.registry, now)
    route = _target(passage, request)
    requested = request.scopes()
    made = await chains.exchanged(gate, passage, _subject(request), route, requested)
    kind = "renew or narrow" if isinstance(passage.presented, ExchangedToken) else "continue"
    minted = _mint(gate, passage, client, route, made)
    await _record(gate, passage, client, route, made, minted, kind)
    gate.metrics.minted()
    _describe(gate, passage, route, made, agent.name)
    return Issued(minted.token, minted.expires - now, made.scope, ACCESS_TOKEN)


GRANT = Grant(issue, ACTION)


def _subject(request: TokenRequest) -> str:
    for name in UNSERVED:
        if request.get(name) is not None:
            raise invalid(f"parameter {name} is not served; the client's certificate and resource say it all")
    if request.need("subject_token_type") != ACCESS_TOKEN:
        raise invalid(f"subject_token_type is not {ACCESS_TOKEN}")
    if request.get("requested_token_type") not in (None, ACCESS_TOKEN):
        raise invalid(f"requested_token_type is not {ACCESS_TOKEN}")
    return request.need("subject_token")


def _target(passage: Passage, request: TokenRequest) -> Route:
    """The route that the token is for.

    Raises:
        HopError: TOKEN_REQUEST_INVALID without a resource, TARGET_UNKNOWN for one that is no route.
    """
    base, wanted = passage.edition.bases["data"], request.need("resource")
    route = passage.snapshot.routes.get(wanted.removeprefix(base)) if wanted.startswith(base) else None
    if route is None:
        raise HopError(Reason.TARGET_UNKNOWN, "resource is not the URI of a route of this gateway")
    return chains.at(route, base)


def _mint(gate: Gate, passage: Passage, client: Peer, route: Route, made: Exchanged) -> Minted:
    edition = passage.edition
    claims = exchange.claims(
        made,
        issuer=edition.issuer,
        audience=route.resource,
        jti=gate.new_id(),
        x5t=client.x5t,
        now=passage.at // 1000,
        limits=passage.limits,
    )
    token = edition.signer.sign(claims, EXCHANGED_TOKEN_TYPE)
    return Minted(token, claims["jti"], claims["exp"], made.scope, made.scope)


async def _record(
    gate: Gate, passage: Passage, client: Peer, route: Route, made: Exchanged, minted: Minted, kind: str
) -> None:
    snapshot = passage.snapshot
    issued = Issue(
        id=passage.id,
        now=passage.at,
        peer=client,
        user=made.user,
        action=ACTION,
        grant=kind,
        route=route.name,
        resource=Uid("McpServer" if route.protocol == "mcp" else "Agent", route.name),
        chain=made.chain,
        minted=minted,
        bundle=snapshot.bundle.digest,
        generation=snapshot.generation,
        trace_id=passage.span(gate.tracing).trace_id,
    )
    with gate.metrics.stage("audit"):
        await gate.audit.append(issued_record(issued, snapshot.registry))
    try:
        await gate.audit.append(issued_outcome(issued, len(minted.token), passage.milliseconds))
    except StoreError as lost:
        gate.log.error("outcome not recorded", decision_id=passage.id, reason=lost.reason, detail=lost.detail)


def _describe(gate: Gate, passage: Passage, route: Route, made: Exchanged, agent: str) -> None:
    span = passage.span(gate.tracing)
    span.rename(f"{ACTION} {route.name}")
    span.set(
        {
            semconv.HOPGATE_ACTION: ACTION,
            semconv.HOPGATE_ROUTE: route.path,
            semconv.HOPGATE_AGENT: agent,
            semconv.HOPGATE_SUBJECT: made.chain.sub,
            semconv.HOPGATE_TXN: made.chain.txn,
            semconv.HOPGATE_DEPTH: made.chain.depth,
            semconv.HOPGATE_ACTORS: made.chain.actors,
            semconv.HTTP_RESPONSE_STATUS_CODE: 200,
        }
    )
