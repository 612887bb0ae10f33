"""Fetching from a real server on loopback."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.identity import documents
from gateway.identity.documents import DocumentError, check_url, discover_jwks_uri, fetch, issuer_tls, metadata_urls
from gateway.identity.issuers import Discovery
from gateway.identity.jose import parse_compact
from gateway.identity.keysets import key_set
from gateway.identity.tls import public_context
from tests.identity.issuing import JWKS, NOW, issuer, sign
from tests.identity.pki import Shape, World

TLS = issuer_tls(None)
Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Site:
    """A loopback HTTP server whose answers are set by path; it counts requests."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []
        self.origin = ""

    def json(self, path: str, value: object, status: int = 200) -> None:
        async def answer(request: web.BaseRequest) -> web.StreamResponse:
            return web.json_response(value, status=status)

        self.answers[path] = answer

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append(request.path)
        if request.path not in self.answers:
            return web.Response(status=404)
        return await self.answers[request.path](request)

    async def start(self, context: ssl.SSLContext | None = None) -> web.ServerRunner:
        runner = web.ServerRunner(web.Server(self.handle))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        self.origin = f"{'https' if context else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
        return runner


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    made = Site()
    runner = await made.start()
    yield made
    await runner.cleanup()


class TestUrls:
    @pytest.mark.parametrize("url", ["https://login.test", "https://login.test:8443/x?y=1", "https://[2001:db8::1]/"])
    def test_https(self, url: str) -> None:
        assert check_url(url, loopback_http=False).geturl() == url

    @pytest.mark.parametrize("url", ["http://127.0.0.1:1/x", "http://localhost", "http://[::1]:1/", "http://127.9.9.9"])
    def test_loopback_http_only_where_allowed(self, url: str) -> None:
        assert check_url(url, loopback_http=True)
        with pytest.raises(DocumentError, match="not https"):
            check_url(url, loopback_http=False)

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "x",
            "file:///etc/passwd",
            "ftp://127.0.0.1/",
            "http://login.test",
            "http://127.0.0.1.evil.test/",
            "http://localhost.evil.test/",
            "https://me:secret@login.test/",
            "https://login.test/#x",
            "https://",
            "https://login.test:99999/",
            "https://[::1",
            "//login.test",
        ],
    )
    def test_never(self, url: str) -> None:
        with pytest.raises(DocumentError):
            check_url(url, loopback_http=True)

    def test_where_metadata_is(self) -> None:
        assert metadata_urls("https://h.test/realms/x/", loopback_http=False) == (
            "https://h.test/realms/x/.well-known/openid-configuration",
            "https://h.test/.well-known/oauth-authorization-server/realms/x",
        )
        assert metadata_urls("https://h.test", loopback_http=False) == (
            "https://h.test/.well-known/openid-configuration",
            "https://h.test/.well-known/oauth-authorization-server",
        )


