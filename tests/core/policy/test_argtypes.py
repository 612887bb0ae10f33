"""Argument types come from registered schemas only, and odd schemas give no types rather than wrong ones."""

import pytest
from cedarpy import Schema
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.policy.argtypes import Field, Record, Scalar, SetOf, field_at, kept, schema_with, tool_record
from gateway.core.policy.footprint import Read

LONG, STRING, BOOL = Scalar("Long"), Scalar("String"), Scalar("Bool")


def typed(kit, **properties):
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return tool_record(kit.tool("s", "t", input_schema=schema)).fields


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "string"}, Field(STRING, True)),
        ({"type": "integer", "minimum": 1}, Field(LONG, True)),
        ({"type": "boolean"}, Field(BOOL, True)),
        ({"type": "array", "items": {"type": "string"}}, Field(SetOf(STRING), True)),
        ({"type": ["integer", "null"]}, Field(LONG, False)),
        ({"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}, Field(STRING, False)),
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
        {"$ref": "#/$defs/x", "type": "string"},
        {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        {"enum": ["a"]},
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
