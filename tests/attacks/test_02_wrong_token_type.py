"""Attack 2: a token of another kind, honestly signed by a trusted issuer, in place of an access token."""

import json
from typing import Any

import pytest

from gateway.core.reasons import Reason
from tests.identity.issuing import (
    HOP_CLAIMS,
    ROOT_CLAIMS,
    SIGNER,
    accepted,
    changed,
    refused,
    sign,
    verifier,
)

PLAIN_JWT = {"typ": "JWT"}


@pytest.mark.parametrize(
    "typ", [..., "", "JWT", "jwt", "id+jwt", "logout+jwt", "secevent+jwt", "dpop+jwt", "at+jwt ", "x/at+jwt"]
)
async def test_type_that_was_not_configured(typ: Any) -> None:
    assert await refused(sign(ROOT_CLAIMS, header={"typ": typ})) is Reason.TOKEN_TYPE


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "n"},
        {"at_hash": "h"},
        {"c_hash": "h"},
        {"typ": "ID"},
        {"typ": "Refresh"},
        {"typ": "Offline"},
        {"events": {"http://schemas.openid.net/event/backchannel-logout": {}}},
    ],
)
async def test_id_refresh_and_logout_tokens_where_plain_jwt_is_accepted(claims: dict[str, Any]) -> None:
    checker = verifier(types=("JWT",))
    assert await accepted(sign(ROOT_CLAIMS, header=PLAIN_JWT), checker)
    assert await refused(sign(changed(ROOT_CLAIMS, **claims), header=PLAIN_JWT), checker) is Reason.TOKEN_TYPE


@pytest.mark.parametrize("typ", ["JWT", "JOSE", "", "hop+jwt"])
async def test_other_things_that_the_gateway_signs(typ: str) -> None:
    """The same key signs agent cards: a signed card must not pass as a hop token."""
    payload = json.dumps(HOP_CLAIMS).encode()
    assert await accepted(SIGNER.sign_bytes(payload, {"typ": "at+jwt"}))
    assert await refused(SIGNER.sign_bytes(payload, {"typ": typ})) is Reason.TOKEN_TYPE


async def test_own_type_does_not_follow_an_issuers_configuration() -> None:
    token = SIGNER.sign_bytes(json.dumps(HOP_CLAIMS).encode(), PLAIN_JWT)
    assert await refused(token, verifier(types=("JWT",))) is Reason.TOKEN_TYPE
