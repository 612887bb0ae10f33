"""Only typed values that a policy reads reach Cedar; anything else there is refused without repeating it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.policy.argtypes import Field, Record, Scalar, SetOf
from gateway.core.policy.arguments import ArgumentsError, context_args, filled

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


DEFAULTS = Record(
    {
        "n": Field(Scalar("Long"), False, 7),
        "s": Field(Scalar("String"), False),
        "must": Field(Scalar("String"), False, null=True),
        "l": Field(SetOf(Scalar("Long")), False, []),
        "o": Field(Record({"x": Field(Scalar("Bool"), False, False)}, frozenset({"x"})), False, {}),
    },
    frozenset({"n", "s", "must", "l", "o", "untyped"}),
)


@pytest.mark.parametrize(
    ("sent", "whole"),
    [
        ({}, {"n": 7, "l": [], "o": {"x": False}}),
        ({"n": None, "s": None, "l": None, "o": None}, {"n": 7, "l": [], "o": {"x": False}}),
        ({"n": 0, "l": [1], "o": {"x": None}}, {"n": 0, "l": [1], "o": {"x": False}}),
        ({"must": None, "untyped": None}, {"must": None, "untyped": None, "n": 7, "l": [], "o": {"x": False}}),
        ({"n": "odd", "o": 5, "other": 1}, {"n": "odd", "o": 5, "other": 1, "l": []}),
    ],
)
def test_defaults_are_filled_in_and_null_is_left_out(kit, sent, whole):
    assert filled({"s": {"t": DEFAULTS}}, kit.tool("s", "t"), sent) == whole


def test_arguments_that_need_nothing_are_the_very_same(kit):
    sent = {"n": 1, "l": [], "o": {"x": True}, "untyped": {}}
    assert filled({"s": {"t": DEFAULTS}}, kit.tool("s", "t"), sent) is sent
    assert filled({}, kit.tool("s", "t"), sent) is sent


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


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from([*DEFAULTS.declared]), JSON))
def test_what_is_decided_is_what_is_sent(kit, given):
    """Filling in twice changes nothing more, and the arguments as sent are decided as the caller's own are."""
    kept, tool = {"s": {"t": DEFAULTS}}, kit.tool("s", "t")
    whole = filled(kept, tool, given)
    assert filled(kept, tool, whole) is whole
    try:
        args = context_args(kept, tool, given)
    except ArgumentsError:
        with pytest.raises(ArgumentsError):
            context_args(kept, tool, whole)
        return
    assert context_args(kept, tool, whole) == args
    assert args["s"]["t"].keys() == {name for name in DEFAULTS.fields if whole.get(name) is not None}
