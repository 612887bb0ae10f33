"""A2A 1.0 through the gateway with the official client and server: messages, streams, tasks, and whose they are."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from a2a.client.errors import A2AClientError
from a2a.types import GetTaskRequest, TaskState
from a2a.utils.errors import UnsupportedOperationError

from gateway.core.audit import RefusedRecord
from tests.company import Company
from tests.gateways import Script, asgi, running, scripted
from tests.wire.agent import (
    Agent,
    asking,
    bare,
    heard,
    question,
    reason_of,
    refusal_of,
    rpc,
    said,
    sending,
)


@pytest.fixture
def company(tmp_path: Path) -> Company:
    return Company(tmp_path)


@asynccontextmanager
async def agents(company: Company, *names: str) -> AsyncIterator[list[Agent]]:
    """Agents of the company behind its running gateway."""
    async with AsyncExitStack() as stack:
        found = [Agent(company, name) for name in names]
        for agent in found:
            served = asgi(agent.application, company, f"agent/{agent.name}", company.upstreams[agent.name])
            await stack.enter_async_context(served)
        await stack.enter_async_context(running(company))
        yield found


async def test_a_message_is_answered_and_its_task_can_be_read(company: Company) -> None:
    async with agents(company, "analyst"), asking(company, "planner", streaming=False) as client:
        (event,) = await heard(client, "hello")
        task = await client.get_task(GetTaskRequest(id=event.task.id))
    assert said([event]) == "analyst: hello"
    assert (task.id, task.status.state) == (event.task.id, TaskState.TASK_STATE_COMPLETED)
    [card, sent, read] = company.records()
    assert [found.record.action for found in (card, sent, read)] == ["discover", "delegate", "getTask"]
    assert all(found.outcome is not None and found.outcome.ok for found in (card, sent, read))


async def test_events_of_a_stream_arrive_as_they_happen(company: Company) -> None:
    async with agents(company, "analyst") as [analyst], asking(company, "planner") as client:
        events = []
        async for event in client.send_message(question("steps 3")):
            events.append(event)
            if event.HasField("artifact_update"):
                # The agent waits for this: an event that was held back would never be followed.
                analyst.step.set()
    assert said(events) == "0 1 2 analyst: steps"
    assert events[-1].status_update.status.state == TaskState.TASK_STATE_COMPLETED
    [*_, streamed] = company.records()
    assert streamed.outcome is not None
    assert (streamed.outcome.ok, streamed.outcome.events) == (True, len(events))


@pytest.mark.parametrize("streaming", [True, False])
async def test_an_agents_own_error_is_the_clients_and_the_records(company: Company, streaming: bool) -> None:
    async with agents(company, "analyst"), asking(company, "planner", streaming=streaming) as client:
        with pytest.raises(UnsupportedOperationError, match="not today"):
            await heard(client, "break")
    [*_, broken] = company.records()
    assert broken.outcome is not None
    assert (broken.outcome.ok, broken.outcome.detail) == (False, "error -32004")


async def test_a_task_goes_on_for_its_owner(company: Company) -> None:
    async with agents(company, "analyst") as [analyst], asking(company, "planner", streaming=False) as client:
        (first,) = await heard(client, "more")
        (second,) = await heard(client, "enough", task_id=first.task.id, context_id=first.task.context_id)
    assert second.task.id == first.task.id
    assert analyst.texts == ["more", "enough"]


@pytest.mark.parametrize(
    ("agent", "sub", "known"),
    [("auditor", "maria", True), ("planner", "mallory", True), ("planner", "maria", False)],
    ids=["another agent's", "another user's", "nobody's"],
)
async def test_a_task_that_is_not_the_callers_looks_like_none(
    company: Company, agent: str, sub: str, known: bool
) -> None:
    company.registry["agents"]["auditor"] |= {"entry_point": True, "clients": ["cli"]}
    token = company.token(f"{company.data_url}/a2a/analyst", sub=sub)
    async with agents(company, "analyst") as [analyst], asking(company, "planner", streaming=False) as owner:
        (event,) = await heard(owner, "more")
        task = event.task.id if known else "unknown"
        bodies = [
            rpc("GetTask", {"id": task}),
            sending("mine", taskId=task),
            sending("mine", referenceTaskIds=[task]),
            sending("mine", taskId=task, contextId=event.task.context_id),
        ]
        async with bare(company, agent, token=token) as http:
            refused = [refusal_of(await http.post(body)) for body in bodies]
    assert refused == [(404, -32001, "task_unknown")] * len(bodies)
    assert analyst.texts == ["more"]
    assert [found.record.reason for found in company.records()][-len(bodies) :] == ["task_unknown"] * len(bodies)


async def test_a_client_may_name_a_new_context_and_it_is_its_own(company: Company) -> None:
    url = f"{company.data_url}/a2a/analyst"
    async with agents(company, "analyst") as [analyst], bare(company, "planner") as http:
        first = (await http.post(sending("hello", contextId="c-1"))).json()
        again = (await http.post(sending("hello again", contextId="c-1"))).json()
        async with bare(company, "planner", token=company.token(url, sub="mallory")) as other:
            refused = await other.post(sending("let me in", contextId="c-1"))
            # A context's name is not a task's: reading it as one finds nothing.
            as_task = await other.post(rpc("GetTask", {"id": "c-1"}))
    assert first["result"]["task"]["contextId"] == again["result"]["task"]["contextId"] == "c-1"
    assert refusal_of(refused) == refusal_of(as_task) == (404, -32001, "task_unknown")
    assert analyst.texts == ["hello", "hello again"]
    # Not even a policy is asked.
    assert all(isinstance(found.record, RefusedRecord) for found in company.records()[-2:])


async def test_a_named_context_is_taken_before_the_agent_learns_of_it(company: Company) -> None:
    holding, go_on = asyncio.Event(), asyncio.Event()

    async def hold(writer: asyncio.StreamWriter) -> None:
        holding.set()
        await go_on.wait()

    script = Script(hold)
    token = company.token(f"{company.data_url}/a2a/analyst", sub="mallory")
    async with (
        scripted(company, "agent/analyst", company.upstreams["analyst"], script),
        running(company),
        bare(company) as first,
        bare(company, token=token) as second,
        asyncio.TaskGroup() as tasks,
    ):
        tasks.create_task(first.post(sending("hello", contextId="c-3")))
        await holding.wait()
        refused = await second.post(sending("mine", contextId="c-3"))
        go_on.set()
    assert refusal_of(refused) == (404, -32001, "task_unknown")
    assert len(script.requests) == 1


async def test_a_refused_message_claims_no_context(company: Company) -> None:
    company.registry["agents"]["auditor"] |= {"entry_point": True, "clients": ["cli"]}
    company.policies["guardrails/auditor.cedar"] = """
