"""Who calls, where that isn't the workload whose certificate the connection shows.

A configured mesh proxy says who its own caller was. Whoever else sends its header says nothing: it is no header of
the pipeline's, and none is forwarded. Doesn't look anybody up (``core.delegation``).
"""

from collections.abc import Callable

import msgspec
from msgspec import Struct

from gateway.core.errors import HopError
from gateway.core.model import Forwarder, Peer, SpiffeId
from gateway.core.reasons import Reason
from gateway.core.spiffe import trust_domain_of
from gateway.protocols.forwarded_cert import HEADER, ForwardedCertError, forwarded_id
from gateway.proxy.exchange import Exchange


class Mesh(Struct, frozen=True):
    """The proxies whose word counts, and the trust domains that they may speak of."""

    proxies: frozenset[SpiffeId]
    trusts: Callable[[str], bool]
    """Whether the gateway has a trust bundle for a domain, and so could have verified the caller itself."""


NO_MESH = Mesh(frozenset(), lambda domain: False)


def called_by(exchange: Exchange, mesh: Mesh) -> Exchange:
    """The exchange with its true caller.

    Raises:
        HopError: FORWARDED_IDENTITY, a mesh proxy that doesn't say who calls, or says what it may not.
    """
    proxy = exchange.peer
    if proxy is None or proxy.spiffe_id not in mesh.proxies:
        return exchange
    values = [value for name, value in exchange.headers if name == HEADER]
    if len(values) != 1:
        raise _refused(f"{proxy.spiffe_id} sent {len(values)} of the header {HEADER}")
    try:
        spiffe_id = forwarded_id(values[0])
    except ForwardedCertError as error:
        raise _refused(f"{HEADER} of {proxy.spiffe_id}: {error}") from None
    domain = trust_domain_of(spiffe_id)
    if domain != proxy.trust_domain and not mesh.trusts(domain):
        raise _refused(f"{HEADER} of {proxy.spiffe_id} names a workload of {domain}, for which there is no bundle")
    if spiffe_id in mesh.proxies:
        raise _refused(f"{HEADER} of {proxy.spiffe_id} names a mesh proxy as the caller")
    # Its certificate is the proxy's to see: the proxy's own bounds the hop, and nothing can be bound to the caller's.
    forwarder = Forwarder(proxy.spiffe_id, proxy.x5t)
    peer = Peer(spiffe_id, domain, x5t="", not_after=proxy.not_after, proof="xfcc", forwarder=forwarder)
    return msgspec.structs.replace(exchange, peer=peer)


def _refused(detail: str) -> HopError:
    return HopError(Reason.FORWARDED_IDENTITY, detail)
