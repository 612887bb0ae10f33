"""What a loader says is read strictly, and becomes a record that names no agent that the registry doesn't."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.audit import decode, encode
from gateway.core.kernel.denials import denial_record, read_event
from gateway.core.kernel.standing import Drift, LoaderStatus, Mark, Wanted, drift_of
from gateway.core.registry import Registry

EMPTY = Registry(people={}, agents={}, servers={}, models={}, teams=frozenset(), by_spiffe_id={}, by_audience={})
ANY = st.recursive(st.none() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=3))
MEMBERS = ["seq", "time", "verdict", "class", "hook", "path", "address", "port", "protocol", "actions", "policy_id"]


@given(st.dictionaries(st.sampled_from(MEMBERS), ANY))
def test_whatever_it_says_is_no_event_or_makes_a_record(said: dict[str, Any]) -> None:
    event = read_event(json.dumps({"seq": 1, "time": 1.5, "verdict": "denied"} | said).encode())
    if event is not None:
        record = denial_record(event, "n", EMPTY, "id")
        assert decode(encode(record)) == record
        assert record.agent is None


@pytest.mark.parametrize(
    "line", [b"", b"{", b"[]", b'{"seq":0,"time":1}', b'{"seq":1,"time":-1}', b"\xff", b"[" * 9000]
)
def test_what_is_no_event(line: bytes) -> None:
    assert read_event(line) is None


@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))
def test_an_event_is_new_if_it_is_later_or_has_a_higher_number(time: int, seq: int, later: int, higher: int) -> None:
    assert Mark(time, seq).covers(Mark(later, higher)) == (later <= time and higher <= seq)


def test_drift_is_nothing_only_where_all_is_as_wanted() -> None:
    wanted = Wanted("n", 7, "sha256:x", "ab")
    good = LoaderStatus(node="n", generation=7, sha256="ab", agrees=True)
    assert drift_of(wanted, good) == ()
    for change, kind in (
        ({"node": "m"}, "other_node"), ({"generation": 6}, "other_rules"), ({"sha256": "cd"}, "other_rules"),
        ({"agrees": False}, "kernel_differs"), ({"not_enforced": ("files",)}, "not_enforced"),
        ({"narrowed": {"c": ("h",)}}, "narrowed"), ({"problem": "p"}, "problem"),
    ):  # fmt: skip
        said = {"node": "n", "generation": 7, "sha256": "ab", "agrees": True} | change
        assert [each.kind for each in drift_of(wanted, LoaderStatus(**said))] == [kind], change
    assert Drift("problem", "p") in drift_of(wanted, LoaderStatus(node="n", generation=7, problem="p"))
