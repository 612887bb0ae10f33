"""Canonical bytes: RFC 8785's own where it has any, and a form of their own where it hasn't."""

import hashlib
import hmac
import json
from typing import Any

import msgspec
import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.audit import canonical, digest, token_digest

SURROGATES = st.characters(codec=None, categories=None, exclude_categories=())
TEXT = st.text(SURROGATES, max_size=8)
ODD = st.integers() | st.floats() | TEXT | st.sampled_from([2**53, -(2**53), 2**64])
PLAIN = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)


def json_values(scalars: st.SearchStrategy[Any], keys: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    return st.recursive(
        st.none() | st.booleans() | scalars,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
        max_leaves=12,
    )


@given(json_values(PLAIN, st.text(max_size=4)))
def test_bytes_are_those_of_rfc_8785(value: Any) -> None:
    assert canonical(value) == rfc8785.dumps(value)


@given(json_values(ODD, TEXT))
def test_every_parsed_value_has_bytes_and_they_are_json(value: Any) -> None:
    msgspec.json.decode(canonical(value))


@given(json_values(ODD, TEXT), json_values(ODD, TEXT))
def test_different_values_have_different_digests(one: Any, other: Any) -> None:
    # Python's JSON keeps wide integers, surrogates and NaN apart, so it tells values from each other here.
    same = json.dumps(_numbers(one), sort_keys=True) == json.dumps(_numbers(other), sort_keys=True)
    assert (digest(one) == digest(other)) == same


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([2**53], [{"$integer": hex(2**53)}]),
        ([2**53, {"$integer": "x"}], [2**53, {"$$integer": "x"}]),
        (["\ud800"], [{"$utf16": "d800"}]),
        ({"\ud800": 1}, {"$utf16:d800": 1}),
        ({"\ud800": 1}, {"$$utf16:d800": 1}),
    ],
)
def test_a_tagged_form_cannot_be_imitated(one: Any, other: Any) -> None:
    wide = 2**60
    assert digest(one) != digest(other)
    assert canonical([one, wide]) != canonical([other, wide])


def test_digest_is_keyed_only_with_a_key() -> None:
    payload = b'{"a":1}'
    assert digest({"a": 1}).value == hashlib.sha256(payload).hexdigest()
    keyed = digest({"a": 1}, b"key")
    assert (keyed.algorithm, keyed.value) == ("hmac-sha256", hmac.digest(b"key", payload, "sha256").hex())


def test_token_digest_leaves_the_malleable_signature_out() -> None:
    assert token_digest("h.p.s") == token_digest("h.p.t") == hashlib.sha256(b"h.p").hexdigest()


def _numbers(value: Any) -> Any:
    """RFC 8785 knows one kind of number: 1 and 1.0 are the same."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    if isinstance(value, dict):
        return {key: _numbers(item) for key, item in value.items()}
    return value
