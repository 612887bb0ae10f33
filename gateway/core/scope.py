"""What a call needs, and what the next token may carry. Scopes are exact strings; nothing here widens one.

Doesn't decide policy: it runs after a permit and can only take away (TOKENS "Two scopes").
"""

from collections.abc import Mapping

from gateway.core.errors import HopError
from gateway.core.model import Call, Chain, RootToken
from gateway.core.reasons import Reason
from gateway.core.registry import Registry

DELEGATION_ACTIONS = frozenset(
    {
        "delegate", "getTask", "listTasks", "cancelTask", "subscribeTask", "getExtendedCard", "createPushConfig",
        "getPushConfig", "listPushConfigs", "deletePushConfig",
    }
)  # fmt: skip
"""What is done with an agent, and so needs the scope of delegating to it."""


def needed(call: Call, registry: Registry) -> frozenset[str]:
    """The scopes that exactly this call needs; empty for opening, listing and notifying."""
    if call.action == "invokeTool":
        tool = registry.tool(*call.resource.id.split("/", 1))
        return frozenset() if tool is None else frozenset(tool.scopes)
    if call.action in DELEGATION_ACTIONS and call.resource.type == "Agent":
        return frozenset({f"{call.resource.id}/delegate"})
    return frozenset()


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
