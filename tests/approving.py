"""A company whose large payments need people, and those people, at the admin API."""

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from gateway.core.audit import ApprovalRecord, DecisionRecord, decode
from gateway.store.query import AuditReader
from tests.admin.conftest import Desk, configure
from tests.company import Company

PATH = "/api/v1/approvals"
LARGE = {"amount": 5000, "to": "acme"}
READS = """
@id("talk")
permit (principal, action in [Action::"cancelTask", Action::"subscribeTask"], resource is Agent);
"""
ASKS = """
@id("delegation-asks") @approval("finance-leads")
forbid (principal, action == Action::"delegate", resource == Agent::"analyst") unless { context.approved };
"""


def approving(directory: Path, **terms: Any) -> Company:
    """A company with an admin API; a call that asks again waits for two seconds."""
    company = configure(Company(directory))
    company.settings["approvals"] = {"hold_seconds": 2, **terms}
    company.policies["platform/talk.cedar"] = READS
    return company


@dataclass
class People:
    """Those who decide."""

    company: Company

    @property
    def desk(self) -> Desk:
        return Desk(self.company)

    def one(self, name: str, *groups: str, **claims: Any) -> AbstractAsyncContextManager[httpx2.AsyncClient]:
        """A person of these groups."""
        return self.desk.person("nobody", sub=name, roles=[], groups=list(groups or ("finance-leads",)), **claims)

    async def waiting(self, *, states: str = "pending") -> list[dict[str, Any]]:
        """What waits, as the gateway's host sees it."""
        async with self.desk.override() as http:
            answer = await http.get(PATH, params={"state": states})
        assert answer.status_code == 200, answer.text
        return list(answer.json()["approvals"])

    async def soon(self) -> dict[str, Any]:
        """The one that waits, once it does."""
        # Nothing says so: a person would look again as well.
        for _ in range(200):
            if found := await self.waiting():
                return found[0]
            await asyncio.sleep(0.05)
        raise AssertionError("nothing waits")

    async def say(
        self, word: str, name: str = "ann", *groups: str, approval: str = "", match: str = "", comment: str = "seen"
    ) -> httpx2.Response:
        """A person's word on the approval; on the one that waits by default."""
        approval = approval or (await self.soon())["id"]
        async with self.one(name, *groups) as http:
            headers = {"If-Match": match} if match else {}
            return await http.post(f"{PATH}/{approval}/{word}", json={"comment": comment}, headers=headers)

    async def show(self, approval: str) -> dict[str, Any]:
        """How it stands, as the gateway's host sees it."""
        async with self.desk.override() as http:
            return dict((await http.get(f"{PATH}/{approval}")).json())

    def records(self) -> list[ApprovalRecord]:
        """What was recorded of approvals, in order."""
        found = [decode(row.payload) for row in AuditReader(self.company.store_url).rows()]
        return [each for each in found if isinstance(each, ApprovalRecord)]

    def decisions(self) -> list[DecisionRecord]:
        """The decisions on record, in order."""
        found = [decode(row.payload) for row in AuditReader(self.company.store_url).rows()]
        return [each for each in found if isinstance(each, DecisionRecord)]

    def events(self) -> list[tuple[str, str]]:
        """Event and state of each step on record."""
        return [(each.event, each.state) for each in self.records()]
