import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.problems import Place
from gateway.config.yaml_source import MAX_DEPTH, Document, read_yaml


def value_of(text: str):
    document, problems = read_yaml(text, "f.yaml")
    assert problems == ()
    assert document is not None
    return document.value


def refusal_of(text: str) -> str:
    _, problems = read_yaml(text, "f.yaml")
    (problem,) = problems
    return str(problem)


def test_every_key_and_item_remembers_its_place():
    document, _ = read_yaml("a: 1\nb:\n  - x\n  - {c: 2}\n", "f.yaml")
    assert document.value == {"a": 1, "b": ["x", {"c": 2}]}
    assert document.places[("b",)] == Place("f.yaml", 2, 1)
    assert document.places[("b", 1, "c")] == Place("f.yaml", 4, 6)


def test_what_has_no_place_has_that_of_what_is_around_it():
    document, _ = read_yaml("a:\n  b: 1\n", "f.yaml")
    assert document.place(("a", "missing", "deeper")) == Place("f.yaml", 1, 1)
    assert Document("g.yaml", None, {}).place(("a",)) == Place("g.yaml")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("~", None),
        ("true", True),
        ("FALSE", False),
        ("yes", "yes"),
        ("on", "on"),
        ("12", 12),
        ("-3", -3),
        ("010", 10),
        ("0x1f", "0x1f"),
        ("1_000", "1_000"),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".inf", ".inf"),
        ("9" * 40, float("9" * 40)),
        ("'12'", "12"),
        ('"true"', "true"),
        ("2024-01-01", "2024-01-01"),
        ("12:30:00", "12:30:00"),
    ],
)
def test_scalars_by_the_core_schema(text, value):
    read = value_of(text)
    assert read == value
    assert type(read) is type(value)


def test_a_block_scalar_is_text():
    assert value_of("a: |\n  12\n") == {"a": "12\n"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", "f.yaml:3: a: the key is already set on line 1"),
        ("a: {b: 1, b: 2}", "f.yaml:1: a.b: the key is already set on line 1"),
        ("a: &x 1\nb: 1", "f.yaml:1: a: anchors and aliases are not read"),
        ("b:\n  - *x", "f.yaml:2: b[0]: anchors and aliases are not read"),
        ("a: !!int '1'", "f.yaml:1: a: tags are not read"),
        ("a: !!python/object:os.system {}", "f.yaml:1: a: tags are not read"),
        ("a:\n  <<: {b: 1}", "f.yaml:2: a: merge keys are not read"),
        ("a: 1\n---\nb: 2", "f.yaml:2: the file holds more than one document"),
        ("? [a]\n: 1", "f.yaml:1: a key is not plain text"),
        ('a: "\\ud800"', "f.yaml:1: a: the text holds half a surrogate pair"),
        ('"\\ud800": 1', "f.yaml:1: a key is not plain text"),
        ("a: [1,", "f.yaml:1: not valid YAML"),
        ("a: b: c", "f.yaml:1: not valid YAML"),
        ("\ta: 1", "f.yaml:1: not valid YAML"),
        ("a: \x07", "f.yaml: not valid YAML"),
        ("[" * (MAX_DEPTH + 2) + "]" * (MAX_DEPTH + 2), "f.yaml:1: [0][0][0][0]: values are nested more than 64 deep"),
    ],
)
def test_refusals_name_line_and_key(text, message):
    assert refusal_of(text).startswith(message)


def test_the_number_of_values_is_limited():
    document, _ = read_yaml("[a, b, {c: d}]", "f.yaml", max_nodes=6)
    assert document is not None
    document, problems = read_yaml("[a, b, {c: d}]", "f.yaml", max_nodes=5)
    assert document is None
    assert "more than 5 values" in problems[0].message


def test_every_duplicate_is_found():
    _, problems = read_yaml("a: 1\na: 2\nb: 1\nb: 2\n", "f.yaml")
    assert [problem.key for problem in problems] == ["a", "b"]


@given(st.text())
def test_any_text_is_read_or_refused_with_a_place(text):
    document, problems = read_yaml(text, "f.yaml")
    assert (document is not None) or problems
    assert all(problem.file == "f.yaml" and problem.message for problem in problems)


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**17), 10**17)
    | st.text(st.characters(categories=["L", "N", "P", "S", "Zs"])),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(alphabet="abcxyz", min_size=1), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(_JSON)
def test_json_is_read_as_json_reads_it(value):
    assert value_of(json.dumps(value, ensure_ascii=False)) == value
