"""Routes are exact: no spelling of a path reaches what another spelling doesn't."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import HopError
from gateway.core.model import Route
from gateway.core.reasons import Reason
from gateway.proxy.exchange import single_valued
from gateway.proxy.locate import Allowed, check_host, locate, split_target

LEDGER = Route("mcp", "ledger", "/mcp/ledger", "https://gw/mcp/ledger", "https://gw/mcp/ledger")
ALLOWED = Allowed(frozenset({"gw.test", "127.0.0.1", "::1"}), frozenset({"https://app.test"}))


@pytest.mark.parametrize(("target", "rest"), [("/mcp/ledger", ""), ("/mcp/ledger/a/b", "/a/b")])
def test_a_route_owns_its_path_and_what_is_below(target: str, rest: str) -> None:
    path, _ = split_target(target)
    assert locate(path, {LEDGER.path: LEDGER}) == (LEDGER, rest)


@pytest.mark.parametrize(
    "target",
    [
        "/mcp/ledger%2fx", "/mcp//ledger", "/mcp/./ledger", "/mcp/x/../ledger", "/mcp/ledger/", "/mcp\\ledger",
        "https://gw.test/mcp/ledger", "*", "", "/", "/mcp", "/mcp/other", "/MCP/ledger", "/mcp/ledger;x",
        "/mcp/ledger#x", "/mcp/led\u00e9",
    ],
)  # fmt: skip
def test_other_spellings_have_no_route(target: str) -> None:
    with pytest.raises(HopError) as caught:
        locate(split_target(target)[0], {LEDGER.path: LEDGER})
    assert caught.value.reason is Reason.ROUTE_UNKNOWN


@given(st.text())
def test_any_target_is_a_path_or_a_refusal(target: str) -> None:
    try:
        path, _ = split_target(target)
    except HopError as error:
        assert error.reason in (Reason.ROUTE_UNKNOWN, Reason.MESSAGE_INVALID)
    else:
        assert target.startswith(path)
        assert not {"", ".", ".."} & set(path.split("/")[1:])


@pytest.mark.parametrize(
    "query", ["a=1&a=2", "a", "&", "=&=", "a=" + "x" * 1024, "&".join(f"a{i}=1" for i in range(9))]
)
def test_a_query_is_a_short_list_of_distinct_fields(query: str) -> None:
    with pytest.raises(HopError) as caught:
        split_target(f"/mcp/ledger?{query}")
    assert caught.value.reason is Reason.MESSAGE_INVALID


@pytest.mark.parametrize("host", ["gw.test", "GW.test:8443", "127.0.0.1:1", "[::1]:8443", "[::1]"])
def test_hosts_of_the_listener(host: str) -> None:
    check_host({"host": host, "origin": "https://app.test"}, ALLOWED)


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, Reason.HOST_FORBIDDEN),
        ({"host": "evil.test"}, Reason.HOST_FORBIDDEN),
        ({"host": "gw.test.evil.test"}, Reason.HOST_FORBIDDEN),
        ({"host": "gw.test@evil.test"}, Reason.HOST_FORBIDDEN),
        ({"host": "gw.test", "origin": "https://evil.test"}, Reason.ORIGIN_FORBIDDEN),
        ({"host": "gw.test", "origin": "null"}, Reason.ORIGIN_FORBIDDEN),
    ],
)
def test_rebinding_is_refused(headers: dict[str, str], reason: Reason) -> None:
    with pytest.raises(HopError) as caught:
        check_host(headers, ALLOWED)
    assert caught.value.reason is reason


@pytest.mark.parametrize("name", ["authorization", "host", "mcp-session-id", "mcp-param-x", "content-type"])
def test_headers_that_decide_come_once(name: str) -> None:
    with pytest.raises(HopError, match=name):
        single_valued([(name, "a"), (name, "a")])


def test_other_headers_may_repeat() -> None:
    assert single_valued([("via", "a"), ("via", "b")]) == {"via": "b"}
