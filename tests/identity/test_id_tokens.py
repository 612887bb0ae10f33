"""Who logged in: an ID token counts only if every word of it is right."""

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.core.errors import TokenError
from gateway.core.reasons import Reason
from gateway.identity.id_tokens import subject_of
from gateway.identity.keysets import KeySet
from gateway.identity.tokens import TrustedIssuer
from tests.identity.issuing import ISSUER, NOW, Loads, changed, issuer, sign

CLAIMS = {"iss": ISSUER, "sub": "maria", "aud": "login", "iat": NOW - 1, "exp": NOW + 60, "nonce": "n-1"}


def trusted() -> TrustedIssuer:
    configured = issuer()
    return TrustedIssuer(configured, KeySet(configured, Loads(), lambda *_: None))


async def subject(token: str) -> str:
    return await subject_of(token, trusted(), "login", "n-1", NOW)


@pytest.mark.parametrize("more", [{}, {"aud": ["login"]}, {"azp": "login"}])
async def test_a_good_one_names_its_subject(more: dict[str, Any]) -> None:
    assert await subject(sign(changed(CLAIMS, **more), header={"typ": "JWT"})) == "maria"


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"iss": "https://other.test"}, Reason.TOKEN_ISSUER),
        ({"iss": ...}, Reason.TOKEN_ISSUER),
        ({"aud": "ide"}, Reason.TOKEN_AUDIENCE),
        ({"aud": ["login", "ide"]}, Reason.TOKEN_AUDIENCE),
        ({"aud": ...}, Reason.TOKEN_AUDIENCE),
        ({"azp": "ide"}, Reason.TOKEN_AUDIENCE),
        ({"nonce": "n-2"}, Reason.TOKEN_CLAIMS),
        ({"nonce": ...}, Reason.TOKEN_CLAIMS),
        ({"exp": NOW - 60}, Reason.TOKEN_EXPIRED),
        ({"exp": ...}, Reason.TOKEN_CLAIMS),
        ({"iat": NOW + 60}, Reason.TOKEN_EXPIRED),
        ({"iat": ...}, Reason.TOKEN_CLAIMS),
        ({"sub": ...}, Reason.TOKEN_CLAIMS),
        ({"sub": ["maria"]}, Reason.TOKEN_CLAIMS),
    ],
)
async def test_any_other_is_refused(more: dict[str, Any], reason: Reason) -> None:
    with pytest.raises(TokenError) as refused:
        await subject(sign(changed(CLAIMS, **more)))
    assert refused.value.reason is reason


async def test_a_signature_of_somebody_elses_is_refused() -> None:
    with pytest.raises(TokenError) as refused:
        await subject(sign(CLAIMS, rsa.generate_private_key(65537, 2048)))
    assert refused.value.reason is Reason.TOKEN_SIGNATURE
    with pytest.raises(TokenError) as refused:
        await subject(sign(CLAIMS, header={"alg": "none"}))
    assert refused.value.reason is Reason.TOKEN_SIGNATURE


@pytest.mark.parametrize(
    ("token", "detail"),
    [
        (sign(CLAIMS, header={"alg": "PS256"}), "alg is none that issuer corp is configured for"),
        (sign(changed(CLAIMS, iss="https://other.test")), "the ID token is another issuer's"),
        (sign(changed(CLAIMS, aud="ide")), "the ID token is for another client"),
        (sign(changed(CLAIMS, azp="ide")), "the ID token is for another client"),
        (sign(changed(CLAIMS, iat=NOW + 31)), "the token is not valid yet"),
        (sign(changed(CLAIMS, exp=NOW - 30)), "the ID token is expired"),
        (sign(changed(CLAIMS, nonce="n-2")), "the ID token is of another login (nonce)"),
        (sign(changed(CLAIMS, pad="x" * 16384)), "the token is malformed: it is longer than 16384 bytes"),
    ],
)
async def test_a_refusal_says_what_is_wrong(token: str, detail: str) -> None:
    with pytest.raises(TokenError) as refused:
        await subject(token)
    assert refused.value.detail == detail


@pytest.mark.parametrize("more", [{"exp": NOW - 29}, {"iat": NOW + 30}])
async def test_leeway(more: dict[str, Any]) -> None:
    assert await subject(sign(changed(CLAIMS, **more))) == "maria"
