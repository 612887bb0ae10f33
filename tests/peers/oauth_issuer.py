"""The certified ``oidc-provider`` with clients of a test's choice, and a browser that logs in and consents there."""

import contextlib
import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from urllib.parse import urljoin

import aiohttp

from tests.peers.oidc import LoginFailedError
from tests.peers.parts import PEERS, require
from tests.peers.process import started

MOST_STEPS = 24
ANSWER_PATH = "/oauth/callback"
_TICKET = re.compile(r'name="ticket" value="([^"]+)"')


@contextlib.asynccontextmanager
async def oauth_issuer(
    clients: Sequence[Mapping[str, Any]], scopes: Sequence[str] = (), seconds: int = 600, port: int = 0
) -> AsyncIterator[str]:
    """Run the provider; yields its issuer."""
    node = require("node")
    require("npm:oidc-provider")
    wanted = json.dumps({"clients": list(clients), "scopes": list(scopes), "seconds": seconds})
    async with started([node, PEERS / "oauth-issuer.mjs", str(port), wanted], ready="issuer ") as line:
        yield line.removeprefix("issuer ")


class Browser:
    """A person's browser: cookies, redirects and the provider's two forms, filled in as ``login``."""

    def __init__(self, http: aiohttp.ClientSession, origin: str) -> None:
        self.http = http
        self.origin = origin
        """The gateway's own origin, which a browser sends with its form."""
        self.visited: list[str] = []

    async def begin(self, link: str) -> str:
        """Open the link and go on; the URL of the login that it leads to."""
        async with self.http.get(link) as response:
            page = await response.text()
            if response.status != 200:
                raise LoginFailedError(f"{response.status}: {page}")
        found = _TICKET.search(page)
        if found is None:
            raise LoginFailedError(page)
        url, headers = link.partition("?")[0], {"Origin": self.origin}
        async with self.http.post(url, data={"ticket": found[1]}, headers=headers, allow_redirects=False) as response:
            if response.status != 303:
                raise LoginFailedError(f"{response.status}: {await response.text()}")
            return response.headers["location"]

    async def log_in(self, url: str, login: str) -> str:
        """Log in and consent at one authorization server; the URL that it sends the browser back to."""
        method, form = "GET", None
        for _ in range(MOST_STEPS):
            self.visited.append(url)
            async with self.http.request(method, url, data=form, allow_redirects=False) as response:
                method, form = "GET", None
                if response.status in {302, 303}:
                    url = urljoin(url, response.headers["location"])
                    if ANSWER_PATH in url.partition("?")[0]:
                        return url
                    continue
                page = await response.text()
                if response.status != 200:
                    raise LoginFailedError(f"{response.status} {page[:300]}")
                method = "POST"
                asks_login = 'name="login"' in page
                form = {"prompt": "login", "login": login, "password": "any"} if asks_login else {"prompt": "consent"}
        raise LoginFailedError("still redirecting")

    async def answer(self, url: str) -> tuple[int, str]:
        """Bring an authorization server's answer to the gateway: status, and the page or where it leads."""
        async with self.http.get(url, allow_redirects=False) as response:
            return response.status, response.headers.get("location") or await response.text()

    async def consent(self, link: str, login: str, there: str = "maria-there") -> tuple[int, str]:
        """The whole way as ``login``, who is ``there`` at the third party's; how the last step ended."""
        status, place = await self.answer(await self.log_in(await self.begin(link), login))
        if status != 303:
            return status, place
        return await self.answer(await self.log_in(place, there))
