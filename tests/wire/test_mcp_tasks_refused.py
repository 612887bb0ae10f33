"""MCP tasks that the gateway refuses to speak of: undeclared, unknown, misnamed, or of a revision without them."""

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest
import pytest_asyncio
from mcp import MCPError
from mcp_types import GetTaskRequest, GetTaskRequestParams, GetTaskResult

from gateway.core.reasons import Reason
from tests.company import Company
from tests.conformance.tasks import EXTENSION
from tests.gateways import mcp_client
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import answer_of, bare, legacy, modern, open_session, post, refusal_of, through_gateway
from tests.wire.test_mcp_tasks import about, asked, knowing, ledger_with

pytestmark = pytest.mark.asyncio(loop_scope="module")
UNKNOWN = (400, -32602, Reason.TASK_UNKNOWN)


class Scene(NamedTuple):
    company: Company
    ledger: Ledger


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    company, ledger = Company(tmp_path_factory.mktemp("company")), ledger_with()
    async with through_gateway(company, ledger):
        yield Scene(company, ledger)


async def test_the_header_names_the_task(scene: Scene) -> None:
    async with bare(scene.company) as wire:
        task = answer_of(await post(wire, asked()))["result"]["taskId"]
        for wrong in (None, "another"):
            reply = await post(wire, about("tasks/get", task), {"Mcp-Name": wrong})
            assert refusal_of(reply) == (400, -32020, Reason.HEADER_MISMATCH)
        assert (await post(wire, about("tasks/get", task))).status_code == 200
    assert scene.ledger.headers[-1]["mcp-name"] == task
    assert scene.ledger.headers[-1]["mcp-method"] == "tasks/get"


async def test_who_knows_no_tasks_gets_none(scene: Scene) -> None:
    assert scene.ledger.tasks is not None
    before, message = len(scene.ledger.tasks.kept), modern("tools/call", {"name": "read_balance", "arguments": {}})
    async with bare(scene.company) as wire:
        answer = answer_of(await post(wire, message))["result"]
        ignored = await post(wire, {**message, "params": {**message["params"], "task": {"ttl": 5}}})
    assert answer["structuredContent"] == answer_of(ignored)["result"]["structuredContent"]
    assert len(scene.ledger.tasks.kept) == before


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("tasks/get", {"taskId": "task-1"}),
        ("tasks/update", {"taskId": "task-1", "inputResponses": {}}),
        ("tasks/cancel", {"taskId": "task-1"}),
        ("subscriptions/listen", {"notifications": {"taskIds": ["task-1"]}}),
    ],
)
async def test_who_does_not_say_that_it_knows_tasks_is_told_so(
    scene: Scene, method: str, params: dict[str, Any]
) -> None:
    async with bare(scene.company) as wire:
        reply = await post(wire, modern(method, params))
    assert refusal_of(reply) == (400, -32021, Reason.MESSAGE_INVALID)
    needed = answer_of(reply)["error"]["data"]["requiredCapabilities"]
    assert needed == {"extensions": {EXTENSION: {}}}


async def test_a_subscription_to_a_task_is_its_owners(scene: Scene) -> None:
    async with bare(scene.company) as wire:
        reply = await post(wire, knowing(modern("subscriptions/listen", {"notifications": {"taskIds": ["task-99"]}})))
    assert refusal_of(reply) == UNKNOWN


async def test_sessions_of_2025_06_18_have_no_tasks(scene: Scene) -> None:
    async with bare(scene.company) as wire:
        session = {**await open_session(wire), "MCP-Protocol-Version": "2025-06-18"}
        reply = await post(wire, legacy("tasks/list"), session)
    assert refusal_of(reply)[2] == Reason.METHOD_UNKNOWN


async def test_an_unknown_task_does_not_end_the_session(scene: Scene) -> None:
    async with mcp_client(scene.company, mode="legacy") as client:
        with pytest.raises(MCPError) as unknown:
            await client.session.send_request(
                GetTaskRequest(params=GetTaskRequestParams(task_id="task-9")), GetTaskResult
            )
        assert unknown.value.error.code == -32602
        # The session goes on.
        assert (await client.list_tools()).tools
