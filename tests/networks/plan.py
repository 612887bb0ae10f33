"""Networks as values: gateways that know each other or not, agents that are registered here and there, users, limits.

Generated whole before anything runs, so that a failure shows the network that it needs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from gateway.core.model import WAYS, Way
from gateway.identity.signing_key import Algorithm

DOMAINS = ("a.test", "b.test", "c.test")
AGENTS = ("ann", "bob", "cyn", "dan", "eve", "fay", "gus", "hal")
TOOLS = ("ledger/read", "ledger/pay")
USERS = ("maria", "pablo", "zoe")
CLIENTS = ("cli", "ide")


@dataclass(frozen=True)
class Registered:
    """What one gateway has written down of one agent."""

    granted: frozenset[str]
    ceiling: frozenset[str] | None
    entry_point: bool
    clients: tuple[str, ...]
    ways: frozenset[Way]
    route_ways: frozenset[Way]
    route_user: str
    direct: bool
    """Of an agent of another domain: called by this gateway itself, not by way of its own gateway."""


@dataclass(frozen=True)
class Peering:
    """What one gateway believes of another."""

    scopes: Mapping[str, frozenset[str]]
    max_depth: int
    domains: frozenset[str]
    users: bool


@dataclass(frozen=True)
class Place:
    """One gateway."""

    domain: str
    algorithm: Algorithm
    max_depth: int
    root_ttl: int
    mint_kept: int
    agents: Mapping[str, Registered]
    peers: Mapping[str, Peering]
    server_ways: frozenset[Way]
    server_user: str
    shared_by: frozenset[str]


@dataclass(frozen=True)
class Plan:
    """A network."""

    homes: Mapping[str, str]
    """Agent → its trust domain."""
    places: tuple[Place, ...]

    @property
    def scopes(self) -> list[str]:
        """Every scope that is of any use somewhere."""
        return [*(f"{name}/delegate" for name in self.homes), *TOOLS]


@st.composite
def plans(draw: Callable[..., Any]) -> Plan:
    """A network of 1 to 3 gateways and 2 to 8 agents; what gives is likelier than what takes."""
    domains = DOMAINS[: draw(st.integers(1, 3))]
    names = AGENTS[: draw(st.integers(2, 8))]
    homes = {name: domains[number % len(domains)] for number, name in enumerate(names)}
    scopes = [*(f"{name}/delegate" for name in names), *TOOLS]
    places = tuple(_place(draw, domain, domains, homes, scopes) for domain in domains)
    return Plan(homes, places)


def _mostly(draw: Callable[..., Any], one: int = 5) -> bool:
    return bool(draw(st.integers(0, one)))


def _some(draw: Callable[..., Any], all_of: list[str], one: int = 3) -> frozenset[str]:
    """All, mostly, or a part."""
    return frozenset(all_of) if _mostly(draw, one) else frozenset(draw(st.lists(st.sampled_from(all_of), max_size=8)))


def _ways(draw: Callable[..., Any]) -> frozenset[Way]:
    return WAYS if _mostly(draw) else draw(st.frozensets(st.sampled_from(sorted(WAYS))))


def _place(
    draw: Callable[..., Any], domain: str, domains: tuple[str, ...], homes: Mapping[str, str], scopes: list[str]
) -> Place:
    agents = {name: _registered(draw, scopes) for name, home in homes.items() if home == domain or _mostly(draw, one=4)}
    peers = {other: _peering(draw, other, domain, domains, scopes) for other in domains if other != domain}
    return Place(
        domain=domain,
        algorithm=draw(st.sampled_from(("EdDSA", "ES256"))),
        max_depth=draw(st.integers(2, 6)),
        root_ttl=draw(st.sampled_from((300, 600, 900))),
        mint_kept=draw(st.sampled_from((0, 2, 1000))),
        agents=agents,
        peers=peers,
        server_ways=_ways(draw),
        server_user=draw(st.sampled_from(("optional", "required"))),
        shared_by=_some(draw, sorted(agents)) if draw(st.booleans()) else frozenset(),
    )


def _registered(draw: Callable[..., Any], scopes: list[str]) -> Registered:
    return Registered(
        granted=_some(draw, scopes),
        ceiling=None if _mostly(draw) else _some(draw, scopes, one=1),
        entry_point=_mostly(draw, one=2),
        clients=CLIENTS if _mostly(draw) else ("cli",),
        ways=_ways(draw),
        route_ways=_ways(draw),
        route_user=draw(st.sampled_from(("optional", "required"))),
        direct=draw(st.booleans()),
    )


def _peering(draw: Callable[..., Any], other: str, domain: str, domains: tuple[str, ...], scopes: list[str]) -> Peering:
    same = {scope: frozenset({scope}) for scope in scopes}
    if not _mostly(draw, one=2):
        choice = st.sampled_from(scopes)
        same = draw(st.dictionaries(choice, st.frozensets(choice, max_size=3), max_size=8))
    others = [each for each in domains if each not in (domain, other)]
    return Peering(
        scopes=same,
        max_depth=draw(st.integers(1, 6)),
        domains=frozenset({other, *(each for each in others if draw(st.booleans()))}),
        users=_mostly(draw),
    )
