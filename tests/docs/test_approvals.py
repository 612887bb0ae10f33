"""``docs/APPROVALS.md`` is what an agent and the people see: each command is run, each answer compared."""

import asyncio
import os
import re
import sys
from pathlib import Path
from textwrap import dedent

import msgspec

from gateway.config.approval_settings import ApprovalSettings
from tests.approving import People, approving
from tests.docs.pages import files, is_as_printed, steps
from tests.gateways import asgi, served
from tests.peers.parts import require
from tests.wire.ledger import Ledger

PAGE = Path(__file__).parents[2] / "docs" / "APPROVALS.md"


async def test_every_answer_is_as_printed(tmp_path: Path) -> None:
    require("curl")
    company = approving(tmp_path)
    people, page = People(company), PAGE.read_text()
    written = files(page)
    company.policies["platform/pay.cedar"] = company.policies["platform/pay.cedar"].split('@id("large-payments")')[0]
    company.policies["platform/large.cedar"] = written["policies/platform/large.cedar"]
    for name in ("pay.json", "headers"):
        (tmp_path / name).write_text(written[name])
    planner, ledger = company.svid("agent/planner"), Ledger(stateless=True, json_response=True)
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "NO_COLOR": "1",
        "HOPGATE_CONFIG": str(company.config),
        "URL": people.desk.url,
        "DATA": company.data_url,
        "CA": str(planner.bundle),
        "CERT": str(planner.certificate),
        "KEY": str(planner.key),
        "TOKEN": company.token(f"{company.data_url}/mcp/ledger"),
        "MARIA": people.desk.token("nobody", sub="maria", groups=["finance-leads"]),
        "ANN": people.desk.token("nobody", sub="ann", groups=["finance-leads"]),
    }
    told = list(steps(page))
    assert len(told) >= 8
    [example] = re.findall(r"^```yaml\napprovals:\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    settings = msgspec.yaml.decode(dedent(example).encode(), type=ApprovalSettings)
    assert settings.groups["finance-leads"].quorum == 2
    async with (
        asgi(ledger.application, company, "server/ledger", company.upstreams["ledger"]),
        served(company.write()),
    ):
        for command, expected in told:
            process = await asyncio.create_subprocess_exec(
                "bash", "-c", command, cwd=tmp_path, env=environment, stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            )  # fmt: skip
            answer, _ = await process.communicate()
            assert is_as_printed(expected, answer.decode()), f"$ {command}\n{answer.decode()}"
    assert ledger.calls == [("pay", {"amount": 5000, "to": "acme"})]
