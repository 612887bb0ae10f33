"""Tokens as a whole: every field that is read of each kind, and what each refusal tells the reader."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from gateway.core.errors import TokenError
from gateway.core.model import ExchangedToken, HopToken, Peer, RootToken, SpiffeId, User
from gateway.core.reasons import Reason
from gateway.identity.jose import parse_compact
from gateway.identity.keysets import KeySet
from gateway.identity.signer import EXCHANGED_TOKEN_TYPE, generate_key_pem, load_signer
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
    SIGNER,
    Loads,
    accepted,
    changed,
    issuer,
    sign,
    verifier,
)

FAR = "spiffe://far.test/gateway"
MARIA = User(ISSUER, "corp", "maria", "maria@corp.test", ("lead",), ("finance-leads",))
CHAIN: dict[str, Any] = {
    "sub": "corp|maria", "audience": "https://analyst.test/", "actors": (SpiffeId(PLANNER), SpiffeId(ANALYST)),
    "txn": "t-1", "ceiling": frozenset({"ledger/read_balance", "analyst/delegate"}), "depth": 2, "max_depth": 4,
    "root_expires": NOW + 600, "expires": NOW + 110, "user": MARIA, "purpose": "close", "via": SpiffeId(FAR),
    "jti": "j-1", "parent": "ab" * 32,
}  # fmt: skip
DEEP = changed(
    HOP_CLAIMS,
    del_depth=2,
    client_id=ANALYST,
    act={"sub": ANALYST, "act": {"sub": PLANNER}},
    tctx={"purpose": "close"},
    via=FAR,
)


def exchanged(**changes: Any) -> str:
    return SIGNER.sign(changed(DEEP, **changes), EXCHANGED_TOKEN_TYPE)


class TestWhole:
    async def test_root_token(self) -> None:
        text = sign(changed(ROOT_CLAIMS, jti="r-1"))
        assert await accepted(text, verifier(shared_by=frozenset({"planner"}))) == RootToken(
            user=MARIA,
            client="ide",
            scopes=frozenset({"ledger/read_balance"}),
            expires=NOW + 600,
            digest=parse_compact(text, 8192).digest,
            jti="r-1",
            shared_by=frozenset({"planner"}),
        )

    async def test_hop_token(self) -> None:
        text = SIGNER.sign(DEEP)
        assert await accepted(text) == HopToken(**CHAIN, digest=parse_compact(text, 8192).digest)

    async def test_exchanged_token(self) -> None:
        text = exchanged()
        assert await accepted(text) == ExchangedToken(
            **CHAIN, digest=parse_compact(text, 8192).digest, x5t=HOP_CLAIMS["cnf"]["x5t#S256"]
        )

    async def test_a_foreign_user_is_known_in_chains_alone(self) -> None:
        configured = issuer()
        trusted = TrustedIssuer(configured, KeySet(configured, Loads(), lambda *_: None))
        foreign = {"far": "https://far.test", "corp": "https://impostor.test"}
        checker = TokenVerifier([trusted], OwnIssuer(GATEWAY, SIGNER.verification_keys), foreign=foreign)
        token = await accepted(SIGNER.sign(changed(HOP_CLAIMS, sub="far|ann")), checker)
        assert token.user is not None
        assert (token.user.issuer, token.user.sub) == ("https://far.test", "far|ann")
        ours = await accepted(SIGNER.sign(HOP_CLAIMS), checker)
        assert ours.user == MARIA, "a peer's issuer takes no name of ours"


class TestOwn:
    async def test_the_token_endpoint_reads_what_a_route_reads(self) -> None:
        for text in (SIGNER.sign(HOP_CLAIMS), exchanged()):
            assert verifier().verify_own(text, NOW) == await accepted(text)

    async def test_under_other_keys_user_tokens_stay(self) -> None:
        newer = load_signer(generate_key_pem())
        first = verifier()
        later = first.under(OwnIssuer(GATEWAY, newer.verification_keys))
        assert later.verify_own(newer.sign(HOP_CLAIMS), NOW)
        assert first.verify_own(SIGNER.sign(HOP_CLAIMS), NOW), "the verifier itself is as it was"
        assert await accepted(sign(ROOT_CLAIMS), later)
        with pytest.raises(TokenError, match="no key of this gateway"):
            later.verify_own(SIGNER.sign(HOP_CLAIMS), NOW)

    async def test_keys_that_may_not_be_used_verify_nothing(self) -> None:
        def never() -> None:
            raise TokenError(Reason.KEYS_UNAVAILABLE, "not now")

        checker = verifier().under(OwnIssuer(GATEWAY, SIGNER.verification_keys, require=never))
        with pytest.raises(TokenError, match="not now"):
            checker.verify_own(SIGNER.sign(HOP_CLAIMS), NOW)
        assert await accepted(sign(ROOT_CLAIMS), checker)

    @pytest.mark.parametrize(
        ("text", "reason", "detail"),
        [
            (
                sign(ROOT_CLAIMS),
                Reason.TOKEN_ISSUER,
                "only tokens of this gateway are exchanged; a user's token is presented at the route itself",
            ),
            (sign(HOP_CLAIMS), Reason.TOKEN_SIGNATURE, "no key of this gateway verifies the token"),
            (SIGNER.sign(HOP_CLAIMS, "jwt"), Reason.TOKEN_TYPE, "it is no hop token"),
            (
                exchanged(act=..., del_depth=0, client_id="ide"),
                Reason.CHAIN_FORGED,
                "a token of the token endpoint without an actor",
            ),
            (
                "x" * 8193,
                Reason.TOKEN_MALFORMED,
                "the token is malformed: it is longer than 8192 bytes",
            ),
        ],
    )
    def test_refusals(self, text: str, reason: Reason, detail: str) -> None:
        with pytest.raises(TokenError) as caught:
            verifier().verify_own(text, NOW)
        assert (caught.value.reason, caught.value.detail) == (reason, detail)


def by_header(text: str) -> Callable[[], Awaitable[Any]]:
    return lambda: verifier().verify(text, ROUTE, NOW)


def hop(now: int = NOW, **claims: Any) -> Callable[[], Awaitable[Any]]:
    return lambda: accepted(SIGNER.sign(changed(HOP_CLAIMS, **claims)), now=now)


def root(header: Mapping[str, Any] | None = None, now: int = NOW, **claims: Any) -> Callable[[], Awaitable[Any]]:
    return lambda: accepted(sign(changed(ROOT_CLAIMS, **claims), EC_KEY, header), now=now)


ACTORS = {"sub": PLANNER}
FORGED, CLAIMS = Reason.CHAIN_FORGED, Reason.TOKEN_CLAIMS
PLAIN = "is not a plain string of at most 1024 characters"


@pytest.mark.parametrize(
    ("attempt", "reason", "detail"),
    [
        (by_header("Basic x"), Reason.TOKEN_MALFORMED, "the Authorization scheme is not Bearer"),
        (root(iss="https://other.test"), Reason.TOKEN_ISSUER, "iss is 'https://other.test'"),
        (root(iss="x" * 300), Reason.TOKEN_ISSUER, f"iss is '{'x' * 200}'"),
        (root({"alg": "PS256"}), Reason.TOKEN_SIGNATURE, "alg is none that issuer corp is configured for"),
        (root({"typ": "JWT"}), Reason.TOKEN_TYPE, "typ is none that is accepted from issuer corp"),
        (root({"kid": "rsa-1"}), Reason.TOKEN_SIGNATURE, "no key of issuer corp verifies the token"),
        (root(nonce="n"), Reason.TOKEN_TYPE, "its claims are those of an ID, refresh or logout token"),
        (root(typ="Refresh"), Reason.TOKEN_TYPE, "its claims are those of an ID, refresh or logout token"),
        (
            root(aud="https://gw.test"),
            Reason.TOKEN_AUDIENCE,
            "aud is not exactly this route's resource or the issuer's audience",
        ),
        (root(iat=NOW + 31), Reason.TOKEN_EXPIRED, "the token is not valid yet"),
        (root(exp=NOW - 30), Reason.TOKEN_EXPIRED, "the token is expired"),
        (
            root(cnf={"x5t#S256": "x"}),
            CLAIMS,
            "the token is bound to a key (cnf) that is not the presenting certificate's",
        ),
        (root(sub=1), CLAIMS, f"claim sub {PLAIN}"),
        (root(azp=...), CLAIMS, f"claim client_id {PLAIN}"),
        (root(azp=7), CLAIMS, f"claim azp {PLAIN}"),
        (root(email=7), CLAIMS, f"claim email {PLAIN}"),
        (root(jti=7), CLAIMS, f"claim jti {PLAIN}"),
        (root(roles="lead"), CLAIMS, "claim roles is not a list of at most 256 strings"),
        (root(groups=["g", 7]), CLAIMS, f"claim groups {PLAIN}"),
        (root(scope=7), CLAIMS, "claim scope is not a space-separated list of scopes"),
        (root(scope=..., scp=7), CLAIMS, "claim scp is not a list of at most 256 strings"),
        (root(scope=..., scp="\\"), CLAIMS, "claim scp is not a space-separated list of scopes"),
        (root(exp="x"), CLAIMS, "claim exp is not a NumericDate"),
        (root(iat="x"), CLAIMS, "claim iat is not a NumericDate"),
        (root(nbf="x"), CLAIMS, "claim nbf is not a NumericDate"),
        (hop(exp="x"), CLAIMS, "claim exp is not a NumericDate"),
        (hop(root_exp="x"), CLAIMS, "claim root_exp is not a NumericDate"),
        (hop(del_depth="x"), CLAIMS, "claim del_depth is not a small integer"),
        (hop(del_max_depth=256), CLAIMS, "claim del_max_depth is not a small integer"),
        (hop(act=[]), FORGED, "act is not a chain of actors"),
        (hop(act={"sub": "planner"}), FORGED, "an actor is no SPIFFE ID"),
        (hop(act={}), CLAIMS, f"claim sub {PLAIN}"),
        (hop(del_depth=2), FORGED, "del_depth is not the number of actors"),
        (hop(del_max_depth=0), FORGED, "del_depth is over del_max_depth"),
        (hop(client_id=ANALYST), FORGED, "client_id is not the current actor"),
        (
            hop(act=..., del_depth=0),
            FORGED,
            "client_id is a workload, but there is no actor",
        ),
        (hop(sub=ANALYST), FORGED, "sub is a workload other than the entry agent"),
        (
            hop(sub=PLANNER, act=..., del_depth=0, client_id="ide"),
            FORGED,
            "sub is a workload other than the entry agent",
        ),
        (hop(exp=NOW - 11), FORGED, "iat, exp and root_exp are out of order"),
        (hop(root_exp=NOW + 109), FORGED, "iat, exp and root_exp are out of order"),
        (hop(now=NOW + 600), Reason.CHAIN_EXPIRED, "the chain reached root_exp"),
        (hop(sub="maria"), CLAIMS, "claim sub is neither <idp>|<subject> nor a SPIFFE ID"),
        (hop(sub="corp|"), CLAIMS, "claim sub is neither <idp>|<subject> nor a SPIFFE ID"),
        (
            hop(sub=f"{'g' * 70}|maria"),
            Reason.TOKEN_ISSUER,
            f"the user's issuer '{'g' * 64}' is not configured any more",
        ),
        (hop(cnf={"jkt": "x"}), CLAIMS, "claim cnf is not a certificate thumbprint"),
        (hop(cnf={"x5t#S256": 7}), CLAIMS, f"claim x5t#S256 {PLAIN}"),
        (hop(via="far"), FORGED, "via is no SPIFFE ID"),
        (hop(via=7), CLAIMS, f"claim via {PLAIN}"),
        (hop(tctx="close"), CLAIMS, "claim tctx is not an object"),
        (hop(tctx={"purpose": 7}), CLAIMS, f"claim purpose {PLAIN}"),
        (hop(scope=7), CLAIMS, "claim scope is not a space-separated list of scopes"),
        (hop(del_scope=7), CLAIMS, "claim del_scope is not a space-separated list of scopes"),
        *((hop(**{name: 7}), CLAIMS, f"claim {name} {PLAIN}") for name in ("aud", "txn", "jti", "par_hash", "email")),
        *((hop(**{name: 7}), CLAIMS, f"claim {name} {PLAIN}") for name in ("sub", "client_id")),
        (hop(roles=7), CLAIMS, "claim roles is not a list of at most 256 strings"),
        (hop(groups=7), CLAIMS, "claim groups is not a list of at most 256 strings"),
    ],
)
async def test_refusals_say_what_is_wrong(attempt: Callable[[], Awaitable[Any]], reason: Reason, detail: str) -> None:
    with pytest.raises(TokenError) as caught:
        await attempt()
    assert (caught.value.reason, caught.value.detail) == (reason, detail)


class TestBounds:
    @pytest.mark.parametrize(
        "claims",
        [
            {"sub": "x" * 1024, "roles": ["r"] * 256},
            {"aud": [ROUTE.resource]},
            {"aud": "https://gw.test/all"},
            {"exp": NOW - 29},
            {"typ": "Bearer"},
            {"exp": 2**53},
            {"iat": 0},
            {"scope": "a  b"},
        ],
    )
    async def test_of_root_tokens(self, claims: Mapping[str, Any]) -> None:
        assert await accepted(sign(changed(ROOT_CLAIMS, **claims)), verifier(audience="https://gw.test/all"))

    @pytest.mark.parametrize(
        "claims",
        [
            {"del_max_depth": 255},
            {"del_max_depth": 1},
            {"exp": NOW - 10},
            {"exp": NOW + 600},
            {"iat": NOW + 30, "nbf": NOW + 30},
            {"tctx": {}},
            {"act": ..., "del_depth": 0, "client_id": "ide", "del_max_depth": 0},
        ],
    )
    async def test_of_hop_tokens(self, claims: Mapping[str, Any]) -> None:
        assert await accepted(SIGNER.sign(changed(HOP_CLAIMS, **claims)))

    async def test_a_subject_may_hold_bars(self) -> None:
        token = await accepted(SIGNER.sign(changed(HOP_CLAIMS, sub="corp|auth0|maria")))
        assert token.user is not None
        assert (token.user.idp, token.user.subject) == ("corp", "auth0|maria")

    async def test_a_key_bound_token_needs_a_certificate(self) -> None:
        text = sign(changed(ROOT_CLAIMS, cnf={"x5t#S256": "P" * 43}))
        for proof, may in (("x509-svid", True), ("jwt-svid", False)):
            peer = Peer(SpiffeId(PLANNER), "a.test", "P" * 43, NOW + 1000, proof=proof)  # type: ignore[arg-type]
            try:
                assert await accepted(text, peer=peer)
                assert may
            except TokenError:
                assert not may
