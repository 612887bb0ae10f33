"""The arguments of one call as policies see them: typed values only, and only those that a policy reads.

An argument that no policy reads is not looked at. Where a policy does read some of a tool's arguments,
the call must fit: right types, required ones present, no undeclared names (an upstream might take an
undeclared spelling for the declared one). What is left to a declared default is decided as that default, and sent.
"""

from collections.abc import Mapping
from typing import Any

from gateway.core.policy.argtypes import MAX_LONG, MIN_LONG, ArgType, Arguments, Field, Record, Scalar, SetOf, is_scalar
from gateway.core.policy.values import Value
from gateway.core.registry import Tool


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
    return {tool.server: {tool.name: _fit_record(_filled(sent or {}, record), record, "")}}


def filled(kept: Arguments, tool: Tool, sent: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments to decide about and to send: ``sent``, with the declared defaults of those that policies read.

    Null is absence: it gives way to the default, and without one it isn't sent, unless the server has to be sent
    something. What doesn't fit stays as it is, for ``context_args`` to refuse. ``sent`` itself where nothing changes.
    """
    record = kept.get(tool.server, {}).get(tool.name)
    return sent if record is None else _filled(sent, record)


def _filled(sent: Any, kind: ArgType) -> Any:
    if not isinstance(kind, Record) or not isinstance(sent, Mapping):
        return sent
    result, changed = dict(sent), False
    for name, field in kind.fields.items():
        value = result.get(name)
        whole = _filled(_defaulted(value, field), field.type)
        if whole is None and name in result and not field.required and not field.null:
            del result[name]
            changed = True
        elif whole is not value:
            result[name] = whole
            changed = True
    return result if changed else sent


def _defaulted(value: Any, field: Field) -> Any:
    return field.default if value is None else value


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
    if is_scalar(value, kind):
        return value
    if isinstance(value, int) and kind.name == "Long" and not MIN_LONG <= value <= MAX_LONG:
        raise ArgumentsError(f"argument `{path}` is outside the 64-bit integers")
    if isinstance(value, str) and kind.name == "String":
        raise ArgumentsError(f"argument `{path}` has a lone surrogate")
    raise ArgumentsError(f"argument `{path}` must be of type {kind.name}")


def _join(path: str, name: str) -> str:
    safe = name if name.isprintable() and len(name) <= 64 else "…"
    return f"{path}.{safe}" if path else safe
