"""Exchange: who is given what for which token, and that no sequence of delegations and exchanges widens a chain."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import delegation, exchange, scope
from gateway.core.errors import HopError
from gateway.core.limits import Limits
from gateway.core.model import Chain, ExchangedToken, HopToken, Minted, Peer, Route, VerifiedClaims
from gateway.core.reasons import Reason
from gateway.core.registry import Agent, Registry, Server, Tool, Upstream
from gateway.identity.hop_tokens import read_exchanged_token, read_hop_token
from tests.core.test_delegation import NOW, USER, agent, begun, hop_to, refused, registry, root, route

LIMITS = Limits(max_depth=5)
NAMES = "abcd"
SCOPES = [f"{name}/delegate" for name in NAMES] + ["ledger/read", "ledger/pay"]
IDPS = {USER.idp: USER.issuer}


def tool(name: str) -> Tool:
    return Tool(server="ledger", name=name, risk_level="low", environment="production", scopes=(f"ledger/{name}",))


LEDGER = Server(
    name="ledger",
    team="finance",
    environment="production",
    upstream=Upstream("https://127.0.0.1/ledger", None),
    tools={name: tool(name) for name in ("read", "pay")},
)


def facts(*agents: Agent) -> Registry:
    return msgspec.structs.replace(registry(*agents), servers={"ledger": LEDGER})


def ledger_route(**more: Any) -> Route:
    url = "https://gw.test/mcp/ledger"
    return Route(
        **{"protocol": "mcp", "name": "ledger", "path": "/mcp/ledger", "resource": url, "audience": url} | more
    )


def target(name: str, **more: Any) -> Route:
    return ledger_route(**more) if name == "ledger" else route(name, **more)


def peer(who: Agent, x5t: str = "cert-1") -> Peer:
    return Peer(who.spiffe_id, "td.test", x5t, NOW + 9999)


def minted(claims: Mapping[str, Any]) -> Minted:
    token = f"{claims['aud']}-{claims['jti']}.x.signature"
    scopes = frozenset(claims["scope"].split()), frozenset(claims["del_scope"].split())
    return Minted(token, claims["jti"], claims["exp"], *scopes)


def delegated(chain: Chain, name: str, known: Registry, now: int, jti: str = "j") -> tuple[HopToken, Mapping[str, Any]]:
    """What ``name`` holds when ``chain`` delegates to it: by its token, which says the same as its handle."""
    hop = hop_to(chain, name, now)
    needed = scope.narrow(hop.call, chain, known)
    ceiling = scope.downstream_ceiling(hop.call, chain, known)
    claims = delegation.claims(hop, needed, ceiling, issuer="https://gw.test", jti=jti, x5t="gw", limits=LIMITS)
    by_handle = delegation.delegated(hop, minted(claims), LIMITS)
    by_token = read_hop_token(VerifiedClaims(claims), IDPS, by_handle.digest, now, 0)
    assert by_token == by_handle
    return by_handle, claims


def issued(made: exchange.Exchanged, where: Route, now: int, x5t: str = "cert-1", jti: str = "e") -> ExchangedToken:
    """The exchanged token as the gateway reads it back."""
    claims = exchange.claims(
        made, issuer="https://gw.test", audience=where.resource, jti=jti, x5t=x5t, now=now, limits=LIMITS
    )
    assert claims["exp"] <= min(now + 300, made.chain.root_expires)
    return read_exchanged_token(VerifiedClaims(claims), IDPS, f"digest-{jti}", now, 0)


class TestExchanged:
    """a delegated to b with everything; b exchanges."""

    known = facts(agent("a", entry_point=True, clients=("cli",)), agent("b"), agent("c"))
    b, c = known.agents["b"], known.agents["c"]
    held = delegated(begun(known.agents["a"], root()), "b", known, NOW)[0]

    def exchange(self, subject: Any = None, where: Route | None = None, **more: Any) -> exchange.Exchanged:
        arguments: dict[str, Any] = {"who": self.b, "requested": None, "now": NOW, "limits": LIMITS} | more
        return exchange.exchanged(
            arguments["who"],
            subject or self.held,
            where or ledger_route(),
            arguments["requested"],
            arguments.get("known", self.known),
            arguments["now"],
            arguments["limits"],
        )

    def test_continue_pushes_the_caller(self) -> None:
        made = self.exchange()
        assert made.chain.actors == (*self.held.actors, self.b.spiffe_id)
        assert made.scope == {"ledger/read", "ledger/pay"}
        token = issued(made, ledger_route(), NOW)
        chain = exchange.presented(self.b, token, ledger_route(), peer(self.b), self.known, NOW)
        assert (chain.actors, chain.depth, chain.ceiling) == (made.chain.actors, 2, made.scope)
        assert (chain.until, made.chain.until) == (token.expires, None)

    def test_narrow_and_renew_do_not(self) -> None:
        token = issued(self.exchange(), ledger_route(), NOW)
        made = self.exchange(token, requested=frozenset({"ledger/read"}), now=NOW + 400)
        again = issued(made, ledger_route(), NOW + 400, "cert-2")
        assert (again.actors, again.depth, again.ceiling) == (token.actors, token.depth, {"ledger/read"})
        assert (again.root_expires, again.expires) == (token.root_expires, token.root_expires)
        assert made.chain.parent == token.digest

    @pytest.mark.parametrize(
        ("more", "reason"),
        [
            ({"requested": frozenset({"ledger/burn"})}, Reason.SCOPE_CEILING),
            ({"requested": frozenset({"c/delegate"})}, Reason.SCOPE_CEILING),
            ({"requested": frozenset()}, Reason.SCOPE_CEILING),
            ({"where": ledger_route(continuation=frozenset({"header", "trace"}))}, Reason.TARGET_UNKNOWN),
            ({"who": msgspec.structs.replace(b, continuation=frozenset({"header"}))}, Reason.CONTINUATION_REFUSED),
            ({"who": c}, Reason.CHAIN_HOLDER),
            ({"now": NOW + 600}, Reason.CHAIN_EXPIRED),
            ({"limits": Limits(max_depth=1)}, Reason.DEPTH_EXCEEDED),
        ],
    )
    def test_what_is_refused(self, more: Mapping[str, Any], reason: Reason) -> None:
        for subject in (None, issued(self.exchange(), ledger_route(), NOW)):
            with refused(reason):
                self.exchange(subject, **more)

    def test_a_chain_that_is_full_is_not_continued(self) -> None:
        full = msgspec.structs.replace(self.held, max_depth=1)
        with refused(Reason.DEPTH_EXCEEDED):
            self.exchange(full)

    def test_a_token_is_renewed_for_its_own_resource(self) -> None:
        token = issued(self.exchange(), ledger_route(), NOW)
        with refused(Reason.TARGET_UNKNOWN):
            self.exchange(token, route("c"))

    @pytest.mark.parametrize(
        ("more", "reason"),
        [
            ({"where": route("c")}, Reason.TOKEN_AUDIENCE),
            ({"where": ledger_route(continuation=frozenset({"header", "trace"}))}, Reason.TOKEN_AUDIENCE),
            ({"x5t": "cert-2"}, Reason.TOKEN_CLAIMS),
            ({"now": NOW + 300}, Reason.TOKEN_EXPIRED),
            ({"now": NOW + 600}, Reason.CHAIN_EXPIRED),
            ({"who": c}, Reason.CHAIN_HOLDER),
            ({"who": msgspec.structs.replace(b, continuation=frozenset({"header"}))}, Reason.CONTINUATION_REFUSED),
        ],
    )
    def test_where_a_token_is_no_good(self, more: Mapping[str, Any], reason: Reason) -> None:
        given: dict[str, Any] = {"who": self.b, "where": ledger_route(), "x5t": "cert-1", "now": NOW} | more
        token = issued(self.exchange(), ledger_route(), NOW)
        holder = peer(given["who"], given["x5t"])
        with refused(reason):
            exchange.presented(given["who"], token, given["where"], holder, self.known, given["now"])

    @pytest.mark.parametrize("name", ["a", "b"])
    def test_the_standing_of_every_actor_counts(self, name: str) -> None:
        token = issued(self.exchange(), ledger_route(), NOW)
        gone = msgspec.structs.replace(self.known.agents[name], status="suspended")
        known = facts(*(gone if each.name == name else each for each in self.known.agents.values()))
        for subject in (self.held, token):
            if name == "a" or isinstance(subject, ExchangedToken):
                with refused(Reason.AGENT_SUSPENDED):
                    self.exchange(subject, known=known)
        with refused(Reason.AGENT_SUSPENDED):
            exchange.presented(self.b, token, ledger_route(), peer(self.b), known, NOW)


class Step(NamedTuple):
    kind: str
    which: int
    """Counts back from the newest chain or token."""
    where: str
    """A route; "" for the one that the token is for."""
    rogue: str
    """Who acts; "" for the token's holder."""
    requested: frozenset[str] | None
    pause: int


