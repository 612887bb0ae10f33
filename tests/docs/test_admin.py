"""``docs/ADMIN.md`` is what an operator sees: each command is run against a gateway, each answer compared."""

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.admin.conftest import Desk, configure
from tests.company import Company
from tests.docs.pages import is_as_printed, steps
from tests.gateways import served
from tests.peers.parts import require

PAGE = Path(__file__).parents[2] / "docs" / "ADMIN.md"


def names(desk: Desk) -> Mapping[str, str]:
    """What the page's commands read."""
    automation = desk.company.svid("agent/outsider")
    return os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "NO_COLOR": "1",
        "HOPGATE_CONFIG": str(desk.company.config),
        "SOCKET": str(desk.socket),
        "URL": desk.url,
        "CA": str(automation.bundle),
        "CERT": str(automation.certificate),
        "KEY": str(automation.key),
        "VIEWER": desk.token("viewer"),
        "AUDITOR": desk.token("auditor"),
        "OPERATOR": desk.token("operator"),
    }


async def test_every_answer_is_as_printed(tmp_path: Path) -> None:
    require("curl")
    company = configure(Company(tmp_path))
    environment = names(Desk(company))
    told = list(steps(PAGE.read_text()))
    assert len(told) > 15
    async with served(company.write()):
        for command, expected in told:
            process = await asyncio.create_subprocess_exec(
                "bash", "-c", command, cwd=tmp_path, env=environment, stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            )  # fmt: skip
            answer, _ = await process.communicate()
            assert is_as_printed(expected, answer.decode()), f"$ {command}\n{answer.decode()}"
