"""The protocols as the pipeline uses them: one interface, one implementation a protocol.

Only joins the pure adapters of ``gateway.protocols`` to the snapshot; decides nothing of its own.
"""

from collections.abc import Container, Mapping
from typing import Any, Protocol

from msgspec import Struct

from gateway.core.errors import ProtocolError
from gateway.core.model import Call, ProtocolName, Route
from gateway.core.snapshot import Snapshot
from gateway.protocols import a2a, mcp
from gateway.protocols.a2a.approval import is_about
from gateway.protocols.base import Classified, Incoming, Listing, Outgoing, Refusal, Reply


class Shown(Struct, frozen=True):
    """A message as the client gets it: the value, its HTTP status where it has one of its own, its event's name."""

    value: Any
    status: int | None = None
    event: str = "message"


class Adapter(Protocol):
    """A protocol of the data path."""

    def parse(self, incoming: Incoming, route: Route, snapshot: Snapshot) -> Call:
        """The call; raises ProtocolError."""
        ...

    def check_method(self, incoming: Incoming, route: Route, snapshot: Snapshot) -> None:
        """Raises ProtocolError for an HTTP method or path that the protocol doesn't have; needs no body or token."""
        ...

    def answered_here(self, call: Call) -> bool:
        """Whether the gateway answers the call itself, without a Grant."""
        ...

    def named_tasks(self, call: Call) -> tuple[str, ...]:
        """Tasks that the caller must own."""
        ...

    def named_contexts(self, call: Call) -> tuple[str, ...]:
        """Contexts that nobody else may own: a caller may begin one under a name of its own."""
        ...

    def created_tasks(self, value: Any) -> tuple[str, ...]:
        """Tasks and contexts in an answer, the caller's from now on."""
        ...

    def is_message(self, event_name: str) -> bool:
        """Whether a stream's event of that name holds a message; clients of the protocol pass over the others."""
        ...

    def encode(self, call: Call, session: str | None, trace: Mapping[str, str], snapshot: Snapshot) -> Outgoing:
        """The upstream's request."""
        ...

    def classify(self, call: Call, value: Any) -> Classified:
        """What one message of the answer is; raises UpstreamError."""
        ...

    def filter_listing(self, call: Call, listing: Listing, keep: Container[str]) -> tuple[Any, tuple[str, ...]]:
        """The list cut to ``keep``, and what was hidden."""
        ...

    def explained(self, value: Any, told: Mapping[str, Any] | None) -> Any:
        """A message of the answer with what is told of its decision; None: nothing, whatever the upstream says."""
        ...

    def present(self, call: Call, value: Any) -> Shown:
        """A message of the answer as the client's binding has it."""
        ...

    def refuse(
        self, call: Call | None, rest: str, headers: Mapping[str, str], error: Exception, refusal: Refusal
    ) -> Reply:
        """The refusal in the protocol's own form. ``rest`` is the path below the route."""
        ...


class McpAdapter:
    """MCP over Streamable HTTP."""

    def parse(self, incoming: Incoming, route: Route, snapshot: Snapshot) -> Call:
        """See ``protocols.mcp.parse``."""
        server = snapshot.registry.servers.get(route.name)
        return mcp.parse(incoming, route, snapshot.limits, {} if server is None else server.tools)

    def check_method(self, incoming: Incoming, route: Route, snapshot: Snapshot) -> None:
        """Only POST has a body to parse; anything else is refused by the parser before it."""
        if incoming.http_method != "POST" or incoming.rest:
            self.parse(incoming, route, snapshot)

    def answered_here(self, call: Call) -> bool:
        """Nothing: every MCP call is the upstream's."""
        return False

    def named_tasks(self, call: Call) -> tuple[str, ...]:
        """The task that the call is about, those it subscribes to, and those it says it is related to."""
        return tuple(map(task_key, mcp.named_tasks(call)))

    def named_contexts(self, call: Call) -> tuple[str, ...]:
        """None: MCP has no contexts."""
        return ()

    def created_tasks(self, value: Any) -> tuple[str, ...]:
        """None: what makes an MCP task is ``OfTask``."""
        return ()

    def is_message(self, event_name: str) -> bool:
        """Only events without a name of their own."""
        return event_name == "message"

    def encode(self, call: Call, session: str | None, trace: Mapping[str, str], snapshot: Snapshot) -> Outgoing:
        """See ``protocols.mcp.encode``; the called tool's registered schema says which headers repeat arguments."""
        server, _, name = call.resource.id.partition("/")
        tool = snapshot.registry.tool(server, name) if call.resource.type == "Tool" else None
        return mcp.encode(call, session=session, trace=trace, schema=None if tool is None else tool.input_schema)

    def classify(self, call: Call, value: Any) -> Classified:
        """See ``protocols.mcp.classify``."""
        return mcp.classify(call, value)

    def filter_listing(self, call: Call, listing: Listing, keep: Container[str]) -> tuple[Any, tuple[str, ...]]:
        """See ``protocols.mcp.filter_listing``."""
        return mcp.filter_listing(call, listing.value, keep)

    def explained(self, value: Any, told: Mapping[str, Any] | None) -> Any:
        """In the result's ``_meta``."""
        return mcp.with_decision(value, told)

    def present(self, call: Call, value: Any) -> Shown:
        """As it is."""
        return Shown(value)

    def refuse(
        self, call: Call | None, rest: str, headers: Mapping[str, str], error: Exception, refusal: Refusal
    ) -> Reply:
        """In the era of the call, or of the headers where there is none."""
        era = mcp.era_of_headers(headers) if call is None else mcp.era_of(call)
        return mcp.refuse(_request_id(call, error), era, refusal)


