import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from gateway.identity.seal import AeadSealer, digest_key, keyed_digest

SECRET = bytes(range(32))


@given(st.binary(max_size=200), st.binary(max_size=40))
def test_opens_what_it_sealed(plaintext: bytes, context: bytes) -> None:
    sealed = AeadSealer(SECRET).seal(plaintext, context)
    assert AeadSealer(SECRET).open(sealed, context) == plaintext
    assert set(sealed) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


@given(st.binary(max_size=40), st.binary(max_size=10), st.binary(max_size=10))
def test_other_contexts_and_keys_do_not_open(plaintext: bytes, context: bytes, other: bytes) -> None:
    sealed = AeadSealer(SECRET).seal(plaintext, context)
    if other != context:
        assert AeadSealer(SECRET).open(sealed, other) is None
    assert AeadSealer(SECRET[::-1]).open(sealed, context) is None


@given(st.data())
def test_no_altered_character_opens(data: st.DataObject) -> None:
    sealed = AeadSealer(SECRET).seal(b"session", b"route")
    at = data.draw(st.integers(0, len(sealed) - 1))
    char = data.draw(st.characters(max_codepoint=0x2FF).filter(lambda c: c != sealed[at]))
    assert AeadSealer(SECRET).open(sealed[:at] + char + sealed[at + 1 :], b"route") is None


@given(st.text(max_size=80))
def test_rubbish_does_not_open(text: str) -> None:
    assert AeadSealer(SECRET).open(text, b"") is None


@pytest.mark.parametrize("cut", [0, 1, 12, 24, 32, 48, 53])
def test_truncated_does_not_open(cut: int) -> None:
    assert AeadSealer(SECRET).open(AeadSealer(SECRET).seal(b"", b"")[:cut], b"") is None


def test_every_seal_is_fresh() -> None:
    sealer = AeadSealer(SECRET)
    assert len({sealer.seal(b"same", b"same") for _ in range(50)}) == 50


def test_short_secrets_are_refused_without_being_quoted() -> None:
    for use in (AeadSealer, digest_key):
        with pytest.raises(ValueError, match="shorter than 32 bytes") as caught:
            use(b"hunter2")
        assert "hunter2" not in str(caught.value)


def test_keyed_digests() -> None:
    key = digest_key(SECRET)
    assert keyed_digest(key, b"x") == keyed_digest(key, b"x")
    assert keyed_digest(key, b"x") != keyed_digest(digest_key(SECRET[::-1]), b"x")
    assert len(keyed_digest(key, b"")) == 64
    assert key != SECRET


def test_repr_holds_no_key() -> None:
    assert repr(AeadSealer(SECRET)) == "AeadSealer()"


def test_digests_are_what_they_were() -> None:
    """Records are compared by them for years: neither the key's derivation nor the digest may change."""
    key = HKDF(SHA256(), length=32, salt=None, info=b"hopgate digest v1").derive(SECRET)
    assert digest_key(SECRET) == key
    assert keyed_digest(key, b"value") == hmac.new(key, b"value", hashlib.sha256).hexdigest()
    assert keyed_digest(key, b"value") != keyed_digest(key, b"other")
