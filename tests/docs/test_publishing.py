"""``docs/PUBLISHING.md``: each command as printed, against a gateway whose store owns the policies."""

import asyncio
import os
import shutil
import sys
from pathlib import Path

from tests.admin.conftest import Desk, configure
from tests.company import POLICIES, Company
from tests.docs.pages import files, is_as_printed, steps
from tests.docs.test_clients import run
from tests.gateways import running
from tests.peers.parts import require

PAGE = (Path(__file__).parents[2] / "docs" / "PUBLISHING.md").read_text()
READ = "teams/finance/read.cedar"
BROKEN = """@id("a")
permit (principal is Agent, action == Action::"invokeTool", resource is Tool)
when {
  principal.risk_levle == "low"
};
"""


def folders(company: Company, directory: Path) -> None:
    """What the page's commands publish, beside the company's own."""
    for name, path, text in (
        ("next", "platform/pay.cedar", files(PAGE)["next/platform/pay.cedar"]),
        ("broken", "platform/a.cedar", BROKEN),
        ("theirs", READ, POLICIES[READ].lstrip().replace("<= 3", "<= 2")),
    ):
        shutil.copytree(directory / "policies", directory / name)
        (directory / name / path).write_text(text)


async def test_every_answer_is_as_printed(tmp_path: Path) -> None:
    require("curl")
    company = configure(Company(tmp_path))
    company.settings["publishing"] = {"source": "store"}
    desk = Desk(company)
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOPGATE_CONFIG": str(company.config),
        "URL": desk.url,
        "CA": str(company.svid("agent/planner").bundle),
        "FINANCE": desk.token("nobody", sub="maria", roles=["hopgate-author"]),
    }
    async with running(company):
        await asyncio.to_thread(folders, company, tmp_path)
        told = list(steps(PAGE))
        assert len(told) == 14
        for command, expected in told:
            answer = await run(command, tmp_path, environment)
            assert is_as_printed(expected, answer), f"$ {command}\nexpected: {expected}\nanswered: {answer}"
