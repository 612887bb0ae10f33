"""The ways of continuation: what is on by default, how each is chosen, and what is said of a wrong choice."""

import pytest

from gateway.core.model import WAYS

WAYS_OF_AN_AGENT = frozenset({"header", "exchange"})


def test_defaults(folder):
    loaded = folder.loaded()
    assert loaded.routes["/mcp/ledger"].continuation == WAYS
    assert loaded.registry.agents["analyst"].continuation == WAYS_OF_AN_AGENT, "a trace has to be asked for"


@pytest.mark.parametrize(("written", "meant"), [("[]", ()), ("[trace]", ("trace",)), ("[header, header]", ("header",))])
def test_chosen_ways(folder, written, meant):
    folder.settings(
        "policies: policies", f"policies: policies\nroutes: {{mcp: {{ledger: {{continuation: {written}}}}}}}"
    )
    folder.registry("scopes: [ledger/read_balance]\n    upstream", f"continuation: {written}\n    upstream")
    loaded = folder.loaded()
    assert loaded.routes["/mcp/ledger"].continuation == frozenset(meant)
    assert loaded.routes["/a2a/analyst"].continuation == WAYS
    assert loaded.registry.agents["analyst"].continuation == frozenset(meant)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("[trase]", 'continuation[0]: "trase" is not one of its values (did you mean "trace"?)'),
        ("true", "continuation: expected a list, found true or false"),
        ("header", "continuation: expected a list, found text"),
    ],
)
def test_wrong_ways(refused, written, message):
    routes = f"policies: policies\nroutes: {{mcp: {{ledger: {{continuation: {written}}}}}}}"
    assert f"routes.mcp.ledger.{message}" in refused("gateway.yaml", "policies: policies", routes)


def test_wrong_ways_of_an_agent(refused):
    error = refused("registry.yaml", "risk_level: medium", "risk_level: medium\n    continuation: [traces]")
    assert 'agents.analyst.continuation[0]: "traces" is not one of its values (did you mean "trace"?)' in error


def test_a_trace_that_nobody_can_give_is_warned_about(folder):
    folder.registry(
        "risk_level: low\n    environment: production\n    entry_point",
        "risk_level: low\n    continuation: [trace]\n    environment: production\n    entry_point",
    )
    (warning,) = folder.warnings()
    assert "agents.planner.continuation: warning: an agent without upstream is given no trace to continue by" in warning
