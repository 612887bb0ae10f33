"""What a stateless client may be asked for: what it declared with the call, and nothing else."""

from typing import Any

import pytest
from mcp_types import MissingRequiredClientCapabilityErrorData

from gateway.core.errors import ProtocolError
from gateway.core.limits import Limits
from gateway.core.model import Route
from gateway.core.reasons import Reason
from gateway.protocols.base import Asks
from gateway.protocols.mcp import classify, parse
from gateway.protocols.mcp.methods import META_CAPABILITIES, META_VERSION

ROUTE = Route("mcp", "ledger", "/mcp/ledger", "https://gw.test/mcp/ledger", "https://ledger.test/")
FORM = {"method": "elicitation/create", "params": {"message": "sure?", "requestedSchema": {"type": "object"}}}
URL = {"method": "elicitation/create", "params": {"mode": "url", "message": "go", "url": "https://x.test"}}
SAMPLE: dict[str, Any] = {"method": "sampling/createMessage", "params": {"messages": [], "maxTokens": 1}}
WITH_TOOLS = {**SAMPLE, "params": {**SAMPLE["params"], "tools": []}}
ROOTS = {"method": "roots/list"}


def asked(modern, declared: Any, *requests: Any) -> Any:
    meta = {META_VERSION: "2026-07-28", META_CAPABILITIES: declared}
    call = parse(modern("tools/call", {"name": "pay", "_meta": meta}, id=7), ROUTE, Limits())
    wanted = {str(number): request for number, request in enumerate(requests)}
    result = {"resultType": "input_required", "inputRequests": wanted}
    return classify(call, {"jsonrpc": "2.0", "id": 7, "result": result})


@pytest.mark.parametrize(
    ("declared", "request_"),
    [
        ({"elicitation": {}}, FORM),
        ({"elicitation": {"form": {}}}, FORM),
        ({"elicitation": {"form": {}, "url": {}}}, URL),
        ({"elicitation": {"url": {}}}, URL),
        ({"sampling": {}}, SAMPLE),
        ({"sampling": {"tools": {}}}, WITH_TOOLS),
        ({"roots": {}}, ROOTS),
    ],
)
def test_what_was_declared_may_be_asked(modern, declared: Any, request_: Any) -> None:
    assert isinstance(asked(modern, declared, request_), Asks)


@pytest.mark.parametrize(
    ("declared", "requests", "missing"),
    [
        ({}, [FORM], {"elicitation": {"form": {}}}),
        ({"elicitation": {"url": {}}}, [FORM], {"elicitation": {"form": {}}}),
        ({"elicitation": {}}, [URL], {"elicitation": {"url": {}}}),
        ({"elicitation": []}, [FORM, URL], {"elicitation": {"form": {}, "url": {}}}),
        ({"elicitation": {}}, [FORM, SAMPLE], {"sampling": {}}),
        ({"sampling": {}}, [WITH_TOOLS], {"sampling": {"tools": {}}}),
        ({"sampling": True}, [SAMPLE], {"sampling": {}}),
        ({"experimental": {"roots": {}}}, [ROOTS, SAMPLE], {"roots": {}, "sampling": {}}),
    ],
)
def test_what_was_not_declared_is_named_and_not_asked(
    modern, declared: Any, requests: list[Any], missing: dict[str, Any]
) -> None:
    with pytest.raises(ProtocolError) as refused:
        asked(modern, declared, *requests)
    error = refused.value
    assert (error.reason, error.code, error.request_id) == (Reason.CAPABILITY_MISSING, -32021, 7)
    assert error.data == {"requiredCapabilities": missing}
    read = MissingRequiredClientCapabilityErrorData.model_validate(error.data)
    assert read.model_dump(by_alias=True, exclude_none=True)["requiredCapabilities"].keys() == missing.keys()