class TestFetch:
    async def test_body(self, site: Site) -> None:
        site.json("/jwks", JWKS)
        assert json.loads(await fetch(f"{site.origin}/jwks", TLS, loopback_http=True)) == JWKS

    async def refusal(self, url: str) -> str:
        with pytest.raises(DocumentError) as caught:
            await fetch(url, TLS, loopback_http=True)
        return str(caught.value)

    async def test_other_statuses(self, site: Site) -> None:
        site.json("/jwks", {}, status=500)
        assert "answered 500" in await self.refusal(f"{site.origin}/jwks")

    async def test_redirects_are_not_followed(self, site: Site) -> None:
        async def answer(request: web.BaseRequest) -> web.StreamResponse:
            return web.Response(status=302, headers={"Location": "/internal"})

        site.answers["/jwks"] = answer
        site.json("/internal", JWKS)
        assert "answered 302" in await self.refusal(f"{site.origin}/jwks")
        assert site.asked == ["/jwks"]

    async def test_too_large(self, site: Site) -> None:
        async def answer(request: web.BaseRequest) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            try:
                while True:
                    await response.write(b" " * 65536)
            except ConnectionError:
                return response

        site.answers["/jwks"] = answer
        assert "is larger than" in await self.refusal(f"{site.origin}/jwks")

    async def test_compressed(self, site: Site) -> None:
        async def answer(request: web.BaseRequest) -> web.StreamResponse:
            response = web.json_response({"keys": [], "pad": "x" * 5000})
            response.enable_compression(web.ContentCoding.gzip)
            return response

        site.answers["/jwks"] = answer
        assert "compressed" in await self.refusal(f"{site.origin}/jwks")

    async def test_slow(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        async def answer(request: web.BaseRequest) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            while True:
                await response.write(b" ")
                await asyncio.sleep(0.02)

        site.answers["/jwks"] = answer
        monkeypatch.setattr(documents, "FETCH_SECONDS", 0.1)
        assert "TimeoutError" in await self.refusal(f"{site.origin}/jwks")

    async def test_nobody_listens(self) -> None:
        assert "can't be fetched" in await self.refusal("http://127.0.0.1:1/jwks")


class TestTls:
    async def test_pinned_root_only(self, world: World, tmp_path: Path) -> None:
        ca_file = tmp_path / "ca.pem"
        ca_file.write_bytes(world.a.certificate.public_bytes(Encoding.PEM))
        site = Site()
        server = world.a.issue("issuer", Shape(dns=["localhost"]))
        runner = await site.start(public_context(server.pair))
        try:
            url = site.origin.replace("127.0.0.1", "localhost")
            site.json("/jwks", JWKS)
            assert await fetch(f"{url}/jwks", issuer_tls(ca_file), loopback_http=False)
            with pytest.raises(DocumentError, match="ClientConnectorCertificateError"):
                await fetch(f"{url}/jwks", TLS, loopback_http=False)
            with pytest.raises(DocumentError, match="ClientConnectorCertificateError"):
                await fetch(f"{site.origin}/jwks", issuer_tls(ca_file), loopback_http=False)
        finally:
            await runner.cleanup()


class TestDiscovery:
    async def find(self, site: Site, name: str = "") -> str:
        return await discover_jwks_uri(site.origin + name, TLS, loopback_http=True)

    async def test_openid_configuration(self, site: Site) -> None:
        uri = f"{site.origin}/jwks"
        site.json("/.well-known/openid-configuration", {"issuer": site.origin, "jwks_uri": uri})
        assert await self.find(site) == uri

    async def test_oauth_metadata_of_a_path_as_fallback(self, site: Site) -> None:
        uri = f"{site.origin}/jwks"
        metadata = {"issuer": f"{site.origin}/realm", "jwks_uri": uri}
        site.json("/.well-known/oauth-authorization-server/realm", metadata)
        assert await self.find(site, "/realm") == uri
        assert site.asked[0] == "/realm/.well-known/openid-configuration"

    @pytest.mark.parametrize(
        ("change", "cause"),
        [
            ({"issuer": "https://evil.test"}, "another issuer"),
            ({"issuer": None}, "another issuer"),
            ({"jwks_uri": None}, "names no jwks_uri"),
            ({"jwks_uri": 1}, "names no jwks_uri"),
            ({"jwks_uri": "http://10.0.0.1/jwks"}, "not https"),
            ({"jwks_uri": "file:///etc/passwd"}, "no plain https URL"),
        ],
    )
    async def test_documents_that_are_not_believed(self, site: Site, change: dict[str, object], cause: str) -> None:
        good: dict[str, object] = {"issuer": site.origin, "jwks_uri": f"{site.origin}/jwks"}
        site.json("/.well-known/openid-configuration", good | change)
        with pytest.raises(DocumentError, match=cause):
            await self.find(site)

    async def test_issuer_is_compared_exactly(self, site: Site) -> None:
        metadata = {"issuer": site.origin, "jwks_uri": f"{site.origin}/jwks"}
        site.json("/.well-known/openid-configuration", metadata)
        with pytest.raises(DocumentError, match="another issuer"):
            await self.find(site, "/")

    async def test_whole_way_to_a_verified_token(self, site: Site) -> None:
        metadata = {"issuer": site.origin, "jwks_uri": f"{site.origin}/jwks"}
        site.json("/.well-known/openid-configuration", metadata)
        site.json("/jwks", JWKS)
        configured = issuer(issuer=site.origin, source=Discovery(), loopback_http=True)
        keys = key_set(configured, lambda *_: None)
        await keys.verify(parse_compact(sign({}), 8192), NOW)
        assert site.asked == ["/.well-known/openid-configuration", "/jwks"]
