"""Tool pins on the data path: calls of tools in quarantine are denied, and lists are compared with what was approved.

What counts as approved is ``core.pins``'s. A store that can't be asked refuses the hop.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.core.model import Ask, Decision, Deny, Permit, Uid
from gateway.core.pins import UNSEEN, Definition, Pin, approved_digest, definition_of, quarantined
from gateway.core.reasons import Reason
from gateway.core.registry import Tool
from gateway.core.snapshot import Snapshot
from gateway.proxy.gate import Gate


async def held(gate: Gate, snapshot: Snapshot, decision: Decision) -> Decision:
    """The decision, or a denial where it is about calling a tool that is in quarantine, or following its tasks.

    Nobody is asked to approve such a call either.

    Raises:
        StoreError: the store can't be asked.
    """
    hop = decision.hop
    # Whoever may no longer call a tool may still cancel what it does.
    if isinstance(decision, Deny) or hop.call.protocol != "mcp" or hop.call.action == "cancelTask":
        return decision
    used = [each for each in (hop.call.resource, *hop.call.origins.values()) if each.type == "Tool"]
    pins = await gate.pins.of(hop.route.name) if used else {}
    for each in used:
        name = each.id.partition("/")[2]
        tool = snapshot.registry.tool(hop.route.name, name)
        if tool is None or quarantined(tool, pins.get(name, UNSEEN), first_use=snapshot.first_use_pins):
            return _waiting(decision, each)
    return decision


def _waiting(decision: Permit | Ask, tool: Uid) -> Deny:
    hop, detail = decision.hop, f"{tool} waits for its definition to be approved"
    return Deny(hop, Reason.TOOL_QUARANTINED, decision.policies, decision.bundle, decision.generation, detail)


async def withheld(gate: Gate, snapshot: Snapshot, server: str, listed: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """Registered tools among ``listed``, the entries of a ``tools/list`` result, that may not be shown.

    Raises:
        StoreError: the store can't be asked.
    """
    pins, found = await gate.pins.of(server), set[str]()
    for entry in listed:
        tool = snapshot.registry.tool(server, entry["name"])
        if tool is not None and not await _admitted(gate, tool, pins.get(tool.name, UNSEEN), entry, snapshot):
            found.add(tool.name)
    return frozenset(found)


async def _admitted(gate: Gate, tool: Tool, pin: Pin, entry: Mapping[str, Any], snapshot: Snapshot) -> bool:
    definition = definition_of(entry)
    if approved_digest(tool, pin) is None and snapshot.first_use_pins:
        await gate.pins.keep_first(tool.server, tool.name, definition)
        # Another process may have been first, with another definition.
        pin = (await gate.pins.of(tool.server)).get(tool.name, UNSEEN)
    approved = approved_digest(tool, pin)
    if definition.digest != approved:
        await _report(gate, tool, approved, definition)
        return False
    if quarantined(tool, pin, first_use=snapshot.first_use_pins):
        return False
    if pin.approved is None or pin.approved.digest != approved:
        # Pinned by the registry: kept, so that a later change can be compared with it.
        await gate.pins.approve(tool.server, tool.name, definition)
    return True


async def _report(gate: Gate, tool: Tool, approved: str | None, found: Definition) -> None:
    if await gate.pins.report(tool.server, tool.name, found):
        gate.metrics.tool_changed()
        gate.log.warning(
            "tool definition not approved", server=tool.server, tool=tool.name, approved=approved, found=found.digest
        )
