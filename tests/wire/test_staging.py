"""Staged policies on live traffic: callers get what is enforced; records, metrics and the command tell the rest."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from gateway.core.audit import DecisionRecord
from tests.company import Company
from tests.gateways import HOPGATE, asgi, mcp_client, running
from tests.wire.ledger import Ledger
from tests.wire.test_metrics import scrape

DRAFT = """
@id("finance-read") @mode("staged")
permit (principal in Group::"finance-agents", action == Action::"invokeTool", resource in ToolSet::"finance-readonly")
when { context.delegation_depth > 1 };
@id("quiet") @mode("staged") forbid (principal, action == Action::"delegate", resource);
"""


async def told(*words: str) -> str:
    process = await asyncio.create_subprocess_exec(
        HOPGATE, "policy", *words, stdout=asyncio.subprocess.PIPE, stderr=sys.stderr
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode()


@pytest.fixture
def company(tmp_path: Path) -> Company:
    return Company(tmp_path)


async def test_callers_notice_nothing_and_the_command_sums_up(company: Company) -> None:
    company.policies["platform/drafts.cedar"] = ""
    company.policies["teams/finance/draft.cedar"] = DRAFT.partition('@id("quiet")')[0]
    company.policies["platform/drafts.cedar"] = '@id("quiet")' + DRAFT.partition('@id("quiet")')[2]
    ledger = Ledger()
    async with asgi(ledger.application, company, "server/ledger", company.upstreams["ledger"]), running(company):
        async with mcp_client(company, "planner") as client:
            for _ in range(3):
                result = await client.call_tool("read_balance", {"account": "4711"})
                assert not result.is_error
        metrics = await scrape(company)
    calls = [
        one.record
        for one in company.records()
        if isinstance(one.record, DecisionRecord) and one.record.action == "invokeTool"
    ]
    assert [record.verdict for record in calls] == ["permit"] * 3
    for record in calls:
        assert record.staged is not None
        (opinion,) = record.staged.differing
        assert (opinion.draft, opinion.verdict) == (record.staged.asked[0], "deny")
    counted = "hopgate_staged_policy_decisions_total"
    assert metrics.value(counted, policy="finance-read", outcome="differs") >= 3
    assert metrics.value(counted, policy="quiet", outcome="differs") == 0
    assert metrics.value("hopgate_policies_staged") == 2
    folder = [str(company.directory / "policies")]
    text = await told("staged", "--config", str(company.config))
    assert "finance-read@" in text
    assert "would deny" in text
    assert calls[-1].hop in text
    assert "quiet@" in text
    assert "has concerned no call" in text
    again = json.loads(await told("replay", "--config", str(company.config), *folder, "--format", "json"))
    assert (again["same"], again["redetermined"], again["undecidable"]) == (again["decisions"], 0, {})
    drafts = await told("replay", "--config", str(company.config), *folder, "--staged")
    assert "would deny" in drafts
    assert "by agent: planner: would deny" in drafts
    report = json.loads(await told("staged", "--store", company.store_url, "--format", "json"))
    (draft,) = report["drafts"]
    assert draft["policy"] == "finance-read"
    assert draft["changes"]["permit -> deny"] >= 3
    assert draft["examples"][0]["resource"] == 'Tool::"ledger/read_balance"'
