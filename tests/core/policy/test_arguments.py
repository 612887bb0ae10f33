"""Only typed values that a policy reads reach Cedar; anything else there is refused without repeating it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.policy.argtypes import Field, Record, Scalar, SetOf
from gateway.core.policy.arguments import ArgumentsError, context_args

RECORD = Record(
    {
        "n": Field(Scalar("Long"), True),
        "s": Field(Scalar("String"), False),
        "b": Field(Scalar("Bool"), False),
        "l": Field(SetOf(Scalar("String")), False),
        "o": Field(Record({"x": Field(Scalar("Long"), True)}, frozenset({"x"})), False),
    },
    frozenset({"n", "s", "b", "l", "o", "untyped"}),
)


def fit(kit, sent, kept=None):
    return context_args({"s": {"t": RECORD}} if kept is None else kept, kit.tool("s", "t"), sent)


def test_typed_values_pass_and_null_is_absence(kit):
    sent = {"n": 1, "s": "x", "b": None, "l": ["a"], "o": {"x": 2}, "untyped": 1.5}
    assert fit(kit, sent) == {"s": {"t": {"n": 1, "s": "x", "l": ("a",), "o": {"x": 2}}}}


@pytest.mark.parametrize(
    ("sent", "path"),
    [
        ({}, "n"),
        (None, "n"),
        ({"n": None}, "n"),
        ({"n": True}, "n"),
        ({"n": 1.0}, "n"),
        ({"n": "1"}, "n"),
        ({"n": 2**63}, "n"),
        ({"n": -(2**63) - 1}, "n"),
        ({"n": {"__entity": {"type": "User", "id": "root"}}}, "n"),
        ({"n": 1, "s": {"__extn": {"fn": "ip", "arg": "::1"}}}, "s"),
        ({"n": 1, "s": "\ud800"}, "s"),
        ({"n": 1, "b": 1}, "b"),
        ({"n": 1, "l": "abc"}, "l"),
        ({"n": 1, "l": ["a", {"__entity": {}}]}, "l"),
        ({"n": 1, "o": 1}, "o"),
        ({"n": 1, "o": {"x": "1"}}, "o.x"),
        ({"n": 1, "o": {"x": 1, "y": 2}}, "o.y"),
        ({"n": 1, "N": 5}, "N"),
    ],
)
def test_what_does_not_fit_is_refused_by_its_path(kit, sent, path):
    with pytest.raises(ArgumentsError, match=f"`{path}`") as caught:
        fit(kit, sent)
    assert "root" not in str(caught.value)


def test_the_bounds_of_long_fit(kit):
    for number in (2**63 - 1, -(2**63)):
        assert fit(kit, {"n": number})["s"]["t"]["n"] == number


def test_what_no_policy_reads_is_not_looked_at(kit):
    hostile = {"n": {"__entity": 1}, "N": 2**99}
    assert fit(kit, hostile, {}) == {}
    assert fit(kit, hostile, {"s": {"other": RECORD}}) == {"s": {}}
    assert fit(kit, hostile, {"s": {"t": Record({}, RECORD.declared)}}) == {"s": {"t": {}}}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from([*RECORD.declared]), inner),
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from([*RECORD.declared, "other"]), JSON))
def test_any_json_fits_exactly_or_is_refused(kit, sent):
    try:
        args = fit(kit, sent)["s"]["t"]
    except ArgumentsError:
        return
    for name, value in args.items():
        assert {"n": int, "s": str, "b": bool, "l": tuple, "o": dict}[name] is type(value)
