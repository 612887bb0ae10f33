"""Tests of policies say what differs, and take only what Cedar's own run-tests takes."""

import json

import pytest
from cedarpy import Schema

from gateway.core.policy.expectations import check, read_expectations, trees_of
from gateway.core.policy.source import PolicySource, Problem

SCHEMA = "entity User { risk: Long }; action view appliesTo { principal: [User], resource: [User] };"
POLICY = '@id("low") permit (principal, action, resource) when { principal.risk < 2 && resource.risk < 5 };'
ANN = {"uid": {"type": "User", "id": "ann"}, "attrs": {"risk": 1}, "parents": []}


def one(**changes):
    test = {
        "request": {"principal": 'User::"ann"', "action": 'Action::"view"', "resource": 'User::"ann"', "context": {}},
        "entities": [ANN],
        "decision": "allow",
        "reason": ["low"],
        "num_errors": 0,
    }
    return json.dumps([test | changes])


def failed(policy=POLICY, schema=SCHEMA, **changes):
    (test,) = read_expectations(one(**changes))
    trees = trees_of([PolicySource("platform/a.cedar", policy)])
    assert not isinstance(trees, Problem)
    found = check(test, test.entities, trees, None if schema is None else Schema.from_str(schema))
    return () if found is None else found.differences


def risk(number):
    return [ANN | {"attrs": {"risk": number}}]


def test_as_expected():
    assert failed() == ()
    assert failed(schema=None) == ()
    assert failed(entities=risk(2), decision="deny", reason=[]) == ()


def test_a_verdict_that_differs_names_the_clause():
    assert failed(entities=risk(3)) == (
        "decision: expected allow, got deny as no policy applies",
        "`low` does not hold: principal.risk < 2",
    )
    assert failed(decision="deny", reason=[]) == ("decision: expected deny, got allow by `low`",)


def test_a_reason_that_is_missing():
    policy = POLICY + '@id("also") permit (principal, action, resource) when { principal.risk > 5 };'
    assert failed(policy, reason=["low", "also", "else"]) == (
        "reason: expected `also`, `else`, got `low`",
        "`also` does not hold: principal.risk > 5",
        "`else` is not among the policies of this test",
    )
    assert failed(policy, reason=[]) == ()


def test_errors_are_counted():
    policy = POLICY + '@id("err") permit (principal, action, resource) when { principal.nothing == 1 };'
    (line,) = failed(policy, schema=None)
    assert line.startswith("errors: expected 0, got 1; ")
    assert failed(policy, schema=None, num_errors=1) == ()


def test_what_can_not_be_asked():
    assert failed(entities=[{"uid": "x"}])[0].startswith("the entities can't be used: ")
    request = {"principal": 'User::"ann"', "action": 'Action::"look"', "resource": 'User::"ann"'}
    assert failed(request=request)[0].startswith("the request can't be asked: ")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("{}", "array"),
        (one(decision="permit"), "decision"),
        (one(num_error=0), "num_error"),
        (one(reason="low"), "reason"),
        (one()[:-1], "truncated"),
    ],
)
def test_what_is_no_test(text, part):
    with pytest.raises(ValueError, match=part):
        read_expectations(text)


def test_two_policies_of_one_name_are_refused():
    found = trees_of([PolicySource("platform/a.cedar", POLICY + "\n" + POLICY)])
    assert isinstance(found, Problem)
    assert found.line == 2
