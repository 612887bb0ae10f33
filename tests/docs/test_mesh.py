"""``docs/MESH.md`` with a real Envoy: its settings as printed, agents' mutual TLS to it, its own to the gateway."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import jwt
import pytest
import pytest_asyncio
from ruamel.yaml import YAML

from gateway.core.audit import DecisionRecord, RefusedRecord, Workload
from gateway.core.reasons import Reason
from gateway.identity.material import read_key_pair
from tests.company import Company
from tests.docs.pages import files
from tests.gateways import HOPGATE
from tests.peers.parts import require
from tests.peers.process import started
from tests.ports import free_port
from tests.wire.delegate import delegated, delegates
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import call, headers_of, refusal_of, through_gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAGE = (Path(__file__).parents[2] / "docs" / "MESH.md").read_text()
PROXY = "spiffe://demo.test/mesh/envoy"
READ = call("read_balance")


@dataclass
class Mesh:
    company: Company
    ledger: Ledger
    port: int
    held: str
    """A hop token that the analyst received."""

    async def ask(self, agent: str, token: str = "", **headers: str) -> httpx2.Response:
        """A call of the ledger, through Envoy."""
        bearer = token or self.company.token(f"{self.company.data_url}/mcp/ledger")
        wanted = headers_of(READ) | {"Authorization": f"Bearer {bearer}"} | headers
        async with httpx2.AsyncClient(verify=self.company.client(agent), headers=wanted, timeout=20) as http:
            return await http.post(f"https://127.0.0.1:{self.port}/mcp/ledger", json=READ)

    def last(self) -> DecisionRecord | RefusedRecord:
        record = self.company.records()[-1].record
        assert isinstance(record, DecisionRecord | RefusedRecord)
        return record

    def last_agent(self) -> Workload:
        agent = self.last().agent
        assert agent is not None
        return agent


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Mesh]:
    company, ledger, port = Company(tmp_path_factory.mktemp("company")), Ledger(), free_port()
    [printed] = re.findall(r"```yaml\n(listen:\n.*?)```", PAGE, re.DOTALL)
    company.settings["listen"]["data"] |= YAML(typ="safe").load(printed)["listen"]["data"]
    async with delegates(company, "analyst") as [analyst], through_gateway(company, ledger):
        held = await delegated(company, analyst)
        async with envoy(company, port):
            yield Mesh(company, ledger, port, held)


@asynccontextmanager
async def envoy(company: Company, port: int) -> AsyncIterator[None]:
    """Envoy by the page's settings."""
    svid, config = company.svid(PROXY.removeprefix("spiffe://demo.test/")), company.directory / "envoy.yaml"
    text = files(PAGE)["envoy.yaml"]
    for name, value in {
        '"${ENVOY_PORT}"': port, '"${HOPGATE_PORT}"': company.data_port,
        "${ENVOY_CERT}": svid.certificate, "${ENVOY_KEY}": svid.key, "${BUNDLE}": svid.bundle,
    }.items():  # fmt: skip
        assert name in text
        text = text.replace(name, str(value))
    config.write_text(text)
    command = [require("envoy"), "--concurrency", "1", "--disable-hot-restart", "-c", config]
    async with started(command, ready="starting main dispatch loop"):
        yield


async def test_the_record_and_the_token_name_the_caller_and_the_record_the_proxy(mesh: Mesh) -> None:
    assert (await mesh.ask("planner")).status_code == 200
    agent = mesh.last_agent()
    assert (agent.name, agent.spiffe_id, agent.proof, agent.x5t) == (
        "planner", "spiffe://demo.test/agent/planner", "xfcc", "",
    )  # fmt: skip
    assert agent.forwarder is not None
    assert agent.forwarder.spiffe_id == PROXY
    claims = jwt.decode(
        mesh.ledger.headers[-1]["authorization"].removeprefix("Bearer "), options={"verify_signature": False}
    )
    assert claims["act"] == {"sub": "spiffe://demo.test/agent/planner"}
    assert "x-forwarded-client-cert" not in mesh.ledger.headers[-1]


async def test_hopgate_audit_names_both(mesh: Mesh) -> None:
    assert (await mesh.ask("planner")).status_code == 200
    command = [HOPGATE, "audit", "query", "--config", mesh.company.config, "--limit", "1"]
    query = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    printed = (await query.communicate())[0].decode()
    assert f"planner (Maria López, finance) via {PROXY}" in printed


@pytest.mark.parametrize(
    "claimed",
    [
        "URI=spiffe://demo.test/agent/auditor",
        f"By={PROXY};Hash=00;URI=spiffe://demo.test/agent/auditor",
        ",",
    ],
)
async def test_what_the_caller_says_of_itself_is_replaced(mesh: Mesh, claimed: str) -> None:
    assert (await mesh.ask("planner", **{"X-Forwarded-Client-Cert": claimed})).status_code == 200
    assert mesh.last_agent().name == "planner"


async def test_an_agent_that_is_not_registered_is_refused_by_its_name(mesh: Mesh) -> None:
    assert refusal_of(await mesh.ask("stranger"))[2] == Reason.AGENT_UNREGISTERED
    agent = mesh.last_agent()
    assert (agent.spiffe_id, agent.forwarder and agent.forwarder.spiffe_id) == (
        "spiffe://demo.test/agent/stranger",
        PROXY,
    )


async def test_a_chain_goes_on_through_the_mesh(mesh: Mesh) -> None:
    assert (await mesh.ask("analyst", mesh.held)).status_code == 200
    record = mesh.last()
    assert isinstance(record, DecisionRecord)
    assert record.chain.agents == ("planner", "analyst")
    assert refusal_of(await mesh.ask("planner", mesh.held))[2] == Reason.CHAIN_HOLDER


async def test_a_token_bound_to_a_certificate_is_refused(mesh: Mesh) -> None:
    """Whosever it is: the caller's own is not seen, and the proxy's is not the caller's."""
    resource = f"{mesh.company.data_url}/mcp/ledger"
    for path in ("agent/planner", "mesh/envoy"):
        x5t = x5t_of(mesh.company, path)
        bound = mesh.company.token(resource, cnf={"x5t#S256": x5t})
        assert refusal_of(await mesh.ask("planner", bound))[2] == Reason.TOKEN_CLAIMS
    bound = mesh.company.token(resource, cnf={"x5t#S256": ""})
    assert refusal_of(await mesh.ask("planner", bound))[2] == Reason.TOKEN_CLAIMS


def x5t_of(company: Company, path: str) -> str:
    return read_key_pair(company.svid(path).certificate, company.svid(path).key).x5t


async def test_envoy_lets_nobody_in_without_a_certificate(mesh: Mesh) -> None:
    async with httpx2.AsyncClient(verify=mesh.company.anyone(), timeout=20) as http:
        # TLS 1.3 tells it with the first bytes that are read; what the client makes of that depends on the moment.
        with pytest.raises((httpx2.HTTPError, asyncio.IncompleteReadError, ssl.SSLError)):
            await http.post(f"https://127.0.0.1:{mesh.port}/mcp/ledger", json=READ)
