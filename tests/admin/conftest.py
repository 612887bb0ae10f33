"""A company whose gateway serves the admin API, with the shipped admin policies, and people of every role."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import httpx2
import pytest

from gateway.core.audit import AdminRecord
from gateway.store.query import AuditReader
from tests.company import Company
from tests.gateways import running
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
AUDIENCE = "hopgate-admin"
Role = Literal["viewer", "auditor", "operator", "nobody"]


@dataclass
class Desk:
    """The company's admin API, as its callers see it."""

    company: Company

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.company.settings['listen']['admin']['port']}"

    @property
    def socket(self) -> Path:
        return self.company.directory / "hopgate.db.admin"

    def token(self, role: Role, audience: str = AUDIENCE, **claims: Any) -> str:
        given = {"sub": role, "roles": [f"hopgate-{role}"], "groups": []} | claims
        return self.company.token(audience, **given)

    def person(self, role: Role | None, **claims: Any) -> AbstractAsyncContextManager[httpx2.AsyncClient]:
        """Somebody with a token for the admin API; nobody in particular without a role."""
        headers = {} if role is None else {"Authorization": f"Bearer {self.token(role, **claims)}"}
        return httpx2.AsyncClient(base_url=self.url, verify=self.company.anyone(), headers=headers, timeout=20)

    def agent(self, name: str) -> AbstractAsyncContextManager[httpx2.AsyncClient]:
        """Automation, by its SVID."""
        return httpx2.AsyncClient(base_url=self.url, verify=self.company.client(name), timeout=20)

    def override(self) -> AbstractAsyncContextManager[httpx2.AsyncClient]:
        """The gateway's own user, by the socket."""
        transport = httpx2.AsyncHTTPTransport(uds=str(self.socket))
        return httpx2.AsyncClient(base_url="http://hopgate", transport=transport, timeout=20)

    def records(self) -> tuple[AdminRecord, ...]:
        """What was recorded of administration, oldest first."""
        return AuditReader(self.company.store_url).administration()[::-1]

    def record(self, name: str) -> AdminRecord:
        [found] = [record for record in self.records() if record.id == name]
        return found


def configure(company: Company) -> Company:
    """``company`` with an admin API and the shipped admin policies."""
    company.settings["listen"]["admin"] = {"port": free_port(), "issuers": ["corp"], "audience": AUDIENCE}
    for file in ("roles", "approvals", "webhooks"):
        company.policies[f"admin/{file}.cedar"] = (ROOT / f"policies/admin/{file}.cedar").read_text()
    company.registry["agents"]["outsider"]["groups"] = ["hopgate-responders"]
    return company


@pytest.fixture
def company(tmp_path: Path) -> Company:
    return configure(Company(tmp_path))


@pytest.fixture
async def desk(company: Company) -> AsyncIterator[Desk]:
    async with running(company):
        yield Desk(company)


def revoking(**target: str) -> Mapping[str, Any]:
    """The body that revokes ``target``."""
    return {"target": target, "reason": "it was stolen"}


ANALYST = revoking(kind="agent", agent="analyst")
