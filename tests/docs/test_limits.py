"""``docs/LIMITS.md``: its quotas, policy and commands as printed, against a gateway."""

import json
import os
import re
import sys
from pathlib import Path

from gateway.config.yaml_source import read_yaml
from gateway.core.model import Usage
from gateway.core.usage import KINDS, SEEN
from tests.company import Company
from tests.docs.pages import files, is_as_printed, steps
from tests.docs.test_clients import run
from tests.gateways import asgi, running
from tests.peers.parts import require
from tests.wire.ledger import Ledger
from tests.wire.test_metrics import scrape

PAGE = (Path(__file__).parents[2] / "docs" / "LIMITS.md").read_text()


async def test_every_answer_is_as_printed(tmp_path: Path) -> None:
    require("curl")
    company, pages = Company(tmp_path), files(PAGE)
    document, problems = read_yaml(pages["quotas.yaml"], "quotas.yaml")
    assert document is not None
    assert not problems
    company.settings |= document.value
    company.policies["platform/burst.cedar"] = pages["policies/platform/burst.cedar"]
    for name in ("call.json", "eleventh.json"):
        (tmp_path / name).write_text(pages[name])
    planner = company.svid("agent/planner")
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOPGATE_CONFIG": str(company.config),
        "URL": company.data_url,
        "CA": str(planner.bundle),
        "CERT": str(planner.certificate),
        "KEY": str(planner.key),
        "TOKEN": company.token(f"{company.data_url}/mcp/ledger"),
        "SOCKET": str(tmp_path / "hopgate.db.admin"),
    }
    told = list(steps(PAGE))
    assert len(told) == 4
    ledger = Ledger(json_response=True)
    async with asgi(ledger.application, company, "server/ledger", company.upstreams["ledger"]), running(company):
        for command, expected in told:
            answer = (await run(command, tmp_path, environment)).replace("\r", "")
            assert is_as_printed(expected, answer), f"$ {command}\nexpected: {expected}\nanswered: {answer}"
        exposed = (await scrape(company)).text
    for name in re.findall(r"`(hopgate_\w+)", PAGE):
        assert name in exposed


def test_the_page_names_all_that_is_counted() -> None:
    for kind in KINDS:
        assert f"`{kind}`" in PAGE
    assert f"{len(Usage.__struct_fields__)} in all" in PAGE
    names = [f"{kind}_{measure}" for kind in SEEN for measure in ("requests_minute", "concurrent", "bytes_hour")]
    assert list(Usage.__struct_fields__) == names
    schema = (Path(__file__).parents[2] / "schemas" / "gateway.cedarschema").read_text()
    declared = schema.partition("type Usage = {")[2].partition("}")[0]
    assert re.findall(r"(\w+): Long", declared) == names
    assert json.loads(files(PAGE)["eleventh.json"])["usage"].keys() <= set(names)