STEPS = st.builds(
    Step,
    kind=st.sampled_from(["delegate", "continue", "narrow", "narrow", "present", "present"]),
    which=st.integers(0, 3),
    where=st.sampled_from(["", "", "", "ledger", *NAMES]),
    rogue=st.sampled_from(["", "", "", "", *NAMES]),
    requested=st.none()
    | st.sampled_from([frozenset({"ledger/read"}), frozenset({"ledger/pay"})])
    | st.frozensets(st.sampled_from(SCOPES), min_size=1, max_size=2),
    pause=st.sampled_from([0] * 12 + [10, 150, 300, 301]),
)


@given(
    granted=st.fixed_dictionaries(
        {name: st.just(frozenset(SCOPES)) | st.frozensets(st.sampled_from(SCOPES), min_size=3) for name in NAMES}
    ),
    steps=st.lists(STEPS, min_size=3, max_size=30),
)
def test_no_sequence_widens_a_chain(granted: Mapping[str, frozenset[str]], steps: list[Step]) -> None:
    """Whatever agents do with the tokens that they hold, in any order: root facts stay, depth is the number of
    actors, scopes shrink, and nobody gets anything for another's token or after the end."""
    agents = [agent(name, scopes=tuple(granted[name]), entry_point=True, clients=("cli",)) for name in NAMES]
    known = facts(*agents)
    first = msgspec.structs.replace(begun(known.agents["a"], root(frozenset(SCOPES))), max_depth=LIMITS.max_depth)
    world = World(known, first)
    for number, step in enumerate([Step("delegate", 0, "b", "", None, 0), *steps]):
        world.now += step.pause
        world.take(step, f"j{number}")


