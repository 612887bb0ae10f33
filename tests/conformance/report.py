"""``python -m tests.conformance.report``: runs the conformance suite both ways and writes ``docs/CONFORMANCE.md``."""

import asyncio
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.conformance.client import Scenario, measure_clients
from tests.conformance.legs import Measured, measure
from tests.conformance.suite import REVISIONS, Verdict, Verdicts, expected, not_run, version, worse

JUDGED = ("SUCCESS", "FAILURE", "WARNING")
PAGE = Path(__file__).resolve().parents[2] / "docs" / "CONFORMANCE.md"
INTRODUCTION = """\
# MCP conformance

Written by `python -m tests.conformance.report`; don't edit.

The official suite, npm `@modelcontextprotocol/conformance` {version}, run with `--requirements` of each revision
against a fixture server of ours on the official Python SDK: directly, and through the gateway, over mutual TLS and with
a user's token. A cell says how many checks of a scenario passed, of those that gave a verdict directly.

`tests/conformance/test_conformance.py` fails when any check is worse through the gateway than direct and isn't in
`tests/conformance/expected.toml`, and when one that is listed there no longer is. Tasks are an
optional extension; the suite scores no scenario of it, and the gateway is held to all.
"""

CLIENTS = """\
## The gateway as a client

The suite's client scenarios are servers; the client under test is the official one with the gateway behind it.
"""


def main() -> None:
    """Measure, then write the page."""
    warnings.filterwarnings("ignore", module="tests.conformance")
    with tempfile.TemporaryDirectory() as folder:
        measured = {revision: asyncio.run(measure(revision, Path(folder, revision))) for revision in REVISIONS}
        clients = asyncio.run(measure_clients(Path(folder, "clients")))
    lines = [INTRODUCTION.format(version=version())]
    for revision, each in measured.items():
        lines += section(revision, each)
    lines += client_section(clients)
    PAGE.write_text("\n".join(lines))


def section(revision: str, measured: Measured) -> Iterator[str]:
    """One revision: totals, and a row a scenario."""
    reasons = expected(revision)
    lost = worse(measured.gateway, measured.direct)
    judged = sum(verdict.total(*JUDGED) for verdict in measured.direct.values())
    yield f"## {revision}\n"
    yield "| scenario | direct | through the gateway | why it is worse |"
    yield "|---|---|---|---|"
    yield f"| **all** | **{passed(measured.direct)} of {judged}** | **{passed(measured.gateway)} of {judged}** | |"
    for name, direct in measured.direct.items():
        why = (reasons[name].reason if name in reasons else "**not listed**") if name in lost else ""
        through = measured.gateway[name].total("SUCCESS")
        judged = direct.total(*JUDGED)
        yield f"| `{name}` | {direct.total('SUCCESS')} of {judged} | {through} of {judged} | {why} |"
    yield ""


def client_section(measured: Mapping[Scenario, Verdict]) -> Iterator[str]:
    """The gateway as a server behind it sees it."""
    yield CLIENTS
    yield "| scenario | revision | passed |"
    yield "|---|---|---|"
    for (revision, name), verdict in measured.items():
        yield f"| `{name}` | {revision} | {verdict.total('SUCCESS')} of {verdict.total(*JUDGED)} |"
    yield ""
    yield "| not run | why |"
    yield "|---|---|"
    for name, reason in not_run().items():
        yield f"| `{name}` | {reason} |"
    yield ""


def passed(verdicts: Verdicts) -> int:
    """Checks that passed, of all scenarios."""
    return sum(verdict.total("SUCCESS") for verdict in verdicts.values())


if __name__ == "__main__":
    main()
