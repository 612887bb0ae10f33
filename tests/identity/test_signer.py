import hashlib
import json

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from gateway.identity.jose import canonical_base64url, decode_base64url, parse_compact
from gateway.identity.signer import generate_key_pem, jwks_url, load_signer, metadata
from gateway.identity.signing_key import Algorithm, SigningKeyError, public_jwk

RFC8037_PUBLIC = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
RFC8037_THUMBPRINT = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


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


def test_ed25519_signs_as_eddsa() -> None:
    signer = load_signer(generate_key_pem("EdDSA"))
    token = signer.sign({"sub": "é"})
    assert jwt.get_unverified_header(token) == {"alg": "EdDSA", "kid": signer.kid, "typ": "at+jwt"}
    (jwk,) = signer.jwks()["keys"]
    assert set(jwk) == {"kty", "crv", "x", "kid", "alg", "use"}
    # RFC 8037 Appendix A.3.
    assert public_jwk(Ed25519PublicKey.from_public_bytes(RFC8037_PUBLIC))["kid"] == RFC8037_THUMBPRINT
    key = jwt.PyJWKSet.from_dict(signer.jwks())[signer.kid]
    assert jwt.decode(token, key, algorithms=["EdDSA"]) == {"sub": "é"}
    assert signer.verification_keys.verify(parse_compact(token, 8192))


@pytest.mark.parametrize("newer", ["ES256", "EdDSA"])
def test_a_successor_of_either_kind_honours_its_predecessor(newer: Algorithm) -> None:
    old = load_signer(generate_key_pem("EdDSA" if newer == "ES256" else "ES256"))
    signer = old.succeeded_by(load_signer(generate_key_pem(newer)))
    assert signer.algorithm == newer
    assert signer.verification_keys.verify(parse_compact(old.sign({}), 8192))


def test_a_key_serves_its_own_algorithm_only() -> None:
    old = load_signer(generate_key_pem("EdDSA"))
    signer = old.succeeded_by(load_signer(generate_key_pem("ES256")))
    header, payload, signature = old.sign({}).split(".")
    forged = json.loads(decode_base64url(header) or b"") | {"alg": "ES256"}
    relabelled = canonical_base64url(json.dumps(forged).encode())
    assert not signer.verification_keys.verify(parse_compact(f"{relabelled}.{payload}.{signature}", 8192))


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA"])
def test_encrypted_pkcs8(algorithm: Algorithm) -> None:
    encrypted = generate_key_pem(algorithm, b"open sesame")
    assert encrypted.startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY")
    assert load_signer(encrypted, passphrase=b"open sesame", algorithm=algorithm).algorithm == algorithm
    for wrong in (b"sesame", None):
        with pytest.raises(SigningKeyError, match="passphrase") as caught:
            load_signer(encrypted, passphrase=wrong)
        assert "sesame" not in str(caught.value)
    with pytest.raises(SigningKeyError, match="passphrase"):
        load_signer(generate_key_pem(algorithm), passphrase=b"open sesame")


def test_a_key_of_the_other_algorithm_is_told_apart() -> None:
    with pytest.raises(SigningKeyError, match="not for ES256; set algorithm: EdDSA"):
        load_signer(generate_key_pem("EdDSA"), algorithm="ES256")


def test_encrypted_predecessors_are_read_with_the_same_passphrase() -> None:
    pems = [generate_key_pem("ES256", b"secret"), generate_key_pem("EdDSA", b"secret")]
    found = load_signer(pems[0], pems[1:], passphrase=b"secret")
    assert [jwk["kty"] for jwk in found.jwks()["keys"]] == ["EC", "OKP"]


def test_a_key_is_for_es256_where_nothing_is_said() -> None:
    assert load_signer(generate_key_pem()).algorithm == "ES256"
