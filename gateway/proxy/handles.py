"""Trace-carried continuation (TOKENS §3b): a fresh handle in the trace of every delegation to an agent that opted in.

The agent joins its chain by returning the handle, over its own mutual TLS, in the trace context that OpenTelemetry
passes on by itself. A handle stands for one hop token, and is kept hashed, with that token's facts sealed to the
agent's SPIFFE ID. A trace id never selects a chain, and a handle is never logged, recorded or exported.
"""

import hashlib
import secrets
from collections.abc import Mapping

import msgspec

from gateway.core import delegation
from gateway.core.model import Grant, HopToken, SpiffeId
from gateway.protocols import tracestate
from gateway.proxy.gate import Gate, Passage

HANDLE_BYTES = 16
FIELD = "tracestate"


def sent(passage: Passage) -> frozenset[str]:
    """The different handles of the request: those of its headers, and of its message once that was parsed."""
    texts = [value for name, value in passage.exchange.headers if name == FIELD]
    if passage.call is not None and FIELD in passage.call.trace:
        texts.append(passage.call.trace[FIELD])
    return tracestate.handles(texts)


async def delegated(gate: Gate, holder: SpiffeId, handle: str, now: int) -> HopToken | None:
    """The delegation that ``holder`` was given ``handle`` with; None for a handle that is unknown, over, or another's.

    Raises:
        StoreError: the store can't be asked.
    """
    digest = _digest(handle)
    sealed = await gate.handles.find(digest, now)
    plain = None if sealed is None else gate.sealer.open(sealed, _context(digest, holder))
    return None if plain is None else msgspec.json.decode(plain, type=HopToken)


async def carried_on(gate: Gate, passage: Passage, grant: Grant, trace: Mapping[str, str]) -> Mapping[str, str]:
    """The trace context for the upstream: with a new handle where it is an agent that continues chains by its trace.

    Raises:
        StoreError: the handle can't be kept; nothing may be forwarded, for the chain would be lost.
    """
    hop = grant.hop
    agent = passage.snapshot.registry.agents.get(hop.route.name) if hop.route.protocol == "a2a" else None
    if agent is None or grant.minted is None or "trace" not in agent.continuation:
        return trace
    if agent.upstream is not None and agent.upstream.gateway is not None:
        # Behind a peer gateway it goes on with a chain there, and never comes here itself.
        return trace
    handle = secrets.token_hex(HANDLE_BYTES)
    digest, facts = _digest(handle), delegation.delegated(hop, grant.minted, passage.limits)
    sealed = gate.sealer.seal(msgspec.json.encode(facts), _context(digest, agent.spiffe_id))
    await gate.handles.keep(digest, sealed, facts.root_expires, hop.now // 1000)
    return {**trace, FIELD: tracestate.with_handle(trace.get(FIELD, ""), handle)}


def _digest(handle: str) -> str:
    return hashlib.sha256(handle.encode("utf-8", "surrogateescape")).hexdigest()


def _context(digest: str, holder: SpiffeId) -> bytes:
    return msgspec.json.encode(["handle", digest, holder])
