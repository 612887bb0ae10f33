import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, OKPAlgorithm

from gateway.identity.issuers import ALGORITHMS
from gateway.identity.jose import parse_compact
from gateway.identity.jwks import MAX_KEYS, Keys, read_jwks
from tests.identity.issuing import EC_KEY, RSA_KEY, by_hand, public_jwk, sign

ALL = tuple(ALGORITHMS)
RSA_JWK, EC_JWK = public_jwk(RSA_KEY, "rsa-1"), public_jwk(EC_KEY, "ec-1")


def verifies(jwks: list[Any], token: str, algorithms: tuple[str, ...] = ALL) -> bool:
    return Keys(jwks, algorithms).verify(parse_compact(token, 8192))


@pytest.mark.parametrize("algorithm", [name for name in ALL if name[:2] in ("RS", "PS")])
def test_one_rsa_key_serves_its_configured_algorithms_only(algorithm: str) -> None:
    token = by_hand(json.dumps({"alg": algorithm, "kid": "rsa-1"}).encode(), b"{}", RSA_KEY, algorithm)
    assert verifies([RSA_JWK], token, (algorithm,))
    assert not verifies([RSA_JWK], token, tuple(other for other in ALL if other != algorithm))
    assert not verifies([RSA_JWK | {"alg": "RS384" if algorithm != "RS384" else "RS256"}], token)


@pytest.mark.parametrize(
    ("algorithm", "curve"), [("ES256", ec.SECP256R1()), ("ES384", ec.SECP384R1()), ("ES512", ec.SECP521R1())]
)
def test_elliptic_curves(algorithm: str, curve: ec.EllipticCurve) -> None:
    key = ec.generate_private_key(curve)
    token = by_hand(json.dumps({"alg": algorithm, "kid": "k"}).encode(), b"{}", key, algorithm)
    assert verifies([public_jwk(key, "k")], token)
    assert not verifies([public_jwk(ec.generate_private_key(curve), "k")], token)


def test_ed25519() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    jwk = dict(OKPAlgorithm.to_jwk(key.public_key(), as_dict=True)) | {"kid": "k"}
    token = by_hand(b'{"alg":"EdDSA","kid":"k"}', b"{}", key, "EdDSA")
    assert verifies([jwk], token)
    assert not verifies([jwk], token, ("ES256",))


@pytest.mark.parametrize(
    "change",
    [
        {"use": "enc"},
        {"key_ops": ["sign"]},
        {"key_ops": "verify"},
        {"key_ops": 1},
        {"kid": 1},
        {"kid": "other"},
        {"alg": "RS256"},
        {"alg": None},
        {"crv": "secp256k1"},
        {"kty": "oct"},
        {"d": "AAAA"},
        {"x": "AAAA"},
        {"x": None},
    ],
)
def test_keys_that_do_not_exist_here(change: dict[str, Any]) -> None:
    token = sign({}, EC_KEY)
    assert verifies([EC_JWK], token)
    assert not verifies([EC_JWK | change], token)


def test_a_published_private_key_proves_nothing() -> None:
    private = dict(ECAlgorithm.to_jwk(EC_KEY, as_dict=True)) | {"kid": "ec-1"}
    assert private["d"]
    private.pop("key_ops", None)
    assert not verifies([private], sign({}, EC_KEY))


def test_weak_rsa_does_not_exist() -> None:
    weak = rsa.generate_private_key(65537, 1024)
    assert not verifies([public_jwk(weak, "rsa-1")], sign({}, weak))


def test_token_without_kid_needs_exactly_one_fitting_key() -> None:
    token = sign({}, EC_KEY, {"kid": ...})
    other = public_jwk(ec.generate_private_key(ec.SECP256R1()), "ec-2")
    assert verifies([EC_JWK, RSA_JWK], token)
    assert not verifies([EC_JWK, other], token)
    assert not verifies([RSA_JWK], token)


def test_keys_that_share_a_kid_are_all_tried() -> None:
    other = public_jwk(ec.generate_private_key(ec.SECP256R1()), "ec-1")
    assert verifies([other, EC_JWK, RSA_JWK | {"kid": "ec-1"}], sign({}, EC_KEY))


def test_no_keys_is_a_valid_answer() -> None:
    assert not read_jwks(b'{"keys":[]}', ALL)
    assert len(read_jwks(json.dumps({"keys": [EC_JWK, None, 1, {}]}).encode(), ALL)) == 1


@pytest.mark.parametrize(
    "document", [b"", b"[]", b"{}", b'{"keys":{}}', b'{"keys":[],"keys":[]}', b'{"keys":[' + b"1," * MAX_KEYS + b"1]}"]
)
def test_what_is_no_jwks(document: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read_jwks(document, ALL)


@given(
    st.dictionaries(
        st.sampled_from(["kty", "crv", "x", "y", "n", "e", "kid", "alg", "use", "key_ops", "k", "d"]),
        st.sampled_from(["EC", "RSA", "OKP", "oct", "P-256", "Ed25519", "AQAB", "AAAA", "", "sig", 1, None, [], {}]),
    )
)
def test_no_jwk_breaks_reading(jwk: dict[str, Any]) -> None:
    Keys([jwk], ALL)


def test_a_signature_found_genuine_vouches_for_no_other() -> None:
    keys, token = Keys([EC_JWK], ALL), sign({"sub": "maria"}, EC_KEY)
    signed, _, genuine = token.rpartition(".")
    _, _, foreign = sign({"sub": "maria"}, ec.generate_private_key(ec.SECP256R1())).rpartition(".")
    other, _, _ = sign({"sub": "thief"}, EC_KEY).rpartition(".")
    for _ in range(2):
        assert keys.verify(parse_compact(token, 8192))
        assert not keys.verify(parse_compact(f"{signed}.{foreign}", 8192))
        assert not keys.verify(parse_compact(f"{other}.{genuine}", 8192))


def test_what_one_key_set_found_genuine_the_next_does_not_know() -> None:
    jws = parse_compact(sign({}, EC_KEY), 8192)
    assert Keys([EC_JWK], ALL).verify(jws)
    assert not Keys([public_jwk(ec.generate_private_key(ec.SECP256R1()), "ec-1")], ALL).verify(jws)
