"""Resources, prompts and completion through the gateway with the official client and server, in both eras: who sees
and reads which, what is recorded, and which scopes it takes."""

from pathlib import Path
from typing import Any

import pytest
from mcp import MCPError
from mcp_types import PromptReference, ResourceTemplateReference

from gateway.core.audit.record import DecisionRecord
from gateway.core.model import Uid
from gateway.core.reasons import Reason
from tests.company import SCOPES, Company
from tests.gateways import mcp_client
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import bare, modern, post, refusal_of, through_gateway

BOTH = pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
GRANTED = [*SCOPES, "ledger/resources/read", "ledger/prompts/get"]
YEAR, KEY, MONTH = "file:///ledger/2026.csv", "file:///keys/signing.pem", "file:///ledger/months/{month}"
POLICY = """
@id("reports")
permit (
  principal in Group::"finance-agents",
  action in [Action::"readResource", Action::"complete"],
  resource in ResourceSet::"reports"
) when { principal.risk_level == "low" };
@id("summaries")
permit (
  principal in Group::"finance-agents",
  action in [Action::"getPrompt", Action::"complete"],
  resource in McpServer::"ledger"
) when { resource is Prompt && resource.name == "summary" };
"""


@pytest.fixture
def company(tmp_path: Path) -> Company:
    found = Company(tmp_path)
    found.policies["platform/documents.cedar"] = POLICY
    found.registry["servers"]["ledger"]["resources"] = {"file:///ledger/*": {"sets": ["reports"]}}
    found.registry["agents"]["planner"]["scopes"] = GRANTED
    found.settings["issuers"][0]["scope_map"]["all"] = GRANTED
    return found


@BOTH
async def test_lists_hold_what_may_be_used(company: Company, mode: str) -> None:
    async with through_gateway(company, Ledger()), mcp_client(company, mode=mode) as session:
        resources = await session.list_resources()
        templates = await session.list_resource_templates()
        prompts = await session.list_prompts()
    assert [str(resource.uri) for resource in resources.resources] == [YEAR]
    assert [template.uri_template for template in templates.resource_templates] == [MONTH]
    assert [prompt.name for prompt in prompts.prompts] == ["summary"]
    hidden = [found.outcome.hidden for found in company.records() if found.outcome and found.outcome.hidden]
    assert hidden == [(KEY,), ("file:///keys/{name}",), ("audit",)]


@BOTH
async def test_what_may_be_used_is_brought(company: Company, mode: str) -> None:
    ledger = Ledger()
    async with through_gateway(company, ledger), mcp_client(company, mode=mode) as session:
        year = await session.read_resource(YEAR)
        month = await session.read_resource("file:///ledger/months/may")
        prompt = await session.get_prompt("summary", {"account": "payroll"})
        words = await session.complete(PromptReference(name="summary"), {"name": "account", "value": "pa"})
        months = await session.complete(ResourceTemplateReference(uri=MONTH), {"name": "month", "value": "pe"})
    assert _text(year) == "operations,128150"
    assert _text(month) == "operations in may"
    assert prompt.messages[0].content.text == "Summarise payroll"  # type: ignore[union-attr]
    assert (words.completion.values, months.completion.values) == (["payroll"], ["petty"])
    assert ledger.calls == [("2026.csv", {}), ("summary", {"account": "payroll"})]
    records = [found.record for found in company.records() if isinstance(found.record, DecisionRecord)]
    decided = {(record.method, record.target): record for record in records}
    read = decided["resources/read", YEAR]
    assert (read.action, read.resource) == ("readResource", Uid("McpResource", f"ledger/{YEAR}"))
    assert [policy.id for policy in read.policies] == ["reports"]
    assert read.minted is not None
    assert read.minted.scope == ("ledger/resources/read",)
    got = decided["prompts/get", "summary"]
    assert (got.action, got.resource) == ("getPrompt", Uid("Prompt", "ledger/summary"))
    assert got.minted is not None
    assert got.minted.scope == ("ledger/prompts/get",)
    assert decided["completion/complete", "summary"].action == "complete"


@BOTH
async def test_what_may_not_be_used_never_arrives(company: Company, mode: str) -> None:
    ledger = Ledger()
    async with through_gateway(company, ledger), mcp_client(company, mode=mode) as session:
        for refused in (
            session.read_resource(KEY),
            session.get_prompt("audit"),
            session.complete(PromptReference(name="audit"), {"name": "a", "value": "p"}),
            session.complete(ResourceTemplateReference(uri="file:///keys/{name}"), {"name": "name", "value": "p"}),
        ):
            with pytest.raises(MCPError) as caught:
                await refused
            assert (caught.value.error.code, caught.value.error.data["reason"]) == (1403, Reason.NO_PERMIT)
    assert ledger.calls == []


@pytest.mark.parametrize("detour", ["file:///ledger/../keys/x", "file:///ledger/months/%2e%2e%2f..%2fkeys"])
async def test_a_detour_into_another_folder_is_refused(company: Company, detour: str) -> None:
    ledger = Ledger()
    async with through_gateway(company, ledger), bare(company) as wire:
        before = len(ledger.headers)
        reply = await post(wire, modern("resources/read", {"uri": detour}))
    assert refusal_of(reply) == (400, -32602, Reason.MESSAGE_INVALID)
    assert len(ledger.headers) == before


@BOTH
async def test_reading_takes_its_scope(company: Company, mode: str) -> None:
    company.registry["servers"]["ledger"]["resources"]["file:///ledger/2026.csv"] = {"scopes": ["ledger/years"]}
    ledger = Ledger()
    async with through_gateway(company, ledger), mcp_client(company, mode=mode) as session:
        assert _text(await session.read_resource("file:///ledger/months/may")) == "operations in may"
        with pytest.raises(MCPError) as caught:
            await session.read_resource(YEAR)
    assert caught.value.error.data["reason"] == Reason.SCOPE_CEILING
    assert ledger.calls == []


@BOTH
async def test_who_may_only_read_can_still_open(company: Company, mode: str) -> None:
    company.registry["agents"]["planner"]["groups"] = ["readers"]
    company.policies["platform/documents.cedar"] = POLICY.replace("finance-agents", "readers")
    async with through_gateway(company, Ledger()), mcp_client(company, mode=mode) as session:
        assert (await session.list_tools()).tools == []
        assert _text(await session.read_resource(YEAR)) == "operations,128150"


@BOTH
async def test_an_unknown_resource_is_the_servers_to_say(company: Company, mode: str) -> None:
    async with through_gateway(company, Ledger()), mcp_client(company, mode=mode) as session:
        with pytest.raises(MCPError) as caught:
            await session.read_resource("file:///ledger/none.csv")
    assert "reason" not in (caught.value.error.data or {})


def _text(read: Any) -> Any:
    [content] = read.contents
    return content.text
