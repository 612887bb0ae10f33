"""What is known of policies outlives the process that decided, even one that was killed."""

import asyncio
import csv
import io
import json
import signal
from pathlib import Path

import pytest

from gateway.core.audit import DecisionRecord
from tests.company import Company
from tests.gateways import asgi, mcp_client, serving
from tests.wire.ledger import Ledger
from tests.wire.test_metrics import scrape
from tests.wire.test_staging import told

METRIC = "hopgate_policy_last_evaluated_timestamp_seconds"


@pytest.fixture
def company(tmp_path: Path) -> Company:
    return Company(tmp_path)


async def recounted(company: Company, policy: str) -> float:
    """The metric, once the new process has read the log."""
    async with asyncio.timeout(15):
        while True:
            value = (await scrape(company)).value(METRIC, policy=policy)
            if value:
                return value


async def test_a_killed_gateway_forgets_no_policy(company: Company) -> None:
    ledger = Ledger()
    async with asgi(ledger.application, company, "server/ledger", company.upstreams["ledger"]):
        async with serving(company) as process:
            async with mcp_client(company, "planner") as client:
                await client.call_tool("read_balance", {"account": "4711"})
            process.send_signal(signal.SIGKILL)
            await process.wait()
        decided = [
            one.record.at
            for one in company.records()
            if isinstance(one.record, DecisionRecord) and "finance-read" in {each.id for each in one.record.policies}
        ]
        async with serving(company):
            assert await recounted(company, "finance-read") == max(decided) / 1000
            assert (await scrape(company)).value(METRIC, policy="pay") == 0
            rows = json.loads(await told("review", "--config", str(company.config), "--format", "json"))
    found = {row["policy"]: row for row in rows}
    assert found["finance-read"]["determined_as_is"] == max(decided)
    assert found["finance-read"]["hits"] == len(decided)
    assert found["pay"]["determined"] is None
    assert found["pay"]["evaluated"] == found["finance-read"]["evaluated"]
    table = await told("review", "--config", str(company.config))
    assert table.index("permits") < table.index("finance-read") < table.index("forbids") < table.index("no-loops")
    text = await told("review", "--config", str(company.config), "--format", "csv")
    assert [row["policy"] for row in csv.DictReader(io.StringIO(text))] == [row["policy"] for row in rows]
