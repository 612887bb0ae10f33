"""Delegation word for word: every chain and every token's claims as a whole, and what each refusal tells the reader."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.core import delegation
from gateway.core.audit import token_digest
from gateway.core.errors import HopError, TokenError
from gateway.core.limits import Limits
from gateway.core.model import Chain, HopToken, Minted, Peer, RootToken, SpiffeId, User
from gateway.core.ports import Binding
from gateway.core.reasons import Reason
from tests.core.test_delegation import LIMITS, NOW, USER, agent, hop_to, registry, root, route

A, B, C = (SpiffeId(f"spiffe://td.test/{name}") for name in "abc")
ENTRY = agent("a", entry_point=True, clients=("cli",), scopes=("b/delegate", "ledger/read"))
KNOWN = registry(ENTRY, agent("b", scopes=("ledger/read", "ledger/pay")), agent("c"))
BOUND = Binding("agent:a", "txn-1", NOW + 600, NOW + 700)
TOKEN = HopToken(
    sub="corp|maria", audience="https://gw.test/a2a/b", actors=(A,), txn="txn-1",
    ceiling=frozenset({"ledger/read", "c/delegate"}), depth=1, max_depth=4, root_expires=NOW + 600, expires=NOW + 60,
    digest="digest-1", user=USER, purpose="close", via=SpiffeId("spiffe://far.test/gateway"), jti="j-1", parent="root",
)  # fmt: skip


class TestChains:
    def test_of_a_user_by_an_entry_agent(self) -> None:
        token = root(frozenset({"b/delegate", "c/delegate"}))
        assert delegation.begin(ENTRY, token, BOUND, NOW, LIMITS) == Chain(
            sub="corp|maria", actors=(A,), agents=("a",), txn="txn-1", root_expires=NOW + 600, max_depth=6,
            ceiling=frozenset({"b/delegate"}), parent="root", client="cli",
        )  # fmt: skip

    def test_of_a_user_by_their_own_client(self) -> None:
        token = root(frozenset({"b/delegate"}))
        bound = Binding("client:cli", "txn-2", NOW + 1, NOW + 2)
        assert delegation.begin(None, token, bound, NOW, LIMITS) == Chain(
            sub="corp|maria", actors=(), agents=(), txn="txn-2", root_expires=NOW + 1, max_depth=6,
            ceiling=frozenset({"b/delegate"}), parent="root", client="cli",
        )  # fmt: skip

    def test_of_an_agent_alone(self) -> None:
        assert delegation.begin_without_user(ENTRY, "txn-3", NOW, LIMITS) == Chain(
            sub=A, actors=(A,), agents=("a",), txn="txn-3", root_expires=NOW + 900, max_depth=6,
            ceiling=frozenset({"b/delegate", "ledger/read"}),
        )  # fmt: skip

    def test_continued(self) -> None:
        made = delegation.resume(KNOWN.agents["b"], TOKEN, route("c"), KNOWN, NOW)
        expected = Chain(
            sub="corp|maria", actors=(A, B), agents=("a", "b"), txn="txn-1", root_expires=NOW + 600, max_depth=4,
            ceiling=frozenset({"ledger/read"}), parent="digest-1", purpose="close",
            via=SpiffeId("spiffe://far.test/gateway"), way="header",
        )  # fmt: skip
        assert made == expected
        again = replace(TOKEN, actors=(B, A), depth=2)
        back = delegation.resume(KNOWN.agents["b"], again, route("c"), KNOWN, NOW, way="exchange")
        assert back == replace(expected, actors=(B, A, B), agents=("b", "a", "b"), reentry=True, way="exchange")

    def test_whether_one_was_continued(self) -> None:
        begun = delegation.begin(ENTRY, root(), BOUND, NOW, LIMITS)
        continued = delegation.resume(KNOWN.agents["b"], TOKEN, route("c"), KNOWN, NOW)
        alone = delegation.begin_without_user(ENTRY, "t", NOW, LIMITS)
        assert [delegation.was_continued(each) for each in (begun, continued, alone)] == [False, True, False]


class TestBinding:
    @pytest.mark.parametrize(("life", "ends"), [(899, 899), (900, 900), (901, 900)])
    def test_it_ends_with_the_token_or_the_root_ttl(self, life: int, ends: int) -> None:
        token = replace(root(), expires=NOW + life)
        made = delegation.proposed_binding(ENTRY, token, "txn-1", NOW, LIMITS)
        assert made == Binding("agent:a", "txn-1", NOW + ends, NOW + life)
        assert delegation.proposed_binding(None, token, "t", NOW, LIMITS).agent == "client:cli"

    @pytest.mark.parametrize(
        ("shared_by", "first", "may"),
        [
            ({"a", "z"}, "agent:z", True),
            ({"a", "z"}, "agent:a", False),
            ({"a"}, "agent:z", False),
            ({"z"}, "agent:z", False),
            ({"a", "z"}, "client:z", False),
            (set(), "agent:z", False),
        ],
    )
    def test_a_token_is_shared_by_the_agents_that_its_issuer_lists(
        self, shared_by: set[str], first: str, may: bool
    ) -> None:
        token = replace(root(), shared_by=frozenset(shared_by))
        assert delegation.shares(ENTRY, token, replace(BOUND, agent=first)) is may
        assert not delegation.shares(None, token, replace(BOUND, agent=first))


HOP = hop_to(Chain("corp|maria", (A, B), ("a", "b"), "txn-1", NOW + 600, 4, frozenset({"c/delegate"}), "digest-1"), "c")


class TestClaims:
    def minted(self, chain: Chain, user: User | None = USER, limits: Limits = LIMITS) -> Mapping[str, Any]:
        hop = replace(HOP, chain=chain, user=user, now=NOW * 1000 + 999)
        scopes = frozenset({"c/delegate", "a"}), frozenset({"y", "x"})
        return delegation.claims(hop, *scopes, issuer="https://gw.test", jti="j-2", x5t="thumb", limits=limits)

    def test_of_a_hop_token(self) -> None:
        chain = replace(HOP.chain, purpose="close", via=SpiffeId("spiffe://far.test/gateway"))
        assert self.minted(chain) == {
            "iss": "https://gw.test",
            "sub": "corp|maria",
            "aud": "https://gw.test/a2a/c",
            "client_id": B,
            "iat": NOW,
            "nbf": NOW,
            "exp": NOW + 120,
            "jti": "j-2",
            "txn": "txn-1",
            "scope": "a c/delegate",
            "del_scope": "x y",
            "del_depth": 2,
            "del_max_depth": 4,
            "root_exp": NOW + 600,
            "cnf": {"x5t#S256": "thumb"},
            "act": {"sub": B, "act": {"sub": A}},
            "par_hash": "digest-1",
            "tctx": {"purpose": "close"},
            "via": "spiffe://far.test/gateway",
            "email": "m@x.test",
            "roles": ["cfo"],
            "groups": ["finance"],
        }

    def test_of_a_user_without_attributes_by_their_own_client(self) -> None:
        chain = Chain("corp|ann", (), (), "txn-2", NOW + 60, 9, frozenset(), "root", client="cli")
        found = self.minted(chain, User("https://idp.test", "corp", "ann"))
        assert found == {
            "iss": "https://gw.test", "sub": "corp|ann", "aud": "https://gw.test/a2a/c", "client_id": "cli", "iat": NOW,
            "nbf": NOW, "exp": NOW + 60, "jti": "j-2", "txn": "txn-2", "scope": "a c/delegate", "del_scope": "x y",
            "del_depth": 0, "del_max_depth": 6, "root_exp": NOW + 60, "cnf": {"x5t#S256": "thumb"}, "par_hash": "root",
        }  # fmt: skip

    def test_of_an_agent_alone(self) -> None:
        chain = Chain(A, (A,), ("a",), "txn-3", NOW + 900, 6, frozenset())
        found = self.minted(chain, None)
        assert not found.keys() & {"par_hash", "tctx", "via", "email", "roles", "groups"}
        assert (found["client_id"], found["act"], found["sub"]) == (A, {"sub": A}, A)

    def test_of_the_same_token_as_a_value(self) -> None:
        minted = Minted("h.p.s", "j-2", NOW + 120, frozenset({"c/delegate"}), frozenset({"x"}))
        chain = replace(HOP.chain, max_depth=9, purpose="close", via=SpiffeId("spiffe://far.test/gateway"))
        assert delegation.delegated(replace(HOP, chain=chain), minted, LIMITS) == HopToken(
            sub="corp|maria", audience="https://gw.test/a2a/c", actors=(A, B), txn="txn-1", ceiling=frozenset({"x"}),
            depth=2, max_depth=6, root_expires=NOW + 600, expires=NOW + 120, digest=token_digest("h.p.s"), user=USER,
            purpose="close", via=SpiffeId("spiffe://far.test/gateway"), jti="j-2", parent="digest-1",
        )  # fmt: skip


def resuming(name: str = "b", known: Any = KNOWN, where: Any = None, now: int = NOW, **token: Any) -> Callable[[], Any]:
    return lambda: delegation.resume(known.agents[name], replace(TOKEN, **token), where or route("c"), known, now)


def calling(name: str, not_after: int = NOW + 1) -> Callable[[], Any]:
    known = registry(ENTRY, agent("s", status="suspended"))
    peer = Peer(SpiffeId(f"spiffe://td.test/{name}"), "td.test", "x", not_after)
    return lambda: delegation.calling_agent(peer, known, NOW)


def beginning(by: Any, token: RootToken, **binding: Any) -> Callable[[], Any]:
    return lambda: delegation.begin(by, token, replace(BOUND, **binding), NOW, LIMITS)


STUBBORN = registry(ENTRY, agent("b", continuation=frozenset({"exchange"})))


@pytest.mark.parametrize(
    ("attempt", "kind", "reason", "detail"),
    [
        (
            lambda: delegation.may_begin(None, root(), route("b")),
            HopError,
            Reason.ENTRY_POINT_REQUIRED,
            "route /a2a/b is for agents only",
        ),
        (
            lambda: delegation.may_begin(ENTRY, root(client="ide"), route("b")),
            HopError,
            Reason.ENTRY_POINT_REQUIRED,
            "agent a is not an entry point for client 'ide'",
        ),
        (
            beginning(ENTRY, root(), agent="agent:z"),
            HopError,
            Reason.ROOT_TOKEN_BOUND,
            "another presenter began a chain with this token",
        ),
        (
            beginning(ENTRY, root(), root_expires=NOW),
            TokenError,
            Reason.CHAIN_EXPIRED,
            "the chain that this token began is over",
        ),
        (
            lambda: delegation.begin_without_user(agent("b"), "t", NOW, LIMITS),
            TokenError,
            Reason.TOKEN_MISSING,
            "agent b is not an entry point and sent no hop token",
        ),
        (
            resuming(where=route("c", continuation=frozenset({"trace"}))),
            TokenError,
            Reason.TOKEN_AUDIENCE,
            "route /a2a/c takes no chain that is continued by header",
        ),
        (
            resuming("c"),
            HopError,
            Reason.CHAIN_HOLDER,
            "the token's audience https://gw.test/a2a/b is not agent c's",
        ),
        (
            resuming(known=STUBBORN),
            HopError,
            Reason.CONTINUATION_REFUSED,
            "agent b may not continue chains by header",
        ),
        (resuming(now=NOW + 600), TokenError, Reason.CHAIN_EXPIRED, "the chain reached root_exp"),
        (resuming(max_depth=1), HopError, Reason.DEPTH_EXCEEDED, "depth 2 is over del_max_depth 1"),
        (calling("a", NOW), HopError, Reason.CERTIFICATE_EXPIRED, "spiffe://td.test/a"),
        (calling("x"), HopError, Reason.AGENT_UNREGISTERED, "spiffe://td.test/x is not a registered agent"),
        (calling("s"), HopError, Reason.AGENT_SUSPENDED, "agent s is suspended"),
    ],
)
def test_refusals_say_what_where_and_why(
    attempt: Callable[[], Any], kind: type[HopError], reason: Reason, detail: str
) -> None:
    with pytest.raises(HopError) as caught:
        attempt()
    assert (type(caught.value), caught.value.reason, caught.value.detail) == (kind, reason, detail)


def test_one_second_before_each_end_is_early_enough() -> None:
    assert beginning(ENTRY, root(), root_expires=NOW + 1)().depth == 1
    assert resuming(now=NOW + 599)().depth == 2
    assert calling("a", NOW + 1)().name == "a"


def test_a_chain_goes_on_while_all_its_agents_are_in_good_standing() -> None:
    delegation.standing(HOP.chain, KNOWN)
    for known, reason in (
        (registry(ENTRY), Reason.AGENT_UNREGISTERED),
        (registry(ENTRY, agent("b", status="suspended")), Reason.AGENT_SUSPENDED),
    ):
        with pytest.raises(HopError) as caught:
            delegation.standing(HOP.chain, known)
        assert caught.value.reason is reason
