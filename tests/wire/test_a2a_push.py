"""Push notifications through the gateway: the agent never learns the client's webhook, and delivers only by leave."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
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

from gateway.core.audit import DecisionRecord, RefusedRecord
from tests.company import Company
from tests.gateways import Script, running, scripted
from tests.wire.a2a_webhook import NOTIFY, PUSH, Receiver, config_for, last, receiving
from tests.wire.agent import asking, bare, heard, question, refusal_of, rpc, sending
from tests.wire.analyst import analysing
from tests.wire.test_revocation_chain import revoke


@pytest.fixture
def company(tmp_path: Path) -> Company:
    company = Company(tmp_path)
    company.policies["platform/push.cedar"] = PUSH + NOTIFY
    bundle = company.svid("server/hook").bundle
    company.settings["webhooks"] = {"networks": ["127.0.0.0/8"], "ca_file": str(bundle)}
    return company


async def test_a_message_sets_a_webhook_and_is_notified_there(company: Company) -> None:
    async with (
        receiving(company) as hook,
        analysing(company) as analyst,
        asking(company, "planner", streaming=False) as client,
    ):
        request = question("hello")
        request.configuration.CopyFrom(SendMessageConfiguration(task_push_notification_config=config_for(hook)))
        [event] = [each async for each in client.send_message(request)]
        await hook.until(1)
        [headers, *_], [body, *_] = zip(*hook.seen, strict=True)
    assert headers["x-a2a-notification-token"] == "known-by-this"
    assert headers["authorization"] == "Bearer for-the-hook"
    [(_, inner)] = body.items()
    assert inner.get("id", inner.get("taskId")) == event.task.id
    # The agent learned neither the address nor the secrets.
    sent = b"".join(analyst.bodies).decode()
    assert f"{company.data_url}/a2a/analyst/webhooks/" in sent
    assert not [secret for secret in (str(hook.port), "known-by-this", "for-the-hook") if secret in sent]
    notified = last(company, "notify").record
    assert isinstance(notified, DecisionRecord)
    assert (notified.agent and notified.agent.name, str(notified.resource)) == ("analyst", 'Agent::"planner"')
    assert notified.chain.txn == last(company, "delegate").record.chain.txn


async def test_configurations_are_the_clients_own_to_see(company: Company) -> None:
    async with (
        receiving(company) as hook,
        analysing(company) as analyst,
        asking(company, "planner", streaming=False) as client,
        bare(company, token=company.token(f"{company.data_url}/a2a/analyst", sub="mallory")) as mallory,
    ):
        [event] = await heard(client, "more")
        task = event.task.id
        made = await client.create_task_push_notification_config(config_for(hook, task_id=task, id="c-1"))
        read = await client.get_task_push_notification_config(
            GetTaskPushNotificationConfigRequest(task_id=task, id="c-1")
        )
        page = await client.list_task_push_notification_configs(ListTaskPushNotificationConfigsRequest(task_id=task))
        stolen = [
            refusal_of(await mallory.post(rpc(method, {"taskId": task, **more})))
            for method, more in (
                ("CreateTaskPushNotificationConfig", {"url": hook.url}),
                ("GetTaskPushNotificationConfig", {"id": "c-1"}),
                ("ListTaskPushNotificationConfigs", {}),
                ("DeleteTaskPushNotificationConfig", {"id": "c-1"}),
            )
        ]
        await heard(client, "enough", task_id=task)
        await hook.until(1)
        await client.delete_task_push_notification_config(
            DeleteTaskPushNotificationConfigRequest(task_id=task, id="c-1")
        )
        after = await client.list_task_push_notification_configs(ListTaskPushNotificationConfigsRequest(task_id=task))
    assert made == read == page.configs[0] == config_for(hook, task_id=task, id="c-1")
    assert stolen == [(404, -32001, "task_unknown")] * 4
    assert not after.configs
    assert str(hook.port) not in b"".join(analyst.bodies).decode()


@pytest.mark.parametrize("binding", ["JSONRPC", "HTTP+JSON"])
async def test_a_message_with_a_webhook_needs_leave_for_both(company: Company, binding: str) -> None:
    company.policies["platform/push.cedar"] = NOTIFY
    async with (
        receiving(company) as hook,
        analysing(company) as analyst,
        bare(company) as http,
    ):
        config = {"taskPushNotificationConfig": {"url": hook.url, "token": "known-by-this"}}
        body = sending("hello")
        body["params"]["configuration"] = config
        if binding == "JSONRPC":
            assert refusal_of(await http.post(body)) == (403, 1403, "no_permit")
        else:
            headers = {"A2A-Version": "1.0"}
            response = await http.http.post(f"{http.url}/message:send", json=body["params"], headers=headers)
            assert response.status_code == 403
    assert analyst.headers == []
    denied = last(company, "createPushConfig").record
    assert isinstance(denied, DecisionRecord)
    assert (denied.verdict, denied.reason) == ("deny", "no_permit")
    assert denied.method in ("SendMessage", "/message:send")


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/hook",
        "https://10.0.0.1/hook",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/hook",
        "https://[::ffff:10.0.0.1]/hook",
        "https://0x0a000001/hook",
        "https://192.168.1/hook",
        "https://user:secret@8.8.8.8/hook",
        "https://8.8.8.8/hook#part",
        "file:///etc/passwd",
        "nonsense",
    ],
)
async def test_webhooks_that_lead_inside_are_refused(company: Company, url: str) -> None:
    async with analysing(company) as analyst, bare(company) as http:
        body = sending("hello")
        body["params"]["configuration"] = {"taskPushNotificationConfig": {"url": url}}
        response = await http.post(body)
    assert refusal_of(response) == (400, -32602, "message_invalid")
    assert analyst.headers == []
    found = last(company, "delegate")
    assert found.outcome is not None
    assert (found.outcome.ok, found.outcome.reason) == (False, "message_invalid")


async def test_loopback_is_inside_unless_configured(company: Company) -> None:
    company.settings["webhooks"]["networks"] = []
    async with receiving(company) as hook, analysing(company), bare(company) as http:
        body = sending("hello")
        for url in (hook.url, hook.url.replace("127.0.0.1", "localhost")):
            body["params"]["configuration"] = {"taskPushNotificationConfig": {"url": url}}
            assert refusal_of(await http.post(body)) == (400, -32602, "message_invalid")
    assert hook.seen == []


@asynccontextmanager
async def hooked(company: Company, hook: Receiver) -> AsyncIterator[tuple[str, str, httpx.AsyncClient]]:
    """The gateway's webhook for a task of the planner's, the task, and the analyst's own connection to the gateway."""
    async with (
        analysing(company) as analyst,
        bare(company) as http,
        httpx.AsyncClient(verify=company.client("analyst")) as own,
    ):
        task = (await http.post(sending("hello"))).json()["result"]["task"]["id"]
        params = {"taskId": task, "url": hook.url}
        made = await http.post(rpc("CreateTaskPushNotificationConfig", params))
        assert made.status_code == 200, made.text
        yield json.loads(analyst.bodies[-1])["params"]["url"], task, own


