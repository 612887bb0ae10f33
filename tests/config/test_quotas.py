"""``quotas``: names lead somewhere, numbers mean something, and what is read is what the core is given."""

from pathlib import Path
from typing import Any

import pytest

from gateway.config.load import Loaded, load
from gateway.config.problems import Problems
from gateway.core.quotas import NO_QUOTAS, Quota
from gateway.core.usage import Subject
from tests.company import Company


@pytest.fixture
def company(tmp_path: Path) -> Company:
    company = Company(tmp_path)
    company.svid("agent/planner")
    return company


def told(company: Company, quotas: Any) -> list[str]:
    """Every problem of a configuration with these quotas, without its place."""
    company.settings["quotas"] = quotas
    found = load(company.write(), {})
    problems = found.items if isinstance(found, Problems) else found.warnings
    return [str(problem).partition(": ")[2] for problem in problems if "quotas" in str(problem)]


MUCH = {"requests_per_minute": 1}


@pytest.mark.parametrize(
    ("quotas", "expected"),
    [
        ({"agent": {"analist": MUCH}}, 'no agent is registered by this name (did you mean "analyst"?)'),
        ({"agent_destructive": {"nobody": MUCH}}, "agent_destructive.nobody: no agent is registered by this name"),
        ({"team": {"finanze": MUCH}}, 'no team is registered by this name (did you mean "finance"?)'),
        ({"tool": {"ledger/pai": MUCH}}, 'no tool is registered by this name (did you mean "ledger/pay"?)'),
        ({"route": {"mcp/legder": MUCH}}, 'no route is registered by this name (did you mean "mcp/ledger"?)'),
        ({"route": {"a2a/auditor": MUCH}}, "no route is registered by this name"),
        ({"user": {"maria": MUCH}}, "quotas.user.maria: this is no user (write <name of the issuer>|<subject>, or *)"),
        ({"user_tool": {"maria": {"*": MUCH}}}, "quotas.user_tool.maria: this is no user"),
        ({"agent_tool": {"planner": {"ledger/x": MUCH}}}, "no tool is registered by this name"),
        ({"agent_tool": {"plan": {"*": MUCH}}}, "quotas.agent_tool.plan: no agent is registered by this name"),
        ({"agent": {"*": {"requests_per_minute": 0}}}, "quotas.agent[\"*\"].requests_per_minute: expected"),
        ({"agent": {"*": {"requests": 1}}}, "quotas.agent[\"*\"].requests: unknown key"),
        ({"agents": {}}, 'quotas.agents: unknown key (did you mean "agent"?)'),
        ({"agent": {"*": {"bytes_per_hour": 1}}}, "bytes_per_hour: expected"),
        ({"counters": 1}, "quotas.counters: expected"),
    ],
)  # fmt: skip
def test_mistakes_are_told_with_their_place_and_the_next_step(company: Company, quotas: Any, expected: str) -> None:
    found = told(company, quotas)
    assert any(expected in each for each in found), found
    assert isinstance(load(company.config, {}), Problems)


def test_a_quota_that_the_largest_body_never_fits_in_is_a_warning(company: Company) -> None:
    [found] = told(company, {"agent_tool": {"*": {"*": {"bytes_per_hour": 2048}}}})
    assert "would never fit (raise it, or lower limits.body_bytes)" in found
    assert isinstance(load(company.config, {}), Loaded)


def test_an_entry_that_can_not_be_read_makes_no_second_mistake(company: Company) -> None:
    company.registry["servers"]["ledger"]["team"] = 7
    company.registry["agents"]["analyst"]["risk_level"] = "huge"
    quotas = {
        "agent": {"analyst": MUCH},
        "tool": {"ledger/pay": MUCH},
        "route": {"mcp/ledger": MUCH, "a2a/analyst": MUCH},
    }
    assert told(company, quotas) == []


def test_the_core_is_given_what_was_written(company: Company) -> None:
    found = load(company.write(), {})
    assert isinstance(found, Loaded)
    assert found.settings.quotas.quotas() == NO_QUOTAS
    company.settings["quotas"] = {
        "agent": {"*": MUCH}, "user_tool": {"corp|maria": {"ledger/pay": {"concurrent": 2}}}, "refused_per_minute": 7,
    }  # fmt: skip
    found = load(company.write(), {})
    assert isinstance(found, Loaded)
    quotas = found.settings.quotas.quotas()
    assert quotas.of(Subject("agent", "analyst")) == Quota(requests_per_minute=1)
    assert quotas.of(Subject("user_tool", "corp|maria", "ledger/pay")) == Quota(concurrent=2)
    assert quotas.of(Subject("user_tool", "corp|omar", "ledger/pay")) == Quota()
    assert quotas.refused_per_minute == 7
