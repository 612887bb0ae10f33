"""The upstream's messages on their way to the client: classified, cut to what the caller may see, counted.

Whatever isn't classified is an error. Requests of the server to the client are passed on where a policy permits them.
"""

import asyncio
from typing import Any

import msgspec

from gateway.core.errors import HopError, UpstreamError
from gateway.core.model import Deny, Grant, Outcome, Permit, ProtocolName, Uid
from gateway.core.policy.decide import may_use
from gateway.core.reasons import Reason
from gateway.core.registry import Upstream
from gateway.protocols import mcp
from gateway.protocols.base import About, Asks, Classified, End, Inbound, Listing, OfTask, Pass
from gateway.protocols.jsonrpc import dump_json
from gateway.protocols.sse import Event
from gateway.proxy import pins, sessions, tasks, webhooks
from gateway.proxy.adapters import Shown, adapter_of, task_key
from gateway.proxy.asking import decide_request
from gateway.proxy.dispatch import dispatch
from gateway.proxy.exchange import Headers
from gateway.proxy.explained import decision_told
from gateway.proxy.gate import Gate, Passage
from gateway.proxy.resumption import seal_event
from gateway.proxy.rounds import Asked, Place, State, seal_request, seal_state, with_state
from gateway.proxy.upstream import UpstreamAnswer

LISTED_AT_ONCE = 50
"""Items decided before other hops get their turn."""


