"""The keys of peer gateways: pinned, or fetched by mutual TLS from the very gateway that they are of.

Doesn't decide what a peer may vouch for (``core.federation``).
"""

from collections.abc import Callable

from gateway.core.federation import PeerGateway
from gateway.identity.assertions import TrustedPeer
from gateway.identity.documents import DocumentError, fetch
from gateway.identity.issuers import Issuer, JwksFile, JwksUri
from gateway.identity.keysets import KeySet, OnFailure, key_set
from gateway.identity.material import MaterialError
from gateway.identity.rotation import ClientIdentity

ALGORITHMS = ("ES256", "EdDSA")
"""What a gateway signs with."""

Client = Callable[[], ClientIdentity]


def trusted_peer(
    gateway: PeerGateway, source: JwksFile | JwksUri, client: Client, on_failure: OnFailure
) -> TrustedPeer:
    """The peer with its keys. Fetches nothing yet.

    ``client`` is who this gateway is towards the peer; a ``JwksUri`` is fetched only from the holder of the peer's
    SPIFFE ID.
    """
    issuer = Issuer(name=_key_name(gateway.name), issuer=gateway.issuer, source=source, algorithms=ALGORITHMS)
    if isinstance(source, JwksFile):
        return TrustedPeer(gateway, key_set(issuer, on_failure))

    async def load() -> bytes:
        try:
            context = client().context(gateway.spiffe_id)
        except MaterialError as error:
            raise DocumentError(f"{source.url} can't be fetched: {error}") from None
        return await fetch(source.url, context, loopback_http=False)

    return TrustedPeer(gateway, KeySet(issuer, load, on_failure))


def _key_name(name: str) -> str:
    # Names of peers have more characters than those of issuers; this one is for messages only.
    return "peer-" + "".join(char if char.isalnum() and char.isascii() else "-" for char in name.lower())
