"""The official npm MCP client, unchanged, through the whole journey: denied, asked, approved, executed, proved."""

import asyncio
from pathlib import Path

import pytest

from gateway.core.audit import verify
from gateway.store.query import AuditReader
from tests.approving import LARGE, People, approving
from tests.e2e.test_npm_client import as_agent, error_in
from tests.gateways import asgi, running
from tests.peers.npm_client import call_tool
from tests.wire.ledger import Ledger


@pytest.mark.parametrize("opens_urls", [False, True])
async def test_denied_asked_approved_executed_proved(tmp_path: Path, opens_urls: bool) -> None:
    # It ends once they have decided; a busy machine's clients take seconds to start.
    company = approving(tmp_path, hold_seconds=30)
    ledger, people = Ledger(), People(company)
    url = f"{company.data_url}/mcp/ledger"
    async with (
        asgi(ledger.application, company, "server/ledger", company.upstreams["ledger"]),
        running(company),
        asyncio.TaskGroup() as tasks,
    ):
        refused = await call_tool(url, "pay", LARGE, **as_agent(company, "planner"), opens_urls=opens_urls)
        if opens_urls:
            assert refused["error"]["code"] == -32042
            [asked] = refused["error"]["data"]["elicitations"]
            name, link = asked["elicitationId"], asked["url"]
        else:
            error = error_in(refused)
            assert (error["code"], error["data"]["reason"]) == (1428, "approval_required")
            name, link = error["data"]["approval"], error["data"]["approval_url"]
        assert link == f"{people.desk.url}/approvals/{name}"
        assert ledger.calls == []
        again = tasks.create_task(call_tool(url, "pay", LARGE, **as_agent(company, "planner"), opens_urls=opens_urls))
        assert (await people.say("approve", approval=name)).json()["state"] == "approved"
        called = await again
        assert called["result"]["structuredContent"] == {"paid": 5000}
        shown = await people.show(name)
    assert ledger.calls == [("pay", LARGE)]
    [used] = [each for each in people.decisions() if each.approval is not None]
    assert used.hop == shown["consumed_by"]
    assert verify(AuditReader(company.store_url).rows()).ok
