import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.telemetry.redaction import HIDDEN, MOST_CHARACTERS, redact, redact_text


def segment(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


_CLAIMS = st.dictionaries(st.sampled_from(["alg", "kid", "sub", "aud"]), st.text(max_size=20), min_size=1)
_JWS = st.builds(
    lambda header, claims, signature, indent: ".".join(
        [
            segment(json.dumps(header, indent=indent).encode()),
            segment(json.dumps(claims).encode()),
            segment(signature),
        ]
    ),
    _CLAIMS,
    _CLAIMS,
    st.binary(min_size=0, max_size=64),
    st.sampled_from([None, 0, 1, "\t"]),
)
_AROUND = st.text(alphabet=" \"'(),;:=/\n", max_size=5)


@given(_JWS, _AROUND, _AROUND)
def test_no_part_of_a_token_is_left(token, before, after):
    shown = redact_text(f"{before}{token}{after}")
    assert HIDDEN in shown
    assert all(part not in shown for part in token.split(".") if len(part) > 8)


@given(_JWS)
def test_a_token_that_was_cut_off_is_hidden_too(token):
    header = token.split(".")[0]
    assert token[: len(header)] not in redact_text(token[: len(header) + 6])


@given(
    st.sampled_from(["Bearer", "bearer", "BASIC", "DPoP"]), st.text(alphabet="abcXYZ019-._~+/", min_size=1, max_size=80)
)
def test_credentials_are_hidden_whatever_their_shape(scheme, credentials):
    assert redact_text(f"Authorization: {scheme} {credentials}") == f"Authorization: {scheme} {HIDDEN}"


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49\n-----END PRIVATE KEY-----",
        "-----BEGIN EC PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49",
        "key: -----BEGIN ENCRYPTED PRIVATE KEY-----MIGHAgEAMBMGByqGSM49",
    ],
)
def test_private_keys_are_hidden(text):
    assert "MIGH" not in redact_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "upstream ledger.internal.example.org:8443 reset",
        "spiffe://demo.test/agent/analyst",
        "/mcp/ledger",
        "2026-11-24T10:00:00.000Z",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "gateway.proxy.pipeline",
        "token_audience",
    ],
)
def test_what_people_need_to_read_stays(text):
    assert redact_text(text) == text


_SECRET_KEYS = [
    "authorization",
    "Authorization",
    "proxy-authorization",
    "cookie",
    "Set-Cookie",
    "access_token",
    "token",
    "client_secret",
    "password",
    "Mcp-Session-Id",
    "x-api-key",
    "privateKey",
    "jwt",
]


_SECRET = st.text(alphabet="qQzZ", min_size=8)


@given(st.sampled_from(_SECRET_KEYS), _SECRET, st.integers(0, 2))
def test_secret_fields_are_hidden_at_any_depth(key, secret, depth):
    event = {key: secret, "also": [{key: [secret]}, {key: {"deeper": secret}}]}
    for _ in range(depth):
        event = {"inner": [event]}
    shown = json.dumps(redact(event))
    assert HIDDEN in shown
    assert secret not in shown


_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner),
    max_leaves=20,
)


@given(_ANYTHING)
def test_anything_becomes_plain_data(value):
    json.dumps(redact(value))


def test_long_text_and_deep_data_are_cut():
    assert len(redact_text("x" * (2 * MOST_CHARACTERS))) == MOST_CHARACTERS + 1
    deep: object = "end"
    for _ in range(50):
        deep = {"a": deep}
    assert "end" not in str(redact(deep))


def test_bytes_are_never_shown():
    assert redact({"body": b"secret"}) == {"body": "[6 bytes]"}


def test_a_handle_is_hidden():
    shown = redact_text("tracestate: vendor=1,hopgate=0123456789abcdef0123456789abcdef,other=2")
    assert shown == f"tracestate: vendor=1,{HIDDEN},other=2"
