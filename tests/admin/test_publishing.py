"""Publishing: whole or nothing, by the authors of each folder, on what they have seen, and all of it on record."""

import asyncio
import json
import re
from typing import Any

import pytest

from gateway.store.query import AuditReader
from tests.admin.conftest import Desk
from tests.admin.publishing import (
    NO_PAYMENTS,
    POLICIES,
    ROLLBACK,
    VERSIONS,
    author,
    files_in_force,
    publish,
    roll_back,
    seen,
)
from tests.admin.test_access import refusal_of
from tests.company import POLICIES as WRITTEN
from tests.company import Company
from tests.wire.test_reload import generation, until

READ, LOOPS, PAY = "teams/finance/read.cedar", "guardrails/loops.cedar", "platform/pay.cedar"
DRAFT = """@id("finance-read") @mode("staged")
permit (principal, action == Action::"listTools", resource in Team::"finance");
"""


@pytest.fixture
def company(company: Company) -> Company:
    company.settings["publishing"] = {"source": "store"}
    return company


async def test_the_folder_makes_the_first_version_and_nothing_after_it(desk: Desk) -> None:
    async with desk.override() as http:
        [first] = (await http.get(VERSIONS)).json()["versions"]
        assert (first["number"], first["by"], first["origin"]) == (1, "files", "files")
        assert (await files_in_force(http)).items() >= WRITTEN.items()
        (desk.company.directory / "policies" / PAY).write_text("nonsense")
        assert (await publish(http, {LOOPS: WRITTEN[LOOPS] + "// more"}, "guardrails")).status_code == 201
        found = (await http.get(POLICIES)).json()
        assert (found["source"], found["version"]["number"], found["generation"]) == ("store", 2, 2)
        assert PAY in found["files"]


BY_AUTHORS = (
    ("team", "teams/finance", READ, 201),
    ("team", "teams/platform", "teams/platform/a.cedar", 403),
    ("team", "", READ, 201),
    ("team", "platform", PAY, 403),
    ("team", "guardrails", LOOPS, 403),
    ("team", "", "tests.json", 403),
    ("team", "", "admin/roles.cedar", 403),
    ("platform", "platform", PAY, 201),
    ("platform", "baseline", "baseline/a.cedar", 201),
    ("platform", "guardrails", LOOPS, 403),
    ("platform", "teams/finance", READ, 403),
    ("guardrails", "guardrails", LOOPS, 201),
    ("guardrails", "platform", PAY, 403),
    ("everything", "admin", "admin/roles.cedar", 403),
)
"""Author, folder, file, status."""


async def test_each_folder_by_its_authors(desk: Desk) -> None:
    for kind, folder, path, status in BY_AUTHORS:
        async with author(desk, kind) as http:
            before = await files_in_force(http)
            text = "[]" if path.endswith(".json") else before.get(path, "") + "\n// another line"
            below = {name: old for name, old in before.items() if name.startswith(folder)}
            answer = await publish(http, below | {path: text}, folder)
            assert answer.status_code == status, (kind, path, answer.text)
            after = await files_in_force(http)
            assert after == (before | {path: text} if status == 201 else before)
        record = desk.records()[-1]
        assert record.action == "publishPolicy"
        assert (record.verdict, record.caller.via) == ("permit" if status == 201 else "deny", "oidc")
        digests = re.search(r"version \d+, ([0-9a-f]{64}) -> ([0-9a-f]{64})", record.detail)
        assert digests is not None
        assert digests[1] != digests[2]


async def test_several_folders_take_leave_for_each(desk: Desk) -> None:
    async with author(desk, "platform") as half, author(desk, "everything") as all_of_it:
        files = await files_in_force(all_of_it)
        both = files | {LOOPS: files[LOOPS] + "//", PAY: files[PAY] + "//"}
        assert refusal_of(await publish(half, both)) == (403, "no_permit")
        answer = await publish(all_of_it, both)
        assert (answer.status_code, answer.json()["folders"]) == (201, ["guardrails", "platform"])
    assert set(desk.records()[-1].policies) == {"admin-guardrail-authors", "admin-platform-authors"}


async def test_a_teams_pipeline_publishes_for_its_team_only(company: Company, desk: Desk) -> None:
    async with desk.agent("cron") as http, desk.override() as own:
        body = {"files": {READ: WRITTEN[READ] + "//"}, "folder": "teams/finance", "comment": "by the pipeline"}
        assert (await http.post(VERSIONS, json=body, headers=await seen(own))).status_code == 403
        company.registry["agents"]["cron"]["groups"] = ["hopgate-publishers"]
        company.write()
        await until(company, generation(2))
        answer = await http.post(VERSIONS, json=body, headers=await seen(own))
        assert answer.status_code == 201, answer.text
        assert answer.json()["version"]["by"] == "spiffe://demo.test/agent/cron"
        body = {"files": {PAY: ""}, "folder": "platform", "comment": "more"}
        assert (await http.post(VERSIONS, json=body, headers=await seen(own))).status_code == 403


