"""What a server asks of its client during a call is refused towards the server, and the call still ends."""

from pathlib import Path
from typing import Any

import pytest
from mcp.client.context import ClientRequestContext
from mcp_types import CreateMessageRequestParams, CreateMessageResult, ElicitRequestParams, ElicitResult, TextContent

from tests.company import SCOPES, Company
from tests.gateways import mcp_client
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import through_gateway

pytestmark = pytest.mark.filterwarnings("ignore:The sampling capability is deprecated")


@pytest.fixture
def company(tmp_path: Path) -> Company:
    found = Company(tmp_path)
    granted = [*SCOPES, "ledger/consult"]
    found.registry["servers"]["ledger"]["tools"]["consult"] = {"risk_level": "low", "sets": ["finance-readonly"]}
    found.registry["agents"]["planner"]["scopes"] = granted
    found.settings["issuers"][0]["scope_map"]["all"] = granted
    return found


async def test_requests_of_a_legacy_server_never_reach_the_client(company: Company) -> None:
    ledger, reached = Ledger(), []

    async def sample(context: ClientRequestContext, params: CreateMessageRequestParams) -> CreateMessageResult:
        reached.append("sampling")
        return CreateMessageResult(role="assistant", content=TextContent(type="text", text="yes"), model="m")

    async def elicit(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        reached.append("elicitation")
        return ElicitResult(action="accept", content={"sure": True})

    willing: dict[str, Any] = {"sampling_callback": sample, "elicitation_callback": elicit, "read_timeout_seconds": 10}
    async with through_gateway(company, ledger), mcp_client(company, mode="legacy", **willing) as session:
        result = await session.call_tool("consult", {})
    assert result.structured_content == {"result": "went on alone"}
    assert ledger.asked == {"sampling": "refused: -32601", "elicitation": "refused: -32601"}
    assert reached == []
    [outcome] = [found.outcome for found in company.records() if found.record.action == "invokeTool"]
    assert outcome is not None
    assert outcome.ok


async def test_the_refusal_carries_the_gateways_token_and_the_servers_session(company: Company) -> None:
    ledger = Ledger()
    async with through_gateway(company, ledger), mcp_client(company, mode="legacy", read_timeout_seconds=10) as session:
        await session.call_tool("consult", {})
    answers = [headers for headers, body in zip(ledger.headers, ledger.bodies, strict=True) if b'"error"' in body]
    assert len(answers) == 2
    [upstreams] = ledger.sessions
    assert all(headers["mcp-session-id"] == upstreams for headers in answers)
    assert all(headers["authorization"].startswith("Bearer ") for headers in answers)
