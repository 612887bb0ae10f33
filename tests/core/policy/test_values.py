"""Only our own types become Cedar's escapes."""

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.model import Uid
from gateway.core.policy.values import Instant, encode, plain


def test_entities_and_instants_are_escaped():
    assert encode(Uid("User", "x")) == {"__entity": {"type": "User", "id": "x"}}
    assert encode(Instant(1_500)) == {"__extn": {"fn": "datetime", "arg": "1970-01-01T00:00:01.500Z"}}
    assert encode({"a": (Uid("User", "x"), "y")}) == {"a": [{"__entity": {"type": "User", "id": "x"}}, "y"]}


def test_plain_values_are_sorted_text():
    assert plain((Uid("User", "b"), Uid("User", "a"))) == ['User::"a"', 'User::"b"']
    assert plain({"b": Instant(0), "a": (2, 1)}) == {"a": [1, 2], "b": "1970-01-01T00:00:00.000Z"}


@settings(deadline=None)
@given(st.text() | st.integers() | st.booleans())
def test_scalars_stay_as_they_are(value):
    assert encode(value) is value
    assert plain(value) is value
