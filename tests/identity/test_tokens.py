import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import TokenError
from gateway.core.model import HopToken, Peer, RootToken, SpiffeId
from gateway.core.reasons import Reason
from gateway.identity.issuers import ClaimNames
from gateway.identity.jose import parse_compact
from gateway.identity.keysets import KeySet
from gateway.identity.tokens import OwnIssuer, TokenVerifier, TrustedIssuer
from tests.identity.issuing import (
    ANALYST,
    EC_KEY,
    GATEWAY,
    HOP_CLAIMS,
    ISSUER,
    NOW,
    PLANNER,
    ROOT_CLAIMS,
    ROUTE,
    RSA_KEY,
    SIGNER,
    SIGNER_PEM,
    Loads,
    accepted,
    by_hand,
    changed,
    issuer,
    refused,
    sign,
    verifier,
)

PEER = Peer(SpiffeId(PLANNER), "a.test", "P" * 43, NOW + 1000)


async def root(**claims: Any) -> RootToken:
    token = await accepted(sign(changed(ROOT_CLAIMS, **claims)))
    assert isinstance(token, RootToken)
    return token


async def hop(**claims: Any) -> HopToken:
    token = await accepted(SIGNER.sign(changed(HOP_CLAIMS, **claims)))
    assert isinstance(token, HopToken)
    return token


