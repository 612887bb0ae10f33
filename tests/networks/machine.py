"""What may happen in a random network: what agents and users do, what changes over time, and what thieves try.

Every token that was ever handed out is at everybody's hand. What comes of it is for ``world`` and ``ghost`` to judge.
"""

from collections import Counter
from dataclasses import replace
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from gateway.identity.assertions import ASSERTION_TYPE
from tests.networks.facts import Asked, Facts, Known, actors_of, claims_of, signed_part, words
from tests.networks.forging import EDITS, LIES, MANNERS, forged, lie
from tests.networks.places import Running, agent_id, gateway_id
from tests.networks.plan import CLIENTS, USERS, Plan, plans
from tests.networks.world import World, exchange_form, needs, redeem_form

LEG = st.tuples(st.integers(0, 63), st.sampled_from(("header", "trace", "exchange")))
"""A route, and the way in which the chain is continued there."""
FEW = st.integers(0, 7)
"""Counts from the newest."""
ANY = st.integers(0, 63)
TOOL = st.sampled_from(("read", "pay"))
REVOKED = ("token", "lift", "digest", "lift", "txn", "user", "lift", "agent", "all")
CHANGING = ("well", "agent's certificate", "gateway's certificate", "keys", "suspended", "forgotten", "lossy", "well")
SECONDS = st.sampled_from((1, 10, 1, 10, 59, 60, 61, 119, 120, 121, 1, 299, 300, 301, 600, 899))
CHANGED = st.sampled_from(("who", "who", "where", "gateway", "way", "certificate", "mesh", "handle"))
CHANGES = CHANGED.map(lambda one: frozenset({one})) | st.frozensets(CHANGED, max_size=3)
WAY = st.sampled_from(("bearer", "exchange", "redeem", "handle", "nothing"))
ATTACK = st.tuples(ANY, ANY, CHANGES, ANY, FEW, ANY, WAY)


