"""MCP tasks through the gateway, by the official client and server, in both eras.

What a call began belongs to who called, is as permitted as the call was, and asks nothing that no policy permits.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pytest
from mcp.client.extension import ClaimContext, ClientExtension, ResultClaim
from mcp_types import (
    CallToolResult,
    CancelTaskRequest,
    CancelTaskRequestParams,
    CancelTaskResult,
    CreateTaskResult,
    GetTaskPayloadRequest,
    GetTaskPayloadRequestParams,
    GetTaskRequest,
    GetTaskRequestParams,
    GetTaskResult,
    ListTasksRequest,
    ListTasksResult,
    Request,
    RequestParams,
    Result,
)

from gateway.core.audit.record import DecisionRecord
from gateway.core.model import Uid
from gateway.core.reasons import Reason
from tests.company import Company
from tests.conformance.tasks import EXTENSION, Tasks
from tests.gateways import mcp_client
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import (
    Message,
    answer_of,
    bare,
    legacy,
    modern,
    open_session,
    post,
    refusal_of,
    through_gateway,
)

QUESTION = {
    "method": "elicitation/create",
    "params": {"mode": "form", "message": "sure?", "requestedSchema": {"type": "object", "properties": {}}},
}
ASKING = '@id("asking") permit (principal == McpServer::"ledger", action == Action::"elicit", resource is Agent);'


class ClaimedTask(Result):
    """What a stateless call became."""

    result_type: Literal["task"] = "task"
    task_id: str


class TaskState(Result):
    """What is known of it."""

    task_id: str
    status: str
    result: dict[str, Any] | None = None
    input_requests: dict[str, Any] | None = None


class TaskParams(RequestParams):
    task_id: str


class UpdateParams(TaskParams):
    input_responses: dict[str, Any]


class GetTask(Request[TaskParams, Literal["tasks/get"]]):
    method: Literal["tasks/get"] = "tasks/get"
    params: TaskParams
    name_param = "taskId"


class UpdateTask(Request[UpdateParams, Literal["tasks/update"]]):
    method: Literal["tasks/update"] = "tasks/update"
    params: UpdateParams
    name_param = "taskId"


class CancelTask(Request[TaskParams, Literal["tasks/cancel"]]):
    method: Literal["tasks/cancel"] = "tasks/cancel"
    params: TaskParams
    name_param = "taskId"


class Following(ClientExtension):
    """Follows a task to its end, answering what it asks."""

    identifier = EXTENSION

    def claims(self) -> tuple[ResultClaim[Any], ...]:
        return (ResultClaim(result_type="task", model=ClaimedTask, resolve=self.follow),)

    async def follow(self, claimed: ClaimedTask, context: ClaimContext) -> CallToolResult:
        about = TaskParams(task_id=claimed.task_id)
        while True:
            state = await context.session.send_request(GetTask(params=about), TaskState)
            if state.status == "input_required":
                answers = {key: {"action": "accept", "content": {}} for key in state.input_requests or {}}
                update = UpdateParams(task_id=claimed.task_id, input_responses=answers)
                await context.session.send_request(UpdateTask(params=update), Result)
            if state.status == "completed":
                return CallToolResult.model_validate(state.result)


@pytest.fixture
def company(tmp_path: Path) -> Company:
    found = Company(tmp_path)
    found.registry["agents"]["auditor"] |= {"entry_point": True, "clients": ["cli"], "risk_level": "low"}
    return found


def ledger_with(seconds: float = 0.01, **more: Any) -> Ledger:
    return Ledger(tasks=Tasks(seconds={"read_balance": lambda _: seconds, "pay": lambda _: seconds}, **more))


def asked(tool: str = "read_balance", arguments: Mapping[str, Any] | None = None) -> Message:
    """A stateless call of a client that knows tasks."""
    return knowing(modern("tools/call", {"name": tool, "arguments": dict(arguments or {})}))


def knowing(message: Message) -> Message:
    message["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] = {"extensions": {EXTENSION: {}}}
    return message


def about(method: str, task: str, **more: Any) -> Message:
    return knowing(modern(method, {"taskId": task, **more}))


def decisions(company: Company) -> list[DecisionRecord]:
    return [found.record for found in company.records() if isinstance(found.record, DecisionRecord)]


async def test_a_stateless_client_follows_its_task(company: Company) -> None:
    company.policies["platform/asking.cedar"] = ASKING
    ledger = ledger_with(asking={"read_balance": {"sure": QUESTION}})
    async with (
        through_gateway(company, ledger),
        mcp_client(company, extensions=[Following()]) as client,
    ):
        assert client.server_capabilities.extensions == {EXTENSION: {}}
        result = await client.call_tool("read_balance", {})
    assert result.structured_content == {"account": "operations", "balance": 128150}
    found = decisions(company)
    made = [record for record in found if record.resource.type == "McpTask"]
    assert {record.resource for record in made} == {Uid("McpTask", "ledger/task-1")}
    assert {record.action for record in made} == {"getTask", "updateTask"}
    # By policy as the call itself, and with the call's scope.
    assert {tuple(policy.id for policy in record.policies) for record in made} == {("finance-read",)}
    assert {record.minted.scope for record in made if record.minted} == {("ledger/read_balance",)}
    assert [record.asking for record in found if record.action == "elicit"] == ["ledger"]


async def test_a_session_follows_its_task(company: Company) -> None:
    ledger = ledger_with()
    async with through_gateway(company, ledger), mcp_client(company, mode="legacy") as client, bare(company) as wire:
        offered = client.server_capabilities.tasks
        assert offered is not None
        assert offered.requests is not None
        # The official client takes nothing but a tool's result for the answer to a call, and so can't begin a task.
        call = legacy("tools/call", {"name": "read_balance", "arguments": {}, "task": {"ttl": 60_000}})
        made = CreateTaskResult.model_validate(answer_of(await post(wire, call, await open_session(wire)))["result"])
        task = made.task.task_id
        state = await client.session.send_request(
            GetTaskRequest(params=GetTaskRequestParams(task_id=task)), GetTaskResult
        )
        listed = await client.session.send_request(ListTasksRequest(), ListTasksResult)
        result = await client.session.send_request(
            GetTaskPayloadRequest(params=GetTaskPayloadRequestParams(task_id=task)), CallToolResult
        )
        ended = await client.session.send_request(
            CancelTaskRequest(params=CancelTaskRequestParams(task_id=task)), CancelTaskResult
        )
    assert state.task_id == ended.task_id == task
    assert [each.task_id for each in listed.tasks] == [task]
    assert result.structured_content == {"account": "operations", "balance": 128150}
    actions = [(record.action, record.method) for record in decisions(company) if "task" in record.method]
    assert actions == [
        ("getTask", "tasks/get"), ("listTasks", "tasks/list"), ("getTask", "tasks/result"),
        ("cancelTask", "tasks/cancel"),
    ]  # fmt: skip


async def test_a_stateless_client_cancels_its_task(company: Company) -> None:
    ledger = ledger_with(3600)
    async with through_gateway(company, ledger), bare(company) as wire:
        task = answer_of(await post(wire, asked()))["result"]["taskId"]
        cancelled = answer_of(await post(wire, about("tasks/cancel", task)))["result"]
        state = answer_of(await post(wire, about("tasks/get", task)))["result"]
    assert cancelled["resultType"] == "complete"
    assert state["status"] == "cancelled"


async def test_a_forbid_on_the_task_itself_applies(company: Company) -> None:
    company.policies["guardrails/tasks.cedar"] = """
