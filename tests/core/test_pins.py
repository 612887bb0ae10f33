"""What a pin covers, and when a tool is in quarantine."""

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from gateway.core.pins import PINNED, UNSEEN, Definition, Pin, definition_of, quarantined, typed_by
from gateway.core.registry import Registry, Server, Tool, Upstream

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
ENTRIES = st.dictionaries(st.sampled_from([*PINNED, "title", "_meta", "icons"]), JSON)
ONE, OTHER = Definition("sha256:1", b"1"), Definition("sha256:2", b"2")


def tool(pin: str | None = None) -> Tool:
    return Tool(server="s", name="t", risk_level="low", environment="e", scopes=("s/t",), pin=pin)


@given(ENTRIES)
def test_order_and_uncovered_members_make_no_difference(entry: dict[str, Any]) -> None:
    covered = {name: value for name, value in reversed(entry.items()) if name in PINNED}
    assert definition_of(entry) == definition_of(covered)


@given(ENTRIES, st.sampled_from(PINNED), JSON)
def test_any_covered_change_shows(entry: dict[str, Any], member: str, value: Any) -> None:
    """Also a member that is added, even as null."""
    before, after = definition_of(entry), definition_of({**entry, member: value})
    assert (before.digest == after.digest) == (before.document == after.document)
    if member not in entry:
        assert before.digest != after.digest


def test_the_digest_is_that_of_canonical_json() -> None:
    found = definition_of({"name": "t", "title": "T", "inputSchema": {"b": 1.0, "a": "\u20ac"}})
    assert found.document == '{"inputSchema":{"a":"\u20ac","b":1},"name":"t"}'.encode()
    assert found.digest == f"sha256:{hashlib.sha256(found.document).hexdigest()}"


@pytest.mark.parametrize(
    ("pin", "known", "first_use", "strict"),
    [
        (None, UNSEEN, False, True),
        (None, Pin(approved=ONE), False, False),
        (None, Pin(approved=ONE, found=OTHER), True, True),
        (None, Pin(approved=ONE, found=ONE), False, False),
        (None, Pin(found=OTHER), True, True),
        ("sha256:1", UNSEEN, False, False),
        ("sha256:1", Pin(approved=OTHER), False, False),
        ("sha256:1", Pin(approved=ONE, found=OTHER), True, True),
        ("sha256:2", Pin(approved=ONE, found=OTHER), False, False),
    ],
)
def test_quarantine(pin: str | None, known: Pin, first_use: bool, strict: bool) -> None:
    assert quarantined(tool(pin), known, first_use=True) == first_use
    assert quarantined(tool(pin), known, first_use=False) == strict


def typed(listed: object, **changes: object) -> object:
    """``approved_schema`` of a tool whose approved definition is ``listed``."""
    tool = Tool(server="s", name="t", risk_level="low", environment="test", scopes=("s/t",))
    upstream = Upstream("https://127.0.0.1:1/", None)
    tools = {"t": structs.replace(tool, **changes)}
    server = Server(name="s", team="x", environment="test", upstream=upstream, tools=tools)
    registry = Registry(
        people={}, agents={}, servers={"s": server}, models={}, teams=frozenset(), by_spiffe_id={}, by_audience={}
    )
    approved = {("s", "t"): definition_of(listed), ("gone", "t"): definition_of(listed)}
    return typed_by(registry, approved).servers["s"].tools["t"].approved_schema


def test_types_come_from_the_approved_definition_unless_the_registry_says_them() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    listed = {"name": "t", "inputSchema": schema}
    assert typed(listed) == schema
    assert typed(listed, pin=definition_of(listed).digest) == schema
    assert typed(listed, pin="sha256:" + "0" * 64) is None
    assert typed(listed, input_schema={"type": "object"}) is None
    assert typed({"name": "t"}) is None
    assert typed({"name": "t", "inputSchema": []}) is None
