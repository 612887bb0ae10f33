"""One network as it runs: requests go in through the real pipeline, and the model judges all that comes of them."""

import asyncio
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

from gateway.core.errors import UpstreamError
from gateway.core.limits import Limits
from gateway.core.model import Grant, Peer, SpiffeId
from gateway.core.reasons import Reason
from gateway.core.registry import Upstream
from gateway.core.revocation import AgentTarget, AllTarget, Revocation, Target, TokenTarget, TxnTarget, UserTarget
from gateway.identity.assertions import GRANT_TYPE as REDEEM
from gateway.identity.rotation import ClientIdentity
from gateway.protocols import tracestate
from gateway.protocols.base import Outgoing
from gateway.proxy.exchange import Answer, Exchange, Listener
from gateway.proxy.oauth.exchange_grant import ACCESS_TOKEN
from gateway.proxy.oauth.exchange_grant import GRANT_TYPE as EXCHANGE
from gateway.proxy.upstream import Kind, UpstreamAnswer, Upstreams
from tests.networks.facts import Asked, Facts, Known, WrongError, claims_of, need, words
from tests.networks.ghost import Ghost
from tests.networks.places import MESH, Running, Surroundings, agent_id, base_of, counter, gateway_id
from tests.networks.plan import Plan

BEGAN = 1_800_000_000
HELLO = {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "hi"}]}
SEND = {"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": {"message": HELLO}}
META = "io.modelcontextprotocol/"
REVISION = "2026-07-28"
DONE = {"jsonrpc": "2.0", "id": 7, "result": {"resultType": "complete", "content": [{"type": "text", "text": "done"}]}}
SAID = {"jsonrpc": "2.0", "id": 1, "result": {"message": {"messageId": "n", "role": "ROLE_AGENT", "parts": []}}}


class Answered(UpstreamAnswer):
    """A whole JSON answer."""

    def __init__(self, status: int, body: bytes) -> None:
        self.status, self._body = status, body

    @property
    def headers(self) -> Mapping[str, str]:
        return {}

    @property
    def kind(self) -> Kind:
        return "json"

    async def body(self) -> bytes:
        return self._body

    def close(self) -> None:
        pass


@dataclass
class Frame:
    """A request under way: what its gateway has done for it so far."""

    asked: Asked
    forwarded: list[Known] = field(default_factory=list)


class Network(Upstreams):
    """The connections that one gateway opens."""

    def __init__(self, world: "World", of: Running) -> None:
        super().__init__()
        self._world, self._of = world, of

    async def send(
        self, grant: Grant, upstream: Upstream, outgoing: Outgoing, client: ClientIdentity, limits: Limits
    ) -> UpstreamAnswer:
        assert grant.minted is not None
        world, text = self._world, grant.minted.token
        if upstream.gateway is not None:
            body, path = outgoing.body, upstream.url.removeprefix(base_of(upstream.gateway))
            asked = Asked(
                world.gateways[upstream.gateway], gateway_id(self._of.domain), client.x5t, path, text, needs=self._needs
            )
            headers = {name.lower(): value for name, value in outgoing.headers}
            answer = await world.carry(asked, body, headers)
            assert isinstance(answer.body, bytes)
            return Answered(answer.status, answer.body)
        route = grant.hop.route
        holder = f"server {route.name}"
        if route.protocol == "a2a":
            holder = agent_id(world.plan.homes[route.name], route.name)
        trace = next((value for name, value in outgoing.headers if name.lower() == "tracestate"), "")
        handle = next(iter(tracestate.handles([trace])), None)
        claims = claims_of(text)
        token = Known(
            "hop", text, self._of.domain, holder, route.audience, claims["exp"], claims, x5t=client.x5t, handle=handle
        )
        world.forwarded(token)
        return Answered(200, json.dumps(SAID if route.protocol == "a2a" else DONE).encode())

    async def redeem(
        self, grant: Grant, endpoint: Upstream, outgoing: Outgoing, client: ClientIdentity, limits: Limits
    ) -> UpstreamAnswer:
        assert grant.minted is not None
        world, domain, text = self._world, self._of.domain, grant.minted.token
        there = next(each for each in world.gateways.values() if endpoint.url.startswith(each.base + "/"))
        claims = claims_of(text)
        token = Known(
            "assertion", text, there.domain, gateway_id(domain), claims["resource"], claims["exp"], claims,
            x5t=client.x5t,
        )  # fmt: skip
        world.forwarded(token)
        if world.lossy:
            raise UpstreamError(Reason.UPSTREAM_RESET, "lost")
        form = dict(parse_qsl(outgoing.body.decode()))
        asked = Asked(there, gateway_id(domain), client.x5t, "/oauth/token", form=form)
        answer = await world.carry(asked, outgoing.body)
        assert isinstance(answer.body, bytes)
        return Answered(answer.status, answer.body)

    @property
    def _needs(self) -> frozenset[str]:
        return self._world.frames[-1].asked.needs


