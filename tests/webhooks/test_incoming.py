"""Decisions that come in by webhook: whose word they are, double clicks, duplicates, and what is on record."""

import asyncio
from pathlib import Path

import pytest

from tests.admin.test_access import refusal_of
from tests.webhooks.integrations import elsewhere, integrated, pressed, signed, signed_slack

TWO = {"groups": {"finance-leads": {"quorum": 2}}}


async def test_a_decision_elsewhere_is_the_word_of_a_person_and_on_record(tmp_path: Path) -> None:
    async with elsewhere(integrated(tmp_path)) as there:
        answer = await there.post(there.body(comment="seen in the pager", version=1))
        assert (answer.status_code, answer.json()["state"]) == (200, "approved")
        [vote] = answer.json()["votes"]
        assert (vote["by"], vote["groups"], vote["comment"]) == ("corp|ann", ["finance-leads"], "seen in the pager")
        [record] = [each for each in there.people.desk.records() if each.action == "approve"]
        assert (record.caller.id, record.caller.via, record.caller.name) == ("corp|ann", "webhook", "pager")
        assert (record.verdict, record.policies) == ("permit", ("admin-approvers",))


async def test_a_second_delivery_a_double_click_and_two_at_once(tmp_path: Path) -> None:
    async with elsewhere(integrated(tmp_path, **TWO)) as there:
        body = there.body()
        # The integration heard no answer, and tries again: the same id, signed anew.
        for _ in range(2):
            assert (await there.post(body)).json()["state"] == "pending"
        clicks = await asyncio.gather(*(there.press(pressed(there.approval)) for _ in range(3)))
        assert sorted(each.status_code for each in clicks)[0] == 200
        assert await there.state() == ("pending", 1)
        pages = await asyncio.gather(there.post(there.body(by="bob")), there.press(pressed(there.approval, "Ubob")))
        assert [each.status_code for each in pages] == [200, 200]
        assert await there.state() == ("approved", 2)
        late = await there.post(there.body("refuse", by="bob"))
        assert refusal_of(late) == (409, "conflict")


async def test_slack_hears_nothing_but_that_it_was_taken(tmp_path: Path) -> None:
    async with elsewhere(integrated(tmp_path)) as there:
        # The button that opens the page is told of as well.
        opened = await there.press(pressed(there.approval, action="hopgate_open"))
        assert (opened.status_code, opened.content, await there.state()) == (200, b"", ("pending", 0))
        refused = await there.press(pressed(there.approval, action="hopgate_refuse"))
        assert (refused.status_code, refused.content, await there.state()) == (200, b"", ("refused", 1))


@pytest.mark.parametrize(
    ("by", "refusal"),
    [
        ("eve", (403, "no_permit")), ("maria", (403, "forbidden")), ("nobody", (403, "webhook_person")),
        ("gone", (403, "webhook_person")),
    ],
)  # fmt: skip
async def test_cedar_and_the_rules_judge_whom_it_names(tmp_path: Path, by: str, refusal: tuple[int, str]) -> None:
    company = integrated(tmp_path)
    async with elsewhere(company) as there:
        assert refusal_of(await there.post(there.body(by=by))) == refusal
        assert await there.state() == ("pending", 0)
        [record] = [each for each in there.people.desk.records() if each.reason == refusal[1]]
        assert (record.caller.via, record.caller.name) == ("webhook", "pager")


async def test_odd_bodies_are_refused_with_their_place(tmp_path: Path) -> None:
    async with elsewhere(integrated(tmp_path)) as there:
        for body in (b"{}", there.body(extra=1), there.body("maybe"), there.body(comment="x" * 513), there.body(by="")):
            answer = await there.post(body)
            assert refusal_of(answer) == (400, "message_invalid"), answer.text
            assert answer.json()["path"].startswith("$")
        for body in (b"payload=%7B%7D", pressed("../x"), pressed("")):
            assert refusal_of(await there.press(body)) == (400, "message_invalid")
        for body in (b"", b"payload", b"a=b&payload=1", b"\xff"):
            assert (await there.press(body)).status_code == 400
        assert refusal_of(await there.post(there.body(version=9))) == (412, "precondition_failed")
        stale = there.body()
        headers = signed(stale, name="form") | {"Content-Type": "text/plain"}
        assert refusal_of(await there.post(stale, headers)) == (415, "content_type")
        assert await there.state() == ("pending", 0)


async def test_secrets_are_rotated_by_their_files(tmp_path: Path) -> None:
    async with elsewhere(integrated(tmp_path)) as there:
        (tmp_path / "slack").write_bytes(b"another-signing-secret")
        body = pressed(there.approval)
        assert refusal_of(await there.press(body)) == (401, "webhook_signature")
        headers = signed_slack(body, secret=b"another-signing-secret")
        assert (await there.press(body, headers)).status_code == 200
        (tmp_path / "pager").write_text("")
        assert refusal_of(await there.post(there.body()))[0] == 500
