"""One authorization server, asked as one of its clients: where its endpoints are, and what its token endpoint answers.

The issuer is pinned. Endpoints that its metadata names have to be on its own origin; others are configured, so no
document can send the client's secret elsewhere. No redirects, no proxies, bounded size and time. Never follows an
answer's URL. Doesn't keep tokens (``identity.upstream_oauth``).
"""

import asyncio
import base64
import re
import ssl
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus, urlencode, urlsplit

import aiohttp
import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from jwt.exceptions import PyJWTError
from msgspec import Struct

from gateway.core.third_party import OAuthClient
from gateway.identity.documents import DocumentError, bounded_body, check_url, fetch, issuer_tls, metadata_urls
from gateway.identity.jose import strict_object

METADATA_SECONDS = 600
"""Metadata and certificates older than this are read again."""
FAILED_SECONDS = 2.0
"""A look-up that failed isn't tried again so soon."""
ASSERTION_SECONDS = 60
ANSWER_SECONDS = 10.0
TOKEN_CHARS = 8192
_ERROR_CODE = re.compile(r"[a-z_]{1,64}")
_SENDABLE = re.compile(r"[\x21-\x7e]+")

Resolve = Callable[[str], bytes]
"""The secret behind a reference; raises LookupError, which names the reference only."""


class AskError(Exception):
    """The authorization server can't be asked, or says no. The text holds no secret, and nothing of its own words.

    ``code`` is the error code of its answer (RFC 6749 §5.2), empty where it gave none.
    """

    def __init__(self, text: str, *, code: str = "", unavailable: bool = False) -> None:
        super().__init__(text)
        self.code = code
        self.unavailable = unavailable


class Endpoints(Struct, frozen=True):
    """Where the server is asked."""

    token: str
    authorization: str
    says_iss: bool
    """Whether its answers to browsers always name it (RFC 9207 §3)."""


class TokenAnswer(Struct, frozen=True):
    """A token endpoint's answer. All secrets: it has no repr."""

    access_token: str
    expires_in: int | None
    refresh_token: str | None = None
    id_token: str | None = None

    def __repr__(self) -> str:
        return "TokenAnswer()"


class AuthorizationServer:
    """The issuer of ``client``, asked as that client."""

    def __init__(self, client: OAuthClient, resolve: Resolve, *, loopback_http: bool) -> None:
        self.client = client
        self._resolve = resolve
        self._loopback_http = loopback_http
        self._known: tuple[float, ssl.SSLContext, Endpoints] | None = None
        self._failed: tuple[float, AskError | None] = (0.0, None)
        self._looking = asyncio.Lock()

    async def endpoints(self, now: float) -> Endpoints:
        """The endpoints, at most ten minutes old.

        Raises:
            AskError: the metadata can't be had, or isn't the issuer's.
        """
        return (await self._current(now))[1]

    async def ask(self, form: Mapping[str, str], now: float) -> TokenAnswer:
        """What the token endpoint answers to ``form``, authenticated as the client.

        Raises:
            AskError: it can't be asked, it refused, or its answer is none.
        """
        tls, endpoints = await self._current(now)
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        body = {**form, **await self._authentication(headers, now)}
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        url = endpoints.token
        try:
            async with (
                aiohttp.ClientSession(
                    timeout=timeout,
                    auto_decompress=False,
                    trust_env=False,
                    cookie_jar=aiohttp.DummyCookieJar(),
                ) as session,
                session.post(
                    url,
                    data=urlencode(body).encode(),
                    headers={**headers, "Content-Type": "application/x-www-form-urlencoded"},
                    ssl=tls,
                    allow_redirects=False,
                ) as response,
            ):
                status, content = response.status, await bounded_body(url, response)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise AskError(f"{url} can't be asked: {type(error).__name__}", unavailable=True) from None
        except DocumentError as error:
            raise AskError(str(error)) from None
        return _read_answer(url, status, content)

    async def _current(self, now: float) -> tuple[ssl.SSLContext, Endpoints]:
        async with self._looking:
            if self._known is None or not 0 <= now - self._known[0] < METADATA_SECONDS:
                self._known = (now, *await self._looked_up())
            return self._known[1], self._known[2]

    async def _looked_up(self) -> tuple[ssl.SSLContext, Endpoints]:
        loop = asyncio.get_running_loop()
        at, failed = self._failed
        if failed is not None and loop.time() - at < FAILED_SECONDS:
            # Else everybody who waits would try in turn, each until its time is up.
            raise failed
        try:
            tls = await asyncio.to_thread(issuer_tls, _path(self.client.ca_file))
            return tls, await self._found(tls)
        except DocumentError as error:
            failed = AskError(str(error), unavailable=True)
        except OSError as error:
            failed = AskError(f"{self.client.ca_file}: {error.strerror or error}", unavailable=True)
        self._failed = (loop.time(), failed)
        raise failed

    async def _found(self, tls: ssl.SSLContext) -> Endpoints:
        client = self.client
        token, authorization = client.token_endpoint, client.authorization_endpoint
        needed = client.grant == "authorization_code"
        if token is not None and (authorization is not None or not needed):
            return Endpoints(token, authorization or "", says_iss=False)
        document = await _metadata(client.issuer, tls, loopback_http=self._loopback_http)
        return Endpoints(
            token=token or self._own(document, "token_endpoint"),
            authorization=authorization or (self._own(document, "authorization_endpoint") if needed else ""),
            says_iss=document.get("authorization_response_iss_parameter_supported") is True,
        )

    def _own(self, document: Mapping[str, Any], name: str) -> str:
        """An endpoint that the issuer's metadata names, if it is on the issuer's own origin."""
        issuer, url = self.client.issuer, document.get(name)
        if not isinstance(url, str):
            raise DocumentError(f"the metadata of {issuer} names no {name}")
        found, own = check_url(url, loopback_http=self._loopback_http), urlsplit(issuer)
        if (found.scheme, found.netloc.lower()) != (own.scheme, own.netloc.lower()) or found.query:
            raise DocumentError(f"the {name} of {issuer} is elsewhere; configure {name} if it is right")
        return url

    async def _authentication(self, headers: dict[str, str], now: float) -> Mapping[str, str]:
        """What the form holds of the client; for ``client_secret_basic`` the header instead."""
        client = self.client
        if client.authentication == "none" or client.secret is None:
            return {"client_id": client.client_id}
        try:
            secret = await asyncio.to_thread(self._resolve, client.secret)
        except LookupError as error:
            raise AskError(str(error)) from None
        if client.authentication == "private_key_jwt":
            return {
                "client_id": client.client_id,
                "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                "client_assertion": _assertion(client, secret, int(now)),
            }
        try:
            text = secret.decode("ascii")
        except UnicodeDecodeError:
            raise AskError(f"the secret of client {client.client_id} is not ASCII") from None
        if client.authentication == "client_secret_post":
            return {"client_id": client.client_id, "client_secret": text}
        # RFC 6749 §2.3.1: both are form-encoded before they become user and password.
        pair = f"{quote_plus(client.client_id)}:{quote_plus(text)}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        return {}


