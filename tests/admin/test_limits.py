"""``/api/v1/limits`` says who used how much, what they may, and nothing to those who may not see it."""

from tests.admin.conftest import Desk
from tests.admin.test_access import refusal_of
from tests.company import Company
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import bare, call, post, through_gateway

PATH = "/api/v1/limits"
QUOTAS = {"agent": {"*": {"requests_per_minute": 50}, "planner": {"concurrent": 9}}}


async def test_what_was_used_and_may_be(company: Company) -> None:
    company.settings["quotas"] = QUOTAS
    desk = Desk(company)
    async with through_gateway(company, Ledger()):
        for agent, calls in (("planner", 3), ("cron", 1)):
            async with bare(company, agent, token=None if agent == "cron" else "") as wire:
                for _ in range(calls):
                    await post(wire, call("read_balance"))
        async with desk.person("auditor") as http:
            first = (await http.get(PATH, params={"limit": "1"})).json()
            assert (first["more"], len(first["limits"])) == (True, 1)
            [busiest] = first["limits"]
            assert busiest["subject"] == {"kind": "agent", "name": "planner", "tool": ""}
            assert busiest["used"]["requests_minute"] == busiest["used"]["requests_hour"] == 3
            assert busiest["used"]["bytes_hour"] > 100
            assert busiest["quota"] == {
                "requests_per_minute": 50, "requests_per_hour": None, "concurrent": 9, "bytes_per_hour": None,
            }  # fmt: skip
            for query, count in (
                ({"whose": "agent"}, 2),
                ({"whose": "agent", "name": "cron"}, 1),
                ({"whose": "agent", "name": "nobody"}, 0),
                ({"whose": "user"}, 1),
                ({"whose": "agent_tool", "tool": "ledger/read_balance"}, 2),
                ({"whose": "agent_tool", "tool": "ledger/pay"}, 0),
                ({"whose": "agent_destructive"}, 0),
                ({"whose": "route", "name": "mcp/ledger"}, 1),
            ):
                assert len((await http.get(PATH, params=query)).json()["limits"]) == count, query
            assert refusal_of(await http.get(PATH, params={"whose": "everybody"}))[:2] == (400, "message_invalid")
        async with desk.person("viewer") as http:
            assert refusal_of(await http.get(PATH))[:2] == (403, "no_permit")
