"""Attack 39: using what people approved for something else, for somebody else, or twice.

An approval is of exactly one call of one user through one chain. Whatever differs is another question, which people
are asked anew; nothing that comes from the client makes one approved.
"""

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from gateway.core.reasons import Reason
from tests.approving import ASKS, LARGE, People, approving
from tests.company import Company
from tests.gateways import asgi
from tests.wire.agent import Agent, rpc, sending
from tests.wire.agent import bare as a2a_bare
from tests.wire.agent import refusal_of as a2a_refusal_of
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import META, answer_of, bare, call, post, refusal_of, through_gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Stage(NamedTuple):
    company: Company
    ledger: Ledger
    analyst: Agent
    people: People
    approved: str
    """The approval of Maria's large payment by the planner, which nobody makes in this file."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    company = approving(tmp_path_factory.mktemp("approvals"), hold_seconds=0)
    company.policies["platform/asks.cedar"] = ASKS
    company.registry["agents"]["cron"]["clients"] = ["cli"]
    ledger, analyst = Ledger(), Agent(company, "analyst")
    async with (
        asgi(analyst.application, company, "agent/analyst", company.upstreams["analyst"]),
        through_gateway(company, ledger),
    ):
        people = People(company)
        async with bare(company) as wire:
            await post(wire, call("pay", **LARGE))
        yield Stage(company, ledger, analyst, people, (await people.say("approve")).json()["id"])


@pytest.fixture(autouse=True)
def nothing_reached_anybody(stage: Stage) -> Any:
    yield
    assert stage.ledger.calls == []
    assert stage.analyst.texts == []


async def test_an_approval_of_maria_by_the_planner_is_nobody_elses(stage: Stage) -> None:
    company = stage.company
    url = f"{company.data_url}/mcp/ledger"
    for agent, token in (("cron", ""), ("planner", company.token(url, sub="bob")), ("cron", None)):
        async with bare(company, agent, token=token) as other:
            refused = await post(other, call("pay", **LARGE))
            assert refusal_of(refused)[2] == Reason.APPROVAL_REQUIRED
            assert answer_of(refused)["error"]["data"]["approval"] != stage.approved


@pytest.mark.parametrize(
    "changed",
    [
        {"amount": 5001, "to": "acme"},
        {"amount": 5000, "to": "Acme"},
        {"amount": 5000, "to": "acme "},
        {"amount": 5000, "to": "аcme"},
        {"amount": 5000, "to": "acme", "memo": ""},
    ],
)
async def test_other_arguments_are_another_call(stage: Stage, changed: dict[str, Any]) -> None:
    async with bare(stage.company) as wire:
        refused = await post(wire, call("pay", **changed))
        assert refusal_of(refused)[2] == Reason.APPROVAL_REQUIRED
        assert answer_of(refused)["error"]["data"]["approval"] != stage.approved
    assert (await stage.people.show(stage.approved))["state"] == "approved"


async def test_no_claim_of_the_client_approves(stage: Stage) -> None:
    message = call("pay", amount=9000, to="eve")
    message["params"]["_meta"] |= {f"{META}approved": True, "approved": True}
    message["params"]["inputResponses"] = {"hopgate-approval": {"action": "accept"}}
    headers = {"Hopgate-Approval": "approved", "X-Approved-By": "corp|cfo"}
    async with bare(stage.company) as wire:
        assert refusal_of(await post(wire, message, headers))[2] == Reason.APPROVAL_REQUIRED
        message["params"]["requestState"] = "approved"
        assert refusal_of(await post(wire, message, headers))[2] == Reason.MESSAGE_INVALID


async def test_anothers_task_and_a_made_up_one_are_unknown(stage: Stage) -> None:
    async with a2a_bare(stage.company) as wire:
        asked = (await wire.post(sending("hello"))).json()["result"]["task"]
    token = stage.company.token(f"{stage.company.data_url}/a2a/analyst", sub="bob")
    async with a2a_bare(stage.company, token=token) as other:
        for name in (asked["id"], "hopgate-approval-0000"):
            for body in (rpc("GetTask", {"id": name}), rpc("CancelTask", {"id": name}), sending("hello", taskId=name)):
                assert a2a_refusal_of(await other.post(body))[2] == Reason.TASK_UNKNOWN
    assert (await stage.people.show(asked["id"].removeprefix("hopgate-approval-")))["state"] == "pending"
