"""Shadow agents that a loader finds are recorded once, counted and listed; quarantine doesn't wait for the gateway."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from gateway.core.kernel.denials import read_event
from tests.admin.conftest import Desk
from tests.app.kernel.loaders import company_of, metrics, node_until, settled
from tests.app.kernel.test_events import SECONDS, kernel_records, recorded
from tests.bpf.conftest import new_cgroup as new_cgroup
from tests.bpf.nodes import Place
from tests.bpf.serving import serving
from tests.bpf.test_shadows import NewCgroup, process_in
from tests.company import Company
from tests.gateways import running


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "node").mkdir()
    return Place(tmp_path / "node")


@pytest.fixture
def company(tmp_path: Path, place: Place) -> Company:
    return company_of(tmp_path / "company", place)


async def listed(company: Company, count: int) -> dict[str, Any]:
    """What ``/api/v1/shadow-agents`` says once it has ``count`` of them."""
    async with asyncio.timeout(SECONDS), Desk(company).override() as http:
        while True:
            answer = await http.get("/api/v1/shadow-agents")
            assert answer.status_code == 200, answer.text
            found: dict[str, Any] = answer.json()
            if len(found["agents"]) == count:
                return found
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("quarantine", [True, False], ids=["quarantined", "at-large"])
async def test_one_is_recorded_once_over_restarts_and_listed_while_it_is_there(
    company: Company, place: Place, new_cgroup: NewCgroup, quarantine: bool
) -> None:
    cgroup = new_cgroup()
    place.more["shadow"] = {"roots": [str(cgroup)], "quarantine": quarantine}
    async with serving(place):
        with process_in(cgroup):
            async with running(company):
                await node_until(company, settled)
                [record] = await recorded(company, 1)
                assert (record.reason, record.node, record.agent) == ("kernel_shadow", "worker-1", None)
                assert str(record.resource) == f'Cgroup::"{cgroup}"'
                expected = ("deny", "quarantine") if quarantine else ("would_deny", "")
                assert (record.verdict, record.agent_class) == expected
                assert record.detail.startswith("1 processes of /")
                [agent] = (await listed(company, 1))["agents"]
                assert (agent["node"], agent["cgroup"], agent["quarantined"]) == ("worker-1", str(cgroup), quarantine)
                assert agent["first_seen"] <= agent["asked_at"]
                word = str(quarantine).lower()
                series = f'hopgate_kernel_shadow_agents{{node="worker-1",quarantined="{word}"}} 1.0'
                assert series in await metrics(company)
                async with Desk(company).person("viewer") as http:
                    assert (await http.get("/api/v1/shadow-agents")).status_code == 403
                async with Desk(company).person("auditor") as http:
                    assert (await http.get("/api/v1/shadow-agents")).json()["agents"]
            async with running(company):
                await listed(company, 1)
                place.kernel.said.put_nowait(b'{"verdict": "denied", "class": "data-analyst", "hook": "connect4"}')
                await recorded(company, 2)
        async with running(company):
            await listed(company, 0)
    told = sorted(kernel_records(company), key=lambda each: each.id)
    assert [each.reason for each in told] == ["kernel_shadow", "kernel_denied"]


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"cgroup": 7},
        {"cgroup": "/" * 5000},
        {"cgroup": "/a", "programs": ["x"] * 17},
        {"cgroup": "/a", "processes": -1},
    ],
    ids=["empty", "number", "long", "programs", "negative"],
)
def test_what_a_loader_says_of_one_is_bounded(wrong: dict[str, Any]) -> None:
    line = {"seq": 1, "time": 1.5, "event": "shadow"}
    assert read_event(json.dumps(line | {"shadow": {"cgroup": "/a"}}).encode()) is not None
    assert read_event(json.dumps(line | {"shadow": wrong}).encode()) is None
