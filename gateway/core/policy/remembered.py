"""A recorded decision as the hop that it was, over the registry as it stood then; or why that can't be had.

Only what policies can read comes back. What a call's arguments were is ``replay``'s.
"""

from collections.abc import Iterable, Mapping

import msgspec
from msgspec import Struct

from gateway.core.audit import ApprovalUse, DecisionRecord
from gateway.core.audit.build import TEXT_CHARS
from gateway.core.model import Ancestry, Call, Chain, Given, Hop, Peer, ProtocolName, Route, SpiffeId, User
from gateway.core.policy.keeping import Kept, KeptServer
from gateway.core.registry import Agent, Person, Registry, Server, Upstream

_NOWHERE = Upstream("", None)


class Then(Struct, frozen=True, eq=False):
    """What the registry said when a hop was decided, as far as it was about the hop."""

    registry: Registry
    users: Mapping[str, User]
    types: Mapping[str, str]
    """``server/tool`` → digest of its argument types."""
    policies: Mapping[str, str]
    """Id → revision."""


def then(pieces: Iterable[Kept]) -> Then:
    """The pieces of one decision put together."""
    agents: dict[str, Agent] = {}
    people: dict[str, Person] = {}
    servers: dict[str, Server] = {}
    users: dict[str, User] = {}
    types: dict[str, str] = {}
    policies: dict[str, str] = {}
    for piece in pieces:
        if piece.agent is not None:
            agents[piece.agent.name] = Agent(**msgspec.structs.asdict(piece.agent))
        for person in (piece.owner, piece.person):
            if person is not None:
                people[person.id] = person
        if piece.user is not None:
            users[piece.user.sub] = piece.user
        if piece.server is not None:
            servers[piece.server.name] = _with(servers.get(piece.server.name), piece.server)
            types |= {f"{piece.server.name}/{tool}": digest for tool, digest in piece.types.items()}
        policies |= piece.policies
    registry = Registry(
        people=people,
        agents=agents,
        servers=servers,
        models={},
        teams=frozenset(),
        by_spiffe_id={agent.spiffe_id: agent.name for agent in agents.values()},
        by_audience={},
    )
    return Then(registry, users, types, policies)


def hop_of(record: DecisionRecord, facts: Then) -> Hop | str:
    """The hop without its arguments, or why it can't be had."""
    chain, agent, used = record.chain, record.agent, record.approval
    user = None if record.user is None else facts.users.get(record.user)
    if record.user is not None and user is None:
        return "its user's attributes were not kept"
    uids = [record.resource, *(further.resource for further in record.also)]
    if any(len(uid.id) == TEXT_CHARS and uid.id.endswith("…") for uid in uids):
        return "the name of its resource was cut short"
    protocol: ProtocolName = "a2a" if record.protocol == "a2a" else "mcp"
    call = Call(
        protocol=protocol,
        version="",
        method=record.method,
        action=record.action,
        resource=record.resource,
        message={},
        target=record.target,
        also=tuple((further.action, further.resource) for further in record.also),
        origins=dict(record.origins),
    )
    return Hop(
        id=record.hop,
        route=Route(protocol, record.route, f"/{protocol}/{record.route}", "", ""),
        peer=None if agent is None else Peer(SpiffeId(agent.spiffe_id), "", "", 0),
        agent=None if agent is None else agent.name,
        user=user,
        call=call,
        chain=Chain(
            sub=chain.sub,
            actors=tuple(map(SpiffeId, chain.actors)),
            agents=chain.agents,
            txn=chain.txn,
            root_expires=chain.root_expires,
            max_depth=chain.max_depth,
            ceiling=frozenset(chain.ceiling),
            reentry=chain.reentry,
            purpose=chain.purpose,
            via=None if chain.via is None else SpiffeId(chain.via),
            live=Ancestry(chain.live_depth, chain.possible_parents) if chain.possible_parents else None,
        ),
        now=record.at,
        asking=record.asking,
        usage=record.usage,
        given=None if used is None else _given(used),
    )


def _given(used: ApprovalUse) -> Given:
    return Given(id=used.id, groups=frozenset(used.groups), approvers=used.approvers, until=used.until)


def _with(known: Server | None, found: KeptServer) -> Server:
    tools = {} if known is None else known.tools
    facts = {name: getattr(found, name) for name in KeptServer.__struct_fields__}
    return Server(**{**facts, "tools": {**tools, **found.tools}}, upstream=_NOWHERE)
