"""One request, in order: route, identity, call, chain, decision, grant, record, forward.

Every way out is an ``Answer``. Nothing is forwarded unless each step before it succeeded and the decision's
record is durable. Doesn't know which HTTP library carries it.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.core import delegation, scope
from gateway.core.errors import HopError
from gateway.core.model import (
    Ask,
    Call,
    Chain,
    Decision,
    Deny,
    Grant,
    Hop,
    Minted,
    Permit,
    RootToken,
    Route,
)
from gateway.core.policy.decide import decide
from gateway.core.reasons import Reason
from gateway.identity.mint_cache import Signed
from gateway.protocols.base import Incoming
from gateway.proxy import (
    approval_answers,
    approval_tasks,
    arguments,
    callers,
    cards,
    chains,
    counting,
    crossing,
    hold,
    pins,
    resumption,
    rounds,
    sessions,
    tasks,
    trust_bundle,
    webhooks,
    wellknown,
    workloads,
)
from gateway.proxy.adapters import adapter_of
from gateway.proxy.commit import commit
from gateway.proxy.deliver import deliver
from gateway.proxy.exchange import Answer, Exchange, check_head, single_valued
from gateway.proxy.forward import forward
from gateway.proxy.gate import Gate, Passage, client_of
from gateway.proxy.locate import check_host, locate, split_target
from gateway.proxy.oauth import endpoint
from gateway.proxy.refuse import DeniedError, refuse
from gateway.telemetry import semconv


class Pipeline:
    """Carries exchanges through the gate."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def handle(self, exchange: Exchange) -> Answer:
        """The answer to one request, whatever happens on the way."""
        gate = self._gate
        passage = Passage(gate.new_id(), int(gate.clock() * 1000), exchange, gate.edition(), gate.metering.call())
        try:
            answer = await self._answered(passage)
        except BaseException:
            passage.metered.release()
            raise
        return msgspec.structs.replace(answer, done=passage.metered.release)

    async def _answered(self, passage: Passage) -> Answer:
        gate = self._gate
        try:
            return await self._carry(passage)
        except HopError as error:
            counting.refused(gate, passage, error)
            return await refuse(gate, passage, error)
        except Exception as error:
            # The top of the pipeline: whatever failed, the hop is refused.
            gate.log.error("hop failed", decision_id=passage.id, error=type(error).__name__, exc_info=True)
            return await refuse(gate, passage, HopError(Reason.INTERNAL_ERROR, type(error).__name__))
        except asyncio.CancelledError:
            await refuse(gate, passage, gate.cut_off())
            raise

    async def _carry(self, passage: Passage) -> Answer:
        gate, exchange, edition, snapshot = self._gate, passage.exchange, passage.edition, passage.snapshot
        check_head(exchange, passage.limits.header_bytes)
        passage.headers = single_valued(exchange.headers)
        check_host(passage.headers, edition.allowed[exchange.listener])
        path, query = split_target(exchange.target)
        base = edition.bases[exchange.listener]
        if path == trust_bundle.PATH and exchange.listener == "public":
            return await trust_bundle.answer(exchange.method, gate.own_bundle)
        document = wellknown.answer(exchange.method, path, base, edition.documents, snapshot.routes)
        if document is not None:
            return document
        if path == endpoint.PATH and exchange.listener == "data":
            return await endpoint.answer(gate, passage)
        route, rest = locate(path, snapshot.routes)
        route = passage.route = msgspec.structs.replace(route, resource=base + route.path)
        passage.rest = rest
        passage.exchange = callers.called_by(exchange, gate.mesh)
        exchange = await workloads.proven(gate, passage, route)
        counting.check_refused(gate, passage)
        adapter = adapter_of(route.protocol)
        if exchange.peer is None and exchange.listener == "data":
            raise HopError(Reason.TRUST_WITHDRAWN, "the certificate is no longer vouched for")
        if exchange.peer is not None and not crossing.is_gateway(passage):
            passage.agent = delegation.calling_agent(exchange.peer, snapshot.registry, passage.at // 1000)
        if webhooks.is_delivery(route, rest):
            counting.arrive(gate, passage)
            return await deliver(gate, passage, route)
        incoming = Incoming(exchange.method, rest, passage.headers, query, b"")
        adapter.check_method(incoming, route, snapshot)
        with gate.metrics.stage("token"):
            passage.presented = await chains.present(passage, route)
        exchange = passage.exchange
        counting.arrive(gate, passage)
        body = await exchange.read_body(passage.limits.body_bytes, passage.limits.body_seconds)
        with gate.metrics.stage("parse"):
            call = adapter.parse(msgspec.structs.replace(incoming, body=body), route, snapshot)
            call = passage.call = arguments.completed(call, snapshot)
        with gate.metrics.stage("chain"):
            chain = await chains.chain_of(gate, passage, route)
        await self._check_owned(passage, route, call, chain)
        place = rounds.Place(route, sessions.owner(chain, exchange.peer), passage.upstream_session)
        call = approval_answers.resent(gate, passage, place, call)
        call = rounds.reopened(gate.sealer, place, call, passage.at // 1000)
        call = resumption.resumed(gate.sealer, place, call, passage.at // 1000)
        call = passage.call = await tasks.placed(gate, passage, place, call)
        hop = _hop(passage, route, call, chain)
        hop = passage.hop = msgspec.structs.replace(hop, usage=counting.count(gate, passage, hop, len(body)))
        decision, minted = await self._decide(passage, hop)
        hop = decision.hop
        if minted is None and adapter.answered_here(call):
            return await _own_answer(gate, passage, decision)
        await chains.join(gate, passage, hop)
        grant = Grant(await webhooks.substituted(gate, passage, hop), decision, minted)
        grant = await crossing.redeemed(gate, passage, grant)
        if adapter.answered_here(call):
            return await cards.answer(gate, passage, decision, grant)
        if call.action == "getExtendedCard":
            return await cards.extended(gate, passage, grant)
        await self._claim_contexts(passage, hop)
        return await forward(gate, passage, grant)

    async def _check_owned(self, passage: Passage, route: Route, call: Call, chain: Chain) -> None:
        """Sessions and tasks belong to whoever began them; another's looks like none."""
        whose = sessions.owner(chain, passage.exchange.peer)
        if call.session is not None:
            now = passage.at // 1000
            handle = sessions.unseal(self._gate.sealer, call.session, route, whose, now)
            passage.upstream_session, passage.opens_urls = handle.upstream, handle.opens_urls
        for task in adapter_of(route.protocol).named_tasks(call):
            if await self._gate.tasks.owner(route.path, task) != whose:
                raise HopError(Reason.TASK_UNKNOWN, "no such task for this caller on this route")
        for context in adapter_of(route.protocol).named_contexts(call):
            if await self._gate.tasks.owner(route.path, context) not in (None, whose):
                raise HopError(Reason.TASK_UNKNOWN, "no such context for this caller on this route")

    async def _claim_contexts(self, passage: Passage, hop: Hop) -> None:
        """A context that the caller names first is the caller's from now on, before its upstream learns of it.

        Only a message begins one; asking for the tasks of a context claims nothing.
        """
        if hop.call.action != "delegate":
            return
        expires = passage.at // 1000 + passage.limits.task_seconds
        whose = sessions.owner(hop.chain, hop.peer)
        for context in adapter_of(hop.route.protocol).named_contexts(hop.call):
            if not await self._gate.tasks.claim(hop.route.path, context, whose, expires):
                raise HopError(Reason.TASK_UNKNOWN, "no such context for this caller on this route")

    async def _decide(self, passage: Passage, hop: Hop) -> tuple[Permit, Minted | None]:
        """The permit, and the token to forward with unless the gateway answers itself; recorded, or refused."""
        gate, snapshot = self._gate, passage.snapshot
        with passage.span(gate.tracing).child(semconv.SPAN_AUTHORIZE):
            with gate.metrics.stage("decide"):
                decision = decide(hop, snapshot.bundle, snapshot.registry, snapshot.generation)
                decision = await hold.lifted(gate, passage, decision)
                decision = await pins.held(gate, snapshot, decision)
            minted, cure = None, frozenset[str]()
            if not isinstance(decision, Deny) and _needs_token(passage, hop):
                decision, minted, cure = self._narrowed(passage, decision)
            await commit(gate, passage, decision, minted)
        if isinstance(decision, Ask):
            raise await approval_answers.told(gate, passage, decision)
        if not isinstance(decision, Permit):
            raise DeniedError(decision, cure)
        return decision, minted

    def _narrowed(self, passage: Passage, found: Permit | Ask) -> tuple[Decision, Minted | None, frozenset[str]]:
        """What a permit may carry on: the token, or the denial and the issuer scopes that would cure it.

        Nobody is asked to approve what no scope of the issuer's would then allow.
        """
        hop, registry, root = found.hop, passage.snapshot.registry, passage.presented
        wanted = scope.needed(hop.call, registry)
        missing = wanted - hop.chain.ceiling
        if not missing and isinstance(found, Ask):
            return found, None, frozenset()
        if not missing:
            with self._gate.metrics.stage("mint"):
                return found, self._mint(passage, hop, wanted), frozenset()
        cure = frozenset[str]()
        if isinstance(root, RootToken):
            granted = wanted if passage.agent is None else frozenset(passage.agent.scopes)
            cure = scope.step_up(wanted, root, granted, passage.snapshot.scope_sources.get(root.user.idp, {}))
        if cure and isinstance(found, Ask):
            # A scope alone cures nothing yet; it is asked for once people have said yes.
            return found, None, frozenset()
        reason = Reason.INSUFFICIENT_SCOPE if cure else Reason.SCOPE_CEILING
        detail = f"the chain lacks scope {' '.join(sorted(missing))}"
        return Deny(hop, reason, found.policies, found.bundle, found.generation, detail), None, cure

    def _mint(self, passage: Passage, hop: Hop, wanted: frozenset[str]) -> Minted | None:
        gate, registry = self._gate, passage.snapshot.registry
        upstream = registry.upstream_of(hop.route)
        if upstream is not None and upstream.third_party is not None:
            return None
        wanted = scope.narrow(wanted, hop.chain)
        peer = crossing.gateway_of(passage, hop.route)
        if peer is not None:
            gate.metrics.minted()
            return crossing.assertion(gate, passage, hop, wanted, peer)
        requested = scope.requested(passage.headers.get(scope.REQUESTED))
        ceiling = scope.downstream_ceiling(hop.call, hop.chain, registry, requested)
        x5t, issuer, jti = client_of(gate, passage).x5t, passage.edition.issuer, gate.new_id()
        claims = delegation.claims(hop, wanted, ceiling, issuer=issuer, jti=jti, x5t=x5t, limits=passage.limits)
        signed = _signed(gate, passage, hop, claims)
        gate.metrics.minted(reused=signed.reused)
        return Minted(signed.token, signed.jti, signed.expires, wanted, ceiling)


async def _own_answer(gate: Gate, passage: Passage, permit: Permit) -> Answer:
    """What the gateway says itself: the state of a message that waits for approval, or its card of an agent."""
    if approval_tasks.is_about(permit.hop.call):
        return await approval_tasks.answer(gate, passage, permit.hop)
    return await cards.answer(gate, passage, permit)


def _signed(gate: Gate, passage: Passage, hop: Hop, claims: Mapping[str, Any]) -> Signed:
    limits = passage.limits
    # An agent's own calls name the token that it got: one for two of them would leave open which it works on.
    continues = hop.route.audience in passage.snapshot.registry.by_audience
    kept, margin = 0 if continues else limits.minted_kept, limits.minted_margin_seconds
    epoch = gate.revoked.view.epoch
    return gate.mint_cache.signed(passage.edition.signer, claims, most=kept, margin_seconds=margin, epoch=epoch)


def _needs_token(passage: Passage, hop: Hop) -> bool:
    """Whether the upstream is asked in the chain's name: not for what the gateway answers itself, but a peer gateway
    tells nothing to strangers."""
    if approval_tasks.is_about(hop.call):
        return False
    across = crossing.gateway_of(passage, hop.route) is not None
    return across or not adapter_of(hop.route.protocol).answered_here(hop.call)


def _hop(passage: Passage, route: Route, call: Call, chain: Chain) -> Hop:
    return Hop(
        id=passage.id,
        route=route,
        peer=passage.exchange.peer,
        agent=None if passage.agent is None else passage.agent.name,
        user=None if passage.presented is None else passage.presented.user,
        call=call,
        chain=chain,
        now=passage.at,
    )
