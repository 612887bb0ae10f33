"""Any document is read or refused; a result without problems is the same as msgspec's own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from gateway.config.problems import Place
from gateway.config.section import Section
from gateway.config.typed_reader import TypedReader
from gateway.config.yaml_source import Document


class Inner(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    size: Annotated[int, Meta(ge=0)]
    word: Literal["a", "b"] = "a"


class Outer(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    inner: Inner
    maybe: Inner | None = None
    many: Mapping[str, Inner] = {}
    texts: Annotated[tuple[str, ...], Meta(min_length=1)] = ("x",)
    ratio: float = 1.0
    given: Inner = Inner(size=1)


def read(value):
    reader = TypedReader(Document("f.yaml", value, {(): Place("f.yaml", 1, 1)}), Path("/"), {})
    result, fields = reader.read(Outer)
    return result, fields, reader.problems


_WORDS = st.sampled_from(["inner", "maybe", "many", "texts", "ratio", "given", "size", "word", "a", "b", "z"])
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.floats(0, 1) | _WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_WORDS, inner, max_size=5),
    max_leaves=12,
)
_NEARLY = st.fixed_dictionaries(
    {"inner": st.fixed_dictionaries({"size": st.integers(-1, 3)})},
    optional={
        "maybe": _VALUES,
        "many": st.dictionaries(_WORDS, _VALUES, max_size=2),
        "texts": st.lists(_WORDS, max_size=2),
        "ratio": st.integers(0, 2) | st.floats(0, 1),
    },
)


@given(_VALUES | _NEARLY)
def test_accepts_exactly_what_msgspec_accepts(value):
    result, _, problems = read(value)
    try:
        expected = msgspec.convert(value, Outer)
    except msgspec.ValidationError:
        assert problems
    else:
        assert problems == []
        assert result == expected


def test_every_problem_is_found():
    result, fields, problems = read(
        {"inner": {"size": -1, "word": "c", "x": 1}, "texts": [1, 2], "ratio": "much", "y": 2}
    )
    assert result is None
    assert "inner" not in fields
    assert [problem.key for problem in problems] == [
        "y",
        "inner.x",
        "inner.size",
        "inner.word",
        "texts[0]",
        "texts[1]",
        "ratio",
    ]


def test_good_parts_of_a_bad_document_are_still_there():
    result, fields, problems = read({"many": {"a": {"size": 1}, "b": {"size": "x"}}})
    assert result is None
    assert fields["many"] == {"a": Inner(size=1)}
    assert [problem.key for problem in problems] == ["inner", "many.b.size"]