def update(task: str) -> dict[str, Any]:
    status = {"state": "TASK_STATE_WORKING"}
    return {"statusUpdate": {"taskId": task, "contextId": "c", "status": status}}


async def test_only_the_agent_delivers_and_only_about_its_task(company: Company) -> None:
    async with receiving(company) as hook, hooked(company, hook) as (url, task, own):
        taken = await own.post(url, json=update(task))
        other_task = await own.post(url, json=update("t-unknown"))
        two = await own.post(url, json={**update(task), **{"task": {"id": task, "status": {}}}})
        spelled = await own.post(url, json={"status_update": {"taskId": task, "task_id": "t"}})
        forged = await own.post(url[:-4] + "AAAA", json=update(task))
        moved = await own.post(url.replace("/a2a/analyst/", "/a2a/planner/"), json=update(task))
        read = await own.get(url)
        async with httpx.AsyncClient(verify=company.client("planner")) as planner:
            stranger = await planner.post(url, json=update(task))
    assert taken.status_code == 204
    assert [body for _, body in hook.seen] == [update(task)]
    assert [each.status_code for each in (other_task, forged, moved, stranger)] == [404] * 4
    assert [each.status_code for each in (two, spelled)] == [400] * 2
    assert read.status_code == 405
    refused = [found.record for found in company.records() if isinstance(found.record, RefusedRecord)]
    assert [record.reason for record in refused] == [
        "task_unknown", "message_invalid", "message_invalid", "task_unknown", "task_unknown", "http_method",
        "task_unknown",
    ]  # fmt: skip


async def test_a_delivery_is_a_policys_to_permit(company: Company) -> None:
    company.policies["platform/push.cedar"] = PUSH
    async with receiving(company) as hook, hooked(company, hook) as (url, task, own):
        denied = await own.post(url, json=update(task))
    assert denied.status_code == 403
    assert denied.json()["error"]["details"][0]["reason"] == "NO_PERMIT"
    assert hook.seen == []
    assert last(company, "notify").record.reason == "no_permit"


@pytest.mark.parametrize("status", [307, 500])
async def test_a_webhook_that_fails_or_redirects_is_an_error_to_the_agent(company: Company, status: int) -> None:
    async with receiving(company, status) as hook, hooked(company, hook) as (url, task, own):
        failed = await own.post(url, json=update(task))
    assert failed.status_code == 502
    assert len(hook.seen) == 1
    outcome = last(company, "notify").outcome
    assert outcome is not None
    assert (outcome.ok, outcome.reason, outcome.detail) == (
        False, "upstream_status", f"the webhook answered {status}",
    )  # fmt: skip


