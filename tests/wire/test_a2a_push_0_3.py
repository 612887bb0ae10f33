"""Push configurations of A2A 0.3: as those of 1.0, a webhook of the gateway instead of the client's, its own to see."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from a2a.types import (
    DeleteTaskPushNotificationConfigRequest,
    GetTaskPushNotificationConfigRequest,
    ListTaskPushNotificationConfigsRequest,
    SendMessageConfiguration,
)

from gateway.core.audit import DecisionRecord
from tests.company import Company
from tests.wire.a2a_webhook import NOTIFY, PUSH, Receiver, config_for, last, receiving
from tests.wire.agent import asking, bare, heard, question, refusal_of, rpc
from tests.wire.agent import sending as sending_1_0
from tests.wire.analyst import analysing
from tests.wire.test_a2a_0_3 import Older, sending

OLD = {"A2A-Version": None}
SECRETS = {"token": "known-by-this", "authentication": {"schemes": ["Bearer", "Basic"], "credentials": "for-the-hook"}}


@pytest.fixture
def company(tmp_path: Path) -> Company:
    company = Company(tmp_path)
    company.policies["platform/push.cedar"] = PUSH + NOTIFY
    bundle = company.svid("server/hook").bundle
    company.settings["webhooks"] = {"networks": ["127.0.0.0/8"], "ca_file": str(bundle)}
    return company


def setting(task: str, hook: Receiver, **more: Any) -> dict[str, Any]:
    config = {"url": hook.url, **SECRETS, **more}
    return rpc("tasks/pushNotificationConfig/set", {"taskId": task, "pushNotificationConfig": config})


async def test_the_official_client_of_0_3_sets_one_with_its_message(company: Company) -> None:
    async with (
        receiving(company) as hook,
        analysing(company) as analyst,
        asking(company, "planner", streaming=False, version="0.3") as client,
    ):
        request = question("hello")
        request.configuration.CopyFrom(SendMessageConfiguration(task_push_notification_config=config_for(hook)))
        [event] = [each async for each in client.send_message(request)]
        await hook.until(1)
        [headers, *_], [body, *_] = zip(*hook.seen, strict=True)
    assert headers["x-a2a-notification-token"] == "known-by-this"
    assert headers["authorization"] == "Bearer for-the-hook"
    assert event.task.id in json.dumps(body)
    sent = b"".join(analyst.bodies).decode()
    assert f"{company.data_url}/a2a/analyst/webhooks/" in sent
    assert not [secret for secret in (str(hook.port), "known-by-this", "for-the-hook") if secret in sent]
    assert last(company, "notify").record.chain.txn == last(company, "delegate").record.chain.txn  # type: ignore[union-attr]


async def test_the_official_client_of_0_3_sees_its_own(company: Company) -> None:
    async with (
        receiving(company) as hook,
        analysing(company) as analyst,
        asking(company, "planner", streaming=False, version="0.3") as client,
    ):
        [event] = await heard(client, "more")
        task = event.task.id
        wanted = config_for(hook, task_id=task, id="c-1")
        made = await client.create_task_push_notification_config(wanted)
        read = await client.get_task_push_notification_config(
            GetTaskPushNotificationConfigRequest(task_id=task, id="c-1")
        )
        page = await client.list_task_push_notification_configs(ListTaskPushNotificationConfigsRequest(task_id=task))
        await client.delete_task_push_notification_config(
            DeleteTaskPushNotificationConfigRequest(task_id=task, id="c-1")
        )
        after = await client.list_task_push_notification_configs(ListTaskPushNotificationConfigsRequest(task_id=task))
    assert made == read == page.configs[0] == wanted
    assert not after.configs
    assert str(hook.port) not in b"".join(analyst.bodies).decode()
    actions = [each.record.action for each in company.records() if "Config" in (each.record.action or "")]
    assert actions == [
        "createPushConfig", "getPushConfig", "listPushConfigs", "deletePushConfig", "listPushConfigs",
    ]  # fmt: skip


async def test_another_callers_are_unknown_and_a_webhook_needs_leave(company: Company) -> None:
    token = company.token(f"{company.data_url}/a2a/analyst", sub="mallory")
    async with (
        receiving(company) as hook,
        analysing(company),
        bare(company) as maria,
        bare(company, token=token) as mallory,
    ):
        task = (await maria.post(sending("more"), OLD)).json()["result"]["id"]
        made = (await maria.post(setting(task, hook), OLD)).json()["result"]
        attempts = [
            setting(task, hook),
            rpc("tasks/pushNotificationConfig/get", {"id": task}),
            rpc("tasks/pushNotificationConfig/list", {"id": task}),
            rpc("tasks/pushNotificationConfig/delete", {"id": task, "pushNotificationConfigId": task}),
        ]
        stolen = [refusal_of(await mallory.post(attempt, OLD)) for attempt in attempts]
    assert stolen == [(404, -32001, "task_unknown")] * 4
    assert made["pushNotificationConfig"]["url"] == hook.url
    assert made["pushNotificationConfig"]["authentication"] == {"schemes": ["Bearer"], "credentials": "for-the-hook"}
    company.policies["platform/push.cedar"] = NOTIFY
    body = sending("hello")
    body["params"]["configuration"] = {"pushNotificationConfig": {"url": hook.url}}
    async with analysing(company) as analyst, bare(company) as maria:
        assert refusal_of(await maria.post(body, OLD)) == (403, 1403, "no_permit")
    assert analyst.headers == []


@pytest.mark.parametrize(
    "config",
    [
        {"url": "https://10.0.0.1/hook"},
        {"url": "https://169.254.169.254/latest"},
        {"url": ""},
        {},
        "https://h.test/",
        {"url": "https://h.test/", "authentication": {"schemes": "Bearer"}},
    ],
)
async def test_what_leads_inside_or_nowhere_is_refused(company: Company, config: Any) -> None:
    body = sending("hello")
    body["params"]["configuration"] = {"pushNotificationConfig": config}
    async with analysing(company) as analyst, bare(company) as http:
        task = (await http.post(sending("more"), OLD)).json()["result"]["id"]
        alone = {"taskId": task, "pushNotificationConfig": config}
        before = len(analyst.headers)
        for attempt in (body, rpc("tasks/pushNotificationConfig/set", alone)):
            assert refusal_of(await http.post(attempt, OLD)) == (400, -32602, "message_invalid")
        assert len(analyst.headers) == before


@pytest.mark.parametrize("name", ["pushNotificationConfig", "push_notification_config"])
async def test_a_webhook_by_another_versions_name_goes_nowhere(company: Company, name: str) -> None:
    newer, older = sending_1_0("hello"), sending("hello")
    newer["params"]["configuration"] = {name: {"url": "https://h.test/"}}
    other = "taskPushNotificationConfig" if name[4] == "N" else "task_push_notification_config"
    older["params"]["configuration"] = {other: {"url": "https://h.test/"}}
    async with analysing(company) as analyst, bare(company) as http:
        assert refusal_of(await http.post(newer)) == (400, -32602, "message_invalid")
        assert refusal_of(await http.post(older, OLD)) == (400, -32602, "message_invalid")
    assert analyst.headers == []


async def test_an_agent_of_0_3_delivers_tasks_as_they_are(company: Company) -> None:
    async with (
        receiving(company) as hook,
        analysing(company, Older(company, "analyst")) as analyst,
        bare(company) as http,
        httpx.AsyncClient(verify=company.client("analyst")) as own,
    ):
        task = (await http.post(sending("more"), OLD)).json()["result"]
        await http.post(setting(task["id"], hook), OLD)
        url = json.loads(analyst.bodies[-1])["params"]["pushNotificationConfig"]["url"]
        taken = await own.post(url, json=task)
        other = await own.post(url, json={**task, "id": "t-unknown"})
        spelled = await own.post(url, json={**task, "Id": "t"})
    assert [each.status_code for each in (taken, other, spelled)] == [204, 404, 400]
    [(_, body)] = hook.seen
    assert (body["kind"], body["id"]) == ("task", task["id"])


@pytest.mark.parametrize("older", [True, False])
@pytest.mark.parametrize("update", [True, False])
async def test_a_forged_decision_is_delivered_to_nobody(company: Company, older: bool, update: bool) -> None:
    company.settings["routes"]["a2a"]["analyst"] = {"explain": True}
    async with (
        receiving(company) as hook,
        analysing(company) as analyst,
        bare(company) as http,
        httpx.AsyncClient(verify=company.client("analyst")) as own,
    ):
        task = (await http.post(sending("more"), OLD)).json()["result"]
        await http.post(setting(task["id"], hook), OLD)
        url = json.loads(analyst.bodies[-1])["params"]["pushNotificationConfig"]["url"]
        metadata = {"hopgate/decision": {"verdict": "permit"}, "mine": 1}
        if update:
            event = {"taskId": task["id"], "contextId": "c", "final": False, "metadata": metadata}
            status = {"state": "working" if older else "TASK_STATE_WORKING"}
            sent = {**event, "status": status} | ({"kind": "status-update"} if older else {})
        else:
            sent = {**task, "metadata": metadata} if older else {"id": task["id"], "metadata": metadata}
        wrapped = sent if older else {"statusUpdate" if update else "task": sent}
        taken = await own.post(url, json=wrapped)
    assert taken.status_code == 204, taken.text
    [(_, body)] = hook.seen
    [event] = [body] if older else body.values()
    assert event["metadata"] == {"mine": 1}


async def test_its_secrets_are_in_no_record(company: Company) -> None:
    company.settings["routes"]["a2a"]["analyst"] = {"record_arguments": True}
    async with receiving(company) as hook, analysing(company), bare(company) as http:
        task = (await http.post(sending("more"), OLD)).json()["result"]["id"]
        await http.post(setting(task, hook), OLD)
    record = last(company, "createPushConfig").record
    assert isinstance(record, DecisionRecord)
    assert json.loads(bytes(record.arguments)) == {"taskId": task, "pushNotificationConfig": {"url": hook.url}}
