"""Cedar types of tool arguments, from the approved JSON Schema of each registered tool.

``context.args.<server>.<tool>.<name>``: strings, integers, booleans, arrays of these, and objects of
these to a limited depth. What has no such type (numbers, unions, reserved names) is not typed: policies
can't speak of it, and it passes untouched.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from msgspec import Struct, structs

from gateway.core.policy.footprint import Read
from gateway.core.policy.json_schema import plain
from gateway.core.policy.render import quoted
from gateway.core.policy.syntax import Path
from gateway.core.registry import Registry, Tool

MAX_DEPTH = 4
"""Objects within a tool's arguments that are still typed."""
MOST_FIELDS = 1024
"""Typed members of one tool, at all depths: references could multiply without end. Those beyond aren't typed."""
MIN_LONG, MAX_LONG = -(2**63), 2**63 - 1

ScalarName = Literal["String", "Long", "Bool"]
_SCALARS: dict[str, ScalarName] = {"string": "String", "integer": "Long", "boolean": "Bool"}
_PYTHON: dict[ScalarName, type] = {"String": str, "Long": int, "Bool": bool}
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
    default: Any = None
    """What the server takes where it is absent: a value of the type, or None for no such declaration."""
    null: bool = False
    """Whether it has to be sent, and absence is spelled null."""

    @property
    def certain(self) -> bool:
        """Whether every call that fits has a value for it."""
        return self.required or self.default is not None


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
    root = tool.input_schema or tool.approved_schema or {}
    return _Reading(root).record(root, MAX_DEPTH)


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


def uncertain(arguments: Arguments, read: Read) -> Path | None:
    """The first argument of a read that a call may leave out, without a default to stand for it; None for none."""
    for length in range(3, len(read.path) + 1):
        field = field_at(arguments, read.path[:length])
        if field is not None and not field.certain:
            return read.path[:length]
    if not read.whole:
        return None
    if len(read.path) > 2:
        found = field_at(arguments, read.path)
        return None if found is None else _open(found.type, read.path)
    below = {(server, tool): record for server, tools in arguments.items() for tool, record in tools.items()}
    opened = (_open(record, at) for at, record in below.items() if at[: len(read.path)] == read.path)
    return next((path for path in opened if path is not None), None)


def _open(kind: ArgType, path: Path) -> Path | None:
    for name, field in kind.fields.items() if isinstance(kind, Record) else ():
        found = _open(field.type, (*path, name)) if field.certain else (*path, name)
        if found is not None:
            return found
    return None


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


class _Reading:
    """Reads the schema of one tool's arguments."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._left = MOST_FIELDS

    def record(self, schema: Mapping[str, Any], depth: int) -> Record:
        """The members that ``schema`` declares; ``depth`` is how many objects deep types still go."""
        properties = schema.get("properties")
        properties = properties if isinstance(properties, Mapping) else {}
        required = schema.get("required")
        required = required if isinstance(required, list | tuple) else ()
        fields: dict[str, Field] = {}
        for name, declared in properties.items():
            field = None if _reserved(name) else self._field(declared, name in required, depth)
            if field is not None:
                fields[name] = field
        return Record(fields, frozenset(properties))

    def _field(self, declared: Any, required: bool, depth: int) -> Field | None:
        """None for what can't be typed."""
        found = plain(declared, self._root)
        kind = None if found is None or self._left <= 0 else self._type(found.kind, found.schema, depth)
        if found is None or kind is None:
            return None
        self._left -= 1
        default = found.default if _is_of(found.default, kind) else None
        return Field(kind, required and not found.nullable, default, required and found.nullable)

    def _type(self, kind: str, schema: Mapping[str, Any], depth: int) -> ArgType | None:
        if kind in _SCALARS:
            return Scalar(_SCALARS[kind])
        if kind == "array":
            items = plain(schema.get("items"), self._root)
            scalar = items is not None and not items.nullable and items.kind in _SCALARS
            return SetOf(Scalar(_SCALARS[items.kind])) if items is not None and scalar else None
        if kind == "object" and depth > 1 and isinstance(schema.get("properties"), Mapping):
            return self.record(schema, depth - 1)
        return None


def is_scalar(value: Any, kind: Scalar) -> bool:
    """Whether a JSON value is one that Cedar's type holds: no number for a truth value, 64 bits, whole Unicode."""
    if type(value) is not _PYTHON[kind.name]:
        return False
    if isinstance(value, str):
        return value.isascii() or not any("\ud800" <= char <= "\udfff" for char in value)
    return isinstance(value, int) and MIN_LONG <= value <= MAX_LONG


def _is_of(value: Any, kind: ArgType) -> bool:
    """Whether a default is of the type; members of objects as far as they are typed."""
    match kind:
        case Scalar():
            return is_scalar(value, kind)
        case SetOf(of=of):
            return isinstance(value, list | tuple) and all(is_scalar(item, of) for item in value)
        case Record(fields=fields):
            return (
                isinstance(value, Mapping)
                and all(name in kind.declared for name in value)
                and all(
                    _is_of(value[name], field.type)
                    if value.get(name) is not None
                    else not field.required or field.default is not None
                    for name, field in fields.items()
                )
            )


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
            fields[name] = structs.replace(field, type=inner)
    return Record(fields, record.declared)


def described(kind: ArgType) -> str:
    """The type as Cedar's schema language writes it."""
    match kind:
        case Scalar(name=name):
            return name
        case SetOf(of=of):
            return f"Set<{of.name}>"
        case Record(fields=fields):
            members = (f"{quoted(name)}{'' if f.certain else '?'}: {described(f.type)}" for name, f in fields.items())
            return f"{{{', '.join(members)}}}"
