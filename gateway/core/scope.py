"""What a call needs, and what the next token may carry. Scopes are exact strings; nothing here widens one.

Doesn't decide policy: it runs after a permit and can only take away (TOKENS "Two scopes").
"""

from collections.abc import Iterable, Mapping

from gateway.core.errors import HopError
from gateway.core.model import Call, Chain, RootToken, Uid
from gateway.core.reasons import Reason
from gateway.core.registry import Registry

TOOL_ACTIONS = frozenset({"invokeTool", "getTask", "updateTask", "cancelTask"})
CONTENT_ACTIONS = frozenset({"readResource", "getPrompt", "complete"})
DELEGATION_ACTIONS = frozenset(
    {
        "delegate", "getTask", "listTasks", "cancelTask", "subscribeTask", "getExtendedCard", "createPushConfig",
        "getPushConfig", "listPushConfigs", "deletePushConfig",
    }
)  # fmt: skip
"""What is done with an agent, and so needs the scope of delegating to it."""


def needed(call: Call, registry: Registry) -> frozenset[str]:
    """The scopes that exactly this call needs; empty for opening, listing and notifying."""
    parts = ((call.action, call.resource), *call.also)
    # A task's needs are those of the tool that made it.
    used = ((action, call.origins.get(resource, resource)) for action, resource in parts)
    return frozenset(scope for action, resource in used for scope in _needed(action, resource, registry))


def _needed(action: str, resource: Uid, registry: Registry) -> Iterable[str]:
    if resource.type == "Tool" and action in TOOL_ACTIONS:
        tool = registry.tool(*resource.id.split("/", 1))
        return () if tool is None else tool.scopes
    if action in CONTENT_ACTIONS:
        return _content(resource, registry)
    if action in DELEGATION_ACTIONS and resource.type == "Agent":
        return (f"{resource.id}/delegate",)
    return ()


def default_scopes(server: str) -> Mapping[str, str]:
    """By type, what the use of a server's resources and prompts needs where the registry says nothing else."""
    return {"McpResource": f"{server}/resources/read", "Prompt": f"{server}/prompts/get"}


def _content(resource: Uid, registry: Registry) -> frozenset[str]:
    """What the pattern entries of a resource ask for, all of them together, or the default."""
    name, _, target = resource.id.partition("/")
    server = registry.servers.get(name) if resource.type == "McpResource" else None
    entries = () if server is None else server.registered_for(target)
    asked = frozenset(each for entry in entries for each in entry.scopes)
    return asked or frozenset({default_scopes(name)[resource.type]})


def narrow(call: Call, chain: Chain, registry: Registry) -> frozenset[str]:
    """The ``scope`` of the token for the next hop: all that the call needs.

    Raises:
        HopError: SCOPE_CEILING, the chain's ceiling lacks a needed scope. Granting less than a call
            needs would only move the refusal to the upstream, so it is all or nothing.
    """
    wanted = needed(call, registry)
    missing = wanted - chain.ceiling
    if missing:
        raise HopError(Reason.SCOPE_CEILING, f"the chain lacks scope {' '.join(sorted(missing))}")
    return wanted


def downstream_ceiling(call: Call, chain: Chain, registry: Registry) -> frozenset[str]:
    """``del_scope`` of the next token: the chain's, cut to what the delegate was granted; nothing for servers."""
    if call.resource.type != "Agent":
        return frozenset()
    delegate = registry.agents.get(call.resource.id)
    return frozenset() if delegate is None else chain.ceiling & frozenset(delegate.scopes)


def curable(
    missing: frozenset[str], root: RootToken, granted: frozenset[str], sources: Mapping[str, frozenset[str]]
) -> frozenset[str]:
    """Issuer scopes that would cure ``missing``, or the empty set if no scope can.

    ``granted`` is what the presenting agent was granted at registration (everything for a user-only
    client); ``sources`` maps each gateway scope to the issuer scopes that yield it. A scope that the
    token already yields is missing because of the agent, so no new token helps.
    """
    if missing - granted or missing & root.scopes or any(not sources.get(scope) for scope in missing):
        return frozenset()
    return frozenset(min(sources[scope]) for scope in missing)
