import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp_types import methods

from gateway.core.errors import UpstreamError
from gateway.core.limits import Limits
from gateway.core.model import Call, Route, Uid
from gateway.core.reasons import Reason
from gateway.protocols.base import About, Asks, End, Inbound, Listing, Pass
from gateway.protocols.mcp import classify, filter_listing, parse
from gateway.protocols.mcp.methods import META_CAPABILITIES, META_VERSION

ROUTE = Route("mcp", "ledger", "/mcp/ledger", "https://gw.test/mcp/ledger", "https://ledger.test/")
TOOL = {"inputSchema": {"type": "object"}}


@pytest.fixture
def call(legacy) -> Call:
    return parse(legacy("tools/call", {"name": "pay"}, id=7), ROUTE, Limits())


@pytest.fixture
def modern_call(modern) -> Call:
    declared = {"elicitation": {"form": {}, "url": {}}, "sampling": {}, "roots": {}}
    meta = {META_VERSION: "2026-07-28", META_CAPABILITIES: declared}
    return parse(modern("tools/call", {"name": "pay", "_meta": meta}, id=7), ROUTE, Limits())


def response(result: object) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": 7, "result": result}


def notification(method: str, **params: object) -> dict[str, object]:
    return {"jsonrpc": "2.0", "method": method, "params": params}


def test_a_result_ends_the_answer(call: Call) -> None:
    value = response({"content": []})
    assert classify(call, value) == End(value, ok=True)


def test_a_tools_own_error_is_its_outcome(call: Call) -> None:
    value = response({"content": [], "isError": True})
    assert classify(call, value) == End(value, ok=True, detail="tool error")


def test_an_error_ends_the_answer_and_gets_the_requests_id(call: Call) -> None:
    error = {"code": -32602, "message": "no"}
    for answered in (7, None):
        end = classify(call, {"jsonrpc": "2.0", "id": answered, "error": error})
        assert end == End({"jsonrpc": "2.0", "id": 7, "error": error}, ok=False, detail="error -32602")


@pytest.mark.parametrize(
    "method",
    ["notifications/progress", "notifications/message", "notifications/tools/list_changed", "notifications/cancelled"],
)
def test_what_is_passed(call: Call, method: str) -> None:
    value = notification(method, progressToken=1, progress=0.5)
    assert classify(call, value) == Pass(value)


@pytest.mark.parametrize(
    ("method", "action"),
    [
        ("elicitation/create", "elicit"),
        ("sampling/createMessage", "sample"),
        ("roots/list", "readRoots"),
        ("ping", ""),
        ("anything", ""),
    ],
)
def test_a_request_of_the_server_is_a_hop_of_its_own(call: Call, modern_call: Call, method: str, action: str) -> None:
    value = {**notification(method), "id": "s1"}
    assert classify(call, value) == Inbound("s1", method, value, action)
    with pytest.raises(UpstreamError):
        classify(modern_call, value)


@pytest.mark.parametrize(
    "value",
    [
        {"jsonrpc": "2.0", "id": 8, "result": {}},
        {"jsonrpc": "2.0", "id": "7", "result": {}},
        {"jsonrpc": "2.0", "id": 7, "result": "text"},
        {"jsonrpc": "2.0", "id": 7, "result": None},
        {"jsonrpc": "2.0", "id": 7, "method": "ping", "result": {}},
        {"jsonrpc": "2.0", "id": None, "method": "ping"},
        {"jsonrpc": "2.0", "id": True, "method": "ping"},
        {"jsonrpc": "2.0", "method": 1},
        {"jsonrpc": "2.0", "method": "notifications/progress", "params": []},
        {"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {}},
        {"jsonrpc": "2.0", "method": "notifications/unheard_of", "params": {}},
        {"method": "notifications/progress"},
        [],
        None,
        "x",
    ],
)
def test_unclassified_is_an_error(call: Call, value: object) -> None:
    with pytest.raises(UpstreamError) as caught:
        classify(call, value)
    assert caught.value.reason is Reason.UPSTREAM_MALFORMED


URL = {"method": "elicitation/create", "params": {"mode": "url", "url": "https://x.test/"}}
ROOTS = {"method": "roots/list"}


def required(**members: object) -> dict[str, object]:
    return response({"resultType": "input_required", **members})


def test_input_that_the_upstream_asks_for_is_told_apart(modern_call: Call, call: Call) -> None:
    value = required(inputRequests={"a": URL, "b": ROOTS}, requestState="s")
    requests = (Inbound("a", "elicitation/create", URL, "elicitUrl"), Inbound("b", "roots/list", ROOTS, "readRoots"))
    assert classify(modern_call, value) == Asks(value, requests, "s")
    with pytest.raises(UpstreamError):
        classify(call, value)


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"inputRequests": {}},
        {"inputRequests": [URL]},
        {"inputRequests": {"a": {"method": "ping"}}},
        {"inputRequests": {"a": {"method": "elicitation/create", "params": {"mode": "other"}}}},
        {"inputRequests": {"a": {"method": 1}}},
        {"inputRequests": {"a": {"method": "roots/list", "params": []}}},
        {"inputRequests": {str(number): ROOTS for number in range(33)}},
        {"requestState": 1},
    ],
)
def test_an_input_request_that_nobody_could_decide_on_is_an_error(
    modern_call: Call, members: dict[str, object]
) -> None:
    with pytest.raises(UpstreamError):
        classify(modern_call, required(**members))


def test_an_update_is_about_a_resource(call: Call) -> None:
    value = {"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": "file:///x"}}
    assert classify(call, value) == About(value, "McpResource", "file:///x")


