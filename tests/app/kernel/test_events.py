"""Denials come back as records of the agent, each once over restarts, and what has none of its own is counted."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gateway.cli import main
from gateway.core.audit import KernelRecord
from gateway.store.query import AuditReader, Filters
from tests.app.kernel.loaders import company_of, metrics, node_until, settled
from tests.bpf.nodes import Place
from tests.bpf.serving import serving
from tests.company import Company
from tests.gateways import running

SECONDS = 15.0


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "node").mkdir()
    return Place(tmp_path / "node")


@pytest.fixture
def company(tmp_path: Path, place: Place) -> Company:
    return company_of(tmp_path / "company", place)


def denied(**more: Any) -> bytes:
    said = {
        "monotonic": 1, "generation": 1, "class": "data-analyst", "verdict": "denied", "hook": "connect4",
        "reason": "forbidden", "errno": 111, "process": 42, "thread": 42, "user": 0, "cgroup": 7, "command": "python3",
        "policy": 0, "address": "192.0.2.9", "port": 443, "protocol": "tcp",
    }  # fmt: skip
    return json.dumps(said | more).encode()


READ = {
    "address": None,
    "port": None,
    "protocol": None,
    "hook": "file_open",
    "actions": ["readFile"],
    "path": "/secret",
}


def kernel_records(company: Company, **filters: Any) -> list[KernelRecord]:
    found = AuditReader(company.store_url).query(Filters(limit=1000, **filters)).found
    return [each.record for each in found if isinstance(each.record, KernelRecord)][::-1]


async def recorded(company: Company, count: int) -> list[KernelRecord]:
    async with asyncio.timeout(SECONDS):
        while True:
            found = kernel_records(company)
            if len(found) >= count:
                return found
            await asyncio.sleep(0.05)


async def test_a_denial_is_in_the_agents_provenance(company: Company, place: Place) -> None:
    async with serving(place), running(company):
        await node_until(company, settled)
        place.kernel.said.put_nowait(denied())
        place.kernel.said.put_nowait(denied(policy=None, verdict="would_deny", reason="not_permitted", **READ))
        first, second = await recorded(company, 2)
        assert (first.verdict, first.reason, first.action) == ("deny", "kernel_denied", "connectNetwork")
        assert (str(first.resource), first.node) == ('NetworkDestination::"192.0.2.9:443/tcp"', "worker-1")
        assert first.policies == ("analysts-connect",)
        assert first.agent is not None
        assert (first.agent.name, first.agent.owner, first.agent_class) == ("analyst", "corp|maria", "data-analyst")
        assert (second.verdict, second.action, str(second.resource)) == (
            "would_deny", "readFile", 'FilePath::"/secret"',
        )  # fmt: skip
        assert kernel_records(company, agent="analyst", policy="analysts-connect") == [first]
        assert kernel_records(company, verdict="would_deny") == [second]
        shown = await asyncio.to_thread(
            CliRunner().invoke, main, ["audit", "query", "--store", company.store_url, "--agent", "analyst"]
        )
        assert "analyst on worker-1" in shown.output
        assert "kernel_denied (analysts-connect)" in shown.output
        tree = await asyncio.to_thread(
            CliRunner().invoke, main, ["audit", "show", "--store", company.store_url, first.id]
        )
        assert tree.exit_code == 0
        assert 'analyst on worker-1 → NetworkDestination::"192.0.2.9:443/tcp" connectNetwork' in tree.output
        assert 'hopgate_kernel_events_total{node="worker-1",verdict="denied"} 1.0' in await metrics(company)
    checked = await asyncio.to_thread(CliRunner().invoke, main, ["audit", "verify", "--store", company.store_url])
    assert checked.exit_code == 0, checked.output


async def test_each_is_recorded_once_over_restarts_of_both(company: Company, place: Place) -> None:
    async with serving(place):
        async with running(company):
            await node_until(company, settled)
            place.kernel.said.put_nowait(denied(process=1))
            await recorded(company, 1)
        for number in (2, 3):
            place.kernel.said.put_nowait(denied(process=number))
        async with running(company):
            found = await recorded(company, 3)
            place.kernel.said.put_nowait(denied(process=4))
            found = await recorded(company, 4)
    assert sorted(record.detail.partition("process ")[2][0] for record in found) == ["1", "2", "3", "4"]


async def test_a_flood_is_counted_and_nonsense_too(tmp_path: Path, place: Place) -> None:
    company = company_of(tmp_path / "company", place, events_per_second=5)
    async with serving(place), running(company):
        await node_until(company, settled)
        for _ in range(300):
            place.kernel.said.put_nowait(denied())
        async with asyncio.timeout(SECONDS):
            while True:
                found = kernel_records(company)
                whole = sum(record.left_out or 1 for record in found)
                if whole == 300:
                    break
                await asyncio.sleep(0.1)
        sums = [record for record in found if record.left_out]
        assert sums
        assert {(record.reason, record.agent_class) for record in sums} == {("kernel_events", "data-analyst")}
        assert len(found) < 60
        place.kernel.said.put_nowait(denied(verdict=["denied"], path="x" * 1000))
        place.kernel.said.put_nowait(denied(path="x" * 20_000))
        async with asyncio.timeout(SECONDS):
            while True:
                odd = [record for record in kernel_records(company) if "no events" in record.detail]
                if sum(record.left_out for record in odd) == 2:
                    break
                await asyncio.sleep(0.1)
