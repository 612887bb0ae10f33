import copy
import json
import warnings
from typing import Any

import pytest
from a2a.types import AgentCard
from a2a.utils.signing import SignatureVerificationError, create_agent_card_signer, create_signature_verifier
from google.protobuf.json_format import MessageToDict, ParseDict
from hypothesis import given
from hypothesis import strategies as st
from jwt import PyJWK

from gateway.identity.cards import CardError, pinned_key, sign_card, verify_card
from gateway.identity.jose import canonical_base64url, decode_base64url
from gateway.identity.signer import Signer, generate_key_pem, load_signer

JWKS_URL = "https://gw.test/.well-known/jwks.json"
CARD: dict[str, Any] = {
    "name": "Analyst",
    "description": "Reads ledgers, écrit en français \u20ac",
    "version": "1.2.0",
    "supportedInterfaces": [
        {"url": "https://gw.test/a2a/analyst", "protocolBinding": "JSONRPC", "protocolVersion": "1.0", "tenant": ""}
    ],
    "capabilities": {
        "streaming": False,
        "extensions": [
            {"uri": "https://x.test/e", "required": False, "params": {"n": 1.0, "on": False, "required": False}},
            {"required": False},
        ],
    },
    "securitySchemes": {
        "mutualTls": {"mtlsSecurityScheme": {"description": "SPIFFE"}},
        "oauth": {
            "oauth2SecurityScheme": {
                "flows": {
                    "authorizationCode": {
                        "authorizationUrl": "https://i.test/a",
                        "tokenUrl": "https://i.test/t",
                        "scopes": {"read": ""},
                        "pkceRequired": False,
                    }
                }
            }
        },
    },
    "securityRequirements": [{"schemes": {"mutualTls": {"list": []}}}],
    "defaultInputModes": ["text/plain"],
    "defaultOutputModes": ["text/plain"],
    "skills": [{"id": "s", "name": "S", "description": "", "tags": [], "examples": ["\u2028 \U0001f600"]}],
}


@pytest.fixture(scope="module")
def key_pem() -> bytes:
    return generate_key_pem()


@pytest.fixture(scope="module")
def signer(key_pem: bytes) -> Signer:
    return load_signer(key_pem)


def sdk_verify(card: dict[str, Any], signer: Signer) -> None:
    """Verify as the official SDK does: parse the JSON, rebuild the payload from the message."""
    key = PyJWK(signer.jwks()["keys"][0])
    seen: list[tuple[str | None, str | None]] = []

    def provide(kid: str | None, jku: str | None) -> PyJWK:
        seen.append((kid, jku))
        return key

    with warnings.catch_warnings(action="ignore"):
        create_signature_verifier(provide, ["ES256"])(ParseDict(json.loads(json.dumps(card)), AgentCard()))
    assert seen == [(signer.kid, JWKS_URL)]


class TestSigned:
    def test_the_official_sdk_accepts_it(self, signer: Signer) -> None:
        sdk_verify(sign_card(CARD, signer, JWKS_URL), signer)

    def test_the_official_sdk_notices_a_change(self, signer: Signer) -> None:
        card = sign_card(CARD, signer, JWKS_URL)
        card["supportedInterfaces"] = [{**card["supportedInterfaces"][0], "url": "https://evil.test/"}]
        with pytest.raises(SignatureVerificationError):
            sdk_verify(card, signer)

    def test_protected_header(self, signer: Signer) -> None:
        (signature,) = sign_card(CARD, signer, JWKS_URL)["signatures"]
        header = json.loads(decode_base64url(signature["protected"]) or b"")
        assert header == {"alg": "ES256", "typ": "JOSE", "kid": signer.kid, "jku": JWKS_URL}

    def test_replaces_the_upstreams_signatures_and_nothing_else(self, signer: Signer) -> None:
        before = {**CARD, "signatures": [{"protected": "theirs", "signature": "theirs"}]}
        kept = copy.deepcopy(before)
        after = sign_card(before, signer, JWKS_URL)
        assert before == kept
        assert {**after, "signatures": None} == {**CARD, "signatures": None}
        assert len(after["signatures"]) == 1

    def test_verifies_with_its_own_key(self, signer: Signer) -> None:
        assert verify_card(sign_card(CARD, signer, JWKS_URL), pinned_key(signer.jwks()["keys"][0]))

    @pytest.mark.parametrize("value", [float("nan"), 2**60, "\ud800"])
    def test_refuses_what_has_no_canonical_form(self, signer: Signer, value: Any) -> None:
        with pytest.raises(CardError, match="no canonical form"):
            sign_card({**CARD, "name": value}, signer, JWKS_URL)

    @given(
        st.recursive(
            st.none() | st.just(""),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        )
    )
    def test_empty_values_never_matter(self, signer: Signer, empty: Any) -> None:
        card = {**sign_card(CARD, signer, JWKS_URL), "iconUrl": empty}
        assert verify_card(card, pinned_key(signer.jwks()["keys"][0]))


