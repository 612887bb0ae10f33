"""A JSON Schema read as one plain type: references followed, null set apart, enumerations told by their values.

Reads JSON Schema 2020-12 as servers write it (§8.2.3.1 ``$ref``, §7.7.1 ``default``); references out of the document
are never followed. Says nothing of what isn't one plain type. Doesn't validate values, and knows no Cedar.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from msgspec import Struct

MOST_STEPS = 16
"""References and alternatives followed for one argument; what needs more has no plain type."""
_SAID_BESIDE = frozenset({"title", "description", "default", "examples", "deprecated", "$comment"})
"""What a schema may say beside a reference without narrowing it."""
_NULL = {"type": "null"}


class Plain(Struct, frozen=True):
    """A schema of one type."""

    kind: str
    """``string``, ``integer``, ``number``, ``boolean``, ``array`` or ``object``."""
    schema: Mapping[str, Any]
    nullable: bool
    default: Any
    """None where none is declared: a default of null declares nothing."""


def plain(schema: Any, root: Mapping[str, Any]) -> Plain | None:
    """The one type that ``schema``, a part of the document ``root``, allows beside null; None where it isn't one."""
    nullable, default = False, None
    for _ in range(MOST_STEPS):
        if not isinstance(schema, Mapping):
            return None
        default = schema.get("default") if default is None else default
        step = _step(schema, root)
        if step is None:
            kind = _kind(schema)
            kinds = [kind] if isinstance(kind, str) else kind
            rest = [each for each in kinds if each != "null"]
            if len(rest) != 1 or not isinstance(rest[0], str):
                return None
            return Plain(rest[0], schema, nullable or len(kinds) > 1, default)
        schema, null = step
        nullable = nullable or null
    return None


def _step(schema: Mapping[str, Any], root: Mapping[str, Any]) -> tuple[Any, bool] | None:
    """What the schema stands for and whether null is allowed beside it; None where it stands for itself."""
    besides = schema.keys() - _SAID_BESIDE
    if "$ref" in schema:
        return (_referred(schema["$ref"], root), False) if besides == {"$ref"} else (None, False)
    for word in ("anyOf", "oneOf"):
        choices = schema.get(word)
        if besides == {word} and isinstance(choices, list | tuple) and _NULL in choices and len(choices) == 2:
            return next((choice for choice in choices if choice != _NULL), None), True
    parts = schema.get("allOf")
    if besides == {"allOf"} and isinstance(parts, list | tuple) and len(parts) == 1:
        return parts[0], False
    return None


def _referred(reference: Any, root: Mapping[str, Any]) -> Any:
    """What a JSON pointer (RFC 6901 §6) names within the document; None for any other reference."""
    if not isinstance(reference, str) or not reference.startswith("#/"):
        return None
    found: Any = root
    for word in unquote(reference[2:]).split("/"):
        key = word.replace("~1", "/").replace("~0", "~")
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def _kind(schema: Mapping[str, Any]) -> Any:
    """The ``type`` word or words; without any, those that the values of ``enum`` or ``const`` are of."""
    kind = schema.get("type")
    if isinstance(kind, str) or (isinstance(kind, list | tuple) and kind):
        return kind
    values = schema.get("enum", [schema["const"]] if "const" in schema else [])
    if "type" in schema or not isinstance(values, list | tuple):
        return []
    return sorted({_kind_of(value) for value in values})


def _kind_of(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case str():
            return "string"
    return "other"