class TestRootToken:
    async def test_says_who_by_which_client_and_what(self) -> None:
        text = sign(ROOT_CLAIMS)
        token = await accepted(text)
        assert isinstance(token, RootToken)
        assert (token.user.sub, token.user.issuer, token.user.email) == ("corp|maria", ISSUER, "maria@corp.test")
        assert (token.user.roles, token.user.groups) == (("lead",), ("finance-leads",))
        assert (token.client, token.expires) == ("ide", NOW + 600)
        assert token.scopes == {"ledger/read_balance"}
        assert token.digest == parse_compact(text, 8192).digest

    async def test_by_each_configured_algorithm(self) -> None:
        assert await accepted(sign(ROOT_CLAIMS, RSA_KEY))
        assert await accepted(sign(ROOT_CLAIMS, EC_KEY))
        assert await refused(sign(ROOT_CLAIMS, EC_KEY), verifier(algorithms=("RS256",))) is Reason.TOKEN_SIGNATURE

    async def test_scheme_is_case_insensitive(self) -> None:
        assert await verifier().verify(f"bEARER  {sign(ROOT_CLAIMS)}", ROUTE, NOW)

    @pytest.mark.parametrize("scheme", ["", "Basic ", "DPoP ", "Bearer", "Bearer\t", "Token Bearer "])
    async def test_other_schemes(self, scheme: str) -> None:
        with pytest.raises(TokenError) as caught:
            await verifier().verify(scheme + sign(ROOT_CLAIMS), ROUTE, NOW)
        assert caught.value.reason is Reason.TOKEN_MALFORMED

    @pytest.mark.parametrize(
        ("claims", "scopes"),
        [
            ({"scope": ...}, set()),
            ({"scope": ""}, set()),
            ({"scope": "openid"}, set()),
            ({"scope": "ledger.read"}, {"ledger/read_balance"}),
            ({"scope": "LEDGER.READ"}, set()),
            ({"scope": ..., "scp": "x ledger.read"}, {"ledger/read_balance"}),
            ({"scope": ..., "scp": ["ledger.read"]}, {"ledger/read_balance"}),
            ({"scope": "openid", "scp": ["ledger.read"]}, set()),
        ],
    )
    async def test_scopes_are_mapped_and_never_guessed(self, claims: dict[str, Any], scopes: set[str]) -> None:
        assert (await root(**claims)).scopes == scopes

    async def test_ceiling_is_added(self) -> None:
        token = await accepted(sign(changed(ROOT_CLAIMS, scope=...)), verifier(ceiling=("a/b",)))
        assert isinstance(token, RootToken)
        assert token.scopes == {"a/b"}

    async def test_client_falls_back_to_client_id(self) -> None:
        assert (await root(client_id="other")).client == "ide"
        assert (await root(azp=..., client_id="other")).client == "other"

    async def test_claims_that_are_never_read(self) -> None:
        names = ClaimNames(email=None, roles=None, groups="teams")
        token = await accepted(sign(changed(ROOT_CLAIMS, teams=["x"])), verifier(claims=names))
        assert isinstance(token, RootToken)
        assert (token.user.email, token.user.roles, token.user.groups) == (None, (), ("x",))

    @pytest.mark.parametrize(
        ("claims", "reason"),
        [
            ({"iss": "https://other.test"}, Reason.TOKEN_ISSUER),
            ({"iss": f"{ISSUER}/"}, Reason.TOKEN_ISSUER),
            ({"iss": ...}, Reason.TOKEN_ISSUER),
            ({"iss": [ISSUER]}, Reason.TOKEN_ISSUER),
            ({"exp": ...}, Reason.TOKEN_CLAIMS),
            ({"exp": None}, Reason.TOKEN_CLAIMS),
            ({"exp": "1900000000"}, Reason.TOKEN_CLAIMS),
            ({"exp": True}, Reason.TOKEN_CLAIMS),
            ({"exp": -1}, Reason.TOKEN_CLAIMS),
            ({"exp": 2**60}, Reason.TOKEN_CLAIMS),
            ({"exp": NOW - 30}, Reason.TOKEN_EXPIRED),
            ({"iat": ...}, Reason.TOKEN_CLAIMS),
            ({"iat": NOW + 31}, Reason.TOKEN_EXPIRED),
            ({"nbf": NOW + 31}, Reason.TOKEN_EXPIRED),
            ({"nbf": "x"}, Reason.TOKEN_CLAIMS),
            ({"sub": ...}, Reason.TOKEN_CLAIMS),
            ({"sub": ""}, Reason.TOKEN_CLAIMS),
            ({"sub": 7}, Reason.TOKEN_CLAIMS),
            ({"sub": "maria\n"}, Reason.TOKEN_CLAIMS),
            ({"sub": "x" * 1025}, Reason.TOKEN_CLAIMS),
            ({"azp": ...}, Reason.TOKEN_CLAIMS),
            ({"azp": ["ide"]}, Reason.TOKEN_CLAIMS),
            ({"email": ["a"]}, Reason.TOKEN_CLAIMS),
            ({"roles": "lead"}, Reason.TOKEN_CLAIMS),
            ({"groups": [1]}, Reason.TOKEN_CLAIMS),
            ({"groups": ["g"] * 257}, Reason.TOKEN_CLAIMS),
            ({"scope": ["ledger.read"]}, Reason.TOKEN_CLAIMS),
            ({"scope": "ledger.read\n"}, Reason.TOKEN_CLAIMS),
            ({"cnf": {"x5t#S256": "P" * 43}}, Reason.TOKEN_CLAIMS),
        ],
    )
    async def test_refusals(self, claims: dict[str, Any], reason: Reason) -> None:
        assert await refused(sign(changed(ROOT_CLAIMS, **claims))) is reason

    @pytest.mark.parametrize("claims", [{"exp": NOW - 29}, {"iat": NOW + 30}, {"nbf": NOW + 30}, {"exp": NOW + 0.5}])
    async def test_leeway(self, claims: dict[str, Any]) -> None:
        assert await root(**claims)

    async def test_bound_token_is_its_holders_only(self) -> None:
        bound = sign(changed(ROOT_CLAIMS, cnf={"x5t#S256": "P" * 43}))
        assert await accepted(bound, peer=PEER)
        for cnf in ({"x5t#S256": "Q" * 43}, {"jkt": "P" * 43}, {"x5t#S256": "P" * 43, "jkt": "x"}, None, {}):
            assert await refused(sign(changed(ROOT_CLAIMS, cnf=cnf)), peer=PEER) is Reason.TOKEN_CLAIMS

    async def test_too_long(self) -> None:
        assert await refused(sign(changed(ROOT_CLAIMS, pad="x" * 8192))) is Reason.TOKEN_MALFORMED

    async def test_keys_unavailable(self) -> None:
        assert await refused(sign(ROOT_CLAIMS), verifier(Loads(ValueError("down")))) is Reason.KEYS_UNAVAILABLE

    async def test_unusable_tokens_cause_no_fetch(self) -> None:
        loads = Loads()
        checker = verifier(loads)
        for token in (
            "a.b.c",
            sign(changed(ROOT_CLAIMS, iss="x")),
            sign(ROOT_CLAIMS, header={"typ": "JWT"}),
            sign(ROOT_CLAIMS, header={"alg": "PS256"}),
        ):
            await refused(token, checker)
        assert loads.calls == 0


