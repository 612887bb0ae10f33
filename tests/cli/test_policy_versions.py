"""``hopgate policy versions|publish|rollback|diff``: exit status, and what is said where something is wrong."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli import main
from tests.admin.conftest import Desk, configure
from tests.company import POLICIES, Company
from tests.gateways import running

READ = "teams/finance/read.cedar"


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    company = configure(Company(tmp_path))
    company.settings["publishing"] = {"source": "store"}
    async with running(company):
        yield Desk(company)


async def policy(desk: Desk, *arguments: str, **environ: str) -> Result:
    """The command, in this process but not in its event loop, which serves the gateway."""
    environ = {"HOPGATE_CONFIG": str(desk.company.config)} | environ
    return await asyncio.to_thread(CliRunner().invoke, main, ["policy", *arguments], env=environ)


def folder(desk: Desk, name: str, **files: str) -> str:
    """A folder of policies: the company's, and ``files`` below ``platform/``."""
    texts = POLICIES | {f"platform/{path}.cedar": text for path, text in files.items()}
    for path, text in texts.items():
        file = desk.company.directory / name / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return str(desk.company.directory / name)


async def test_exit_status_tells_what_kept_it_from_being_published(desk: Desk) -> None:
    good = folder(desk, "good", a='@id("a") forbid (principal, action == Action::"getTask", resource);')
    bad = folder(desk, "bad", a="\n\nnonsense;")
    invalid = await policy(desk, "publish", bad)
    assert (invalid.exit_code, invalid.stderr.partition(": ")[0]) == (3, "platform/a.cedar:3")
    url = ("--url", desk.url, "--ca", str(desk.company.svid("agent/planner").bundle))
    denied = await policy(desk, "publish", *url, good, HOPGATE_ADMIN_TOKEN=desk.token("viewer"))
    assert (denied.exit_code, "may not publishPolicy" in denied.stderr) == (2, True)
    unknown = await policy(desk, "publish", *url, good, HOPGATE_ADMIN_TOKEN="")
    assert (unknown.exit_code, "token_missing" in unknown.stderr) == (2, True)
    raced = await policy(desk, "publish", "--on", "7", good)
    assert (raced.exit_code, "version 1 is in force" in raced.stderr) == (1, True)
    nothing = await policy(desk, "rollback", "9")
    assert (nothing.exit_code, "there is no version 9" in nothing.stderr) == (1, True)
    for usage in (("publish", "--since", "1h", good), ("publish", "--ca", "x", good), ("versions", "--write", "x")):
        assert (await policy(desk, *usage)).exit_code == 1
    assert (await policy(desk, "publish", "--socket", "nowhere", good)).exit_code == 1
    assert (await policy(desk, "publish", "--url", "http://x", good)).exit_code == 1
    assert len((await policy(desk, "versions")).stdout.splitlines()) == 2
    done = await policy(desk, "publish", "--on", "1", good)
    assert (done.exit_code, done.stdout.splitlines()[0]) == (
        0,
        "version 2 is in force: changes admin, platform; 0 tests passed",
    )


async def test_only_a_folder_is_changed_and_versions_are_read_without_a_gateway(tmp_path: Path) -> None:
    company = configure(Company(tmp_path))
    company.settings["publishing"] = {"source": "store"}
    desk = Desk(company)
    async with running(company):
        theirs = folder(desk, "theirs", stray="nonsense")
        (Path(theirs) / READ).write_text(POLICIES[READ].replace("<= 3", "<= 2"))
        done = await policy(desk, "publish", "--only", "teams/finance", theirs)
        assert done.stdout.startswith("version 2 is in force: changes teams/finance;"), done.stderr
    listed = (await policy(desk, "versions")).stdout.splitlines()
    assert [line.split()[0] for line in listed] == ["VERSION", "2", "1"]
    assert READ in (await policy(desk, "versions", "1")).stdout
    assert (await policy(desk, "versions", "2", "--write", str(tmp_path / "was"))).exit_code == 0
    assert (tmp_path / "was" / READ).read_text() == (Path(theirs) / READ).read_text()
    assert (await policy(desk, "versions", "2", "--write", str(tmp_path / "was"))).exit_code == 1
    assert (await policy(desk, "diff", "2", str(tmp_path / "was"))).stdout == ""
    told = (await policy(desk, "diff", "1", "2")).stdout
    assert told.startswith("changed `finance-read` permit teams/finance/read.cedar:2")
    assert told == (await policy(desk, "diff", "1", str(tmp_path / "was"))).stdout
    assert (await policy(desk, "diff", "1", "nowhere")).exit_code == 1
    explained = await policy(
        desk, "explain", "--agent", "analyst", "--user", "corp|maria", "--action", "invokeTool",
        "--resource", "ledger/read_balance", "--chain", "planner", "--chain", "auditor", "--chain", "analyst",
    )  # fmt: skip
    assert "no_permit" in explained.stdout or "deny" in explained.stdout, "the version in force decides, not the folder"
