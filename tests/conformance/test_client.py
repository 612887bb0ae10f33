"""A server sees of the gateway what the official conformance suite wants to see of a client.

The client under test is the official one with the gateway behind it (``client.py``). Scenarios of OAuth aren't run:
between a client and a server behind it the gateway is no party to them.
"""

import asyncio
from collections.abc import Mapping

import pytest

from tests.conformance.client import SCENARIOS, Scenario, measure_clients
from tests.conformance.suite import Verdict

AT_LEAST = {
    ("2026-07-28", "request-metadata"): 5,
    ("2026-07-28", "tools_call"): 2,
    ("2026-07-28", "http-standard-headers"): 3,
    ("2026-07-28", "http-custom-headers"): 18,
    ("2026-07-28", "json-schema-ref-no-deref"): 1,
    ("2026-07-28", "json-schema-2020-12-preservation"): 9,
    ("2025-11-25", "initialize"): 1,
    ("2025-11-25", "tools_call"): 2,
}
"""Checks that pass. More are skipped until the methods that they are about are carried."""


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
