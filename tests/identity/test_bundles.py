"""SPIFFE bundle documents: what is one, what is refused whole, and what may follow what."""

import base64
import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from gateway.identity.bundles import BundleError, TrustBundle, bundle_digest, check_follows, read_bundle, write_bundle
from tests.identity.pki import Issued, Shape, root

ROOT, OTHER = root("a"), root("b")
LEAF = ROOT.issue("leaf", Shape(uris=["spiffe://a.test/x"]))


def key(issued: Issued = ROOT, **changes: Any) -> dict[str, Any]:
    der = base64.b64encode(issued.certificate.public_bytes(Encoding.DER)).decode()
    found = {"use": "x509-svid", "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "x5c": [der]} | changes
    return {name: value for name, value in found.items() if value is not None}


def document(*keys: Any, **members: Any) -> bytes:
    found = {"spiffe_sequence": 3, "spiffe_refresh_hint": 60, "keys": list(keys)} | members
    return json.dumps({name: value for name, value in found.items() if value is not None}).encode()


def test_roots_sequence_and_hint() -> None:
    found = read_bundle(document(key(), key(OTHER)))
    assert found == TrustBundle((ROOT.certificate, OTHER.certificate), 3, 60)


def test_keys_of_other_uses_are_passed_over_and_unknown_members_too() -> None:
    others = [{"use": "jwt-svid", "kty": "EC", "kid": "1"}, {"kty": "RSA"}, {"use": "later", "kty": "x"}]
    found = read_bundle(document(*others, key(new="member"), more="members"))
    assert found.roots == (ROOT.certificate,)


def test_no_keys_withdraw_all_roots() -> None:
    assert read_bundle(document()).roots == ()


def test_sequence_and_hint_may_be_left_out() -> None:
    found = read_bundle(document(key(), spiffe_sequence=None, spiffe_refresh_hint=None))
    assert (found.sequence, found.hint) == (None, None)


BROKEN: dict[str, tuple[bytes, str]] = {
    "no JSON": (b"<html>", "can't be read"),
    "no object": (b"[]", "can't be read"),
    "a member twice": (b'{"keys": [], "keys": []}', "can't be read"),
    "no keys": (b'{"spiffe_sequence": 1}', "has no list of keys"),
    "keys that are no objects": (document("x"), "has no list of keys"),
    "too many keys": (document(*[{"use": "jwt-svid"}] * 65), "more than 64 keys"),
    "no x5c": (document(key(x5c=None)), "exactly one certificate"),
    "an empty x5c": (document(key(x5c=[])), "exactly one certificate"),
    "a chain": (document(key(x5c=key()["x5c"] * 2)), "exactly one certificate"),
    "no kty": (document(key(kty=None)), "exactly one certificate"),
    "no base64": (document(key(x5c=["*"])), "x5c can't be read"),
    "no certificate": (document(key(x5c=["AAAA"])), "x5c can't be read"),
    "a number for a certificate": (document(key(x5c=[7])), "x5c can't be read"),
    "a leaf": (document(key(LEAF)), "no CA"),
    "one good and one bad": (document(key(), key(LEAF)), "key 1"),
    "a negative sequence": (document(key(), spiffe_sequence=-1), "spiffe_sequence is not a count"),
    "a sequence of text": (document(key(), spiffe_sequence="1"), "spiffe_sequence is not a count"),
    "true as hint": (document(key(), spiffe_refresh_hint=True), "spiffe_refresh_hint is not a count"),
}


DSA = root("dsa", key=dsa.generate_private_key(1024))
BARE = base64.b64encode(
    x509.CertificateBuilder(ROOT.certificate.subject, ROOT.certificate.subject, ROOT.key.public_key(), 1)
    .not_valid_before(ROOT.certificate.not_valid_before_utc)
    .not_valid_after(ROOT.certificate.not_valid_after_utc)
    .sign(ROOT.key, SHA256())
    .public_bytes(Encoding.DER)
).decode()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (document(key(DSA)), "key 0: its certificate's key is neither RSA, EC nor Ed25519"),
        (document(key(LEAF)), "key 0: its certificate is no CA's"),
        (document(key(), key(x5c=[BARE])), "key 1: its certificate is no CA's"),
        (document(key(x5c=["*"])), "key 0: x5c can't be read: Error"),
        (document(key(x5c=["AAAA"])), "key 0: x5c can't be read: ValueError"),
        (document(key(x5c=["\n" + key()["x5c"][0]])), "key 0: x5c can't be read: Error"),
        (document(key(x5c=[])), "key 0: an x509-svid key has kty and exactly one certificate in x5c"),
        (b"[]", "the document can't be read: not a JSON object"),
        (b"{}", "the document has no list of keys"),
        (document(*[key()] * 65), "the document has more than 64 keys"),
        (document(spiffe_sequence=2**63), "the document can't be read: an integer outside signed 64 bits"),
    ],
)
def test_a_refusal_says_which_key_and_why(text: bytes, why: str) -> None:
    with pytest.raises(BundleError) as caught:
        read_bundle(text)
    assert str(caught.value) == why


