"""What a decision leaves in metrics and in the span. Facts only; the record is ``core.audit``'s."""

from collections.abc import Mapping

import msgspec

from gateway.core.audit import DecisionRecord
from gateway.core.model import Decision
from gateway.core.registry import Upstream
from gateway.proxy.explained import ARGUMENTS, policies_told
from gateway.proxy.gate import Gate, Passage
from gateway.telemetry import semconv


def server_of(upstream: Upstream) -> Mapping[str, str]:
    """Attributes of the client span towards ``upstream``."""
    return {semconv.SERVER_ADDRESS: upstream.url.split("/", 3)[2]}


def observe(gate: Gate, passage: Passage, decision: Decision, record: DecisionRecord) -> None:
    """Count the decision and describe it in the hop's span."""
    hop, call, chain = decision.hop, decision.hop.call, decision.hop.chain
    gate.metrics.decided(record.verdict, record.reason, call.protocol)
    gate.metrics.evaluated([policy.id for policy in decision.policies], gate.clock())
    agent, span = passage.agent, passage.span(gate.tracing)
    if not span.recording:
        return
    span.rename(semconv.hop_span_name(call.method, call.target if call.action == "invokeTool" else hop.route.name))
    span.set(
        {
            semconv.HOPGATE_VERDICT: record.verdict,
            semconv.HOPGATE_REASON: record.reason,
            semconv.HOPGATE_POLICY_IDS: [policy.id for policy in decision.policies],
            semconv.HOPGATE_MATCHED: _matched(decision),
            semconv.HOPGATE_DETERMINING: _determining(decision),
            semconv.HOPGATE_BUNDLE: decision.bundle,
            semconv.HOPGATE_PROTOCOL: call.protocol,
            semconv.HOPGATE_ROUTE: hop.route.path,
            semconv.HOPGATE_ACTION: call.action,
            semconv.HOPGATE_RESOURCE: str(call.resource),
            semconv.HOPGATE_AGENT: hop.agent,
            semconv.HOPGATE_AGENT_OWNER: None if agent is None else agent.owner,
            semconv.HOPGATE_AGENT_TEAM: None if agent is None else agent.team,
            semconv.HOPGATE_SUBJECT: chain.sub,
            semconv.HOPGATE_TXN: chain.txn,
            semconv.HOPGATE_DEPTH: chain.depth,
            semconv.HOPGATE_ACTORS: chain.actors,
            semconv.HOPGATE_REENTRY: chain.reentry,
            semconv.HOPGATE_VIA: chain.via,
            semconv.HTTP_REQUEST_METHOD: passage.exchange.method,
            semconv.HOPGATE_AGENT_SPIFFE_ID: None if hop.peer is None else hop.peer.spiffe_id,
            semconv.MCP_PROTOCOL_VERSION: call.version if call.protocol == "mcp" else None,
            semconv.A2A_PROTOCOL_VERSION: call.version if call.protocol == "a2a" else None,
            semconv.MCP_METHOD_NAME: call.method if call.protocol == "mcp" else None,
            semconv.A2A_METHOD_NAME: call.method if call.protocol == "a2a" else None,
            semconv.GEN_AI_TOOL_NAME: call.target if call.action == "invokeTool" else None,
            semconv.JSONRPC_REQUEST_ID: None if call.request_id is None else str(call.request_id),
        }
    )


def _determining(decision: Decision) -> list[str]:
    """Each policy with its values as JSON, without argument values unless the route records them."""
    told = policies_told(decision, arguments=decision.hop.route.record_arguments)
    return [msgspec.json.encode(each).decode() for each in told]


def _matched(decision: Decision) -> list[str]:
    """What the policies read, without argument values unless the route records them."""
    shown = decision.hop.route.record_arguments
    return sorted(
        {
            f"{match.path}={msgspec.json.encode(match.value).decode()}"
            for policy in decision.policies
            for match in policy.matched
            if shown or not match.path.startswith(ARGUMENTS)
        }
    )