async def test_a_webhook_of_another_certificate_authority_gets_nothing(company: Company) -> None:
    del company.settings["webhooks"]["ca_file"]
    async with receiving(company) as hook, hooked(company, hook) as (url, task, own):
        failed = await own.post(url, json=update(task))
    assert failed.status_code == 502
    assert hook.seen == []


async def test_secrets_of_a_webhook_are_in_no_record(company: Company) -> None:
    company.settings["routes"]["a2a"]["analyst"] = {"record_arguments": True}
    async with receiving(company) as hook, analysing(company), bare(company) as http:
        body = sending("hello")
        authentication = {"scheme": "Bearer", "credentials": "for-the-hook"}
        config = {"url": hook.url, "token": "known-by-this", "authentication": authentication}
        body["params"]["configuration"] = {"taskPushNotificationConfig": config}
        assert (await http.post(body)).status_code == 200
        await hook.until(1)
    record = last(company, "delegate").record
    assert isinstance(record, DecisionRecord)
    kept = json.loads(bytes(record.arguments))["configuration"]
    assert kept == {"taskPushNotificationConfig": {"url": hook.url}}


@pytest.mark.parametrize(
    ("host", "refused"), [("127.0.0.1", (400, "MESSAGE_INVALID")), ("localhost", (502, "UPSTREAM_UNREACHABLE"))]
)
async def test_the_address_is_checked_again_with_every_delivery(
    company: Company, host: str, refused: tuple[int, str]
) -> None:
    company.settings["webhooks"]["networks"] = ["127.0.0.0/8", "::1/128"]
    async with receiving(company) as hook:
        named = Receiver(hook.port, host=host)
        async with hooked(company, named) as (url, task, _):
            pass
        company.settings["webhooks"]["networks"] = []
        async with analysing(company), httpx.AsyncClient(verify=company.client("analyst")) as own:
            response = await own.post(url, json=update(task))
    assert response.status_code == refused[0]
    assert response.json()["error"]["details"][0]["reason"] == refused[1]
    assert hook.seen == []


@pytest.mark.parametrize("stopped", ["analyst", "planner"])
async def test_nothing_is_delivered_by_or_to_a_revoked_agent(company: Company, stopped: str) -> None:
    async with (
        receiving(company) as hook,
        analysing(company) as analyst,
        asking(company, "planner", streaming=False) as client,
    ):
        [event] = await heard(client, "more")
        await client.create_task_push_notification_config(config_for(hook, task_id=event.task.id, id="c-1"))
        sent = b"".join(analyst.bodies).decode()
        [path] = set(re.findall(r"/a2a/analyst/webhooks/[\w-]+", sent))
        body = {
            "statusUpdate": {
                "taskId": event.task.id,
                "contextId": event.task.context_id,
                "status": {"state": "TASK_STATE_WORKING"},
            }
        }
        async with httpx.AsyncClient(verify=company.client("analyst")) as agent:
            assert (await agent.post(company.data_url + path, json=body)).status_code == 204
            await revoke(company, kind="agent", agent=stopped)
            refused = await agent.post(company.data_url + path, json=body)
            assert refused.status_code == 403
        assert len(hook.seen) == 1
    assert last(company, "notify").record.reason == "revoked"


async def test_a_stream_ends_when_its_webhook_is_permitted_no_longer(company: Company) -> None:
    """The message itself still is: what was decided besides is decided again with it."""
    begun, gone = asyncio.Event(), asyncio.Event()

    async def stand(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: hello\n\n")
        begun.set()
        try:
            while not writer.is_closing():
                writer.write(b": still there\n\n")
                await writer.drain()
                await asyncio.sleep(0.05)
        finally:
            gone.set()

    script = Script(stand)
    async with (
        receiving(company) as hook,
        scripted(company, "agent/analyst", company.upstreams["analyst"], script),
        running(company),
        bare(company) as http,
        asyncio.TaskGroup() as tasks,
    ):
        body = sending("hello", "SendStreamingMessage")
        body["params"]["configuration"] = {"taskPushNotificationConfig": {"url": hook.url}}
        streaming = tasks.create_task(http.post(body))
        await asyncio.wait_for(begun.wait(), 10)
        company.policies["platform/push.cedar"] = NOTIFY
        company.write()
        answer = await asyncio.wait_for(streaming, 10)
        await asyncio.wait_for(gone.wait(), 10)
    assert '"reason":"lease_ended"' in answer.text.replace(" ", "")
