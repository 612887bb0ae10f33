import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp.shared import inbound

from gateway.core.errors import ProtocolError
from gateway.core.limits import Limits
from gateway.core.model import Route
from gateway.core.registry import Tool
from gateway.protocols.mcp import encode, parse
from gateway.protocols.mcp.params import decode_value, disagreement, encode_value, mirrors, param_headers

SCHEMA = {
    "type": "object",
    "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"},
        "limit": {"type": "integer", "x-mcp-header": "Limit"},
        "deep": {"type": "object", "properties": {"dry": {"type": "boolean", "x-mcp-header": "Dry"}}},
        "query": {"type": "string"},
    },
}
ARGUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "region": st.text() | st.none() | st.integers(),
        "limit": st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.booleans(),
        "deep": st.none() | st.fixed_dictionaries({}, optional={"dry": st.booleans() | st.lists(st.integers())}),
        "query": st.text(),
    },
)


@given(st.text())
def test_a_value_survives_its_header(value: str) -> None:
    sent = encode_value(value)
    assert sent == sent.strip()
    assert all(" " <= char <= "~" for char in sent)
    assert decode_value(sent) == value
    assert sent == inbound.encode_header_value(value)


@pytest.mark.parametrize(
    "sent", ["=?base64?!?=", "=?base64?YQ?=", "=?base64?YR==?=", "=?base64?/w==?=", "=?base64?YQ==\n?="]
)
def test_a_second_spelling_of_a_value_matches_nothing(sent: str) -> None:
    assert decode_value(sent) is None


@given(ARGUMENTS)
def test_the_official_server_takes_what_is_sent(arguments: dict[str, object]) -> None:
    headers = dict(param_headers(SCHEMA, arguments))
    assert inbound.validate_mcp_param_headers(SCHEMA, arguments, headers) is None
    assert disagreement(SCHEMA, arguments, {name.lower(): value for name, value in headers.items()}) is None


@given(
    ARGUMENTS,
    st.dictionaries(
        st.sampled_from(["mcp-param-region", "mcp-param-limit", "mcp-param-dry"]), st.text("019.-truea =?")
    ),
)
def test_nothing_is_taken_that_the_official_server_refuses(
    arguments: dict[str, object], headers: dict[str, str]
) -> None:
    if disagreement(SCHEMA, arguments, headers) is None:
        assert inbound.validate_mcp_param_headers(SCHEMA, arguments, headers) is None


@pytest.mark.parametrize(
    ("sent", "agrees"),
    [
        ("42", True),
        ("42.0", True),
        ("42.000", True),
        ("-42", False),
        ("42.5", False),
        ("4.2e1", False),
        (" 42", False),
        ("٤٢", False),
        ("", False),
    ],
)
def test_integers_are_compared_as_numbers(sent: str, agrees: bool) -> None:
    assert (disagreement(SCHEMA, {"limit": 42}, {"mcp-param-limit": sent}) is None) is agrees


def test_header_and_argument_come_together() -> None:
    assert disagreement(SCHEMA, {"region": "eu"}, {}) == "Mcp-Param-Region"
    assert disagreement(SCHEMA, {}, {"mcp-param-region": "eu"}) == "Mcp-Param-Region"
    assert disagreement(SCHEMA, {"region": None}, {}) is None
    assert disagreement(SCHEMA, {"deep": {"dry": True}}, {"mcp-param-dry": "true"}) is None
    assert disagreement(SCHEMA, {}, {"mcp-param-unheard-of": "x"}) is None


@pytest.mark.parametrize(
    "properties",
    [
        {"a": {"type": "string", "x-mcp-header": ""}},
        {"a": {"type": "string", "x-mcp-header": "a b"}},
        {"a": {"type": "string", "x-mcp-header": "a\r\nX"}},
        {"a": {"type": "number", "x-mcp-header": "A"}},
        {"a": {"x-mcp-header": "A"}},
        {"a": {"type": "string", "x-mcp-header": "A"}, "b": {"type": "string", "x-mcp-header": "a"}},
    ],
)
def test_a_schema_that_breaks_the_rules_mirrors_nothing(properties: dict[str, object]) -> None:
    assert mirrors({"type": "object", "properties": properties}) == ()


def test_a_registered_tools_headers_are_checked_and_sent(modern) -> None:
    tool = Tool(server="ledger", name="pay", risk_level="low", environment="test", scopes=(), input_schema=SCHEMA)
    route = Route("mcp", "ledger", "/mcp/ledger", "https://gw.test/mcp/ledger", "https://ledger.test/")
    params = {"name": "pay", "arguments": {"region": "eu", "limit": 3}}
    headers = {"mcp-param-region": "eu", "mcp-param-limit": "3.0"}
    call = parse(modern("tools/call", params, headers=headers), route, Limits(), {"pay": tool})
    sent = dict(encode(call, session=None, trace={}, schema=SCHEMA).headers)
    assert (sent["Mcp-Param-Region"], sent["Mcp-Param-Limit"]) == ("eu", "3")
    with pytest.raises(ProtocolError) as caught:
        parse(
            modern("tools/call", params, headers={**headers, "mcp-param-region": "us"}), route, Limits(), {"pay": tool}
        )
    assert caught.value.code == -32020
