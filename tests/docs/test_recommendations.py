"""``docs/RECOMMENDATIONS.md``: its commands as printed, on calls that were really made, and its figures."""

import os
import re
import sys
from pathlib import Path

from bench.recommend import HELD_OUT
from tests.company import SCOPES, Company
from tests.docs.pages import is_as_printed, steps
from tests.docs.test_clients import run
from tests.gateways import asgi, mcp_client, running
from tests.wire.ledger import Ledger

PAGE = (Path(__file__).parents[2] / "docs" / "RECOMMENDATIONS.md").read_text()


async def test_every_answer_is_as_printed(tmp_path: Path) -> None:
    company = Company(tmp_path)
    company.registry["agents"]["cron"] |= {"clients": ["cli"], "scopes": SCOPES}
    ledger = Ledger()
    async with asgi(ledger.application, company, "server/ledger", company.upstreams["ledger"]), running(company):
        for agent in ("planner", "cron"):
            async with mcp_client(company, agent) as client:
                for name in ("read_balance", "list_entries"):
                    for _ in range(2):
                        await client.call_tool(name, {"account": "4711"})
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for command, expected in steps(PAGE):
        answer = await run(command, tmp_path, environment)
        assert is_as_printed(expected, answer), f"$ {command}\nexpected: {expected}\nanswered: {answer}"
    text = (tmp_path / "drafts" / "teams" / "finance" / "recommended.cedar").read_text()
    assert '@mode("staged")' in text
    assert "auditor" not in text
    again = await run(
        "hopgate policy recommend --config gateway.yaml --out drafts --agents 2 --pairs 4 --calls 4 --days 1 --new 1",
        tmp_path,
        environment,
    )
    assert "is there already; remove it, or give another --out" in again


def test_the_figures_of_the_held_out_seeds_are_told() -> None:
    rows = re.findall(
        r"^\| attributes \| (\d+) \| (\w+) \|.* (0\.\d+|1\.000) \| (0\.\d+|1\.000) \| \d+ \|$", PAGE, re.MULTILINE
    )
    assert {(int(seed), noise) for seed, noise, _, _ in rows} >= {(seed, "usual") for seed in HELD_OUT}
    assert all(
        float(precision) >= 0.95 and float(recall) >= 0.9 for _, noise, precision, recall in rows if noise == "usual"
    )
