"""Tasks after the message that made them, with the official client: listed, cancelled, followed; only one's own."""

import asyncio
from pathlib import Path

import pytest
from a2a.client.client import Client
from a2a.types import (
    CancelTaskRequest,
    GetExtendedAgentCardRequest,
    ListTasksRequest,
    SubscribeToTaskRequest,
    TaskState,
)
from a2a.utils.errors import TaskNotCancelableError, UnsupportedOperationError
from a2a.utils.signing import create_agent_card_signer
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from tests.company import Company
from tests.wire.agent import Agent, asking, bare, heard, question, refusal_of, rpc, said, sending
from tests.wire.analyst import OWN_TASKS, analysing


@pytest.fixture
def company(tmp_path: Path) -> Company:
    company = Company(tmp_path)
    company.policies["platform/tasks.cedar"] = OWN_TASKS
    return company


def of(company: Company, person: str) -> str:
    return company.token(f"{company.data_url}/a2a/analyst", sub=person)


async def listed(client: Client, **asked: str) -> list[str]:
    return [task.id for task in (await client.list_tasks(ListTasksRequest(**asked))).tasks]


async def test_a_list_holds_the_callers_own_tasks(company: Company) -> None:
    async with (
        analysing(company),
        asking(company, "planner", token=of(company, "maria"), streaming=False) as maria,
        asking(company, "planner", token=of(company, "mallory"), streaming=False) as mallory,
    ):
        [first] = await heard(maria, "hello")
        [second] = await heard(maria, "hello", context_id="c-1")
        [other] = await heard(mallory, "hello")
        page = await maria.list_tasks(ListTasksRequest())
        assert {task.id for task in page.tasks} == {first.task.id, second.task.id}
        assert page.total_size == 2
        assert await listed(maria, context_id="c-1") == [second.task.id]
        assert await listed(mallory) == [other.task.id]
    [*_, found] = company.records()
    assert found.record.action == "listTasks"
    assert found.outcome is not None
    assert set(found.outcome.hidden) == {first.task.id, second.task.id}


async def test_tasks_of_anothers_context_are_not_listed_and_asking_claims_nothing(company: Company) -> None:
    async with (
        analysing(company),
        bare(company, token=of(company, "mallory")) as mallory,
        bare(company, token=of(company, "maria")) as maria,
    ):
        asked = await mallory.post(rpc("ListTasks", {"contextId": "c-1"}))
        begun = await maria.post(sending("hello", contextId="c-1"))
        again = await mallory.post(rpc("ListTasks", {"contextId": "c-1"}))
    assert asked.json()["result"]["tasks"] == []
    assert begun.status_code == 200
    assert refusal_of(again) == (404, -32001, "task_unknown")


async def test_a_task_is_cancelled_by_its_owner_while_it_runs(company: Company) -> None:
    async with (
        analysing(company) as analyst,
        asking(company, "planner", token=of(company, "maria")) as maria,
        bare(company, token=of(company, "mallory")) as mallory,
    ):
        events = []
        async for event in maria.send_message(question("steps 2")):
            events.append(event)
            if event.HasField("artifact_update"):
                task_id = event.artifact_update.task_id
                stolen = await mallory.post(rpc("CancelTask", {"id": task_id}))
                task = await maria.cancel_task(CancelTaskRequest(id=task_id))
        with pytest.raises(TaskNotCancelableError):
            await maria.cancel_task(CancelTaskRequest(id=task_id))
    assert refusal_of(stolen) == (404, -32001, "task_unknown")
    assert task.status.state == TaskState.TASK_STATE_CANCELED
    assert events[-1].status_update.status.state == TaskState.TASK_STATE_CANCELED
    # The one that was refused never came: a message, a cancellation, and one too late.
    assert len(analyst.headers) == 3


async def test_a_task_is_followed_again_by_its_owner(company: Company) -> None:
    async with (
        analysing(company) as analyst,
        asking(company, "planner", token=of(company, "maria")) as maria,
        bare(company, token=of(company, "mallory")) as mallory,
    ):
        following = asyncio.Queue[str]()

        async def follow(task_id: str) -> list[str]:
            seen = []
            async for event in maria.subscribe(SubscribeToTaskRequest(id=task_id)):
                seen.append(said([event]))
                following.put_nowait(task_id)
            return seen

        async with asyncio.TaskGroup() as group:
            async for event in maria.send_message(question("steps 1")):
                if event.HasField("artifact_update") and said([event]) == "0":
                    task_id = event.artifact_update.task_id
                    stolen = await mallory.post(rpc("SubscribeToTask", {"id": task_id}))
                    follower = group.create_task(follow(task_id))
                    await following.get()
                    analyst.step.set()
        with pytest.raises(UnsupportedOperationError):
            await follow(task_id)
    assert refusal_of(stolen) == (404, -32001, "task_unknown")
    assert "analyst: steps" in follower.result()
    subscribed = [found for found in company.records() if found.record.action == "subscribeTask"]
    assert [found.outcome and found.outcome.ok for found in subscribed] == [None, True, False]


async def test_what_no_policy_permits_is_denied(company: Company) -> None:
    del company.policies["platform/tasks.cedar"]
    async with analysing(company) as analyst, bare(company) as http:
        task_id = (await http.post(sending("hello"))).json()["result"]["task"]["id"]
        bodies = [
            rpc("ListTasks", {}), rpc("CancelTask", {"id": task_id}), rpc("SubscribeToTask", {"id": task_id}),
            rpc("GetExtendedAgentCard", {}),
        ]  # fmt: skip
        refused = [refusal_of(await http.post(body)) for body in bodies]
    assert refused == [(403, 1403, "no_permit")] * 4
    assert len(analyst.headers) == 1


async def test_the_extended_card_is_the_gateways_and_private(company: Company) -> None:
    async with analysing(company) as analyst, asking(company, "planner") as client, bare(company) as http:
        card = await client.get_extended_agent_card(GetExtendedAgentCardRequest())
        response = await http.post(rpc("GetExtendedAgentCard", {}))
    assert [skill.id for skill in card.skills] == ["work", "audit"]
    assert {interface.url for interface in card.supported_interfaces} == {http.url}
    assert card.signatures
    assert str(company.upstreams["analyst"]) not in response.text
    assert response.headers["cache-control"] == "private, no-store"
    # The agent learns who asks.
    assert analyst.tokens[-1]["scope"] == "analyst/delegate"
    [*_, found] = company.records()
    assert (found.record.action, found.outcome and found.outcome.ok) == ("getExtendedCard", True)


class Signing(Agent):
    """Signs its extended card with a key of its own."""

    @property
    def extended_card(self):  # type: ignore[no-untyped-def]
        key = ec.generate_private_key(ec.SECP256R1())
        return create_agent_card_signer(key, {"kid": "k", "alg": "ES256", "jku": None, "typ": "JOSE"})(
            super().extended_card
        )


async def test_an_extended_card_that_the_pinned_key_did_not_sign_is_refused(company: Company) -> None:
    jwk = ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key(), as_dict=True)
    company.registry["agents"]["analyst"]["upstream"]["card_key"] = jwk
    async with analysing(company, Signing(company, "analyst")), bare(company) as http:
        response = await http.post(rpc("GetExtendedAgentCard", {}))
    assert refusal_of(response) == (502, 1502, "upstream_identity")
