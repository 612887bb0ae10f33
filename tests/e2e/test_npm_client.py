"""The official npm client lists and calls through a real ``hopgate serve``, over mutual TLS, and is told why not."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.company import Company
from tests.gateways import asgi, served
from tests.peers.npm_client import MutualTls, call_tool, hear, list_tools
from tests.wire.ledger import Ledger
from tests.wire.remembering import READABLE, Remembering, admit

GATEWAY = "spiffe://demo.test/hopgate"


@asynccontextmanager
async def standing(company: Company) -> AsyncIterator[Ledger]:
    ledger = Ledger()
    async with before(company, ledger):
        yield ledger


@asynccontextmanager
async def before(company: Company, ledger: Ledger) -> AsyncIterator[None]:
    """A gateway process in front of ``ledger``."""
    async with (
        asgi(ledger.application, company, "server/ledger", company.upstreams["ledger"]),
        served(company.write()),
    ):
        yield


def as_agent(company: Company, agent: str, *, roots: Company | None = None) -> dict[str, Any]:
    """Token and TLS of an agent of ``company``; its certificate is one of ``roots`` where that is another company."""
    files = (roots or company).svid(f"agent/{agent}")
    tls = MutualTls(files.certificate, files.key, company.svid("agent/planner").bundle, server=GATEWAY)
    return {"token": company.token(f"{company.data_url}/mcp/ledger"), "tls": tls}


def error_in(answer: dict[str, Any]) -> dict[str, Any]:
    """The JSON-RPC error of an HTTP error's body, which this client puts into its message."""
    assert "result" not in answer
    error: dict[str, Any] = json.loads(answer["error"]["message"].partition("endpoint: ")[2])["error"]
    return error


async def test_it_lists_what_it_may_call_and_calls_it_with_progress(company: Company) -> None:
    url = f"{company.data_url}/mcp/ledger"
    async with standing(company) as ledger:
        listed = await list_tools(url, **as_agent(company, "planner"))
        called = await call_tool(url, "read_balance", {"account": "payroll"}, **as_agent(company, "planner"))
        counted = await call_tool(url, "count", {"to": 3}, **as_agent(company, "planner"))
    shown = {tool["name"] for tool in listed["result"]["tools"]}
    assert shown >= {"read_balance", "count", "pay"}
    assert not shown & {"delete_all", "unregistered"}
    assert (listed["server"]["name"], listed["protocol"]) == ("ledger", "2025-11-25")
    assert called["result"]["structuredContent"] == {"account": "payroll", "balance": 128150}
    assert ledger.calls == [("read_balance", {"account": "payroll"})]
    steps = [(step["progress"], step["message"]) for step in counted["result"]["progress"]]
    assert steps == [(1, "step 1"), (2, "step 2"), (3, "step 3")]


async def test_a_denial_reaches_it_with_its_reason_and_decision(company: Company) -> None:
    url = f"{company.data_url}/mcp/ledger"
    async with standing(company) as ledger:
        large = await call_tool(url, "pay", {"amount": 5000, "to": "Builders"}, **as_agent(company, "planner"))
        hidden = await call_tool(url, "delete_all", {}, **as_agent(company, "planner"))
    asked, denied = error_in(large), error_in(hidden)
    assert (large["error"]["code"], hidden["error"]["code"]) == (403, 403)
    assert (asked["code"], asked["data"]["reason"], asked["data"]["groups"]) == (
        1428,
        "approval_required",
        ["finance-leads"],
    )
    assert (denied["code"], denied["data"]["reason"]) == (1403, "no_permit")
    assert asked["data"]["decision_id"] != denied["data"]["decision_id"]
    assert ledger.calls == []


async def test_a_certificate_of_another_company_gets_it_nowhere(company: Company) -> None:
    elsewhere = Company(company.directory / "elsewhere")
    async with standing(company) as ledger:
        refused = await list_tools(f"{company.data_url}/mcp/ledger", **as_agent(company, "planner", roots=elsewhere))
    assert "result" not in refused
    assert ledger.headers == []


async def test_it_hears_on_its_standing_stream_what_it_may_read(company: Company) -> None:
    admit(company)
    async with before(company, Remembering()):
        said = await hear(f"{company.data_url}/mcp/ledger", "announce", **as_agent(company, "planner"))
    assert said["result"] == {"heard": {"uri": READABLE}}


async def test_it_comes_back_for_an_answer_whose_stream_was_closed(company: Company) -> None:
    admit(company)
    ledger = Remembering()
    async with before(company, ledger), asyncio.TaskGroup() as tasks:
        url, arguments = f"{company.data_url}/mcp/ledger", {"account": "payroll"}
        calling = tasks.create_task(call_tool(url, "leave", arguments, **as_agent(company, "planner")))
        await ledger.closed.wait()
        ledger.go_on.set()
    assert calling.result()["result"]["structuredContent"] == {"result": "back with payroll"}
    assert ledger.calls == [("leave", {"account": "payroll"})]
    assert ledger.resumed.is_set()
