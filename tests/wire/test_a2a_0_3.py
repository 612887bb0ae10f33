"""A2A 0.3 through the gateway: the official client of that version, clients that name none, and cards of 0.3 alone."""

import json
from pathlib import Path
from typing import Any

import pytest
from a2a.compat.v0_3 import types as types_0_3
from a2a.compat.v0_3.conversions import to_compat_agent_card
from a2a.types import (
    AgentInterface,
    CancelTaskRequest,
    GetExtendedAgentCardRequest,
    GetTaskRequest,
    SubscribeToTaskRequest,
    TaskState,
)
from a2a.utils.errors import UnsupportedOperationError
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tests.company import Company
from tests.wire.agent import Agent, answer_of, asking, bare, heard, question, refusal_of, rpc, said
from tests.wire.analyst import OWN_TASKS, analysing


@pytest.fixture
def company(tmp_path: Path) -> Company:
    company = Company(tmp_path)
    company.policies["platform/tasks.cedar"] = OWN_TASKS
    return company


class Older(Agent):
    """Publishes a card of A2A 0.3 and nothing of 1.0."""

    @property
    def card_routes(self) -> list[Any]:
        card = self.card
        del card.supported_interfaces[:]
        url = f"https://127.0.0.1:{self.company.upstreams[self.name]}/"
        card.supported_interfaces.append(AgentInterface(url=url, protocol_binding="JSONRPC", protocol_version="0.3"))
        older = to_compat_agent_card(card).model_dump(mode="json", by_alias=True, exclude_none=True)

        async def publish(request: Request) -> JSONResponse:
            return JSONResponse(older)

        return [Route("/.well-known/agent-card.json", publish)]


def sending(text: str, method: str = "message/send", **members: Any) -> dict[str, Any]:
    """The JSON-RPC body of a message."""
    message = {
        "kind": "message", "role": "user", "messageId": "m-1", "parts": [{"kind": "text", "text": text}], **members,
    }  # fmt: skip
    return rpc(method, {"message": message})


@pytest.mark.parametrize("kind", [Agent, Older])
async def test_the_official_client_of_0_3_does_all_that_it_can(company: Company, kind: type[Agent]) -> None:
    async with (
        analysing(company, kind(company, "analyst")) as analyst,
        asking(company, "planner", streaming=False, version="0.3") as client,
    ):
        [event] = await heard(client, "hello")
        task = await client.get_task(GetTaskRequest(id=event.task.id))
        card = await client.get_extended_agent_card(GetExtendedAgentCardRequest())
    assert said([event]) == "analyst: hello"
    assert task.status.state == TaskState.TASK_STATE_COMPLETED
    assert [skill.id for skill in card.skills] == ["work", "audit"]
    assert {headers["a2a-version"] for headers in analyst.headers} == {"0.3"}
    assert [claims["scope"] for claims in analyst.tokens] == ["analyst/delegate"] * 3
    found = [(each.record.action, each.outcome and each.outcome.ok) for each in company.records()]
    assert found == [(action, True) for action in ("discover", "delegate", "getTask", "getExtendedCard")]


async def test_a_stream_is_followed_again_and_cancelled(company: Company) -> None:
    async with analysing(company), asking(company, "planner", version="0.3") as client:
        events, followed = [], []
        async for event in client.send_message(question("steps 2")):
            events.append(event)
            if event.HasField("artifact_update"):
                task_id = event.artifact_update.task_id
                async for seen in client.subscribe(SubscribeToTaskRequest(id=task_id)):
                    followed.append(seen)
                    break
                task = await client.cancel_task(CancelTaskRequest(id=task_id))
    assert said(events) == "0"
    assert followed
    assert task.status.state == TaskState.TASK_STATE_CANCELED
    assert events[-1].status_update.status.state == TaskState.TASK_STATE_CANCELED


@pytest.mark.parametrize("streaming", [True, False])
async def test_an_agents_own_error_is_the_clients(company: Company, streaming: bool) -> None:
    async with analysing(company), asking(company, "planner", streaming=streaming, version="0.3") as client:
        with pytest.raises(UnsupportedOperationError, match="not today"):
            await heard(client, "break")


