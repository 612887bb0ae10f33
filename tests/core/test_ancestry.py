"""Live ancestry: what a beginning agent may hide is what policies see, and the chain itself stays its own."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import ancestry
from gateway.core.ancestry import LISTED, Participation
from gateway.core.model import Ancestry, Call, Chain, Hop, Route, SpiffeId, Uid
from gateway.core.registry import Agent, LiveMode, Registry, Upstream

ANALYST, PLANNER = SpiffeId("spiffe://t/analyst"), SpiffeId("spiffe://t/planner")


def registry(mode: LiveMode = "raise") -> Registry:
    def agent(spiffe_id: SpiffeId) -> Agent:
        return Agent(
            name=spiffe_id.split("/")[-1], spiffe_id=spiffe_id, owner="o", team="t", purpose="p", risk_level="low",
            environment="dev", live_ancestry=mode, upstream=Upstream("https://127.0.0.1", spiffe_id),
        )  # fmt: skip

    agents = {each.name: each for each in (agent(ANALYST), agent(PLANNER))}
    return Registry(
        people={}, agents=agents, servers={}, models={}, teams=frozenset(),
        by_spiffe_id={each.spiffe_id: name for name, each in agents.items()},
        by_audience={f"https://gw/a2a/{name}": name for name in agents},
    )  # fmt: skip


def chain(*actors: SpiffeId, **facts: Any) -> Chain:
    own: dict[str, Any] = {"sub": "corp|maria", "txn": "own", "root_expires": 900, "max_depth": 8} | facts
    names = tuple(actor.split("/")[-1] for actor in actors)
    return Chain(actors=actors, agents=names, ceiling=frozenset({"x"}), **own)


def part(depth: int, txn: str = "t") -> Participation:
    return Participation("corp|maria", ANALYST, txn, depth, 900)


parts = st.lists(st.builds(part, st.integers(1, 40), st.uuids().map(str)), max_size=40)


def test_who_works_nowhere_is_not_suspected() -> None:
    begun = ancestry.begun(chain(ANALYST), ())
    assert (begun.live, ancestry.mode(begun, registry()), ancestry.seen_depth(begun, registry())) == (None, None, 1)


@pytest.mark.parametrize(("mode", "seen"), [("raise", 4), ("deny", 4), ("observe", 1)])
def test_the_mode_is_the_agents_own(mode: LiveMode, seen: int) -> None:
    begun = ancestry.begun(chain(ANALYST), [part(2, "a"), part(3, "b")])
    assert begun.live == Ancestry(3, ("b", "a"))
    assert ancestry.mode(begun, registry(mode)) == mode
    assert ancestry.seen_depth(begun, registry(mode)) == seen


def test_an_agent_that_is_registered_no_more_is_refused() -> None:
    begun = ancestry.begun(chain(SpiffeId("spiffe://t/gone")), [part(2)])
    assert ancestry.mode(begun, registry("observe")) == "deny"


def test_a_user_is_looked_for_by_name_and_nobody_everywhere() -> None:
    assert ancestry.suspects(chain(ANALYST)) == "corp|maria"
    assert ancestry.suspects(chain(ANALYST, sub=str(ANALYST))) is None


@given(parts, st.sampled_from(["raise", "deny", "observe"]))
def test_the_chain_stays_its_own_and_never_looks_shallower(live: list[Participation], mode: LiveMode) -> None:
    own = chain(ANALYST)
    begun = ancestry.begun(own, live)
    assert msgspec.structs.replace(begun, live=None) == own
    assert ancestry.seen_depth(begun, registry(mode)) >= begun.depth == 1
    assert (begun.live is None) == (not live)
    if begun.live is not None:
        assert begun.live.depth == max(each.depth for each in live)
        assert len(begun.live.txns) == min(len(live), LISTED)
        if mode == "raise":
            assert ancestry.seen_depth(begun, registry(mode)) == 1 + begun.live.depth


def hop(of: Chain, audience: str) -> Hop:
    route = Route("a2a", "analyst", "/a2a/analyst", "https://gw/a2a/analyst", audience)
    call = Call(protocol="a2a", version="1", method="m", action="getTask", resource=Uid("Agent", "analyst"), message={})
    return Hop(id="h", route=route, peer=None, agent=None, user=None, call=call, chain=of, now=0)


def test_whoever_gets_a_token_that_continues_takes_part() -> None:
    found = ancestry.delegated(hop(chain(PLANNER), "https://gw/a2a/analyst"), registry())
    assert found == Participation("corp|maria", ANALYST, "own", 2, 900)
    assert ancestry.delegated(hop(chain(), "https://gw/a2a/analyst"), registry()) == msgspec.structs.replace(
        found, depth=1
    )
    assert ancestry.delegated(hop(chain(PLANNER), "https://gw/mcp/ledger"), registry()) is None


def test_suspicion_is_not_handed_on() -> None:
    begun = ancestry.begun(chain(PLANNER), [part(3)])
    found = ancestry.delegated(hop(begun, "https://gw/a2a/analyst"), registry())
    assert found is not None
    assert found.depth == 2