class TestPinned:
    @pytest.fixture
    def sdk_card(self, key_pem: bytes) -> dict[str, Any]:
        """A card signed by the official SDK, as an upstream would serve it."""
        sign = create_agent_card_signer(key_pem, {"alg": "ES256", "kid": "any", "jku": None, "typ": "JOSE"})
        with warnings.catch_warnings(action="ignore"):
            return MessageToDict(sign(ParseDict(CARD, AgentCard())))

    def test_accepts_the_official_sdks_signature(self, signer: Signer, sdk_card: dict[str, Any]) -> None:
        assert verify_card(sdk_card, pinned_key(signer.jwks()["keys"][0]))

    def test_refuses_another_key(self, sdk_card: dict[str, Any]) -> None:
        assert not verify_card(sdk_card, pinned_key(load_signer(generate_key_pem()).jwks()["keys"][0]))

    def test_refuses_a_changed_card(self, signer: Signer, sdk_card: dict[str, Any]) -> None:
        assert not verify_card({**sdk_card, "name": "Admin"}, pinned_key(signer.jwks()["keys"][0]))

    def test_accepts_the_literal_form_of_the_specification(self, signer: Signer) -> None:
        """§8.4.1 keeps required fields that are empty; the SDKs don't."""
        card = {"name": "A", "description": "", "skills": [], "capabilities": {"streaming": False}}
        payload = b'{"capabilities":{"streaming":false},"description":"","name":"A","skills":[]}'
        protected, _, signature = signer.sign_bytes(payload, {"typ": "JOSE"}).split(".")
        signed = {**card, "signatures": [{"protected": protected, "signature": signature}]}
        assert verify_card(signed, pinned_key(signer.jwks()["keys"][0]))

    @pytest.mark.parametrize(
        "signatures",
        [
            None,
            [],
            "x",
            [None],
            [{}],
            [{"protected": 1, "signature": "AA"}],
            [{"protected": "AA", "signature": "AA"}],
            [{"protected": canonical_base64url(b'{"alg":"none"}'), "signature": ""}],
            [{"protected": canonical_base64url(b'{"alg":"ES256"}'), "signature": None}],
            [{"protected": canonical_base64url(b'{"alg":"ES256"}'), "signature": "AAAA"}],
            [{"protected": canonical_base64url(b'{"alg":"HS256"}'), "signature": "AAAA"}],
        ],
    )
    def test_refuses_what_is_no_signature(self, signer: Signer, signatures: Any) -> None:
        assert not verify_card({**CARD, "signatures": signatures}, pinned_key(signer.jwks()["keys"][0]))

    @pytest.mark.parametrize("jwk", [{}, {"kty": "oct", "k": "AAAA"}, {"kty": "EC", "crv": "P-256", "x": "", "y": ""}])
    def test_refuses_to_pin_what_is_no_public_key(self, jwk: dict[str, Any]) -> None:
        with pytest.raises(CardError, match="no usable public signature key"):
            pinned_key(jwk)
