"""Cedar's answers: an error or no answer is never an allow, and its text never repeats what was sent."""

import pytest
from cedarpy import PolicySet
from msgspec import structs

from gateway.core.policy.case import Case, all_entities, case_of
from gateway.core.policy.evaluate import evaluate, failing, satisfied

INVOKE = '@id("p") permit (principal is Agent, action == Action::"invokeTool", resource is Tool);'
ERRS = "forbid (principal, action, resource) when { principal.risk + 9223372036854775807 > 0 };"


@pytest.fixture
def case(kit, firm):
    found = case_of(kit.hop(), kit.loaded(kit.files(INVOKE), firm), firm)
    assert isinstance(found, Case)
    return found


def asked(case, text, **changes):
    facts = structs.replace(case.facts, **changes)
    schema = case.bundle.schemas.bare.handle
    return evaluate(PolicySet.from_str(text), schema, facts, all_entities(case), approved=False)


def test_answers(case):
    assert asked(case, INVOKE).allowed
    assert asked(case, INVOKE).policies == ("policy0",)
    assert asked(case, "") == asked(case, INVOKE.replace("invokeTool", "delegate"))
    assert not asked(case, INVOKE + "forbid (principal, action, resource);").allowed


def test_an_error_names_the_policy_and_denies(case):
    found = asked(case, INVOKE + ERRS)
    assert (found.allowed, found.policies, found.error) == (False, (), "policy `policy1` could not be evaluated")


@pytest.mark.parametrize(
    "change",
    [{"action": "nonsense"}, {"context": {}}, {"context": {"delegation_depth": "secret value"}}],
)
def test_a_request_that_does_not_fit_the_schema_is_an_error_without_its_values(case, change):
    found = asked(case, "permit (principal, action, resource);", **change)
    assert not found.allowed
    assert found.error == "the request does not fit the schema"


def test_explanations_count_an_error_as_not_satisfied(case):
    policies = PolicySet.from_str(INVOKE + ERRS.replace("forbid", "permit"))
    assert satisfied(policies, case.bundle.schemas.bare.handle, case.facts, all_entities(case)) == {"policy0"}


def test_an_error_about_no_policy_leaves_none_beyond_doubt():
    known = "error while evaluating policy `policy1`: no such attribute"
    assert failing([]) == frozenset()
    assert failing([known, known.replace("1", "2")]) == {"policy1", "policy2"}
    assert failing([known, "another kind of error"]) is None
