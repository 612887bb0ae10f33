"""What of a peer's chain counts here: properties over any assertion that a peer could sign."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import federation
from gateway.core.errors import HopError
from gateway.core.federation import Assertion, PeerGateway
from gateway.core.limits import Limits
from gateway.core.model import ExchangedToken, Peer, Route, SpiffeId
from gateway.core.reasons import Reason
from gateway.core.registry import Agent, Registry

NOW = 1_800_000_000
LIMITS = Limits(max_depth=4, root_ttl_seconds=900)
OWN = "b.test"
KNOWN = {
    f"spiffe://{domain}/{name}": (name, scopes)
    for domain, name, scopes in (
        ("a.test", "planner", ("read", "ask")),
        ("c.test", "reviewer", ("read",)),
        ("b.test", "analyst", ("read", "ask", "pay")),
        ("a.test", "retired", ("read",)),
    )
}
STRANGERS = ("spiffe://a.test/nobody", "spiffe://d.test/planner")
PEER = PeerGateway(
    name="a",
    issuer="https://a.test",
    spiffe_id=SpiffeId("spiffe://a.test/hopgate"),
    trust_domain="a.test",
    token_endpoint="https://a.test/oauth/token",
    trust_domains=frozenset({"a.test", "c.test"}),
    users={"corp": "https://login.a.test"},
    scopes={"lesen": frozenset({"read"}), "alles": frozenset({"read", "ask", "pay"})},
    max_depth=2,
)


def agent(spiffe_id: str, name: str, scopes: tuple[str, ...]) -> Agent:
    return Agent(
        name=name,
        spiffe_id=SpiffeId(spiffe_id),
        owner="corp|maria",
        team="t",
        purpose="p",
        risk_level="low",
        environment="test",
        scopes=scopes,
        status="suspended" if name == "retired" else "active",
    )


AGENTS = {name: agent(spiffe_id, name, scopes) for spiffe_id, (name, scopes) in KNOWN.items()}
REGISTRY = Registry(
    people={},
    agents=AGENTS,
    servers={},
    models={},
    teams=frozenset({"t"}),
    by_spiffe_id={each.spiffe_id: name for name, each in AGENTS.items()},
    by_audience={},
)
FOREIGN = ("spiffe://a.test/planner", "spiffe://c.test/reviewer")
ACTORS = st.one_of(*(st.lists(st.sampled_from(some), max_size=5) for some in (FOREIGN, (*KNOWN, *STRANGERS)))).map(
    lambda found: tuple(map(SpiffeId, found))
)
SCOPES = st.frozensets(st.sampled_from(["lesen", "alles", "read", "ask", "pay", "admin"]))


@st.composite
def assertions(draw: Any) -> Assertion:
    actors = draw(ACTORS)
    return Assertion(
        issuer=PEER.issuer,
        sub=draw(st.sampled_from(["corp|maria", "other|maria", "corp|", "|maria", *actors[:1]])),
        resource="https://b.test/a2a/analyst",
        actors=actors,
        txn="t",
        ceiling=draw(SCOPES),
        depth=len(actors),
        max_depth=draw(st.integers(len(actors), 255)),
        root_expires=draw(st.integers(NOW - 10, NOW + 10**6)),
        expires=NOW + 60,
        x5t="x",
        digest="d",
    )


@given(assertions())
def test_what_comes_in_is_within_what_was_agreed(found: Assertion) -> None:
    try:
        chain = federation.transcribe(found, PEER, REGISTRY, OWN, NOW, LIMITS)
    except HopError:
        return
    assert chain.actors == found.actors
    assert 1 <= chain.depth == len(found.actors) <= PEER.max_depth
    assert {actor.split("/")[2] for actor in chain.actors} <= PEER.trust_domains - {OWN}
    assert chain.agents == tuple(KNOWN[actor][0] for actor in chain.actors)
    assert "retired" not in chain.agents
    granted = frozenset({"read", "ask", "pay"}).intersection(*(KNOWN[actor][1] for actor in chain.actors))
    assert chain.ceiling <= granted
    assert chain.ceiling <= federation.mapped(found.ceiling, PEER)
    assert chain.depth <= chain.max_depth <= min(found.max_depth, LIMITS.max_depth)
    assert NOW < chain.root_expires <= min(found.root_expires, NOW + LIMITS.root_ttl_seconds)
    assert chain.sub == found.sub
    assert found.sub in ("corp|maria", found.actors[0])
    assert chain.via == PEER.spiffe_id


@given(SCOPES, SCOPES)
def test_more_scopes_of_theirs_are_never_worth_fewer_and_unmapped_ones_nothing(one: Any, other: Any) -> None:
    assert federation.mapped(one, PEER) <= federation.mapped(one | other, PEER)
    assert federation.mapped(one - PEER.scopes.keys(), PEER) == frozenset()


def token(**changes: Any) -> ExchangedToken:
    found: dict[str, Any] = {
        "sub": "corp|maria",
        "audience": "https://b.test/a2a/analyst",
        "actors": (SpiffeId("spiffe://a.test/planner"),),
        "txn": "t",
        "ceiling": frozenset({"read"}),
        "depth": 1,
        "max_depth": 4,
        "root_expires": NOW + 600,
        "expires": NOW + 100,
        "digest": "d",
        "user": None,
        "via": PEER.spiffe_id,
        "x5t": "x",
    } | changes
    return ExchangedToken(**found)


ROUTE = Route("a2a", "analyst", "/a2a/analyst", "https://b.test/a2a/analyst", "https://analyst.test/")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"audience": "https://b.test/mcp/ledger"}, Reason.TOKEN_AUDIENCE),
        ({"expires": NOW}, Reason.TOKEN_EXPIRED),
        ({"depth": 3}, Reason.DEPTH_EXCEEDED),
        ({"actors": (SpiffeId("spiffe://b.test/analyst"),)}, Reason.CHAIN_FORGED),
        ({"actors": (SpiffeId("spiffe://d.test/planner"),)}, Reason.CHAIN_FORGED),
        ({"actors": (SpiffeId("spiffe://a.test/nobody"),)}, Reason.AGENT_UNREGISTERED),
        ({"actors": (SpiffeId("spiffe://a.test/retired"),)}, Reason.AGENT_SUSPENDED),
    ],
)
def test_a_chain_that_was_brought_is_judged_again(changes: dict[str, Any], reason: Reason) -> None:
    assert federation.enter(token(), PEER, ROUTE, REGISTRY, OWN, NOW).agents == ("planner",)
    with pytest.raises(HopError) as caught:
        federation.enter(token(**changes), PEER, ROUTE, REGISTRY, OWN, NOW)
    assert caught.value.reason is reason


def test_a_gateway_speaks_for_an_agent_by_its_own_certificate() -> None:
    speaking = federation.spoken_for(SpiffeId("spiffe://c.test/reviewer"), Peer(PEER.spiffe_id, "a.test", "x", NOW))
    assert speaking == Peer(SpiffeId("spiffe://c.test/reviewer"), "c.test", "x", NOW, gateway=PEER.spiffe_id)


def test_a_peer_that_is_gone_vouches_for_nothing() -> None:
    federation.check_origin(None, {})
    federation.check_origin(PEER.spiffe_id, {PEER.spiffe_id: PEER})
    with pytest.raises(HopError, match="chain_forged"):
        federation.check_origin(PEER.spiffe_id, {})
