"""How a client is asked to open a URL by the gateway itself: by its revision, and by what it has declared.

Pure shapes. Doesn't make the URL, and doesn't decide whether to ask.
"""

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import structs

from gateway.core.model import Call
from gateway.protocols.mcp.methods import ANSWERABLE, META_CAPABILITIES, era_of, meta_of

URL_ELICITATION_REQUIRED = -32042
"""MCP 2025-11-25 client/elicitation, "URL Elicitation Required Error"."""
KEY = "hopgate-consent"
"""Of the gateway's own input request."""
_URL_REVISIONS = ("2025-11-25",)

Way = Literal["input_required", "url_error", "plain"]


def declares_url(call: Call) -> bool:
    """Whether the call itself declares that its client opens URLs: every modern one may, of the others initialize."""
    if era_of(call) == "modern":
        capabilities = meta_of(call.message).get(META_CAPABILITIES)
    else:
        capabilities = call.message.get("params", {}).get("capabilities") if call.method == "initialize" else None
    elicitation = capabilities.get("elicitation") if isinstance(capabilities, dict) else None
    return isinstance(elicitation, dict) and isinstance(elicitation.get("url"), dict)


def way_to_ask(call: Call, in_session: bool) -> Way:
    """How the client of ``call`` is asked; ``in_session``: its session was opened by one that opens URLs."""
    if era_of(call) == "modern":
        asked_before = call.state is not None or "inputResponses" in call.message.get("params", {})
        # The answers of an earlier round would be lost, and who was asked already has the URL.
        can = call.method in ANSWERABLE and declares_url(call) and not asked_before
        return "input_required" if can else "plain"
    declared = in_session or declares_url(call)
    return "url_error" if declared and call.version in _URL_REVISIONS else "plain"


def input_required(call: Call, url: str, message: str) -> Mapping[str, Any]:
    """The answer that asks for it (2026-07-28)."""
    request = {"method": "elicitation/create", "params": {"mode": "url", "url": url, "message": message}}
    result = {"resultType": "input_required", "inputRequests": {KEY: request}}
    return {"jsonrpc": "2.0", "id": call.request_id, "result": result}


def elicitations(url: str, elicitation: str, message: str) -> Mapping[str, object]:
    """``data`` of the error that asks for it (2025-11-25)."""
    return {"elicitations": [{"mode": "url", "elicitationId": elicitation, "url": url, "message": message}]}


def without_own_answer(call: Call, key: str = KEY) -> Call:
    """The call as its server may see it: without the answer to what the gateway asked under ``key``."""
    params = call.message.get("params", {})
    answers = params.get("inputResponses")
    if not isinstance(answers, dict) or key not in answers:
        return call
    kept = {name: answer for name, answer in answers.items() if name != key}
    others = {name: value for name, value in params.items() if name != "inputResponses"}
    return structs.replace(
        call, message={**call.message, "params": {**others, **({"inputResponses": kept} if kept else {})}}
    )
