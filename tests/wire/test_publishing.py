"""What is published decides: calls here, calls at another gateway of the same store, and calls after a restart."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from gateway.core.audit import DecisionRecord
from tests.admin.publishing import NO_PAYMENTS, POLICIES, publish, roll_back
from tests.app.health import ready, until
from tests.company import POLICIES as WRITTEN
from tests.company import Company
from tests.gateways import running
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import bare, call, post, refusal_of, through_gateway
from tests.wire.test_reload import streamed

LOOPS = "guardrails/loops.cedar"
FORBIDDING = {LOOPS: WRITTEN[LOOPS], "guardrails/payments.cedar": NO_PAYMENTS}


@pytest.fixture
def company(tmp_path: Path) -> Company:
    company = Company(tmp_path / "one")
    company.settings["publishing"] = {"source": "store"}
    return company


def socket_of(company: Company) -> httpx2.AsyncClient:
    transport = httpx2.AsyncHTTPTransport(uds=str(company.directory / "hopgate.db.admin"))
    return httpx2.AsyncClient(base_url="http://hopgate", transport=transport, timeout=30)


async def pays(company: Company) -> bool:
    """Whether the gateway lets a payment through."""
    async with bare(company) as wire:
        answer = await post(wire, call("pay", to="bob", amount=1))
    assert answer.status_code == 200 or refusal_of(answer)[2] == "forbidden", answer.text
    return answer.status_code == 200


@asynccontextmanager
async def beside(company: Company, directory: Path) -> AsyncIterator[Company]:
    """Another gateway on the same store, with ports and an audit log of its own."""
    other = Company(directory)
    other.key, other.ca, other.upstreams, other.registry = company.key, company.ca, company.upstreams, company.registry
    other.settings["publishing"] = company.settings["publishing"]
    other.settings["identity"]["development"]["directory"] = str(company.ca)
    other.directory.mkdir()
    (other.directory / "hopgate.db").symlink_to(company.directory / "hopgate.db")
    shutil.copy(company.directory / "hopgate.db.sealing", other.directory / "hopgate.db.sealing")
    async with running(other):
        yield other


async def test_what_is_published_decides_at_once_and_after_a_restart(company: Company) -> None:
    ledger = Ledger()
    async with through_gateway(company, ledger), socket_of(company) as admin:
        assert await pays(company)
        assert (await publish(admin, FORBIDDING, "guardrails")).status_code == 201
        assert not await pays(company)
    # The folder still says what the first version said.
    async with through_gateway(company, ledger), socket_of(company) as admin:
        assert not await pays(company)
        found = (await admin.get(POLICIES)).json()
        assert (found["version"]["number"], found["generation"]) == (2, 1)
        assert (await roll_back(admin, 1)).status_code == 201
        assert await pays(company)
    async with through_gateway(company, ledger):
        assert await pays(company)
        bundles = {each.record.bundle for each in company.records() if isinstance(each.record, DecisionRecord)}
    assert len(bundles) == 2


async def test_another_gateway_takes_it_over(company: Company, tmp_path: Path) -> None:
    async with (
        through_gateway(company, Ledger()),
        beside(company, tmp_path / "two") as other,
        socket_of(company) as admin,
        socket_of(other) as its_admin,
    ):
        assert await pays(other)
        assert (await publish(admin, FORBIDDING, "guardrails")).status_code == 201
        await until(other, lambda found: bool(found["generation"] == 2))
        assert not await pays(other)
        assert (await its_admin.get(POLICIES)).json()["version"]["number"] == 2
        assert (await roll_back(its_admin, 1)).status_code == 201
        await until(company, lambda found: bool(found["generation"] == 3))
        assert await pays(company)


async def test_a_gateway_whose_registry_does_not_fit_keeps_the_last_good_version(
    company: Company, tmp_path: Path
) -> None:
    async with (
        through_gateway(company, Ledger()),
        beside(company, tmp_path / "two") as other,
        socket_of(company) as admin,
    ):
        company.registry = company.registry | {"teams": ["finance", "platform", "sales"]}
        company.write()
        await until(company, lambda found: bool(found["generation"] == 2))
        text = '@id("s") permit (principal in Team::"sales", action == Action::"invokeTool", resource is Tool);'
        body = {"platform/sales.cedar": text}
        platform = {path: old for path, old in WRITTEN.items() if path.startswith("platform/")}
        assert (await publish(admin, platform | body, "platform")).status_code == 201
        found = (await until(other, lambda found: found["configuration"] != "ok"))[1]
        assert "version 2: platform/sales.cedar:1" in found["configuration"]
        assert (found["ready"], found["generation"]) == (True, 1)
        assert await pays(other)
        assert (await roll_back(admin, 1)).status_code == 201
        await until(other, lambda found: bool(found["configuration"] == "ok"))


async def test_open_streams_are_decided_again(company: Company) -> None:
    ledger = Ledger()
    async with (
        through_gateway(company, ledger),
        socket_of(company) as admin,
        bare(company) as wire,
        asyncio.TaskGroup() as tasks,
    ):
        streaming = tasks.create_task(post(wire, streamed("slow")))
        await asyncio.wait_for(ledger.started.wait(), 30)
        stop = '@id("stop") forbid (principal, action, resource);'
        assert (await publish(admin, FORBIDDING | {"guardrails/stop.cedar": stop}, "guardrails")).is_success
        assert refusal_of(await asyncio.wait_for(streaming, 30))[2] == "lease_ended"


async def test_where_files_own_the_policies_they_are_changed_there_and_every_generation_is_kept(
    company: Company,
) -> None:
    company.settings["publishing"] = {"source": "files"}
    async with through_gateway(company, Ledger()), socket_of(company) as admin:
        answer = await publish(admin, FORBIDDING, "guardrails")
        assert answer.status_code == 409
        assert str(company.directory / "policies") in answer.json()["detail"]
        assert (await publish(admin, FORBIDDING, "guardrails", query="?dry_run=true")).status_code == 200
        assert await pays(company)
        company.policies["guardrails/payments.cedar"] = NO_PAYMENTS
        company.write()
        await until(company, lambda found: bool(found["generation"] == 2))
        assert not await pays(company)
        found = (await admin.get(POLICIES)).json()
        assert (found["source"], found["version"]["number"]) == (str(company.directory / "policies"), 2)
        compared = (await admin.get(f"{POLICIES}/diff", params={"before": 1})).json()
        assert [each["id"] for each in compared["policies"]] == ["no-payments"]
        assert (await roll_back(admin, 1)).status_code == 409
    async with through_gateway(company, Ledger()), socket_of(company) as admin:
        assert len((await admin.get(f"{POLICIES}/versions")).json()["versions"]) == 2
        assert (await ready(company))[1]["generation"] == 1
    # What the files said is where the store goes on.
    company.settings["publishing"] = {"source": "store"}
    (company.directory / "policies/guardrails/payments.cedar").write_text("nonsense")
    del company.policies["guardrails/payments.cedar"]
    async with through_gateway(company, Ledger()), socket_of(company) as admin:
        found = (await admin.get(POLICIES)).json()
        assert (found["source"], found["version"]["number"]) == ("store", 2)
        assert not await pays(company)


async def test_replay_and_review_say_what_the_commands_say(company: Company) -> None:
    async with through_gateway(company, Ledger()), socket_of(company) as admin:
        for _ in range(2):
            assert await pays(company)
        body = {"since": 0, "files": FORBIDDING, "folder": "guardrails"}
        report = (await admin.post(f"{POLICIES}/replay", json=body)).json()
        assert report["changes"] == {"permit -> deny": 2}
        assert set(report["by_policy"]) == {"no-payments"}
        assert (await admin.post(f"{POLICIES}/replay", json={"since": 0})).json()["changes"] == {}
        dry = await publish(admin, FORBIDDING, "guardrails", query="?dry_run=true&since=0")
        assert dry.json()["decisions"]["changes"] == {"permit -> deny": 2}
        review = (await admin.get(f"{POLICIES}/review")).json()
        hits = {each["policy"]: each["hits"] for each in review["permits"]}
        assert hits["pay"] == 2
        assert {each["policy"] for each in review["forbids"]} == {"large-payments", "no-loops"}
