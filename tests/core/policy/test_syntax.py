"""Taking policies apart."""

from cedarpy import policies_to_pst, pst

from gateway.core.policy.render import render
from gateway.core.policy.syntax import conditions, conjuncts, path_of, scope_tests, walk


def policy(text):
    return policies_to_pst(text).static_policies["policy0"]


def test_clauses_become_conditions_in_order():
    found = conditions(policy("permit (principal, action, resource) when { true } unless { false } when { true };"))
    assert [render(test) for test in found] == ["true", "!false", "true"]


def test_scopes_become_tests():
    scopes = {
        "principal, action, resource": [],
        'principal == Agent::"a", action, resource is Tool': ['principal == Agent::"a"', "resource is Tool"],
        'principal is Agent in Group::"g", action, resource in Team::"t"': [
            'principal is Agent in Group::"g"',
            'resource in Team::"t"',
        ],
    }
    for scope, tests in scopes.items():
        assert [render(test) for test in scope_tests(policy(f"permit ({scope});"))] == tests


def test_chains_of_and_are_flat():
    (whole,) = conditions(
        policy("permit (principal, action, resource) when { true && (false && true) && (true || false) };")
    )
    assert [render(part) for part in conjuncts(whole)] == ["true", "false", "true", "true || false"]


def test_paths_begin_at_a_variable():
    (whole,) = conditions(policy('permit (principal, action, resource) when { principal.a.b == Agent::"x".a };'))
    assert [path_of(part) for part in walk(whole)] == [
        None,
        ("principal", "a", "b"),
        ("principal", "a"),
        ("principal",),
        None,
        None,
    ]
    assert path_of(pst.Var("context")) == ("context",)
