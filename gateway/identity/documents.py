"""Fetching an issuer's metadata and key documents, as narrowly as possible.

URLs come from the configuration, or from a document that the configured issuer served; never from a
token. No redirects, no proxies from the environment, no compression, bounded size and time.
"""

import ssl
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import aiohttp

from gateway.identity.jose import strict_object

MAX_DOCUMENT_BYTES = 256 * 1024
FETCH_SECONDS = 5.0


class DocumentError(Exception):
    """A document can't be had. The text names the URL and the cause."""


def issuer_tls(ca_file: Path | None) -> ssl.SSLContext:
    """Web PKI verification against the system's roots, or only those of ``ca_file``."""
    return ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))


def check_url(url: str, *, loopback_http: bool) -> SplitResult:
    """The parsed URL, if it may be fetched: https, or http to a loopback address where that is allowed.

    Raises:
        DocumentError: any other URL.
    """
    try:
        parsed = urlsplit(url)
        host, _ = parsed.hostname or "", parsed.port
    except ValueError:
        raise DocumentError(f"{url[:200]!r} is no URL") from None
    if parsed.username is not None or parsed.fragment or not host:
        raise DocumentError(f"{url[:200]!r} is no plain https URL")
    if parsed.scheme == "https" or (parsed.scheme == "http" and loopback_http and _is_loopback(host)):
        return parsed
    raise DocumentError(f"{url[:200]!r} is not https")


async def fetch(url: str, tls: ssl.SSLContext, *, loopback_http: bool) -> bytes:
    """The body of ``url``, answered with 200.

    Raises:
        DocumentError: not allowed, unreachable, too slow, too large, or another status.
    """
    check_url(url, loopback_http=loopback_http)
    timeout = aiohttp.ClientTimeout(total=FETCH_SECONDS)
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, auto_decompress=False, trust_env=False) as session,
            session.get(url, ssl=tls, allow_redirects=False, headers=headers) as response,
        ):
            if response.status != 200:
                raise DocumentError(f"{url} answered {response.status}")
            return await bounded_body(url, response)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise DocumentError(f"{url} can't be fetched: {type(error).__name__}") from None


async def discover_jwks_uri(issuer: str, tls: ssl.SSLContext, *, loopback_http: bool) -> str:
    """``jwks_uri`` of the issuer's metadata: OIDC Discovery §4.1, else RFC 8414 §3.1.

    Raises:
        DocumentError: neither document can be had, is the issuer's own, or names a fetchable URL.
    """
    causes = []
    for url in metadata_urls(issuer, loopback_http=loopback_http):
        try:
            document = _metadata(url, await fetch(url, tls, loopback_http=loopback_http))
            if document.get("issuer") != issuer:
                raise DocumentError(f"{url} is the metadata of another issuer")
            jwks_uri = document.get("jwks_uri")
            if not isinstance(jwks_uri, str):
                raise DocumentError(f"{url} names no jwks_uri")
            check_url(jwks_uri, loopback_http=loopback_http)
        except DocumentError as error:
            causes.append(str(error))
        else:
            return jwks_uri
    raise DocumentError("; ".join(causes))


def metadata_urls(issuer: str, *, loopback_http: bool) -> tuple[str, str]:
    """Where the issuer's metadata may be: OIDC appends its path, RFC 8414 inserts it.

    Raises:
        DocumentError: the issuer is no URL that may be fetched.
    """
    parsed = check_url(issuer, loopback_http=loopback_http)
    if parsed.query:
        raise DocumentError(f"{issuer[:200]!r} has a query")
    path = parsed.path.rstrip("/")
    origin = f"{parsed.scheme}://{parsed.netloc}"
    return (
        f"{origin}{path}/.well-known/openid-configuration",
        f"{origin}/.well-known/oauth-authorization-server{path}",
    )


def _metadata(url: str, body: bytes) -> dict[str, object]:
    try:
        return strict_object(body)
    except ValueError as error:
        raise DocumentError(f"{url}: {error}") from None


async def bounded_body(url: str, response: aiohttp.ClientResponse) -> bytes:
    """The body of ``response``, if it isn't compressed and not larger than a document may be.

    Raises:
        DocumentError: it is.
    """
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise DocumentError(f"{url} answered compressed although identity was asked for")
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > MAX_DOCUMENT_BYTES:
            raise DocumentError(f"{url} is larger than {MAX_DOCUMENT_BYTES} bytes")
    return bytes(body)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
