"""Two gateways on one store make, rotate and distrust signing keys together: processes, real calls, real verifiers."""

import asyncio
import copy
import json
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import httpx2
import jwt

from tests.company import Company, free_port
from tests.gateways import HOPGATE, asgi
from tests.peers.process import started, stop
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import call, headers_of

LEAD = 2.4
EVERY = 6.0
READ = call("read_balance")


@dataclass
class Gateway:
    """One replica and what was seen of its keys: key id → when it was published first."""

    company: Company
    config: Path
    data: int
    public: int
    health: int
    http: httpx2.AsyncClient
    published: dict[str, float] = field(default_factory=dict)

    async def jwks(self) -> list[str]:
        """Published key ids, the one that signs first."""
        url = f"https://127.0.0.1:{self.public}/.well-known/jwks.json"
        found = [key["kid"] for key in (await self.http.get(url)).json()["keys"]]
        for kid in found:
            self.published.setdefault(kid, time.monotonic())
        return found

    async def ask(self, token: str = "") -> httpx2.Response:
        """The planner's call of the ledger, by default with a fresh token of Maria's."""
        bearer = token or self.company.token(f"{self.company.data_url}/mcp/ledger")
        headers = headers_of(READ) | {"Authorization": f"Bearer {bearer}"}
        return await self.http.post(f"https://127.0.0.1:{self.data}/mcp/ledger", json=READ, headers=headers)

    async def metrics(self) -> dict[str, float]:
        """Metrics by name, those without labels."""
        url = f"http://127.0.0.1:{self.health}/metrics"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            lines = (await response.text()).splitlines()
        pairs = [line.split(" ") for line in lines if not line.startswith("#") and "{" not in line]
        return {name: float(value) for name, value in pairs}


def replicas(company: Company, **signing: Any) -> tuple[Gateway, Gateway]:
    """Two settings files of one company and one database; each writes an audit file of its own."""
    (company.directory / "twin").mkdir(parents=True)
    (company.directory / "secret").write_text("s" * 32)
    company.settings["keys"] = {"signing": {"source": "store", **signing}, "sealing": "file:secret"}
    company.write()
    ports = {"data": free_port(), "public": free_port(), "health": free_port()}
    twin = copy.deepcopy(company.settings)
    twin["listen"] = {name: {"port": port} for name, port in ports.items()}
    twin["store"] = {"url": "sqlite:///twin/hopgate.db"}
    (company.directory / "twin" / "hopgate.db").symlink_to("../hopgate.db")
    (company.directory / "twin.yaml").write_text(json.dumps(twin))
    http = httpx2.AsyncClient(verify=company.client("planner"), timeout=20)
    first = Gateway(company, company.config, company.data_port, company.public_port, company.health_port, http)
    return first, Gateway(company, company.directory / "twin.yaml", **ports, http=http)


@asynccontextmanager
async def both_running(company: Company, ledger: Ledger, **signing: Any) -> AsyncIterator[tuple[Gateway, Gateway]]:
    one, other = replicas(company, **signing)
    async with asgi(ledger.application, company, "server/ledger", company.upstreams["ledger"]):
        first = started([HOPGATE, "serve", "--config", one.config], ready="/readyz")
        second = started([HOPGATE, "serve", "--config", other.config], ready="/readyz")
        await asyncio.gather(first.__aenter__(), second.__aenter__())
        try:
            yield one, other
        finally:
            await asyncio.gather(first.__aexit__(None, None, None), second.__aexit__(None, None, None))


def hopgate(*words: str, config: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [HOPGATE, "keys", *words, "--config", config], capture_output=True, text=True, timeout=30, check=False
    )


async def agreed(gateways: tuple[Gateway, Gateway], wanted: list[str]) -> float:
    """How long it took until both publish what is wanted, and nothing else."""
    began = time.monotonic()
    async with asyncio.timeout(5):
        for gateway in gateways:
            while await gateway.jwks() != wanted:
                pass
    return time.monotonic() - began


async def test_two_replicas_rotate_as_one(tmp_path: Path) -> None:
    company, ledger = Company(tmp_path / "company"), Ledger()
    rotation = {"rotate_hours": EVERY / 3600, "lead_minutes": LEAD / 60}
    async with both_running(company, ledger, **rotation) as (one, other):
        assert await one.jwks() == await other.jwks()
        [(first, _)] = one.published.items()
        signed: dict[str, float] = {}
        ends = time.monotonic() + 2 * EVERY + LEAD
        while time.monotonic() < ends:
            for gateway in (one, other):
                await gateway.jwks()
                assert (await gateway.ask()).status_code == 200
                token = ledger.headers[-1]["authorization"].removeprefix("Bearer ")
                signed.setdefault(jwt.get_unverified_header(token)["kid"], time.monotonic())
                found = await gateway.metrics()
                assert 0 <= found["hopgate_signing_key_age_seconds"] <= EVERY + LEAD
                assert found["hopgate_signing_key_failures_total"] == 0
            await asyncio.sleep(0.2)
        assert len(signed) >= 3
        for kid, at in signed.items():
            if kid != first:
                for gateway in (one, other):
                    assert at - gateway.published[kid] > 1, "each replica gave notice of the key before any signed"
                assert abs(one.published[kid] - other.published[kid]) < 1


async def test_a_stolen_key_is_distrusted_everywhere_within_a_second(tmp_path: Path) -> None:
    company, ledger = Company(tmp_path / "company"), Ledger()
    async with both_running(company, ledger, algorithm="EdDSA") as (one, other):
        assert (await one.ask()).status_code == 200
        token = ledger.headers[-1]["authorization"].removeprefix("Bearer ")
        assert jwt.get_unverified_header(token)["alg"] == "EdDSA"
        [old] = await one.jwks()
        # The planner isn't its holder, which the gateways say only of a token that is genuine.
        assert "chain_holder" in (await other.ask(token)).text
        done = await asyncio.to_thread(hopgate, "rotate", "--now", config=one.config)
        assert done.returncode == 0, done.stderr
        [new] = [done.stdout.split()[0]]

        assert await agreed((one, other), [new]) < 1
        for gateway in (one, other):
            assert "token_signature" in (await gateway.ask(token)).text
            assert (await gateway.ask()).status_code == 200
        listed = json.loads(hopgate("list", "--format", "json", config=other.config).stdout)
        assert [(key["kid"], key["state"]) for key in listed] == [(old, "distrusted"), (new, "signs")]


async def test_a_replica_that_is_killed_finds_its_keys_again(tmp_path: Path) -> None:
    company, ledger = Company(tmp_path / "company"), Ledger()
    one, other = replicas(company)
    async with asgi(ledger.application, company, "server/ledger", company.upstreams["ledger"]):
        process = await asyncio.create_subprocess_exec(
            HOPGATE, "serve", "--config", one.config, stderr=asyncio.subprocess.PIPE
        )
        assert process.stderr is not None
        try:
            async with asyncio.timeout(20):
                while b"/readyz" not in await process.stderr.readline():
                    pass
            keys = await one.jwks()
            await one.ask()
            token = ledger.headers[-1]["authorization"].removeprefix("Bearer ")
            process.kill()
            await process.wait()
        finally:
            await stop(process)
        async with started([HOPGATE, "serve", "--config", other.config], ready="/readyz"):
            assert await other.jwks() == keys
            assert "chain_holder" in (await other.ask(token)).text
