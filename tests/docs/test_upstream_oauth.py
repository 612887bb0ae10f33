"""``docs/UPSTREAM_OAUTH.md`` is what a reader gets: its files configure a real gateway, each command is run and each
answer compared; in between Maria consents in a browser."""

import asyncio
import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from gateway.config.load import Loaded, load
from tests.company import Company
from tests.docs.pages import files, is_as_printed, steps
from tests.gateways import served
from tests.peers.parts import require
from tests.third_party import SECRET, World, consent_world

PAGE = (Path(__file__).parents[2] / "docs" / "UPSTREAM_OAUTH.md").read_text()
LINK = re.compile(r'"consent_url":"([^"]+)"')
SECONDS = 30


def configured(world: World) -> dict[str, str]:
    """The world with the page's settings and registry; the page's scripts."""
    company, printed = world.company, files(PAGE)
    places = {"https://mcp.tracker.example/mcp": world.tracker.url, "https://auth.tracker.example": world.third}
    registry = printed.pop("registry.yaml")
    for example, real in places.items():
        registry = registry.replace(example, real)
    company.registry["servers"]["tracker"] = read(registry)["servers"]["tracker"]
    company.settings["consent"] = read(printed.pop("gateway.yaml"))["consent"]
    return printed


async def test_every_answer_is_as_printed(tmp_path: Path) -> None:
    require("curl")
    async with consent_world(tmp_path, stateless=True) as world:
        for name, text in configured(world).items():
            (tmp_path / name).write_text(text)
        secret = {"TRACKER_SECRET": SECRET}
        async with served(world.company.write(), secret), world.browser() as browser:
            environment = await environment_of(world) | secret
            consented = False
            for command, expected in steps(PAGE):
                answer = await run(command, tmp_path, environment)
                assert is_as_printed(expected, answer), f"$ {command}\nexpected: {expected}\nanswered: {answer}"
                link = LINK.search(answer)
                if link is not None and not consented:
                    consented = (await browser.consent(link[1], "maria"))[0] == 200
    assert consented


@pytest.mark.parametrize("number", range(2))
def test_the_other_sections_are_configurations_too(tmp_path: Path, number: int) -> None:
    section = re.findall(r"^```yaml\n((?:oauth|credential):.*?)^```", PAGE, re.DOTALL | re.MULTILINE)[number]
    company = Company(tmp_path)
    company.registry["servers"]["tracker"] = {
        "team": "finance",
        "environment": "production",
        "upstream": {"url": "https://mcp.tracker.example/mcp", "tls": "web", **read(section)},
    }
    (tmp_path / "tracker.key.pem").write_text("a key")
    loaded = load(company.write(), {"TRACKER_API_KEY": "a key"})
    assert isinstance(loaded, Loaded), str(loaded)


def read(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(YAML(typ="safe").load(text)))
    return found


async def environment_of(world: World) -> Mapping[str, str]:
    planner = world.company.svid("agent/planner")
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "URL": world.resource,
        "TOKEN": await world.token(),
        "CA": str(planner.bundle),
        "CERT": str(planner.certificate),
        "KEY": str(planner.key),
        "LANG": "C.UTF-8",
    }


async def run(command: str, desk: Path, environment: Mapping[str, str]) -> str:
    """All that the command prints."""
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", command, cwd=desk, env=environment, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(SECONDS):
        printed, _ = await process.communicate()
    return printed.decode()