async def test_administrators_are_made_on_the_host_only(desk: Desk) -> None:
    everybody = '@id("everybody")\npermit (principal, action, resource);\n'
    async with desk.person("nobody") as nobody, desk.override() as own:
        assert (await nobody.get(POLICIES)).status_code == 403
        answer = await publish(own, {"admin/roles.cedar": everybody}, "admin")
        assert answer.status_code == 201, answer.text
        assert (await nobody.get(POLICIES)).status_code == 200
    assert desk.records()[-1].policies == ("socket-override",)


async def test_what_cannot_be_used_changes_nothing_and_every_problem_is_told(desk: Desk) -> None:
    broken = {
        "platform/a.cedar": '\n@id("a") permit (principal, action, resource) when { principal.risk_levle == "low" };',
        "guardrails/b.cedar": '@id("b") permit (principal, action, resource);',
        "nowhere/c.cedar": '@id("c") permit (principal, action, resource);',
    }
    async with author(desk, "everything") as http:
        before = (await http.get(POLICIES)).json()
        files = await files_in_force(http)
        answer = await publish(http, files | broken)
        assert refusal_of(answer) == (422, "policies_invalid")
        places = {(each["file"], each["line"], each["severity"]) for each in answer.json()["problems"]}
        assert places == {(path, line, "error") for path, line in zip(broken, (2, 1, 0), strict=True)}
        assert refusal_of(await publish(http, {"platform/a.json": "{}"}, "teams/finance"))[0] == 400
        assert (await http.get(POLICIES)).json() == before
    [failed] = [record for record in desk.records() if record.verdict == "failed"]
    assert (failed.reason, failed.caller.id) == ("policies_invalid", "corp|maria")


async def test_the_tests_that_are_shipped_have_to_pass(desk: Desk) -> None:
    test = {
        "name": "planners pay",
        "request": {
            "principal": 'Agent::"planner"',
            "action": 'Action::"invokeTool"',
            "resource": 'Tool::"ledger/pay"',
        },
        "entities": [],
        "decision": "allow",
        "reason": ["pay"],
        "num_errors": 0,
    }
    async with author(desk, "platform") as http:
        files = {path: text for path, text in WRITTEN.items() if path.startswith("platform/")}
        answer = await publish(http, files | {"platform/pay.tests.json": json.dumps([test])}, "platform")
        assert refusal_of(answer) == (422, "policies_invalid")
        [problem] = answer.json()["problems"]
        assert (problem["file"], problem["key"]) == ("platform/pay.tests.json", "planners pay")
        assert (await http.get(POLICIES)).json()["version"]["number"] == 1


async def test_what_was_not_seen_is_not_undone(desk: Desk) -> None:
    async with author(desk, "everything") as http:
        before = await seen(http)
        body: dict[str, Any] = {"files": {LOOPS: WRITTEN[LOOPS] + "//"}, "folder": "guardrails", "comment": "one"}
        for headers in ({}, {"If-Match": "*"}, {"If-Match": '"0"'}):
            assert refusal_of(await http.post(VERSIONS, json=body, headers=headers)) == (412, "precondition_failed")
        texts = [body | {"files": {LOOPS: WRITTEN[LOOPS] + f"// {number}"}} for number in range(6)]
        answers = await asyncio.gather(*(http.post(VERSIONS, json=text, headers=before) for text in texts))
        statuses = sorted(answer.status_code for answer in answers)
        assert statuses[0] == 201
        assert set(statuses[1:]) <= {409, 412}
        assert len((await http.get(VERSIONS)).json()["versions"]) == 2
        [winner] = [text["files"][LOOPS] for text, one in zip(texts, answers, strict=True) if one.status_code == 201]
        assert (await files_in_force(http))[LOOPS] == winner


async def test_a_rollback_is_a_version_of_its_own(desk: Desk) -> None:
    async with author(desk, "everything") as http, author(desk, "team") as team:
        first = await files_in_force(http)
        assert (await publish(http, {LOOPS: first[LOOPS], "guardrails/p.cedar": NO_PAYMENTS}, "guardrails")).is_success
        assert (await publish(http, {READ: first[READ] + "//"}, "teams/finance")).is_success
        assert refusal_of(await roll_back(team, 1)) == (403, "no_permit")
        own = await roll_back(team, 1, "teams/finance")
        assert own.status_code == 201, own.text
        assert (own.json()["version"]["number"], own.json()["version"]["back_to"]) == (4, 1)
        assert (await files_in_force(http))[READ] == first[READ]
        assert "guardrails/p.cedar" in await files_in_force(http)
        whole = await roll_back(http, 1)
        assert (whole.json()["version"]["number"], whole.json()["generation"]) == (5, 5)
        assert await files_in_force(http) == first
        assert refusal_of(await roll_back(http, 1)) == (409, "conflict")
        assert refusal_of(await roll_back(http, 9)) == (400, "message_invalid")
        page = (await http.get(VERSIONS, params={"limit": 2})).json()
        rest = (await http.get(VERSIONS, params={"limit": 9, "cursor": page["next"]})).json()
        assert [each["number"] for each in (*page["versions"], *rest["versions"])] == [5, 4, 3, 2, 1]
        compared = (await http.get(f"{POLICIES}/diff", params={"before": 1, "after": 2})).json()
        assert [(each["kind"], each["id"]) for each in compared["policies"]] == [("added", "no-payments")]
        assert "+forbid" in compared["files"][0]["diff"]


