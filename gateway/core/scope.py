"""What a call needs, and what the next token may carry. Scopes are exact strings; nothing here widens one.

Doesn't decide policy: it runs after a permit and can only take away (TOKENS "Two scopes").
"""

from collections.abc import Iterable, Mapping

from gateway.core.errors import HopError
from gateway.core.model import Call, Chain, RootToken, Route, Uid
from gateway.core.reasons import Reason
from gateway.core.registry import Registry

TOOL_ACTIONS = frozenset({"invokeTool", "getTask", "updateTask", "cancelTask"})
CONTENT = {"McpResource": ("readResource", "resources/read"), "Prompt": ("getPrompt", "prompts/get")}
"""By type, the operation that uses it, and what that needs by default: ``<server>/…``."""
DELEGATION_ACTIONS = frozenset(
    {
        "delegate", "getTask", "listTasks", "cancelTask", "subscribeTask", "getExtendedCard", "createPushConfig",
        "getPushConfig", "listPushConfigs", "deletePushConfig",
    }
)  # fmt: skip
"""What is done with an agent, and so needs the scope of delegating to it where the agent says nothing else."""
REQUESTED = "hopgate-del-scope"
"""Header in which a caller says all that its delegate may still use: space-separated, only ever less than it has."""

Sources = Mapping[str, frozenset[str]]
"""Gateway scope → the scopes of one issuer that yield it."""


def needed(call: Call, registry: Registry) -> frozenset[str]:
    """All scopes that the call needs, in all its parts; empty for opening."""
    parts = ((call.action, call.resource), *call.also)
    # A task's needs are those of the tool that made it.
    used = ((action, call.origins.get(resource, resource)) for action, resource in parts)
    return frozenset(scope for action, resource in used for scope in _needed(action, resource, registry))


def _needed(action: str, resource: Uid, registry: Registry) -> Iterable[str]:
    name, _, target = resource.id.partition("/")
    if resource.type == "Agent" and action in DELEGATION_ACTIONS:
        agent = registry.agents.get(resource.id)
        return agent.needs.get(action, (delegating(resource.id),)) if agent else (delegating(resource.id),)
    if resource.type == "Tool" and action in TOOL_ACTIONS:
        tool = registry.tool(name, target)
        return () if tool is None else tool.scopes
    if resource.type in CONTENT:
        return _content(action, resource.type, name, target, registry)
    server = registry.servers.get(name) if resource.type in ("McpServer", "McpTask") else None
    return () if server is None else server.needs.get(action, ())


def delegating(agent: str) -> str:
    """What calls of an agent need where its registration says nothing else."""
    return f"{agent}/delegate"


def default_scopes(server: str) -> Mapping[str, str]:
    """By type, what the use of a server's resources and prompts needs where the registry says nothing else."""
    return {kind: f"{server}/{need}" for kind, (_, need) in CONTENT.items()}


def _content(action: str, kind: str, name: str, target: str, registry: Registry) -> Iterable[str]:
    """What all entries of a resource or prompt ask for together, else what its server does, else the default."""
    server = registry.servers.get(name)
    if server is None:
        return (default_scopes(name)[kind],)
    entries = server.registered_for(target) if kind == "McpResource" else server.prompts_for(target)
    asked = frozenset(each for entry in entries for each in entry.scopes)
    used = CONTENT[kind][0]
    return asked or server.needs.get(action) or server.needs.get(used) or (default_scopes(name)[kind],)


def narrow(wanted: frozenset[str], chain: Chain) -> frozenset[str]:
    """The ``scope`` of the token for the next hop: ``wanted``, all that the call needs.

    Raises:
        HopError: SCOPE_CEILING, the chain's ceiling lacks a needed scope. Granting less than a call
            needs would only move the refusal to the upstream, so it is all or nothing.
    """
    missing = wanted - chain.ceiling
    if missing:
        raise HopError(Reason.SCOPE_CEILING, f"the chain lacks scope {' '.join(sorted(missing))}")
    return wanted


