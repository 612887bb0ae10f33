"""The certified ``oidc-provider`` as the user's identity provider, and a person logging in to it.

The login is the real authorization code flow with PKCE (RFC 7636) and a resource indicator (RFC 8707),
through the provider's own two forms, as a browser would send them.
"""

import base64
import contextlib
import hashlib
import secrets
from collections.abc import AsyncIterator, Mapping
from urllib.parse import parse_qs, urljoin, urlsplit

import aiohttp

from tests.peers.parts import PEERS, require
from tests.peers.process import started

CLIENT_ID = "ide"
REDIRECT_URI = "http://127.0.0.1/callback"
MAX_STEPS = 10


class LoginFailedError(Exception):
    """The provider answered something else than the next step of the flow."""


@contextlib.asynccontextmanager
async def oidc_provider(port: int = 0, kid: str = "peer-1") -> AsyncIterator[str]:
    """Run the provider with a new key called ``kid``; yields its issuer, e.g. ``http://127.0.0.1:41234``."""
    node = require("node")
    require("npm:oidc-provider")
    async with started([node, PEERS / "oidc-provider.mjs", str(port), kid], ready="issuer ") as line:
        yield line.removeprefix("issuer ")


async def log_in(issuer: str, resource: str, *, login: str = "maria", scope: str = "openid ledger.read") -> str:
    """An access token of ``login`` for ``resource``, by the whole code flow."""
    return (await token_answer(issuer, resource, login=login, scope=scope))["access_token"]


async def token_answer(
    issuer: str, resource: str, *, login: str = "maria", scope: str = "openid ledger.read"
) -> Mapping[str, str]:
    """What the token endpoint answers at the end of the flow; with scope ``openid`` an ID token is in it too."""
    verifier = secrets.token_urlsafe(48)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    cookies = aiohttp.CookieJar(unsafe=True)  # an IP address as host counts as unsafe
    async with aiohttp.ClientSession(cookie_jar=cookies) as browser:
        metadata = await get_json(browser, f"{issuer}/.well-known/openid-configuration")
        request = {
            "client_id": CLIENT_ID,
            "response_type": "code",
            "redirect_uri": REDIRECT_URI,
            "scope": scope,
            "resource": resource,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            "state": secrets.token_urlsafe(16),
        }
        answer = await authorize(browser, metadata["authorization_endpoint"], request, login)
        if answer.get("state") != request["state"] or answer.get("iss") != issuer or "code" not in answer:
            raise LoginFailedError(f"the provider ended with {answer.get('error', 'no code')}")
        exchange = {
            "grant_type": "authorization_code",
            "code": answer["code"],
            "redirect_uri": REDIRECT_URI,
            "client_id": CLIENT_ID,
            "code_verifier": verifier,
            "resource": resource,
        }
        async with browser.post(metadata["token_endpoint"], data=exchange) as response:
            tokens: Mapping[str, str] = await response.json()
            if response.status != 200:
                raise LoginFailedError(f"token endpoint: {response.status} {tokens.get('error')}")
            return tokens


async def authorize(
    browser: aiohttp.ClientSession, endpoint: str, request: Mapping[str, str], login: str
) -> Mapping[str, str]:
    """Follow redirects and fill in the login and consent forms, to the parameters of the final redirect."""
    forms = [{"prompt": "login", "login": login, "password": "any"}, {"prompt": "consent"}]
    method, url, query, form = "GET", endpoint, dict(request), None
    for _ in range(MAX_STEPS):
        async with browser.request(method, url, params=query, data=form, allow_redirects=False) as response:
            if response.status in {302, 303}:
                method, url, query, form = "GET", urljoin(url, response.headers["location"]), {}, None
                if url.startswith(REDIRECT_URI):
                    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
            elif response.status == 200 and forms:
                method, form = "POST", forms.pop(0)
            else:
                raise LoginFailedError(f"{urlsplit(url).path}: {response.status} {(await response.text())[:300]}")
    raise LoginFailedError(f"still redirecting after {MAX_STEPS} steps")


async def get_json(browser: aiohttp.ClientSession, url: str) -> Mapping[str, str]:
    """A JSON document, or an aiohttp error."""
    async with browser.get(url, raise_for_status=True) as response:
        document: Mapping[str, str] = await response.json()
        return document
