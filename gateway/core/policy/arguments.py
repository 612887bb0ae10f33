"""The arguments of one call as policies see them: typed values only, and only those that a policy reads.

An argument that no policy reads is not looked at. Where a policy does read some of a tool's arguments,
the call must fit: right types, required ones present, no undeclared names (an upstream might take an
undeclared spelling for the declared one).
"""

from collections.abc import Mapping
from typing import Any

from gateway.core.policy.argtypes import ArgType, Arguments, Record, Scalar, ScalarName, SetOf
from gateway.core.policy.values import Value
from gateway.core.registry import Tool

_MIN_LONG, _MAX_LONG = -(2**63), 2**63 - 1
_PYTHON: dict[ScalarName, type] = {"String": str, "Long": int, "Bool": bool}


class ArgumentsError(ValueError):
    """The arguments do not fit. The text names the path and the expected type, never the value."""


def context_args(kept: Arguments, tool: Tool, sent: Mapping[str, Any] | None) -> Mapping[str, Value]:
    """``context.args`` of a call: ``{server: {tool: {name: value}}}``, as far as ``kept`` goes.

    Raises:
        ArgumentsError: a value that some policy could read does not fit its registered type.
    """
    tools = kept.get(tool.server)
    if tools is None:
        return {}
    record = tools.get(tool.name)
    if record is None:
        return {tool.server: {}}
    return {tool.server: {tool.name: _fit_record(sent or {}, record, "")}}


def _fit_record(sent: Any, record: Record, path: str) -> Mapping[str, Value]:
    if not record.fields:
        return {}
    if not isinstance(sent, Mapping):
        raise ArgumentsError(f"argument `{path}` must be an object")
    undeclared = sorted(str(name) for name in sent if name not in record.declared)
    if undeclared:
        raise ArgumentsError(f"argument `{_join(path, undeclared[0])}` is not declared by the tool")
    fitted: dict[str, Value] = {}
    for name, field in record.fields.items():
        value = sent.get(name)
        if value is not None:
            fitted[name] = _fit(value, field.type, _join(path, name))
        elif field.required:
            raise ArgumentsError(f"argument `{_join(path, name)}` is required")
    return fitted


def _fit(value: Any, kind: ArgType, path: str) -> Value:
    match kind:
        case Record():
            return _fit_record(value, kind, path)
        case SetOf(of=of):
            if not isinstance(value, list | tuple):
                raise ArgumentsError(f"argument `{path}` must be an array of {of.name}")
            return tuple(_fit_scalar(item, of, path) for item in value)
        case Scalar():
            return _fit_scalar(value, kind, path)


def _fit_scalar(value: Any, kind: Scalar, path: str) -> Value:
    if type(value) is not _PYTHON[kind.name]:
        raise ArgumentsError(f"argument `{path}` must be of type {kind.name}")
    if isinstance(value, int) and not _MIN_LONG <= value <= _MAX_LONG:
        raise ArgumentsError(f"argument `{path}` is outside the 64-bit integers")
    if isinstance(value, str) and any("\ud800" <= char <= "\udfff" for char in value):
        raise ArgumentsError(f"argument `{path}` has a lone surrogate")
    return value


def _join(path: str, name: str) -> str:
    safe = name if name.isprintable() and len(name) <= 64 else "…"
    return f"{path}.{safe}" if path else safe
