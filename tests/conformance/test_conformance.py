"""The official conformance suite finds through the gateway what it finds at the server itself, check by check.

``expected.toml`` lists what is lost for now. It may only shrink: what is lost and not listed fails, and what is
listed and no longer lost fails too.
"""

import asyncio
from collections import Counter

import pytest

from tests.conformance.legs import Measured, measure
from tests.conformance.suite import REVISIONS, Check, Verdict, expected, worse

pytestmark = pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")
GATEWAYS_OWN = ("http-header-validation", "http-custom-header-server-validation", "tasks-request-headers")
"""Headers are checked where they arrive: the server behind the gateway never sees the client's."""
AT_LEAST = {"2026-07-28": 195, "2025-11-25": 84}
"""Checks that the fixture server passes alone."""


@pytest.fixture(scope="module", params=REVISIONS)
def revision(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def measured(revision: str, tmp_path_factory: pytest.TempPathFactory) -> Measured:
    return asyncio.run(measure(revision, tmp_path_factory.mktemp(revision)))


def test_the_server_alone_passes_all_but_the_header_that_names_a_task(revision: str, measured: Measured) -> None:
    failing = {name for name, verdict in measured.direct.items() if verdict.total("FAILURE", "WARNING")}
    # The official SDK doesn't hold Mcp-Name against the methods of an extension; the gateway does.
    assert failing - {"tasks-request-headers"} == set()
    assert sum(verdict.total("SUCCESS") for verdict in measured.direct.values()) >= AT_LEAST[revision]


def test_only_what_is_listed_is_worse_through_the_gateway(revision: str, measured: Measured) -> None:
    lost = worse(measured.gateway, measured.direct)
    listed = {name: gap.checks for name, gap in expected(revision).items()}
    assert {name: checks for name, checks in lost.items() if set(checks) - set(listed.get(name, ()))} == {}, (
        "worse through the gateway, and not in expected.toml"
    )
    assert {name: checks for name, checks in listed.items() if set(checks) - set(lost.get(name, ()))} == {}, (
        f"no longer all worse: take them out of expected.toml (still lost: {lost})"
    )


@pytest.mark.parametrize("revision", ["2026-07-28"], indirect=True, scope="module")
@pytest.mark.parametrize("scenario", GATEWAYS_OWN)
def test_the_gateway_itself_passes_the_header_scenarios(measured: Measured, scenario: str) -> None:
    verdict = measured.gateway[scenario]
    assert verdict.total("FAILURE", "WARNING", "SKIPPED") == 0
    assert verdict.total("SUCCESS") >= 5


@pytest.mark.parametrize(
    ("statuses", "lost"),
    [
        ("SUCCESS SUCCESS", ()),
        ("SUCCESS SUCCESS INFO", ()),
        ("SUCCESS SKIPPED", ("Answers",)),
        ("SUCCESS", ("Answers",)),
        ("SUCCESS SUCCESS WARNING", ("Answers",)),
        ("SUCCESS SUCCESS FAILURE", ("Answers",)),
        ("", ("Answers",)),
    ],
)
def test_a_check_is_worse_with_fewer_successes_or_more_complaints(statuses: str, lost: tuple[str, ...]) -> None:
    def verdict(found: str) -> Verdict:
        return Verdict(Counter((Check("answers", "Answers"), status) for status in found.split()))

    found = worse({"scenario": verdict(statuses)}, {"scenario": verdict("SUCCESS SUCCESS")})
    assert found == ({"scenario": lost} if lost else {})
    assert worse({}, {"scenario": verdict("SUCCESS")}) == {"scenario": ("Answers",)}, "a scenario that never ran"
