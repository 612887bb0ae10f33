"""What policies read of a call's arguments is what reaches the tool: defaults filled in, null left out, names known."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.core.audit import DecisionRecord
from gateway.core.reasons import Reason
from tests.company import Company
from tests.gateways import mcp_client
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import Wire, bare, legacy, modern, open_session, post, record_of, refusal_of, through_gateway

READS = """
@id("pay")
permit (principal in Group::"finance-agents", action == Action::"invokeTool", resource == Tool::"ledger/pay")
when { context has args.ledger.pay && context.args.ledger.pay has memo && context.args.ledger.pay.memo != "secret" };
@id("dry-only")
forbid (principal, action == Action::"invokeTool", resource == Tool::"ledger/pay")
when { context has args.ledger.pay && !context.args.ledger.pay.options.dry };
"""
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "amount": {"type": "integer"},
        "to": {"type": "string"},
        "memo": {"type": "string", "default": "none"},
        "options": {
            "type": "object",
            "default": {},
            "properties": {"dry": {"type": "boolean", "default": True}, "rounding": {"type": "number"}},
        },
        "weight": {"type": "number"},
        "tag": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    },
    "required": ["amount", "to"],
}
FIT: dict[str, Any] = {"amount": 5, "to": "ACME"}


@pytest.fixture
def company(tmp_path: Path) -> Company:
    found = Company(tmp_path)
    found.registry["servers"]["ledger"]["tools"]["pay"]["input_schema"] = SCHEMA
    found.policies["platform/pay.cedar"] = READS
    return found


@asynccontextmanager
async def calling(company: Company, ledger: Ledger, era: str) -> AsyncIterator[tuple[Wire, Any]]:
    """A way to call ``pay`` in the era's form."""
    async with through_gateway(company, ledger), bare(company) as wire:
        session = await open_session(wire) if era == "legacy" else None
        form = legacy if era == "legacy" else modern

        async def pay(**arguments: Any) -> Any:
            return await post(wire, form("tools/call", {"name": "pay", "arguments": arguments}), session)

        yield wire, pay


def sent(ledger: Ledger) -> list[Any]:
    bodies = [json.loads(body) for body in ledger.bodies if body]
    return [body["params"]["arguments"] for body in bodies if body["method"] == "tools/call"]


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_defaults_that_policies_read_are_sent(company: Company, era: str) -> None:
    ledger = Ledger()
    async with calling(company, ledger, era) as (_, pay):
        assert (await pay(**FIT)).status_code == 200
        assert (await pay(**FIT, memo=None, options=None)).status_code == 200
        assert (await pay(**FIT, memo="mine", options={"rounding": 0.5}, weight=1.5, tag=None)).status_code == 200
    full = {**FIT, "memo": "none", "options": {"dry": True}}
    assert sent(ledger)[:2] == [full, full]
    assert sent(ledger)[2] == {
        **FIT,
        "memo": "mine",
        "options": {"rounding": 0.5, "dry": True},
        "weight": 1.5,
        "tag": None,
    }
    decisions = [found.record for found in company.records() if isinstance(found.record, DecisionRecord)]
    paid = [record for record in decisions if record.target == "pay"]
    matched = [{match.path: bytes(match.value) for match in record.policies[0].matched} for record in paid]
    assert [each["context.args.ledger.pay.memo"] for each in matched] == [b'"none"', b'"none"', b'"mine"']


@pytest.mark.parametrize("era", ["legacy", "modern"])
@pytest.mark.parametrize(
    "arguments",
    [
        {"Memo": "secret"},
        {"options": {"Dry": False}},
        {"options": "dry"},
        {"memo": 5},
        {"memo": {"__entity": {"type": "Agent", "id": "planner"}}},
    ],
    ids=repr,
)
async def test_what_does_not_fit_is_the_callers_mistake(company: Company, era: str, arguments: dict[str, Any]) -> None:
    ledger = Ledger()
    async with calling(company, ledger, era) as (_, pay):
        refused = await pay(**FIT, **arguments)
        assert refusal_of(refused) == (400, -32602, Reason.ARGUMENTS_INVALID)
        record = record_of(company, refused).record
    assert isinstance(record, DecisionRecord)
    assert (record.verdict, record.policies) == ("deny", ())
    assert sent(ledger) == []


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_the_official_client_sees_its_call_answered(company: Company, mode: str) -> None:
    ledger = Ledger()
    async with through_gateway(company, ledger), mcp_client(company, mode=mode) as client:
        assert not (await client.call_tool("pay", FIT)).is_error
    assert sent(ledger) == [{**FIT, "memo": "none", "options": {"dry": True}}]


async def test_nothing_is_filled_in_where_no_policy_reads(company: Company) -> None:
    company.policies["platform/pay.cedar"] = READS.split("when")[0] + ";"
    ledger = Ledger()
    async with calling(company, ledger, "modern") as (_, pay):
        assert (await pay(**FIT, memo=None)).status_code == 200
    assert sent(ledger) == [{**FIT, "memo": None}]
