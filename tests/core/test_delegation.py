"""Chains: who may begin or continue one, and what can never change along it."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import delegation, scope
from gateway.core.errors import HopError
from gateway.core.limits import Limits
from gateway.core.model import Call, Chain, Hop, HopToken, Peer, RootToken, Route, SpiffeId, Uid, User
from gateway.core.ports import Binding
from gateway.core.reasons import Reason
from gateway.core.registry import Agent, Registry, Upstream

NOW = 1_800_000_000
LIMITS = Limits(max_depth=6)
SCOPES = [f"{name}/delegate" for name in "abcdef"] + ["ledger/read", "ledger/pay"]
USER = User(
    issuer="https://idp.test", idp="corp", subject="maria", email="m@x.test", roles=("cfo",), groups=("finance",)
)


def agent(name: str, *, scopes: tuple[str, ...] = tuple(SCOPES), **facts: Any) -> Agent:
    defaults: dict[str, Any] = {
        "name": name,
        "spiffe_id": SpiffeId(f"spiffe://td.test/{name}"),
        "owner": "corp|maria",
        "team": "finance",
        "purpose": "test",
        "risk_level": "low",
        "environment": "production",
        "scopes": scopes,
        "upstream": Upstream(url=f"https://127.0.0.1/{name}", spiffe_id=SpiffeId(f"spiffe://td.test/{name}")),
    }
    return Agent(**(defaults | facts))


def registry(*agents: Agent) -> Registry:
    return Registry(
        people={},
        agents={a.name: a for a in agents},
        servers={},
        models={},
        teams=frozenset({"finance"}),
        by_spiffe_id={a.spiffe_id: a.name for a in agents},
        by_audience={audience(a.name): a.name for a in agents},
    )


def audience(name: str) -> str:
    return f"https://gw.test/a2a/{name}"


def route(name: str, **facts: Any) -> Route:
    defaults = {"protocol": "a2a", "name": name, "path": f"/a2a/{name}", "resource": audience(name)}
    return Route(**({**defaults, "audience": audience(name)} | facts))


def root(scopes: frozenset[str] = frozenset(SCOPES), client: str = "cli") -> RootToken:
    return RootToken(user=USER, client=client, scopes=scopes, expires=NOW + 600, digest="root")


def hop_to(chain: Chain, name: str, now: int = NOW) -> Hop:
    call = Call(
        protocol="a2a", version="1.0", method="SendMessage", action="delegate", resource=Uid("Agent", name), message={}
    )
    return Hop(id="h", route=route(name), peer=None, agent=None, user=USER, call=call, chain=chain, now=now * 1000)


def forward(chain: Chain, name: str, facts: Registry, now: int = NOW) -> Mapping[str, Any]:
    """The claims that the gateway mints when ``chain`` delegates to ``name``; raises where it refuses."""
    hop = hop_to(chain, name, now)
    needed = scope.narrow(scope.needed(hop.call, facts), chain)
    ceiling = scope.downstream_ceiling(hop.call, chain, facts)
    return delegation.claims(hop, needed, ceiling, issuer="https://gw.test", jti="j", x5t="x", limits=LIMITS)


def received(claims: Mapping[str, Any]) -> HopToken:
    """What a verifier makes of the claims."""
    actors: list[SpiffeId] = []
    act = claims.get("act")
    while act is not None:
        actors.append(SpiffeId(act["sub"]))
        act = act.get("act")
    return HopToken(
        sub=claims["sub"],
        audience=claims["aud"],
        actors=tuple(reversed(actors)),
        txn=claims["txn"],
        ceiling=frozenset(claims["del_scope"].split()),
        depth=claims["del_depth"],
        max_depth=claims["del_max_depth"],
        root_expires=claims["root_exp"],
        expires=claims["exp"],
        digest=f"digest-of-{claims['aud']}-{claims['del_depth']}",
        user=USER,
        jti=claims["jti"],
        parent=claims.get("par_hash"),
    )


def begun(entry: Agent, token: RootToken) -> Chain:
    binding = delegation.proposed_binding(entry, token, "txn-1", NOW, LIMITS)
    return delegation.begin(entry, token, binding, NOW, LIMITS)


def refused(reason: Reason) -> Any:
    return pytest.raises(HopError, match=f"^{reason}")


class TestBegin:
    def test_an_entry_agent_begins_at_depth_one(self) -> None:
        entry = agent("a", entry_point=True, clients=("cli",), scopes=("b/delegate",))
        chain = begun(entry, root())
        assert (chain.depth, chain.actors, chain.ceiling) == (1, (entry.spiffe_id,), frozenset({"b/delegate"}))
        assert (chain.sub, chain.txn, chain.root_expires) == ("corp|maria", "txn-1", NOW + 600)

    @pytest.mark.parametrize(
        "facts", [{}, {"entry_point": True}, {"entry_point": True, "clients": ("other",)}, {"clients": ("cli",)}]
    )
    def test_only_an_entry_point_for_this_client_may(self, facts: Mapping[str, Any]) -> None:
        with refused(Reason.ENTRY_POINT_REQUIRED):
            delegation.may_begin(agent("a", **facts), root(), route("b"))

    def test_a_client_without_certificate_needs_a_user_only_route(self) -> None:
        delegation.may_begin(None, root(), route("a", clients="user-only"))
        with refused(Reason.ENTRY_POINT_REQUIRED):
            delegation.may_begin(None, root(), route("a"))

    def test_a_root_token_bound_to_another_is_refused(self) -> None:
        entry = agent("a", entry_point=True, clients=("cli",))
        with refused(Reason.ROOT_TOKEN_BOUND):
            delegation.begin(entry, root(), Binding("agent:z", "t", NOW + 9, NOW + 9), NOW, LIMITS)
        with refused(Reason.ROOT_TOKEN_BOUND):
            delegation.begin(None, root(), Binding("agent:a", "t", NOW + 9, NOW + 9), NOW, LIMITS)

    def test_the_chain_of_a_root_token_ends_for_good(self) -> None:
        entry = agent("a", entry_point=True, clients=("cli",))
        with refused(Reason.CHAIN_EXPIRED):
            delegation.begin(entry, root(), Binding("agent:a", "t", NOW, NOW + 9), NOW, LIMITS)

    def test_without_a_user_only_an_entry_point_begins(self) -> None:
        with refused(Reason.TOKEN_MISSING):
            delegation.begin_without_user(agent("a"), "t", NOW, LIMITS)
        chain = delegation.begin_without_user(agent("a", entry_point=True), "t", NOW, LIMITS)
        assert (chain.sub, chain.depth) == ("spiffe://td.test/a", 1)


class TestResume:
    def setup_method(self) -> None:
        self.entry = agent("a", entry_point=True, clients=("cli",))
        self.facts = registry(self.entry, agent("b"), agent("c", scopes=("ledger/read",)))
        self.token = received(forward(begun(self.entry, root()), "b", self.facts))

    def test_the_holder_is_pushed_and_cut_to_its_grants(self) -> None:
        chain = delegation.resume(self.facts.agents["b"], self.token, route("c"), self.facts, NOW)
        assert chain.agents == ("a", "b")
        to_c = received(forward(chain, "c", self.facts))
        assert to_c.ceiling == frozenset({"ledger/read"})

    def test_another_agent_cannot_use_it(self) -> None:
        for name in ("a", "c"):
            with refused(Reason.CHAIN_HOLDER):
                delegation.resume(self.facts.agents[name], self.token, route("c"), self.facts, NOW)

    def test_not_after_root_exp(self) -> None:
        b = self.facts.agents["b"]
        delegation.resume(b, self.token, route("c"), self.facts, self.token.root_expires - 1)
        with refused(Reason.CHAIN_EXPIRED):
            delegation.resume(b, self.token, route("c"), self.facts, self.token.root_expires)

    def test_not_where_the_route_wants_the_letter_of_the_audience_rule(self) -> None:
        with refused(Reason.TOKEN_AUDIENCE):
            delegation.resume(self.facts.agents["b"], self.token, route("c", continuation=frozenset()), self.facts, NOW)

    def test_not_over_the_maximum_depth(self) -> None:
        full = msgspec.structs.replace(self.token, depth=6, max_depth=6)
        with refused(Reason.DEPTH_EXCEEDED):
            delegation.resume(self.facts.agents["b"], full, route("c"), self.facts, NOW)

    @pytest.mark.parametrize(
        ("entry", "reason"),
        [
            (agent("a", status="suspended"), Reason.AGENT_SUSPENDED),
            (agent("z"), Reason.AGENT_UNREGISTERED),
        ],
    )
    def test_an_earlier_actor_that_lost_its_standing_ends_the_chain(self, entry: Agent, reason: Reason) -> None:
        facts = registry(entry, agent("b"), agent("c"))
        with refused(reason):
            delegation.resume(facts.agents["b"], self.token, route("c"), facts, NOW)


class TestCallingAgent:
    def peer(self, name: str, not_after: int = NOW + 60) -> Peer:
        return Peer(SpiffeId(f"spiffe://td.test/{name}"), "td.test", "x", not_after)

    def test_registered_and_active(self) -> None:
        facts = registry(agent("a"), agent("s", status="suspended"))
        assert delegation.calling_agent(self.peer("a"), facts, NOW).name == "a"
        with refused(Reason.AGENT_SUSPENDED):
            delegation.calling_agent(self.peer("s"), facts, NOW)
        with refused(Reason.AGENT_UNREGISTERED):
            delegation.calling_agent(self.peer("nobody"), facts, NOW)
        with refused(Reason.CERTIFICATE_EXPIRED):
            delegation.calling_agent(self.peer("a", NOW), facts, NOW)


names = st.sampled_from("abcdef")
grants = st.frozensets(st.sampled_from(SCOPES))


@given(
    granted=st.fixed_dictionaries({name: grants | st.just(frozenset(SCOPES)) for name in "abcdef"}),
    token_scopes=grants | st.just(frozenset(SCOPES)),
    walk=st.lists(st.tuples(names, names, st.integers(0, 300)), min_size=1, max_size=12),
)
def test_invariants_of_every_chain(
    granted: Mapping[str, frozenset[str]], token_scopes: frozenset[str], walk: list[tuple[str, str, int]]
) -> None:
    """Along any walk: nothing widens, depth is the number of actors, root facts stay, nobody else's token serves."""
    agents = [agent(n, scopes=tuple(granted[n]), entry_point=True, clients=("cli",)) for n in granted]
    facts = registry(*agents)
    chain, now = begun(facts.agents[walk[0][0]], root(token_scopes)), NOW
    for presenter, target, pause in walk:
        try:
            claims = forward(chain, target, facts, now)
        except HopError as refusal:
            assert refusal.reason is Reason.SCOPE_CEILING
            assert not scope.needed(hop_to(chain, target).call, facts) <= chain.ceiling
            return
        token = received(claims)
        assert frozenset(claims["scope"].split()) <= chain.ceiling
        assert token.ceiling <= chain.ceiling & granted[target]
        assert token.depth == len(token.actors) == chain.depth
        assert (token.sub, token.txn, token.root_expires) == (chain.sub, chain.txn, chain.root_expires)
        assert token.max_depth <= chain.max_depth
        assert claims["exp"] <= min(now + LIMITS.access_ttl_seconds, token.root_expires)
        assert claims["par_hash"] == chain.parent
        now += pause
        try:
            following = delegation.resume(facts.agents[presenter], token, route("c"), facts, now)
        except HopError as refusal:
            assert (refusal.reason is Reason.CHAIN_HOLDER) == (presenter != target)
            if presenter == target:
                over = token.depth >= token.max_depth
                assert refusal.reason is (Reason.CHAIN_EXPIRED if now >= token.root_expires else Reason.DEPTH_EXCEEDED)
                assert over or now >= token.root_expires
            return
        assert presenter == target
        assert following.actors == (*chain.actors, facts.agents[target].spiffe_id)
        assert following.reentry == (facts.agents[target].spiffe_id in chain.actors)
        assert following.ceiling <= token.ceiling
        chain = following
