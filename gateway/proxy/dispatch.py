"""What an upstream is sent besides the call: the gateway's own hop token, or what a third party's server knows.

A third party's gets neither hop token nor client certificate. A call that it refuses with a 401 was not carried out
(RFC 9110 §15.5.2), and is sent once more if another token can be had; nothing else is ever sent twice.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping

from msgspec import Struct

from gateway.core.errors import UpstreamError
from gateway.core.model import Grant, Hop
from gateway.core.reasons import Reason
from gateway.core.registry import Upstream
from gateway.core.third_party import ApiKey, OAuthClient, ThirdParty
from gateway.identity.upstream_oauth import Holder, UpstreamToken, consent_required
from gateway.protocols.base import Outgoing
from gateway.proxy.gate import Gate, Passage, client_of
from gateway.proxy.upstream import UpstreamAnswer

_HEADER_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")
Send = Callable[[Mapping[str, str]], Awaitable[UpstreamAnswer]]


class Sent(Struct, frozen=True):
    """An answer's head, and the third party's secret that the call was sent with; empty where there is none."""

    answer: UpstreamAnswer
    secret: str = ""

    def __repr__(self) -> str:
        return "Sent()"


async def dispatch(gate: Gate, passage: Passage, grant: Grant, upstream: Upstream, outgoing: Outgoing) -> Sent:
    """Send what was granted, with what its upstream knows.

    Raises:
        HopError: CONSENT_REQUIRED, IDENTITY_UNAVAILABLE.
        UpstreamError: no credential could be had or it was refused, or the upstream could not be reached.
        StoreError: what the user let the gateway hold can't be read.
    """
    third = upstream.third_party
    if third is None:
        client = client_of(gate, passage)
        return Sent(await gate.upstreams.send(grant, upstream, outgoing, client, passage.limits))
    context = passage.edition.third_parties.contexts[third.ca_file]

    async def send(headers: Mapping[str, str]) -> UpstreamAnswer:
        return await gate.upstreams.send_third_party(grant, upstream, outgoing, headers, context, passage.limits)

    if isinstance(third.credential, OAuthClient):
        await gate.third_parties.checks.check(upstream.url, third.credential, context, gate.clock())
        return await _with_token(gate, holder_of(grant.hop, third.credential), send)
    secret = await _fixed(gate, third)
    answer = await send(secret)
    if answer.status == 401:
        answer.close()
        raise _refused()
    return Sent(answer, next(iter(secret.values()), ""))


def holder_of(hop: Hop, client: OAuthClient) -> Holder:
    """Whose token serves the hop.

    Raises:
        HopError: CONSENT_REQUIRED, there is nobody who could consent.
    """
    if client.grant == "client_credentials":
        return Holder(hop.route.name, client)
    if hop.user is None or hop.user.sub != hop.chain.sub:
        raise consent_required("the chain acts for no user, and only a user can consent")
    return Holder(hop.route.name, client, hop.user.sub)


async def _with_token(gate: Gate, holder: Holder, send: Send) -> Sent:
    oauth = gate.third_parties.oauth
    token = await oauth.token(holder)
    answer = await send(_bearer(token))
    if answer.status != 401:
        return Sent(answer, token.access_token)
    challenged = answer.headers.get("WWW-Authenticate", "").lower().startswith("bearer")
    answer.close()
    # Without a challenge it isn't sure that only the token kept the call from being carried out.
    other = await oauth.instead_of(holder, token) if challenged else None
    if other is None:
        raise _refused()
    answer = await send(_bearer(other))
    if answer.status == 401:
        answer.close()
        raise _refused()
    return Sent(answer, other.access_token)


async def _fixed(gate: Gate, third: ThirdParty) -> Mapping[str, str]:
    """The header of a fixed secret, read anew each time: it may be replaced while the gateway runs."""
    key = third.credential
    if not isinstance(key, ApiKey):
        return {}
    try:
        value = (await asyncio.to_thread(gate.third_parties.resolve, key.value)).decode("ascii")
    except (LookupError, UnicodeDecodeError):
        raise UpstreamError(Reason.UPSTREAM_CREDENTIAL, f"{key.value} can't be read as a header's value") from None
    if not _HEADER_VALUE.fullmatch(value):
        raise UpstreamError(Reason.UPSTREAM_CREDENTIAL, f"{key.value} is not a header's value")
    return {key.header: value}


def _bearer(token: UpstreamToken) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {token.access_token}"}


def _refused() -> UpstreamError:
    return UpstreamError(Reason.UPSTREAM_CREDENTIAL, "the upstream refuses the gateway's credential (401)")
