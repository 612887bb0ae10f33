"""Live ancestry (TOKENS §4): an agent that works in somebody's chain, and begins another, may be resetting its depth.

Decides what that means for the chain begun: how deep policies see it. Chains are never spliced by it: ``txn``, actors
and scopes stay the begun chain's own. Doesn't store who takes part where (``core.ports.LiveChains``).
"""

from collections.abc import Iterable

from msgspec import Struct, structs

from gateway.core.model import Ancestry, Chain, Hop, SpiffeId
from gateway.core.registry import LiveMode, Registry

LISTED = 16
"""Chains that are named as possible parents, the deepest first; the depth is that of all."""


class Participation(Struct, frozen=True):
    """An agent was delegated to in a chain, and may act in it until the chain ends."""

    sub: str
    """The chain's."""
    agent: SpiffeId
    txn: str
    depth: int
    """Agents in the chain up to and with this one."""
    root_expires: int
    """Unix seconds."""


def suspects(chain: Chain) -> str | None:
    """Whose live chains make a chain begun by an agent suspicious: its user's; None means anybody's.

    An agent that drops the user has no ``sub`` to be found by, so every chain that it works in could be the parent.
    """
    return None if chain.actors and chain.sub == chain.actors[0] else chain.sub


def begun(chain: Chain, live: Iterable[Participation]) -> Chain:
    """``chain``, just begun by an agent, with what that agent takes part in."""
    found = sorted(live, key=lambda each: (-each.depth, -each.root_expires, each.txn))
    if not found:
        return chain
    return structs.replace(chain, live=Ancestry(found[0].depth, tuple(each.txn for each in found[:LISTED])))


def mode(chain: Chain, registry: Registry) -> LiveMode | None:
    """How the beginning agent's suspicion is to be treated; None where there is none."""
    if chain.live is None:
        return None
    agent = registry.agent_of(chain.actors[-1])
    return "deny" if agent is None else agent.live_ancestry


def seen_depth(chain: Chain, registry: Registry) -> int:
    """The depth that policies see: the chain's, or one more than the deepest live one that it may hide."""
    if chain.live is None or mode(chain, registry) == "observe":
        return chain.depth
    return max(chain.depth, 1 + chain.live.depth)


def delegated(hop: Hop, registry: Registry) -> Participation | None:
    """What the token for the next hop makes its holder take part in; None where no agent can continue with it."""
    name = registry.by_audience.get(hop.route.audience)
    if name is None:
        return None
    chain = hop.chain
    # Its true depth: suspicion that went on would make honest agents raise each other (docs/CHAINS.md).
    return Participation(chain.sub, registry.agents[name].spiffe_id, chain.txn, chain.depth + 1, chain.root_expires)
