"""``hopgate tools approve``: a definition that policies, or the registry's own schema, contradict is refused."""

import asyncio
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway.cli import main
from gateway.core.pins import Definition, definition_of
from gateway.store.state import open_state
from gateway.store.tool_pins import SqlToolPins
from tests.company import Company

POLICIES = """
@id("small") permit (principal in Group::"finance-agents", action == Action::"invokeTool",
  resource == Tool::"ledger/pay")
when { context has args.ledger.pay && context.args.ledger.pay.amount < 1000 };
@id("no-memo") permit (principal in Group::"finance-leads", action == Action::"invokeTool",
  resource == Tool::"ledger/pay")
when { context has args.ledger.pay && !(context.args.ledger.pay has memo) };
@id("staged") @mode("staged")
forbid (principal, action == Action::"invokeTool",
  resource == Tool::"ledger/pay")
when { context has args.ledger.pay && context.args.ledger.pay.to == "EVIL" };
"""
AMOUNT, NUMBER, TEXT = {"type": "integer"}, {"type": "number"}, {"type": "string"}
SAME = {"amount": AMOUNT, "to": TEXT, "memo": TEXT}


def definition(*required: str, **properties: Any) -> Definition:
    schema = {"type": "object", "properties": properties, "required": list(required)}
    return definition_of({"name": "pay", "inputSchema": schema})


FIRST = definition("amount", "to", **SAME)


@pytest.fixture
def company(tmp_path: Path) -> Company:
    company = Company(tmp_path)
    company.policies["platform/pay.cedar"] = POLICIES
    company.write()
    return company


def approve(company: Company, chosen: Definition, approved: Definition = FIRST) -> Result:
    async def listed() -> None:
        engine = await open_state(f"sqlite:///{company.directory}/hopgate.db")
        pins = SqlToolPins(engine)
        await pins.approve("ledger", "pay", approved)
        await pins.report("ledger", "pay", chosen)
        await engine.dispose()

    asyncio.run(listed())
    with chdir(company.directory):
        return CliRunner().invoke(
            main, ["tools", "approve", "ledger/pay", chosen.digest], env={"HOPGATE_CONFIG": str(company.config)}
        )


@pytest.mark.parametrize("held", ["by the registry", "by the store"])
@pytest.mark.parametrize(
    ("chosen", "named"),
    [
        (definition("amount", "to", **SAME | {"amount": TEXT}), ["small"]),
        (definition("to", to=TEXT, memo=TEXT), ["small"]),
        (
            definition("amount", "to", **SAME | {"memo": {"type": "number"}}),
            ["argument `memo`", "no type", "`no-memo`"],
        ),
        (definition("amount", "to", amount=AMOUNT, to=TEXT), ["argument `memo`", "`no-memo`"]),
        (definition("amount", **SAME), ["staged", "optional argument"]),
        (definition_of({"name": "pay"}), ["small", "no-memo", "staged"]),
    ],
)
def test_what_policies_read_keeps_its_type(company: Company, held: str, chosen: Definition, named: list[str]) -> None:
    if held == "by the store":
        del company.registry["servers"]["ledger"]["tools"]["pay"]["input_schema"]
        company.write()
    done = approve(company, chosen)
    assert done.exit_code == 2
    assert "ledger/pay is not approved" in done.stderr
    assert not [each for each in named if each not in done.stderr], done.stderr
    assert ("the registry's input_schema" in done.stderr) == (held == "by the registry")


def test_a_type_that_only_differs_from_the_registrys_is_refused(company: Company) -> None:
    chosen = definition("amount", "to", **SAME | {"memo": AMOUNT})
    done = approve(company, chosen)
    assert done.exit_code == 2
    assert "argument `memo` is String by the registry, and Long by the definition: read by `no-memo`" in done.stderr
    del company.registry["servers"]["ledger"]["tools"]["pay"]["input_schema"]
    company.write()
    assert approve(company, chosen).exit_code == 0, "the types are then the definition's, and policies load with them"


def test_what_no_policy_reads_may_be_anything(company: Company) -> None:
    company.policies["platform/pay.cedar"] = POLICIES.split("@id")[1].join(["@id", ""])
    company.write()
    chosen = definition("amount", amount=AMOUNT, to=AMOUNT, memo={}, more=TEXT)
    assert approve(company, chosen).exit_code == 0


def test_the_approved_one_is_approved_again_whatever_the_registry_says(company: Company) -> None:
    contradicting = definition("amount", "to", **SAME | {"memo": AMOUNT})
    done = approve(company, contradicting, approved=contradicting)
    assert (done.exit_code, done.stderr) == (0, "")
