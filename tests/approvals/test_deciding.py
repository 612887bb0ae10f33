"""Deciding approvals at the admin API: who may, what they see, two at once, twice, stale, and on record."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.core.audit import AdminRecord
from gateway.store.query import AuditReader
from tests.admin.test_access import refusal_of
from tests.approving import LARGE, PATH, People, approving
from tests.company import Company
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import bare, call, post, through_gateway

TWO = {"groups": {"finance-leads": {"quorum": 2}}}


@asynccontextmanager
async def waiting(company: Company) -> AsyncIterator[tuple[People, str, Ledger]]:
    """A payment of Maria's that waits."""
    ledger, people = Ledger(), People(company)
    async with through_gateway(company, ledger), bare(company) as wire:
        await post(wire, call("pay", **LARGE))
        yield people, (await people.soon())["id"], ledger


async def test_a_member_sees_exactly_what_would_happen_and_others_do_not(tmp_path: Path) -> None:
    async with waiting(approving(tmp_path)) as (people, name, _):
        async with people.one("ann") as http:
            [listed] = (await http.get(PATH)).json()["approvals"]
            shown = (await http.get(f"{PATH}/{name}")).json()
        assert (listed["id"], listed["call"], listed["may_decide"]) == (name, None, True)
        assert shown["call"] == {
            "method": "tools/call", "target": "pay", "arguments": {"name": "pay", "arguments": LARGE},
        }  # fmt: skip
        assert (shown["user"], shown["agents"], shown["policies"]) == ("corp|maria", ["planner"], ["large-payments"])
        async with people.one("eve", "another-group") as http:
            assert (await http.get(PATH)).json()["approvals"] == []
            assert refusal_of(await http.get(f"{PATH}/{name}")) == (403, "no_permit")
            assert refusal_of(await http.post(f"{PATH}/{name}/approve", json={})) == (403, "no_permit")
        async with people.desk.person("viewer") as http:
            seen = (await http.get(f"{PATH}/{name}")).json()
            assert (seen["call"], seen["may_decide"]) == (None, False)
        async with people.one("ann") as http:
            assert refusal_of(await http.get(f"{PATH}/unknown")) == (403, "no_permit")
        async with people.desk.override() as http:
            assert refusal_of(await http.get(f"{PATH}/unknown")) == (404, "not_found")


async def test_neither_the_user_nor_the_owner_nor_an_agent_approves(tmp_path: Path) -> None:
    company = approving(tmp_path)
    person = {"issuer": "https://login.demo.test", "name": "Olga", "team": "finance"}
    company.registry["people"]["corp|olga"] = person
    company.registry["agents"]["planner"]["owner"] = "corp|olga"
    company.registry["agents"]["outsider"]["groups"] = ["finance-leads"]
    async with waiting(company) as (people, name, _):
        async with people.one("maria") as http:
            assert refusal_of(await http.post(f"{PATH}/{name}/approve", json={})) == (403, "own_approval")
            shown = (await http.get(f"{PATH}/{name}")).json()
            assert (shown["may_decide"], shown["call"]) == (False, None)
        async with people.one("olga") as http:
            assert refusal_of(await http.post(f"{PATH}/{name}/approve", json={})) == (403, "forbidden")
        async with people.desk.agent("outsider") as http:
            assert refusal_of(await http.post(f"{PATH}/{name}/approve", json={})) == (403, "no_permit")
        assert (await people.show(name))["votes"] == []
        # Who asked may call it off.
        async with people.desk.agent("planner") as http:
            assert (await http.post(f"{PATH}/{name}/cancel", json={})).json()["state"] == "cancelled"


