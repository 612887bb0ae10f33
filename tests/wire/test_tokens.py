"""The hop token as an upstream sees it: every claim of RFC 9068, 8693 and 8705 that makes a chain; and
nothing else of the caller's, header by header."""

import asyncio
import base64
import hashlib
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import jwt
import pytest

from gateway.core.audit import DecisionRecord
from gateway.identity.signer import generate_key_pem
from tests.company import SCOPES, Company
from tests.gateways import Script, running, scripted
from tests.wire.delegate import delegated, delegates
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import Wire, bare, call, post, through_gateway

PLANNER, ANALYST = "spiffe://demo.test/agent/planner", "spiffe://demo.test/agent/analyst"
READ = call("read_balance")


@pytest.fixture
def company(tmp_path: Path) -> Company:
    return Company(tmp_path)


@dataclass
class Arrival:
    """One request at an upstream on bare TLS: its headers as sent, and the certificate that came with it."""

    headers: list[tuple[str, str]]
    certificate: bytes


@asynccontextmanager
async def watched(company: Company) -> AsyncIterator[list[Arrival]]:
    """The gateway before a ledger that answers any call and shows what arrived."""
    arrivals: list[Arrival] = []

    async def answer(writer: asyncio.StreamWriter) -> None:
        lines = script.requests[-1].partition(b"\r\n\r\n")[0].decode().splitlines()[1:]
        fields = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        arrivals.append(Arrival(fields, writer.get_extra_info("ssl_object").getpeercert(binary_form=True)))
        result = {"resultType": "complete", "content": [], "isError": False}
        body = json.dumps({"jsonrpc": "2.0", "id": READ["id"], "result": result}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n")
        writer.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        await writer.drain()

    script = Script(answer)
    async with scripted(company, "server/ledger", company.upstreams["ledger"], script), running(company):
        yield arrivals


async def verified(company: Company, token: str, audience: str) -> dict[str, Any]:
    """The claims, verified as an upstream would: by the keys that the issuer's metadata names."""
    async with httpx2.AsyncClient(verify=company.anyone()) as http:
        metadata = (await http.get(f"{company.public_url}/.well-known/oauth-authorization-server")).json()
        keys = jwt.PyJWKSet.from_dict((await http.get(metadata["jwks_uri"])).json())
    header = jwt.get_unverified_header(token)
    assert header == {"alg": "ES256", "typ": "at+jwt", "kid": header["kid"]}
    required = ["iss", "sub", "aud", "iat", "nbf", "exp", "jti", "client_id"]
    return dict(
        jwt.decode(
            token,
            keys[header["kid"]],
            algorithms=["ES256"],
            audience=audience,
            issuer=metadata["issuer"],
            options={"require": required},
        )
    )


def digest(token: str) -> str:
    return hashlib.sha256(token.rpartition(".")[0].encode()).hexdigest()


def bearer(headers: dict[str, str]) -> str:
    return headers["authorization"].removeprefix("Bearer ")


async def test_every_claim_of_an_entry_agents_call(company: Company) -> None:
    began, url = int(time.time()), f"{company.data_url}/mcp/ledger"
    root = company.token(url)
    async with watched(company) as arrivals, bare(company, token=root) as wire:
        reply = await post(wire, READ)
        assert reply.status_code == 200, reply.text
        token = bearer(dict(arrivals[0].headers))
        claims = await verified(company, token, url)
    [found] = company.records()
    assert isinstance(found.record, DecisionRecord)
    assert found.record.minted is not None
    thumbprint = base64.urlsafe_b64encode(hashlib.sha256(arrivals[0].certificate).digest()).rstrip(b"=").decode()
    root_expires = jwt.decode(root, options={"verify_signature": False})["exp"]
    assert began <= claims["iat"] <= time.time()
    assert claims == {
        "iss": company.public_url,
        "sub": "corp|maria",
        "aud": url,
        "client_id": PLANNER,
        "scope": "ledger/read_balance",
        "del_scope": "",
        "iat": claims["iat"],
        "nbf": claims["iat"],
        "exp": claims["iat"] + 120,
        "jti": found.record.minted.jti,
        "txn": found.record.chain.txn,
        "act": {"sub": PLANNER},
        "cnf": {"x5t#S256": thumbprint},
        "del_depth": 1,
        "del_max_depth": 8,
        "par_hash": digest(root),
        "root_exp": root_expires,
        "email": "maria@demo.test",
        "roles": ["cfo"],
        "groups": ["finance"],
    }
    assert found.record.minted.digest == digest(token)


async def test_a_delegates_token_and_what_it_becomes(company: Company) -> None:
    company.registry["agents"]["analyst"]["scopes"] = ["ledger/read_balance", "ledger/pay"]
    company.registry["agents"]["planner"]["scopes"] = [scope for scope in SCOPES if scope != "ledger/pay"]
    ledger = Ledger()
    async with delegates(company, "analyst") as [analyst], through_gateway(company, ledger):
        first = await delegated(company, analyst)
        async with bare(company, "analyst", token=first) as wire:
            reply = await post(wire, READ)
            assert reply.status_code == 200, reply.text
        second = bearer(ledger.headers[-1])
        held = await verified(company, first, f"{company.data_url}/a2a/analyst")
        passed = await verified(company, second, f"{company.data_url}/mcp/ledger")
    assert (held["act"], held["del_depth"], held["scope"]) == ({"sub": PLANNER}, 1, "analyst/delegate")
    assert held["del_scope"] == "ledger/read_balance", "what Maria's token, the planner and the analyst all have"
    assert passed["act"] == {"sub": ANALYST, "act": {"sub": PLANNER}}
    assert (passed["client_id"], passed["del_depth"], passed["par_hash"]) == (ANALYST, 2, digest(first))
    assert (passed["scope"], passed["del_scope"]) == ("ledger/read_balance", "")
    assert passed["jti"] != held["jti"]
    constant = ("iss", "sub", "txn", "root_exp", "del_max_depth", "cnf", "email", "roles", "groups")
    assert {name: held[name] for name in constant} == {name: passed[name] for name in constant}


@pytest.mark.parametrize(("kept", "signed"), [(100, 2), (0, 4)])
async def test_a_server_gets_a_token_again_that_would_say_the_same(company: Company, kept: int, signed: int) -> None:
    company.settings["limits"] = {"minted_kept": kept}
    ledger = Ledger()
    async with through_gateway(company, ledger), bare(company) as wire:
        for message in (READ, READ, call("pay", amount=5, to="ACME"), READ):
            assert (await post(wire, message)).status_code == 200
    claims = [jwt.decode(bearer(headers), options={"verify_signature": False}) for headers in ledger.headers]
    assert len({one["jti"] for one in claims}) == signed
    assert len({one["txn"] for one in claims}) == 1, "one root token begins one chain"
    assert [one["scope"] for one in claims] == [
        "ledger/read_balance",
        "ledger/read_balance",
        "ledger/pay",
        "ledger/read_balance",
    ]
    minted = [each.record.minted for each in company.records() if isinstance(each.record, DecisionRecord)]
    assert [each and each.jti for each in minted] == [one["jti"] for one in claims], "each record names what was sent"


async def test_every_delegation_has_a_token_of_its_own(company: Company) -> None:
    """Or nobody could say on which of two equal requests its delegate's calls were made."""
    token = company.token(f"{company.data_url}/a2a/analyst")
    async with delegates(company, "analyst") as [analyst], through_gateway(company, Ledger()):
        for _ in range(3):
            await delegated(company, analyst, token=token)
    assert len({one["jti"] for one in analyst.tokens}) == 3
    assert len({one["txn"] for one in analyst.tokens}) == 1


async def test_a_rotated_key_signs_all_tokens_anew(company: Company) -> None:
    ledger = Ledger()
    async with through_gateway(company, ledger), bare(company) as wire:
        for _ in range(2):
            await post(wire, READ)
        (company.directory / "signing.pem").write_bytes(generate_key_pem())
        keys = [jwt.get_unverified_header(bearer(headers))["kid"] for headers in ledger.headers]
        async with asyncio.timeout(15):
            while len(set(keys)) == 1:
                await post(wire, READ)
                keys = [jwt.get_unverified_header(bearer(headers))["kid"] for headers in ledger.headers]
                await asyncio.sleep(0.1)
    assert keys[0] == keys[1] != keys[-1]


async def test_a_token_lives_no_longer_than_its_chain(company: Company) -> None:
    ledger, soon = Ledger(), int(time.time()) + 40
    root = company.token(f"{company.data_url}/mcp/ledger", exp=soon)
    async with through_gateway(company, ledger), bare(company, token=root) as wire:
        await post(wire, READ)
    claims = jwt.decode(bearer(ledger.headers[0]), options={"verify_signature": False})
    assert (claims["exp"], claims["root_exp"]) == (soon, soon)


CALLERS_OWN = {
    "Cookie": "session=secret-cookie",
    "X-Forwarded-For": "10.0.0.1",
    "X-Forwarded-Host": "evil.test",
    "X-Forwarded-Proto": "http",
    "X-Forwarded-User": "admin",
    "X-Forwarded-Client-Cert": "URI=spiffe://demo.test/agent/admin",
    "X_Forwarded_For": "10.0.0.1",
    "X-Real-IP": "10.0.0.1",
    "Forwarded": "for=10.0.0.1;by=evil",
    "Via": "1.1 evil",
    "True-Client-IP": "10.0.0.1",
    "X-SSL-Client-S-DN": "CN=admin",
    "X-User": "admin",
    "X-Api-Key": "secret-key",
    "Proxy-Authorization": "Basic c2VjcmV0",
    "Referer": "https://evil.test/",
    "User-Agent": "the-callers-agent",
    "Accept-Language": "xx",
    "If-None-Match": "*",
    "Range": "bytes=0-1",
    "Last-Event-Id": "7",
    "Connection": "keep-alive, Authorization, Mcp-Name",
    "TE": "trailers",
    "Upgrade": "h2c",
    "X-HTTP-Method-Override": "DELETE",
    "Hopgate-Depth": "0",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "baggage": "user=admin",
    "Mcp-Session-Id": "a-session-of-no-meaning-here",
    "Mcp-Param-Admin": "true",
}
ALLOWED_TOGETHER = {
    "host", "content-type", "content-length", "accept", "accept-encoding", "user-agent", "authorization", "traceparent",
    "mcp-protocol-version", "mcp-method", "mcp-name",
}  # fmt: skip


async def test_nothing_else_of_the_callers_arrives(company: Company) -> None:
    root = company.token(f"{company.data_url}/mcp/ledger")
    async with watched(company) as arrivals, bare(company, token=root) as wire:
        reply = await post(Wire(wire.http, wire.url + "?secret-query=1"), READ, CALLERS_OWN)
        assert reply.status_code == 200, reply.text
    [arrival] = arrivals
    assert sorted(name for name, _ in arrival.headers) == sorted(ALLOWED_TOGETHER), "each once, and no other"
    arrived = dict(arrival.headers)
    assert arrived["host"] == f"127.0.0.1:{company.upstreams['ledger']}"
    assert arrived["accept-encoding"] == "identity"
    assert arrived["authorization"].removeprefix("Bearer ") != root
    assert arrived["traceparent"].split("-")[1] == "0af7651916cd43dd8448eb211c80319c"
    assert arrived["traceparent"] != CALLERS_OWN["traceparent"]
    values = " ".join(value for name, value in arrival.headers if name != "traceparent")
    for own in ("secret", "evil", "10.0.0.1", "admin", "the-callers-agent", root.split(".")[2]):
        assert own not in values


async def test_an_agent_without_a_user_begins_a_chain_of_its_own(company: Company) -> None:
    ledger = Ledger()
    async with through_gateway(company, ledger), bare(company, "cron", token=None) as wire:
        for _ in range(2):
            reply = await post(wire, READ)
            assert reply.status_code == 200, reply.text
        claims = [await verified(company, bearer(headers), wire.url) for headers in ledger.headers]
    cron = "spiffe://demo.test/agent/cron"
    for one in claims:
        assert (one["sub"], one["client_id"], one["act"], one["del_depth"]) == (cron, cron, {"sub": cron}, 1)
        assert one["root_exp"] == one["iat"] + 900
        assert not {"par_hash", "email", "roles", "groups"} & one.keys()
    assert claims[0]["txn"] != claims[1]["txn"]
    assert [found.record.user for found in company.records()] == [None, None]
