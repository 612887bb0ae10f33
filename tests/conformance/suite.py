"""The official conformance suite run against a URL, and its verdicts compared scenario by scenario."""

import asyncio
import json
import re
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.peers.parts import require

REVISIONS = ("2026-07-28", "2025-11-25")
PACKAGE = "npm:@modelcontextprotocol/conformance"
SECONDS = 50.0
EXPECTED = Path(__file__).with_name("expected.toml")
NOT_RUN = EXPECTED.with_name("not_run.toml")
RESULT = re.compile(r"(server-)?(?P<scenario>.+)-\d{4}-\d\d-\d\dT[\d-]+Z")
BAD = ("FAILURE", "WARNING")


class Check(NamedTuple):
    """One requirement that a scenario looks at, maybe several times."""

    id: str
    name: str


class Verdict(NamedTuple):
    """How often each check of a scenario ended in which status."""

    counts: Counter[tuple[Check, str]]

    def total(self, *statuses: str) -> int:
        """Checks that ended in one of ``statuses``."""
        return sum(number for (_, status), number in self.counts.items() if status in statuses)

    def losses(self, direct: "Verdict") -> tuple[str, ...]:
        """Checks that are worse here than in ``direct``: fewer successes, or more failures or warnings."""
        lost = {
            check.name
            for (check, status), number in (self.counts | direct.counts).items()
            if (status == "SUCCESS" and self.counts[check, status] < number)
            or (status in BAD and direct.counts[check, status] < number)
        }
        return tuple(sorted(lost))


Verdicts = Mapping[str, Verdict]


class Gap(NamedTuple):
    """What a scenario loses through the gateway for now, and why."""

    checks: tuple[str, ...]
    reason: str


async def run_suite(url: str, revision: str, results: Path) -> Verdicts:
    """What ``revision`` requires of the server at ``url``, by scenario; ``results`` keeps what the suite wrote.

    Raises:
        AssertionError: the suite ended without results.
    """
    said = await _run(["server", "--url", url, "--requirements", revision], results)
    verdicts = read_results(results)
    assert verdicts, f"the suite brought no results:\n{said[-2000:]}"
    return verdicts


async def run_client_scenario(scenario: str, revision: str, command: str, results: Path) -> Verdict:
    """What the suite's server of ``scenario`` sees of the client that ``command`` starts.

    Raises:
        AssertionError: the scenario ended without a result.
    """
    said = await _run(["client", "--command", command, "--scenario", scenario, "--spec-version", revision], results)
    verdict = read_results(results).get(scenario)
    assert verdict is not None, f"{scenario} brought no result:\n{said[-2000:]}"
    return verdict


async def client_scenarios() -> Mapping[str, frozenset[str]]:
    """The suite's client scenarios, each with its revisions; ``extension`` is one of these."""
    listed = (await _execute(["list"])).partition("Client scenarios")[2].partition("\n\n")[0]
    return {name: frozenset(found.split(",")) for name, found in re.findall(r"- (\S+) \[(.+)\]", listed)}


def not_run() -> Mapping[str, str]:
    """Client scenarios that aren't played, by name or pattern, each with its reason."""
    return {str(name): str(reason) for name, reason in tomllib.loads(NOT_RUN.read_text()).items()}


async def _run(arguments: Sequence[str], results: Path) -> str:
    return await _execute([*arguments, "--output-dir", str(results)])


async def _execute(arguments: Sequence[str]) -> str:
    command = [require("node"), require(PACKAGE) / "dist" / "index.js", *arguments]
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(SECONDS):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return said.decode(errors="replace")


def version() -> str:
    """The suite's own version."""
    return str(json.loads((require(PACKAGE) / "package.json").read_text())["version"])


def read_results(results: Path) -> Verdicts:
    """The verdicts that the suite wrote to ``results``, one folder a scenario."""
    folders = sorted(results.iterdir()) if results.is_dir() else []
    return {found["scenario"]: _verdict(folder) for folder in folders if (found := RESULT.fullmatch(folder.name))}


def _verdict(folder: Path) -> Verdict:
    checks = json.loads((folder / "checks.json").read_text())
    return Verdict(Counter((Check(check["id"], check["name"]), check["status"]) for check in checks))


def worse(through: Verdicts, direct: Verdicts) -> Mapping[str, tuple[str, ...]]:
    """Scenarios with a check that is worse than direct, and those checks; one that never ran lost all of its."""
    lost = {name: through.get(name, Verdict(Counter())).losses(verdict) for name, verdict in direct.items()}
    return {name: checks for name, checks in lost.items() if checks}


def expected(revision: str) -> Mapping[str, Gap]:
    """The scenarios of ``expected.toml`` that are worse through the gateway."""
    listed = tomllib.loads(EXPECTED.read_text()).get(revision, {})
    return {name: Gap(tuple(sorted(gap["checks"])), gap["reason"]) for name, gap in listed.items()}
