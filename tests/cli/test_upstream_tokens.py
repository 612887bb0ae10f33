"""``hopgate upstream-tokens`` names who consented to what, shows no token, and forgets exactly what it was told."""

import asyncio
import json
import subprocess
from pathlib import Path

import pytest

from gateway.store.state import open_state
from gateway.store.upstream_tokens import SqlUpstreamTokens
from tests.company import Company
from tests.gateways import HOPGATE

NOW = 1_800_000_000


@pytest.fixture
def company(tmp_path: Path) -> Company:
    found = Company(tmp_path)
    found.write()

    async def fill() -> None:
        engine = await open_state(found.store_url)
        for sub in ("corp|maria", "corp|ivan"):
            await SqlUpstreamTokens(engine).keep(sub, "tracker", "sealed-and-secret", NOW)
        await engine.dispose()

    asyncio.run(fill())
    return found


def tokens(company: Company, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [HOPGATE, "upstream-tokens", arguments[0], "--config", str(company.config), *arguments[1:]]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_the_list_names_users_and_servers_and_nothing_of_what_is_held(company: Company) -> None:
    done = tokens(company, "list")
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split()[:4] for line in done.stdout.splitlines()] == [
        ["corp|ivan", "tracker", "consented", "2027-01-15T08:00:00Z"],
        ["corp|maria", "tracker", "consented", "2027-01-15T08:00:00Z"],
    ]
    shown = tokens(company, "list", "--format", "json")
    assert json.loads(shown.stdout)[1] == {
        "sub": "corp|maria",
        "server": "tracker",
        "consented": NOW,
        "renewed": NOW,
    }
    assert "sealed" not in done.stdout + shown.stdout


def test_forgetting_takes_one_user_and_server_alone(company: Company) -> None:
    assert tokens(company, "forget", "corp|maria", "tracker").returncode == 0
    assert tokens(company, "list").stdout.split()[0] == "corp|ivan"
    again = tokens(company, "forget", "corp|maria", "tracker")
    assert (again.returncode, again.stderr) == (
        1,
        "hopgate upstream-tokens: nothing is held of tracker for corp|maria\n",
    )


def test_a_store_that_is_not_there_is_said(company: Company) -> None:
    company.settings["store"]["url"] = "sqlite:///nowhere/hopgate.db"
    company.write()
    done = tokens(company, "list")
    assert done.returncode == 2
    assert "nowhere" in done.stderr
