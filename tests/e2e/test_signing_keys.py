"""Two gateways on one store make, rotate and distrust signing keys together: processes, real calls, real verifiers."""

import asyncio
import copy
import json
import subprocess
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import httpx2
import jwt
import pytest
import pytest_asyncio

from tests.company import Company
from tests.gateways import HOPGATE, asgi
from tests.peers.process import ready_line, stop
from tests.ports import free_port
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import call, headers_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

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


def replicas(company: Company) -> tuple[Gateway, Gateway]:
    """Two settings files of one company and one database; each writes an audit file of its own."""
    (company.directory / "twin").mkdir(parents=True)
    (company.directory / "secret").write_text("s" * 32)
    signing = {"source": "store", "algorithm": "EdDSA", "rotate_hours": EVERY / 3600, "lead_minutes": LEAD / 60}
    company.settings["keys"] = {"signing": signing, "sealing": "file:secret"}
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


@dataclass
class Pair:
    one: Gateway
    other: Gateway
    ledger: Ledger
    process: asyncio.subprocess.Process
    """The other one's."""

    @property
    def token(self) -> str:
        """The hop token that arrived last."""
        return self.ledger.headers[-1]["authorization"].removeprefix("Bearer ")

    async def agreed(self, wanted: list[str]) -> float:
        """How long it took until both publish what is wanted, and nothing else."""
        began = time.monotonic()
        async with asyncio.timeout(5):
            for gateway in (self.one, self.other):
                while await gateway.jwks() != wanted:
                    pass
        return time.monotonic() - began


async def serve(gateway: Gateway) -> asyncio.subprocess.Process:
    """The gateway as a process that a test may kill, ready."""
    log = gateway.config.with_suffix(".log")
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            HOPGATE, "serve", "--config", gateway.config, stdout=output, stderr=asyncio.subprocess.STDOUT
        )
    await ready_line(process, log, "/readyz")
    return process


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="pair")
async def running_pair(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    company, ledger = Company(tmp_path_factory.mktemp("company")), Ledger()
    one, other = replicas(company)
    async with asgi(ledger.application, company, "server/ledger", company.upstreams["ledger"]):
        first, second = await asyncio.gather(serve(one), serve(other))
        pair = Pair(one, other, ledger, second)
        try:
            yield pair
        finally:
            await asyncio.gather(stop(first), stop(pair.process))


def hopgate(*words: str, config: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [HOPGATE, "keys", *words, "--config", config], capture_output=True, text=True, timeout=30, check=False
    )


async def test_two_replicas_rotate_as_one(pair: Pair) -> None:
    signed: dict[str, float] = {}
    ends = time.monotonic() + 2 * EVERY + LEAD
    while time.monotonic() < ends:
        for gateway in (pair.one, pair.other):
            await gateway.jwks()
            assert (await gateway.ask()).status_code == 200
            header = jwt.get_unverified_header(pair.token)
            assert header["alg"] == "EdDSA"
            signed.setdefault(header["kid"], time.monotonic())
            found = await gateway.metrics()
            assert 0 <= found["hopgate_signing_key_age_seconds"] <= EVERY + LEAD
            assert found["hopgate_signing_key_failures_total"] == 0
    _, *later = signed
    assert len(later) >= 2
    for kid in later:
        for gateway in (pair.one, pair.other):
            assert signed[kid] - gateway.published[kid] > 1, "each gave notice of the key before any signed with it"
        assert abs(pair.one.published[kid] - pair.other.published[kid]) < 1


async def test_a_stolen_key_is_distrusted_everywhere_within_a_second(pair: Pair) -> None:
    assert (await pair.one.ask()).status_code == 200
    token = pair.token
    # The planner isn't its holder, which the gateways say only of a token that is genuine.
    assert "chain_holder" in (await pair.other.ask(token)).text
    done = await asyncio.to_thread(hopgate, "rotate", "--now", config=pair.one.config)
    assert done.returncode == 0, done.stderr
    new = done.stdout.split()[0]
    assert await pair.agreed([new]) < 1
    for gateway in (pair.one, pair.other):
        assert "token_signature" in (await gateway.ask(token)).text
        assert (await gateway.ask()).status_code == 200
    listed = json.loads((await asyncio.to_thread(hopgate, "list", "--format", "json", config=pair.other.config)).stdout)
    states = {key["kid"]: key["state"] for key in listed}
    assert states[jwt.get_unverified_header(token)["kid"]] == "distrusted"


async def test_a_replica_that_is_killed_finds_its_keys_again(pair: Pair) -> None:
    await pair.other.ask()
    token = pair.token
    pair.process.kill()
    await pair.process.wait()
    pair.process = await serve(pair.other)
    assert await pair.other.jwks() == await pair.one.jwks()
    for gateway in (pair.one, pair.other):
        assert "chain_holder" in (await gateway.ask(token)).text
