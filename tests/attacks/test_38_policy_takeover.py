"""Attack 38: a team's author decides about more than the team, by paths, folders, old versions, and policies' words."""

import json
from pathlib import Path
from typing import Any

import httpx2

from tests.admin.conftest import Desk, configure
from tests.admin.publishing import POLICIES, ROLLBACK, VERSIONS, author, publish, seen
from tests.company import POLICIES as WRITTEN
from tests.company import Company
from tests.gateways import running

EVERYBODY = '@id("mine") permit (principal, action, resource);'
READ = "teams/finance/read.cedar"
OWN = {READ: WRITTEN[READ]}


SPYING = {
    "request": {"principal": 'Agent::"a"', "action": 'Action::"delegate"', "resource": 'Agent::"a"'},
    "entities": "../../admin/secrets.json",
    "decision": "deny",
    "reason": [],
    "num_errors": 0,
}
ATTEMPTS: tuple[tuple[dict[str, str], str], ...] = (
    ({"admin/mine.cedar": EVERYBODY}, "admin"),
    ({"teams/finance/../../admin/mine.cedar": EVERYBODY}, "teams/finance"),
    ({"teams/finance/./mine.cedar": EVERYBODY}, "teams/finance"),
    ({"teams/finance//mine.cedar": EVERYBODY}, "teams/finance"),
    ({"teams\\finance\\mine.cedar": EVERYBODY}, ""),
    ({"platform/mine.cedar": EVERYBODY}, "teams/finance"),
    ({"platform/mine.cedar": EVERYBODY}, "platform"),
    ({"teams/mine.cedar": EVERYBODY}, "teams"),
    ({"teams/platform/mine.cedar": EVERYBODY}, "teams/platform"),
    ({"Teams/finance/mine.cedar": EVERYBODY}, "Teams/finance"),
    ({}, "guardrails"),
    ({}, ""),
    # In their own folder: about everything, in the place of somebody else's policy, as a draft in its place.
    (OWN | {"teams/finance/mine.cedar": EVERYBODY}, "teams/finance"),
    (OWN | {"teams/finance/mine.cedar": WRITTEN["guardrails/loops.cedar"]}, "teams/finance"),
    (OWN | {"teams/finance/mine.cedar": f'@id("no-loops") @mode("staged-delete") {EVERYBODY[11:]}'}, "teams/finance"),
    # Tests that look outside.
    (OWN | {"teams/finance/read.tests.json": json.dumps([SPYING])}, "teams/finance"),
)


async def test_nothing_beyond_the_team_is_changed(tmp_path: Path) -> None:
    company = configure(Company(tmp_path))
    company.settings["publishing"] = {"source": "store"}
    async with running(company):
        desk = Desk(company)
        async with author(desk, "team") as http, desk.override() as own:
            before = (await own.get(POLICIES)).json()
            for files, folder in ATTEMPTS:
                answer = await publish(http, files, folder)
                assert answer.status_code in (400, 403, 422), (files, answer.text)
                assert (await own.get(POLICIES)).json() == before
                record = desk.records()[-1]
                assert record.verdict in ("refused", "deny", "failed")
                assert record.caller.id == "corp|maria"


async def test_an_old_version_with_other_administrators_comes_back_for_nobody_but_the_host(tmp_path: Path) -> None:
    company = configure(Company(tmp_path))
    company.settings["publishing"] = {"source": "store"}
    generous = company.policies["admin/roles.cedar"] + EVERYBODY.replace("mine", "too-much")
    strict, company.policies["admin/roles.cedar"] = company.policies["admin/roles.cedar"], generous
    async with running(company):
        desk = Desk(company)
        async with author(desk, "team") as http, desk.override() as own:
            assert (await publish(own, {"admin/roles.cedar": strict}, "admin")).status_code == 201
            for body in ({"version": 1}, {"version": 1, "folder": "admin"}):
                assert (await _roll(http, own, body)).status_code == 403
            assert (await own.get(POLICIES)).json()["version"]["number"] == 2


async def _roll(http: httpx2.AsyncClient, own: httpx2.AsyncClient, body: dict[str, Any]) -> httpx2.Response:
    return await http.post(ROLLBACK, json=body | {"comment": "back"}, headers=await seen(own))


async def test_a_digest_is_not_leave(tmp_path: Path) -> None:
    company = configure(Company(tmp_path))
    company.settings["publishing"] = {"source": "store"}
    async with running(company):
        desk = Desk(company)
        async with desk.person("operator") as http:
            body = {"files": OWN, "folder": "teams/finance", "comment": "x"}
            answer = await http.post(VERSIONS, json=body, headers=await seen(http))
            assert answer.status_code == 403
