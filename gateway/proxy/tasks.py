"""MCP tasks on the data path: each belongs to who made it, and is of the tool that it was made with.

A server's own tasks are claimed when they are made, and a client's, that it makes of a server's requests, likewise.
Doesn't decide policy: it says what the policies are asked about.
"""

from collections.abc import Mapping, Sequence

from msgspec import structs

from gateway.core.errors import HopError, UpstreamError
from gateway.core.model import Call, Hop, Permit, Uid
from gateway.core.policy.decide import decide
from gateway.core.reasons import Reason
from gateway.protocols import mcp
from gateway.protocols.base import Inbound
from gateway.proxy.adapters import task_key
from gateway.proxy.gate import Gate, Passage
from gateway.proxy.rounds import Place
from gateway.proxy.sessions import owner

CLIENTS_STATUS = "notifications/tasks/status"
"""How a client tells of a task of its own; only sessions have them."""


async def placed(gate: Gate, passage: Passage, place: Place, call: Call) -> Call:
    """The call with the tools that its tasks were made with; a response is held to the tasks that it may speak of.

    Raises:
        HopError: TASK_UNKNOWN.
        StoreError: owners can't be asked.
    """
    if call.protocol != "mcp":
        return call
    if call.request_id is None:
        await _check_clients(gate, passage, place, call)
    named = mcp.decided_tasks(call)
    return structs.replace(call, origins=await _origins(gate, place, named)) if named else call


async def claim(gate: Gate, passage: Passage, hop: Hop, task: str) -> bool:
    """Whether the task is the caller's, made with the tool that the hop calls, from now on or already."""
    expires = hop.now // 1000 + passage.limits.task_seconds
    return await gate.tasks.claim(
        hop.route.path, task_key(task), owner(hop.chain, hop.peer), expires, hop.call.resource.id
    )


async def is_callers(gate: Gate, passage: Passage, hop: Hop, task: str | None) -> bool:
    """Whether a message about ``task`` (None: about none) may reach the caller.

    A call that may become a task is the first to name it.
    """
    if task is None or await gate.tasks.owner(hop.route.path, task_key(task)) == owner(hop.chain, hop.peer):
        return True
    return mcp.may_make(hop.call) and await claim(gate, passage, hop, task)


async def kept(gate: Gate, passage: Passage, hop: Hop, listed: Sequence[str]) -> frozenset[str]:
    """Those of the listed tasks that the caller owns and may get."""
    place = Place(hop.route, owner(hop.chain, hop.peer), passage.upstream_session)
    origins, snapshot, found = await _origins(gate, place, listed), passage.snapshot, set[str]()
    for on in origins:
        asked = structs.replace(hop, call=structs.replace(hop.call, action="getTask", resource=on, origins=origins))
        if isinstance(decide(asked, snapshot.bundle, snapshot.registry, snapshot.generation), Permit):
            found.add(on.id.partition("/")[2])
    return frozenset(found)


async def inbound(gate: Gate, place: Place, request: Inbound) -> Inbound:
    """The server's request; about a task of the client's it is as permitted as the request that became the task."""
    task = mcp.asks(request)
    if task is None:
        return request
    key = _clients_key(place, task)
    made = (await gate.tasks.origins(place.route.path, [key], place.whose)).get(key, "")
    return structs.replace(request, action=made)


def another_callers() -> UpstreamError:
    """The error for an answer that names somebody else's task."""
    return UpstreamError(Reason.UPSTREAM_MALFORMED, "the answer names another caller's task")


async def _check_clients(gate: Gate, passage: Passage, place: Place, call: Call) -> None:
    """Claim the task that a response makes; any other that a client speaks of must be one of those."""
    path, related = place.route.path, mcp.related_task(call.message)
    if call.method == CLIENTS_STATUS:
        named = call.message.get("params", {}).get("taskId")
        if not isinstance(named, str) or not await _is_clients(gate, place, named):
            raise _unknown()
        return
    task = mcp.made_by_client(call.message)
    if task is not None and call.target in mcp.REQUESTS:
        expires = passage.at // 1000 + passage.limits.task_seconds
        if not await gate.tasks.claim(path, _clients_key(place, task), place.whose, expires, call.asked):
            raise _unknown()
    if related is None or await _is_clients(gate, place, related):
        return
    if await gate.tasks.owner(path, task_key(related)) != place.whose:
        raise _unknown()


async def _is_clients(gate: Gate, place: Place, task: str) -> bool:
    return await gate.tasks.owner(place.route.path, _clients_key(place, task)) == place.whose


async def _origins(gate: Gate, place: Place, named: Sequence[str]) -> Mapping[Uid, Uid]:
    keys = {task_key(task): task for task in named}
    found = await gate.tasks.origins(place.route.path, keys, place.whose)
    return {
        Uid("McpTask", f"{place.route.name}/{keys[key]}"): Uid("Tool", origin)
        for key, origin in found.items()
        if origin
    }


def _clients_key(place: Place, task: str) -> str:
    """A client's task is its own within one session: two may have made the same id."""
    return f"asked:{place.session}:{task}"


def _unknown() -> HopError:
    return HopError(Reason.TASK_UNKNOWN, "no such task for this caller on this route")
