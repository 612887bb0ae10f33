import copy

import pytest
from a2a.client.card_resolver import parse_agent_card
from a2a.compat.v0_3 import types as types_0_3
from a2a.server.request_handlers.response_helpers import agent_card_to_dict
from a2a.types import AgentCard, AgentInterface
from google.protobuf.json_format import ParseDict
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import UpstreamError
from gateway.core.reasons import Reason
from gateway.protocols.a2a import rewrite_card, with_0_3

URL = "https://gw.test/a2a/analyst"
CARD = {
    "name": "Analyst",
    "description": "reads ledgers",
    "version": "3.1",
    "documentationUrl": "https://docs.test/",
    "provider": {"organization": "Corp", "url": "https://corp.test/"},
    "supportedInterfaces": [
        {"url": "https://10.0.0.7:9001/", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"},
        {"url": "https://10.0.0.7:9001/t", "protocolBinding": "JSONRPC", "protocolVersion": "1.0", "tenant": "acme"},
        {"url": "https://10.0.0.7:9001/rest", "protocolBinding": "HTTP+JSON", "protocolVersion": "1.0"},
        {"url": "https://10.0.0.7:9001/old", "protocolBinding": "JSONRPC", "protocolVersion": "0.3", "tenant": "old"},
        {"url": "10.0.0.7:9002", "protocolBinding": "GRPC", "protocolVersion": "1.0"},
    ],
    "capabilities": {
        "streaming": True, "pushNotifications": True, "extendedAgentCard": True,
        "extensions": [{"uri": "https://x.test/", "required": True}],
    },
    "securitySchemes": {"key": {"apiKeySecurityScheme": {"name": "X-Key", "location": "header"}}},
    "securityRequirements": [{"schemes": {"key": {"list": []}}}],
    "defaultInputModes": ["text/plain"],
    "defaultOutputModes": ["text/plain"],
    "skills": [
        {
            "id": "read", "name": "Read", "description": "reads", "tags": ["t"],
            "securityRequirements": [{"schemes": {"key": {"list": []}}}],
        }
    ],
    "signatures": [{"protected": "x", "signature": "y"}],
}  # fmt: skip


def test_the_card_is_the_gateways() -> None:
    card = rewrite_card(CARD, URL)
    common = {"url": URL, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}
    rest = {**common, "protocolBinding": "HTTP+JSON"}
    assert card["supportedInterfaces"] == [
        common, {**common, "tenant": "acme"}, rest, {**rest, "tenant": "acme"}, {**common, "protocolVersion": "0.3"},
    ]  # fmt: skip
    assert card["capabilities"] == {"streaming": True, "pushNotifications": True, "extendedAgentCard": True}
    assert card["securitySchemes"].keys() == {"mutualTls", "bearer"}
    assert card["securityRequirements"] == [{"schemes": {"mutualTls": {"list": []}, "bearer": {"list": []}}}]
    assert card["skills"] == [{"id": "read", "name": "Read", "description": "reads", "tags": ["t"]}]
    assert (card["name"], card["version"], card["provider"]) == ("Analyst", "3.1", CARD["provider"])
    assert "signatures" not in card
    assert "10.0.0.7" not in str(card)


@pytest.mark.parametrize("clients", ["agents", "user-only"])
@pytest.mark.parametrize("user", ["required", "optional"])
@pytest.mark.parametrize("issuers", [(), ("https://login.test/",), ("https://login.test", "https://other.test")])
def test_the_official_types_take_it(clients: str, user: str, issuers: tuple[str, ...]) -> None:
    card = rewrite_card(CARD, URL, clients=clients, user=user, issuers=issuers)
    read = ParseDict(card, AgentCard())
    assert [interface.url for interface in read.supported_interfaces] == [URL] * 5
    assert read == parse_agent_card(dict(card))
    for requirement in read.security_requirements:
        assert set(requirement.schemes) <= set(read.security_schemes)
    needs_mutual_tls = [("mutualTls" in requirement.schemes) for requirement in read.security_requirements]
    assert all(needs_mutual_tls) if clients == "agents" else not any(needs_mutual_tls)
    kinds = {scheme.WhichOneof("scheme") for scheme in read.security_schemes.values()}
    assert "http_auth_security_scheme" in kinds
    assert ("open_id_connect_security_scheme" in kinds) is bool(issuers)


def test_a_user_may_be_left_out_only_where_the_route_says_so() -> None:
    alone = {"schemes": {"mutualTls": {"list": []}}}
    assert alone in rewrite_card(CARD, URL, user="optional")["securityRequirements"]
    assert alone not in rewrite_card(CARD, URL)["securityRequirements"]
    assert {"schemes": {}} not in rewrite_card(CARD, URL, clients="user-only", user="optional")["securityRequirements"]


def test_a_card_as_the_official_server_sends_it_keeps_no_older_form() -> None:
    upstream = AgentCard(
        name="Analyst", description="d", version="1",
        supported_interfaces=[
            AgentInterface(url="https://10.0.0.7/", protocol_binding="JSONRPC", protocol_version="1.0"),
            AgentInterface(url="https://10.0.0.7/old", protocol_binding="JSONRPC", protocol_version="0.3"),
        ],
    )  # fmt: skip
    sent = agent_card_to_dict(upstream)
    assert "10.0.0.7" in str(sent["url"])
    card = rewrite_card(sent, URL)
    assert "10.0.0.7" not in str(card)
    assert card.keys().isdisjoint({"url", "preferredTransport", "additionalInterfaces", "protocolVersion"})
    assert parse_agent_card(dict(card)).supported_interfaces[0].url == URL


OLDER = {
    "name": "Analyst", "description": "d", "version": "1", "url": "https://10.0.0.7/", "protocolVersion": "0.3.0",
    "capabilities": {"streaming": True}, "supportsAuthenticatedExtendedCard": True,
    "defaultInputModes": ["text"], "defaultOutputModes": ["text"], "skills": CARD["skills"],
    "security": [{"key": []}], "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-Key"}},
}  # fmt: skip


