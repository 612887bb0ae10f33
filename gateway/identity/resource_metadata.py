"""What a third-party upstream says of itself (RFC 9728), held against the configuration.

It can only contradict: the issuer is the configured one, and no URL of the document is ever asked.
"""

import ssl
from urllib.parse import urlsplit

from gateway.core.errors import UpstreamError
from gateway.core.reasons import Reason
from gateway.core.recent import Recent
from gateway.core.third_party import OAuthClient
from gateway.identity.documents import DocumentError, fetch
from gateway.identity.jose import strict_object

MOST_ISSUERS = 32
CHECK_SECONDS = 600
MOST_CHECKS = 512


async def check_resource(url: str, client: OAuthClient, tls: ssl.SSLContext) -> None:
    """Refuse an upstream at ``url`` that names another resource, or not the configured issuer.

    One that has no such document is taken at the configuration's word.

    Raises:
        UpstreamError: UPSTREAM_CREDENTIAL.
    """
    parsed = urlsplit(url)
    path = parsed.path.rstrip("/")
    place = f"{parsed.scheme}://{parsed.netloc}/.well-known/oauth-protected-resource{path}"
    try:
        document = strict_object(await fetch(place, tls, loopback_http=False))
    except (DocumentError, ValueError):
        return
    if _bare(document.get("resource")) != _bare(client.resource):
        raise _contradiction("is of another resource; set oauth.resource to the one that it names, if that is right")
    issuers = document.get("authorization_servers")
    if isinstance(issuers, list) and _bare(client.issuer) not in map(_bare, issuers[:MOST_ISSUERS]):
        raise _contradiction(f"does not name the issuer {client.issuer}; see whether the third party has moved")


def _bare(url: object) -> str:
    """For comparing only: libraries write an empty path as a slash (RFC 3986 §6.2.3)."""
    return url.removesuffix("/") if isinstance(url, str) else ""


def _contradiction(text: str) -> UpstreamError:
    return UpstreamError(Reason.UPSTREAM_CREDENTIAL, f"the upstream's resource metadata {text}")


class ResourceChecks:
    """Checks that hold for ten minutes."""

    def __init__(self) -> None:
        self._checked = Recent[tuple[str, OAuthClient], float](MOST_CHECKS)

    async def check(self, url: str, client: OAuthClient, tls: ssl.SSLContext, now: float) -> None:
        """As ``check_resource``, unless the upstream passed not long ago.

        Raises:
            UpstreamError: UPSTREAM_CREDENTIAL.
        """
        at = self._checked.get((url, client))
        if at is not None and 0 <= now - at < CHECK_SECONDS:
            return
        await check_resource(url, client, tls)
        self._checked.put((url, client), now)
