"""What can't be read is refused with its place, before anything is done, and recorded."""

from typing import Any

import pytest

from tests.admin.conftest import ANALYST, Desk
from tests.admin.test_access import refusal_of

REVOCATIONS, DECISIONS = "/api/v1/revocations", "/api/v1/decisions"


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({}, "$"),
        ([], "$"),
        ({"target": {"kind": "agent", "agent": "analyst"}}, "$"),
        (ANALYST | {"more": 1}, "$"),
        (ANALYST | {"reason": ""}, "$.reason"),
        (ANALYST | {"reason": "x" * 513}, "$.reason"),
        (ANALYST | {"for_seconds": 0}, "$.for_seconds"),
        (ANALYST | {"for_seconds": "60"}, "$.for_seconds"),
        (ANALYST | {"target": {"kind": "nobody"}}, "$.target.kind"),
        (ANALYST | {"target": {"kind": "agent", "agent": "analist"}}, "$.target.agent"),
        (ANALYST | {"target": {"kind": "agent", "agent": "spiffe://demo.test/a/../b"}}, "$.target.agent"),
        (ANALYST | {"target": {"kind": "agent", "agent": "analyst", "txn": "x"}}, "$.target"),
        (ANALYST | {"target": {"kind": "user", "user": "maria"}}, "$.target.user"),
        (ANALYST | {"target": {"kind": "attribute", "attribute": "purpose", "value": "x"}}, "$.target.attribute"),
        (ANALYST | {"target": {"kind": "attribute", "attribute": "tag", "value": "x"}}, "$.target"),
    ],
)
async def test_a_body_that_does_not_fit(desk: Desk, body: Any, place: str) -> None:
    async with desk.person("operator") as http:
        answer = await http.post(REVOCATIONS, json=body)
        assert refusal_of(answer) == (400, "message_invalid")
        assert answer.json()["path"] == place
        assert (await http.get(REVOCATIONS)).json()["revocations"] == []
    record = desk.records()[-1]
    assert (record.reason, record.caller.id) == ("message_invalid", "corp|operator")
    assert record.verdict in ("refused", "failed")


@pytest.mark.parametrize(
    ("content", "status", "reason"),
    [
        (b"", 400, "body_malformed"),
        (b"{", 400, "body_malformed"),
        (b'{"target": {"kind": "all"}, "target": {"kind": "all"}, "reason": "r"}', 400, "body_malformed"),
        (b'{"reason": "\xff"}', 400, "body_malformed"),
        (b"[" * 200 + b"]" * 200, 400, "body_malformed"),
        (b" " * 20_000, 413, "body_too_large"),
    ],
)
async def test_a_body_that_is_no_json(desk: Desk, content: bytes, status: int, reason: str) -> None:
    async with desk.person("operator") as http:
        answer = await http.post(REVOCATIONS, content=content, headers={"Content-Type": "application/json"})
        assert refusal_of(answer) == (status, reason)
    assert [record.reason for record in desk.records()] == [reason]


async def test_media_types_methods_and_paths(desk: Desk) -> None:
    async with desk.person("operator") as http:
        as_text = await http.post(REVOCATIONS, content=b"{}", headers={"Content-Type": "text/plain"})
        assert refusal_of(as_text) == (415, "content_type")
        zipped = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        assert refusal_of(await http.post(REVOCATIONS, content=b"{}", headers=zipped)) == (415, "content_type")
        put = await http.put(REVOCATIONS, json=ANALYST)
        assert refusal_of(put) == (405, "http_method")
        assert put.headers["allow"] == "GET, POST"
        assert refusal_of(await http.get("/api/v1/agents")) == (404, "not_found")
        for path in ("/api/v1/revocations/", "/api/v1//revocations", "/api/v1/revocations/%41"):
            assert refusal_of(await http.get(f"{desk.url}{path}"))[0] == 404


async def test_a_header_that_counts_is_sent_once(desk: Desk) -> None:
    async with desk.person("operator") as http:
        twice = [("If-Match", '"1"'), ("If-Match", '"2"')]
        assert refusal_of(await http.delete(f"{REVOCATIONS}/x", headers=twice)) == (400, "header_duplicate")


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (f"{REVOCATIONS}?state=gone", "$query.state"),
        (f"{REVOCATIONS}?limit=0", "$query.limit"),
        (f"{REVOCATIONS}?limit=many", "$query.limit"),
        (f"{REVOCATIONS}?more=1", "$query"),
        (f"{REVOCATIONS}?cursor=AAAA", "$query.cursor"),
        (f"{DECISIONS}?verdict=maybe", "$query.verdict"),
        (f"{DECISIONS}?since=yesterday", "$query.since"),
        (f"{DECISIONS}?limit=201", "$query.limit"),
        (f"{DECISIONS}?cursor=AAAA", "$query.cursor"),
    ],
)
async def test_a_query_that_does_not_fit(desk: Desk, path: str, place: str) -> None:
    async with desk.person("operator") as http:
        answer = await http.get(path)
        assert refusal_of(answer) == (400, "message_invalid")
        assert answer.json()["path"] == place
        assert refusal_of(await http.get(f"{REVOCATIONS}?limit=1&limit=2")) == (400, "message_invalid")