@pytest.mark.parametrize(
    "interfaces",
    [
        {},
        {"preferredTransport": "JSONRPC"},
        {"preferredTransport": "GRPC", "additionalInterfaces": [{"transport": "JSONRPC", "url": "https://10.0.0.7/"}]},
    ],
)
def test_a_card_of_0_3_becomes_one_that_readers_of_both_take(interfaces: dict[str, object]) -> None:
    signed = rewrite_card({**OLDER, **interfaces}, URL, issuers=("https://login.test",))
    card = with_0_3(signed)
    assert card["supportedInterfaces"] == [{"url": URL, "protocolBinding": "JSONRPC", "protocolVersion": "0.3"}]
    assert "10.0.0.7" not in str(card)
    older = types_0_3.AgentCard.model_validate(card)
    assert (older.url, older.preferred_transport, older.protocol_version) == (URL, "JSONRPC", "0.3")
    assert older.security == [{"mutualTls": [], "bearer": []}, {"mutualTls": [], "openId": []}]
    assert {name: scheme.root.type for name, scheme in (older.security_schemes or {}).items()} == {
        "mutualTls": "mutualTLS", "bearer": "http", "openId": "openIdConnect",
    }  # fmt: skip
    assert older.supports_authenticated_extended_card
    # What was added leaves what is signed as it was.
    assert parse_agent_card(copy.deepcopy(dict(card))) == ParseDict(signed, AgentCard())


@pytest.mark.parametrize(
    "change",
    [
        {"protocolVersion": "0.2.5"},
        {"protocolVersion": None},
        {"preferredTransport": "GRPC"},
        {"preferredTransport": "HTTP+JSON", "additionalInterfaces": [{"transport": "GRPC"}, "x"]},
        {"url": ""},
    ],
)
def test_a_card_of_0_3_without_json_rpc_is_of_no_use(change: dict[str, object]) -> None:
    with pytest.raises(UpstreamError, match="without a JSONRPC interface"):
        rewrite_card({**OLDER, **change}, URL)


def test_a_card_without_0_3_gains_nothing() -> None:
    card = rewrite_card({**CARD, "supportedInterfaces": CARD["supportedInterfaces"][:1]}, URL)
    assert with_0_3(card) == card


@pytest.mark.parametrize(
    "change",
    [
        {"name": None},
        {"version": 1},
        {"skills": {}},
        {"skills": ["x"]},
        {"supportedInterfaces": []},
        {"supportedInterfaces": [CARD["supportedInterfaces"][2]]},
        {"supportedInterfaces": "x"},
        {"capabilities": []},
        {"supported_interfaces": []},
        {"Name": "x"},
    ],
)
def test_a_card_that_says_too_little_or_two_things(change: dict[str, object]) -> None:
    with pytest.raises(UpstreamError) as caught:
        rewrite_card({**CARD, **change}, URL)
    assert caught.value.reason is Reason.UPSTREAM_MALFORMED


SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=3)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["tenant", "url", "id", "x"]), inner),
    max_leaves=4,
)


@given(st.dictionaries(st.sampled_from(sorted(CARD)), VALUES), VALUES)
def test_any_card_is_rewritten_or_an_upstream_error(change: dict[str, object], other: object) -> None:
    for card in ({**CARD, **change}, other):
        try:
            rewritten = rewrite_card(card, URL)
        except UpstreamError:
            continue
        assert {interface["url"] for interface in rewritten["supportedInterfaces"]} == {URL}
