"""A document is taken whole or refused with its place: nothing that the schema refuses is taken, whatever the bytes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from hopgate_bpf.rules.document import KernelRules
from hopgate_bpf.rules.reading import read_document
from hopgate_bpf.rules.refusal import Reason, RefusedError
from tests.bpf.documents import automaton, b64, class_rules, document, example, network, written

SCHEMA = json.loads((Path(__file__).parents[2] / "schemas" / "kernel.schema.json").read_text())
VALIDATOR = Draft202012Validator(SCHEMA)
EXAMPLE = example()


def test_the_compilers_example_is_read_and_fits_the_schema() -> None:
    assert read_document(written(EXAMPLE)).classes[0].name == "data-analyst"
    assert VALIDATOR.is_valid(EXAMPLE)


def test_the_schema_and_these_types_name_the_same_members() -> None:
    def named(kind: str) -> set[str]:
        return set(SCHEMA["$defs"][kind]["properties"])

    told = {kind: named(kind) for kind in SCHEMA["$defs"]}
    assert told.keys() >= {"KernelRules", "ClassRules", "Files", "Automaton", "Anchor", "NetworkRule", "SystemCalls"}
    assert named("KernelRules") == set(KernelRules.__struct_fields__)


values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 2**54),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.sampled_from(["hopgate.kernel/1", "permit", "tcp", "", "/", "a" * 5000, "AAAA", "10.0.0.0/8", "10.0.0.1/8"]),
    st.lists(st.integers(0, 3), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, each in inner for place in places(each, (*path, key)))]


PLACES = places(EXAMPLE)


def changed(path: tuple[Any, ...], change: Callable[[Any], Any]) -> Any:
    copy = json.loads(json.dumps(EXAMPLE))
    if not path:
        return change(copy)
    around = copy
    for key in path[:-1]:
        around = around[key]
    around[path[-1]] = change(around[path[-1]])
    return copy


@given(st.sampled_from(PLACES), values)
def test_what_the_schema_refuses_is_refused(path: tuple[Any, ...], value: Any) -> None:
    mutant = changed(path, lambda old: value)
    try:
        payload = rfc8785.dumps(mutant)
    except rfc8785.CanonicalizationError:
        return
    try:
        taken = read_document(payload)
    except RefusedError as refused:
        assert refused.reason in {Reason.DOCUMENT_MALFORMED, Reason.DOCUMENT_LIMIT}
        assert refused.path.startswith("$")
        return
    assert VALIDATOR.is_valid(mutant)
    assert isinstance(taken, KernelRules)


@given(st.sampled_from([place for place in PLACES if place and isinstance(place[-1], str)]), st.booleans())
def test_members_that_are_missing_or_added_are_refused(path: tuple[Any, ...], added: bool) -> None:
    mutant = json.loads(json.dumps(EXAMPLE))
    around = mutant
    for key in path[:-1]:
        around = around[key]
    if added:
        around[f"{path[-1]}_"] = 1
    else:
        del around[path[-1]]
    assert not VALIDATOR.is_valid(mutant)
    with pytest.raises(RefusedError) as caught:
        read_document(written(mutant))
    assert caught.value.reason is Reason.DOCUMENT_MALFORMED


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_a_whole_document(payload: bytes) -> None:
    with pytest.raises(RefusedError):
        read_document(payload)


@given(st.integers(0, 10_000), st.binary(max_size=3), st.integers(0, 3))
def test_any_change_of_a_document_is_refused_or_a_whole_other_document(at: int, put: bytes, cut: int) -> None:
    payload = written(EXAMPLE)
    at %= len(payload)
    mutant = payload[:at] + put + payload[at + cut :]
    try:
        taken = read_document(mutant)
    except RefusedError as refused:
        assert refused.path
        return
    assert VALIDATOR.is_valid(json.loads(mutant))
    assert taken.generation == json.loads(mutant)["generation"]


def one(**given: Any) -> dict[str, Any]:
    return document(class_rules(**given))


def whole(**changes: Any) -> dict[str, Any]:
    return one(files={"automaton": automaton({"/a": 1}) | changes, "anchors": []})


def anchored(**changes: Any) -> dict[str, Any]:
    anchor = {"path": "/etc/shadow", "prefix": False, "mask": 3, "policy": 0} | changes
    return one(files={"automaton": automaton({"/a": 1}), "anchors": [anchor]})


def ruled(**changes: Any) -> dict[str, Any]:
    return one(network=[network("permit", "10.0.0.0/8") | changes])


@pytest.mark.parametrize(
    ("rules", "path", "words"),
    [
        (document(class_rules("b"), class_rules("a")), "$.classes[1].name", "not sorted"),
        (document(class_rules("a"), class_rules("a")), "$.classes[1].name", "twice"),
        (whole(accepts=b64(b"\0")), "$.classes[0].files.automaton.accepts", "1 masks for 4 states"),
        (whole(accepts=b64(b"\x10\0\0\0")), "$.classes[0].files.automaton.accepts", "greater than 15"),
        (whole(transitions=b64(bytes(8))), "$.classes[0].files.automaton.transitions", "not two for each"),
        (whole(transitions=b64(b"\xff" * 24)), "$.classes[0].files.automaton.transitions", "isn't one of 4"),
        (whole(transitions=b64(bytes(23))), "$.classes[0].files.automaton.transitions", "not two for each"),
        (whole(classes=b64(b"\xff" * 256)), "$.classes[0].files.automaton.transitions", "256 byte classes"),
        (anchored(path="/a\0b"), "$.classes[0].files.anchors[0].path", "NUL"),
        (anchored(path="/" + "é" * 2048), "$.classes[0].files.anchors[0].path", "4095 bytes"),
        (anchored(policy=1), "$.classes[0].files.anchors[0].policy", "no such policy"),
        (ruled(policy=1), "$.classes[0].network[0].policy", "no such policy"),
        (ruled(host="10.0.0.1/8"), "$.classes[0].network[0].host", "beyond its prefix"),
        (ruled(host="fe80::1%eth0"), "$.classes[0].network[0].host", "neither an address"),
        (ruled(host="models.example"), "$.classes[0].network[0].host", "neither an address"),
        (ruled(inexact=True), "$.classes[0].network[0].host", "name in lower case"),
        (ruled(host="Models.example", inexact=True), "$.classes[0].network[0].host", "name in lower case"),
        (ruled(host="models..example", inexact=True), "$.classes[0].network[0].host", "name in lower case"),
        (ruled(host="-m.example", inexact=True), "$.classes[0].network[0].host", "name in lower case"),
        (ruled(host="10.0.0.1", inexact=True), "$.classes[0].network[0].host", "name in lower case"),
        (ruled(host=None, inexact=True), "$.classes[0].network[0].inexact", "no name"),
        (one(binds=[network("permit", "10.0.0.1", port) for port in range(17)]), "$.classes[0].binds", "17 ports"),
    ],
)
def test_what_a_schema_cannot_say_is_refused_with_its_place(rules: dict[str, Any], path: str, words: str) -> None:
    with pytest.raises(RefusedError, match=words) as caught:
        read_document(written(rules))
    assert caught.value.path == path


def test_a_host_name_is_at_most_its_labels_long() -> None:
    assert read_document(written(ruled(host=f"{'a' * 63}.example", inexact=True)))
    with pytest.raises(RefusedError):
        read_document(written(ruled(host=f"{'a' * 64}.example", inexact=True)))


@pytest.mark.parametrize(
    "payload",
    [
        written(EXAMPLE) + b"\n",
        b" " + written(EXAMPLE),
        json.dumps(EXAMPLE).encode(),
        written(EXAMPLE).replace(b'"generation":', b'"generation":9,"generation":', 1),
        written(EXAMPLE).replace(b'"hopgate.kernel/1"', b'"hopgate\\u002ekernel/1"', 1),
    ],
)
def test_second_spellings_are_refused(payload: bytes) -> None:
    with pytest.raises(RefusedError, match=r"RFC 8785|trailing"):
        read_document(payload)


@pytest.mark.parametrize(
    "rules",
    [
        document(*[class_rules(f"c{number:02}") for number in range(65)]),
        one(network=[network("permit", None)] * 4097),
        one(policies=["p"] * 4097),
        whole(states=4097),
    ],
)
def test_limits_are_refused_as_such(rules: dict[str, Any]) -> None:
    with pytest.raises(RefusedError) as caught:
        read_document(written(rules))
    assert caught.value.reason is Reason.DOCUMENT_LIMIT


def test_ten_thousand_rules_of_one_class_are_refused() -> None:
    listed = [network("permit", f"10.{number // 256}.{number % 256}.1", 443) for number in range(10_000)]
    with pytest.raises(RefusedError, match="4096") as caught:
        read_document(written(one(network=listed)))
    assert caught.value.path == "$.classes[0].network"
    assert len(read_document(written(one(network=listed[:4096]))).classes[0].network) == 4096
