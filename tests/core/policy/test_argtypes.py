"""Argument types come from registered schemas only, and odd schemas give no types rather than wrong ones."""

import pytest
from cedarpy import Schema
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.policy.argtypes import Field, Record, Scalar, SetOf, field_at, kept, schema_with, tool_record
from gateway.core.policy.footprint import Read

DEFS = {
    "n": {"type": "integer"},
    "o": {"type": "object", "properties": {"x": {"$ref": "#/$defs/n"}}},
    "self": {"$ref": "#/$defs/self"},
    "deep": {"type": "object", "properties": {name: {"$ref": "#/$defs/deep"} for name in "abcdefghijklmnopqrst"}},
}
LONG, STRING, BOOL = Scalar("Long"), Scalar("String"), Scalar("Bool")


def typed(kit, **properties):
    schema = {
        "type": "object",
        "properties": properties | {"odd/~name": {"type": "string"}},
        "required": list(properties),
        "$defs": DEFS,
    }
    fields = tool_record(kit.tool("s", "t", input_schema=schema)).fields
    return {name: field for name, field in fields.items() if name in properties}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "string"}, Field(STRING, True)),
        ({"type": "integer", "minimum": 1}, Field(LONG, True)),
        ({"type": "boolean"}, Field(BOOL, True)),
        ({"type": "array", "items": {"type": "string"}}, Field(SetOf(STRING), True)),
        ({"type": ["integer", "null"]}, Field(LONG, False, null=True)),
        ({"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}, Field(STRING, False, null=True)),
        ({"oneOf": [{"type": "null"}, {"type": "boolean"}]}, Field(BOOL, False, null=True)),
        ({"type": ["string"]}, Field(STRING, True)),
        ({"enum": ["a", "b"]}, Field(STRING, True)),
        ({"enum": [1, None]}, Field(LONG, False, null=True)),
        ({"const": True}, Field(BOOL, True)),
        ({"$ref": "#/$defs/n", "description": "how many"}, Field(LONG, True)),
        ({"allOf": [{"$ref": "#/$defs/n"}], "default": 3}, Field(LONG, True, 3)),
        (
            {"anyOf": [{"$ref": "#/$defs/o"}, {"type": "null"}]},
            Field(Record({"x": Field(LONG, False)}, frozenset({"x"})), False, null=True),
        ),
        ({"type": "array", "items": {"$ref": "#/$defs/n"}}, Field(SetOf(LONG), True)),
        ({"$ref": "#/properties/odd~1~0name"}, Field(STRING, True)),
        (
            {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
            Field(Record({"a": Field(LONG, True)}, frozenset({"a"})), True),
        ),
    ],
)
def test_what_is_typed(kit, schema, expected):
    assert typed(kit, x=schema) == {"x": expected}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "number"},
        {"type": ["integer", "string"]},
        {"type": "array"},
        {"type": "array", "items": {"type": "array", "items": {"type": "string"}}},
        {"type": "array", "items": [{"type": "string"}]},
        {"type": "object"},
        {"$ref": "#/$defs/x"},
        {"$ref": "#/$defs/n", "type": "integer"},
        {"$ref": "#/$defs/self"},
        {"$ref": "https://example.test/schema#/$defs/n"},
        {"$ref": 7},
        {"allOf": [{"type": "string"}, {"type": "integer"}]},
        {"enum": ["a", 1]},
        {"enum": [None]},
        {"enum": [1.5]},
        {"enum": []},
        {"oneOf": [{"type": "string"}, {"type": "string"}]},
        {"type": "array", "items": {"type": ["string", "null"]}},
        {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string"}}}},
        {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        {},
        True,
        None,
        "string",
        {"type": None},
        {"type": ["null", ["x"]]},
    ],
)
def test_what_is_not_typed(kit, schema):
    assert typed(kit, x=schema) == {}