class Networks(RuleBasedStateMachine):
    """One network and its history."""

    totals: ClassVar[Counter[str]] = Counter()

    @initialize(plan=plans())
    def build(self, plan: Plan) -> None:
        self.world = World(plan, self.totals)
        self.names = list(plan.homes)
        self.domains = list(self.world.gateways)
        self.totals["examples"] += 1

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.close()

    # -- looking things up ---------------------------------------------------------------------------------------

    def gateway(self, which: int) -> Running:
        return self.world.gateways[self.domains[which % len(self.domains)]]

    def route(self, at: Running, which: int) -> str:
        return at.routes[which % len(at.routes)].path

    def useful(self, at: Running, token: Known, which: int) -> str:
        """A route where the token's chain has what a call needs, if there is one."""
        ceiling = frozenset() if token.facts is None else token.facts.ceiling
        found = [each.path for each in at.routes if each.path != "/mcp/desk" and needs(each.path) <= ceiling]
        return found[which % len(found)] if found and which < 56 else self.route(at, which)

    def newest(self, which: int, *kinds: str) -> Known | None:
        found = self.world.tokens(*kinds)
        return found[-1 - which % len(found)] if found else None

    def _about(self, kind: str) -> list[Known]:
        """Tokens of this kind that somebody can go on with."""
        return [each for each in self.world.tokens(kind) if not each.holder.startswith("server")]

    def agent(self, name: str) -> str:
        return agent_id(self.world.plan.homes[name], name)

    def at_hand(self, spiffe_id: str) -> str:
        """The certificate that a workload shows at present."""
        name = spiffe_id.rpartition("/")[2]
        if name == "gateway":
            return self.world.gateways[spiffe_id.removeprefix("spiffe://").partition("/")[0]].client.x5t
        return self.world.x5t(name)

    def ask(self, asked: Asked, tool: str = "read", *, mesh: bool = False) -> bool:
        self.totals["steps"] += 1
        return self.world.ask(asked, tool, mesh=mesh)

    def rightful(self, token: Known, which: int = 0) -> Asked:
        """How its holder would use a token."""
        at = self.world.gateways[token.domain]
        path = token.where.removeprefix(at.base) if token.kind != "hop" else self.useful(at, token, which)
        if token.kind == "assertion":
            form = redeem_form(token.text, token.where)
            return Asked(at, token.holder, token.x5t, "/oauth/token", form=form)
        if token.kind == "brought":
            return Asked(at, token.holder, token.x5t, path, token.text)
        if token.kind == "root":
            first = self.world.ghost.firsts.get((token.domain, token.digest))
            entry = first[0] if first is not None else self.agent(self.names[which % len(self.names)])
            if entry.startswith("client:"):
                return Asked(at, None, "", path, token.text)
            return Asked(at, entry, self.at_hand(entry), path, token.text)
        if token.holder.startswith("server"):
            holder = self.agent(self.names[which % len(self.names)])
            return Asked(at, holder, self.at_hand(holder), path, token.text)
        return Asked(at, token.holder, token.x5t if token.kind == "exchanged" else self.at_hand(token.holder), path,
                     token.text)  # fmt: skip

    # -- what honest parties do ----------------------------------------------------------------------------------

    @rule(gw=FEW, route=ANY, who=ANY, user=st.sampled_from(USERS), client=st.sampled_from(CLIENTS), tool=TOOL,
          life=st.sampled_from((30, 300, 600, 3600)), scopes=st.none() | st.frozensets(ANY, max_size=4))  # fmt: skip
    def begin(
        self, gw: int, route: int, who: int, user: str, client: str, tool: str, life: int, scopes: frozenset[int] | None
    ) -> None:
        """A user's client hands an entry agent a token, and it calls."""
        at = self.gateway(gw)
        path, every = self.route(at, route), self.world.plan.scopes
        granted = frozenset(every) if scopes is None else frozenset(every[each % len(every)] for each in scopes)
        token = self.world.user_token(at, path, user, client, granted, life)
        entries = [name for name, each in at.place.agents.items() if each.entry_point and client in each.clients]
        entry = self.agent((entries or self.names)[who % len(entries or self.names)])
        asked = Asked(at, entry, self.at_hand(entry), path, token.text, honest=True)
        self.ask(replace(asked, caller=None, x5t="") if path == "/mcp/desk" else asked, tool)

    @rule(gw=FEW, who=ANY, user=st.sampled_from(USERS), tool=TOOL, legs=st.lists(LEG, min_size=1, max_size=6))
    def journey(self, gw: int, who: int, user: str, tool: str, legs: list[tuple[int, str]]) -> None:
        """A chain as it is meant to be: from agent to agent, in any mix of ways, as far as it goes, to a server."""
        at, every = self.gateway(gw), frozenset(self.world.plan.scopes)
        entries = [name for name, each in at.place.agents.items() if each.entry_point]
        if not entries:
            return
        entry, known = self.agent(entries[who % len(entries)]), len(self.world.ghost.known)
        path = self.called(at, legs[0][0])
        token = self.world.user_token(at, path, user, "cli", every, 3600)
        going = self.ask(Asked(at, entry, self.at_hand(entry), path, token.text, honest=True), tool)
        for route, way in legs[1:]:
            held = self.newest(0, "hop")
            if not going or held is None or held.holder.startswith("server"):
                return
            at = self.world.gateways[held.domain]
            going = self._leg(held, self.useful(at, held, route), way, tool)
        self.totals["whole journeys"] += going and len(self.world.ghost.known) > known

    def called(self, at: Running, which: int) -> str:
        """A route, of an agent rather than a server."""
        agents = [each.path for each in at.routes if each.protocol == "a2a"]
        return agents[which % len(agents)] if which % 4 else self.route(at, which // 4)

    def _leg(self, held: Known, path: str, way: str, tool: str) -> bool:
        at, x5t = self.world.gateways[held.domain], self.at_hand(held.holder)
        asked = Asked(at, held.holder, x5t, path, held.text, honest=True)
        if way == "trace" and held.handle is not None:
            asked = replace(asked, token=None, handles=(held.handle,))
        if way == "exchange":
            form = exchange_form(held.text, at.base + path, None)
            if not self.ask(replace(asked, path="/oauth/token", token=None, form=form), tool):
                return False
            issued = self.newest(0, "exchanged")
            asked = replace(asked, token=None if issued is None else issued.text)
        return self.ask(asked, tool)

    @rule(gw=FEW, route=ANY, who=ANY, tool=TOOL)
    def begin_alone(self, gw: int, route: int, who: int, tool: str) -> None:
        at = self.gateway(gw)
        entry = self.agent(self.names[who % len(self.names)])
        self.ask(Asked(at, entry, self.at_hand(entry), self.route(at, route), honest=True), tool)

    @rule(which=FEW, who=ANY, tool=TOOL)
    def present_again(self, which: int, who: int, tool: str) -> None:
        """A user's token once more: by who was first, or by another, who may share it."""
        token = self.newest(which, "root")
        if token is not None:
            asked = self.rightful(token)
            other = self.agent(self.names[who % len(self.names)])
            self.ask(asked if who < 24 else replace(asked, caller=other, x5t=self.at_hand(other)), tool)

    @rule(which=FEW, route=ANY, way=st.sampled_from(("header", "trace", "both")), tool=TOOL, mesh=st.booleans(),
          wanted=st.none() | st.frozensets(ANY, max_size=3))  # fmt: skip
    def go_on(self, which: int, route: int, way: str, tool: str, mesh: bool, wanted: frozenset[int] | None) -> None:
        """A delegate continues its chain by header copy, by the handle in its trace, or by both."""
        found = self._about("hop")
        if not found:
            return
        token, every = found[-1 - which % len(found)], self.world.plan.scopes
        asked = self.rightful(token, route)
        if way != "header" and token.handle is not None:
            asked = replace(asked, handles=(token.handle,), token=token.text if way == "both" else None)
        asked = replace(asked, honest=True, x5t="" if mesh else asked.x5t)
        if wanted is not None:
            asked = replace(asked, wanted=frozenset(every[each % len(every)] for each in wanted))
        self.ask(asked, tool, mesh=mesh)

    @rule(
        which=FEW,
        route=ANY,
        scopes=st.none() | st.frozensets(ANY, min_size=1, max_size=3),
        kind=st.sampled_from(("hop", "exchanged")),
    )
    def exchange(self, which: int, route: int, scopes: frozenset[int] | None, kind: str) -> None:
        """Continue, narrow or renew at the token endpoint."""
        found = self._about(kind)
        if not found:
            return
        token = found[-1 - which % len(found)]
        at, every = self.world.gateways[token.domain], self.world.plan.scopes
        resource = token.where if kind == "exchanged" else at.base + self.route(at, route)
        wanted = None if scopes is None else frozenset(every[each % len(every)] for each in scopes)
        form = exchange_form(token.text, resource, wanted)
        self.ask(
            Asked(at, token.holder, self.at_hand(token.holder), "/oauth/token", form=form, wanted=wanted, honest=True)
        )

    @rule(which=FEW, tool=TOOL)
    def use_exchanged(self, which: int, tool: str) -> None:
        token = self.newest(which, "exchanged")
        if token is not None:
            self.ask(replace(self.rightful(token), honest=True), tool)

    @rule(which=FEW, tool=TOOL)
    def bring_again(self, which: int, tool: str) -> None:
        """A peer gateway uses what it redeemed once more."""
        token = self.newest(which, "brought")
        if token is not None:
            self.ask(self.rightful(token), tool)

    @rule(which=FEW)
    def redeem_late(self, which: int) -> None:
        """A peer gateway redeems an assertion, which may have been lost on the way, or used."""
        token = self.newest(which, "assertion")
        if token is not None:
            self.ask(self.rightful(token))

    # -- what changes over time ----------------------------------------------------------------------------------

    @rule(seconds=SECONDS)
    def pause(self, seconds: int) -> None:
        self.world.ghost.now += seconds

    @rule(what=st.sampled_from(CHANGING), gw=FEW, who=ANY)
    def change(self, what: str, gw: int, who: int) -> None:
        """Certificates and keys are rotated, agents suspended, peers forgotten, assertions lost; or all is well."""
        at, name, peers = self.gateway(gw), self.names[who % len(self.names)], sorted(self.gateway(gw).place.peers)
        match what:
            case "agent's certificate":
                self.world.certificates[name] += 1
            case "gateway's certificate":
                at.rotate_certificate()
            case "keys":
                at.rotate_keys()
            case "suspended":
                at.suspended ^= {name}
                at.reconfigure()
            case "forgotten" if peers:
                at.forgotten ^= {peers[who % len(peers)]}
                at.reconfigure()
            case "lossy":
                self.world.lossy = True
            case "well":
                self.world.lossy = False
                for each in self.world.gateways.values():
                    each.suspended, each.forgotten = set(), set()
                    each.reconfigure()

    @rule(which=FEW, what=st.sampled_from(REVOKED), who=ANY,
          seconds=st.none() | SECONDS)  # fmt: skip
    def revoke(self, which: int, what: str, who: int, seconds: int | None) -> None:
        """Revoke something of a token that is about; as often, lift what was revoked."""
        if what == "lift":
            if self.world.revocations:
                self.world.lift(who)
            return
        token = self.newest(which, "hop", "exchanged", "brought", "root")
        if token is None:
            return
        facts = token.facts
        value = {
            "token": str(token.claims["jti"]),
            "digest": token.digest,
            "txn": str(token.claims.get("txn", "none")),
            "user": facts.sub if facts is not None and "|" in facts.sub else "corp-a|maria",
            "agent": self.agent(self.names[who % len(self.names)]),
            "all": "",
        }[what]
        self.world.revoke(token.domain, "token" if what == "digest" else what, value, seconds)

    # -- what thieves do -----------------------------------------------------------------------------------------

    @rule(attacks=st.lists(ATTACK, min_size=2, max_size=6))
    def attack(self, attacks: list[tuple[int, int, frozenset[str], int, int, int, str]]) -> None:
        for each in attacks:
            self._attack(*each)

    def _attack(self, which: int, other: int, changes: frozenset[str], who: int, gw: int, route: int, way: str) -> None:
        """Any token that was ever handed out, used in a way that may differ from its holder's in up to three points."""
        every = list(self.world.ghost.known.values())
        if not every:
            return
        pools = [self._about("hop"), self._about("hop"), self._about("exchanged"), self._about("brought"), every]
        pool = pools[other % len(pools)] or every
        token = pool[-1 - which % len(pool)]
        asked = self.rightful(token, route)
        if token.kind != "assertion" and which % 3:
            way_in = "handle" if token.handle is not None and which % 3 == 1 else "exchange"
            asked = self._by(asked, token, way_in, asked.at.base + asked.path)
        if "gateway" in changes:
            asked = replace(asked, at=self.gateway(gw))
        at = asked.at
        if "where" in changes and asked.form is None:
            asked = replace(asked, path=self.route(at, route))
        if "who" in changes:
            asked = self._as(asked, token, who)
        if "certificate" in changes and asked.caller is not None:
            asked = replace(asked, x5t=self.at_hand(asked.caller))
        if "handle" in changes:
            handles = [each.handle for each in every if each.handle] or ["0" * 32]
            asked = replace(asked, handles=tuple(handles[-1 - other % len(handles) :][: 1 + other % 2]))
        if "way" in changes:
            asked = self._by(asked, token, way, at.base + self.route(at, route))
        where = {each.path for each in at.routes} | {"/oauth/token"}
        if asked.path not in where or (asked.caller is None and asked.form is not None):
            return
        mesh = "mesh" in changes and asked.form is None and asked.caller is not None
        mesh = mesh and "/agent/" in str(asked.caller)
        self.totals["attacks"] += 1
        self.totals["attacks accepted"] += self.ask(replace(asked, x5t="") if mesh else asked, mesh=mesh)

    def _as(self, asked: Asked, token: Known, who: int) -> Asked:
        """As another workload; those that the token speaks of are likelier."""
        actors = () if token.facts is None else token.facts.actors
        callers = (
            [*actors, *actors[-1:], *actors[-1:]]
            + [self.agent(name) for name in self.names]
            + [str(gateway_id(domain)) for domain in self.domains]
        )
        caller = [*callers, None][who % (len(callers) + 1)]
        return replace(asked, caller=caller, x5t="" if caller is None else self.at_hand(caller))

    def _by(self, asked: Asked, token: Known, way: str, resource: str) -> Asked:
        path = resource.removeprefix(asked.at.base) if asked.form is not None else asked.path
        if way == "exchange":
            where = token.where if token.where.startswith(asked.at.base) else resource
            return replace(
                asked, path="/oauth/token", token=None, handles=(), form=exchange_form(token.text, where, None)
            )
        if way == "redeem":
            return replace(asked, path="/oauth/token", token=None, handles=(), form=redeem_form(token.text, resource))
        if way == "handle":
            handles = () if token.handle is None else (token.handle,)
            return replace(asked, path=path, form=None, token=None, handles=handles)
        return replace(asked, path=path, form=None, token=token.text if way == "bearer" else None)

    @rule(which=ANY, other=ANY, manner=st.sampled_from(MANNERS), edit=st.sampled_from(sorted(EDITS)),
          place=st.integers(0, 4095), gw=FEW, route=ANY, exchanged=st.booleans())  # fmt: skip
    def forge(
        self, which: int, other: int, manner: str, edit: str, place: int, gw: int, route: int, exchanged: bool
    ) -> None:
        """What nobody handed out, from the hands of who could have been given it."""
        every = list(self.world.ghost.known.values())
        if not every:
            return
        token, second = every[-1 - which % len(every)], every[-1 - other % len(every)]
        asked = self.rightful(token, route)
        text = forged(token, second, manner, edit, place, asked.at, self.gateway(gw))
        if text == token.text or (manner == "spliced" and signed_part(text) == signed_part(second.text)):
            return
        if asked.form is not None:
            asked = replace(asked, form={**asked.form, "assertion": text})
        elif exchanged and token.kind in ("hop", "exchanged"):
            resource = token.where if token.kind == "exchanged" else asked.at.base + self.route(asked.at, route)
            form = exchange_form(text, resource, None)
            asked = replace(asked, path="/oauth/token", token=None, form=form)
        else:
            asked = replace(asked, token=text)
        self.totals["forgeries"] += 1
        assert not self.ask(asked), f"accepted a token that was {manner}"

    @precondition(lambda self: len(self.domains) > 1)
    @rule(which=FEW, other=ANY, edit=st.sampled_from(LIES), chain=ANY, again=st.booleans())
    def lying_peer(self, which: int, other: int, edit: str, chain: int, again: bool) -> None:
        """A peer gateway signs what it likes about a chain that it once let through, and brings it."""
        token, second = self.newest(which, "assertion"), self.newest(other, "assertion", "hop", "brought")
        if token is None or second is None:
            return
        now, there = self.world.ghost.now, self.world.gateways[token.domain]
        peer = self.world.gateways[token.holder.removeprefix("spiffe://").partition("/")[0]]
        txns = sorted({str(each.claims["txn"]) for each in self.world.tokens("hop", "brought", "assertion")})
        claims = lie(token.claims, edit, txns[chain % len(txns)], second.claims, there)
        claims |= {"iat": now, "nbf": now, "exp": now + 60, "cnf": {"x5t#S256": peer.client.x5t}}
        claims |= {"jti": f"lie-{self.world.number()}", "root_exp": max(claims["root_exp"], now + 60)}
        text = peer.signer.sign(claims, ASSERTION_TYPE)
        facts = Facts(claims["sub"], claims["txn"], claims["root_exp"], claims["del_max_depth"],
                      words(claims["del_scope"]), actors_of(claims.get("act")))  # fmt: skip
        lied = Known("assertion", text, token.domain, token.holder, token.where, claims["exp"], claims_of(text), facts,
                     x5t=peer.client.x5t)  # fmt: skip
        self.world.ghost.learn(lied)
        self.totals["lies"] += 1
        if self.ask(self.rightful(lied)) and again:
            brought = self.newest(0, "brought")
            assert brought is not None
            self.ask(self.rightful(brought))
