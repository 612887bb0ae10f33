"""Checks that a tool's ``input_schema`` is a JSON Schema of an arguments object (JSON Schema 2020-12).

Checks the keywords that arguments' types are made from, and refuses references out of the schema.
Deliberately doesn't validate arguments.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from gateway.config.problems import Fault, KeyPath, suggest

TYPES = frozenset({"object", "array", "string", "integer", "number", "boolean", "null"})
_SCHEMA_KEYS = ("items", "additionalProperties", "not", "contains", "propertyNames", "if", "then", "else")
_SCHEMA_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_SCHEMA_MAPS = ("properties", "$defs", "definitions", "patternProperties", "dependentSchemas")
_LOCAL_REFERENCE = re.compile(r"#(/[^\s]*)?")


def input_schema_faults(schema: Mapping[str, Any]) -> Iterable[Fault]:
    """What is wrong with ``schema`` as the schema of a tool's arguments; keys are relative to it."""
    if schema.get("type") != "object":
        yield Fault(("type",), "the schema of a tool's arguments has type: object", "set type: object")
    yield from _faults(schema, ())


def declared_arguments(schema: Mapping[str, Any]) -> frozenset[str]:
    """Names of the top-level arguments that ``schema`` declares."""
    properties = schema.get("properties")
    return frozenset(properties) if isinstance(properties, Mapping) else frozenset()


def _faults(schema: Any, path: KeyPath) -> Iterable[Fault]:
    if isinstance(schema, bool):
        return
    if not isinstance(schema, Mapping):
        yield Fault(path, "a schema is a mapping, true or false", "see json-schema.org")
        return
    yield from _type_faults(schema.get("type"), (*path, "type"))
    yield from _required_faults(schema, path)
    reference = schema.get("$ref")
    if reference is not None and not (isinstance(reference, str) and _LOCAL_REFERENCE.fullmatch(reference)):
        yield Fault((*path, "$ref"), "a reference out of the schema is never fetched", "use #/$defs/<name>")
    if "enum" in schema and not isinstance(schema["enum"], list):
        yield Fault((*path, "enum"), "enum is a list of values", "write [first, second]")
    yield from _nested_faults(schema, path)


def _type_faults(kind: Any, path: KeyPath) -> Iterable[Fault]:
    for each in kind if isinstance(kind, list) else [kind]:
        if isinstance(each, str) and each not in TYPES:
            yield Fault(path, f'"{each[:80]}" is not a JSON Schema type', suggest(each, TYPES))
        elif not isinstance(each, str) and kind is not None:
            yield Fault(path, "type is a type's name or a list of names", suggest("", TYPES))


def _required_faults(schema: Mapping[str, Any], path: KeyPath) -> Iterable[Fault]:
    required = schema.get("required")
    if required is None:
        return
    if not isinstance(required, list) or not all(isinstance(each, str) for each in required):
        yield Fault((*path, "required"), "required is a list of property names", "write [name, …]")
        return
    declared = declared_arguments(schema)
    for index, each in enumerate(required):
        if declared and each not in declared:
            yield Fault(
                (*path, "required", index), f'"{each[:80]}" is not among the properties', suggest(each, declared)
            )


def _nested_faults(schema: Mapping[str, Any], path: KeyPath) -> Iterable[Fault]:
    for key in _SCHEMA_LISTS:
        if not isinstance(schema.get(key, []), list):
            yield Fault((*path, key), f"{key} is a list of schemas", "write [first, second]")
    for key in _SCHEMA_MAPS:
        if not isinstance(schema.get(key, {}), Mapping):
            yield Fault((*path, key), f"{key} is a mapping of names to schemas", "write name: {type: string}")
    for place, child in _children(schema):
        yield from _faults(child, path + place)


def _children(schema: Mapping[str, Any]) -> Iterable[tuple[KeyPath, Any]]:
    """The schemas directly inside ``schema``, with their keys."""
    for key, value in schema.items():
        if key in _SCHEMA_KEYS:
            yield (key,), value
        elif key in _SCHEMA_LISTS and isinstance(value, list):
            yield from (((key, index), each) for index, each in enumerate(value))
        elif key in _SCHEMA_MAPS and isinstance(value, Mapping):
            yield from (((key, name), each) for name, each in value.items())
