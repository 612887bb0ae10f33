"""``docs/clients/`` is what a reader gets: each page's programs are run as printed, on the versions that it names,
against a real gateway, and each answer is compared; the table says no more than the pages show."""

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.company import Company
from tests.docs.pages import files, is_as_printed, steps
from tests.gateways import asgi, served
from tests.peers.parts import NODE_MODULES, PEERS, require
from tests.peers.process import started
from tests.wire.agent import Agent
from tests.wire.ledger import Ledger

CLIENTS = Path(__file__).parents[2] / "docs" / "clients"
PAGES = sorted(path.stem for path in CLIENTS.glob("*.md") if path.stem != "README")
ROW = re.compile(r"^\| \[.*?\]\(([\w-]+)\.md\)[^|]*\| ([\d.]+) \| ([\d.-]+) \| (.*) \|$", re.MULTILINE)
COLUMNS = (("list", "card"), ("call", "send"), ("stream",), ("denial",))
"""How a line of a program's output begins, for each of the table's columns."""
SECONDS = 30


@pytest.mark.parametrize("name", PAGES)
async def test_every_answer_is_as_printed(tmp_path: Path, name: str) -> None:
    page = (CLIENTS / f"{name}.md").read_text()
    company, desk = Company(tmp_path / "company"), tmp_path / "desk"
    desk.mkdir()
    for file, code in files(page).items():
        if file.startswith("policies/"):
            company.policies[file.removeprefix("policies/")] = code
        else:
            (desk / file).write_text(code)
    protocol, target = ("a2a", "analyst") if name.startswith("a2a-") else ("mcp", "ledger")
    environment = environment_of(company, protocol, target)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(served(company.write()))
        if not any(command.endswith("&") for command, _ in steps(page)):
            await stack.enter_async_context(upstream(company, target))
        for command, expected in steps(page):
            if command.endswith("&"):
                await stack.enter_async_context(background(command, expected, desk, environment))
                continue
            answer = install(command, desk) if " install " in command else await run(command, desk, environment)
            assert is_as_printed(expected, answer), f"$ {command}\nexpected: {expected}\nanswered: {answer}"


@pytest.mark.parametrize(("name", "release", "revision", "cells"), ROW.findall((CLIENTS / "README.md").read_text()))
def test_the_table_says_what_was_seen(name: str, release: str, revision: str, cells: str) -> None:
    seen = output(CLIENTS / f"{name}.md", release)
    assert revision in seen
    begun = {line.split(" ")[0] for line in seen.splitlines()}
    assert cells.split(" | ") == ["yes" if begun & set(words) else "no" for words in COLUMNS]


def test_every_page_is_in_the_table() -> None:
    assert {row[0] for row in ROW.findall((CLIENTS / "README.md").read_text())} == set(PAGES)


def output(page: Path, release: str) -> str:
    """What the page prints between the installation of ``release`` and the next one."""
    found, current = [], False
    for command, answer in steps(page.read_text()):
        if " install " in command:
            current = re.search(rf"(@|==){re.escape(release)}( |$)", command) is not None
        elif current:
            found.append(answer)
    assert found, f"{page.name} never installs {release}"
    return "".join(found)


def environment_of(company: Company, protocol: str, target: str) -> Mapping[str, str]:
    """The names that the programs read: a client's, another agent's, and an upstream's own."""
    url = f"{company.data_url}/{protocol}/{target}"
    # Else the gateway refuses before policy is asked.
    company.registry["agents"]["outsider"] |= {"entry_point": True, "clients": ["cli"], "capabilities": []}
    planner, outsider = company.svid("agent/planner"), company.svid("agent/outsider")
    server = company.svid("agent/analyst" if protocol == "a2a" else "server/ledger")
    node = require("node").parent
    return {
        "PATH": f"{Path(sys.executable).parent}:{node}:{os.environ['PATH']}",
        "URL": url,
        "TOKEN": company.token(url),
        "CERT": str(planner.certificate),
        "KEY": str(planner.key),
        "CA": str(planner.bundle),
        "OTHER_CERT": str(outsider.certificate),
        "OTHER_KEY": str(outsider.key),
        "OTHER_TOKEN": company.token(url),
        "PORT": str(company.upstreams[target]),
        "SERVER_CERT": str(server.certificate),
        "SERVER_KEY": str(server.key),
        "NO_COLOR": "1",
    }


@asynccontextmanager
async def upstream(company: Company, target: str) -> AsyncIterator[None]:
    """What a page without a server of its own is answered by."""
    if target == "ledger":
        application, svid = Ledger().application, "server/ledger"
    else:
        application, svid = Agent(company, target).application, f"agent/{target}"
    async with asgi(application, company, svid, company.upstreams[target]):
        yield


@asynccontextmanager
async def background(command: str, expected: str, desk: Path, environment: Mapping[str, str]) -> AsyncIterator[None]:
    """A server of the page's, from when it says what is printed until the block ends."""
    script = f"cd '{desk}' && exec {command.removesuffix('&')}"
    async with started(["bash", "-c", script], max(expected.strip().split("…"), key=len), environment):
        yield


async def run(command: str, desk: Path, environment: Mapping[str, str]) -> str:
    """All that the command prints."""
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", command, cwd=desk, env=environment, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        async with asyncio.timeout(SECONDS):
            printed, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    # Spaces at the end of a line don't show on a page.
    return re.sub(r" +$", "", printed.decode(), flags=re.MULTILINE)


def install(command: str, desk: Path) -> str:
    """Give ``desk`` exactly the packages that the page installs; they are here already, from the locks."""
    installer, _, *packages = command.split()
    for package in packages:
        if installer == "pip":
            name, release = package.split("==")
            assert version(name) == release, f"{package} is not what the test lock holds"
        else:
            name, _, release = package.rpartition("@")
            link(desk / "node_modules" / name, locked(name, release))
    return ""


def locked(name: str, release: str) -> Path:
    """The folder of an npm package of this version among the tests' peers, under its name or an alias."""
    dependencies = json.loads((PEERS / "package.json").read_text())["dependencies"]
    wanted = {(name, release), (None, f"npm:{name}@{release}")}
    [alias] = [key for key, value in dependencies.items() if {(key, value), (None, value)} & wanted]
    folder = require(f"npm:{alias}")
    assert folder == NODE_MODULES / alias
    assert json.loads((folder / "package.json").read_text())["version"] == release
    return folder


def link(place: Path, folder: Path) -> None:
    """Make ``place`` lead to ``folder``, wherever it led before."""
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    place.symlink_to(folder)