class World:
    """Chains that were reached and tokens that are about, each with its holder and the chain it came from."""

    def __init__(self, known: Registry, first: Chain) -> None:
        self.known, self.first, self.now = known, first, NOW
        self.chains: list[Chain] = [first]
        self.tokens: list[tuple[HopToken | ExchangedToken, Agent, Chain]] = []

    def take(self, step: Step, jti: str) -> None:
        try:
            if step.kind == "delegate":
                self._delegate(step, jti)
            else:
                wanted = {"continue": HopToken, "narrow": ExchangedToken, "present": (HopToken, ExchangedToken)}
                about = [each for each in self.tokens if isinstance(each[0], wanted[step.kind])]
                if about:
                    subject, holder, parent = about[-1 - step.which % len(about)]
                    act = self._present if step.kind == "present" else self._exchange
                    act(step, subject, holder, parent, jti)
        except HopError as error:
            assert error.reason in {
                Reason.SCOPE_CEILING, Reason.TARGET_UNKNOWN, Reason.CHAIN_HOLDER, Reason.CHAIN_EXPIRED,
                Reason.DEPTH_EXCEEDED, Reason.TOKEN_AUDIENCE, Reason.TOKEN_EXPIRED,
            }  # fmt: skip

    def _delegate(self, step: Step, jti: str) -> None:
        chain = self.chains[-1 - step.which % len(self.chains)]
        to = step.where if step.where in self.known.agents else "b"
        if self.now >= chain.root_expires:
            return
        token, claims = delegated(chain, to, self.known, self.now, jti)
        assert token.ceiling <= chain.ceiling & frozenset(self.known.agents[to].scopes)
        assert frozenset(claims["scope"].split()) <= chain.ceiling
        assert token.actors == chain.actors
        self._holds(token, self.known.agents[to], chain)

    def _exchange(self, step: Step, subject: HopToken | ExchangedToken, holder: Agent, parent: Chain, jti: str) -> None:
        who, where = self.known.agents.get(step.rogue, holder), self._target(step, subject)
        made = exchange.exchanged(who, subject, where, step.requested, self.known, self.now, LIMITS)
        assert who == holder, "nobody is given anything for another's token"
        assert self.now < subject.root_expires
        assert made.scope <= subject.ceiling & frozenset(who.scopes)
        assert step.requested is None or made.scope == step.requested
        token = issued(made, where, self.now, jti=jti)
        if isinstance(subject, ExchangedToken):
            assert (token.actors, token.audience) == (subject.actors, subject.audience)
        else:
            assert token.actors == (*subject.actors, who.spiffe_id)
        assert token.ceiling == made.scope
        assert token.max_depth <= subject.max_depth
        self._holds(token, who, parent)

    def _present(self, step: Step, token: HopToken | ExchangedToken, holder: Agent, parent: Chain, jti: str) -> None:
        who, where = self.known.agents.get(step.rogue, holder), self._target(step, token)
        if isinstance(token, ExchangedToken):
            chain = exchange.presented(who, token, where, peer(who), self.known, self.now)
            assert token.audience == where.resource
            assert self.now < token.expires <= token.root_expires
            assert chain.actors == token.actors, "presenting it doesn't push the agent again"
        else:
            chain = delegation.resume(who, token, where, self.known, self.now)
            assert chain.actors == (*token.actors, who.spiffe_id)
        assert who == holder
        assert chain.ceiling <= token.ceiling & frozenset(who.scopes)
        assert self.now < chain.root_expires == self.first.root_expires
        assert (chain.sub, chain.txn) == (self.first.sub, self.first.txn)
        self.chains.append(chain)

    def _target(self, step: Step, token: HopToken | ExchangedToken) -> Route:
        own = {target(name).resource: name for name in (*NAMES, "ledger")}
        default = own[token.audience] if isinstance(token, ExchangedToken) else ("ledger", "c")[step.which % 2]
        return target(step.where or default)

    def _holds(self, token: HopToken | ExchangedToken, holder: Agent, parent: Chain) -> None:
        first = self.first
        assert (token.sub, token.txn, token.root_expires) == (first.sub, first.txn, first.root_expires)
        assert token.user == USER
        assert token.depth == len(token.actors) >= parent.depth
        assert token.max_depth <= parent.max_depth <= first.max_depth
        assert token.ceiling <= parent.ceiling <= first.ceiling
        assert token.expires <= token.root_expires
        assert token.actors[: parent.depth] == parent.actors
        self.tokens.append((token, holder, parent))