class TestHopToken:
    async def test_says_the_chain(self) -> None:
        token = await hop(
            del_depth=2, client_id=ANALYST, act={"sub": ANALYST, "act": {"sub": PLANNER}}, tctx={"purpose": "close"}
        )
        assert (token.sub, token.audience, token.txn) == ("corp|maria", "https://analyst.test/", "t-1")
        assert token.actors == (PLANNER, ANALYST)
        assert (token.depth, token.max_depth, token.root_expires) == (2, 4, NOW + 600)
        assert token.ceiling == {"ledger/read_balance", "analyst/delegate"}
        assert token.purpose == "close"
        assert token.user is not None
        assert (token.user.issuer, token.user.idp, token.user.subject) == (ISSUER, "corp", "maria")
        assert (token.user.email, token.user.roles, token.user.groups) == (
            "maria@corp.test",
            ("lead",),
            ("finance-leads",),
        )

    async def test_of_a_user_only_client(self) -> None:
        token = await hop(del_depth=0, client_id="ide", act=...)
        assert (token.depth, token.actors) == (0, ())

    async def test_of_an_agent_without_user(self) -> None:
        token = await hop(sub=PLANNER, email=..., roles=..., groups=..., par_hash=...)
        assert (token.user, token.sub) == (None, PLANNER)

    async def test_proves_the_chain_after_its_own_expiry(self) -> None:
        text = SIGNER.sign(HOP_CLAIMS)
        assert await accepted(text, now=NOW + 599)
        assert await refused(text, now=NOW + 600) is Reason.CHAIN_EXPIRED

    async def test_missing_ceiling_is_nothing(self) -> None:
        assert (await hop(del_scope=...)).ceiling == frozenset()
        assert (await hop(del_scope="")).ceiling == frozenset()

    @pytest.mark.parametrize(
        ("claims", "reason"),
        [
            ({"del_depth": 0}, Reason.CHAIN_FORGED),
            ({"del_depth": 2}, Reason.CHAIN_FORGED),
            ({"act": ...}, Reason.CHAIN_FORGED),
            ({"act": {"sub": PLANNER, "act": {"sub": ANALYST}}}, Reason.CHAIN_FORGED),
            ({"act": {"sub": ANALYST}}, Reason.CHAIN_FORGED),
            ({"act": {"sub": "spiffe://a.test"}}, Reason.CHAIN_FORGED),
            ({"act": {"sub": PLANNER, "iss": "x"}}, Reason.CHAIN_FORGED),
            ({"act": PLANNER}, Reason.CHAIN_FORGED),
            ({"act": [{"sub": PLANNER}]}, Reason.CHAIN_FORGED),
            ({"act": {}}, Reason.TOKEN_CLAIMS),
            ({"client_id": ANALYST}, Reason.CHAIN_FORGED),
            ({"client_id": ...}, Reason.TOKEN_CLAIMS),
            ({"del_depth": 0, "act": ..., "client_id": PLANNER}, Reason.CHAIN_FORGED),
            ({"del_max_depth": 0}, Reason.CHAIN_FORGED),
            ({"del_depth": ...}, Reason.TOKEN_CLAIMS),
            ({"del_depth": "1"}, Reason.TOKEN_CLAIMS),
            ({"del_depth": True}, Reason.TOKEN_CLAIMS),
            ({"del_depth": 1.0}, Reason.TOKEN_CLAIMS),
            ({"del_depth": -1}, Reason.TOKEN_CLAIMS),
            ({"del_max_depth": 256}, Reason.TOKEN_CLAIMS),
            ({"root_exp": NOW + 100}, Reason.CHAIN_FORGED),
            ({"exp": NOW - 11}, Reason.CHAIN_FORGED),
            ({"root_exp": ...}, Reason.TOKEN_CLAIMS),
            ({"exp": ...}, Reason.TOKEN_CLAIMS),
            ({"iat": NOW + 31}, Reason.TOKEN_EXPIRED),
            ({"sub": ANALYST}, Reason.CHAIN_FORGED),
            ({"sub": "maria"}, Reason.TOKEN_CLAIMS),
            ({"sub": "corp|"}, Reason.TOKEN_CLAIMS),
            ({"sub": "gone|maria"}, Reason.TOKEN_ISSUER),
            ({"aud": ["https://analyst.test/"]}, Reason.TOKEN_CLAIMS),
            ({"aud": ...}, Reason.TOKEN_CLAIMS),
            ({"txn": ...}, Reason.TOKEN_CLAIMS),
            ({"jti": ...}, Reason.TOKEN_CLAIMS),
            ({"scope": ["a"]}, Reason.TOKEN_CLAIMS),
            ({"del_scope": ["a"]}, Reason.TOKEN_CLAIMS),
            ({"par_hash": 1}, Reason.TOKEN_CLAIMS),
            ({"cnf": ...}, Reason.TOKEN_CLAIMS),
            ({"cnf": {"jkt": "x"}}, Reason.TOKEN_CLAIMS),
            ({"tctx": "close"}, Reason.TOKEN_CLAIMS),
            ({"tctx": {"purpose": 1}}, Reason.TOKEN_CLAIMS),
            ({"groups": "finance-leads"}, Reason.TOKEN_CLAIMS),
        ],
    )
    async def test_refusals(self, claims: dict[str, Any], reason: Reason) -> None:
        assert await refused(SIGNER.sign(changed(HOP_CLAIMS, **claims))) is reason

    async def test_an_endless_chain_is_refused(self) -> None:
        act: dict[str, Any] = {"sub": PLANNER}
        for _ in range(20):
            act = {"sub": PLANNER, "act": act}
        assert await refused(SIGNER.sign(changed(HOP_CLAIMS, act=act, del_depth=20))) is Reason.CHAIN_FORGED
        for _ in range(40):
            act = {"sub": PLANNER, "act": act}
        assert await refused(SIGNER.sign(changed(HOP_CLAIMS, act=act, del_depth=61))) is Reason.TOKEN_MALFORMED

    @pytest.mark.parametrize("header", [{"kid": ...}, {"kid": "other"}, {"alg": "RS256"}, {"alg": "ES384"}])
    async def test_own_key_only(self, header: dict[str, Any]) -> None:
        text = sign(HOP_CLAIMS, EC_KEY, {"kid": SIGNER.kid} | header)
        assert await refused(text) is Reason.TOKEN_SIGNATURE
        assert await refused(sign(HOP_CLAIMS, EC_KEY, {"kid": SIGNER.kid})) is Reason.TOKEN_SIGNATURE

    async def test_own_key_must_be_named(self) -> None:
        assert await accepted(sign(HOP_CLAIMS, SIGNER_PEM, {"kid": SIGNER.kid}))
        assert await refused(sign(HOP_CLAIMS, SIGNER_PEM, {"kid": ...})) is Reason.TOKEN_SIGNATURE

    async def test_an_issuers_key_signs_nothing_of_ours(self) -> None:
        assert await refused(sign(HOP_CLAIMS, RSA_KEY)) is Reason.TOKEN_SIGNATURE


