"""Only what a pinned key signed, as one compact JWS of the right type, is read at all."""

import base64
import hmac
import json
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopgate_bpf.rules.refusal import Reason, RefusedError
from hopgate_bpf.rules.signature import read_pinned_keys, verified_payload
from tests.bpf.documents import Signer, jwks

MOST = 100_000
SIGNER, OTHER = Signer(), Signer()
KEYS = read_pinned_keys(SIGNER.jwks(), "keys")
TOKEN = SIGNER.sign(b'{"a":1}')


def reason(token: bytes, most: int = MOST) -> Reason:
    with pytest.raises(RefusedError) as caught:
        verified_payload(token, KEYS, most)
    return caught.value.reason


def test_a_signed_payload_is_read() -> None:
    assert verified_payload(TOKEN, KEYS, MOST) == b'{"a":1}'
    assert verified_payload(SIGNER.sign(b"x", typ="application/HOPGATE-KERNEL+JWT"), KEYS, MOST) == b"x"


def test_each_of_two_pinned_keys_may_sign() -> None:
    second = Signer("gateway-2")
    both = read_pinned_keys(jwks([SIGNER, second]), "keys")
    assert [verified_payload(each.sign(b"x"), both, MOST) for each in (SIGNER, second)] == [b"x", b"x"]


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        (OTHER.sign(b"x"), Reason.SIGNATURE_INVALID),
        (SIGNER.sign(b"x", kid="gateway-9"), Reason.KEY_UNKNOWN),
        (SIGNER.sign(b"x", typ="JWT"), Reason.SIGNATURE_TYPE),
        (SIGNER.sign(b"x", crit=["exp"]), Reason.SIGNATURE_MALFORMED),
        (SIGNER.sign(b"x", jwk=OTHER.jwk()), Reason.SIGNATURE_MALFORMED),
        (SIGNER.sign(b"x", jku="https://x.example/keys"), Reason.SIGNATURE_MALFORMED),
        (TOKEN + b"\n", Reason.SIGNATURE_MALFORMED),
        (TOKEN + b"=", Reason.SIGNATURE_MALFORMED),
        (TOKEN.rpartition(b".")[0], Reason.SIGNATURE_MALFORMED),
        (TOKEN.rpartition(b".")[0] + b".", Reason.SIGNATURE_MALFORMED),
        (b"", Reason.SIGNATURE_MALFORMED),
        (b"\xff.\xff.\xff", Reason.SIGNATURE_MALFORMED),
    ],
)
def test_other_tokens_are_refused(token: bytes, expected: Reason) -> None:
    assert reason(token) is expected


@pytest.mark.parametrize(("algorithm", "key"), [("none", None), ("HS256", "k" * 32)])
def test_other_algorithms_are_refused(algorithm: str, key: Any) -> None:
    head = {"typ": "hopgate-kernel+jwt", "kid": SIGNER.kid}
    token = jwt.api_jws.PyJWS().encode(b"x", key, algorithm, headers=head).encode()
    if algorithm == "none":
        token += b"AA"
    assert reason(token) is Reason.SIGNATURE_TYPE


def test_a_public_key_is_no_secret_for_a_mac() -> None:
    raw = base64.urlsafe_b64decode(SIGNER.jwk()["x"] + "=")
    signed, _, _ = TOKEN.rpartition(b".")
    mac = base64.urlsafe_b64encode(hmac.digest(raw, signed, "sha512")).rstrip(b"=")
    assert reason(signed + b"." + mac) is Reason.SIGNATURE_INVALID


def test_a_token_that_is_too_large_is_not_looked_into() -> None:
    assert reason(TOKEN, len(TOKEN) - 1) is Reason.BODY_TOO_LARGE
    assert verified_payload(TOKEN, KEYS, len(TOKEN)) == b'{"a":1}'


@given(st.integers(0, len(TOKEN) - 1), st.sampled_from(list(b"AQgw-_.=")))
def test_no_changed_token_has_another_payload(at: int, byte: int) -> None:
    changed = TOKEN[:at] + bytes([byte]) + TOKEN[at + 1 :]
    try:
        # The last character of a segment has bits that mean nothing; the payload that counts is the same then.
        assert verified_payload(changed, KEYS, MOST) == b'{"a":1}'
    except RefusedError:
        return


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "truncated"),
        (b"{}", "keys"),
        (b'{"keys":[]}', "length"),
        (b"[" * 5000, "array"),
        (json.dumps({"keys": [SIGNER.jwk(), SIGNER.jwk()]}).encode(), "two keys have this kid"),
        (json.dumps({"keys": [SIGNER.jwk() | {"d": "secret"}]}).encode(), "unknown field `d`"),
        (json.dumps({"keys": [SIGNER.jwk() | {"kty": "RSA"}]}).encode(), "RSA"),
        (json.dumps({"keys": [SIGNER.jwk() | {"x": "AA"}]}).encode(), "regex"),
        (json.dumps({"keys": [SIGNER.jwk() | {"use": "enc"}]}).encode(), "enc"),
        (b" " * 70_000, "larger"),
        (b"\xff", "malformed"),
    ],
)
def test_keys_that_cannot_be_pinned_are_refused(text: bytes, words: str) -> None:
    with pytest.raises(RefusedError, match=words) as caught:
        read_pinned_keys(text, "gateway.jwks")
    assert caught.value.reason is Reason.KEYS_UNREADABLE
    assert "gateway.jwks" in str(caught.value)
