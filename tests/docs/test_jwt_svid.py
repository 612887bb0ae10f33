"""``docs/JWT-SVID.md``: its agent as printed, with JWT-SVIDs that a real SPIRE agent mints."""

import json
import os
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
import uvicorn
from ruamel.yaml import YAML

from gateway.core.audit import DecisionRecord
from tests.company import Company
from tests.docs.pages import files
from tests.docs.test_clients import run
from tests.gateways import asgi, listening, running
from tests.peers.spire import Domain, spire
from tests.wire.ledger import Ledger

PAGE = (Path(__file__).parents[2] / "docs" / "JWT-SVID.md").read_text()
Source = Callable[[Company, Domain], Awaitable[Path]]
Served = Callable[[Company, Ledger], AbstractAsyncContextManager[None]]
ENTRY = "-parentID spiffe://demo.test/node -spiffeID spiffe://demo.test/agent/cron -dns localhost"


async def bundle_file(company: Company, domain: Domain) -> Path:
    """The page's settings: a bundle as SPIRE shows it. The roots that the gateway's certificate is of."""
    (company.directory / "jwt-bundle.json").write_text(await domain.bundle())
    return company.svid("agent/cron").bundle


async def workload_api(company: Company, domain: Domain) -> Path:
    """Without files: the gateway's certificate and the JWT bundles are both the agent's."""
    company.settings["identity"] = {
        "trust_domain": "demo.test",
        "source": "workload_api",
        "workload_api": {"socket": str(domain.socket)},
        "jwt_svid": {},
    }
    company.registry["servers"]["ledger"]["upstream"] = {"url": f"http://127.0.0.1:{company.upstreams['ledger']}/mcp"}
    return domain.directory / "bundle.pem"


@asynccontextmanager
async def in_the_clear(company: Company, ledger: Ledger) -> AsyncIterator[None]:
    config = uvicorn.Config(ledger.application, port=company.upstreams["ledger"], log_level="warning")
    async with listening(config), running(company):
        yield


@asynccontextmanager
async def by_mutual_tls(company: Company, ledger: Ledger) -> AsyncIterator[None]:
    async with asgi(ledger.application, company, "server/ledger", company.upstreams["ledger"]), running(company):
        yield


@pytest.mark.parametrize(("source", "served"), [(bundle_file, by_mutual_tls), (workload_api, in_the_clear)])
async def test_the_agent_of_the_page_calls_with_spires_tokens(tmp_path: Path, source: Source, served: Served) -> None:
    company, ledger, desk = Company(tmp_path / "company"), Ledger(), tmp_path / "desk"
    company.directory.mkdir()
    desk.mkdir()
    (desk / "agent.py").write_text(files(PAGE)["agent.py"])
    [printed] = re.findall(r"```yaml\n(identity:\n.*?)```", PAGE, re.DOTALL)
    settings = YAML(typ="safe").load(printed)
    company.settings["identity"] |= settings["identity"]
    company.settings["routes"] = settings["routes"]
    company.settings["issuer"] = url = f"https://localhost:{company.public_port}"
    async with spire("demo.test") as domain:
        await domain.command("entry", "create", *ENTRY.split(), "-selector", f"unix:uid:{os.getuid()}")
        environment = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "URL": f"{url}/mcp/ledger",
            "CA": str(await source(company, domain)),
            "SPIFFE_ENDPOINT_SOCKET": f"unix:{domain.socket}",
        }
        async with served(company, ledger):
            answer = ""
            for _ in range(20):
                # The agent learns of its entry at its next look at the server.
                answer = await run("python agent.py", desk, environment)
                if "Error" not in answer:
                    break
    assert json.loads(answer)["balance"] == 128150, answer
    record = next(found.record for found in company.records()[::-1] if isinstance(found.record, DecisionRecord))
    assert record.agent is not None
    assert (record.agent.name, record.agent.proof) == ("cron", "jwt-svid")
