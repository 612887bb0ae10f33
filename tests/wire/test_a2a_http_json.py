"""A2A by HTTP+JSON with the official client: what JSON-RPC can do, in the other binding, before the same upstream."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from a2a.client.errors import A2AClientError
from a2a.types import (
    CancelTaskRequest,
    GetExtendedAgentCardRequest,
    GetTaskRequest,
    ListTasksRequest,
    TaskState,
)
from a2a.utils.errors import TaskNotFoundError, UnsupportedOperationError
from google.protobuf.json_format import MessageToDict

from tests.company import Company
from tests.gateways import Script, running, scripted
from tests.wire.agent import asking, bare, heard, question, said
from tests.wire.analyst import OWN_TASKS, analysing

VERSION = {"A2A-Version": "1.0"}


@pytest.fixture
def company(tmp_path: Path) -> Company:
    company = Company(tmp_path)
    company.policies["platform/tasks.cedar"] = OWN_TASKS
    return company


def status_of(response: httpx.Response) -> tuple[int, str, str, str]:
    """HTTP status, status name, domain and reason of an error."""
    error = response.json()["error"]
    [info] = error["details"]
    assert error["code"] == response.status_code
    return response.status_code, error["status"], info["domain"], info["reason"]


def body(text: str, **members: Any) -> dict[str, Any]:
    return MessageToDict(question(text, **members))


async def test_a_message_and_its_task(company: Company) -> None:
    async with analysing(company) as analyst, asking(company, "planner", streaming=False, binding="HTTP+JSON") as rest:
        [event] = await heard(rest, "hello")
        task = await rest.get_task(GetTaskRequest(id=event.task.id, history_length=1))
        page = await rest.list_tasks(ListTasksRequest(page_size=10, include_artifacts=True))
        card = await rest.get_extended_agent_card(GetExtendedAgentCardRequest())
    assert said([event]) == "analyst: hello"
    assert task.status.state == TaskState.TASK_STATE_COMPLETED
    assert [each.id for each in page.tasks] == [task.id]
    assert [skill.id for skill in card.skills] == ["work", "audit"]
    assert [claims["del_depth"] for claims in analyst.tokens] == [1] * 4
    found = [(each.record.action, each.outcome and each.outcome.ok) for each in company.records()]
    assert found == [(action, True) for action in ("discover", "delegate", "getTask", "listTasks", "getExtendedCard")]


async def test_a_stream_is_followed_and_cancelled(company: Company) -> None:
    async with analysing(company), asking(company, "planner", binding="HTTP+JSON") as rest:
        events = []
        async for event in rest.send_message(question("steps 2")):
            events.append(event)
            if event.HasField("artifact_update"):
                task = await rest.cancel_task(CancelTaskRequest(id=event.artifact_update.task_id))
    assert said(events) == "0"
    assert task.status.state == TaskState.TASK_STATE_CANCELED
    assert events[-1].status_update.status.state == TaskState.TASK_STATE_CANCELED


@pytest.mark.parametrize("streaming", [True, False])
async def test_an_agents_own_error_is_the_clients(company: Company, streaming: bool) -> None:
    async with (
        analysing(company),
        asking(company, "planner", streaming=streaming, binding="HTTP+JSON") as rest,
    ):
        with pytest.raises(UnsupportedOperationError, match="not today"):
            await heard(rest, "break")
    [*_, broken] = company.records()
    assert broken.outcome is not None
    assert (broken.outcome.ok, broken.outcome.detail) == (False, "error -32004")


async def test_anothers_task_looks_like_none(company: Company) -> None:
    token = company.token(f"{company.data_url}/a2a/analyst", sub="mallory")
    async with (
        analysing(company) as analyst,
        asking(company, "planner", streaming=False, binding="HTTP+JSON") as maria,
        asking(company, "planner", streaming=False, binding="HTTP+JSON", token=token) as mallory,
    ):
        [event] = await heard(maria, "more")
        with pytest.raises(TaskNotFoundError):
            await mallory.get_task(GetTaskRequest(id=event.task.id))
        with pytest.raises(TaskNotFoundError):
            await mallory.cancel_task(CancelTaskRequest(id=event.task.id))
        with pytest.raises(TaskNotFoundError):
            await heard(mallory, "mine", task_id=event.task.id)
        assert not (await mallory.list_tasks(ListTasksRequest())).tasks
    assert analyst.texts == ["more"]


async def test_a_tenant_of_the_path_is_the_agents_to_know(company: Company) -> None:
    async with analysing(company), bare(company) as http:
        response = await http.http.post(f"{http.url}/acme/message:send", json=body("tenant"), headers=VERSION)
        conflict = await http.http.post(
            f"{http.url}/acme/message:send", json=body("tenant") | {"tenant": "other"}, headers=VERSION
        )
    task = response.json()["task"]
    assert task["artifacts"][0]["parts"][0]["text"] == "analyst: tenant acme"
    assert status_of(conflict) == (400, "INVALID_ARGUMENT", "hopgate", "MESSAGE_INVALID")


async def test_refusals_are_statuses(company: Company) -> None:
    company.policies["guardrails/auditor.cedar"] = """