async def _metadata(issuer: str, tls: ssl.SSLContext, *, loopback_http: bool) -> Mapping[str, Any]:
    causes = []
    for url in metadata_urls(issuer, loopback_http=loopback_http):
        try:
            document = strict_object(await fetch(url, tls, loopback_http=loopback_http))
            if document.get("issuer") != issuer:
                raise DocumentError(f"{url} is the metadata of another issuer")
        except (DocumentError, ValueError) as error:
            causes.append(str(error))
        else:
            return document
    raise DocumentError("; ".join(causes))


def _assertion(client: OAuthClient, pem: bytes, now: int) -> str:
    """RFC 7523 §3: the client's own word, for this issuer alone."""
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError):
        raise AskError(f"the key of client {client.client_id} is not an unencrypted PEM private key") from None
    if isinstance(key, RSAPrivateKey):
        algorithm = "RS256"
    elif isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1):
        algorithm = "ES256"
    else:
        raise AskError(f"the key of client {client.client_id} is neither EC P-256 nor RSA")
    claims = {
        "iss": client.client_id,
        "sub": client.client_id,
        "aud": client.issuer,
        "iat": now,
        "exp": now + ASSERTION_SECONDS,
        "jti": uuid.uuid4().hex,
    }
    try:
        return jwt.encode(claims, key, algorithm)
    except PyJWTError:
        raise AskError(f"the key of client {client.client_id} can't sign {algorithm}") from None


def _read_answer(url: str, status: int, content: bytes) -> TokenAnswer:
    try:
        answer = strict_object(content)
    except ValueError:
        answer = {}
    if status != 200:
        code = answer.get("error")
        code = code if isinstance(code, str) and _ERROR_CODE.fullmatch(code) else ""
        raise AskError(f"{url} answered {status} {code}".rstrip(), code=code, unavailable=status >= 500)
    kind, expires_in = answer.get("token_type"), answer.get("expires_in")
    access_token = _token(answer, "access_token")
    if access_token is None or not isinstance(kind, str) or kind.lower() != "bearer":
        raise AskError(f"{url} answered without a bearer token")
    usable = isinstance(expires_in, int) and not isinstance(expires_in, bool) and expires_in > 0
    return TokenAnswer(
        access_token, expires_in if usable else None, _token(answer, "refresh_token"), _token(answer, "id_token")
    )


def _token(answer: Mapping[str, Any], name: str) -> str | None:
    value = answer.get(name)
    fits = isinstance(value, str) and len(value) <= TOKEN_CHARS and _SENDABLE.fullmatch(value)
    return value if fits else None


def _path(name: str | None) -> Path | None:
    return None if name is None else Path(name)
