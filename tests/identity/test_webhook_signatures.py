"""Our signatures against the official library, and what isn't one."""

import base64
import hashlib
import hmac
import time

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from gateway.identity.webhook_signatures import (
    WINDOW_SECONDS,
    WebhookKeyError,
    WebhookSignatureError,
    signed_headers,
    signing_key,
    verified,
    verified_slack,
    verifying_key,
)

NOW = 1_800_000_000


def secret(fill: int = 1, size: int = 32) -> bytes:
    return b"whsec_" + base64.b64encode(bytes([fill]) * size)


def ed25519() -> tuple[bytes, bytes]:
    raw = bytes(range(32))
    public = Ed25519PrivateKey.from_private_bytes(raw).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return b"whsk_" + base64.b64encode(raw), b"whpk_" + base64.b64encode(public)


def test_the_official_library_takes_what_we_sign_with_either_of_two_secrets() -> None:
    body = '{"type":"approval.asked","text":"ü"}'
    keys = [signing_key(secret(1)), signing_key(secret(2)), signing_key(ed25519()[0])]
    headers = dict(signed_headers(keys, "a.1.asked.pager", int(time.time()), body.encode()))
    for each in (secret(1), secret(2)):
        assert Webhook(each.decode()).verify(body, headers)["text"] == "ü"
    with pytest.raises(Exception, match="No matching"):
        Webhook(secret(3).decode()).verify(body, headers)


@given(st.binary(max_size=64), st.sampled_from(["hmac", "ed25519"]))
def test_what_is_signed_verifies_and_nothing_else(body: bytes, kind: str) -> None:
    private, public = (secret(), secret()) if kind == "hmac" else ed25519()
    headers = dict(signed_headers([signing_key(private)], "id", NOW, body))
    keys = [verifying_key(secret(9)), verifying_key(public)]
    assert verified(keys, headers, body, NOW) == ("id", NOW)
    others = [
        (headers, body + b"x"), (headers | {"webhook-id": "other"}, body),
        (headers | {"webhook-timestamp": str(NOW + 1)}, body),
        (headers | {"webhook-signature": headers["webhook-signature"].replace("v1", "v2")}, body),
        ({name: value for name, value in headers.items() if name != "webhook-signature"}, body),
        (headers | {"webhook-signature": " ".join([headers["webhook-signature"]] * 17)}, body),
    ]  # fmt: skip
    for changed, text in others:
        with pytest.raises(WebhookSignatureError):
            verified(keys, changed, text, NOW)
    with pytest.raises(WebhookSignatureError):
        verified(keys[:1], headers, body, NOW)


@pytest.mark.parametrize("away", [-WINDOW_SECONDS - 1, WINDOW_SECONDS + 1])
def test_old_and_future_ones_are_refused(away: int) -> None:
    headers = signed_headers([signing_key(secret())], "id", NOW + away, b"")
    with pytest.raises(WebhookSignatureError, match="clocks"):
        verified([verifying_key(secret())], headers, b"", NOW)


def slack(moment: str, body: bytes, key: bytes = b"s" * 32) -> dict[str, str]:
    signature = hmac.new(key, b"v0:" + moment.encode() + b":" + body, hashlib.sha256).hexdigest()
    return {"x-slack-request-timestamp": moment, "x-slack-signature": f"v0={signature}"}


def test_slack() -> None:
    headers = slack(str(NOW), b"payload=x")
    assert verified_slack([b"o" * 32, b"s" * 32], headers, b"payload=x", NOW)[1] == NOW
    refused = [
        (headers, b"payload=y"), ({}, b"payload=x"), (headers | {"x-slack-signature": "v0=ü"}, b"payload=x"),
        (slack(str(NOW - WINDOW_SECONDS - 1), b"payload=x"), b"payload=x"), (slack("now", b"payload=x"), b"payload=x"),
        (slack(str(NOW), b"payload=x", b"o" * 32), b"payload=x"),
    ]  # fmt: skip
    for changed, body in refused:
        with pytest.raises(WebhookSignatureError):
            verified_slack([b"s" * 32], changed, body, NOW)


@pytest.mark.parametrize(
    "text",
    [b"", b"secret", b"whsec_", secret(size=23), secret(size=65), b"whsec_!!!!", ed25519()[1], b"whsk_AAAA", b"\xff_"],
)
def test_odd_keys_are_refused_and_never_repeated(text: bytes) -> None:
    with pytest.raises(WebhookKeyError) as found:
        signing_key(text)
    assert text.decode("latin-1").partition("_")[2][:8] not in str(found.value) or len(text) < 12
