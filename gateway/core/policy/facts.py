"""What one call is decided from: principal, action, resource, context and entities, or why it can't be.

Refuses before Cedar is asked: Cedar skips a policy that errs, and finds nobody in a group when the
entity left of ``in`` was never loaded; both would let a forbid slip.
"""

from collections.abc import Iterable, Mapping

from cedarpy import pst
from msgspec import Struct, structs

from gateway.core import ancestry
from gateway.core.model import Hop, Uid, Usage
from gateway.core.policy.argtypes import Arguments
from gateway.core.policy.arguments import ArgumentsError, context_args
from gateway.core.policy.entities import Entity, World, bare, offered, task, user
from gateway.core.policy.render import render
from gateway.core.policy.syntax import uid_of
from gateway.core.policy.values import Instant, Value
from gateway.core.reasons import Reason
from gateway.core.registry import RISK, Registry
from gateway.core.spiffe import trust_domain_of

USED_BY = {"Tool": "invokeTool", "McpResource": "readResource", "Prompt": "getPrompt"}
"""What is done with the things that a server lists."""


class Facts(Struct, frozen=True):
    """One Cedar request, not approved by anybody."""

    principal: Uid
    action: str
    resource: Uid
    context: Mapping[str, Value]
    world: World

    def roots(self) -> tuple[Uid, ...]:
        """The entities that the request itself names."""
        return (self.principal, self.resource, *self.context["chain"], *self.world.brought)

    def value(self, expr: pst.Expr) -> Value:
        """The value of a path or a literal; None where it is absent or is neither."""
        match expr:
            case pst.Var(name="principal"):
                return self.principal
            case pst.Var(name="action"):
                return Uid("Action", self.action)
            case pst.Var(name="resource"):
                return self.resource
            case pst.Var():
                return self.context
            case pst.EntityLit(value=uid):
                return uid_of(uid)
            case pst.StringLit(value=literal) | pst.LongLit(value=literal) | pst.BoolLit(value=literal):
                return literal
            case pst.GetAttr(base=base, attr=attr):
                return self.attributes(base).get(attr)
        return None

    def attributes(self, expr: pst.Expr) -> Mapping[str, Value]:
        """The attributes of the entity or record that the path stands for; none where it is absent."""
        value = self.value(expr)
        if isinstance(value, Uid):
            entity = self.world.get(value)
            return {} if entity is None else entity.attrs
        return value if isinstance(value, Mapping) else {}


class Undecided(Struct, frozen=True):
    """Why the call is refused without asking Cedar."""

    reason: Reason
    detail: str


def gather(hop: Hop, registry: Registry, world: World, kept: Arguments) -> Facts | Undecided:
    """The facts of a hop. ``kept`` are the argument types that some policy reads."""
    asked = caller(hop, registry, world)
    if isinstance(asked, Undecided):
        return asked
    resource = hop.call.resource
    if asked.world.get(resource) is None:
        origin = hop.call.origins.get(resource)
        entity = offered(resource, registry) if origin is None else task(resource, origin, registry)
        if entity is not None:
            return structs.replace(asked, world=asked.world.also(entity))
        unknown = Reason.TOOL_UNKNOWN if resource.type == "Tool" or origin is not None else Reason.NO_PERMIT
        return Undecided(unknown, f"{resource} is not registered")
    if hop.call.action != "invokeTool":
        return asked
    tool = registry.tool(*resource.id.split("/", 1)) if resource.type == "Tool" else None
    if tool is None:
        return Undecided(Reason.POLICY_ERROR, "invokeTool takes a registered tool")
    try:
        args = context_args(kept, tool, hop.call.arguments)
    except ArgumentsError as error:
        return Undecided(Reason.ARGUMENTS_INVALID, str(error))
    return Facts(asked.principal, asked.action, resource, {**asked.context, "args": args}, asked.world)


def caller(hop: Hop, registry: Registry, world: World) -> Facts | Undecided:
    """The facts of a hop but for its resource's registration and arguments."""
    principal = _principal(hop, registry)
    if isinstance(principal, Undecided):
        return principal
    strangers = [name for name in hop.chain.agents if name not in registry.agents]
    if strangers or len(hop.chain.agents) != len(hop.chain.actors):
        return Undecided(Reason.POLICY_ERROR, "an agent of the chain is not registered")
    if ancestry.mode(hop.chain, registry) == "deny":
        return Undecided(Reason.LIVE_ANCESTRY, f"agent {hop.chain.agents[-1]} works in a live chain that it may hide")
    brought: dict[Uid, Entity] = {}
    if hop.user is not None:
        entity = user(hop.user, registry.people.get(hop.user.sub))
        brought = {**bare(uid for uid in entity.parents if world.get(uid) is None), entity.uid: entity}
    return Facts(principal, hop.call.action, hop.call.resource, _context(hop, registry), world.bringing(brought))


def using(asked: Facts, item: Entity) -> Facts:
    """The same caller using an item of a server's lists, with arguments that aren't known yet."""
    return Facts(asked.principal, USED_BY[item.uid.type], item.uid, asked.context, asked.world.also(item))


def missing(facts: Facts, dereferenced: Iterable[pst.Expr]) -> str | None:
    """The first expression whose entity a policy would look into although nobody registered it."""
    for expr in dereferenced:
        value = facts.value(expr)
        if isinstance(value, Uid) and value.type != "Action" and facts.world.get(value) is None:
            return f"`{render(expr)}` is {value}, which is not registered"
    return None


def _principal(hop: Hop, registry: Registry) -> Uid | Undecided:
    if hop.asking is not None:
        server = registry.servers.get(hop.asking)
        return Undecided(Reason.POLICY_ERROR, "the asking server is not registered") if server is None else server.uid
    if hop.agent is not None:
        agent = registry.agents.get(hop.agent)
        return Undecided(Reason.AGENT_UNREGISTERED, "the caller is not registered") if agent is None else agent.uid
    if hop.peer is not None:
        return Undecided(Reason.AGENT_UNREGISTERED, "the caller is not registered")
    if hop.user is None:
        return Undecided(Reason.POLICY_ERROR, "the hop has neither an agent nor a user")
    return Uid("User", hop.user.sub)


def _context(hop: Hop, registry: Registry) -> dict[str, Value]:
    chain = [registry.agents[name] for name in hop.chain.agents]
    context: dict[str, Value] = {
        "delegation_depth": ancestry.seen_depth(hop.chain, registry),
        "chain": tuple(dict.fromkeys(agent.uid for agent in chain)),
        "chain_max_risk": max((RISK[agent.risk_level] for agent in chain), default=0),
        "reentry": hop.chain.reentry,
        "live_ancestry": ancestry.mode(hop.chain, registry) == "raise",
        "scopes": tuple(sorted(hop.chain.ceiling)),
        "protocol": hop.call.protocol,
        "now": Instant(hop.now),
        "approved": False,
        "approvers": (),
    }
    if hop.user is not None:
        context["user"] = Uid("User", hop.user.sub)
    if hop.chain.purpose is not None:
        context["purpose"] = hop.chain.purpose
    if hop.chain.via is not None:
        context["trace_domain"] = trust_domain_of(hop.chain.via)
    if hop.usage is not None:
        context["usage"] = {name: getattr(hop.usage, name) for name in Usage.__struct_fields__}
    return context
