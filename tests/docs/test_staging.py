"""``docs/STAGING.md``: its policies and commands as printed, on calls that were really made."""

import os
import re
import shutil
import sys
from pathlib import Path

from tests.company import Company
from tests.docs.pages import files, is_as_printed, steps
from tests.docs.test_clients import run
from tests.gateways import asgi, mcp_client, running
from tests.wire.ledger import Ledger
from tests.wire.test_metrics import scrape

PAGE = (Path(__file__).parents[2] / "docs" / "STAGING.md").read_text()


async def test_every_answer_is_as_printed(tmp_path: Path) -> None:
    company, pages = Company(tmp_path), files(PAGE)
    company.policies["teams/finance/draft.cedar"] = pages["policies/teams/finance/draft.cedar"]
    ledger = Ledger()
    async with asgi(ledger.application, company, "server/ledger", company.upstreams["ledger"]), running(company):
        async with mcp_client(company, "planner") as client:
            for _ in range(2):
                await client.call_tool("read_balance", {"account": "4711"})
            await client.call_tool("pay", {"to": "bob", "amount": 40})
        exposed = (await scrape(company)).text
    for name in re.findall(r"`(hopgate_\w+)", PAGE):
        assert name in exposed
    shutil.copytree(tmp_path / "policies", tmp_path / "next")
    (tmp_path / "next" / "platform" / "pay.cedar").write_text(pages["next/platform/pay.cedar"])
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    told = list(steps(PAGE))
    assert len(told) == 4
    for command, expected in told:
        answer = await run(command, tmp_path, environment)
        assert is_as_printed(expected, answer), f"$ {command}\nexpected: {expected}\nanswered: {answer}"
