"""``/api/v1/revocations``: made once, in force when answered, paged, lifted, and on record before it takes effect."""

import asyncio
from typing import Any

import msgspec

from gateway.core.audit import verify
from gateway.store.query import AuditReader, Filters
from tests.admin.conftest import ANALYST, Desk, revoking
from tests.admin.test_access import refusal_of
from tests.wire.mcp_calls import bare, call, post
from tests.wire.mcp_calls import refusal_of as call_refusal_of
from tests.wire.test_faults_store import locked

PATH = "/api/v1/revocations"


async def test_it_is_in_force_when_it_is_answered_and_over_when_it_is_lifted(desk: Desk) -> None:
    async with desk.person("operator") as http, bare(desk.company) as wire:
        made = await http.post(PATH, json=revoking(kind="agent", agent="planner"))
        assert made.status_code == 201
        assert made.headers["cache-control"] == "no-store"
        shown = made.json()
        assert made.headers["location"] == f"{PATH}/{shown['id']}"
        assert (shown["state"], shown["by"], shown["agents"], shown["expires"]) == (
            "in_force", "corp|operator", ["planner"], None,
        )  # fmt: skip
        assert call_refusal_of(await post(wire, call("read_balance")))[2] == "revoked"
        assert (await http.delete(made.headers["location"], params={"reason": "found it"})).status_code == 204
        assert call_refusal_of(await post(wire, call("read_balance")))[2] == "upstream_unreachable"
        lifted = (await http.get(made.headers["location"])).json()
        assert lifted["state"] == "lifted"
        assert (lifted["lifted"]["by"], lifted["lifted"]["reason"]) == ("corp|operator", "found it")
    actions = [(record.action, record.verdict, record.policies) for record in desk.records()]
    assert actions == [("revoke", "permit", ("admin-operator",)), ("lift", "permit", ("admin-operator",))]
    assert msgspec.json.decode(desk.records()[0].request) == revoking(kind="agent", agent="planner")
    assert desk.records()[0].caller.roles == ("hopgate-operator",)


async def test_the_same_request_is_made_once(desk: Desk) -> None:
    async with desk.person("operator") as http, desk.person("operator", sub="bob") as bob:
        key = {"Idempotency-Key": "k-1"}
        answers = await asyncio.gather(*(http.post(PATH, json=ANALYST, headers=key) for _ in range(8)))
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.json()["id"] for answer in answers}) == 1
        other = await http.post(PATH, json=revoking(kind="all"), headers=key)
        assert refusal_of(other) == (409, "conflict")
        assert (await bob.post(PATH, json=ANALYST, headers=key)).status_code == 201
        assert len((await http.get(PATH)).json()["revocations"]) == 2
        for bad in ("", "x" * 256):
            wrong = await http.post(PATH, json=ANALYST, headers={"Idempotency-Key": bad})
            assert refusal_of(wrong) == (400, "message_invalid")


async def test_a_lift_can_be_held_to_what_was_read(desk: Desk) -> None:
    async with desk.person("operator") as http:
        made = await http.post(PATH, json=ANALYST)
        where, tag = made.headers["location"], made.headers["etag"]
        assert (await http.get(where)).headers["etag"] == tag
        wrong = await http.delete(where, headers={"If-Match": '"99"'})
        assert refusal_of(wrong) == (412, "precondition_failed")
        assert (await http.delete(where, headers={"If-Match": tag})).status_code == 204
        assert (await http.get(where)).headers["etag"] != tag
        assert refusal_of(await http.delete(where)) == (409, "conflict")
        assert refusal_of(await http.delete(f"{PATH}/unknown")) == (404, "not_found")
        assert refusal_of(await http.get(f"{PATH}/unknown")) == (404, "not_found")


async def test_pages(desk: Desk) -> None:
    async with desk.person("operator") as http:
        made = [(await http.post(PATH, json=revoking(kind="txn", txn=f"t{n}"))).json()["id"] for n in range(5)]
        assert (await http.delete(f"{PATH}/{made[0]}")).status_code == 204
        seen: list[str] = []
        query: dict[str, Any] = {"limit": 2}
        while True:
            page = (await http.get(PATH, params=query)).json()
            seen += [each["id"] for each in page["revocations"]]
            if page["next"] is None:
                break
            query["cursor"] = page["next"]
        assert seen == made[:0:-1]
        moved = await http.get(PATH, params={"state": "any", "cursor": query["cursor"]})
        assert refusal_of(moved) == (400, "message_invalid")
        assert [each["id"] for each in (await http.get(PATH, params={"state": "lifted"})).json()["revocations"]] == [
            made[0]
        ]


async def test_what_cannot_be_recorded_is_not_done(desk: Desk) -> None:
    path = desk.company.directory / "hopgate.audit.db"
    async with desk.person("operator") as http:
        async with locked(path):
            answer = await http.post(PATH, json=ANALYST)
            assert refusal_of(answer) == (503, "audit_unavailable")
            assert answer.headers["retry-after"] == "1"
        assert (await http.get(PATH, params={"state": "any"})).json()["revocations"] == []


async def test_what_was_permitted_and_could_not_be_done_says_so_on_record(desk: Desk) -> None:
    path = desk.company.directory / "hopgate.db"
    async with desk.person("operator") as http, locked(path):
        answer = await http.post(PATH, json=ANALYST)
        assert refusal_of(answer) == (503, "store_unavailable")
    permitted, failed = desk.records()
    assert (permitted.verdict, failed.verdict) == ("permit", "failed")
    assert failed.id == f"{permitted.id}.failed"
    assert failed.reason == "store_unavailable"


async def test_the_records_are_part_of_the_chain_that_audit_verifies(desk: Desk) -> None:
    async with desk.person("operator") as http, desk.person("nobody") as other:
        await http.post(PATH, json=ANALYST)
        await other.post(PATH, json=ANALYST)
    reader = AuditReader(desk.company.store_url)
    report = verify(reader.rows())
    assert report.ok, report.fault
    assert report.records > len(desk.records()) == 2
    assert reader.index_fault() is None
    # They are found as what they are, and never among the hops.
    assert reader.query(Filters()).found == ()
