"""What a server asks of its client during a call of a session: a hop of its own, with the server as the principal.

Permitted, it reaches the client and the answer reaches the server; denied, the server is told so and the call ends
as it will. Nobody else can answer.
"""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from mcp.client.context import ClientRequestContext
from mcp_types import CreateMessageRequestParams, CreateMessageResult, ElicitRequestParams, ElicitResult, TextContent

from gateway.core.audit.record import DecisionRecord
from gateway.core.model import Uid
from gateway.core.reasons import Reason
from tests.company import SCOPES, Company
from tests.gateways import mcp_client
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import Wire, bare, headers_of, legacy, open_session, post, refusal_of, through_gateway

ASKING = """
@id("ledger-asks-people")
permit (principal == McpServer::"ledger", action == Action::"elicit", resource in Group::"finance-agents");
"""
SAMPLING = """
@id("ledger-asks-models")
permit (principal in Team::"finance", action == Action::"sample", resource is Agent)
when { context.delegation_depth == 1 && context has user };
"""


@pytest.fixture
def company(tmp_path: Path) -> Company:
    found = Company(tmp_path)
    granted = [*SCOPES, "ledger/consult"]
    found.registry["servers"]["ledger"]["tools"]["consult"] = {"risk_level": "low", "sets": ["finance-readonly"]}
    found.registry["agents"]["planner"]["scopes"] = granted
    found.settings["issuers"][0]["scope_map"]["all"] = granted
    return found


async def sample(context: ClientRequestContext, params: CreateMessageRequestParams) -> CreateMessageResult:
    return CreateMessageResult(role="assistant", content=TextContent(type="text", text="yes"), model="m")


async def elicit(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
    return ElicitResult(action="accept", content={"sure": True})


WILLING: dict[str, Any] = {"sampling_callback": sample, "elicitation_callback": elicit}


@pytest.mark.parametrize(
    ("policies", "sampled", "elicited"),
    [("", False, False), (ASKING, False, True), (SAMPLING, True, False), (ASKING + SAMPLING, True, True)],
)
async def test_each_request_of_the_server_is_decided_by_policy(
    company: Company, policies: str, sampled: bool, elicited: bool
) -> None:
    company.policies["platform/asking.cedar"] = policies
    ledger = Ledger()
    async with through_gateway(company, ledger), mcp_client(company, mode="legacy", **WILLING) as session:
        result = await session.call_tool("consult", {})
    assert result.structured_content == {"result": "went on alone"}
    assert ledger.asked["sampling"].startswith("answered: " if sampled else "refused: 1403")
    assert ledger.asked["elicitation"].startswith("answered: " if elicited else "refused: 1403")
    assert ("text='yes'" in ledger.asked["sampling"]) is sampled
    assert ("sure=True" in ledger.asked["elicitation"]) is elicited
    asked = _asked(company)
    assert [(record.action, record.reason) for record in asked] == [
        ("sample", Reason.PERMITTED if sampled else Reason.NO_PERMIT),
        ("elicit", Reason.PERMITTED if elicited else Reason.NO_PERMIT),
    ]
    assert {(record.asking, record.resource) for record in asked} == {("ledger", Uid("Agent", "planner"))}
    [call] = [found for found in company.records() if found.record.action == "invokeTool"]  # type: ignore[union-attr]
    assert call.outcome is not None
    assert call.outcome.ok


async def test_the_servers_own_ids_stay_with_it(company: Company) -> None:
    company.policies["platform/asking.cedar"] = ASKING
    async with through_gateway(company, Ledger()), bare(company) as wire:
        session = await open_session(wire)
        async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
            asked: asyncio.Future[str] = asyncio.get_running_loop().create_future()
            calling = tasks.create_task(_call(wire, session, asked))
            request_id = await asked
            answer = {"jsonrpc": "2.0", "id": request_id, "result": {"action": "decline"}}
            assert len(request_id) > 40
            forged = request_id[:-2] + ("AA" if request_id[-2:] != "AA" else "BB")
            for wrong in (forged, "0", "1"):
                reply = await post(wire, {**answer, "id": wrong}, session)
                assert refusal_of(reply) == (400, -32600, Reason.MESSAGE_INVALID)
            other_session = await open_session(wire)
            reply = await post(wire, answer, other_session)
            assert refusal_of(reply) == (400, -32600, Reason.MESSAGE_INVALID)
            assert (await post(wire, answer, session)).status_code == 202
    assert calling.result() == {"result": "went on alone"}
    responses = [found.record for found in company.records() if getattr(found.record, "method", "") == "response"]
    assert [record.target for record in responses if isinstance(record, DecisionRecord)] == ["elicitation/create"]


async def test_the_refusal_carries_the_gateways_token_and_the_servers_session(company: Company) -> None:
    ledger = Ledger()
    async with through_gateway(company, ledger), mcp_client(company, mode="legacy") as session:
        await session.call_tool("consult", {})
    answers = [headers for headers, body in zip(ledger.headers, ledger.bodies, strict=True) if b'"error"' in body]
    assert len(answers) == 2
    [upstreams] = ledger.sessions
    assert all(headers["mcp-session-id"] == upstreams for headers in answers)
    assert all(headers["authorization"].startswith("Bearer ") for headers in answers)


async def _call(wire: Wire, session: dict[str, str | None], asked: "asyncio.Future[str]") -> Any:
    """Call ``consult``; the id of the one request that comes through, then the result."""
    message = legacy("tools/call", {"name": "consult", "arguments": {}})
    headers = {**headers_of(message), **{name: str(value) for name, value in session.items()}}
    async with wire.http.stream("POST", wire.url, json=message, headers=headers) as stream:
        async for line in stream.aiter_lines():
            value = json.loads(line.removeprefix("data:")) if line.startswith("data:") else {}
            if value.get("method") == "elicitation/create":
                asked.set_result(value["id"])
            if "result" in value:
                return value["result"]["structuredContent"]
    return None


def _asked(company: Company) -> list[DecisionRecord]:
    records = [found.record for found in company.records()]
    return [record for record in records if isinstance(record, DecisionRecord) and record.asking is not None]
