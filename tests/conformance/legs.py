"""The two ways to the fixture server: direct, and through the company's gateway as one of its agents."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import uvicorn

from tests.company import SCOPES, Company
from tests.conformance.pipe import Pipe
from tests.conformance.server import conformance_application, conformance_server
from tests.conformance.suite import Verdicts, run_suite
from tests.conformance.tools import HEADER_SCHEMA, HEADER_TOOL
from tests.gateways import asgi, listening, running
from tests.ports import free_port

SERVER = "conformance"
SCOPES_OF_SERVER = [f"{SERVER}/call", f"{SERVER}/resources/read", f"{SERVER}/prompts/get"]
POLICY = """
@id("conformance") permit (principal == Agent::"planner", action, resource);
@id("asking") permit (principal == McpServer::"conformance", action, resource == Agent::"planner");
"""


class Measured(NamedTuple):
    """One revision's verdicts, by each way."""

    direct: Verdicts
    gateway: Verdicts


async def measure(revision: str, folder: Path) -> Measured:
    """Run the suite both ways, one after the other; ``folder`` keeps what it wrote."""
    async with direct() as url:
        alone = await run_suite(url, revision, folder / "direct")
    async with through_gateway(Company(folder / "company")) as url:
        return Measured(alone, await run_suite(url, revision, folder / "gateway"))


@asynccontextmanager
async def direct() -> AsyncIterator[str]:
    """The fixture server over plain HTTP."""
    port = free_port()
    # Of uvicorn's two parsers only h11 takes the white space off header values, as RFC 9110 wants it.
    config = uvicorn.Config(
        conformance_application(), port=port, http="h11", log_level="critical", timeout_graceful_shutdown=1
    )
    async with listening(config):
        yield f"http://127.0.0.1:{port}/mcp"


@asynccontextmanager
async def through_gateway(company: Company) -> AsyncIterator[str]:
    """The gateway's route to a fixture server of its own, over plain HTTP by way of the pipe."""
    port = free_port()
    route = f"/mcp/{SERVER}"
    upstream = {"url": f"https://127.0.0.1:{port}/mcp", "spiffe_id": f"spiffe://demo.test/server/{SERVER}"}
    offered = await conformance_server().list_tools()
    admit(company, upstream, {tool.name: HEADER_SCHEMA if tool.name == HEADER_TOOL else None for tool in offered})
    token = company.token(company.data_url + route)
    pipe = Pipe("127.0.0.1", company.data_port, company.client("planner"), token)
    async with pipe.open() as open_port, asgi(conformance_application(), company, f"server/{SERVER}", port):
        company.settings["listen"]["data"]["origins"] = [f"http://127.0.0.1:{open_port}"]
        async with running(company):
            yield f"http://127.0.0.1:{open_port}{route}"


def admit(company: Company, upstream: Mapping[str, Any], tools: Mapping[str, Mapping[str, Any] | None]) -> None:
    """Register a server whose tools, each with its input schema or none, the planner may use as it likes."""
    entries: dict[str, Any] = {name: {"risk_level": "low", "scopes": [f"{SERVER}/call"]} for name in tools}
    for name, schema in tools.items():
        entries[name] |= {} if schema is None else {"input_schema": schema}
    server = {"team": "finance", "environment": "production", "upstream": upstream, "tools": entries}
    company.registry["servers"][SERVER] = server
    company.settings["routes"]["mcp"][SERVER] = {"user": "optional"}
    company.settings["issuers"][0]["scope_map"] = {"all": [*SCOPES, *SCOPES_OF_SERVER]}
    company.registry["agents"]["planner"]["scopes"] = [*SCOPES, *SCOPES_OF_SERVER]
    company.policies["platform/conformance.cedar"] = POLICY
