"""A tool's declared defaults, filled into its call: what policies read is what is sent, also where nothing was said.

Which arguments these are is the bundle's to say. Decides nothing: arguments that don't fit are refused by ``decide``.
"""

from gateway.core.model import Call
from gateway.core.policy.arguments import filled
from gateway.core.snapshot import Snapshot
from gateway.protocols import mcp


def completed(call: Call, snapshot: Snapshot) -> Call:
    """The call with the defaults of the arguments that policies read; any other call as it is."""
    if call.action != "invokeTool" or call.resource.type != "Tool" or call.http_method != "POST":
        return call
    tool = snapshot.registry.tool(*call.resource.id.split("/", 1))
    if tool is None:
        return call
    sent = call.arguments or {}
    arguments = filled(snapshot.bundle.arguments, tool, sent)
    return call if arguments is sent else mcp.with_arguments(call, arguments)
