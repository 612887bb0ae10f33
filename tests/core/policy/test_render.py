"""Rendered expressions are Cedar again, and mean the same."""

import pytest
from cedarpy import policies_to_pst
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.policy.render import quoted, render
from gateway.core.policy.syntax import conditions


def expression(text):
    policy = policies_to_pst(f"permit (principal, action, resource) when {{ {text} }};").static_policies["policy0"]
    return conditions(policy)[0]


@pytest.mark.parametrize(
    "text",
    [
        "principal.owner.email",
        'context.args["a-b"].c',
        "context has args.ledger.pay",
        'principal has "a b"',
        'principal in [Group::"a", Group::"b\\"c"]',
        'principal is Agent in Group::"x" && !(resource is Tool)',
        '!(principal.risk >= 2 || context.reentry) && resource.path like "/a\\*b*c"',
        "(1 + 2) * -principal.risk - 3 < 4",
        "if principal.entry_point then context.reentry else false",
        'principal.capabilities.containsAll(["a"]) && [1, 2].contains(principal.risk)',
        'principal.capabilities.containsAny(resource.capabilities) && [""].isEmpty()',
        'principal.hasTag("a") && principal.getTag("a") == "b"',
        'context.now > datetime("2024-01-01") && context.now.offset(duration("1d")).toTime() < duration("8h")',
        "context.now.toDate() == context.now && context.now.durationSince(context.now).toMilliseconds() == 0",
        'ip("10.0.0.1").isInRange(ip("10.0.0.0/8")) && ip("::1").isIpv6() && ip("127.0.0.1").isLoopback()',
        'decimal("1.0").lessThanOrEqual(decimal("2.0"))',
        '{a: 1, "b c": "x"} == {a: 1, "b c": "x"}',
        '{a: 1}.a == 1 && "\\u{1F600}\\n" != "é"',
    ],
)
def test_rendering_round_trips(text):
    parsed = expression(text)
    assert expression(render(parsed)) == parsed


def test_rendering_reads_as_written():
    text = 'principal.risk_level == "low" && context.args.ledger.pay.amount > 1000'
    assert render(expression(text)).replace("(", "").replace(")", "") == text


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_quoted_strings_round_trip_and_hold_no_control_characters(text):
    assert quoted(text).isprintable()
    assert expression(f"{quoted(text)} == principal.name").left.value == text
