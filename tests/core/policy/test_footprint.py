"""What a policy reads is found wherever it hides."""

import pytest
from cedarpy import policies_to_pst

from gateway.core.model import Uid
from gateway.core.policy.footprint import Read, footprint, union
from gateway.core.policy.render import render

WHOLE, THERE = True, False


def read(condition, scope="principal, action, resource"):
    policy = policies_to_pst(f"permit ({scope}) when {{ {condition} }};").static_policies["policy0"]
    return footprint(policy)


def texts(found):
    return [node.text for node in found.nodes]


def test_scopes_and_conditions_are_read_in_order():
    found = read(
        'principal.risk_level == "low" && context.delegation_depth <= 3',
        'principal in Group::"g", action == Action::"invokeTool", resource in ToolSet::"s"',
    )
    assert texts(found) == [
        'principal in Group::"g"',
        'resource in ToolSet::"s"',
        "principal.risk_level",
        "context.delegation_depth",
    ]
    assert found.literals == {Uid("Group", "g"), Uid("Action", "invokeTool"), Uid("ToolSet", "s")}


@pytest.mark.parametrize(
    ("condition", "reads"),
    [
        ("context.args.ledger.pay.amount > 1", {Read(("ledger", "pay", "amount"), WHOLE)}),
        (
            "context has args.ledger.pay",
            {Read((), THERE), Read(("ledger",), THERE), Read(("ledger", "pay"), THERE)},
        ),
        ("context.args.ledger == context.args.ledger", {Read(("ledger",), WHOLE)}),
        ("[context.args].isEmpty()", {Read((), WHOLE)}),
        ("[context].isEmpty()", {Read((), WHOLE)}),
        (
            "(if context.reentry then context.args.a.b else context.args.a.c).d == 1",
            {Read(("a", "b", "d"), WHOLE), Read(("a", "c", "d"), WHOLE)},
        ),
        ("{x: context.args.a.b.c}.x == 1", {Read(("a", "b", "c"), WHOLE)}),
        ("principal.hasTag(context.args.a.b.c)", {Read(("a", "b", "c"), WHOLE)}),
        ('context["args"]["a"]["b"]["c"] == 1', {Read(("a", "b", "c"), WHOLE)}),
        ("context.user.email == principal.owner.email", set()),
    ],
)
def test_argument_reads(condition, reads):
    assert read(condition).arguments == reads


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ('principal.owner in Group::"g"', {"principal", "principal.owner"}),
        ("principal.owner.email == resource.name", {"principal", "principal.owner", "resource"}),
        ('context.user in Group::"g"', {"context", "context.user"}),
        ('Agent::"a".owner == context.user', {'Agent::"a"', "context"}),
        ('Agent::"a" in Group::"g"', {'Agent::"a"'}),
        (
            "(if context.reentry then principal.owner else resource.owner) has email",
            {"context", "principal", "resource", "principal.owner", "resource.owner"},
        ),
        ('principal.owner is User in Group::"g"', {"principal", "principal.owner"}),
        ('principal.hasTag("x")', {"principal"}),
        ("resource in principal.team", {"resource", "principal"}),
        ("principal == resource", set()),
    ],
)
def test_entities_that_must_exist(condition, expected):
    assert {render(expr) for expr in read(condition).dereferenced} == expected


def test_context_fields_are_told_apart():
    found = read("context.approved && context has user")
    assert found.reads_context("approved")
    assert found.reads_context("user")
    assert not found.reads_context("approvers")
    assert read("[context].isEmpty()").reads_context("approvers")


def test_a_union_reads_what_its_parts_read():
    one, two = read("context.args.a.b.c == 1"), read('context.user in Group::"g"')
    both = union([one, two])
    assert both.arguments == one.arguments
    assert both.literals == {Uid("Group", "g")}
    assert both.reads_context("user")