@id("no-peeking") forbid (principal, action == Action::"getTask", resource in ToolSet::"finance-readonly");
"""
    async with through_gateway(company, ledger_with()), bare(company) as wire:
        task = answer_of(await post(wire, asked()))["result"]["taskId"]
        assert refusal_of(await post(wire, about("tasks/get", task))) == (403, 1403, Reason.FORBIDDEN)
        assert (await post(wire, about("tasks/cancel", task))).status_code == 200
        session = await open_session(wire)
        listed = answer_of(await post(wire, legacy("tasks/list"), session))
    assert listed["result"]["tasks"] == []


async def test_a_task_needs_the_scopes_of_its_tool(company: Company) -> None:
    url = f"{company.data_url}/mcp/ledger"
    narrow = company.token(url, scope="read")
    company.registry["servers"]["ledger"]["tools"]["read_balance"]["scopes"] = ["ledger/list_entries"]
    async with through_gateway(company, ledger_with()), bare(company) as wire, bare(company, token=narrow) as less:
        task = answer_of(await post(wire, asked()))["result"]["taskId"]
        refused = await post(less, about("tasks/get", task))
    assert refusal_of(refused) == (403, 1403, Reason.INSUFFICIENT_SCOPE)
    assert 'scope="all"' in refused.headers["www-authenticate"]


async def test_what_a_task_asks_is_decided(company: Company) -> None:
    ledger = ledger_with(asking={"read_balance": {"sure": QUESTION}})
    async with through_gateway(company, ledger), bare(company) as wire:
        task = answer_of(await post(wire, asked()))["result"]["taskId"]
        refused = await post(wire, about("tasks/get", task))
    assert refusal_of(refused) == (403, 1403, Reason.NO_PERMIT)
    assert [record.action for record in decisions(company)][-1] == "elicit"


async def test_the_tasks_of_a_quarantined_tool_can_only_be_cancelled(company: Company) -> None:
    ledger = ledger_with(3600)
    async with through_gateway(company, ledger), bare(company) as wire:
        task = answer_of(await post(wire, asked()))["result"]["taskId"]
    company.settings["tools"] = {"pins": "registry"}
    async with through_gateway(company, ledger), bare(company) as wire:
        assert refusal_of(await post(wire, about("tasks/get", task)))[2] == Reason.TOOL_QUARANTINED
        assert (await post(wire, about("tasks/cancel", task))).status_code == 200


async def test_an_id_that_another_caller_has_already_is_no_new_task(company: Company) -> None:
    ledger = ledger_with(next_id=lambda _: "one")
    token = company.token(f"{company.data_url}/mcp/ledger", sub="pablo")
    async with through_gateway(company, ledger), bare(company) as wire, bare(company, token=token) as other:
        assert answer_of(await post(wire, asked()))["result"]["taskId"] == "one"
        assert refusal_of(await post(other, asked()))[2] == Reason.UPSTREAM_MALFORMED
        # Nor does it lend one tool's tasks the needs of another.
        paid = await post(wire, asked("pay", {"amount": 1, "to": "me"}))
        assert refusal_of(paid)[2] == Reason.UPSTREAM_MALFORMED
        assert (await post(wire, about("tasks/get", "one"))).status_code == 200
