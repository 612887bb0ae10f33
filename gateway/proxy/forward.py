"""From a Grant to the upstream and back: one body, or a stream of events.

Reads the upstream's status; what the messages mean is ``relay``'s. Every end of the hop writes its outcome.
"""

import asyncio
import time
from collections.abc import AsyncIterator

from opentelemetry.trace import SpanKind

from gateway.core.errors import HopError, UpstreamError
from gateway.core.model import Grant, Outcome
from gateway.core.reasons import Reason
from gateway.protocols import mcp
from gateway.protocols.base import HttpError
from gateway.protocols.jsonrpc import parse_answer
from gateway.protocols.sse import Comment, Event, SseParser, encode_comment, encode_event, encode_message
from gateway.proxy import consent, counting, handles
from gateway.proxy.adapters import adapter_of
from gateway.proxy.approval_use import consume
from gateway.proxy.dispatch import dispatch
from gateway.proxy.exchange import Answer, Headers
from gateway.proxy.gate import Gate, Passage
from gateway.proxy.lease import Lease, held
from gateway.proxy.observe import server_of
from gateway.proxy.refuse import observe_failure, record_outcome, reply_to
from gateway.proxy.relay import Relay
from gateway.proxy.revoked import keys_of_lease
from gateway.proxy.standing import check_standing, end_session, of_silence
from gateway.proxy.upstream import UpstreamAnswer
from gateway.telemetry import semconv

STREAM_HEADERS: Headers = (
    ("Content-Type", "text/event-stream"),
    ("Cache-Control", "no-cache, no-transform"),
    ("X-Accel-Buffering", "no"),
)
JSON_HEADERS: Headers = (("Content-Type", "application/json"), ("Cache-Control", "no-store"))
COMING_BACK = frozenset({Reason.UPSTREAM_RESET, Reason.UPSTREAM_TIMEOUT})
"""Ends of a stream after which its client may still get the rest, from where it was."""
UPSTREAMS_OWN = frozenset({401, 403, 407})
"""Statuses by which an upstream refuses the gateway; to the client they would seem to be about its own token."""


async def forward(gate: Gate, passage: Passage, grant: Grant) -> Answer:
    """Send what was granted; the client's answer.

    Raises:
        HopError: the upstream could not be reached, or its answer could not be used.
    """
    hop, snapshot = grant.hop, passage.snapshot
    upstream = snapshot.registry.upstream_of(hop.route)
    if upstream is None:
        raise UpstreamError(Reason.UPSTREAM_UNREACHABLE, f"{hop.route.path} has no upstream")
    relay = Relay(gate, passage, grant, upstream)
    if hop.call.request_id is not None or hop.call.http_method == "GET":
        # Any answer may be a stream: better refused now than once the upstream has done its work.
        _check_streams(gate, passage, relay)
    check_standing(gate, hop)
    async with held(gate.waiting, hop, passage.exchange.vouched, passage.presented, passage.upstream_session) as lease:
        # Once more: since the chain was known the decision was recorded, and nothing has been sent yet.
        await gate.revoked.check(keys_of_lease(lease, snapshot.registry))
        with passage.span(gate.tracing).child(semconv.SPAN_UPSTREAM, SpanKind.CLIENT, server_of(upstream)) as span:
            adapter = adapter_of(hop.route.protocol)
            trace = await handles.carried_on(gate, passage, grant, span.traceparent())
            call = hop.call if upstream.third_party is None else consent.without_answer(hop.call)
            outgoing = adapter.encode(call, passage.upstream_session, trace, snapshot)
            await consume(gate, passage, hop)
            try:
                with gate.metrics.stage("upstream"):
                    sent = await dispatch(gate, passage, grant, upstream, outgoing)
            except HopError as error:
                if error.reason is not Reason.CONSENT_REQUIRED:
                    raise
                asked = consent.ask(gate, passage, hop, error.detail)
                await finish(gate, passage, Outcome(False, Reason.CONSENT_REQUIRED, 200, error.detail, len(asked)))
                return Answer(200, JSON_HEADERS, asked)
        answer = sent.answer
        relay.withhold(sent.secret)
        try:
            check_status(answer, passage, hop.call.http_method)
            whole = None if answer.kind == "sse" else await _whole(gate, passage, answer, relay)
        except BaseException:
            answer.close()
            raise
    if whole is None:
        return await _open_stream(gate, passage, answer, relay)
    if hop.call.http_method == "DELETE":
        end_session(gate, hop, passage.upstream_session)
    await finish(gate, passage, relay.outcome(whole.status))
    return whole


