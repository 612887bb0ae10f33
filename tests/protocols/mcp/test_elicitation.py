"""How a client is asked by the gateway itself: only by what its revision has and it has declared."""

from typing import Any

import pytest

from gateway.core.model import Call, Uid
from gateway.protocols.mcp import elicitation
from gateway.protocols.mcp.methods import META_CAPABILITIES

URL = {"elicitation": {"url": {}}}


def call(method: str, params: dict[str, Any], version: str = "2026-07-28", **more: Any) -> Call:
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return Call(
        protocol="mcp",
        version=version,
        method=method,
        action="invokeTool",
        resource=Uid("Tool", "s/t"),
        message=message,
        request_id=1,
        **more,
    )


def modern(capabilities: Any, method: str = "tools/call", **params: Any) -> Call:
    return call(method, {"_meta": {META_CAPABILITIES: capabilities}, **params})


@pytest.mark.parametrize(
    ("asked", "in_session", "way"),
    [
        (modern(URL), False, "input_required"),
        (modern(URL, "resources/read"), False, "input_required"),
        (modern(URL, "tools/list"), False, "plain"),
        (modern(URL, inputResponses={}), False, "plain"),
        (modern({"elicitation": {"form": {}}}), False, "plain"),
        (modern({"elicitation": {}}), True, "plain"),
        (modern({"elicitation": {"url": True}}), False, "plain"),
        (modern("all"), False, "plain"),
        (call("initialize", {"capabilities": URL}, "2025-11-25"), False, "url_error"),
        (call("initialize", {"capabilities": {}}, "2025-11-25"), False, "plain"),
        (call("initialize", {"capabilities": URL}, "2025-06-18"), False, "plain"),
        (call("tools/call", {}, "2025-11-25"), True, "url_error"),
        (call("tools/call", {"capabilities": URL}, "2025-11-25"), False, "plain"),
        (call("tools/call", {}, "2025-06-18"), True, "plain"),
    ],
)
def test_the_way_is_the_clients_own(asked: Call, in_session: bool, way: str) -> None:
    assert elicitation.way_to_ask(asked, in_session) == way


def test_a_state_of_the_servers_own_round_is_not_lost() -> None:
    asked = call("tools/call", {"_meta": {META_CAPABILITIES: URL}}, state="sealed")
    assert elicitation.way_to_ask(asked, in_session=False) == "plain"


def test_the_servers_never_see_what_was_answered_to_the_gateway() -> None:
    ours, theirs = {"action": "accept"}, {"action": "accept", "content": {}}
    mixed = elicitation.without_own_answer(modern(URL, inputResponses={elicitation.KEY: ours, "sure": theirs}))
    assert mixed.message["params"]["inputResponses"] == {"sure": theirs}
    alone = elicitation.without_own_answer(modern(URL, inputResponses={elicitation.KEY: ours}))
    assert "inputResponses" not in alone.message["params"]
    other = modern(URL, inputResponses={"sure": theirs})
    assert elicitation.without_own_answer(other) is other
