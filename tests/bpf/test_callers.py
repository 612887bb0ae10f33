"""Over TLS only the gateway's own SPIFFE ID gets past the handshake, and replaced files count from then on."""

import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from hopgate_bpf.rules.refusal import Reason, RefusedError
from tests.bpf.documents import document
from tests.bpf.nodes import Place
from tests.bpf.serving import serving
from tests.identity.pki import Issued, Shape, World, root
from tests.ports import free_port

GATEWAY = "spiffe://a.test/hopgate"
NODE = "spiffe://a.test/node/worker-1"
WORLD = World(root("a"), root("b"))


def pem(issued: Issued) -> bytes:
    return issued.pair.certificates_pem


def put(place: Place, own: Issued, trusted: Sequence[Issued]) -> None:
    place.folder.joinpath("own.pem").write_bytes(pem(own))
    place.folder.joinpath("own.key").write_bytes(own.pair.key_pem)
    place.folder.joinpath("trusted.pem").write_bytes(b"".join(map(pem, trusted)))


@pytest.fixture
def port(place: Place) -> int:
    port = free_port()
    put(place, WORLD.leaf(NODE), [WORLD.a])
    files = {"certificate": "own.pem", "key": "own.key", "trust_bundle": "trusted.pem"}
    paths = {name: str(place.folder / file) for name, file in files.items()}
    place.more = {"tls": {"host": "127.0.0.1", "port": port, "gateway": GATEWAY} | paths}
    return port


def client(folder: Path, caller: Issued | None, trusted: Issued = WORLD.a) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=pem(trusted).decode())
    if caller is not None:
        (folder / "caller.pem").write_bytes(pem(caller) + caller.pair.key_pem)
        context.load_cert_chain(folder / "caller.pem")
    return context


async def status(port: int, context: ssl.SSLContext) -> int:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"https://127.0.0.1:{port}/v1/status", ssl=context) as response,
    ):
        await response.read()
        return response.status


async def test_the_gateway_pushes_over_tls(place: Place, port: int) -> None:
    context = client(place.folder, WORLD.leaf(GATEWAY))
    async with serving(place), aiohttp.ClientSession() as session:
        head = {"Content-Type": "application/jose"}
        url, jws = f"https://127.0.0.1:{port}/v1/rules", place.signer.signed(document(generation=2))
        async with session.put(url, data=jws, headers=head, ssl=context) as response:
            assert response.status == 200
    assert place.kernel.generation == 2


def intermediate(usage: Any = None) -> Issued:
    return WORLD.a.issue("ca", Shape(uris=["spiffe://a.test"], ca=True))


async def test_the_gateways_certificate_may_come_by_an_intermediate(place: Place, port: int) -> None:
    leaf = intermediate().issue("leaf", Shape(uris=[GATEWAY]))
    async with serving(place):
        assert await status(port, client(place.folder, leaf)) == 200


@pytest.mark.parametrize(
    "caller",
    [
        None,
        WORLD.leaf("spiffe://a.test/agent/x"),
        WORLD.leaf(f"{GATEWAY}/more"),
        WORLD.leaf("spiffe://b.test/hopgate"),
        WORLD.b.issue("leaf", Shape(uris=[GATEWAY])),
        root("other").issue("leaf", Shape(uris=[GATEWAY])),
        WORLD.a.issue("leaf", Shape(uris=[GATEWAY, "spiffe://a.test/agent/x"])),
        WORLD.a.issue("leaf", Shape(dns=["hopgate"])),
        WORLD.leaf(GATEWAY, ca=True),
        WORLD.leaf(GATEWAY, extended=[ExtendedKeyUsageOID.SERVER_AUTH]),
        WORLD.leaf(GATEWAY, not_after=Shape().not_before),
        WORLD.leaf(GATEWAY, usage_present=False),
    ],
    ids=range(12),
)
async def test_nobody_else_gets_an_answer(place: Place, port: int, caller: Issued | None) -> None:
    async with serving(place):
        with pytest.raises(aiohttp.ClientError):
            await status(port, client(place.folder, caller))
    assert "status" not in place.kernel.calls


async def test_replaced_files_count_for_the_next_handshake(place: Place, port: int) -> None:
    before, after = WORLD.leaf(GATEWAY), WORLD.b.issue("leaf", Shape(uris=[GATEWAY]))
    async with serving(place):
        assert await status(port, client(place.folder, before)) == 200
        put(place, WORLD.b.issue("node", Shape(uris=[NODE])), [WORLD.b])
        assert await status(port, client(place.folder, after, WORLD.b)) == 200
        with pytest.raises(aiohttp.ClientError):
            await status(port, client(place.folder, before, WORLD.b))
        place.folder.joinpath("own.pem").write_text("half a file")
        with pytest.raises(aiohttp.ClientError):
            await status(port, client(place.folder, after, WORLD.b))


@pytest.mark.parametrize("file", ["own.pem", "own.key", "trusted.pem"])
async def test_files_that_cannot_be_used_stop_the_start(place: Place, port: int, file: str) -> None:
    for broken in ("", None):
        place.folder.joinpath(file).unlink()
        if broken is not None:
            place.folder.joinpath(file).write_text(broken)
        with pytest.raises(RefusedError, match="tls") as caught:
            async with serving(place):
                pass
        assert caught.value.reason is Reason.CONFIG_INVALID
        place.folder.joinpath(file).touch()
