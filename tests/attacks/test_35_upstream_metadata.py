"""Attack 35: documents of a third party that send the gateway, or its secret, elsewhere (SSRF, issuer swap)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from gateway.core.errors import UpstreamError
from gateway.core.reasons import Reason
from gateway.identity.authorization_server import AskError, AuthorizationServer
from gateway.identity.documents import issuer_tls
from gateway.identity.resource_metadata import check_resource
from tests.identity.issuer_stand_in import IssuerStandIn, issuer_stand_in
from tests.ports import free_port
from tests.third_party import Tracker, served_tracker

NOW = 1_800_000_000.0
FORM = {"grant_type": "client_credentials"}


@asynccontextmanager
async def two() -> AsyncIterator[tuple[IssuerStandIn, IssuerStandIn]]:
    """The configured issuer, and one of the attacker's."""
    async with issuer_stand_in() as issuer, issuer_stand_in() as evil:
        yield issuer, evil


def server(issuer: IssuerStandIn, **more: Any) -> AuthorizationServer:
    return AuthorizationServer(issuer.client(**more), lambda _: b"the secret", loopback_http=True)


@pytest.mark.parametrize(
    "place", ["{evil}/token", "http://169.254.169.254/latest", "file:///etc/passwd", "{own}@x/", 7, ""]
)
async def test_an_endpoint_elsewhere_is_not_asked(place: Any) -> None:
    async with two() as (issuer, evil):
        found = place.format(evil=evil.origin, own=issuer.origin) if isinstance(place, str) else place
        issuer.metadata["token_endpoint"] = found
        with pytest.raises(AskError) as refused:
            await server(issuer).ask(FORM, NOW)
        assert "the secret" not in str(refused.value)
        assert evil.asked == []
        assert issuer.posts == []


async def test_an_endpoint_elsewhere_is_asked_where_it_is_configured() -> None:
    async with two() as (issuer, other):
        assert await server(issuer, token_endpoint=f"{other.origin}/token").ask(FORM, NOW)
        assert len(other.posts) == 1
        assert issuer.asked == [], "nothing is left to be discovered"


async def test_browsers_are_not_sent_elsewhere_either() -> None:
    async with two() as (issuer, evil):
        issuer.metadata["authorization_endpoint"] = f"{evil.origin}/auth"
        with pytest.raises(AskError):
            await server(issuer, grant="authorization_code").endpoints(NOW)


async def test_metadata_of_another_issuer_is_no_metadata() -> None:
    async with two() as (issuer, evil):
        issuer.metadata["issuer"] = evil.origin
        with pytest.raises(AskError):
            await server(issuer).ask(FORM, NOW)
        assert issuer.posts == evil.asked == []


async def test_the_secret_follows_no_redirect() -> None:
    async with two() as (issuer, evil):
        issuer.answer = (b"", 307, {"Location": f"{evil.origin}/token"})
        with pytest.raises(AskError):
            await server(issuer).ask(FORM, NOW)
        assert len(issuer.posts) == 1
        assert evil.asked == []


async def test_plain_http_is_for_loopback_outside_production_alone() -> None:
    async with issuer_stand_in() as issuer:
        production = AuthorizationServer(issuer.client(), lambda _: b"the secret", loopback_http=False)
        with pytest.raises(AskError):
            await production.ask(FORM, NOW)
        assert issuer.asked == []


@pytest.mark.parametrize("lie", ["issuer", "resource"])
async def test_an_upstream_cannot_name_another_issuer_or_resource(tmp_path: Path, lie: str) -> None:
    ca, port = trustme.CA(), free_port()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    url, tls = f"https://localhost:{port}/mcp", issuer_tls(tmp_path / "ca.pem")
    async with two() as (issuer, evil):
        client = issuer.client(resource=url)
        tracker = Tracker(issuer.origin, url)
        async with served_tracker(tracker, ca, port, tmp_path):
            await check_resource(url, client, tls)
        if lie == "issuer":
            tracker.issuer = evil.origin
        else:
            tracker.resource = f"https://localhost:{port}/mcp2"
            url = f"https://localhost:{port}/mcp2"
        async with served_tracker(tracker, ca, port, tmp_path):
            with pytest.raises(UpstreamError) as refused:
                await check_resource(url, client, tls)
        assert refused.value.reason is Reason.UPSTREAM_CREDENTIAL
        assert evil.asked == issuer.asked == [], "no URL of the document is asked"