async def test_two_at_once_are_both_heard_and_a_double_click_is_one(tmp_path: Path) -> None:
    async with waiting(approving(tmp_path, **TWO)) as (people, name, _):
        clicks = await asyncio.gather(*(people.say("approve", "ann", approval=name) for _ in range(4)))
        assert [each.status_code for each in clicks] == [200] * 4
        assert {each.json()["state"] for each in clicks} == {"pending"}
        found = await asyncio.gather(*(people.say("approve", who, approval=name) for who in ("bob", "cid", "dan")))
        assert sorted(each.status_code for each in found) == [200, 409, 409]
        shown = await people.show(name)
        assert (shown["state"], len(shown["votes"])) == ("approved", 2)
    assert [event for event, _ in people.events()] == ["asked", "approved", "approved"]


async def test_only_as_it_was_read(tmp_path: Path) -> None:
    async with waiting(approving(tmp_path, **TWO)) as (people, name, _):
        assert (await people.say("approve", "ann", approval=name, match='"1"')).headers["etag"] == '"2"'
        stale = await people.say("approve", "bob", approval=name, match='"1"')
        assert refusal_of(stale) == (412, "precondition_failed")
        # The first one's second click is no second word, and nothing to refuse.
        assert (await people.say("approve", "ann", approval=name, match='"1"')).status_code == 200
        assert (await people.say("approve", "bob", approval=name, match='"2"')).json()["state"] == "approved"


async def test_escalation(tmp_path: Path) -> None:
    terms: Any = {"groups": {"finance-leads": {"escalate_to": "board", "escalate_seconds": 1}}}
    async with waiting(approving(tmp_path, **terms)) as (people, name, _):
        # It falls to the board by time alone.
        for _ in range(100):
            said = await people.say("approve", "bea", "board", approval=name)
            if said.status_code == 200:
                break
            assert refusal_of(said) == (403, "no_permit")
            await asyncio.sleep(0.05)
        assert (said.status_code, said.json()["state"]) == (200, "approved")
        assert said.json()["votes"][0]["groups"] == ["finance-leads"]


async def test_every_word_is_on_record_before_it_counts(tmp_path: Path) -> None:
    async with waiting(approving(tmp_path)) as (people, name, _):
        assert (await people.say("approve", comment="call me")).status_code == 200
    records: tuple[AdminRecord, ...] = AuditReader(people.company.store_url).administration()
    [word] = [each for each in records if each.action == "approve"]
    assert (word.verdict, word.path, word.caller.id) == ("permit", f"{PATH}/{name}/approve", "corp|ann")
    assert bytes(word.request) == b'{"comment":"call me"}'
    [vote] = [each for each in people.records() if each.event == "approved"]
    assert (vote.by, vote.comment, vote.groups) == ("corp|ann", "call me", ("finance-leads",))


async def test_the_link_opens_a_page_that_tells_nothing(tmp_path: Path) -> None:
    async with waiting(approving(tmp_path)) as (people, name, _), people.desk.person(None) as http:
        page = await http.get(f"/approvals/{name}")
        other = await http.get("/approvals/0000")
        assert page.status_code == other.status_code == 200
        assert page.text.replace(name, "0000") == other.text
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "form-action 'none'" in policy
        assert (page.headers["cache-control"], page.headers["referrer-policy"]) == ("no-store", "no-referrer")
        assert (await http.post(f"/approvals/{name}")).status_code == 405
        assert (await http.get('/approvals/"><script>')).status_code in (400, 404)
        assert (await http.get(f"/approvals/{name}", headers={"Host": "evil.test"})).status_code == 403


@pytest.mark.parametrize("body", [{"comment": 1}, {"verdict": "yes"}, {"comment": "x" * 513}])
async def test_odd_words_are_refused_with_their_place(tmp_path: Path, body: Any) -> None:
    async with waiting(approving(tmp_path)) as (people, name, _), people.one("ann") as http:
        answer = await http.post(f"{PATH}/{name}/approve", json=body)
        assert refusal_of(answer) == (400, "message_invalid")
        assert answer.json()["path"].startswith("$")
        assert (await people.show(name))["votes"] == []
