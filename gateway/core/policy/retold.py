"""The hop of a decision record, and whether deciding it again says what deciding the hop itself would.

A record doesn't hold everything: tokens are not kept, and arguments only where the route asks. What it lacks is
said, and which policies could read it. Decisions are made anew under the registry as it is now.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
from cedarpy import pst
from msgspec import Struct

from gateway.core.audit import DecisionRecord
from gateway.core.model import Ancestry, Call, Chain, Hop, Route, SpiffeId, Uid
from gateway.core.policy.bundle import Bundle
from gateway.core.policy.decide import decide
from gateway.core.policy.described import peer_of, person_of, route_of
from gateway.core.policy.rule import Rule
from gateway.core.policy.syntax import path_of, uid_of
from gateway.core.registry import Registry, Tool

Lacking = Literal["arguments", "user", "origins", "further actions", "usage"]
_FURTHER = frozenset({"subscriptions/listen", "resources/subscribe"})
"""Methods whose further actions aren't recorded."""


class Retold(Struct, frozen=True):
    """The hop of a record, as far as it is known."""

    hop: Hop
    lacking: frozenset[Lacking]


def retold(record: DecisionRecord, registry: Registry, routes: Mapping[str, Route]) -> Retold:
    """The hop that ``record`` tells of: its user is as registered, since tokens are not kept."""
    lacking: set[Lacking] = set()
    arguments = _arguments(record, registry)
    if arguments is None and record.arguments_digest is not None and record.action == "invokeTool":
        lacking.add("arguments")
    if record.user is not None:
        lacking.add("user")
    if record.resource.type == "McpTask":
        lacking.add("origins")
    if record.method in _FURTHER:
        lacking.add("further actions")
    if record.usage is None:
        lacking.add("usage")
    facts = record.chain
    actors = tuple(map(SpiffeId, facts.actors))
    live = Ancestry(facts.live_depth, facts.possible_parents) if facts.live_depth else None
    peer = None if record.agent is None else peer_of(SpiffeId(record.agent.spiffe_id))
    hop = Hop(
        id=record.hop,
        route=route_of(record.resource, routes, record.route),
        peer=peer,
        agent=None if record.agent is None else record.agent.name,
        user=None if record.user is None else person_of(record.user, registry),
        call=Call(
            protocol="a2a" if record.protocol == "a2a" else "mcp",
            version="",
            method=record.method,
            action=record.action,
            resource=record.resource,
            message={},
            arguments=arguments,
        ),
        chain=Chain(
            sub=facts.sub,
            actors=actors,
            agents=facts.agents,
            txn=facts.txn,
            root_expires=facts.root_expires,
            max_depth=facts.max_depth,
            ceiling=frozenset(facts.ceiling),
            reentry=facts.reentry,
            purpose=facts.purpose,
            via=None if facts.via is None else SpiffeId(facts.via),
            live=live,
        ),
        now=record.at,
        asking=record.asking,
        usage=record.usage,
    )
    return Retold(hop, frozenset(lacking))


def unknown_to(bundle: Bundle, story: Retold) -> tuple[str, ...]:
    """Why a decision of ``bundle`` on the retold hop might not be that on the hop itself; nothing where it is exact.

    Names what isn't known, and the policies that could read it.
    """
    hop = story.hop
    found = [f"{each} are not recorded" for each in ("origins", "further actions") if each in story.lacking]
    speaking = [rule for rule in bundle.rules.values() if _speaks_of(rule, hop, bundle)]
    if "arguments" in story.lacking:
        server, _, tool = hop.call.resource.id.partition("/")
        record = bundle.arguments.get(server, {}).get(tool)
        readers = sorted(rule.id for rule in speaking if rule.footprint.arguments)
        if record is not None and record.fields:
            found.append(f"the arguments are not recorded, and may be read by {_names(readers) or 'some policy'}")
    if "user" in story.lacking:
        readers = sorted(rule.id for rule in speaking if _reads_user(rule, hop))
        if readers:
            found.append(f"roles and groups of the user's token are not recorded, and may be read by {_names(readers)}")
    if "usage" in story.lacking:
        readers = sorted(rule.id for rule in speaking if rule.footprint.reads_context("usage"))
        if readers:
            found.append(f"what was used lately is not recorded, and may be read by {_names(readers)}")
    if not found and hop.call.protocol == "mcp" and not _whatever_log_level(hop, bundle):
        found.append("whether the call sets a log level is not recorded, and would decide it")
    return tuple(found)


def _whatever_log_level(hop: Hop, bundle: Bundle) -> bool:
    """Whether the verdict is the same if the call also sets a log level, as any MCP call may."""
    server = Uid("McpServer", hop.call.resource.id.partition("/")[0])
    also = msgspec.structs.replace(hop.call, also=(("setLogLevel", server),))
    plain, logging = (
        decide(each, bundle, bundle.registry, 0) for each in (hop, msgspec.structs.replace(hop, call=also))
    )
    return type(plain) is type(logging)


def _speaks_of(rule: Rule, hop: Hop, bundle: Bundle) -> bool:
    """Whether the policy's resource scope lets the hop's resource in. Of derived actions any policy may speak."""
    if hop.call.action not in ("invokeTool", "delegate"):
        return True
    around = bundle.world.ancestors(hop.call.resource)
    asked = bundle.world.ancestors(Uid("Action", hop.call.action))
    match rule.tree.action:
        case pst.ActionEq(entity=entity) if uid_of(entity) not in asked:
            return False
        case pst.ActionIn(entities=entities) if not asked.intersection(map(uid_of, entities)):
            return False
    match rule.tree.resource:
        case pst.ScopeEq(entity=pst.EntityUid() as uid):
            return uid_of(uid) == hop.call.resource
        case pst.ScopeIn(entity=pst.EntityUid() as uid) | pst.ScopeIsIn(entity=pst.EntityUid() as uid):
            return uid_of(uid) in around
        case pst.ScopeIs(entity_type=kind):
            return str(kind) == hop.call.resource.type
    return True


def _reads_user(rule: Rule, hop: Hop) -> bool:
    """Whether the policy could read more of the user than who it is."""
    people = {"principal"} if hop.agent is None else set()
    people |= {"resource"} if hop.call.resource.type == "User" else set()
    for expr in rule.footprint.dereferenced:
        path = path_of(expr)
        if path is None or path == ("context", "user") or path[0] in people:
            return not isinstance(expr, pst.EntityLit) or uid_of(expr.value).type == "User"
    return False


def _arguments(record: DecisionRecord, registry: Registry) -> dict[str, Any] | None:
    """The recorded arguments, unless some value was replaced by a digest."""
    found = msgspec.json.decode(record.arguments)
    if not isinstance(found, dict):
        return None
    tool = _tool(record.resource, registry)
    return None if tool is None or any(name in found for name in tool.sensitive) else found


def _tool(uid: Uid, registry: Registry) -> Tool | None:
    server, _, name = uid.id.partition("/")
    return registry.tool(server, name) if uid.type == "Tool" else None


def _names(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