async def test_a_dry_run_says_what_would_be_and_changes_nothing(desk: Desk) -> None:
    async with author(desk, "everything") as http:
        files = {LOOPS: WRITTEN[LOOPS], "guardrails/p.cedar": NO_PAYMENTS, "guardrails/q.cedar": "// nothing"}
        answer = await publish(http, files, "guardrails", query="?dry_run=true&since=0")
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert (found["in_force"], found["version"]["number"], found["decisions"]["decisions"]) == (False, 2, 0)
        assert [each["id"] for each in found["policies"]] == ["no-payments"]
        assert (await http.get(POLICIES)).json()["version"]["number"] == 1
        assert refusal_of(await publish(http, files, "guardrails", query="?since=0"))[0] == 400
    record = desk.records()[-2]
    assert record.verdict == "permit"
    assert record.detail.endswith("dry run")


async def test_drafts_are_published_and_not_enforced(desk: Desk) -> None:
    async with author(desk, "team") as http:
        answer = await publish(http, {READ: WRITTEN[READ], "teams/finance/draft.cedar": DRAFT}, "teams/finance")
        assert answer.status_code == 201, answer.text
        assert [key.partition("@")[0] for key in answer.json()["staged"]] == ["finance-read"]
        found = (await http.get(POLICIES)).json()
        assert len(found["staged"]) == 1
        assert [each["text"] for each in found["policies"] if each["id"] == "finance-read"] == [WRITTEN[READ].strip()]


UNREADABLE: tuple[tuple[dict[str, Any], str], ...] = (
    ({"files": {"../a.cedar": ""}, "comment": "x"}, "$.files"),
    ({"files": {"/a.cedar": ""}, "comment": "x"}, "$.files"),
    ({"files": {"platform/.a.cedar": ""}, "comment": "x"}, "$.files"),
    ({"files": {"platform/a\n.cedar": ""}, "comment": "x"}, "$.files"),
    ({"files": {"platform/a.sh": ""}, "comment": "x"}, "$.files"),
    ({"files": {"platform/a.cedar": ""}, "folder": "platform/", "comment": "x"}, "$.folder"),
    ({"files": {"platform/a.cedar": ""}, "folder": "..", "comment": "x"}, "$.folder"),
    ({"files": {"platform/a.cedar": ""}, "folder": "plat", "comment": "x"}, "$.files"),
    ({"files": {"platform/a.cedar": 1}, "comment": "x"}, "$.files[...]"),
    ({"files": {}}, "$"),
    ({"files": {}, "comment": ""}, "$.comment"),
)


async def test_what_cannot_be_read_is_refused_with_its_place(desk: Desk) -> None:
    async with desk.override() as http:
        headers = await seen(http)
        for body, place in UNREADABLE:
            answer = await http.post(VERSIONS, json=body, headers=headers)
            assert refusal_of(answer) == (400, "message_invalid"), body
            assert answer.json()["path"] == place


async def test_no_text_of_a_policy_is_in_the_audit_log(desk: Desk) -> None:
    async with author(desk, "guardrails") as http:
        files = {LOOPS: WRITTEN[LOOPS], "guardrails/p.cedar": NO_PAYMENTS}
        assert (await publish(http, files, "guardrails")).status_code == 201
    record = desk.records()[-1]
    noted = json.loads(bytes(record.request))
    assert set(noted["files"]) == set(files)
    assert all(len(digest) == 64 for digest in noted["files"].values())
    assert not any(b"no-payments" in row.payload for row in AuditReader(desk.company.store_url).rows())


async def test_bodies_are_bounded_and_there_has_to_be_a_policy(desk: Desk) -> None:
    async with desk.override() as http:
        assert refusal_of(await publish(http, {"platform/a.cedar": "/" * 5_000_000}))[0] == 413
        answer = await publish(http, {"tests.json": "[]"})
        assert refusal_of(answer)[0] == 422
        assert "every call would be denied" in answer.json()["problems"][0]["message"]
        rollback = await http.post(ROLLBACK, json={"version": 1, "comment": "x" * 20_000}, headers=await seen(http))
        assert refusal_of(rollback)[0] == 413