@id("auditor-asks-nobody")
forbid (principal == Agent::"auditor", action == Action::"delegate", resource);
"""
    async with agents(company, "analyst"), bare(company) as http, bare(company, "auditor") as auditor:
        squat = await auditor.post(sending("mine", contextId="c-2"))
        taken = await http.post(sending("hello", contextId="c-2"))
    assert refusal_of(squat) == (403, 1403, "forbidden")
    assert taken.status_code == 200


@pytest.mark.parametrize(
    ("version", "query", "expected"),
    [
        (None, "", (404, -32601, "method_unknown")),
        ("", "", (404, -32601, "method_unknown")),
        ("0.3", "", (404, -32601, "method_unknown")),
        ("2.0", "", (400, -32009, "version_unsupported")),
        ("1.0", "?A2A-Version=0.3", (400, -32600, "message_invalid")),
        ("1.0.1", "", None),
        (None, "?A2A-Version=1.0", None),
        ("1.0", "?A2A-Version=1.0", None),
    ],
)
async def test_the_version_is_said_once_and_served(
    company: Company, version: str | None, query: str, expected: tuple[int, int, str] | None
) -> None:
    async with agents(company, "analyst") as [analyst], bare(company) as http:
        response = await http.post(sending("hello"), {"A2A-Version": version}, query=query)
    if expected is None:
        assert response.status_code == 200, response.text
        assert [headers["a2a-version"] for headers in analyst.headers] == ["1.0"]
    else:
        assert refusal_of(response) == expected
        assert analyst.headers == []


async def test_people_without_a_certificate_reach_user_only_routes_and_no_others(company: Company) -> None:
    async with agents(company, "planner", "analyst") as [planner, analyst]:
        async with asking(company, None, "planner") as client:
            events = await heard(client, "ask analyst hello")
        with pytest.raises(A2AClientError) as refused:
            async with asking(company, None, "analyst"):
                pass
        async with bare(company, None, "analyst") as http:
            response = await http.post(sending("hello"))
    assert said(events) == "planner < analyst: hello"
    assert reason_of(refused.value) == "entry_point_required"
    assert refusal_of(response) == (403, 1403, "entry_point_required")
    assert [claims["del_depth"] for claims in planner.tokens] == [0]
    assert [claims["del_depth"] for claims in analyst.tokens] == [1]
    assert analyst.texts == ["hello"]
