"""Cedar types of tool arguments, from the approved JSON Schema of each registered tool.

``context.args.<server>.<tool>.<name>``: strings, integers, booleans, arrays of these, and objects of
these to a limited depth. What has no such type (numbers, ``$ref``, unions, reserved names) is not
typed: policies can't speak of it, and it passes untouched.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from msgspec import Struct

from gateway.core.policy.footprint import Read
from gateway.core.policy.render import quoted
from gateway.core.policy.syntax import Path
from gateway.core.registry import Registry, Tool

MAX_DEPTH = 4
"""Objects within a tool's arguments that are still typed."""

ScalarName = Literal["String", "Long", "Bool"]
_SCALARS: dict[str, ScalarName] = {"string": "String", "integer": "Long", "boolean": "Bool"}
_ARGS = "type Args = {};"


class Scalar(Struct, frozen=True):
    """One value."""

    name: ScalarName


class SetOf(Struct, frozen=True):
    """A JSON array, which Cedar sees as a set."""

    of: Scalar


class Record(Struct, frozen=True):
    """A JSON object: its typed members, and every name that its schema declares."""

    fields: "Mapping[str, Field]"
    declared: frozenset[str]


ArgType = Scalar | SetOf | Record


class Field(Struct, frozen=True):
    """A member's type. Not ``required``: absent is legal, and null means absent."""

    type: ArgType
    required: bool


Arguments = Mapping[str, Mapping[str, Record]]
"""Server → tool → its arguments."""


def arguments_of(registry: Registry) -> Arguments:
    """The argument types of every registered tool."""
    return {
        server.name: {tool.name: tool_record(tool) for tool in server.tools.values() if not _reserved(tool.name)}
        for server in registry.servers.values()
        if not _reserved(server.name)
    }


def tool_record(tool: Tool) -> Record:
    """The typed arguments of one tool; empty where it declares none."""
    return _record(tool.input_schema or {}, MAX_DEPTH)


def field_at(arguments: Arguments, path: Path) -> Field | None:
    """The field that ``(server, tool, name, …)`` names, or None where there is none so deep."""
    if len(path) < 3:
        return None
    record: ArgType | None = arguments.get(path[0], {}).get(path[1])
    found: Field | None = None
    for name in path[2:]:
        found = record.fields.get(name) if isinstance(record, Record) else None
        record = None if found is None else found.type
    return found


def kept(arguments: Arguments, reads: Iterable[Read]) -> Arguments:
    """Only what is read: nothing else is given to Cedar, so nothing else can sway or break a decision."""
    found = frozenset(reads)
    result: dict[str, dict[str, Record]] = {}
    for server, tools in arguments.items():
        in_server = _below(found, server)
        if in_server:
            result[server] = {
                tool: _kept(record, in_tool) for tool, record in tools.items() if (in_tool := _below(in_server, tool))
            }
    return result


def schema_with(schema: str, arguments: Arguments) -> str:
    """The schema text with ``Args`` filled in.

    Raises:
        ValueError: the text has no single ``type Args = {};``.
    """
    if schema.count(_ARGS) != 1:
        raise ValueError(f"the schema must say `{_ARGS}` exactly once: that is where argument types go")
    servers = (
        f"{quoted(server)}?: {{{', '.join(f'{quoted(tool)}?: {described(record)}' for tool, record in tools.items())}}}"
        for server, tools in arguments.items()
    )
    return schema.replace(_ARGS, f"type Args = {{{', '.join(servers)}}};")


def _record(schema: Mapping[str, Any], depth: int) -> Record:
    properties = schema.get("properties")
    properties = properties if isinstance(properties, Mapping) else {}
    required = schema.get("required")
    required = required if isinstance(required, list | tuple) else ()
    fields: dict[str, Field] = {}
    for name, declared in properties.items():
        typed = None if _reserved(name) else _typed(declared, depth)
        if typed is not None:
            fields[name] = Field(typed[0], name in required and not typed[1])
    return Record(fields, frozenset(properties))


def _typed(schema: Any, depth: int) -> tuple[ArgType, bool] | None:
    """The type and whether null is allowed; None for what can't be typed."""
    schema, nullable = _without_null(schema)
    if not isinstance(schema, Mapping) or "$ref" in schema:
        return None
    kind = schema.get("type")
    if not isinstance(kind, str):
        return None
    if kind in _SCALARS:
        return Scalar(_SCALARS[kind]), nullable
    if kind == "array":
        items = schema.get("items")
        item = items.get("type") if isinstance(items, Mapping) else None
        return (SetOf(Scalar(_SCALARS[item])), nullable) if isinstance(item, str) and item in _SCALARS else None
    if kind == "object" and depth > 1 and isinstance(schema.get("properties"), Mapping):
        return _record(schema, depth - 1), nullable
    return None


def _without_null(schema: Any) -> tuple[Any, bool]:
    """The schema's only alternative to null, written as a type list or as ``anyOf``."""
    if not isinstance(schema, Mapping):
        return schema, False
    kinds = schema.get("type")
    if isinstance(kinds, list | tuple) and "null" in kinds and len(kinds) == 2:
        return {**schema, "type": next(kind for kind in kinds if kind != "null")}, True
    choices = schema.get("anyOf")
    null = {"type": "null"}
    if "type" not in schema and isinstance(choices, list | tuple) and null in choices and len(choices) == 2:
        return next((choice for choice in choices if choice != null), None), True
    return schema, False


def _reserved(name: str) -> bool:
    """Cedar's JSON escapes (``__entity``, ``__extn``, ``__expr``) and its own ``__cedar``."""
    return name.startswith("__")


def _below(reads: Iterable[Read], name: str) -> frozenset[Read]:
    """The reads seen from the member ``name``: a whole read of its parent is a whole read of it."""
    found = set()
    for read in reads:
        if not read.path and read.whole:
            found.add(read)
        elif read.path[:1] == (name,):
            found.add(Read(read.path[1:], read.whole))
    return frozenset(found)


def _kept(record: Record, reads: frozenset[Read]) -> Record:
    fields: dict[str, Field] = {}
    for name, field in record.fields.items():
        below = _below(reads, name)
        if below:
            inner = _kept(field.type, below) if isinstance(field.type, Record) else field.type
            fields[name] = Field(inner, field.required)
    return Record(fields, record.declared)


def described(kind: ArgType) -> str:
    """The type as Cedar's schema language writes it."""
    match kind:
        case Scalar(name=name):
            return name
        case SetOf(of=of):
            return f"Set<{of.name}>"
        case Record(fields=fields):
            members = (f"{quoted(name)}{'' if f.required else '?'}: {described(f.type)}" for name, f in fields.items())
            return f"{{{', '.join(members)}}}"
