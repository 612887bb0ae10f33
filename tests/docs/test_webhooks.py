"""``docs/WEBHOOKS.md``: its receivers hear of an approval and verify it, settings are settings, commands run."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from textwrap import dedent
from typing import Any

import msgspec

from gateway.config.webhook_settings import Webhooks
from tests.approving import LARGE, approving
from tests.docs.pages import files, is_as_printed, steps
from tests.gateways import asgi, served
from tests.peers.parts import NODE_MODULES, require
from tests.ports import free_port
from tests.webhooks.receiver import SECRET
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import bare, call, post

PAGE = Path(__file__).parents[2] / "docs" / "WEBHOOKS.md"


@asynccontextmanager
async def receiver(*command: str | Path, cwd: Path, environ: dict[str, str]) -> AsyncIterator[asyncio.StreamReader]:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, env=environ, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield process.stdout
    finally:
        process.kill()
        await process.wait()


def test_the_settings_are_settings() -> None:
    [example] = re.findall(r"^```yaml\nwebhooks:\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    found = msgspec.yaml.decode(dedent(example).encode(), type=Webhooks)
    assert list(found.faults()) == []
    for each in (*found.targets.values(), *found.integrations.values()):
        assert list(each.faults()) == []


async def test_the_receivers_hear_and_the_commands_say(tmp_path: Path) -> None:
    require("npm:standardwebhooks")
    company, page = approving(tmp_path), PAGE.read_text()
    for name, text in files(page).items():
        (tmp_path / name).write_text(text)
    (tmp_path / "node_modules").symlink_to(NODE_MODULES)
    (tmp_path / "secret").write_text(SECRET)
    ports = {"python": free_port(), "node": free_port()}
    svid = company.svid("server/receiver")
    targets: dict[str, Any] = {
        name: {"url": f"https://127.0.0.1:{port}/", "secrets": ["file:secret"], "events": ["approval.asked"]}
        for name, port in ports.items()
    }
    company.settings["webhooks"] = {"networks": ["127.0.0.0/8"], "ca_file": str(svid.bundle), "targets": targets}
    environ = os.environ | {"SECRET": SECRET, "CERT": str(svid.certificate), "KEY": str(svid.key)}
    shell = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOPGATE_CONFIG": str(company.config),
        "NO_COLOR": "1",
    }  # fmt: skip
    ledger = Ledger()
    async with (
        receiver(
            sys.executable, "receiver.py", cwd=tmp_path, environ=environ | {"PORT": str(ports["python"])}
        ) as python,
        receiver(require("node"), "receiver.mjs", cwd=tmp_path, environ=environ | {"PORT": str(ports["node"])}) as node,
        asgi(ledger.application, company, "server/ledger", company.upstreams["ledger"]),
        served(company.write()),
        bare(company) as wire,
    ):
        await post(wire, call("pay", **LARGE))
        async with asyncio.timeout(20):
            for said in (python, node):
                assert await said.readline() == b'approval.asked Tool::"ledger/pay"\n'
        for command, expected in steps(page):
            # The answer is noted a moment after it was given.
            for _ in range(8):
                process = await asyncio.create_subprocess_shell(
                    command, env=shell, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
                )
                answer, _ = await process.communicate()
                if is_as_printed(expected, answer.decode()):
                    break
            assert is_as_printed(expected, answer.decode()), f"$ {command}\n{answer.decode()}"
