"""What the machine has found, as short as it can be said."""

from collections import Counter

import pytest

from gateway.core.model import WAYS
from tests.networks.facts import Asked
from tests.networks.places import agent_id
from tests.networks.plan import CLIENTS, TOOLS, Peering, Place, Plan, Registered
from tests.networks.world import World, exchange_form

SCOPES = frozenset({"ann/delegate", "bob/delegate", *TOOLS})
ANN = agent_id("a.test", "ann")


def place(domain: str, other: str) -> Place:
    agent = Registered(SCOPES, None, True, CLIENTS, WAYS, WAYS, "optional", direct=True)
    peering = Peering({scope: frozenset({scope}) for scope in SCOPES}, 5, frozenset({other}), users=True)
    agents = {"ann": agent, "bob": agent}
    return Place(domain, "EdDSA", 5, 900, 1000, agents, {other: peering}, WAYS, "optional", frozenset())


@pytest.fixture
def world() -> World:
    """Two gateways that know each other and both agents."""
    return World(
        Plan({"ann": "a.test", "bob": "b.test"}, (place("a.test", "b.test"), place("b.test", "a.test"))), Counter()
    )


def test_an_agent_exchanges_no_token_that_its_gateway_redeemed(world: World) -> None:
    """It is the chain's last actor, and registered at the other gateway too; the token was made for its gateway."""
    here, there = world.gateways.values()
    token = world.user_token(here, "/mcp/ledger-b", "maria", "cli", SCOPES, 600)
    assert world.ask(Asked(here, ANN, "ann-0", "/mcp/ledger-b", token.text))
    (redeemed,) = world.tokens("brought")
    form = exchange_form(redeemed.text, redeemed.where, None)
    assert not world.ask(Asked(there, ANN, "ann-0", "/oauth/token", form=form))
    assert world.counts["reason chain_holder"] == 1


def test_an_agent_of_another_domain_still_renews_its_own(world: World) -> None:
    _, there = world.gateways.values()
    token = world.user_token(there, "/a2a/ann", "maria", "cli", SCOPES, 600)
    assert world.ask(Asked(there, agent_id("b.test", "bob"), "bob-0", "/a2a/ann", token.text))
    subject, resource = world.tokens("hop")[-1], f"{there.base}/mcp/ledger"
    for _ in range(2):
        assert world.ask(Asked(there, ANN, "ann-0", "/oauth/token", form=exchange_form(subject.text, resource, None)))
        subject = world.tokens("exchanged")[-1]
