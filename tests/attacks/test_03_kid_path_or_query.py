"""Attack 3: a key id that is a path, a query or a command, in the hope that someone resolves it."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.reasons import Reason
from gateway.identity.issuers import JwksFile
from gateway.identity.keysets import KeySet, key_set
from gateway.identity.tokens import OwnIssuer, TokenVerifier, TrustedIssuer
from tests.identity.issuing import (
    EC_KEY,
    GATEWAY,
    HOP_CLAIMS,
    JWKS,
    ROOT_CLAIMS,
    RSA_KEY,
    SIGNER,
    Loads,
    accepted,
    issuer,
    refused,
    sign,
    verifier,
)

KIDS = [
    "../../../../dev/null",
    "..",
    "/a/../b",
    "file.pem\0",
    "rsa-1' OR '1'='1",
    "rsa-1; cat /etc/passwd",
    "$(id)",
    "rsa-1?x=1",
    "rsa-1#x",
    "rsa-1%00",
    "rsa-1\n",
    " rsa-1",
    "",
    "x" * 257,
    "\u0455",
    "rsa-1\u200b",
]


@pytest.mark.parametrize("kid", [*KIDS, 1, None, True, ["rsa-1"], {"kid": "rsa-1"}])
@pytest.mark.parametrize(("claims", "key"), [(ROOT_CLAIMS, RSA_KEY), (HOP_CLAIMS, EC_KEY)], ids=["user", "hop"])
async def test_is_malformed_before_anything_is_looked_up(claims: Any, key: Any, kid: object) -> None:
    loads = Loads()
    assert await refused(sign(claims, key, {"kid": kid}), verifier(loads)) is Reason.TOKEN_MALFORMED
    assert loads.calls == 0


@pytest.mark.parametrize(
    "kid", ["/etc/passwd", "https://evil.test/jwks.json", "http://169.254.169.254/", "RSA-1", "rsa"]
)
async def test_plain_but_unknown_ids_name_nothing(kid: str) -> None:
    assert await refused(sign(ROOT_CLAIMS, header={"kid": kid})) is Reason.TOKEN_SIGNATURE
    assert await refused(sign(HOP_CLAIMS, EC_KEY, {"kid": kid})) is Reason.TOKEN_SIGNATURE


async def test_only_the_configured_file_is_read(tmp_path: Path) -> None:
    """The attacker's JWKS lies beside the configured one, under a name that the key id spells."""
    configured, planted = tmp_path / "jwks.json", tmp_path / "planted.json"
    configured.write_text('{"keys":[]}')
    planted.write_text(json.dumps(JWKS))
    known = issuer(source=JwksFile(configured))
    keys: KeySet = key_set(known, lambda *_: None)
    checker = TokenVerifier([TrustedIssuer(known, keys)], OwnIssuer(GATEWAY, SIGNER.verification_keys))
    for kid in (str(planted), "planted.json", "rsa-1"):
        assert await refused(sign(ROOT_CLAIMS, header={"kid": kid}), checker) is Reason.TOKEN_SIGNATURE


@given(st.text(max_size=300).filter(lambda kid: kid not in ("rsa-1", "ec-1")))
async def test_no_other_id_selects_a_key(kid: str) -> None:
    reason = await refused(sign(ROOT_CLAIMS, header={"kid": kid}))
    assert reason in (Reason.TOKEN_MALFORMED, Reason.TOKEN_SIGNATURE)


async def test_ids_of_real_issuers_are_plain() -> None:
    for kid in ("kUXjo0DMWO3+kBmQ/y5KSZE=", "urn:ietf:params:oauth:jwk-thumbprint:sha-256:NzbLs", "a.b_c-d~1"):
        jwks = json.dumps({"keys": [JWKS["keys"][0] | {"kid": kid}]}).encode()
        assert await accepted(sign(ROOT_CLAIMS, header={"kid": kid}), verifier(Loads(jwks)))