def test_the_largest_that_is_read() -> None:
    found = read_bundle(document(*[{"use": "jwt-svid"}] * 63, key(), spiffe_sequence=2**63 - 1, spiffe_refresh_hint=0))
    assert found == TrustBundle((ROOT.certificate,), 2**63 - 1, 0)


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_refused_whole(case: str) -> None:
    text, why = BROKEN[case]
    with pytest.raises(BundleError, match=why):
        read_bundle(text)


@pytest.mark.parametrize(
    ("held", "found", "good"),
    [(3, 3, True), (3, 4, True), (3, 2, False), (3, None, False), (None, None, True), (None, 0, True)],
)
def test_a_sequence_never_goes_back(held: int | None, found: int | None, good: bool) -> None:
    old, new = TrustBundle((), held, None), TrustBundle((), found, None)
    if good:
        check_follows(new, old)
        return
    with pytest.raises(BundleError) as caught:
        check_follows(new, old)
    assert str(caught.value) == f"spiffe_sequence goes back from {held} to {found}: the document is older"


KEYS: dict[str, Callable[[], Any]] = {
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "RSA": lambda: rsa.generate_private_key(65537, 2048),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
}
MEMBERS = {"EC": {"crv", "x", "y"}, "RSA": {"n", "e"}, "OKP": {"crv", "x"}}


@pytest.mark.parametrize("kind", KEYS)
def test_what_is_written_is_read_again(kind: str) -> None:
    made = root("r", key=KEYS[kind]())
    text = write_bundle([made.certificate, ROOT.certificate], 9, 30)
    found = read_bundle(text)
    assert set(found.roots) == {made.certificate, ROOT.certificate}
    assert (found.sequence, found.hint) == (9, 30)
    for each in json.loads(text)["keys"]:
        assert each["use"] == "x509-svid"
        assert each.keys() == {"use", "kty", "x5c"} | MEMBERS[each["kty"]]


def test_order_changes_neither_document_nor_digest() -> None:
    one, other = [ROOT.certificate, OTHER.certificate], [OTHER.certificate, ROOT.certificate]
    assert write_bundle(one, 1, 1) == write_bundle(other, 1, 1)
    assert bundle_digest(one) == bundle_digest(other) != bundle_digest(one[:1])
    in_order = sorted(each.public_bytes(Encoding.DER) for each in one)
    assert bundle_digest(one) == hashlib.sha256(b"".join(in_order)).hexdigest()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["keys", "spiffe_sequence", "spiffe_refresh_hint"]), JSON))
def test_anything_else_is_an_error_and_nothing_worse(found: dict[str, Any]) -> None:
    with suppress(BundleError):
        assert read_bundle(json.dumps(found).encode()).roots == ()


@given(st.lists(st.dictionaries(st.sampled_from(["use", "kty", "x5c"]), JSON | st.just("x509-svid")), max_size=3))
def test_odd_keys_are_errors_and_nothing_worse(keys: list[Any]) -> None:
    with suppress(BundleError):
        assert read_bundle(document(*keys)).roots == ()