class World(Surroundings):
    """A network that runs, its clock, its model, and how often what happened in it."""

    def __init__(self, plan: Plan, counts: Counter[str]) -> None:
        self.plan, self.counts = plan, counts
        self.number = counter()  # type: ignore[method-assign]
        self.ghost = Ghost(plan, BEGAN)
        self.clock = lambda: float(self.ghost.now)
        self.frames: list[Frame] = []
        self.lossy = False
        self.certificates = dict.fromkeys(plan.homes, 0)
        self.revocations: list[tuple[str, str]] = []
        self.wrong: WrongError | None = None
        self.gateways: dict[str, Running] = {}
        for place in plan.places:
            self.gateways[place.domain] = Running(plan, place, self)
        self._loop = asyncio.new_event_loop()

    def close(self) -> None:
        self._loop.close()

    def upstreams(self, of: Running) -> Upstreams:
        return Network(self, of)

    def tokens(self, *kinds: str) -> list[Known]:
        """Tokens of these kinds, the newest last."""
        return [each for each in self.ghost.known.values() if each.kind in kinds]

    # -- requests ----------------------------------------------------------------------------------------------

    def ask(self, asked: Asked, tool: str = "read", *, mesh: bool = False) -> bool:
        """Send one request; whether the gateway did anything for it."""
        headers: dict[str, str] = {}
        if asked.form is not None:
            body = urlencode(asked.form).encode()
        elif asked.path.startswith("/a2a/"):
            body = json.dumps(SEND).encode()
            headers |= {"content-type": "application/json", "a2a-version": "1.0"}
            asked = replace(asked, needs=needs(asked.path))
        else:
            body = json.dumps(_call(tool)).encode()
            headers |= {"content-type": "application/json", "accept": "application/json, text/event-stream"}
            headers |= {"mcp-protocol-version": REVISION, "mcp-method": "tools/call", "mcp-name": tool}
            asked = replace(asked, needs=needs(asked.path, tool))
        if asked.wanted is not None and asked.form is None:
            headers["hopgate-del-scope"] = " ".join(sorted(asked.wanted))
            asked = replace(asked, wanted=None)
        before = self.counts["accepted"]
        self._loop.run_until_complete(self.carry(asked, body, headers, mesh=mesh))
        return self.counts["accepted"] > before

    async def carry(
        self, asked: Asked, body: bytes, headers: Mapping[str, str] | None = None, *, mesh: bool = False
    ) -> Answer:
        """One request through the pipeline of its gateway, judged."""
        at = asked.at
        frame = Frame(asked)
        self.frames.append(frame)
        try:
            answer = await at.pipeline.handle(self._exchange(asked, body, headers or {}, mesh=mesh))
            answer.done()
        finally:
            self.frames.pop()
        if self.wrong is not None:
            raise self.wrong
        assert isinstance(answer.body, bytes)
        if asked.form is not None and answer.status == 200:
            self._issued(frame, json.loads(answer.body))
        accepted = bool(frame.forwarded)
        self.counts["accepted" if accepted else "refused"] += 1
        self.counts[f"{'accepted' if accepted else 'refused'} {self._kind(asked)}"] += 1
        if not accepted:
            reason = self._reason(answer)
            need(reason != "internal_error", f"an internal error: {at.log.getvalue()}")
            self.counts[f"reason {reason}"] += 1
            if asked.honest:
                self.counts[f"honest {self._kind(asked)} {reason}"] += 1
        return answer

    def forwarded(self, token: Known) -> None:
        """The gateway of the request under way has handed ``token`` out for it."""
        try:
            self._judge(token)
        except WrongError as wrong:
            # The pipeline makes a refusal of whatever fails below it.
            self.wrong = wrong
            raise

    def _judge(self, token: Known) -> None:
        frame = self.frames[-1]
        facts, presented = self.ghost.rightful(frame.asked)
        if token.kind == "hop":
            self._check_delegate(frame.asked, facts, token)
        frame.forwarded.append(self.ghost.minted(frame.asked, facts, presented, token))
        if presented is None or presented.kind == "root":
            self.counts["chains begun"] += 1

    def _check_delegate(self, asked: Asked, facts: Facts, token: Known) -> None:
        ceiling = words(token.claims["del_scope"])
        if token.holder.startswith("server"):
            need(not ceiling, "a server got something to go on with")
            return
        delegate = asked.at.place.agents[asked.path.split("/")[2]]
        need(ceiling <= delegate.granted, "del_scope over the delegate's grants")
        need(delegate.ceiling is None or ceiling <= delegate.ceiling, "del_scope over the delegate's ceiling")

    def _issued(self, frame: Frame, document: Mapping[str, Any]) -> None:
        asked, text = frame.asked, document["access_token"]
        form, claims = asked.form or {}, claims_of(text)
        redeems = form["grant_type"] == REDEEM
        facts, presented = self.ghost.redeemable(asked) if redeems else self.ghost.exchangeable(asked)
        kind = "brought" if redeems else "exchanged"
        need(asked.caller is not None, "a token for nobody")
        token = Known(
            kind, text, asked.at.domain, asked.caller or "", form["resource"], claims["exp"], claims, x5t=asked.x5t
        )
        frame.forwarded.append(self.ghost.minted(asked, facts, presented, token))
        need(words(document["scope"]) == words(claims["scope"]), "the answer's scope is not the token's")
        need(document["expires_in"] == claims["exp"] - self.ghost.now, "expires_in")

    def _exchange(self, asked: Asked, body: bytes, headers: Mapping[str, str], *, mesh: bool) -> Exchange:
        found = [("host", f"gw.{asked.at.domain}")]
        found += [(name, value) for name, value in headers.items() if name != "tracestate"]
        if asked.form is not None:
            found.append(("content-type", "application/x-www-form-urlencoded"))
        if asked.token is not None:
            found.append(("authorization", f"Bearer {asked.token}"))
        if asked.handles:
            found.append(("tracestate", ",".join(f"hopgate={each}" for each in asked.handles)))
        listener: Listener = "data" if asked.caller is not None else "public"
        peer = None
        if asked.caller is not None:
            domain = asked.caller.removeprefix("spiffe://").partition("/")[0]
            peer = Peer(SpiffeId(asked.caller), domain, asked.x5t, asked.not_after)
            if mesh:
                found.append(("x-forwarded-client-cert", f"Hash=00;URI={asked.caller}"))
                peer = Peer(agent_id(asked.at.domain, MESH), asked.at.domain, "mesh", asked.not_after)

        async def read_body(most: int, seconds: float) -> bytes:
            return body

        return Exchange(listener, "POST", asked.path, found, peer, lambda: True, read_body)

    @staticmethod
    def _kind(asked: Asked) -> str:
        if asked.form is not None:
            return "exchange" if asked.form["grant_type"] == EXCHANGE else "redeem"
        return "call"

    @staticmethod
    def _reason(answer: Answer) -> str:
        assert isinstance(answer.body, bytes)
        try:
            document = json.loads(answer.body)
        except ValueError:
            return str(answer.status)
        error = document.get("error")
        if isinstance(error, dict):
            data = error.get("data")
            if isinstance(data, dict):
                return str(data.get("reason", error.get("message")))
            if isinstance(data, list) and data:
                return str(data[0].get("reason", "")).lower()
            return str(error.get("message"))
        return str(document.get("reason", error))

    # -- things that happen --------------------------------------------------------------------------------------

    def x5t(self, name: str) -> str:
        return f"{name}-{self.certificates[name]}"

    def revoke(self, domain: str, kind: str, value: str, seconds: int | None) -> None:
        targets: Mapping[str, Target] = {
            "agent": AgentTarget(value or "x"),
            "txn": TxnTarget(value or "x"),
            "token": TokenTarget(value or "x"),
            "all": AllTarget(),
        }
        target = UserTarget(value) if kind == "user" else targets[kind]
        name = f"r{self.number()}"
        end = None if seconds is None else self.ghost.now + seconds
        made = Revocation(id=name, target=target, reason="test", by="test", at=self.ghost.now * 1000, expires=end)
        at = self.gateways[domain]
        self._loop.run_until_complete(at.revocations.append(made))
        self._loop.run_until_complete(at.revoked.refresh())
        self.ghost.revoked.setdefault(domain, {})[name] = (kind, value, end)
        self.revocations.append((domain, name))

    def lift(self, which: int) -> None:
        domain, name = self.revocations.pop(which % len(self.revocations))
        at = self.gateways[domain]
        self._loop.run_until_complete(at.revocations.lift(name, "test", "test", self.ghost.now * 1000))
        self._loop.run_until_complete(at.revoked.refresh())
        del self.ghost.revoked[domain][name]

    def user_token(self, at: Running, path: str, sub: str, client: str, scopes: frozenset[str], life: int) -> Known:
        """A token of the domain's own issuer for one route."""
        now = self.ghost.now
        claims = {
            "iss": at.issuer.issuer,
            "aud": at.base + path,
            "sub": sub,
            "azp": client,
            "scope": " ".join(sorted(scopes)),
            "iat": now,
            "exp": now + life,
            "jti": f"u{self.number()}",
        }
        text = at.idp.sign(claims)
        token = Known("root", text, at.domain, "", at.base + path, now + life, claims, client=client)
        self.ghost.learn(token)
        return token


def needs(path: str, tool: str = "read") -> frozenset[str]:
    """The scopes that a call at a route needs."""
    return frozenset({f"{path.split('/')[2]}/delegate" if path.startswith("/a2a/") else f"ledger/{tool}"})


def _call(tool: str) -> dict[str, Any]:
    meta = {f"{META}protocolVersion": REVISION, f"{META}clientCapabilities": {}}
    params = {"name": tool, "arguments": {}, "_meta": meta}
    return {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params}


def exchange_form(token: str, resource: str, scopes: frozenset[str] | None) -> dict[str, str]:
    form = {
        "grant_type": EXCHANGE,
        "subject_token": token,
        "subject_token_type": ACCESS_TOKEN,
        "resource": resource,
    }
    return form if scopes is None else {**form, "scope": " ".join(sorted(scopes))}


def redeem_form(token: str, resource: str) -> dict[str, str]:
    return {"grant_type": REDEEM, "assertion": token, "resource": resource}
