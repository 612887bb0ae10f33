"""A server sees of the gateway what the official conformance suite wants to see of a client.

The client under test is the official one with the gateway behind it (``client.py``). What isn't run is listed in
``not_run.toml``, each with its reason.
"""

import asyncio
from collections.abc import Mapping
from fnmatch import fnmatchcase

import pytest

from gateway.protocols.mcp.methods import SERVED
from tests.conformance.client import SCENARIOS, Scenario, measure_clients
from tests.conformance.suite import Verdict, client_scenarios, not_run

AT_LEAST = {
    ("2026-07-28", "request-metadata"): 5,
    ("2026-07-28", "tools_call"): 2,
    ("2026-07-28", "http-standard-headers"): 3,
    ("2026-07-28", "http-custom-headers"): 18,
    ("2026-07-28", "json-schema-ref-no-deref"): 1,
    ("2026-07-28", "http-invalid-tool-headers"): 12,
    ("2026-07-28", "json-schema-2020-12-preservation"): 9,
    ("2026-07-28", "sep-2322-client-request-state"): 5,
    ("2025-11-25", "initialize"): 1,
    ("2025-11-25", "tools_call"): 2,
    ("2025-11-25", "elicitation-sep1034-client-defaults"): 5,
    ("2025-11-25", "sse-retry"): 3,
    ("2025-11-25", "json-schema-2020-12-preservation"): 9,
    ("2025-06-18", "initialize"): 1,
    ("2025-06-18", "tools_call"): 2,
}
"""Checks that pass."""


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Mapping[Scenario, Verdict]:
    return asyncio.run(measure_clients(tmp_path_factory.mktemp("clients")))


@pytest.mark.parametrize(("revision", "scenario"), SCENARIOS)
def test_the_gateway_is_the_client_that_a_server_wants(
    measured: Mapping[Scenario, Verdict], revision: str, scenario: str
) -> None:
    verdict = measured[revision, scenario]
    assert verdict.total("FAILURE", "WARNING") == 0
    assert verdict.total("SUCCESS") >= AT_LEAST[revision, scenario]


async def test_every_scenario_of_a_served_revision_is_run_or_has_a_reason_why_not() -> None:
    offered, reasons = await client_scenarios(), not_run()
    assert len(offered) > 40
    wanted = {(revision, name) for name, listed in offered.items() for revision in listed & {*SERVED, "extension"}}
    left = {scenario for scenario in wanted if not any(fnmatchcase(scenario[1], pattern) for pattern in reasons)}
    assert left == set(SCENARIOS)
    assert all(any(fnmatchcase(name, pattern) for name in offered) for pattern in reasons), "a reason for nothing"
