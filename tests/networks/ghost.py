"""The model beside the gateways: whose every token is, where and until when it serves, and what its chain may say.

It decides from the plan and from what was handed out, by rules written down here a second time; it imports nothing that
decides in the gateway.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tests.networks.facts import Asked, Facts, Known, WrongError, actors_of, need, signed_part, words
from tests.networks.places import ACCESS_SECONDS, EXCHANGE_SECONDS, Running, agent_id, base_of, gateway_id, idp_of
from tests.networks.plan import Plan, Registered

ASSERTION_SECONDS = 60


@dataclass
class Ghost:
    """``now`` is Unix seconds."""

    plan: Plan
    now: int
    known: dict[str, Known] = field(default_factory=dict)
    firsts: dict[tuple[str, str], tuple[str, str, int]] = field(default_factory=dict)
    """(gateway, root token) → presenter, txn and end; per presenter too, as ``digest/presenter``."""
    begun: dict[str, tuple[str, str, str, str]] = field(default_factory=dict)
    """txn → where it began, sub and entry: nobody else's chain has it."""
    crossed: dict[tuple[str, str], tuple[int, tuple[str, ...]]] = field(default_factory=dict)
    """(gateway, txn) → the end that it had as it first came in, and by whom, for whom and through whom it did."""
    spent: set[str] = field(default_factory=set)
    revoked: dict[str, dict[str, tuple[str, str, int | None]]] = field(default_factory=dict)
    """Gateway → id → kind, value and end."""

    def learn(self, token: Known) -> None:
        self.known.setdefault(signed_part(token.text), token)

    def find(self, text: str) -> Known:
        found = self.known.get(signed_part(text))
        need(found is not None, "accepted a token that was never minted")
        assert found is not None
        return found

    # -- who is who ------------------------------------------------------------------------------------------

    def registered(self, at: Running, spiffe_id: str) -> Registered:
        """What ``at`` knows of an agent that is in good standing there."""
        for name, each in at.place.agents.items():
            if agent_id(self.plan.homes[name], name) == spiffe_id:
                need(name not in at.suspended, f"{name} is suspended")
                return each
        raise WrongError(f"{spiffe_id} is not registered at {at.domain}")

    def peer_domain(self, at: Running, spiffe_id: str | None) -> str | None:
        """The domain whose gateway this is, if ``at`` has it as a peer."""
        for domain in at.place.peers:
            if domain not in at.forgotten and spiffe_id == gateway_id(domain):
                return domain
        return None

    def unrevoked(self, at: Running, asked: Asked, facts: Facts, presented: Known | None) -> None:
        agents = [*facts.actors, asked.caller or ""]
        if asked.path.startswith("/a2a/"):
            name = asked.path.split("/")[2]
            agents.append(agent_id(self.plan.homes[name], name))
        tokens: list[Any] = []
        if presented is not None:
            tokens = [presented.digest, presented.claims.get("jti"), presented.claims.get("par_hash")]
        touched = {("agent", each) for each in agents} | {("user", facts.sub), ("txn", facts.txn)}
        touched |= {("token", each) for each in tokens}
        for kind, value, end in self.revoked.get(at.domain, {}).values():
            if end is None or self.now < end:
                need((kind, value) not in touched, f"accepted although {kind} {value} is revoked")
                need(kind != "all", "accepted although everything is revoked")

    # -- what may be accepted --------------------------------------------------------------------------------

    def rightful(self, asked: Asked) -> tuple[Facts, Known | None]:
        """The chain that a call is in, with what was presented for it."""
        at = asked.at
        route = next(each for each in at.routes if each.path == asked.path)
        need(asked.caller is None or self.now < asked.not_after, "the certificate is over")
        domain = self.peer_domain(at, asked.caller)
        if domain is not None:
            token = self.find(asked.token or "")
            need(token.kind == "brought", "a gateway brings only what it redeemed")
            facts = self._brought(asked, token, domain)
        elif asked.caller is None:
            token = self.find(asked.token or "")
            need(route.clients == "user-only", "nobody on a route for agents")
            facts = self._root(asked, token)
        else:
            found = self._presented(asked, route.continuation)
            if found is None:
                need(route.user == "optional", "a route for users without one")
                return self._alone(asked), None
            token, facts = found
        for actor in facts.actors:
            self.registered(at, actor)
        need(self.now < facts.root_expires, "accepted after root_exp")
        need(len(facts.actors) <= facts.max_depth, "deeper than del_max_depth")
        self.unrevoked(at, asked, facts, token)
        return facts, token

    def _presented(self, asked: Asked, ways: Iterable[str]) -> tuple[Known, Facts] | None:
        at, caller = asked.at, asked.caller or ""
        agent = self.registered(at, caller)
        if asked.token is not None:
            token = self.find(asked.token)
            if asked.handles and "trace" in ways and "trace" in agent.ways:
                need(set(asked.handles) <= self._handles_like(token, caller), "a handle of another delegation")
            if token.kind == "root":
                return token, self._root(asked, token)
            if token.kind == "hop":
                return token, self._continued(asked, token, "header", ways)
            need(token.kind == "exchanged", f"an agent presents a token that is {token.kind}")
            return token, self._held(asked, token, ways)
        if asked.handles:
            need(len(set(asked.handles)) == 1, "two handles")
            owners = [each for each in self.known.values() if each.handle == asked.handles[0]]
            need(len(owners) == 1, "a handle that nobody was given")
            return owners[0], self._continued(asked, owners[0], "trace", ways)
        return None

    def _handles_like(self, token: Known, caller: str) -> set[str]:
        """Handles that the caller was given in the same delegation, or, of an exchanged token, one of its chain."""
        facts = token.facts
        if facts is None:
            return set()
        if token.kind == "hop":
            return {token.handle} - {None} if token.handle else set()
        return {
            each.handle
            for each in self.known.values()
            if each.handle and each.holder == caller and each.facts
            if (each.facts.txn, (*each.facts.actors, caller)) == (facts.txn, facts.actors)
        }

    def _root(self, asked: Asked, token: Known) -> Facts:
        at, caller = asked.at, asked.caller
        need(token.kind == "root" and token.domain == at.domain, "an issuer that is not trusted here")
        need(token.where == at.base + asked.path, "another audience")
        need(self.now < token.expires, "accepted after exp")
        need(not token.x5t or token.x5t == asked.x5t, "another certificate than the user token's")
        scopes = words(token.claims["scope"]) & frozenset(self.plan.scopes)
        presenter, actors = f"client:{token.client}", ()
        if caller is not None:
            agent = self.registered(at, caller)
            need(agent.entry_point and token.client in agent.clients, "not an entry point for the client")
            presenter, actors, scopes = caller, (caller,), scopes & agent.granted
        end = min(token.expires, self.now + at.limits.root_ttl_seconds)
        first = self.firsts.get((at.domain, token.digest))
        bound = None
        if first is not None and first[0] != presenter:
            names = [each for each in (first[0], presenter) if self._name(each) in at.place.shared_by]
            need(len(names) == 2, "the second presenter of a user's token")
            bound = self.firsts.get((at.domain, f"{token.digest}/{presenter}"))
        elif first is not None:
            bound = first
        txn = "" if bound is None else bound[1]
        # A call that was refused may have bound the token before: then its chain ends sooner, never later.
        end = end if bound is None else bound[2]
        sub = f"{idp_of(at.domain)}|{token.claims['sub']}"
        return Facts(sub, txn, end, at.limits.max_depth, scopes, actors)

    def _name(self, presenter: str) -> str | None:
        return next((name for name, home in self.plan.homes.items() if agent_id(home, name) == presenter), None)

    def _alone(self, asked: Asked) -> Facts:
        at, caller = asked.at, asked.caller or ""
        agent = self.registered(at, caller)
        need(agent.entry_point, "a delegate that dropped its token")
        facts = Facts(caller, "", self.now + at.limits.root_ttl_seconds, at.limits.max_depth, agent.granted, (caller,))
        self.unrevoked(at, asked, facts, None)
        return facts

    def _continued(self, asked: Asked, token: Known, way: str, ways: Iterable[str]) -> Facts:
        at, caller = asked.at, asked.caller or ""
        agent = self.registered(at, caller)
        facts = token.facts
        need(token.kind == "hop" and token.domain == at.domain and facts is not None, "no hop token of this gateway")
        assert facts is not None
        need(token.holder == caller, "a hop token in other hands")
        need(way in ways, f"the route takes no continuation by {way}")
        need(way in agent.ways, f"the agent may not continue by {way}")
        self._vouched(at, facts)
        return replace(facts, actors=(*facts.actors, caller), ceiling=facts.ceiling & agent.granted)

    def _held(self, asked: Asked, token: Known, ways: Iterable[str]) -> Facts:
        """A call with an exchanged token."""
        facts = self._owned(asked, token)
        need("exchange" in ways, "the route takes no exchanged tokens")
        need(token.where == asked.at.base + asked.path, "the token is for another route")
        need(token.x5t and token.x5t == asked.x5t, "the token is bound to another certificate")
        need(self.now < token.expires, "accepted after exp")
        return facts

    def _owned(self, asked: Asked, token: Known) -> Facts:
        at, caller, facts = asked.at, asked.caller or "", token.facts
        agent = self.registered(at, caller)
        need(token.kind == "exchanged" and token.domain == at.domain, f"a token that is {token.kind}")
        need(token.holder == caller, "an exchanged token in other hands")
        need("exchange" in agent.ways, "the agent may not continue by exchange")
        assert facts is not None
        self._vouched(at, facts)
        return replace(facts, ceiling=facts.ceiling & agent.granted)

    def _vouched(self, at: Running, facts: Facts) -> None:
        need(facts.via is None or self.peer_domain(at, facts.via) is not None, "its gateway is no peer any more")

    def _brought(self, asked: Asked, token: Known, domain: str) -> Facts:
        at, facts = asked.at, token.facts
        assert facts is not None
        need(token.domain == at.domain, "a token of another gateway")
        need((token.holder, token.x5t) == (asked.caller, asked.x5t), "redeemed by another gateway or certificate")
        need(token.where == at.base + asked.path, "redeemed for another route")
        need(self.now < token.expires, "accepted after exp")
        self._acceptable(at, domain, facts.actors)
        return facts

    def _acceptable(self, at: Running, domain: str, actors: tuple[str, ...]) -> None:
        peering = at.place.peers[domain]
        need(len(actors) <= peering.max_depth, "deeper than the peer may come in")
        for actor in actors:
            home = actor.removeprefix("spiffe://").partition("/")[0]
            need(home != at.domain and home in peering.domains, f"the peer does not vouch for {actor}")
            self.registered(at, actor)

    # -- what the token endpoint may give ----------------------------------------------------------------------

    def exchangeable(self, asked: Asked) -> tuple[Facts, Known]:
        """The chain of an exchange, cut to what it may have at its target."""
        at, form = asked.at, asked.form or {}
        token = self.find(form["subject_token"])
        route = next(each for each in at.routes if each.resource == form["resource"])
        need(self.now < asked.not_after, "the certificate is over")
        need("exchange" in route.continuation, "no tokens are issued for the route")
        if token.kind == "hop":
            facts = self._continued(asked, token, "exchange", route.continuation)
        else:
            facts = self._owned(asked, token)
            need(token.where == route.resource, "renewed for another resource")
        for actor in facts.actors:
            self.registered(at, actor)
        need(self.now < facts.root_expires, "exchanged after root_exp")
        need(len(facts.actors) <= min(facts.max_depth, at.limits.max_depth), "deeper than del_max_depth")
        self.unrevoked(at, replace(asked, path=route.path), facts, token)
        return facts, token

    def redeemable(self, asked: Asked) -> tuple[Facts, Known]:
        """The chain of an assertion, in this gateway's words."""
        at, form = asked.at, asked.form or {}
        token = self.find(form["assertion"])
        facts, domain = token.facts, self.peer_domain(at, asked.caller)
        need(domain is not None and facts is not None, "redeemed by nobody's gateway")
        assert facts is not None
        assert domain is not None
        need(token.kind == "assertion" and token.domain == at.domain, "no assertion for this gateway")
        need((token.holder, token.x5t) == (asked.caller, asked.x5t), "redeemed by another gateway or certificate")
        need(token.where == form["resource"], "redeemed for another route")
        need(self.now < min(token.expires, asked.not_after), "redeemed after exp")
        need(token.digest not in self.spent, "redeemed twice")
        self._acceptable(at, domain, facts.actors)
        need(facts.sub == facts.actors[0] or at.place.peers[domain].users, "the peer may not speak for users")
        ceiling = frozenset[str]().union(*(at.place.peers[domain].scopes.get(each, ()) for each in facts.ceiling))
        for actor in facts.actors:
            ceiling &= self.registered(at, actor).granted
        end = min(facts.root_expires, self.now + at.limits.root_ttl_seconds)
        origin = (asked.caller or "", facts.sub, facts.actors[0])
        first_end, first_origin = self.crossed.get((at.domain, facts.txn), (end, origin))
        end = min(end, first_end)
        need(first_origin == origin, "a peer hung a chain of its own into another's")
        need(self.begun.get(facts.txn, ("",))[0] != at.domain, "a peer hung a chain of its own into one of ours")
        need(self.now < end, "redeemed after root_exp")
        depth = min(facts.max_depth, at.limits.max_depth)
        need(len(facts.actors) <= depth, "deeper than the limit here")
        found = replace(facts, root_expires=end, max_depth=depth, ceiling=ceiling, via=asked.caller)
        route = next(each for each in at.routes if each.resource == form["resource"])
        self.unrevoked(at, replace(asked, path=route.path), found, None)
        self.spent.add(token.digest)
        self.crossed.setdefault((at.domain, facts.txn), (end, origin))
        return found, token

    # -- what a new token may say ------------------------------------------------------------------------------

    def begins(self, asked: Asked, facts: Facts, presented: Known | None, claims: Mapping[str, Any]) -> Facts:
        """Remember the id and the end of a chain that may have begun with this call."""
        if presented is not None and presented.kind != "root":
            return facts
        presenter = asked.caller or (f"client:{presented.client}" if presented else "")
        txn, end = claims["txn"], claims["root_exp"]
        origin = (asked.at.domain, facts.sub, presented.digest if presented else txn, presenter)
        if facts.txn:
            need((txn, end) == (facts.txn, facts.root_expires), "txn and root_exp of a root token's chain changed")
        else:
            need(txn not in self.begun, "two chains with one txn")
            need(self.now < end <= facts.root_expires, "root_exp past the root token or the root TTL")
        self.begun.setdefault(txn, origin)
        need(self.begun[txn] == origin, "a chain's txn is another's")
        if presented is not None:
            bound = (presenter, txn, end)
            self.firsts.setdefault((asked.at.domain, presented.digest), bound)
            self.firsts.setdefault((asked.at.domain, f"{presented.digest}/{presenter}"), bound)
        return replace(facts, txn=txn, root_expires=end)

    def minted(self, asked: Asked, facts: Facts, presented: Known | None, token: Known) -> Known:
        """Check every claim of a token that was just handed out, and know it from now on."""
        claims, at = token.claims, asked.at
        facts = self.begins(asked, facts, presented, claims)
        found = Facts(
            claims["sub"],
            claims["txn"],
            claims["root_exp"],
            claims["del_max_depth"],
            words(claims["del_scope"]),
            actors_of(claims.get("act")),
            claims.get("via"),
        )
        need(found.sub == facts.sub, "sub changed")
        need(found.txn == facts.txn, "txn changed")
        need(found.root_expires == facts.root_expires, "root_exp changed")
        need(found.actors == facts.actors, "the actors are not the chain's")
        need(claims["del_depth"] == len(found.actors), "depth is not the number of actors")
        need(found.max_depth <= facts.max_depth, "del_max_depth rose")
        need(found.max_depth <= at.limits.max_depth, "del_max_depth over the limit")
        need(found.ceiling <= facts.ceiling, "del_scope widened")
        need(words(claims.get("scope", "")) <= facts.ceiling, "scope widened")
        need(token.kind == "assertion" or found.via == facts.via, "via changed")
        need(claims["client_id"] == (found.actors[-1] if found.actors else presented and presented.client), "client_id")
        need(claims["exp"] <= found.root_expires, "exp after root_exp")
        need(claims["iat"] <= self.now < claims["exp"], "not valid when it was handed out")
        most = {"assertion": ASSERTION_SECONDS, "hop": ACCESS_SECONDS}.get(token.kind, EXCHANGE_SECONDS)
        need(claims["exp"] <= self.now + most, "it lives too long")
        need(claims["cnf"] == {"x5t#S256": token.x5t}, "bound to another certificate")
        digest = None if presented is None else presented.digest
        need(token.kind == "assertion" or claims.get("par_hash") == digest, "par_hash is not what was presented")
        need(claims["iss"] == at.base, "iss")
        where = base_of(token.domain) if token.kind == "assertion" else token.where
        need(claims["aud"] == where, "aud")
        if token.kind in ("exchanged", "brought"):
            need(words(claims["scope"]) == found.ceiling, "scope is not del_scope")
            need(asked.wanted is None or found.ceiling == asked.wanted, "other scopes than were requested")
        if token.kind == "hop":
            need(words(claims["scope"]) == asked.needs, "scope is not what the call needs")
        for kind, value, end in self.revoked.get(at.domain, {}).values():
            if kind == "token" and (end is None or self.now < end):
                need(value not in (claims["jti"], token.digest), "a revoked token was handed out")
        token = replace(token, facts=found)
        self.learn(token)
        return token