@id("auditor-asks-nobody")
forbid (principal == Agent::"auditor", action == Action::"delegate", resource);
"""
    company.registry["agents"]["auditor"] |= {"entry_point": True, "clients": ["cli"]}
    async with analysing(company) as analyst, bare(company) as http, bare(company, "auditor") as auditor:
        denied = await auditor.http.post(f"{http.url}/message:send", json=body("hello"), headers=VERSION)
        unknown = await http.http.get(f"{http.url}/messages", headers=VERSION)
        wrong = await http.http.get(f"{http.url}/message:send", headers=VERSION)
        old = await http.http.get(f"{http.url}/tasks")
        anonymous = await http.http.get(f"{http.url}/tasks", headers={**VERSION, "Authorization": ""})
    assert status_of(denied) == (403, "PERMISSION_DENIED", "hopgate", "FORBIDDEN")
    assert denied.json()["error"]["details"][0]["metadata"]["policies"] == "auditor-asks-nobody"
    assert status_of(unknown) == (404, "NOT_FOUND", "hopgate", "ROUTE_UNKNOWN")
    assert status_of(wrong)[:2] == (405, "INVALID_ARGUMENT")
    assert wrong.headers["allow"] == "POST"
    assert status_of(old) == (400, "FAILED_PRECONDITION", "a2a-protocol.org", "VERSION_NOT_SUPPORTED")
    assert status_of(anonymous)[:3] == (401, "UNAUTHENTICATED", "hopgate")
    assert "resource_metadata" in anonymous.headers["www-authenticate"]
    assert analyst.headers == []


async def test_a_denied_stream_raises_in_the_official_client(company: Company) -> None:
    token = company.token(f"{company.data_url}/a2a/analyst", scope="read")
    async with analysing(company), asking(company, "planner", binding="HTTP+JSON", token=token) as rest:
        with pytest.raises(A2AClientError, match="403"):
            await heard(rest, "hello")


async def test_an_agent_that_breaks_off_is_an_error_event(company: Company) -> None:
    message = {"messageId": "m", "role": "ROLE_AGENT", "parts": [{"text": "hi"}]}

    async def answer(writer: asyncio.StreamWriter) -> None:
        sent = json.dumps({"jsonrpc": "2.0", "id": 1, "result": {"message": message}})
        head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
        writer.write(f"{head}data: {sent}\n\ndata: nonsense\n\n".encode())
        await writer.drain()

    upstream = scripted(company, "agent/analyst", company.upstreams["analyst"], Script(answer))
    async with upstream, running(company), bare(company) as http:
        response = await http.http.post(f"{http.url}/message:stream", json=body("hello"), headers=VERSION)
    first, name, last = [line for line in response.text.splitlines() if line]
    assert json.loads(first.removeprefix("data: ")) == {"message": message}
    assert name == "event: error"
    error = json.loads(last.removeprefix("data: "))["error"]
    assert error["details"][0]["reason"] == "INVALID_AGENT_RESPONSE"
