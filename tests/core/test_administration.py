"""Admin policies: default deny, an error denies, and a bundle loads whole or not at all."""

from pathlib import Path

import pytest

from gateway.core.administration import AdminBundle, Question, compile_admin, decide
from gateway.core.model import SpiffeId, User
from gateway.core.policy.source import PolicySource
from gateway.core.registry import Agent

ROOT = Path(__file__).parents[2]
SCHEMA = (ROOT / "schemas/admin.cedarschema").read_text()
NOW = 1_800_000_000_000
ANN = User("https://login.test", "corp", "ann", "ann@test", ("hopgate-operator",), ("staff", "staff"))
ROBOT = Agent(
    name="robot", spiffe_id=SpiffeId("spiffe://t/robot"), owner="corp|ann", team="ops", purpose="p", risk_level="low",
    environment="production", groups=("hopgate-responders",), classes=("automation",),
)  # fmt: skip
SEE = Question("view", "revocations")


def bundle(*texts: str) -> AdminBundle:
    found = compile_admin([PolicySource(f"admin/{n}.cedar", text) for n, text in enumerate(texts)], SCHEMA)
    assert isinstance(found, AdminBundle), found
    return found


def test_nothing_permits_nothing() -> None:
    assert not decide(ANN, SEE, bundle(), NOW).allowed


def test_what_is_shipped_loads() -> None:
    shipped = bundle((ROOT / "policies/admin/roles.cedar").read_text())
    assert decide(ANN, Question("halt", "revocations", {"kind": "all"}), shipped, NOW).policies == ("admin-operator",)
    brief, long = ({"kind": "agent", "seconds": seconds} for seconds in (3600, 3601))
    assert decide(ROBOT, Question("revoke", "revocations", brief), shipped, NOW).allowed
    assert decide(ROBOT, Question("revoke", "revocations", long), shipped, NOW).policies == (
        "admin-responders-briefly",
    )
    assert not decide(ROBOT, Question("revoke", "revocations", {"kind": "agent"}), shipped, NOW).allowed


def test_facts_of_people_agents_and_time() -> None:
    found = bundle(
        '@id("p") permit (principal is User, action, resource) when { principal in Group::"staff" && '
        'principal.subject == "ann" && principal has email && context.now > datetime("2027-01-01") };'
        '@id("a") permit (principal in AgentClass::"automation", action, resource == Collection::"decisions")'
        'when { principal.team == "ops" && principal in Team::"ops" };'
    )
    assert decide(ANN, SEE, found, NOW).policies == ("p",)
    assert not decide(ANN, SEE, found, 0).allowed
    assert decide(ROBOT, Question("view", "decisions"), found, NOW).policies == ("a",)
    assert not decide(ROBOT, SEE, found, NOW).allowed


def test_a_forbid_that_cannot_be_evaluated_denies() -> None:
    found = bundle(
        '@id("all") permit (principal, action, resource);'
        '@id("sum") forbid (principal, action == Action::"revoke", resource)'
        "when { context has seconds && context.seconds * 9223372036854775807 < 0 };"
    )
    assert decide(ANN, Question("revoke", "revocations", {"kind": "all"}), found, NOW).allowed
    verdict = decide(ANN, Question("revoke", "revocations", {"kind": "all", "seconds": 3}), found, NOW)
    assert (verdict.allowed, verdict.error) == (False, "the admin policies could not be evaluated")


@pytest.mark.parametrize(
    "question",
    [Question("destroy", "revocations"), Question("revoke", "revocations"), Question("view", "revocations", {"x": 1})],
)
def test_a_question_that_is_none_denies(question: Question) -> None:
    found = bundle('@id("all") permit (principal, action, resource);')
    assert not decide(ANN, question, found, NOW).allowed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("permit (principal, action, resource);", "no @id"),
        ('@id("x") permit (principal, action, resource); @id("x") permit (principal, action, resource);', "taken"),
        ('@id("x") @aproval("y") permit (principal, action, resource);', "unknown annotation @aproval"),
        ('@id("x") permit (principal, action, resource) when { principal.roles.contains("y") };', "attribute `roles`"),
        ('@id("x") permit (principal, action == Action::"destroy", resource);', "destroy"),
        ('@id("x") permit (principal, action, resource)', "no closing semicolon"),
        ('@id("x") permit (principal == ?principal, action, resource);', "templates"),
    ],
)
def test_what_does_not_load(text: str, message: str) -> None:
    found = compile_admin([PolicySource("admin/x.cedar", text)], SCHEMA)
    assert not isinstance(found, AdminBundle)
    assert message in found[0].message
    assert found[0].path == "admin/x.cedar"


def test_it_is_a_bundle_of_its_own() -> None:
    mine = PolicySource("admin/x.cedar", '@id("x") permit (principal, action, resource);')
    other = PolicySource("platform/x.cedar", "nonsense")
    alone, beside = compile_admin([mine], SCHEMA), compile_admin([other, mine], SCHEMA)
    assert isinstance(alone, AdminBundle)
    assert isinstance(beside, AdminBundle)
    assert (alone.digest, alone.ids) == (beside.digest, beside.ids)
