"""A first policy for a tool or a server, with its tests: a beginning that holds together, for its author to change.

Writes by attributes, never by an agent's name. Judges nothing: the bundle that it is put into does.
"""

import json
from collections.abc import Mapping
from typing import Any

from msgspec import Struct, structs

from gateway.core.model import Effect, SpiffeId, Uid
from gateway.core.policy.argtypes import arguments_of, described
from gateway.core.policy.entities import World, registered
from gateway.core.policy.render import quoted
from gateway.core.policy.source import PolicySource
from gateway.core.registry import Agent, Registry, Tool

_EXAMPLE = "example-agent"
_NOW = {"__extn": {"fn": "datetime", "arg": "2026-01-01T12:00:00Z"}}


class Wish(Struct, frozen=True, kw_only=True):
    """What is to be written. ``tool`` is registered; ``team`` is that of the agents it is for."""

    id: str
    folder: str
    """``platform``, ``guardrails``, ``baseline`` or ``teams/<team>``."""
    effect: Effect
    owner: str
    team: str
    tool: Tool


class Draft(Struct, frozen=True):
    """A policy file, and the text of the test file beside it."""

    source: PolicySource
    tests: str


def draft(wish: Wish, registry: Registry) -> Draft:
    """The files of a wish."""
    name = wish.id.replace("/", "-")
    return Draft(PolicySource(f"{wish.folder}/{name}.cedar", _policy(wish, registry)), _tests(wish, registry))


def _policy(wish: Wish, registry: Registry) -> str:
    tool = wish.tool
    permit = wish.effect == "permit"
    sense = "may call" if permit else "don't call"
    condition = (
        '  principal.risk_level == "low" &&\n  context.delegation_depth <= 3'
        if permit
        else '  principal.risk_level == "high" ||\n  context.delegation_depth > 3'
    )
    scope = f"principal is Agent in {Uid('Team', wish.team)}" if permit else "principal is Agent"
    about = "Agents of team " + wish.team if permit else "High-risk agents, and agents deep in a chain,"
    return "\n".join(
        (
            "// Say who by attributes and groups, not by name: an agent that is registered later is governed at once.",
            f"// Arguments of the tool: {_arguments(tool, registry)}.",
            f"@id({quoted(wish.id)})",
            f"@owner({quoted(wish.owner)})",
            f"@description({quoted(f'{about} {sense} {tool.server}/{tool.name}.')})",
            f"{wish.effect} (",
            f"  {scope},",
            '  action == Action::"invokeTool",',
            f"  resource == {tool.uid}",
            ") when {",
            condition,
            "};",
            "",
        )
    )


def _arguments(tool: Tool, registry: Registry) -> str:
    record = arguments_of(registry).get(tool.server, {}).get(tool.name)
    if record is None or not record.fields:
        return "none that a policy can read, since no input schema is registered"
    return f"context.args.{tool.server}.{tool.name} is {described(record)}"


def _tests(wish: Wish, registry: Registry) -> str:
    permit = wish.effect == "permit"
    cases = [
        {
            "name": name,
            **_asked(wish, registry, depth),
            "decision": "allow" if decides and permit else "deny",
            "reason": [wish.id] if decides else [],
            "num_errors": 0,
        }
        for name, depth, decides in (
            (f"a low-risk agent calls {wish.tool.name}", 1, permit),
            (f"deep in a chain it calls {wish.tool.name}", 4, not permit),
        )
    ]
    return json.dumps(cases, indent=2, ensure_ascii=False) + "\n"


def _asked(wish: Wish, registry: Registry, depth: int) -> Mapping[str, Any]:
    agent = Agent(
        name=_EXAMPLE,
        spiffe_id=SpiffeId("spiffe://example.test/agent/example"),
        owner=wish.owner,
        team=wish.team,
        purpose="an example",
        risk_level="low",
        environment=wish.tool.environment,
    )
    world = World(registered(structs.replace(registry, agents={_EXAMPLE: agent})))
    reached = world.closure((agent.uid, wish.tool.uid))
    entities = [json.loads(reached[uid].text()) for uid in sorted(reached)]
    return {
        "request": {
            "principal": str(agent.uid),
            "action": 'Action::"invokeTool"',
            "resource": str(wish.tool.uid),
            "context": _context(depth, agent.uid),
        },
        "entities": entities,
    }


def _context(depth: int, caller: Uid) -> Mapping[str, Any]:
    return {
        "delegation_depth": depth,
        "chain": [{"__entity": {"type": caller.type, "id": caller.id}}],
        "chain_max_risk": 1,
        "reentry": False,
        "live_ancestry": False,
        "scopes": [],
        "protocol": "mcp",
        "now": _NOW,
        "approved": False,
        "approvers": [],
    }
