"""Tokens that are sent again: they say what a fresh one would, serve for a while yet, and outlive no revocation."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jwt.utils import base64url_decode

from gateway.core.errors import StoreError
from gateway.core.reasons import Reason
from gateway.identity.mint_cache import OWN, MintCache, Signed, digest
from gateway.identity.signer import Signer, generate_key_pem, load_signer
from gateway.identity.signing_key import generate

SIGNER = load_signer(generate_key_pem())
NOW = 1_800_000_000
TTL = 120


def claims(jti: str = "j1", now: int = NOW, **said: Any) -> dict[str, Any]:
    """Those of a hop, the last of them as ``core.delegation`` writes them."""
    own = {"iat": now, "nbf": now, "exp": min(now + TTL, NOW + 900), "jti": jti}
    return own | {"iss": "gw", "aud": "ledger", "scope": "x", "act": {"sub": "a"}, "root_exp": NOW + 900} | said


def taken(cache: MintCache, wanted: dict[str, Any], **how: Any) -> Signed:
    return cache.signed(SIGNER, wanted, **{"most": 100, "margin_seconds": 60, **how})


def said(token: str) -> dict[str, Any]:
    return dict(json.loads(base64url_decode(token.split(".")[1])))


def test_equal_claims_are_signed_once() -> None:
    cache = MintCache()
    first, again = taken(cache, claims("j1")), taken(cache, claims("j2", NOW + 60))
    assert (first.reused, again.reused) == (False, True)
    assert (again.token, again.jti, again.expires) == (first.token, "j1", NOW + TTL)
    assert said(again.token)["jti"] == "j1"


def test_one_that_ends_within_the_margin_is_signed_anew() -> None:
    cache = MintCache()
    taken(cache, claims("j1"))
    late = taken(cache, claims("j2", NOW + 61))
    assert (late.reused, late.jti, late.expires) == (False, "j2", NOW + 61 + TTL)
    assert taken(cache, claims("j3", NOW + 62)).jti == "j2"


def test_keys_that_may_not_be_used_send_no_earlier_token_either() -> None:
    cache, usable = MintCache(), [True]

    def require() -> None:
        if not usable[0]:
            raise StoreError(Reason.STORE_UNAVAILABLE, "the keys can't be read")

    signer = Signer(generate("ES256"), require=require)
    assert not cache.signed(signer, claims("j1"), most=100, margin_seconds=60).reused
    assert cache.signed(signer, claims("j2"), most=100, margin_seconds=60).reused
    usable[0] = False
    with pytest.raises(StoreError):
        cache.signed(signer, claims("j3"), most=100, margin_seconds=60)


@pytest.mark.parametrize(
    "other",
    [
        {"aud": "files"}, {"scope": "x y"}, {"sub": "corp|jan"}, {"act": {"sub": "b", "act": {"sub": "a"}}},
        {"par_hash": "p"}, {"cnf": {"x5t#S256": "rotated"}}, {"tctx": {"purpose": "audit"}}, {"txn": "t2"},
        {"root_exp": NOW + 901}, {"groups": ["finance"]}, {"del_max_depth": 7}, {"new-claim": None},
    ],
    ids=lambda other: next(iter(other)),
)  # fmt: skip
def test_any_other_claim_makes_another_token(other: dict[str, Any]) -> None:
    cache = MintCache()
    taken(cache, claims("j1"))
    assert not taken(cache, claims("j2", **other)).reused


def test_arguments_that_a_token_is_bound_to_are_bound_once() -> None:
    cache, bound = MintCache(), {"authorization_details": [{"type": "tool"}]}
    assert not any(taken(cache, claims(f"j{number}", **bound)).reused for number in range(3))
    assert len(cache) == 0


def test_a_new_key_and_a_new_epoch_forget_everything() -> None:
    cache, other = MintCache(), load_signer(generate_key_pem())
    taken(cache, claims("j1"))
    assert not cache.signed(other, claims("j2"), most=100, margin_seconds=60).reused
    assert not taken(cache, claims("j3")).reused, "nothing of the first key is left either"
    assert taken(cache, claims("j4")).reused
    for epoch in (1, 2, 1):
        assert not taken(cache, claims("j5"), epoch=epoch).reused
        assert taken(cache, claims("j6"), epoch=epoch).reused


def test_the_one_used_longest_ago_makes_room() -> None:
    cache = MintCache()
    for aud in "abc":
        taken(cache, claims(aud=aud), most=3)
    assert taken(cache, claims(aud="a"), most=3).reused
    taken(cache, claims(aud="d"), most=3)
    assert len(cache) == 3
    assert [taken(cache, claims(aud=aud), most=3).reused for aud in "acdb"] == [True, True, True, False]
    assert not taken(MintCache(), claims(), most=0).reused


def test_nothing_shows_the_token() -> None:
    found = taken(MintCache(), claims())
    assert found.token not in f"{found!r} {found}"


VALUES = st.one_of(st.text(max_size=4), st.integers(0, 3), st.lists(st.sampled_from("ab"), max_size=2), st.none())
SAID = st.dictionaries(
    st.sampled_from(["aud", "scope", "sub", "act", "txn", "groups", "x", "authorization_details"]), VALUES
)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(SAID, st.integers(0, 200), st.integers(0, 2)), min_size=1, max_size=25),
    st.integers(0, 5),
    st.integers(1, 130),
)
def test_the_cache_never_changes_a_claim(steps: list[tuple[dict[str, Any], int, int]], most: int, margin: int) -> None:
    cache, now, sent = MintCache(), NOW, set[str]()
    for number, (changed, passed, epoch) in enumerate(steps):
        now += passed
        wanted = {**claims(f"j{number}", now), "exp": now + TTL, **changed}
        found = taken(cache, wanted, most=most, margin_seconds=margin, epoch=epoch)
        held = said(found.token)
        assert {k: v for k, v in held.items() if k not in OWN} == {k: v for k, v in wanted.items() if k not in OWN}
        assert (held["jti"], held["exp"]) == (found.jti, found.expires)
        assert held["nbf"] == held["iat"] <= now < held["exp"] <= now + TTL
        assert found.reused == (found.jti in sent) == (found.jti != wanted["jti"])
        if found.reused:
            assert found.expires - now >= margin
            assert "authorization_details" not in held
        assert len(cache) <= most
        sent.add(found.jti)


@given(SAID, SAID)
def test_the_key_is_of_everything_said(one: dict[str, Any], other: dict[str, Any]) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (digest(one) == digest(other)) == same
    assert digest({**one, "jti": "1", "iat": 1}) == digest(dict(reversed(one.items())))
