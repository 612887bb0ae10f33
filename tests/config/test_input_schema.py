import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.input_schema import declared_arguments, input_schema_faults


def test_a_sound_schema_has_no_faults():
    schema = {
        "type": "object",
        "properties": {
            "amount": {"type": "integer", "minimum": 0},
            "memo": {"type": ["string", "null"]},
            "lines": {"type": "array", "items": {"$ref": "#/$defs/line"}},
        },
        "required": ["amount"],
        "additionalProperties": False,
        "$defs": {"line": {"anyOf": [{"type": "string"}, {"enum": [1, 2]}]}},
    }
    assert list(input_schema_faults(schema)) == []
    assert declared_arguments(schema) == {"amount", "memo", "lines"}


@pytest.mark.parametrize(
    ("schema", "key"),
    [
        ({}, ("type",)),
        ({"type": "object", "properties": []}, ("properties",)),
        ({"type": "object", "properties": {"a": 1}}, ("properties", "a")),
        ({"type": "object", "properties": {"a": {"type": 1}}}, ("properties", "a", "type")),
        ({"type": "object", "properties": {"a": {"items": {"type": "int"}}}}, ("properties", "a", "items", "type")),
        ({"type": "object", "required": "a"}, ("required",)),
        ({"type": "object", "required": [1]}, ("required",)),
        ({"type": "object", "allOf": {}}, ("allOf",)),
        ({"type": "object", "anyOf": [{"enum": 3}]}, ("anyOf", 0, "enum")),
        ({"type": "object", "$ref": "https://schemas.test/a"}, ("$ref",)),
        ({"type": "object", "$ref": "file:///etc/passwd"}, ("$ref",)),
    ],
)
def test_each_fault_names_its_place(schema, key):
    (fault,) = input_schema_faults(schema)
    assert fault.key == key


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["object", "string", "x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "properties", "items", "anyOf", "required", "$ref", "enum"]), inner)
    ),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(["type", "properties", "items", "anyOf", "required", "$ref", "enum"]), _ANY))
def test_any_mapping_gets_an_answer(schema):
    assert all(fault.message for fault in input_schema_faults(schema))