@pytest.mark.parametrize("version", [None, "", "0.3", "0.3.0"])
async def test_no_version_means_0_3(company: Company, version: str | None) -> None:
    async with analysing(company) as analyst, bare(company) as http:
        response = await http.post(sending("hello"), {"A2A-Version": version})
        streamed = await http.post(sending("hello", "message/stream"), {"A2A-Version": version})
        other = await http.post(sending("hello"))
    answer = types_0_3.SendMessageResponse.model_validate(response.json()).root
    assert isinstance(answer, types_0_3.SendMessageSuccessResponse)
    assert answer.result.kind == "task"
    assert answer_of(streamed)["result"]["kind"] == "status-update"
    assert [headers["a2a-version"] for headers in analyst.headers] == ["0.3", "0.3"]
    assert refusal_of(other) == (404, -32601, "method_unknown")


@pytest.mark.parametrize("method", ["message/send", "message/stream"])
async def test_the_reply_says_what_permitted_it_where_the_route_explains(company: Company, method: str) -> None:
    company.settings["routes"]["a2a"]["analyst"] = {"explain": True}
    async with analysing(company), bare(company) as http:
        answer = await http.post(sending("hello", method), {"A2A-Version": None})
    first = next(line.removeprefix("data:") for line in answer.text.splitlines() if line.startswith(("data:", "{")))
    result = json.loads(first)["result"]
    told = result["metadata"]["hopgate/decision"]
    assert told["verdict"] == "permit"
    assert [(policy["id"], policy["tier"]) for policy in told["policies"]] == [("delegate-overlap", "platform")]
    assert told["decision_id"] in {found.record.hop for found in company.records()}


async def test_tasks_and_contexts_of_0_3_have_owners_and_are_the_same_as_those_of_1_0(company: Company) -> None:
    token = company.token(f"{company.data_url}/a2a/analyst", sub="mallory")
    old = {"A2A-Version": None}
    async with (
        analysing(company) as analyst,
        bare(company) as maria,
        bare(company, token=token) as mallory,
    ):
        begun = (await maria.post(sending("more"), old)).json()["result"]
        task, context = begun["id"], begun["contextId"]
        bodies = [
            rpc("tasks/get", {"id": task}),
            rpc("tasks/cancel", {"id": task}),
            rpc("tasks/resubscribe", {"id": task}),
            sending("mine", taskId=task),
            sending("mine", contextId=context),
            sending("mine", referenceTaskIds=[task]),
            sending("mine", "message/stream", taskId=task),
        ]
        refused = [refusal_of(await mallory.post(body, old)) for body in bodies]
        refused.append(refusal_of(await mallory.post(rpc("GetTask", {"id": task}))))
        owned = await maria.post(rpc("GetTask", {"id": task}))
        ended = await maria.post(sending("enough", taskId=task, contextId=context), old)
    assert refused == [(404, -32001, "task_unknown")] * 8
    assert owned.json()["result"]["id"] == ended.json()["result"]["id"] == task
    assert analyst.texts == ["more", "enough"]


@pytest.mark.parametrize("kind", [Agent, Older])
async def test_a_reader_of_0_3_takes_the_card(company: Company, kind: type[Agent]) -> None:
    async with analysing(company, kind(company, "analyst")), bare(company) as http:
        response = await http.card()
        extended = await http.post(rpc("agent/getAuthenticatedExtendedCard", {}), {"A2A-Version": None})
    for document in (response.json(), extended.json()["result"]):
        card = types_0_3.AgentCard.model_validate(document)
        assert (card.url, card.preferred_transport, card.protocol_version) == (http.url, "JSONRPC", "0.3")
        assert card.additional_interfaces is None
        assert str(company.upstreams["analyst"]) not in json.dumps(document)
        assert "mutualTls" in (card.security_schemes or {})
    assert len(extended.json()["result"]["skills"]) == 2
