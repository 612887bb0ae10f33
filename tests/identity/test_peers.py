"""The keys of peer gateways come from a file, or by mutual TLS from the very peer; nothing else is asked."""

import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from msgspec.structs import replace

from gateway.core.errors import TokenError
from gateway.core.model import SpiffeId
from gateway.core.reasons import Reason
from gateway.identity.issuers import JwksFile, JwksUri
from gateway.identity.jose import parse_compact
from gateway.identity.material import MaterialError
from gateway.identity.peers import trusted_peer
from gateway.identity.rotation import ClientIdentity
from gateway.identity.tls import server_context
from tests.identity.issuing import EC_KEY, JWKS, NOW, public_jwk, sign
from tests.identity.pki import World
from tests.identity.test_assertions import GATEWAY_FAR


class TestFile:
    def signed(self) -> Any:
        return parse_compact(sign({}, EC_KEY), 8192)

    async def test_pinned_keys(self, tmp_path: Path) -> None:
        file = tmp_path / "peer.json"
        file.write_text(json.dumps(JWKS))
        peer = trusted_peer(GATEWAY_FAR, JwksFile(file), self.nobody, lambda *_: None)
        assert peer.gateway == GATEWAY_FAR
        await peer.keys.verify(self.signed(), NOW)

    @pytest.mark.parametrize(("name", "key_name"), [("far", "peer-far"), ("Far_Côte.9", "peer-far-c-te-9")])
    async def test_a_failure_is_told_under_the_peer_s_name(self, tmp_path: Path, name: str, key_name: str) -> None:
        told: list[tuple[str, str]] = []
        gateway = replace(GATEWAY_FAR, name=name)
        peer = trusted_peer(gateway, JwksFile(tmp_path / "gone"), self.nobody, lambda *what: told.append(what))
        with pytest.raises(TokenError) as caught:
            await peer.keys.verify(self.signed(), NOW)
        assert caught.value.reason is Reason.KEYS_UNAVAILABLE
        assert told == [(key_name, f"{tmp_path / 'gone'}: can't be read: No such file or directory")]

    def nobody(self) -> ClientIdentity:
        raise AssertionError("a file needs no connection")

    async def test_what_a_gateway_signs_with(self, tmp_path: Path) -> None:
        """RSA keys in a peer's document are none of its."""
        file = tmp_path / "peer.json"
        file.write_text(json.dumps(JWKS))
        peer = trusted_peer(GATEWAY_FAR, JwksFile(file), self.nobody, lambda *_: None)
        with pytest.raises(TokenError) as caught:
            await peer.keys.verify(parse_compact(sign({}), 8192), NOW)
        assert caught.value.reason is Reason.TOKEN_SIGNATURE
        assert public_jwk(EC_KEY, "ec-1") in JWKS["keys"]


async def keys(request: web.BaseRequest) -> web.Response:
    return web.json_response(JWKS)


class TestUri:
    """Fetched from a real listener that shows an SVID of a.test."""

    async def verified(self, world: World, served_by: str) -> list[tuple[str, str]]:
        """What is told of a failure, where the listener at the peer's URL is ``served_by``."""
        told: list[tuple[str, str]] = []
        context = server_context(world.material(served_by), lambda *_: None)
        runner = web.ServerRunner(web.Server(keys))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        url = f"https://127.0.0.1:{runner.addresses[0][1]}/jwks"
        gateway = replace(GATEWAY_FAR, spiffe_id=SpiffeId("spiffe://a.test/far"))
        me = ClientIdentity(world.material(), lambda *_: None)
        peer = trusted_peer(gateway, JwksUri(url), lambda: me, lambda *what: told.append(what))
        assert peer.gateway == gateway
        try:
            await peer.keys.verify(parse_compact(sign({}, EC_KEY), 8192), NOW)
        except TokenError as error:
            assert error.reason is Reason.KEYS_UNAVAILABLE
            assert told
        finally:
            await runner.cleanup()
        return told

    async def test_the_peer_s_own_answer_counts(self, world: World) -> None:
        assert await self.verified(world, "spiffe://a.test/far") == []

    async def test_nobody_else_s_does(self, world: World) -> None:
        [(name, cause)] = await self.verified(world, "spiffe://a.test/other")
        assert name == "peer-far"
        assert "can't be fetched" in cause

    async def test_a_gateway_without_an_svid_fetches_nothing(self) -> None:
        def nobody() -> ClientIdentity:
            raise MaterialError("the gateway has no SVID at present")

        told: list[tuple[str, str]] = []
        peer = trusted_peer(GATEWAY_FAR, JwksUri("https://far.test/jwks"), nobody, lambda *what: told.append(what))
        with pytest.raises(TokenError):
            await peer.keys.verify(parse_compact(sign({}, EC_KEY), 8192), NOW)
        assert told == [("peer-far", "https://far.test/jwks can't be fetched: the gateway has no SVID at present")]

    async def test_plain_http_is_never_fetched(self, world: World) -> None:
        told: list[tuple[str, str]] = []
        me = ClientIdentity(world.material(), lambda *_: None)
        url = "http://127.0.0.1:1/jwks"
        peer = trusted_peer(GATEWAY_FAR, JwksUri(url), lambda: me, lambda *what: told.append(what))
        with pytest.raises(TokenError):
            await peer.keys.verify(parse_compact(sign({}, EC_KEY), 8192), NOW)
        assert told == [("peer-far", f"{url!r} is not https")]
