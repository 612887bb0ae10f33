"""``hopgate revoke`` and ``hopgate revocations``: silent, in force when they end, and clear when they can't be."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner

from gateway.cli import main
from gateway.store.query import AuditReader
from tests.company import Company
from tests.gateways import running
from tests.wire.mcp_calls import bare, call, post, refusal_of

HOPGATE = [sys.executable, "-c", "from gateway.cli import main; main()"]


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def company(tmp_path: Path) -> Company:
    return Company(tmp_path)


@pytest.fixture
async def gateway(company: Company) -> AsyncIterator[Company]:
    async with running(company):
        yield company


async def run(company: Company, *arguments: str, stdin: bytes = b"") -> Done:
    environ = {**os.environ, "HOPGATE_CONFIG": str(company.config)}
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *HOPGATE, *arguments, env=environ, stdin=pipe, stdout=pipe, stderr=pipe
    )
    out, err = await process.communicate(stdin)
    return Done(process.returncode or 0, out.decode(), err.decode())


async def test_an_agent_is_stopped_and_let_go_again(gateway: Company) -> None:
    async with bare(gateway) as wire:
        done = await run(gateway, "revoke", "--agent", "planner", "--reason", "key on a laptop", "--for", "1h")
        assert done == (0, "", "")
        assert refusal_of(await post(wire, call("read_balance")))[2] == "revoked"
        listed = await run(gateway, "revocations", "list", "--format", "json")
        [shown] = json.loads(listed.out)
        assert (shown["agents"], shown["reason"]) == (["planner"], "key on a laptop")
        assert shown["expires"] - shown["at"] // 1000 == 3600
        table = (await run(gateway, "revocations", "list")).out.splitlines()
        assert table[0].split() == ["ID", "WHAT", "UNTIL", "MADE", "BY", "WHY"]
        assert "agent planner" in table[1]
        assert await run(gateway, "revocations", "lift", shown["id"], "--reason", "found") == (0, "", "")
        assert refusal_of(await post(wire, call("read_balance")))[2] == "upstream_unreachable"
        assert await run(gateway, "revocations", "list") == (0, "", "")
    assert [record.caller.via for record in AuditReader(gateway.store_url).administration()] == ["socket", "socket"]


async def test_everything_is_asked_about_first(gateway: Company) -> None:
    asked = await run(gateway, "revoke", "--all", "--reason", "drill", stdin=b"n\n")
    assert (asked.code, asked.out) == (1, "")
    assert "stop all traffic of this gateway?" in asked.err
    assert await run(gateway, "revocations", "list") == (0, "", "")
    assert (await run(gateway, "revoke", "--all", "--reason", "drill", "--yes")).code == 0
    assert "everything" in (await run(gateway, "revocations", "list")).out


async def test_what_stops_nobody_is_said(gateway: Company) -> None:
    typo = await run(gateway, "revoke", "--agent", "planer", "--reason", "r")
    assert (typo.code, typo.out) == (1, "")
    assert 'no agent is registered by this name; did you mean "planner"? ($.target.agent)' in typo.err
    nobody = await run(gateway, "revoke", "--where", 'environment == "dev"', "--reason", "r", "--format", "json")
    assert nobody.code == 0
    assert json.loads(nobody.out)["target"]["value"] == "dev"
    assert nobody.err == "no agent that is registered now is meant by this\n"
    assert (await run(gateway, "revocations", "lift", "abc")).code == 1


async def test_it_works_though_the_configuration_on_disk_does_not(gateway: Company) -> None:
    gateway.policies["guardrails/broken.cedar"] = "nonsense"
    gateway.settings["issuers"] = "nonsense"
    gateway.write()
    assert (await run(gateway, "revoke", "--user", "corp|maria", "--reason", "r")).code == 0


def test_without_a_gateway_it_says_so(company: Company) -> None:
    company.write()
    found = CliRunner().invoke(main, ["revoke", "--config", str(company.config), "--all", "--yes", "--reason", "r"])
    assert found.exit_code == 2
    assert "hopgate.db.admin: no such file or directory: is the gateway running" in found.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--reason", "r"], "name one of --jti"),
        (["--reason", "r", "--all", "--agent", "x"], "name one of --jti"),
        (["--all"], "--reason"),
        (["--reason", "r", "--where", "environment = dev"], "write one comparison"),
        (["--reason", "r", "--all", "--for", "soon"], "is no length of time"),
        (["--reason", "r", "--all", "--for", "0h"], "is no length of time"),
    ],
)
def test_usage(arguments: list[str], message: str) -> None:
    found = CliRunner().invoke(main, ["revoke", "--socket", "/nowhere", *arguments])
    assert found.exit_code == 2
    assert message in found.stderr
