"""SIGKILL while versions are published: after a restart either the old one or the new one is in force, and whole."""

import asyncio
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest

from gateway.core.versions import Version as KeptVersion
from gateway.core.versions import digest_of, next_facts
from gateway.store.policy_versions import SqlPolicyVersions, kept
from gateway.store.state import open_state
from tests.admin.publishing import NO_PAYMENTS, POLICIES, VERSIONS
from tests.company import POLICIES as WRITTEN
from tests.company import Company
from tests.gateways import serving

LOOPS = "guardrails/loops.cedar"


@pytest.fixture
def company(tmp_path: Path) -> Company:
    company = Company(tmp_path)
    company.settings["publishing"] = {"source": "store"}
    return company


def admin(company: Company) -> httpx2.AsyncClient:
    transport = httpx2.AsyncHTTPTransport(uds=str(company.directory / "hopgate.db.admin"))
    return httpx2.AsyncClient(base_url="http://hopgate", transport=transport, timeout=30)


async def in_force(company: Company) -> tuple[int, str]:
    """Number and digest of what a gateway says that it decides with."""
    async with admin(company) as http:
        version = (await http.get(POLICIES)).json()["version"]
    return version["number"], version["digest"]


async def publish_until_it_dies(company: Company, acknowledged: list[int], going: asyncio.Event) -> None:
    async with admin(company) as http:
        with suppress(httpx2.TransportError):
            while True:
                found = (await http.get(POLICIES)).json()["version"]
                files = {LOOPS: WRITTEN[LOOPS] + f"// {found['number']}", "guardrails/p.cedar": NO_PAYMENTS}
                body = {"files": files, "folder": "guardrails", "comment": "again"}
                answer = await http.post(VERSIONS, json=body, headers={"If-Match": f'"{found["digest"]}"'})
                assert answer.status_code == 201, answer.text
                acknowledged.append(answer.json()["version"]["number"])
                if len(acknowledged) == 2:
                    going.set()


@pytest.mark.parametrize("milliseconds", [0, 40])
async def test_it_is_the_old_or_the_new_one(company: Company, milliseconds: int) -> None:
    acknowledged: list[int] = []
    going = asyncio.Event()
    async with serving(company) as gateway, asyncio.TaskGroup() as tasks:
        tasks.create_task(publish_until_it_dies(company, acknowledged, going))
        await going.wait()
        # Somewhere within the next one, elsewhere each time.
        await asyncio.sleep(milliseconds / 1000)
        gateway.kill()
    version = kept(company.directory / "hopgate.db")
    assert version is not None
    assert version.facts.number in (acknowledged[-1], acknowledged[-1] + 1)
    assert version.facts.digest == digest_of(version.files)
    async with serving(company):
        assert await in_force(company) == (version.facts.number, version.facts.digest)


async def test_what_was_kept_and_not_yet_swapped_is_in_force_after_the_restart(company: Company) -> None:
    async with serving(company) as gateway:
        first = kept(company.directory / "hopgate.db")
        assert first is not None
        gateway.kill()
    files = {**first.files, "guardrails/p.cedar": NO_PAYMENTS}
    facts = next_facts(first.facts, files, "", by="socket:0", origin="publish", at=first.facts.at + 1)
    engine = await open_state(company.store_url)
    store = SqlPolicyVersions(engine, company.directory / "hopgate.db")
    assert await store.append(KeptVersion(facts, files))
    store.close()
    await engine.dispose()
    async with serving(company):
        assert await in_force(company) == (2, facts.digest)
