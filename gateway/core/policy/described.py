"""Hops that were not received but described, by a person who asks what would be decided.

Builds the very ``Hop`` that ``decide`` is asked on the data path, of things that the registry knows. Decides nothing.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from gateway.core.model import Call, Chain, Hop, Peer, Route, SpiffeId, Uid, Usage, User
from gateway.core.policy.bundle import Bundle
from gateway.core.policy.source import did_you_mean
from gateway.core.registry import Registry
from gateway.core.spiffe import trust_domain_of


class Described(Struct, frozen=True, forbid_unknown_fields=True):
    """A request in words. Ids as the registry has them."""

    action: str
    resource: str
    """``ledger/pay`` for a tool, a server's or an agent's name, or ``Type::"id"``."""
    agent: str | None = None
    """Who calls; None for a person's own client."""
    user: str | None = None
    """``<idp>|<subject>``."""
    roles: tuple[str, ...] | None = None
    """Of the person's token; None: those that are registered."""
    groups: tuple[str, ...] | None = None
    arguments: dict[str, Any] | None = None
    chain: tuple[str, ...] | None = None
    """Agents, the entry first and the caller last; None: the caller alone."""
    scopes: tuple[str, ...] = ()
    purpose: str | None = None
    reentry: bool = False
    usage: Usage = Usage()
    """What was used lately, the call included: ``agent_requests_minute`` and the like; what isn't given is 0."""


class DescriptionError(ValueError):
    """What is described can't be asked. The text says why."""


def hop_of(described: Described, registry: Registry, routes: Mapping[str, Route], bundle: Bundle, now: int) -> Hop:
    """The hop of a description, at ``now`` in Unix milliseconds.

    Raises:
        DescriptionError: something in it isn't registered.
    """
    actions = {uid.id for uid in bundle.world.registered if uid.type == "Action"}
    _known("action", described.action, actions)
    resource = _resource(described.resource, registry)
    chain = described.chain if described.chain is not None else tuple(filter(None, (described.agent,)))
    for name in (*chain, *filter(None, (described.agent,))):
        _known("agent", name, registry.agents)
    if (chain[-1] if chain else None) != described.agent:
        raise DescriptionError("the chain must end with the agent that calls")
    user = None if described.user is None else _user(described, registry)
    if user is None and described.agent is None:
        raise DescriptionError("somebody has to call: give an agent, a user, or both")
    actors = tuple(registry.agents[name].spiffe_id for name in chain)
    return Hop(
        id="described",
        route=route_of(resource, routes),
        peer=None if described.agent is None else peer_of(registry.agents[described.agent].spiffe_id),
        agent=described.agent,
        user=user,
        call=Call(
            protocol="a2a" if resource.type == "Agent" else "mcp",
            version="",
            method="",
            action=described.action,
            resource=resource,
            message={},
            arguments=described.arguments,
        ),
        chain=Chain(
            sub=user.sub if user is not None else actors[0],
            actors=actors,
            agents=chain,
            txn="",
            root_expires=0,
            max_depth=0,
            ceiling=frozenset(described.scopes),
            reentry=described.reentry,
            purpose=described.purpose,
        ),
        now=now,
        usage=described.usage,
    )


def _known(kind: str, name: str, known: Mapping[str, Any] | set[str]) -> None:
    if name not in known:
        raise DescriptionError(f"no {kind} is named {name!r}{did_you_mean(name, known)}")


def _resource(text: str, registry: Registry) -> Uid:
    kind, separator, rest = text.partition("::")
    if separator:
        return Uid(kind, rest.strip('"'))
    if "/" in text:
        _known("tool", text, {f"{each.name}/{tool}" for each in registry.servers.values() for tool in each.tools})
        return Uid("Tool", text)
    _known("server or agent", text, {**registry.servers, **registry.agents})
    return Uid("McpServer" if text in registry.servers else "Agent", text)


def route_of(resource: Uid, routes: Mapping[str, Route], name: str | None = None) -> Route:
    """The route of a resource; one of this name that leads nowhere, where there is none."""
    name = name or resource.id.partition("/")[0]
    paths = (f"/a2a/{name}", f"/mcp/{name}") if resource.type == "Agent" else (f"/mcp/{name}", f"/a2a/{name}")
    for path in paths:
        if path in routes:
            return routes[path]
    return Route("a2a" if resource.type == "Agent" else "mcp", name, paths[0], "", "")


def peer_of(spiffe_id: SpiffeId) -> Peer:
    """A caller that is taken to be verified."""
    return Peer(spiffe_id, trust_domain_of(spiffe_id), "", 0)


def _user(described: Described, registry: Registry) -> User:
    found = person_of(str(described.user), registry)
    roles = found.roles if described.roles is None else described.roles
    groups = found.groups if described.groups is None else described.groups
    return msgspec.structs.replace(found, roles=roles, groups=groups)


def person_of(sub: str, registry: Registry) -> User:
    """The person ``<idp>|<subject>`` as registered, or as nobody knows more.

    Raises:
        DescriptionError: ``sub`` is no such name.
    """
    idp, _, subject = sub.partition("|")
    if not subject:
        raise DescriptionError(f"{sub!r} is no person; write <idp>|<subject>{did_you_mean(sub, registry.people)}")
    known = registry.people.get(sub)
    if known is None:
        return User(issuer="", idp=idp, subject=subject)
    return User(known.issuer, idp, subject, known.email, known.roles, known.groups)
