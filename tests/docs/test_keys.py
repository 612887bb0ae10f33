"""``docs/KEYS.md``: its settings and commands as printed, and the metrics it names."""

import os
import re
import sys
from pathlib import Path

import aiohttp
from ruamel.yaml import YAML

from tests.company import Company
from tests.docs.pages import is_as_printed, steps
from tests.docs.test_clients import run
from tests.gateways import running
from tests.peers.parts import require

PAGE = (Path(__file__).parents[2] / "docs" / "KEYS.md").read_text()


async def test_every_answer_is_as_printed(tmp_path: Path) -> None:
    require("openssl")
    company = Company(tmp_path / "company")
    company.directory.mkdir()
    company.directory.joinpath("passphrase").write_text("open sesame")
    company.directory.joinpath("sealing-secret").write_text("s" * 32)
    by_file, by_store = map(YAML(typ="safe").load, re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    told = list(steps(PAGE))
    assert len(told) == 7
    for name, printed in (("file.yaml", by_file), ("store.yaml", by_store)):
        company.settings |= printed
        company.write().rename(company.directory / name)
    for command, expected in told:
        if command.endswith("keys list --config store.yaml") and "distrusted" not in expected:
            # Its first start makes the first key.
            async with running(company):
                assert await metrics(company) >= set(re.findall(r"`(hopgate_\w+)`", PAGE))
        answer = await run(command, company.directory, environment)
        if command.startswith("openssl"):
            continue
        assert is_as_printed(expected, answer), f"$ {command}\nexpected: {expected}\nanswered: {answer}"


async def metrics(company: Company) -> set[str]:
    url = f"http://127.0.0.1:{company.health_port}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return {line.split(" ")[0] for line in (await response.text()).splitlines() if not line.startswith("#")}