class TestConfiguration:
    def test_issuers_are_distinct(self) -> None:
        def trusted(**changes: Any) -> TrustedIssuer:
            configured = issuer(**changes)
            return TrustedIssuer(configured, KeySet(configured, Loads(), lambda *_: None))

        own = OwnIssuer(GATEWAY, SIGNER.verification_keys)
        for second in ({"name": "two"}, {"issuer": "https://two.test"}, {"name": "two", "issuer": GATEWAY}):
            with pytest.raises(ValueError, match="share an iss or a name"):
                TokenVerifier([trusted(), trusted(**second)], own)

    @pytest.mark.parametrize(
        "changes",
        [{"algorithms": ()}, {"algorithms": ("HS256",)}, {"algorithms": ("none",)}, {"name": ""}, {"name": "a|b"}],
    )
    def test_issuers_that_cannot_be(self, changes: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="issuer"):
            issuer(**changes)


VALID = {
    "root RS256": sign(ROOT_CLAIMS, RSA_KEY),
    "root ES256": sign(ROOT_CLAIMS, EC_KEY),
    "hop": SIGNER.sign(HOP_CLAIMS),
}


class TestProperties:
    @pytest.mark.parametrize("name", VALID)
    @given(data=st.data())
    async def test_no_altered_byte_verifies(self, name: str, data: st.DataObject) -> None:
        token = VALID[name]
        at = data.draw(st.integers(0, len(token) - 1))
        char = data.draw(st.sampled_from(string.printable.replace(token[at], "")))
        assert await refused(token[:at] + char + token[at + 1 :])

    @pytest.mark.parametrize("name", VALID)
    async def test_no_other_last_character_verifies(self, name: str) -> None:
        token = VALID[name]
        for char in string.ascii_letters + string.digits + "-_=":
            if char != token[-1]:
                assert await refused(token[:-1] + char)

    @given(st.text(max_size=80) | st.text("abcdeyJ.= Bearer", max_size=80).map("Bearer ".__add__))
    async def test_any_header_is_refused_with_a_reason(self, authorization: str) -> None:
        with pytest.raises(TokenError):
            await verifier().verify(authorization, ROUTE, NOW)

    @given(
        st.dictionaries(
            st.sampled_from([*HOP_CLAIMS, "tctx", "azp", "nonce"]),
            st.recursive(
                st.none()
                | st.booleans()
                | st.integers()
                | st.floats(allow_nan=False, allow_infinity=False)
                | st.text(max_size=5),
                lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
                max_leaves=5,
            ),
            max_size=4,
        )
    )
    async def test_any_signed_claims_are_read_or_refused(self, claims: dict[str, Any]) -> None:
        """An issuer, or a future version of ours, may sign nonsense."""
        for good, key in ((ROOT_CLAIMS, EC_KEY), (HOP_CLAIMS, None)):
            full = changed(good, **{name: value for name, value in claims.items() if name != "iss"})
            token = SIGNER.sign(full) if key is None else sign(full, key)
            try:
                await accepted(token)
            except TokenError as error:
                assert error.reason.status in (401, 403)

    @given(st.binary(max_size=40), st.binary(max_size=40))
    async def test_any_signed_bytes_are_refused(self, header: bytes, payload: bytes) -> None:
        with pytest.raises(TokenError):
            await accepted(by_hand(header, payload, EC_KEY, "ES256"))