def check_status(answer: UpstreamAnswer, passage: Passage, http_method: str = "POST") -> None:
    """Refuse an answer whose HTTP status is not for the client to see.

    Raises:
        HttpError: the server doesn't have ``http_method``, or has such a stream already.
        HopError: SESSION_UNKNOWN.
        UpstreamError: UPSTREAM_STATUS.
    """
    if answer.status == 405 and http_method != "POST":
        raise HttpError(Reason.HTTP_METHOD, f"the server has no {http_method}", status=405, allow="POST")
    if answer.status == 404 and passage.upstream_session is not None:
        raise HopError(Reason.SESSION_UNKNOWN, "the upstream has ended the session")
    if answer.status == 409 and http_method == "GET":
        raise HttpError(Reason.UPSTREAM_STATUS, "the session has a standing stream already", status=409)
    if answer.status < 300 and (answer.kind == "sse" or http_method != "GET"):
        return
    if http_method == "GET":
        raise UpstreamError(Reason.UPSTREAM_STATUS, f"the upstream answered {answer.status}, and no event stream")
    if answer.kind != "json" or answer.status in UPSTREAMS_OWN or not 400 <= answer.status < 500:
        raise UpstreamError(Reason.UPSTREAM_STATUS, f"the upstream answered {answer.status}")


async def _whole(gate: Gate, passage: Passage, answer: UpstreamAnswer, relay: Relay) -> Answer:
    """A JSON body, or none where none is due."""
    # An empty answer accepts a message; the end of a session has a status of its own.
    status = answer.status if relay.http_method == "DELETE" else 202
    body, headers = b"", relay.session_headers(answer)
    if answer.kind == "empty" or relay.http_method == "DELETE":
        # What a server says at the end of a session is nobody's; its status tells.
        relay.end_empty()
    elif answer.kind == "json":
        sent = await answer.body()
        # What has been done is told, however much it is: only the next call is refused.
        counting.answered(gate, passage, len(sent))
        status, body = await relay.last(parse_answer(sent, passage.limits), answer.status)
        headers += JSON_HEADERS
    else:
        raise UpstreamError(Reason.UPSTREAM_MALFORMED, "the answer is neither JSON nor an event stream")
    answer.close()
    return Answer(status, headers, body)


def _check_streams(gate: Gate, passage: Passage, relay: Relay) -> None:
    if gate.streams[relay.caller] >= passage.limits.streams_per_agent:
        raise HopError(Reason.TOO_MANY_STREAMS, f"the limit is {passage.limits.streams_per_agent} streams a caller")


async def _open_stream(gate: Gate, passage: Passage, answer: UpstreamAnswer, relay: Relay) -> Answer:
    try:
        _check_streams(gate, passage, relay)
    except HopError:
        answer.close()
        raise
    stream = _stream(gate, passage, answer, relay)
    # Begun here, since closing a generator that never ran would skip its end.
    await anext(stream)
    return Answer(200, STREAM_HEADERS + relay.session_headers(answer), stream)


