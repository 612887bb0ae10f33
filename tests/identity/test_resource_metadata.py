"""What a third-party upstream says of itself: it may contradict, once in ten minutes, and its URLs are never asked."""

import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from gateway.core.errors import UpstreamError
from gateway.core.reasons import Reason
from gateway.core.third_party import OAuthClient
from gateway.identity.resource_metadata import CHECK_SECONDS, ResourceChecks, check_resource
from gateway.identity.tls import public_context
from tests.identity.pki import Shape, World

ISSUER = "https://login.tracker.test"
NOW = 1_800_000_000.0


class Upstream:
    def __init__(self) -> None:
        self.url = ""
        self.asked: list[str] = []
        self.document: Any = None

    async def handle(self, request: web.BaseRequest) -> web.Response:
        self.asked.append(request.path)
        if self.document is None:
            return web.Response(status=404)
        return web.Response(body=json.dumps(self.document).encode(), content_type="application/json")

    def client(self) -> OAuthClient:
        return OAuthClient(
            grant="client_credentials", issuer=ISSUER, client_id="hopgate", authentication="none", resource=self.url
        )


@asynccontextmanager
async def upstream(world: World) -> AsyncIterator[tuple[Upstream, ssl.SSLContext]]:
    found = Upstream()
    runner = web.ServerRunner(web.Server(found.handle))
    await runner.setup()
    context = public_context(world.a.issue("upstream", Shape(dns=["localhost"])).pair)
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    found.url = f"https://localhost:{runner.addresses[0][1]}/mcp"
    trust = ssl.create_default_context(cadata=ssl.DER_cert_to_PEM_cert(world.a.der[0]))
    try:
        yield found, trust
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    "said",
    [
        None,
        [],
        {"resource": "{url}", "authorization_servers": [ISSUER]},
        {"resource": "{url}/", "authorization_servers": ["https://other.test", f"{ISSUER}/"]},
        {"resource": "{url}"},
        {"resource": "{url}", "authorization_servers": "no list"},
        {"resource": "{url}", "authorization_servers": [*["x"] * 31, ISSUER]},
    ],
)
async def test_what_contradicts_nothing_passes(world: World, said: Any) -> None:
    async with upstream(world) as (found, trust):
        if isinstance(said, dict):
            said = said | {"resource": said["resource"].format(url=found.url)}
        found.document = said
        await check_resource(found.url, found.client(), trust)
        assert found.asked == ["/.well-known/oauth-protected-resource/mcp"]


NOT_OURS = f"the upstream's resource metadata does not name the issuer {ISSUER}; see whether the third party has moved"
ANOTHER = (
    "the upstream's resource metadata is of another resource; set oauth.resource to the one that it names, "
    "if that is right"
)


@pytest.mark.parametrize(
    ("said", "detail"),
    [
        ({"authorization_servers": []}, NOT_OURS),
        ({"authorization_servers": ["https://evil.test", 7]}, NOT_OURS),
        ({"authorization_servers": [*["x"] * 32, ISSUER]}, NOT_OURS),
        ({"resource": "https://evil.test/mcp"}, ANOTHER),
        ({"resource": 7}, ANOTHER),
        ({"resource": None}, ANOTHER),
    ],
)
async def test_a_contradiction_is_told(world: World, said: dict[str, Any], detail: str) -> None:
    async with upstream(world) as (found, trust):
        found.document = {"resource": found.url} | said
        with pytest.raises(UpstreamError) as caught:
            await check_resource(found.url, found.client(), trust)
    assert (caught.value.reason, caught.value.detail) == (Reason.UPSTREAM_CREDENTIAL, detail)


async def test_a_slash_at_the_end_of_the_url_is_not_part_of_the_place(world: World) -> None:
    async with upstream(world) as (found, trust):
        await check_resource(found.url + "/", found.client(), trust)
        assert found.asked == ["/.well-known/oauth-protected-resource/mcp"]


async def test_a_check_holds_for_ten_minutes_and_for_this_client_and_url_alone(world: World) -> None:
    async with upstream(world) as (found, trust):
        checks, client = ResourceChecks(), found.client()
        for now in (NOW, NOW, NOW + CHECK_SECONDS - 1):
            await checks.check(found.url, client, trust, now)
        assert len(found.asked) == 1
        for url, who, now in (
            (found.url + "2", client, NOW),
            (found.url, OAuthClient(**{**fields(client), "client_id": "other"}), NOW),
            (found.url, client, NOW + CHECK_SECONDS),
            (found.url, client, NOW - 1),
        ):
            before = len(found.asked)
            await checks.check(url, who, trust, now)
            assert len(found.asked) == before + 1


def fields(client: OAuthClient) -> dict[str, Any]:
    return {name: getattr(client, name) for name in client.__struct_fields__}


async def test_who_was_refused_is_asked_again(world: World) -> None:
    async with upstream(world) as (found, trust):
        checks, client = ResourceChecks(), found.client()
        found.document = {"resource": "https://evil.test"}
        for _ in range(2):
            with pytest.raises(UpstreamError):
                await checks.check(found.url, client, trust, NOW)
        found.document = None
        await checks.check(found.url, client, trust, NOW)
        assert len(found.asked) == 3
