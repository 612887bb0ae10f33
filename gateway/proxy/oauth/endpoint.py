"""``POST /oauth/token`` on the data listener: which grant is asked for, by whom, and the form of the answer.

The client is whoever the certificate proves (RFC 8705 §2.1 ``tls_client_auth``); there are no client secrets. Every
refusal is recorded. Doesn't decide what a client may be given: each grant does (``grant``).
"""

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

import msgspec

from gateway.core.errors import HopError
from gateway.core.model import Peer
from gateway.core.reasons import Reason
from gateway.identity.assertions import GRANT_TYPE
from gateway.protocols import token_request
from gateway.protocols.base import HttpError
from gateway.protocols.token_request import TokenRequest
from gateway.proxy import counting
from gateway.proxy.exchange import Answer
from gateway.proxy.gate import Gate, Passage
from gateway.proxy.oauth import assertion_grant, exchange_grant
from gateway.proxy.oauth.grant import Grant, Issued

PATH = "/oauth/token"

GRANTS: Mapping[str, Grant] = MappingProxyType(
    {
        exchange_grant.GRANT_TYPE: exchange_grant.GRANT,
        GRANT_TYPE: assertion_grant.GRANT,
    }
)
"""By ``grant_type``."""


async def answer(gate: Gate, passage: Passage) -> Answer:
    """The token, or an error for ``refuse`` to answer in the endpoint's own form.

    Raises:
        HopError: whatever the request is refused for.
    """
    passage.refused_as = token_request.refused
    try:
        issued = await _issued(gate, passage)
    except HopError as error:
        gate.metrics.token_requested(error.reason)
        raise
    gate.metrics.token_requested(Reason.PERMITTED)
    passage.close()
    return _answered(issued)


async def _issued(gate: Gate, passage: Passage) -> Issued:
    exchange = passage.exchange
    client = exchange.peer
    if client is None:
        raise HopError(Reason.TRUST_WITHDRAWN, "the certificate is no longer vouched for")
    if client.spiffe_id in gate.mesh.proxies:
        # Its certificate proves the proxy: whoever is behind it would act as the proxy.
        raise HopError(Reason.FORWARDED_IDENTITY, "tokens are issued to a certificate, and not by way of a mesh proxy")
    if exchange.method != "POST":
        raise HttpError(Reason.HTTP_METHOD, "tokens are asked for with POST", status=405, allow="POST")
    if "?" in exchange.target:
        raise token_request.invalid("parameters are sent in the body only")
    limits = passage.limits
    counting.check_refused(gate, passage)
    counting.arrive(gate, passage)
    body = await exchange.read_body(limits.token_request_bytes, limits.body_seconds)
    counting.count_request(gate, passage, len(body))
    request = token_request.read(passage.headers, body)
    grant = GRANTS.get(request.need("grant_type"))
    if grant is None:
        raise HopError(Reason.GRANT_UNSUPPORTED, f"served are {', '.join(GRANTS)}")
    passage.refused_as = partial(token_request.refused, credential=grant.credential)
    passage.action = grant.action
    _check_client(client, request)
    return await grant.issue(gate, passage, client, request)


def _check_client(client: Peer, request: TokenRequest) -> None:
    """One way to prove a client, and the name that it gives is the one that it proves.

    Raises:
        HopError: CLIENT_MISMATCH, or TOKEN_REQUEST_INVALID.
    """
    if request.get("client_id") not in (None, client.spiffe_id):
        raise HopError(Reason.CLIENT_MISMATCH, "client_id is not the SPIFFE ID of the certificate")
    for name in ("client_secret", "client_assertion"):
        if request.get(name) is not None:
            raise token_request.invalid(f"the client is known by its certificate; send no {name}")


def _answered(issued: Issued) -> Answer:
    document = {
        "access_token": issued.access_token,
        "issued_token_type": issued.issued_token_type,
        "token_type": "Bearer",
        "expires_in": issued.expires_in,
        "scope": " ".join(sorted(issued.scope)),
    }
    body = msgspec.json.encode({name: value for name, value in document.items() if value is not None})
    return Answer(200, (("Content-Type", "application/json"), ("Cache-Control", "no-store")), body)