class Relay:
    """One hop's answer. ``take`` messages as they come; ``outcome`` says how it ended."""

    def __init__(self, gate: Gate, passage: Passage, grant: Grant, upstream: Upstream) -> None:
        self._gate = gate
        self._passage = passage
        self._grant = grant
        self._upstream = upstream
        hop = grant.hop
        self.hop = hop
        self._adapter = adapter_of(hop.route.protocol)
        self.protocol: ProtocolName = hop.route.protocol
        self.binding = hop.call.binding
        self.http_method = hop.call.http_method
        self.caller = sessions.owner(hop.chain, hop.peer) if hop.peer is None else hop.peer.spiffe_id
        self.ended = False
        self.resumable = hop.call.method == "GET"
        """Whether the client can come back for what the stream still owes: then it may end without its answer."""
        self._ok = True
        self._detail = ""
        self._hidden: tuple[str, ...] = ()
        self._claimed: set[str] = set()
        self._bytes = 0
        self._events = 0
        self._secret = b""

    def withhold(self, secret: str) -> None:
        """Refuse what holds ``secret`` from now on, as JSON spells it; an answer that spells it otherwise passes."""
        self._secret = dump_json(secret)[1:-1]

    def is_message(self, event_name: str) -> bool:
        """Whether an event of that name is to be taken."""
        return self._adapter.is_message(event_name)

    def session_headers(self, answer: UpstreamAnswer) -> Headers:
        """The session that the upstream opened, sealed for this caller on this route."""
        opened = answer.headers.get("Mcp-Session-Id")
        if opened is None or self.hop.call.method != "initialize":
            return ()
        hop, limits = self.hop, self._passage.limits
        whose = sessions.owner(hop.chain, hop.peer)
        expires = hop.now // 1000 + limits.session_seconds
        opens_urls = mcp.declares_url(hop.call)
        sealed = sessions.seal(self._gate.sealer, opened, hop.route, whose, expires, opens_urls=opens_urls)
        return (("Mcp-Session-Id", sealed),)

    async def take(self, value: Any) -> Shown | None:
        """The message as the client gets it; None for one that isn't the client's.

        Raises:
            UpstreamError: the message does not belong to the answer of this call.
        """
        taken = await self._take(value)
        if taken is None:
            return None
        shown = self._adapter.present(self.hop.call, self._explained(taken))
        self._bytes += len(dump_json(shown.value))
        return shown

    async def _take(self, value: Any) -> Any | None:
        self._events += 1
        # Before anything of the message is recorded, pinned or shown.
        if self._secret and self._secret in dump_json(value):
            raise UpstreamError(Reason.UPSTREAM_ECHO, "the upstream sends back the credential that it was sent")
        classified = self._adapter.classify(self.hop.call, value)
        if not await self._is_callers(value):
            await self._stray(classified)
            return None
        return await self._shown(classified)

    def _explained(self, value: Any) -> Any:
        """The message with what the route tells of its decision: in MCP's answer, in A2A's first event."""
        tells = self.hop.route.explain and (self.protocol == "mcp" or self._events == 1)
        return self._adapter.explained(value, decision_told(self._grant.permit) if tells else None)

    async def _is_callers(self, value: Any) -> bool:
        """Whether the message is about no task of somebody else's."""
        related = mcp.related_task(value) if self.protocol == "mcp" else None
        return await tasks.is_callers(self._gate, self._passage, self.hop, related)

    async def _shown(self, classified: Classified) -> Any | None:
        """What the client gets of it."""
        match classified:
            case Pass(value=passed):
                await self._claim_tasks(passed)
                return passed
            case Listing():
                self.ended = True
                keep = await self._kept(classified)
                cut, self._hidden = self._adapter.filter_listing(self.hop.call, classified, keep)
                return cut
            case End(value=last, ok=ok, detail=detail):
                self.ended, self._ok, self._detail = True, ok, detail
                await self._claim_tasks(last)
                return webhooks.restored(self._gate, self._passage, self.hop, last)
            case About(value=passed, kind=kind, item=item):
                snapshot, thing = self._gate.edition().snapshot, Uid(kind, f"{self.hop.route.name}/{item}")
                return passed if may_use(self.hop, snapshot.bundle, snapshot.registry, thing) else None
            case Asks():
                return await self._required(classified)
            case OfTask():
                return await self._of_task(classified)
            case Inbound():
                return await self._asked(classified)

    async def last(self, value: Any, status: int) -> tuple[int, bytes]:
        """Status and body of an answer that isn't a stream; ``status`` is the upstream's."""
        taken = await self._take(value)
        if taken is None or (self.protocol == "mcp" and not self.ended):
            raise UpstreamError(Reason.UPSTREAM_MALFORMED, "the body is not the answer to the request")
        self.ended = True
        shown = self._adapter.present(self.hop.call, self._explained(taken))
        body = dump_json(shown.value)
        self._bytes += len(body)
        return status if shown.status is None else shown.status, body

    def end_empty(self) -> None:
        """The upstream sent no body: right for a notification, and only there."""
        if self.hop.call.request_id is not None:
            raise UpstreamError(Reason.UPSTREAM_MALFORMED, "a request was answered without a body")
        self.ended = True

    def position(self, event: Event) -> tuple[str | None, int | None]:
        """By which id, and after how many milliseconds, the client can resume a session's stream after ``event``."""
        if self._passage.upstream_session is None:
            return None, None
        if event.id is None:
            return None, event.retry
        limits = self._passage.limits
        expires, most = self._now + limits.session_seconds, limits.header_bytes // 2
        sealed = seal_event(self._gate.sealer, event.id, self._place, self.hop.call, expires, most)
        self.resumable = self.resumable or sealed is not None
        return sealed, event.retry

    def end_of_stream(self, *, within_event: bool) -> None:
        """The upstream's stream is over: A2A's after any event, MCP's with the answer or where it can be resumed."""
        if self.resumable and not within_event:
            self._detail = "the stream ended, and can be resumed"
        elif within_event or self.protocol == "mcp" or not self._events:
            raise UpstreamError(Reason.UPSTREAM_RESET, "the stream ended before the answer")
        self.ended = True

    def outcome(self, status: int, error: HopError | None = None) -> Outcome:
        """How the hop ended."""
        if error is not None:
            return Outcome(False, error.reason, status, error.detail, self._bytes, self._events, self._hidden)
        return Outcome(self._ok, Reason.PERMITTED, status, self._detail, self._bytes, self._events, self._hidden)

    async def _kept(self, listing: Listing) -> frozenset[str]:
        """What of a list the caller is shown."""
        if self.protocol == "a2a":
            return await self._owned(listing.items)
        if listing.kind == "McpTask":
            return await tasks.kept(self._gate, self._passage, self.hop, listing.items)
        return await self._usable(listing) - await self._withheld(listing)

    async def _usable(self, listing: Listing) -> frozenset[str]:
        """Which of the listed things the caller may use; a tool that isn't registered is never one of them."""
        snapshot, hop, kept = self._passage.snapshot, self.hop, set[str]()
        for number, name in enumerate(listing.items):
            item = Uid(listing.kind, f"{hop.route.name}/{name}")
            if may_use(hop, snapshot.bundle, snapshot.registry, item):
                kept.add(name)
            if number % LISTED_AT_ONCE == LISTED_AT_ONCE - 1:
                await asyncio.sleep(0)
        return frozenset(kept)

    async def _owned(self, tasks: tuple[str, ...]) -> frozenset[str]:
        """Which of the agent's tasks are the caller's."""
        hop, keys = self.hop, {task_key(task): task for task in tasks}
        found = await self._gate.tasks.owned(hop.route.path, keys, sessions.owner(hop.chain, hop.peer))
        return frozenset(keys[key] for key in found)

    async def _withheld(self, listing: Listing) -> frozenset[str]:
        """Tools whose definitions aren't the approved ones; of all that are listed, whoever asks."""
        if self.hop.call.method != "tools/list":
            return frozenset()
        listed = listing.value["result"]["tools"]
        return await pins.withheld(self._gate, self._passage.snapshot, self.hop.route.name, listed)

    async def _claim_tasks(self, value: Any) -> None:
        hop, limits = self.hop, self._passage.limits
        whose = sessions.owner(hop.chain, hop.peer)
        expires = hop.now // 1000 + limits.task_seconds
        for task in self._adapter.created_tasks(value):
            if task in self._claimed:
                continue
            if not await self._gate.tasks.claim(hop.route.path, task, whose, expires):
                raise UpstreamError(Reason.UPSTREAM_MALFORMED, "the answer names another caller's task")
            self._claimed.add(task)

    async def _stray(self, classified: Classified) -> None:
        """What belongs to somebody else's task: nothing of it is the client's, and a question gets no answer of it."""
        if isinstance(classified, Inbound):
            await self._answer(msgspec.structs.replace(classified, action=""))
        elif not isinstance(classified, Pass | About | OfTask) or (isinstance(classified, OfTask) and classified.last):
            raise tasks.another_callers()

    async def _of_task(self, message: OfTask) -> Any | None:
        """What is about one task, for its owner; a call may become one."""
        if message.last and self.hop.call.action == "invokeTool":
            if not await tasks.claim(self._gate, self._passage, self.hop, message.task):
                raise tasks.another_callers()
        elif not message.last and not await tasks.is_callers(self._gate, self._passage, self.hop, message.task):
            return None
        try:
            await self._check_requests(message.requests)
        except HopError:
            if message.last:
                raise
            return None
        if message.last:
            self.ended, self._detail = True, message.detail
        return message.value

    async def _check_requests(self, requests: tuple[Inbound, ...]) -> None:
        """Decide on all that a server asks of its caller within an answer."""
        for request in requests:
            decision = await decide_request(self._gate, self._passage, self.hop, request)
            if not isinstance(decision, Permit):
                reason = decision.reason if isinstance(decision, Deny) else Reason.APPROVAL_REQUIRED
                raise HopError(reason, f"the server's {request.method} to its caller is not permitted")

    async def _required(self, asks: Asks) -> Any:
        """The answer that asks for input, if all of it may be asked; its state is the caller's alone."""
        await self._check_requests(asks.requests)
        self.ended, self._detail = True, "asks for input"
        if asks.state is None:
            return asks.value
        state = State(asks.state, self._now + self._passage.limits.root_ttl_seconds)
        return with_state(asks.value, seal_state(self._gate.sealer, state, self._place, self.hop.call))

    async def _asked(self, request: Inbound) -> Any | None:
        """The server's request under an id of the gateway's, or None where the gateway has answered it."""
        request = await tasks.inbound(self._gate, self._place, request)
        if request.action:
            decision = await decide_request(self._gate, self._passage, self.hop, request)
            if isinstance(decision, Permit):
                expires = self._now + self._passage.limits.session_seconds
                asked = Asked(request.request_id, request.method, request.action, expires)
                return {**request.value, "id": seal_request(self._gate.sealer, asked, self._place)}
        await self._answer(request)
        return None

    async def _answer(self, request: Inbound) -> None:
        """Tell the server that its request isn't passed on."""
        outgoing = mcp.answer_inbound(self.hop.call, request, session=self._passage.upstream_session)
        sent = await dispatch(self._gate, self._passage, self._grant, self._upstream, outgoing)
        sent.answer.close()

    @property
    def _place(self) -> Place:
        return Place(self.hop.route, sessions.owner(self.hop.chain, self.hop.peer), self._passage.upstream_session)

    @property
    def _now(self) -> int:
        return int(self._gate.clock())