@pytest.mark.parametrize("name", ["__entity", "__extn", "__expr", "__cedar"])
def test_reserved_names_are_never_typed(kit, name):
    assert typed(kit, **{name: {"type": "string"}}) == {}


@pytest.mark.parametrize("default", ["5", True, 2**63, 1.0, [5], None])
def test_a_default_of_another_type_is_none(kit, default):
    assert typed(kit, x={"type": "integer", "default": default})["x"].default is None


@pytest.mark.parametrize(
    ("default", "taken"), [({}, False), ({"a": 1}, True), ({"a": 1, "b": 2}, False), ({"a": "1"}, False)]
)
def test_a_default_object_has_to_fit_as_a_whole(kit, default, taken):
    inner = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "default": default}
    assert typed(kit, x=inner)["x"].default == (default if taken else None)


def test_references_do_not_multiply_without_end(kit):
    def count(kind):
        inner = kind.fields.values() if isinstance(kind, Record) else ()
        return len(inner) + sum(count(field.type) for field in inner)

    fields = typed(kit, x={"$ref": "#/$defs/deep"}, y={"type": "string"})
    assert count(Record(fields, frozenset())) <= 1024


def test_nesting_ends(kit):
    schema = {"type": "integer"}
    for _ in range(6):
        schema = {"type": "object", "properties": {"a": schema}, "required": ["a"]}
    depth, record = 0, tool_record(kit.tool("s", "t", input_schema=schema))
    while record.fields:
        depth, record = depth + 1, record.fields["a"].type
    assert depth == 3


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["type", "properties"]), inner),
    max_leaves=12,
)
SCHEMAS = st.recursive(
    st.sampled_from([{"type": "string"}, {"type": "integer"}, {"type": "boolean"}, {"type": "number"}, {}]),
    lambda inner: st.fixed_dictionaries(
        {
            "type": st.just("object"),
            "properties": st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
            "required": st.lists(st.text()),
        }
    ),
    max_leaves=8,
)


@settings(deadline=None)
@given(JSON)
def test_any_json_as_a_schema_gives_a_record(kit, value):
    schema = value if isinstance(value, dict) else {"properties": value}
    assert isinstance(tool_record(kit.tool("s", "t", input_schema=schema)), Record)


@settings(deadline=None)
@given(SCHEMAS)
def test_whatever_is_typed_is_a_valid_cedar_schema(kit, schema):
    record = tool_record(kit.tool("s", "t", input_schema=schema))
    Schema.from_str(schema_with(kit.SCHEMA, {"s": {"t": record, "a.b-c": record}}))


def test_only_what_is_read_is_kept():
    inner = Record({"x": Field(LONG, True), "y": Field(STRING, False)}, frozenset({"x", "y"}))
    tools = {"a": {"t": Record({"o": Field(inner, True), "p": Field(LONG, True)}, frozenset({"o", "p"})), "u": inner}}
    assert kept(tools, []) == {}
    assert kept(tools, [Read((), True)]) == tools
    assert kept(tools, [Read(("a", "t"), False)]) == {"a": {"t": Record({}, frozenset({"o", "p"}))}}
    only_x = kept(tools, [Read(("a", "t", "o", "x"), True)])["a"]["t"].fields
    assert list(only_x) == ["o"]
    assert list(only_x["o"].type.fields) == ["x"]


def test_fields_are_found_by_path():
    record = Record({"x": Field(LONG, True)}, frozenset({"x"}))
    assert field_at({"s": {"t": record}}, ("s", "t", "x")) == Field(LONG, True)
    assert field_at({"s": {"t": record}}, ("s", "t")) is None
    assert field_at({"s": {"t": record}}, ("s", "t", "x", "y")) is None
    assert field_at({"s": {"t": record}}, ("s", "u", "x")) is None


def test_a_schema_without_the_place_for_arguments_is_refused():
    with pytest.raises(ValueError, match="exactly once"):
        schema_with("entity A;", {})
