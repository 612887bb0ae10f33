"""An event id comes back to its owner's session, in time, with the call that its stream answers; no other does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from gateway.core.errors import HopError
from gateway.core.model import Call, Route, Uid
from gateway.core.reasons import Reason
from gateway.identity.seal import AeadSealer
from gateway.proxy.resumption import resumed, seal_event
from gateway.proxy.rounds import Asked, Place, State, seal_request, seal_state

SEALER = AeadSealer(b"s" * 32)
LEDGER = Route("mcp", "ledger", "/mcp/ledger", "https://gw.test/mcp/ledger", "https://ledger.test/")
PLACE = Place(LEDGER, "corp|maria spiffe://t/planner", "upstream-1")
CALL = Call(
    protocol="mcp",
    version="2025-11-25",
    method="tools/call",
    action="invokeTool",
    resource=Uid("Tool", "ledger/pay"),
    message={"id": 1},
    request_id=1,
    target="pay",
    arguments={"amount": 5},
    also=(("setLogLevel", Uid("McpServer", "ledger")),),
)
GET = Call(
    protocol="mcp",
    version="2025-11-25",
    method="GET",
    action="discover",
    resource=Uid("McpServer", "ledger"),
    message={},
    session="sealed",
    http_method="GET",
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def sealed(call: Call = CALL, upstream: str = "theirs", expires: int = 100, most: int = 8192) -> str | None:
    return seal_event(SEALER, upstream, PLACE, call, expires, most)


def back(event: str | None, place: Place = PLACE, now: int = 99) -> Call:
    return resumed(SEALER, place, structs.replace(GET, resuming=event), now)


@given(st.dictionaries(st.text(max_size=8), JSON, max_size=3), st.integers() | st.text(max_size=20))
def test_the_call_comes_back_as_it_was_made(arguments: dict[str, object], request_id: int | str) -> None:
    made = structs.replace(CALL, arguments=arguments, request_id=request_id if request_id else 1)
    call = back(sealed(made, most=100_000))
    same = ("method", "action", "resource", "request_id", "target", "arguments", "also")
    assert [getattr(call, name) for name in same] == [getattr(made, name) for name in same]
    assert (call.resuming, call.http_method, call.message, call.session) == ("theirs", "GET", {}, "sealed")


def test_nothing_resumed_is_nothing_changed() -> None:
    assert resumed(SEALER, PLACE, GET, 99) is GET


@pytest.mark.parametrize(
    "elsewhere",
    [
        structs.replace(PLACE, whose="corp|maria spiffe://t/analyst"),
        structs.replace(PLACE, whose="corp|pablo spiffe://t/planner"),
        structs.replace(PLACE, route=structs.replace(LEDGER, path="/mcp/other")),
        structs.replace(PLACE, session="upstream-2"),
        structs.replace(PLACE, session=None),
    ],
)
def test_it_is_good_in_its_own_place_alone(elsewhere: Place) -> None:
    with pytest.raises(HopError) as refused:
        back(sealed(), elsewhere)
    assert refused.value.reason is Reason.SESSION_UNKNOWN


@pytest.mark.parametrize(
    "forged",
    [
        "",
        "theirs",
        "A" * 120,
        seal_request(SEALER, Asked("theirs", "elicitation/create", "elicit", 100), PLACE),
        seal_state(SEALER, State("theirs", 100), PLACE, CALL),
        AeadSealer(b"t" * 32).seal(b"{}", b""),
    ],
    ids=["empty", "bare", "long", "request", "state", "another key"],
)
def test_nothing_else_is_an_event(forged: str) -> None:
    with pytest.raises(HopError) as refused:
        back(forged)
    assert refused.value.reason is Reason.SESSION_UNKNOWN


def test_it_ends() -> None:
    with pytest.raises(HopError):
        back(sealed(), now=100)


@pytest.mark.parametrize("upstream", ["", " x", "x ", "x\ty", "x\x00y", "é", "x" * 257])
def test_ids_that_no_header_carries_are_not_handed_out(upstream: str) -> None:
    assert sealed(upstream=upstream) is None


@given(st.integers(0, 4000))
def test_no_id_is_longer_than_a_header_may_be(size: int) -> None:
    event = sealed(structs.replace(CALL, arguments={"a": "x" * size}), most=2048)
    assert event is None or len(event) <= 2048
    if not 1000 < size < 1500:
        assert (event is None) == (size >= 1500)
