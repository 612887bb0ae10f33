"""Attack 6: a member twice in header or claims, so that two readers see two tokens. All are honestly signed."""

import json

import pytest

from gateway.core.reasons import Reason
from tests.identity.issuing import (
    EC_KEY,
    HOP_CLAIMS,
    ROOT_CLAIMS,
    RSA_KEY,
    SIGNER,
    accepted,
    by_hand,
    refused,
)

HEADER = b'{"alg":"RS256","typ":"at+jwt","kid":"rsa-1"}'


def with_member(claims: object, member: str) -> bytes:
    return (json.dumps(claims)[:-1] + f",{member}}}").encode()


@pytest.mark.parametrize("name", ROOT_CLAIMS)
@pytest.mark.parametrize("escaped", [False, True])
async def test_each_claim_twice(name: str, escaped: bool) -> None:
    spelled = f'"\\u{ord(name[0]):04x}{name[1:]}"' if escaped else json.dumps(name)
    value = json.dumps(ROOT_CLAIMS[name])
    payload = with_member(ROOT_CLAIMS, f"{spelled}:{value}")
    assert await refused(by_hand(HEADER, payload, RSA_KEY, "RS256")) is Reason.TOKEN_MALFORMED


@pytest.mark.parametrize(
    "member", ['"x":{"a":1,"a":1}', '"x":[{"a":1},{"b":[{"c":0,"c":0}]}]', '"act":{"sub":"spiffe://a.test/x","sub":""}']
)
async def test_at_any_depth(member: str) -> None:
    payload = with_member(ROOT_CLAIMS, member)
    assert await refused(by_hand(HEADER, payload, RSA_KEY, "RS256")) is Reason.TOKEN_MALFORMED


@pytest.mark.parametrize("name", ["alg", "typ", "kid", "x"])
async def test_in_the_header(name: str) -> None:
    for header in (
        HEADER[:-1] + f',"{name}":"rsa-1","{name}":"rsa-1"}}'.encode(),
        f'{{"{name}":"none",'.encode() + HEADER[1:-1] + f',"{name}":"x"}}'.encode(),
    ):
        assert await refused(by_hand(header, json.dumps(ROOT_CLAIMS).encode(), RSA_KEY, "RS256")) is (
            Reason.TOKEN_MALFORMED
        )


@pytest.mark.parametrize("name", [*HOP_CLAIMS, "tctx"])
async def test_in_a_hop_token(name: str) -> None:
    """Ours are never written so; if one ever were, it would have two meanings."""
    value = json.dumps(HOP_CLAIMS.get(name, {}))
    payload = with_member({**HOP_CLAIMS, name: HOP_CLAIMS.get(name, {})}, f"{json.dumps(name)}:{value}")
    token = SIGNER.sign_bytes(payload, {"typ": "at+jwt"})
    assert await refused(token) is Reason.TOKEN_MALFORMED


async def test_names_that_only_look_alike_are_two_names() -> None:
    payload = with_member(ROOT_CLAIMS, '"Sub":"admin","sub\\u0000":"admin"')
    assert await accepted(by_hand(HEADER, payload, RSA_KEY, "RS256"))
    assert await accepted(
        by_hand(HEADER.replace(b"RS256", b"ES256").replace(b"rsa-1", b"ec-1"), payload, EC_KEY, "ES256")
    )
