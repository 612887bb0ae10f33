"""An attacker who owns the analyst: its key, its SVID and the hop token that it received last.

Each attempt is bare HTTP over the analyst's own mutual TLS, as no SDK would send it, and must end in a refusal that
the gateway recorded. What the analyst may do, the attacker may too, and no more: not deeper power, not another
agent's place in the chain, not a chain of its own.
"""

import asyncio
import base64
import json
from collections.abc import Mapping
from typing import Any

import httpx
import jwt

from demo import evidence
from demo.agents.conversation import Answer
from demo.company import CLIENT, GUEST, MARIA, SCOPE, spiffe_id
from demo.refusal import Refusal
from demo.story import Scene, Stage

VERSION = "2026-07-28"
META = "io.modelcontextprotocol/"
PAYROLL = ("ledger", "read_balance", {"account": "payroll"})
REPORT = ("reports", "publish_report", {"title": "minutes", "body": "by the attacker"})
Tool = tuple[str, str, Mapping[str, Any]]


async def nobody_s_chain(stage: Stage) -> Answer:
    """No token at all: as if the analyst acted for itself."""
    return await _call(stage, PAYROLL, {})


async def widened(stage: Stage) -> Answer:
    """The hop token with more in ``del_scope`` than the gateway put there, under the old signature."""
    header, payload, signature = _hop_token(stage).split(".")
    more = _claims(payload) | {"del_scope": "reports/publish_report", "del_depth": 1}
    return await _call(stage, REPORT, _bearer(f"{header}.{_encoded(more)}.{signature}"))


async def unsigned(stage: Stage) -> Answer:
    """The same claims under ``alg: none``."""
    payload = _hop_token(stage).split(".")[1]
    return await _call(stage, PAYROLL, _bearer(f"{_encoded({'alg': 'none', 'typ': 'at+jwt'})}.{payload}."))


async def signed_by_itself(stage: Stage) -> Answer:
    """A hop token of its own making: depth one, all scopes, the gateway's ``kid``, the analyst's key."""
    token = _hop_token(stage)
    kid = jwt.get_unverified_header(token)["kid"]
    claims = _claims(token.split(".")[1])
    claims |= {"act": {"sub": spiffe_id("analyst")}, "del_depth": 1, "del_scope": "reports/publish_report"}
    key = stage.site.key("analyst").read_bytes()
    forged = jwt.encode(claims, key, algorithm="ES256", headers={"typ": "at+jwt", "kid": kid})
    return await _call(stage, REPORT, _bearer(forged))


async def somebody_else_by_header(stage: Stage) -> Answer:
    """Its own chain, and every header that some proxy believes: another caller, another depth."""
    believed = {
        "x-forwarded-client-cert": f"URI={spiffe_id(GUEST)}",
        "x-forwarded-user": "corp|maria",
        "x-spiffe-id": spiffe_id(GUEST),
        "x-delegation-depth": "1",
    }
    return await _call(stage, REPORT, {**believed, **_bearer(_hop_token(stage))})


async def user_token_for_the_entry_route(stage: Stage) -> Answer:
    """Maria's token for the planner, presented where the planner is called: again as if it were the first."""
    token = stage.issuer.mint(MARIA, f"{stage.site.data_url}/mcp/reports", CLIENT, SCOPE)
    return await _call(stage, REPORT, _bearer(token))


async def more_by_exchange(stage: Stage) -> Answer:
    """Its hop token, exchanged for one that may do what the chain may not."""
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token": _hop_token(stage),
        "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "resource": f"{stage.site.data_url}/mcp/reports",
        "scope": "reports/publish_report",
    }
    async with stage.site.workload("analyst").a2a_http({"traceparent": stage.headers("")["traceparent"]}) as http:
        response = await http.post(f"{stage.site.data_url}/oauth/token", data=form)
    told = response.json()
    if response.status_code == 200:
        return Answer("served: a token")
    return Answer.stopped(Refusal("analyst → token endpoint", str(told.get("reason")), told["error_description"]))


async def made_up_handle(stage: Stage) -> Answer:
    """A handle as agents with stock tracing carry them, but of nobody's delegation."""
    return await _call(stage, PAYROLL, {"tracestate": f"hopgate={'5' * 32}"})


async def after_its_revocation(stage: Stage) -> Answer:
    """An operator revokes the analyst, on the gateway's host; it tries once more what its chain was good for."""
    await asyncio.to_thread(evidence.revoke, stage.site, "analyst", "its key is stolen")
    try:
        return await _call(stage, PAYROLL, _bearer(_hop_token(stage)))
    finally:
        await asyncio.to_thread(evidence.lift, stage.site)


async def _call(stage: Stage, tool: Tool, headers: Mapping[str, str]) -> Answer:
    server, name, arguments = tool
    meta = {f"{META}protocolVersion": VERSION, f"{META}clientCapabilities": {}}
    params = {"name": name, "arguments": arguments, "_meta": meta}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    sent = {
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": VERSION,
        "mcp-method": "tools/call",
        "mcp-name": name,
        "traceparent": stage.headers("")["traceparent"],
        **headers,
    }
    async with stage.site.workload("analyst").a2a_http(sent) as http:
        return _answer(await http.post(f"{stage.site.data_url}/mcp/{server}", json=message), f"analyst → {server}")


def _answer(response: httpx.Response, hop: str) -> Answer:
    if not response.headers["content-type"].startswith("application/json"):
        return Answer(f"served: {response.status_code}")
    error = response.json().get("error")
    if error is None:
        return Answer(f"served: {response.text}")
    data = error.get("data", {})
    return Answer.stopped(Refusal(hop, str(data.get("reason")), error["message"], str(data.get("decision_id", ""))))


def _hop_token(stage: Stage) -> str:
    return stage.site.leaked_token.read_text(encoding="ascii").removeprefix("Bearer ")


def _bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def _claims(payload: str) -> dict[str, Any]:
    return dict(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))))


def _encoded(value: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


ATTEMPTS = (
    Scene("… acts for nobody, without a token", "token_missing", nobody_s_chain),
    Scene("… starts over with Maria's token at another route", "entry_point_required", user_token_for_the_entry_route),
    Scene("… adds scopes to its hop token", "token_signature", widened),
    Scene("… strips the signature", "token_malformed", unsigned),
    Scene("… signs a token of its own", "token_signature", signed_by_itself),
    Scene("… says in headers that it is somebody else", "forbidden", somebody_else_by_header),
    Scene("… asks the token endpoint for more", "scope_ceiling", more_by_exchange),
    Scene("… makes up a handle for its trace", "token_missing", made_up_handle),
    Scene("… tries again, now that an operator stopped it", "revoked", after_its_revocation),
)
