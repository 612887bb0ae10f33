import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import TokenError
from gateway.core.reasons import Reason
from gateway.identity.jose import canonical_base64url, decode_base64url, parse_compact, strict_object

HEADER, CLAIMS = b'{"alg":"ES256","typ":"at+jwt","kid":"k-1"}', b'{"iss":"x"}'


def compact(header: bytes = HEADER, claims: bytes = CLAIMS, signature: bytes = b"sig") -> str:
    return ".".join(canonical_base64url(part) for part in (header, claims, signature))


def malformed(token: str, max_bytes: int = 8192) -> str:
    with pytest.raises(TokenError) as caught:
        parse_compact(token, max_bytes)
    assert caught.value.reason is Reason.TOKEN_MALFORMED
    return caught.value.detail


class TestAccepted:
    def test_parts(self) -> None:
        jws = parse_compact(compact(), 8192)
        assert (jws.algorithm, jws.kid, jws.type) == ("ES256", "k-1", "at+jwt")
        assert (jws.claims, jws.signature) == ({"iss": "x"}, b"sig")

    def test_digest_is_of_header_and_payload_only(self) -> None:
        one, two = parse_compact(compact(signature=b"one"), 8192), parse_compact(compact(signature=b"two"), 8192)
        assert one.digest == two.digest == hashlib.sha256(one.signing_input).hexdigest()
        assert one.signing_input == compact().rpartition(".")[0].encode()

    @pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt", "Application/AT+jwt"])
    def test_type_is_compared_as_a_media_type(self, typ: str) -> None:
        header = json.dumps({"alg": "ES256", "typ": typ}).encode()
        assert parse_compact(compact(header), 8192).type == "at+jwt"

    def test_repr_holds_nothing(self) -> None:
        assert repr(parse_compact(compact(), 8192)) == "UnverifiedJws()"


class TestMalformed:
    @pytest.mark.parametrize(
        "token", ["", ".", "..", "a.b", "a.b.c.d", "Bearer", "é.é.é", " a.b.c", "a.b.c\n", "\ud800.."]
    )
    def test_not_three_segments(self, token: str) -> None:
        malformed(token)

    def test_too_long(self) -> None:
        token = compact()
        assert parse_compact(token, len(token))
        assert "longer than" in malformed(token, len(token) - 1)

    @pytest.mark.parametrize("at", [0, 1, 2])
    @pytest.mark.parametrize("spoil", ["{}=", "{}A", "{} ", "{}+", "{}\n", ""])
    def test_not_canonical_base64url(self, at: int, spoil: str) -> None:
        segments = compact(b'{"alg":"ES256"}', b'{"iss":"xy"}', b"sig").split(".")
        segments[at] = spoil.format(segments[at])
        malformed(".".join(segments))

    def test_stray_bits_of_the_last_character(self) -> None:
        """ "c2ln" is b"sig"; "c2k" and "c2l" both decode to b"si" in lax decoders."""
        token = compact(signature=b"si")
        assert token.endswith("c2k")
        malformed(token[:-1] + "l")

    @pytest.mark.parametrize(
        "header",
        [
            b"",
            b"null",
            b"[]",
            b"{}",
            b'{"alg":1}',
            b'{"alg":null}',
            b'{"alg":"ES256","crit":["exp"]}',
            b'{"alg":"ES256","crit":[]}',
            b'{"alg":"ES256","b64":false}',
            b'{"alg":"ES256","typ":1}',
            b'{"alg":"ES256","alg":"none"}',
            b'{"alg":"ES256","\\u0061lg":"none"}',
            b'{"alg":"ES256","x":{"a":1,"a":2}}',
            b'{"alg":"ES256"} x',
            b'\xef\xbb\xbf{"alg":"ES256"}',
            b'{"alg":"ES256\xff"}',
        ],
    )
    def test_header(self, header: bytes) -> None:
        malformed(compact(header))

    @pytest.mark.parametrize(
        "claims",
        [
            b"",
            b"1",
            b'"x"',
            b"[{}]",
            b'{"sub":"a","sub":"b"}',
            b'{"a":[{"b":1,"b":2}]}',
            b'{"exp":NaN}',
            b'{"exp":1e999}',
            b'{"exp":' + b"9" * 5000 + b"}",
            b'{"sub":"\\ud800"}',
            b'{"a":' * 40 + b"1" + b"}" * 40,
            b"[" * 5000,
        ],
    )
    def test_claims(self, claims: bytes) -> None:
        malformed(compact(claims=claims), max_bytes=20_000)


class TestProperties:
    @given(st.text(max_size=200) | st.binary(max_size=200).map(lambda b: b.decode("latin-1")))
    def test_reading_raises_nothing_but_token_errors(self, token: str) -> None:
        malformed(token)

    @given(st.binary(max_size=60), st.binary(max_size=60), st.binary(max_size=60))
    def test_any_content_is_read_or_refused(self, header: bytes, claims: bytes, signature: bytes) -> None:
        malformed(compact(header, claims, signature))

    @given(st.binary(min_size=1, max_size=60))
    def test_base64url_round_trip(self, data: bytes) -> None:
        assert decode_base64url(canonical_base64url(data)) == data

    @given(st.text(max_size=40))
    def test_base64url_has_one_spelling(self, text: str) -> None:
        data = decode_base64url(text)
        assert data is None or canonical_base64url(data) == text

    @given(st.dictionaries(st.text(max_size=5), st.integers(-(2**53), 2**53) | st.text(max_size=5), max_size=5))
    def test_objects_are_read_as_written(self, value: dict[str, object]) -> None:
        try:
            assert strict_object(json.dumps(value).encode()) == value
        except ValueError:
            assert any(not _encodable(text) for text in [*value, *value.values()] if isinstance(text, str))


def _encodable(text: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in text)
