"""The real parts work by themselves, before any test blames the gateway for them."""

import asyncio
import base64
import contextlib
import dataclasses
import json
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import jwt
import pytest

from gateway.core.model import SpiffeId
from gateway.identity.dev import IssuedFiles, issue_svid
from tests.peers import parts
from tests.peers.everything import everything
from tests.peers.npm_client import MutualTls, call_tool, list_tools
from tests.peers.oidc import LoginFailedError, log_in, oidc_provider
from tests.peers.process import PeerDiedError, started

RESOURCE = "https://gateway.example:8443/mcp/ledger"


async def public_key(issuer: str) -> jwt.PyJWK:
    async with aiohttp.ClientSession() as session, session.get(f"{issuer}/jwks") as response:
        (key,) = (await response.json())["keys"]
    return jwt.PyJWK(key)


async def test_oidc_provider_issues_a_signed_access_token_for_the_resource() -> None:
    async with oidc_provider() as issuer:
        token = await log_in(issuer, RESOURCE)
        claims = jwt.decode(token, await public_key(issuer), algorithms=["RS256"], audience=RESOURCE, issuer=issuer)
    header = jwt.get_unverified_header(token)
    assert (header["alg"], header["typ"]) == ("RS256", "at+jwt")
    assert claims["aud"] == RESOURCE
    assert claims["sub"] == "maria"
    assert claims["client_id"] == "ide"
    assert claims["scope"] == "ledger.read"
    assert claims["groups"] == ["finance-leads"]
    assert claims["exp"] - claims["iat"] == 600


async def test_oidc_provider_gives_another_person_another_subject_and_scope() -> None:
    async with oidc_provider() as issuer:
        token = await log_in(issuer, RESOURCE, login="ivan", scope="openid reports.publish")
    body = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    assert (claims["sub"], claims["scope"], claims["groups"]) == ("ivan", "reports.publish", [])


async def test_oidc_provider_refuses_a_resource_that_is_no_uri() -> None:
    async with oidc_provider() as issuer:
        with pytest.raises(LoginFailedError, match="invalid_target"):
            await log_in(issuer, "not a uri")


async def test_npm_client_lists_and_calls_tools_of_the_npm_server() -> None:
    async with everything() as url:
        listed = await list_tools(url)
        called = await call_tool(url, "echo", {"message": "hola"})
    assert "echo" in {tool["name"] for tool in listed["result"]["tools"]}
    assert listed["protocol"] == "2025-11-25"
    assert called["result"]["content"] == [{"type": "text", "text": "Echo: hola"}]


async def test_npm_client_reports_progress() -> None:
    async with everything() as url:
        called = await call_tool(url, "trigger-long-running-operation", {"duration": 1, "steps": 2})
    assert [step["progress"] for step in called["result"]["progress"]] == [1, 2]


@contextlib.asynccontextmanager
async def behind_mutual_tls(url: str, own: IssuedFiles, seen: list[object]) -> AsyncIterator[str]:
    """``url`` behind a listener that requires a client certificate; ``seen`` gets each client's SAN."""
    plain = urlsplit(url)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(writer.get_extra_info("peercert")["subjectAltName"])
        onward = await asyncio.open_connection(plain.hostname, plain.port)
        async with asyncio.TaskGroup() as both:
            both.create_task(copy(reader, onward[1]))
            both.create_task(copy(onward[0], writer))

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=own.bundle)
    context.load_cert_chain(own.certificate, own.key)
    context.verify_mode = ssl.CERT_REQUIRED
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield f"https://127.0.0.1:{port}{plain.path}"


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def test_npm_client_shows_its_certificate_and_knows_the_server_by_its_spiffe_id(tmp_path: Path) -> None:
    def issued(name: str) -> IssuedFiles:
        return issue_svid(tmp_path / "ca", SpiffeId(f"spiffe://peers.test/{name}"), tmp_path, name)

    server, client, seen = issued("server"), issued("client"), list[object]()
    expected = MutualTls(client.certificate, client.key, client.bundle, server="spiffe://peers.test/server")
    another = dataclasses.replace(expected, server="spiffe://peers.test/another")
    async with everything() as plain, behind_mutual_tls(plain, server, seen) as url:
        called = await call_tool(url, "echo", {"message": "hola"}, tls=expected)
        refused = await list_tools(url, tls=another)
    assert called["result"]["content"] == [{"type": "text", "text": "Echo: hola"}]
    assert seen[0] == (("URI", "spiffe://peers.test/client"),)
    assert "the server is not spiffe://peers.test/another" in refused["error"]["cause"]


async def test_npm_client_reports_what_it_could_not_do() -> None:
    answer = await list_tools("http://127.0.0.1:1/mcp")
    assert "result" not in answer
    assert answer["error"]["message"]


async def test_a_peer_that_dies_says_why() -> None:
    command: list[str | Path] = [sys.executable, "-c", "import sys; sys.exit('no such luck')"]
    with pytest.raises(PeerDiedError, match=r"(?s)ended with 1.*no such luck"):
        async with started(command, ready="never"):
            pass


@pytest.mark.parametrize(("ci", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)])
def test_a_missing_part_skips_here_and_fails_in_ci(
    monkeypatch: pytest.MonkeyPatch, ci: str, outcome: type[BaseException]
) -> None:
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match="no-such-command is missing; type: sudo apt install no-such-command"):
        parts.require("no-such-command")
    with pytest.raises(outcome, match="npm:nothing is missing"):
        parts.require("npm:nothing")
