"""A2A messages that people approve: a task that is AUTH_REQUIRED, followed, cancelled, and sent again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from a2a.types import CancelTaskRequest, GetTaskRequest, SubscribeToTaskRequest, TaskState

from tests.approving import ASKS, People, approving
from tests.company import Company
from tests.gateways import asgi, running
from tests.wire.agent import Agent, asking, bearing, heard, rpc, sending


@pytest.fixture
def company(tmp_path: Path) -> Company:
    found = approving(tmp_path)
    found.policies["platform/asks.cedar"] = ASKS
    return found


@asynccontextmanager
async def through(company: Company) -> AsyncIterator[Agent]:
    analyst = Agent(company, "analyst")
    async with asgi(analyst.application, company, "agent/analyst", company.upstreams["analyst"]), running(company):
        yield analyst


@pytest.mark.parametrize("binding", ["JSONRPC", "HTTP+JSON"])
async def test_the_official_client_waits_in_a_task_and_sends_again(company: Company, binding: str) -> None:
    people = People(company)
    async with through(company) as analyst, asking(company, "planner", binding=binding) as client:
        [waiting] = await heard(client, "hello")
        assert waiting.task.status.state == TaskState.TASK_STATE_AUTH_REQUIRED
        name = waiting.task.id
        approval = (await people.soon())["id"]
        assert name == f"hopgate-approval-{approval}"
        assert f"/approvals/{approval}" in waiting.task.status.message.parts[0].text
        assert analyst.texts == []
        async with asyncio.TaskGroup() as tasks:
            followed = tasks.create_task(first(client.subscribe(SubscribeToTaskRequest(id=name))))
            assert (await people.say("approve")).status_code == 200
        assert followed.result().task.status.state == TaskState.TASK_STATE_INPUT_REQUIRED
        polled = await client.get_task(GetTaskRequest(id=name))
        assert polled.status.state == TaskState.TASK_STATE_INPUT_REQUIRED
        # In the task, as a new message: what it says is what was approved.
        answers = await heard(client, "hello", task_id=name, context_id=name)
        assert answers
        assert analyst.texts == ["hello"]
        assert "hopgate-approval" not in analyst.bodies[-1].decode()
        polled = await client.get_task(GetTaskRequest(id=name))
        assert polled.status.state == TaskState.TASK_STATE_COMPLETED
    assert [event for event, _ in people.events()] == ["asked", "approved", "consumed", "closed"]


async def test_another_message_is_another_question(company: Company) -> None:
    people = People(company)
    async with through(company) as analyst, asking(company, "planner") as client:
        [waiting] = await heard(client, "hello")
        assert (await people.say("approve")).status_code == 200
        [other] = await heard(client, "hello, and more", task_id=waiting.task.id)
        assert other.task.status.state == TaskState.TASK_STATE_AUTH_REQUIRED
        assert other.task.id != waiting.task.id
        assert analyst.texts == []


async def test_the_asker_cancels(company: Company) -> None:
    people = People(company)
    async with through(company), asking(company, "planner") as client:
        [waiting] = await heard(client, "hello")
        cancelled = await client.cancel_task(CancelTaskRequest(id=waiting.task.id))
        assert cancelled.status.state == TaskState.TASK_STATE_CANCELED
        late = await people.say("approve", approval=waiting.task.id.removeprefix("hopgate-approval-"))
        assert late.status_code == 409


@pytest.mark.parametrize("version", ["0.3", "1.0"])
async def test_bare_messages_of_both_versions(company: Company, version: str) -> None:
    people = People(company)
    url = f"{company.data_url}/a2a/analyst"
    headers = bearing(company.token(url)) | {"A2A-Version": version}
    sent, method, wrapped = sending("hello"), "GetTask", True
    if version == "0.3":
        method, wrapped = "tasks/get", False
        part = {"kind": "text", "text": "hello"}
        asked = {"kind": "message", "messageId": "m", "role": "user", "parts": [part]}
        sent = {"jsonrpc": "2.0", "id": 7, "method": "message/send", "params": {"message": asked}}
    async with through(company), httpx.AsyncClient(verify=company.client("planner"), headers=headers) as http:

        async def ask(body: Any) -> Any:
            return (await http.post(url, json=body, timeout=20)).json()["result"]

        first = await ask(sent)
        task = first["task"] if wrapped else first
        assert task["status"]["state"] == ("TASK_STATE_AUTH_REQUIRED" if wrapped else "auth-required")
        assert (await people.say("refuse")).status_code == 200
        polled = await ask(rpc(method, {"id": task["id"]}))
        assert polled["status"]["state"] == ("TASK_STATE_REJECTED" if wrapped else "rejected")
        # Bob's agent is another asker: to it there is no such task.
        bob = bearing(company.token(url, sub="bob")) | {"A2A-Version": version}
        stolen = await http.post(url, json=rpc(method, {"id": task["id"]}), headers=bob)
        assert stolen.json()["error"]["code"] == -32001


async def first(events: Any) -> Any:
    async for event in events:
        return event
    raise AssertionError("no event")
