"""``hopgate policy explain --decision`` and ``diff --since`` on what a real gateway recorded."""

import json
import shutil
from pathlib import Path

from click.testing import CliRunner

from gateway.cli import main
from tests.company import Company
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import bare, call, post, through_gateway

STRICTER = (
    '@id("shallow") forbid (principal is Agent, action == Action::"invokeTool", resource == Tool::"ledger/slow");'
)


async def test_recorded_decisions_are_explained_and_compared(tmp_path: Path) -> None:
    company = Company(tmp_path)
    async with through_gateway(company, Ledger()), bare(company) as wire:
        await post(wire, call("read_balance"))
        await post(wire, call("delete_all"))
    other = tmp_path / "other"
    shutil.copytree(tmp_path / "policies", other)
    file = other / "teams/finance/read.cedar"
    file.write_text(file.read_text().replace('"low"', '"high"'))
    (other / "platform/shallow.cedar").write_text(STRICTER)
    environment = {"HOPGATE_CONFIG": str(company.config)}

    def run(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(main, ["policy", *arguments], env=environment)
        return done.exit_code, done.output

    found = {str(each.record.resource): each.record.hop for each in company.records()}
    code, said = run("explain", "--decision", found['Tool::"ledger/read_balance"'])
    assert (code, said.count("permit `finance-read`")) == (0, 2), said
    assert "as they are now" in said
    code, said = run("explain", "--decision", found['Tool::"ledger/delete_all"'])
    assert code == 2, said
    assert "near" in said or "failed" in said or "no policy permits" in said
    code, said = run("diff", "--since", "1h", "--format", "json", str(tmp_path / "policies"), str(other))
    effects = json.loads(said)["decisions"]
    assert code == 0
    assert effects["differ"] == {"permit -> deny": 1}
    assert (effects["decisions"] + effects["not_exact"], effects["not_exact"]) == (len(found), 0)
    assert effects["examples"][0]["decision"] == found['Tool::"ledger/read_balance"']
