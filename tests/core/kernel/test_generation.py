"""The rules of a published configuration: from its own snapshot, under its generation, and new when policies are."""

import os
from pathlib import Path

import pytest

from gateway.core.kernel.asked import may_use
from gateway.core.kernel.compile import Compilation
from gateway.core.kernel.generation import rules_of
from gateway.core.kernel.rules import written
from gateway.publish import Published, publish
from tests.company import Company

READ = 'action == Action::"readFile", resource is FilePath'


@pytest.fixture
def company(tmp_path: Path) -> Company:
    company = Company(tmp_path)
    company.registry["agents"]["analyst"]["classes"] = ["data-analyst"]
    company.policies["kernel/a.cedar"] = (
        f'@id("k") permit (principal in AgentClass::"data-analyst", {READ}) when {{ resource.path like "/srv/*" }};'
    )
    return company


def published(company: Company, generation: int = 7) -> Published:
    found = publish(company.write(), os.environ, generation, None)
    assert isinstance(found, Published), found
    return found


def compiled(company: Company, generation: int = 7) -> Compilation:
    return rules_of(published(company, generation).snapshot, "node-1")


def test_a_document_is_of_its_snapshot_and_for_its_node(company: Company) -> None:
    rules = compiled(company).rules
    assert (rules.schema, rules.generation, rules.node) == ("hopgate.kernel/1", 7, "node-1")
    assert [each.name for each in rules.classes] == ["data-analyst"]
    assert may_use(rules.classes[0], "readFile", b"/srv/x")
    assert rules.digest == f"sha256:{published(company).snapshot.bundle.digest}"
    assert written(rules) == written(compiled(company).rules)


def test_a_changed_kernel_policy_is_a_new_configuration(company: Company) -> None:
    before = published(company)
    company.policies["kernel/a.cedar"] += (
        f'\n@id("f") forbid (principal is Agent, {READ}) when {{ resource.path == "/srv/x" }};'
    )
    after = published(company, 8)
    assert before.snapshot.digest != after.snapshot.digest
    was, now = rules_of(before.snapshot, "n").rules, rules_of(after.snapshot, "n").rules
    assert was.digest != now.digest
    assert not may_use(now.classes[0], "readFile", b"/srv/x")
    assert [each.path for each in now.classes[0].files.anchors] == ["/srv/x"]


def test_the_gateway_s_forbids_hold_for_the_kernel_and_staged_ones_do_not(company: Company) -> None:
    forbid = f'forbid (principal is Agent, {READ}) when {{ resource.path == "/srv/x" }};'
    company.policies["guardrails/files.cedar"] = f'@id("g") @mode("staged") {forbid}'
    assert may_use(compiled(company).rules.classes[0], "readFile", b"/srv/x")
    company.policies["guardrails/files.cedar"] = f'@id("g") {forbid}'
    assert not may_use(compiled(company).rules.classes[0], "readFile", b"/srv/x")


def test_an_agent_that_joins_or_is_suspended_changes_its_class(company: Company) -> None:
    company.policies["guardrails/s.cedar"] = (
        '@id("s") forbid (principal is Agent, action, resource) when { principal.status == "suspended" };'
    )
    company.registry["agents"]["auditor"]["classes"] = ["data-analyst"]
    assert may_use(compiled(company).rules.classes[0], "readFile", b"/srv/x")
    company.registry["agents"]["auditor"]["status"] = "suspended"
    done = compiled(company)
    assert not may_use(done.rules.classes[0], "readFile", b"/srv/x")
    assert {each.policy for each in done.report.stays} == {"s"}


def test_many_agents_are_asked_about_soon(company: Company) -> None:
    analyst = company.registry["agents"]["analyst"]
    company.registry["agents"] |= {
        f"a{n}": {**analyst, "spiffe_id": f"spiffe://demo.test/agent/a{n}", "upstream": None} for n in range(200)
    }
    done = compiled(company)
    assert len(done.report.classes[0].agents) == 201
    assert may_use(done.rules.classes[0], "readFile", b"/srv/x")
