import hashlib
import json

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from gateway.identity.jose import canonical_base64url, parse_compact
from gateway.identity.signer import SigningKeyError, generate_key_pem, jwks_url, load_signer, metadata


def pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, password: bytes | None = None) -> bytes:
    protection = NoEncryption() if password is None else BestAvailableEncryption(password)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection)


def test_another_library_verifies_by_the_published_key() -> None:
    signer = load_signer(generate_key_pem())
    token = signer.sign({"sub": "é", "n": 1})
    assert jwt.get_unverified_header(token) == {"alg": "ES256", "kid": signer.kid, "typ": "at+jwt"}
    key = jwt.PyJWKSet.from_dict(signer.jwks())[signer.kid]
    assert jwt.decode(token, key, algorithms=["ES256"]) == {"sub": "é", "n": 1}


def test_kid_is_the_rfc7638_thumbprint() -> None:
    signer = load_signer(generate_key_pem())
    (jwk,) = signer.jwks()["keys"]
    members = json.dumps({name: jwk[name] for name in ("crv", "kty", "x", "y")}, separators=(",", ":"))
    assert signer.kid == jwk["kid"] == canonical_base64url(hashlib.sha256(members.encode()).digest())


def test_publishes_public_members_only() -> None:
    (jwk,) = load_signer(generate_key_pem()).jwks()["keys"]
    assert set(jwk) == {"kty", "crv", "x", "y", "kid", "alg", "use"}


def test_previous_keys_still_verify_but_do_not_sign() -> None:
    old_pem = generate_key_pem()
    old, new = load_signer(old_pem), load_signer(generate_key_pem(), [old_pem])
    assert [jwk["kid"] for jwk in new.jwks()["keys"]] == [new.kid, old.kid]
    assert new.verification_keys.verify(parse_compact(old.sign({}), 8192))
    assert not old.verification_keys.verify(parse_compact(new.sign({}), 8192))


def test_a_key_is_published_once() -> None:
    key = generate_key_pem()
    assert len(load_signer(key, [key]).jwks()["keys"]) == 1


@pytest.mark.parametrize(
    "unusable",
    [
        b"",
        b"secret junk",
        pem(ec.generate_private_key(ec.SECP384R1())),
        pem(rsa.generate_private_key(65537, 2048)),
        pem(ec.generate_private_key(ec.SECP256R1()), b"password"),
    ],
    ids=["empty", "junk", "P-384", "RSA", "encrypted"],
)
def test_unusable_keys(unusable: bytes) -> None:
    for pems in ((unusable, []), (generate_key_pem(), [unusable])):
        with pytest.raises(SigningKeyError, match="signing key is not") as caught:
            load_signer(*pems)
        assert "junk" not in str(caught.value)


def test_claims_that_are_no_json_are_not_signed() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        load_signer(generate_key_pem()).sign({"exp": float("nan")})


def test_repr_holds_no_key() -> None:
    signer = load_signer(generate_key_pem())
    assert repr(signer) == f"Signer(kid={signer.kid!r})"


def test_metadata() -> None:
    assert metadata("https://gw.test:8444/", "https://gw.test:8443/oauth/token", ("g",)) == {
        "issuer": "https://gw.test:8444/",
        "jwks_uri": "https://gw.test:8444/.well-known/jwks.json",
        "token_endpoint": "https://gw.test:8443/oauth/token",
        "mtls_endpoint_aliases": {"token_endpoint": "https://gw.test:8443/oauth/token"},
        "token_endpoint_auth_methods_supported": ["tls_client_auth"],
        "grant_types_supported": ["g"],
        "response_types_supported": [],
        "tls_client_certificate_bound_access_tokens": True,
    }
    assert jwks_url("https://gw.test") == "https://gw.test/.well-known/jwks.json"
