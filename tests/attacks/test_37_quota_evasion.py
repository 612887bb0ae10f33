"""Attack 37: getting more than a quota allows: by new names, made-up tools, abandoned calls and hidden sizes."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.company import Company
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import Wire, bare, call, headers_of, modern, post, refusal_of, through_gateway
from tests.wire.test_metrics import scrape

READ = call("read_balance")


@pytest.fixture
def company(tmp_path: Path) -> Company:
    return Company(tmp_path)


async def statuses(wire: Wire, *messages: Any) -> list[int]:
    return [(await post(wire, message)).status_code for message in messages]


async def test_other_names_do_not_make_a_count_begin_anew(company: Company) -> None:
    """More users than there are counters for, then the one again whose count they would have pushed out."""
    company.settings["quotas"] = {"user": {"*": {"requests_per_hour": 2}}, "counters": 100}
    url = f"{company.data_url}/mcp/ledger"
    async with through_gateway(company, Ledger()), bare(company) as wire:
        assert await statuses(wire, READ, READ, READ) == [200, 200, 429]
        for number in range(110):
            headers = {"Authorization": f"Bearer {company.token(url, sub=f'user-{number}')}"}
            await post(wire, READ, headers)
        assert await statuses(wire, READ) == [429]
        assert (await scrape(company)).value("hopgate_counted_names", whose="user") == 100
        # Who finds no room shares a count with the others who found none: fewer calls, never more.
        late = {"Authorization": f"Bearer {company.token(url, sub='late')}"}
        assert refusal_of(await post(wire, READ, late))[2] == "too_many_requests"


async def test_made_up_tools_take_no_counters_and_count_for_their_caller(company: Company) -> None:
    company.settings["quotas"] = {"agent": {"planner": {"requests_per_minute": 20}}}
    async with through_gateway(company, ledger := Ledger()), bare(company) as wire:
        await statuses(wire, *(call(f"tool-{number}") for number in range(20)))
        assert await statuses(wire, READ) == [429]
        assert (await scrape(company)).value("hopgate_counted_names", whose="agent_tool") == 0
    assert ledger.calls == []


async def test_every_method_counts_and_so_does_what_is_denied(company: Company) -> None:
    company.settings["quotas"] = {"agent": {"planner": {"requests_per_minute": 4}}}
    ping, notice = modern("tools/list"), modern("notifications/cancelled", {"requestId": 1}, request_id=None)
    async with through_gateway(company, Ledger()), bare(company) as wire:
        found = await statuses(wire, ping, notice, call("delete_all"), READ, READ)
    assert found[2:] == [403, 200, 429]


async def test_abandoned_calls_give_their_place_back_and_no_more(company: Company) -> None:
    """Calls that are cut off at any moment neither hold places for ever nor free those of others."""
    company.settings["quotas"] = {"agent": {"planner": {"concurrent": 3}}}
    async with through_gateway(company, ledger := Ledger()), bare(company) as wire, bare(company) as leaving:
        async with asyncio.TaskGroup() as tasks:
            held = tasks.create_task(post(wire, call("slow")))
            await ledger.started.wait()
            for turns in range(30):
                abandoned = tasks.create_task(post(leaving, READ))
                for _ in range(turns):
                    await asyncio.sleep(0)
                abandoned.cancel()
            while (await post(wire, READ)).status_code != 200:
                pass
            ledger.release.set()
            assert (await held).status_code == 200
        assert await running(company) == 0
        for _ in range(4):
            assert (await post(wire, READ)).status_code == 200


async def test_a_body_without_a_length_is_counted_by_what_it_is(company: Company) -> None:
    company.settings["quotas"] = {"agent": {"planner": {"bytes_per_hour": 8_000}}}
    company.settings["limits"] = {"body_bytes": 6_000}
    large = call("pay", amount=1, to="x" * 5_000)
    async with through_gateway(company, ledger := Ledger()), bare(company) as wire:
        assert (await post(wire, large)).status_code == 200
        refused = await wire.http.post(wire.url, content=pieces(large), headers=headers_of(large))
        assert refusal_of(refused)[2] == "too_many_bytes"
    assert len(ledger.calls) == 1


async def pieces(message: Any) -> AsyncIterator[bytes]:
    """A body that nobody announces the size of."""
    yield json.dumps(message).encode()


async def running(company: Company) -> int:
    """Calls of the planner that the gateway takes to be running."""
    transport = httpx2.AsyncHTTPTransport(uds=str(company.directory / "hopgate.db.admin"))
    async with httpx2.AsyncClient(base_url="http://hopgate", transport=transport) as http:
        [found] = (await http.get("/api/v1/limits", params={"name": "planner"})).json()["limits"]
    return int(found["used"]["concurrent"])
