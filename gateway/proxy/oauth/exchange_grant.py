"""RFC 8693 token exchange: an agent's own chain, as a token for one route of the gateway.

Which chain may be continued, and with which scopes, is ``core.exchange``'s; no policy is asked, since a token grants
nothing that its parent didn't, and is decided by policy whenever it is presented.
"""

from gateway.core import delegation, exchange
from gateway.core.exchange import Exchanged
from gateway.core.model import ExchangedToken, Minted, Peer, Route
from gateway.identity.signer import EXCHANGED_TOKEN_TYPE
from gateway.protocols.token_request import TokenRequest, invalid
from gateway.proxy import chains
from gateway.proxy.gate import Gate, Passage
from gateway.proxy.oauth.grant import Grant, Issued
from gateway.proxy.oauth.issuing import Made, hand_out, target

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
    passage.agent = delegation.calling_agent(client, passage.snapshot.registry, passage.at // 1000)
    route = target(passage, request)
    requested = request.scopes()
    exchanged = await chains.exchanged(gate, passage, _subject(request), route, requested)
    grant = "renew or narrow" if isinstance(passage.presented, ExchangedToken) else "continue"
    made = Made(route, exchanged.chain, exchanged.user, _mint(gate, passage, client, route, exchanged))
    return await hand_out(gate, passage, client, made, action=ACTION, grant=grant, kind=ACCESS_TOKEN)


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
