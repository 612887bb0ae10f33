"""SIGKILL under load: whatever reached an upstream has its decision record, and the log is whole and goes on."""

import asyncio
import json
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx
import jwt

from gateway.core.audit import DecisionRecord, GenesisRecord, decode
from gateway.store.query import AuditReader
from tests.company import Company
from tests.gateways import HOPGATE, Script, read_request, scripted, serving
from tests.wire.agent import bearing, sending

CLIENTS = 12
ARRIVED = 100
RESULT = {"message": {"messageId": "m", "role": "ROLE_AGENT", "parts": [{"text": "hi"}]}}


class Analyst(Script):
    """Answers request after request on a connection, remembers them, and kills the gateway when it has seen enough."""

    def __init__(self) -> None:
        super().__init__(self.reply)
        self.kill: Callable[[], None] = lambda: None

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                self.requests.append(await read_request(reader))
                if len(self.requests) == ARRIVED:
                    # At the very moment of its arrival: what isn't durable by now never will be.
                    self.kill()
                await self.reply(writer)
        writer.close()

    async def reply(self, writer: asyncio.StreamWriter) -> None:
        body = json.dumps({"jsonrpc": "2.0", "id": 7, "result": RESULT}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
        writer.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)

    @property
    def tokens(self) -> set[str]:
        """``jti`` of each token that arrived."""
        heads = [request.partition(b"\r\n\r\n")[0].decode().splitlines() for request in self.requests]
        bearers = [line.split()[-1] for head in heads for line in head if line.lower().startswith("authorization:")]
        return {jwt.decode(token, options={"verify_signature": False})["jti"] for token in bearers}


async def ask_until_it_dies(company: Company) -> None:
    url = f"{company.data_url}/a2a/analyst"
    headers = bearing(company.token(url)) | {"A2A-Version": "1.0"}
    async with httpx.AsyncClient(verify=company.client("planner"), headers=headers, timeout=20) as http:
        with suppress(httpx.TransportError):
            while True:
                response = await http.post(url, json=sending("hello"))
                assert response.status_code == 200, response.text


def recorded(company: Company) -> set[str]:
    """``jti`` of each token that a decision record names."""
    records = [decode(row.payload) for row in AuditReader(company.store_url).rows()]
    return {each.minted.jti for each in records if isinstance(each, DecisionRecord) and each.minted is not None}


def verify(company: Company) -> str:
    command = [HOPGATE, "audit", "verify", "--config", company.config]
    verified = subprocess.run(command, capture_output=True, text=True, check=False)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    return verified.stdout


async def kill_under_load(company: Company, analyst: Analyst) -> None:
    async with serving(company) as gateway, asyncio.TaskGroup() as tasks:
        analyst.kill = gateway.kill
        for _ in range(CLIENTS):
            tasks.create_task(ask_until_it_dies(company))
        async with asyncio.timeout(30):
            assert await gateway.wait() == -9


async def test_every_hop_that_reached_an_upstream_is_on_record(tmp_path: Path) -> None:
    company, analyst = Company(tmp_path), Analyst()
    async with scripted(company, "agent/analyst", company.upstreams["analyst"], analyst):
        await kill_under_load(company, analyst)
        arrived = analyst.tokens
        assert len(arrived) == len(analyst.requests) >= ARRIVED
        assert arrived <= recorded(company)
        verify(company)

        analyst.requests.clear()
        await kill_under_load(company, analyst)
        assert analyst.tokens <= recorded(company)
    assert arrived | analyst.tokens <= recorded(company)
    verify(company)
    records = [decode(row.payload) for row in AuditReader(company.store_url).rows()]
    first, second = [each for each in records if isinstance(each, GenesisRecord)]
    assert first.predecessor is None
    assert second.predecessor is not None
    assert second.predecessor.writer == first.writer