async def _stream(gate: Gate, passage: Passage, answer: UpstreamAnswer, relay: Relay) -> AsyncIterator[bytes]:
    """The events on their way to the client. Ends with an answer, or with the reason why there is none."""
    error: HopError | None = HopError(Reason.INTERNAL_ERROR, "the stream broke off")
    lease = Lease(
        relay.hop, answer.close, passage.exchange.vouched, passage.presented, session=passage.upstream_session
    )
    gate.leases.add(lease)
    gate.streams[relay.caller] += 1
    gate.metrics.stream_opened(relay.protocol)
    try:
        yield b""
        async for piece in _events(gate, passage, answer, relay, lease):
            yield piece
        error = None
    except HopError as failed:
        error = lease.ended or of_silence(relay.hop, failed)
        observe_failure(gate, passage, error)
        last = _last_word(gate, passage, relay, error)
        if last is not None:
            yield last
    except (GeneratorExit, asyncio.CancelledError):
        error = gate.cut_off()
        raise
    finally:
        answer.close()
        # Before anything is waited for: its client may call again once it has the last event.
        passage.metered.release()
        gate.leases.discard(lease)
        gate.streams[relay.caller] -= 1
        gate.metrics.stream_closed(relay.protocol)
        await finish(gate, passage, relay.outcome(200, error))


def _last_word(gate: Gate, passage: Passage, relay: Relay, error: HopError) -> bytes | None:
    """What the client is told at the end of a stream that broke off; None where it is to come back for the rest."""
    if relay.resumable and error.reason in COMING_BACK:
        return None
    if relay.hop.call.http_method == "GET" and relay.hop.call.request_id is None:
        # Nothing was asked, so there is nobody to be told.
        return None
    graceful = mcp.graceful_end(relay.hop.call) if error.reason is Reason.DRAINING else None
    if graceful is not None:
        return encode_message(graceful)
    name = "error" if relay.binding == "http" else "message"
    return encode_event(Event(reply_to(gate, passage, error).body.decode(), name))


async def _events(
    gate: Gate, passage: Passage, answer: UpstreamAnswer, relay: Relay, lease: Lease
) -> AsyncIterator[bytes]:
    parser = SseParser(passage.limits.event_bytes)
    async for piece in _leased(gate, passage, answer, lease):
        for frame in parser.feed(piece):
            if isinstance(frame, Comment):
                yield encode_comment()
            elif frame.data and relay.is_message(frame.name):
                shown = await relay.take(parse_answer(frame.data.encode(), passage.limits))
                event_id, retry = relay.position(frame)
                if shown is not None:
                    yield encode_message(shown.value, shown.event, event_id=event_id, retry=retry)
                elif event_id is not None:
                    yield encode_event(Event("", id=event_id, retry=retry))
            elif not frame.data:
                event_id, retry = relay.position(frame)
                if event_id is not None or retry is not None:
                    yield encode_event(Event("", id=event_id, retry=retry))
            if relay.ended:
                return
    relay.end_of_stream(within_event=parser.pending)


async def _leased(gate: Gate, passage: Passage, answer: UpstreamAnswer, lease: Lease) -> AsyncIterator[bytes]:
    """The upstream's bytes until the stream's lease ends, or they are more than a quota allows."""
    pieces = answer.pieces(passage.limits.idle_stream_seconds)
    while True:
        left = lease.until - time.time()
        try:
            async with asyncio.timeout(left):
                piece = await anext(pieces, b"")
        except TimeoutError:
            raise HopError(Reason.LEASE_ENDED, "the chain, the certificate or the approval has ended") from None
        if lease.ended is not None:
            raise lease.ended
        if not piece:
            return
        over = counting.answered(gate, passage, len(piece))
        if over is not None:
            raise over
        yield piece


async def finish(gate: Gate, passage: Passage, outcome: Outcome) -> None:
    """Record how the hop ended, and end its span."""
    await record_outcome(gate, passage, outcome)
    span = passage.span(gate.tracing)
    span.set({semconv.HTTP_RESPONSE_STATUS_CODE: outcome.status, semconv.HOPGATE_STREAM_EVENTS: outcome.events})
    if not outcome.ok:
        span.fail(outcome.reason)
    passage.close()