def served(route: Route, registry: Registry) -> frozenset[str]:
    """The scopes that are of any use at a route: those of what is called there, and what a delegate can go on with."""
    known = registry.agents if route.protocol == "a2a" else registry.servers
    if route.name not in known:
        return frozenset()
    every, _ = of_route(route.name, route.protocol, registry)
    return every if route.protocol == "mcp" else every | frozenset(registry.agents[route.name].scopes)


def downstream_ceiling(
    call: Call, chain: Chain, registry: Registry, requested: frozenset[str] | None = None
) -> frozenset[str]:
    """``del_scope`` of the next token: the chain's, cut to the delegate's grants and its ceiling, and to ``requested``.

    None requested cuts nothing. A server gets none: nobody continues from there.
    """
    delegate = registry.agents.get(call.resource.id) if call.resource.type == "Agent" else None
    if delegate is None:
        return frozenset()
    found = chain.ceiling & frozenset(delegate.scopes)
    for cut in (delegate.ceiling, requested):
        found = found if cut is None else found & frozenset(cut)
    return found


def requested(header: str | None) -> frozenset[str] | None:
    """The scopes that a ``REQUESTED`` header leaves to the delegate; empty text leaves none, None asks for nothing.

    Raises:
        HopError: MESSAGE_INVALID, it isn't a list of scopes (RFC 6749 §3.3).
    """
    if header is None:
        return None
    if not all("!" <= char <= "~" and char not in '"\\' for char in header.replace(" ", "")):
        raise HopError(Reason.MESSAGE_INVALID, f"header {REQUESTED} is not a space-separated list of scopes")
    return frozenset(header.split())


def step_up(wanted: frozenset[str], root: RootToken, granted: frozenset[str], sources: Sources) -> frozenset[str]:
    """Issuer scopes of a token with which all that is ``wanted`` could be had; empty if no token helps.

    ``granted`` is what the presenting agent was granted at registration (everything for a user-only client). A scope
    that the token yields already is missing because of the agent. All that is wanted is named, not only what lacks:
    a client may ask for exactly these.
    """
    missing = wanted - (root.scopes & granted)
    if missing - granted or missing & root.scopes or any(not sources.get(scope) for scope in missing):
        return frozenset()
    return covering(wanted, sources)


def covering(wanted: frozenset[str], sources: Sources) -> frozenset[str]:
    """A few issuer scopes that yield all of ``wanted`` that any yields; of two, the one that yields less besides."""
    yields: dict[str, set[str]] = {}
    for scope, found in sources.items():
        for name in found:
            yields.setdefault(name, set()).add(scope)
    had = {scope for scope in wanted if sources.get(scope)}
    chosen = {min(sources[scope], key=lambda name: (len(yields[name]), name)) for scope in had}
    for name in sorted(chosen, key=lambda name: (-len(yields[name]), name)):
        if had <= set().union(*(yields[other] for other in chosen - {name})):
            chosen.discard(name)
    return frozenset(chosen)


def useful(wanted: frozenset[str], issuers: Iterable[Sources]) -> frozenset[str]:
    """Every scope of any issuer that yields some of ``wanted``."""
    return frozenset(each for sources in issuers for scope in wanted for each in sources.get(scope, ()))


def of_route(name: str, protocol: str, registry: Registry) -> tuple[frozenset[str], frozenset[str]]:
    """All scopes that some call of a route needs, and those that a client needs to begin with.

    To begin: what an agent's messages need; of a server, opening, listing and the tools that change nothing.
    """
    if protocol == "a2a":
        needs = {action: _needed(action, Uid("Agent", name), registry) for action in DELEGATION_ACTIONS}
        return frozenset().union(*needs.values()), frozenset(needs["delegate"])
    server = registry.servers[name]
    opening = [server.needs.get(action, ()) for action in ("discover", "listTools", "listResources", "listPrompts")]
    reading = [tool.scopes for tool in server.tools.values() if tool.read_only]
    begins = frozenset[str]().union(*opening, *reading)
    used = [entry.scopes for entries in (server.tools, server.resources, server.prompts) for entry in entries.values()]
    return begins.union(*server.needs.values(), *used, default_scopes(name).values()), begins
