"""The ways in which a condition could hold: the nearest are kept, the rest counted, however many there are."""

from functools import reduce

import pytest
from cedarpy import pst

from gateway.core.policy.render import render
from gateway.core.policy.ways import COUNTED, KEPT, Way, leaves, negative, positive, ways

A, B, C, D = (pst.GetAttr(pst.Var("context"), name) for name in "abcd")
NOTHING: frozenset[pst.Expr] = frozenset()


def both(*parts: pst.Expr) -> pst.Expr:
    return reduce(lambda left, right: pst.BinaryOp("and", left, right), parts)


def either(*parts: pst.Expr) -> pst.Expr:
    return reduce(lambda left, right: pst.BinaryOp("or", left, right), parts)


def no(part: pst.Expr) -> pst.Expr:
    return pst.UnaryOp("not", part)


@pytest.mark.parametrize(
    ("expr", "text"),
    [
        (no(both(A, either(B, no(C)))), "!context.a || (!context.b && context.c)"),
        (no(no(no(A))), "!context.a"),
        (no(pst.IfThenElse(no(no(A)), B, pst.BoolLit(False))), "if context.a then !context.b else true"),
        (pst.BinaryOp("eq", no(no(A)), B), "!!context.a == context.b"),
    ],
)
def test_negations_go_inward(expr, text):
    assert render(positive(expr)) == text
    assert render(negative(no(expr))) == text


def test_the_nearest_way_comes_first_and_what_holds_is_not_asked_for():
    assert ways(either(both(A, B), C), NOTHING).nearest == (Way((C,)), Way((A, B)))
    assert ways(either(both(A, B), both(C, D)), frozenset({A})).nearest == (Way((B,)), Way((C, D)))
    assert ways(both(either(A, B), C), frozenset({A})).nearest == (Way((C,)),)
    assert ways(both(A, either(A, B)), NOTHING).nearest == (Way((A,)), Way((A, B)))


def test_a_branch_that_was_not_chosen_is_no_way():
    chosen = pst.IfThenElse(A, B, C)
    assert ways(chosen, frozenset({A})).nearest == (Way((B,), (A,)),)
    assert ways(chosen, frozenset({no(A)})).nearest == (Way((C,), (no(A),)),)
    assert ways(chosen, NOTHING).count == 0
    assert {A, no(A), B, C} == set(leaves(chosen))


def test_a_literal_cannot_change():
    assert ways(either(pst.BoolLit(False), A), NOTHING).nearest == (Way((A,)),)
    assert ways(both(pst.BoolLit(False), A), NOTHING).count == 0


def test_however_many_ways_there_are_few_are_kept_and_counted():
    pairs = [either(pst.GetAttr(A, f"l{index}"), pst.GetAttr(A, f"r{index}")) for index in range(90)]
    found = ways(both(*pairs), NOTHING)
    assert (len(found.nearest), found.count) == (KEPT, COUNTED)
    assert {len(way.needs) for way in found.nearest} == {90}
    assert ways(either(*pairs), NOTHING).count == COUNTED
