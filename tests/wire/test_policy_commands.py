"""``hopgate policy explain --decision``, ``diff --since`` and ``audit show`` on what a real gateway recorded."""

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


SMALL = """
@id("small")
permit (principal in Group::"finance-agents", action == Action::"invokeTool", resource == Tool::"ledger/pay")
when { context has args.ledger.pay && context.args.ledger.pay.amount < 100 && principal.risk_level == "high" };
"""


async def test_the_chain_of_a_denial_shows_what_came_near_or_what_is_missing(tmp_path: Path) -> None:
    company = Company(tmp_path)
    company.policies = {"platform/small.cedar": SMALL}
    company.settings["routes"]["mcp"]["ledger"] = {"record_arguments": True}
    async with through_gateway(company, Ledger()), bare(company) as wire:
        await post(wire, call("pay", amount=250, to="ACME"))
    (denied,) = (each.record for each in company.records() if each.record.action == "invokeTool")
    shown = ["audit", "show", denied.hop]
    environment = {"HOPGATE_CONFIG": str(company.config)}

    def run(*options: str) -> str:
        done = CliRunner().invoke(main, [*shown, *options], env=environment)
        assert (done.exit_code, done.stderr) == (0, "")
        return done.stdout

    line = (
        "permit `small` failed: context.args.ledger.pay.amount is 250, needs less than 100; "
        'principal.risk_level is "low", needs "high"'
    )
    assert line in run()
    (root,) = json.loads(run("--format", "json"))
    assert root["near"]["near_misses"] == [line]
    assert root["record"]["hop"] == denied.hop
    company.registry["agents"]["planner"]["risk_level"] = "medium"
    company.write()
    assert line in run(), "by the registry as it was"
    company.policies["platform/small.cedar"] = SMALL.replace("100", "50")
    company.write()
    assert "which permits came near is not known: it was decided by other policies" in run()
    company.policies["platform/small.cedar"] = "permit"
    company.write()
    assert "which permits came near is not known: the policies of --config don't load" in run()
    del environment["HOPGATE_CONFIG"]
    assert "not known: give --config" in run("--store", f"sqlite:///{tmp_path}/hopgate.db")


async def test_arguments_that_were_not_recorded_are_missing(tmp_path: Path) -> None:
    company = Company(tmp_path)
    company.policies = {"platform/small.cedar": SMALL}
    async with through_gateway(company, Ledger()), bare(company) as wire:
        await post(wire, call("pay", amount=250, to="ACME"))
        await post(wire, call("slow"))
    said = [
        CliRunner().invoke(main, ["audit", "show", each.record.hop, "--config", str(company.config)]).stdout
        for each in company.records()
        if each.record.action == "invokeTool"
    ]
    assert "not known: reads context.args.ledger.pay.amount, which was not kept" in said[0]
    assert 'permit `small` failed: resource is Tool::"ledger/slow", needs Tool::"ledger/pay"' in said[1]