LISTING = Call(
    protocol="mcp",
    version="2026-07-28",
    method="tools/list",
    action="listTools",
    resource=Uid("McpServer", "l"),
    message={},
)


def tools(*names: object) -> list[dict[str, object]]:
    return [{"name": name, **TOOL} for name in names]


def test_a_list_is_filtered_in_order(legacy) -> None:
    call = parse(legacy("tools/list", id=7), ROUTE, Limits())
    value = response({"tools": tools("c", "a", "b"), "nextCursor": "n"})
    listing = classify(call, value)
    assert listing == Listing(value, ("c", "a", "b"), "Tool")
    filtered, hidden = filter_listing(call, value, {"b", "c"})
    assert filtered == response({"tools": tools("c", "b"), "nextCursor": "n"})
    assert hidden == ("a",)


@pytest.mark.parametrize("ttl", [3_600_000, 0, 1000, -1, "x", None])
def test_a_filtered_modern_list_is_private_and_short_lived(ttl: object) -> None:
    value = response({"tools": tools("a", "b"), "resultType": "complete", "cacheScope": "public", "ttlMs": ttl})
    filtered, _ = filter_listing(LISTING, value, {"a"})
    result = filtered["result"]
    assert result["cacheScope"] == "private"
    assert 0 <= result["ttlMs"] <= 5000
    methods.validate_server_result("tools/list", "2026-07-28", result)


def test_a_legacy_list_gets_no_modern_members() -> None:
    filtered, _ = filter_listing(LISTING, response({"tools": tools("a")}), {"a"})
    assert filtered["result"].keys() == {"tools"}


@given(
    st.lists(st.text("abcdef", min_size=1, max_size=2), unique=True), st.sets(st.text("abcdef", min_size=1, max_size=2))
)
def test_a_filtered_list_holds_exactly_what_was_kept(names: list[str], keep: set[str]) -> None:
    filtered, hidden = filter_listing(LISTING, response({"tools": tools(*names)}), keep)
    assert [tool["name"] for tool in filtered["result"]["tools"]] == [name for name in names if name in keep]
    assert list(hidden) == [name for name in names if name not in keep]


@pytest.mark.parametrize("listed", [None, {}, [1], [{}], [{"name": 1}], tools("a", "a")])
def test_a_list_that_can_not_be_filtered_is_an_error(legacy, listed: object) -> None:
    call = parse(legacy("tools/list", id=7), ROUTE, Limits())
    with pytest.raises(UpstreamError):
        classify(call, response({"tools": listed}))


OFFERED = {"tools": {"listChanged": True}, "resources": {"subscribe": True}, "logging": {}}
CAPABILITIES = {
    "tools": {"listChanged": True},
    "resources": {"subscribe": True},
    "logging": {},
    "experimental": {"x": {}},
}
INFO = {"name": "s", "version": "1"}


def test_an_initialize_result_offers_what_is_carried(legacy) -> None:
    call = parse(legacy("initialize", {"protocolVersion": "2025-11-25"}, id=7), ROUTE, Limits())
    result = {"protocolVersion": "2025-06-18", "capabilities": CAPABILITIES, "serverInfo": INFO, "instructions": "i"}
    end = classify(call, response(result))
    assert end == End(response({**result, "capabilities": OFFERED}), ok=True)
    methods.validate_server_result("initialize", "2025-11-25", end.value["result"])
    for wrong in ({**result, "protocolVersion": "2024-11-05"}, {**result, "capabilities": None}):
        with pytest.raises(UpstreamError):
            classify(call, response(wrong))


def test_a_discover_result_offers_what_is_carried(modern) -> None:
    call = parse(modern("server/discover", id=7), ROUTE, Limits())
    result = {
        "supportedVersions": ["2026-07-28", "2025-11-25", "2024-11-05"], "capabilities": CAPABILITIES,
        "resultType": "complete", "cacheScope": "public", "ttlMs": 60_000,
    }  # fmt: skip
    end = classify(call, response(result))
    assert isinstance(end, End)
    cut = end.value["result"]
    assert cut["supportedVersions"] == ["2026-07-28", "2025-11-25"]
    assert (cut["capabilities"], cut["cacheScope"]) == (OFFERED, "private")
    methods.validate_server_result("server/discover", "2026-07-28", cut)
    with pytest.raises(UpstreamError):
        classify(call, response({**result, "supportedVersions": None}))


SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=3)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner), max_leaves=5
)
ANSWERS = st.fixed_dictionaries(
    {"jsonrpc": st.just("2.0")},
    optional={
        "id": st.just(7) | SCALARS,
        "method": st.sampled_from(["notifications/progress", "ping"]) | SCALARS,
        "params": st.just({}) | VALUES,
        "result": VALUES
        | st.fixed_dictionaries({}, optional={"tools": VALUES, "resultType": SCALARS, "capabilities": VALUES}),
        "error": VALUES | st.fixed_dictionaries({"code": SCALARS, "message": SCALARS}),
    },
)


@given(
    value=ANSWERS | VALUES,
    method=st.sampled_from(["tools/call", "tools/list", "initialize", "server/discover", "ping"]),
)
def test_any_value_is_classified_or_an_upstream_error(value: object, method: str) -> None:
    version = "2026-07-28" if method == "server/discover" else "2025-11-25"
    call = Call(protocol="mcp", version=version, method=method, action="", resource=ROUTE, message={}, request_id=7)
    try:
        classified = classify(call, value)
    except UpstreamError:
        return
    assert isinstance(classified, Pass | About | Listing | Inbound | Asks | End)