class A2aAdapter:
    """A2A: 1.0 by JSON-RPC and by HTTP+JSON, 0.3 by JSON-RPC."""

    def parse(self, incoming: Incoming, route: Route, snapshot: Snapshot) -> Call:
        """See ``protocols.a2a.parse``."""
        return a2a.parse(incoming, route, snapshot.limits)

    def check_method(self, incoming: Incoming, route: Route, snapshot: Snapshot) -> None:
        """See ``protocols.a2a.check_http``."""
        a2a.check_http(incoming)

    def answered_here(self, call: Call) -> bool:
        """The agent card, which the gateway publishes, and the tasks that stand for approvals."""
        return call.method == a2a.CARD_METHOD or is_about(call)

    def named_tasks(self, call: Call) -> tuple[str, ...]:
        """The task of the message, and those it refers to."""
        return _tasks(a2a.named_ids(call))

    def named_contexts(self, call: Call) -> tuple[str, ...]:
        """The context of the message."""
        return _contexts(a2a.named_ids(call))

    def created_tasks(self, value: Any) -> tuple[str, ...]:
        """Tasks and contexts of the answer."""
        ids = a2a.task_ids(value)
        return (*_tasks(ids), *_contexts(ids))

    def is_message(self, event_name: str) -> bool:
        """All events: the official server names those that hold an error ``error``."""
        return True

    def encode(self, call: Call, session: str | None, trace: Mapping[str, str], snapshot: Snapshot) -> Outgoing:
        """See ``protocols.a2a.encode``."""
        return a2a.encode(call, trace=trace)

    def classify(self, call: Call, value: Any) -> Classified:
        """See ``protocols.a2a.classify``."""
        return a2a.classify(call, value)

    def filter_listing(self, call: Call, listing: Listing, keep: Container[str]) -> tuple[Any, tuple[str, ...]]:
        """See ``protocols.a2a.filter_listing``."""
        return a2a.filter_listing(listing.value, keep)

    def explained(self, value: Any, told: Mapping[str, Any] | None) -> Any:
        """In the metadata of the task, message or update."""
        return a2a.with_decision(value, told)

    def present(self, call: Call, value: Any) -> Shown:
        """As it is by JSON-RPC; else see ``protocols.a2a.bare``."""
        if call.binding == "jsonrpc":
            return Shown(value)
        status, body = a2a.bare(value)
        return Shown(body, status, "message" if status == 200 else "error")

    def refuse(
        self, call: Call | None, rest: str, headers: Mapping[str, str], error: Exception, refusal: Refusal
    ) -> Reply:
        """See ``protocols.a2a.refuse``."""
        return a2a.refuse(_request_id(call, error), refusal, "http" if a2a.is_http_json(rest) else "jsonrpc")


ADAPTERS: Mapping[ProtocolName, Adapter] = {"mcp": McpAdapter(), "a2a": A2aAdapter()}


def adapter_of(protocol: ProtocolName) -> Adapter:
    """The adapter of a route's protocol."""
    return ADAPTERS[protocol]


def task_key(task: str) -> str:
    """What the owner of a task is stored under: a context may have the same id."""
    return f"task:{task}"


def _tasks(ids: a2a.Ids) -> tuple[str, ...]:
    return tuple(map(task_key, ids.tasks))


def _contexts(ids: a2a.Ids) -> tuple[str, ...]:
    return tuple(f"context:{context}" for context in ids.contexts)


def _request_id(call: Call | None, error: Exception) -> str | int | None:
    if call is not None:
        return call.request_id
    return error.request_id if isinstance(error, ProtocolError) else None
