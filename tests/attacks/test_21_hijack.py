"""Attack 21: using a session, a task or a context that somebody else began, by knowing, guessing or editing its handle.

Whoever isn't the owner (person and workload together) is told what a stranger is told, and nothing is forwarded.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from gateway.core.reasons import Reason
from tests.company import Company
from tests.wire import agent as a2a
from tests.wire.agent import Agent
from tests.wire.delegate import delegates
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import answer_of, bare, legacy, modern, open_session, post, refusal_of, through_gateway
from tests.wire.test_mcp_tasks import about, asked, knowing, ledger_with

pytestmark = pytest.mark.asyncio(loop_scope="module")

THIEVES = {"another agent": ("auditor", "maria"), "another person": ("planner", "pablo"), "both": ("auditor", "pablo")}
WITHIN_A_SESSION: Mapping[str, dict[str, Any]] = {
    "a call": legacy("tools/call", {"name": "read_balance", "arguments": {}}),
    "a list": legacy("tools/list", {}),
    "a ping": legacy("ping"),
    "a cancellation": legacy("notifications/cancelled", {"requestId": 7}, request_id=None),
    "the beginning": legacy("notifications/initialized", request_id=None),
}


class Scene(NamedTuple):
    company: Company
    ledger: Ledger
    analyst: Agent


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    company, ledger = Company(tmp_path_factory.mktemp("company")), ledger_with()
    company.registry["agents"]["auditor"] |= {"entry_point": True, "clients": ["cli"], "risk_level": "low"}
    async with delegates(company, "analyst") as [analyst], through_gateway(company, ledger):
        yield Scene(company, ledger, analyst)


@pytest.mark.parametrize("thief", THIEVES)
@pytest.mark.parametrize("message", WITHIN_A_SESSION)
async def test_a_session_is_its_owners(scene: Scene, thief: str, message: str) -> None:
    agent, sub = THIEVES[thief]
    token = scene.company.token(f"{scene.company.data_url}/mcp/ledger", sub=sub)
    async with bare(scene.company) as owner, bare(scene.company, agent, token=token) as other:
        session = await open_session(owner)
        before = len(scene.ledger.headers)
        stolen = await post(other, WITHIN_A_SESSION[message], session)
        assert refusal_of(stolen) == (404, 1404, Reason.SESSION_UNKNOWN)
        assert len(scene.ledger.headers) == before
        assert (await post(owner, WITHIN_A_SESSION["a call"], session)).status_code == 200


async def test_the_upstreams_own_id_opens_nothing(scene: Scene) -> None:
    async with bare(scene.company) as owner:
        await open_session(owner)
        for guessed in (*scene.ledger.sessions, "0" * 32, "A" * 80, "../session"):
            reply = await post(owner, WITHIN_A_SESSION["a call"], {"Mcp-Session-Id": guessed})
            assert refusal_of(reply) == (404, 1404, Reason.SESSION_UNKNOWN)


async def test_no_byte_of_a_handle_can_be_edited(scene: Scene) -> None:
    async with bare(scene.company) as owner:
        session = await open_session(owner)
        handle, before = str(session["Mcp-Session-Id"]), len(scene.ledger.headers)
        for place in range(0, len(handle), 3):
            edited = handle[:place] + ("A" if handle[place] != "A" else "B") + handle[place + 1 :]
            reply = await post(owner, WITHIN_A_SESSION["a ping"], {**session, "Mcp-Session-Id": edited})
            assert refusal_of(reply)[2] == Reason.SESSION_UNKNOWN, place
        assert len(scene.ledger.headers) == before


@pytest.mark.parametrize("thief", THIEVES)
async def test_a_task_is_its_owners(scene: Scene, thief: str) -> None:
    agent, sub = THIEVES[thief]
    token = scene.company.token(f"{scene.company.data_url}/a2a/analyst", sub=sub)
    async with a2a.bare(scene.company) as owner, a2a.bare(scene.company, agent, token=token) as other:
        task = (await owner.post(a2a.sending("more"))).json()["result"]["task"]
        before = len(scene.analyst.headers)
        attempts = [
            a2a.rpc("GetTask", {"id": task["id"]}),
            a2a.sending("mine", taskId=task["id"]),
            a2a.sending("mine", contextId=task["contextId"]),
            a2a.sending("mine", taskId=task["id"], contextId=task["contextId"]),
            a2a.sending("mine", referenceTaskIds=[task["id"]]),
            a2a.sending("mine", "SendStreamingMessage", taskId=task["id"]),
        ]
        told = [a2a.refusal_of(await other.post(attempt)) for attempt in attempts]
        stranger = a2a.refusal_of(await other.post(a2a.rpc("GetTask", {"id": "no-such-task"})))
        assert told == [stranger] * len(attempts) == [(404, -32001, "task_unknown")] * len(attempts)
        assert len(scene.analyst.headers) == before
        assert (await owner.post(a2a.rpc("GetTask", {"id": task["id"]}))).status_code == 200


STOLEN = {
    "reading it": lambda task: about("tasks/get", task),
    "answering for it": lambda task: about("tasks/update", task, inputResponses={}),
    "ending it": lambda task: about("tasks/cancel", task),
    "listening": lambda task: knowing(modern("subscriptions/listen", {"notifications": {"taskIds": [task]}})),
    "a call in its name": lambda task: _related(modern("tools/call", READ), task),
    "its result": lambda task: legacy("tasks/result", {"taskId": task}),
    "reading it in a session": lambda task: legacy("tasks/get", {"taskId": task}),
    "ending it in a session": lambda task: legacy("tasks/cancel", {"taskId": task}),
    "a session's call in its name": lambda task: _related(legacy("tools/call", READ), task),
    "a session's notification in its name": lambda task: _related(
        legacy("notifications/cancelled", {"requestId": 7}, request_id=None), task
    ),
}
READ: Mapping[str, Any] = {"name": "read_balance", "arguments": {}}


def _related(message: dict[str, Any], task: str) -> dict[str, Any]:
    params = message["params"]
    related = {"io.modelcontextprotocol/related-task": {"taskId": task}}
    return {**message, "params": {**params, "_meta": {**params.get("_meta", {}), **related}}}


@pytest.mark.parametrize("thief", THIEVES)
async def test_what_a_call_became_is_its_callers(scene: Scene, thief: str) -> None:
    agent, sub = THIEVES[thief]
    token = scene.company.token(f"{scene.company.data_url}/mcp/ledger", sub=sub)
    async with bare(scene.company) as owner, bare(scene.company, agent, token=token) as other:
        task = answer_of(await post(owner, asked()))["result"]["taskId"]
        session = await open_session(other)
        before = len(scene.ledger.headers)
        for attempt, making in STOLEN.items():
            for named in (task, "no-such-task"):
                message = making(named)
                modern_one = "io.modelcontextprotocol/protocolVersion" in message["params"].get("_meta", {})
                reply = await post(other, message, None if modern_one else session)
                assert refusal_of(reply) == (400, -32602, Reason.TASK_UNKNOWN), attempt
        assert len(scene.ledger.headers) == before
        listed = answer_of(await post(other, legacy("tasks/list"), session))["result"]["tasks"]
        assert task not in {each["taskId"] for each in listed}
        assert answer_of(await post(owner, about("tasks/get", task)))["result"]["taskId"] == task
        mine = answer_of(await post(owner, legacy("tasks/list"), await open_session(owner)))["result"]["tasks"]
        assert task in {each["taskId"] for each in mine}
