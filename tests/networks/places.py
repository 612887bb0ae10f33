"""Real gateways without sockets: every part of the data path as ``app`` puts it together, with its state in memory.

Between gateways and towards agents there is a ``Network`` instead of TLS connections: it is what ``proxy.upstream`` is.
"""

import itertools
import json
import ssl
from collections.abc import Callable, Mapping
from functools import cache
from io import StringIO
from typing import Any, cast

import msgspec

from gateway.core.approval import Terms as ApprovalTerms
from gateway.core.approval_port import Approvals
from gateway.core.audit import Record
from gateway.core.federation import PeerGateway
from gateway.core.limits import Limits
from gateway.core.model import Peer, Route, SpiffeId
from gateway.core.policy.bundle import Bundle, PolicySource, compile_bundle
from gateway.core.registry import Agent, Person, Registry, Server, Tool, Upstream
from gateway.core.snapshot import Snapshot
from gateway.identity.assertions import AssertionVerifier, TrustedPeer
from gateway.identity.issuers import Discovery, Issuer
from gateway.identity.keysets import KeySet
from gateway.identity.material import Material
from gateway.identity.mint_cache import MintCache
from gateway.identity.rotation import ClientIdentity
from gateway.identity.seal import AeadSealer, digest_key
from gateway.identity.signer import Signer
from gateway.identity.signing_key import generate
from gateway.identity.tokens import OwnIssuer, TokenVerifier, TrustedIssuer
from gateway.proxy.callers import Mesh
from gateway.proxy.edition import Edition
from gateway.proxy.gate import Gate
from gateway.proxy.locate import Allowed
from gateway.proxy.pipeline import Pipeline
from gateway.proxy.revoked import Revoked
from gateway.proxy.third_party import Terms, ThirdParties
from gateway.proxy.upstream import Upstreams
from gateway.proxy.webhook_client import Webhooks
from gateway.proxy.wellknown import Documents
from gateway.publish import cedar_schema
from gateway.telemetry.logs import RefusalLog, new_logger
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.traces import Tracing, new_provider
from tests.identity import pki
from tests.networks import stores
from tests.networks.plan import Peering, Place, Plan, Registered

PERMIT = PolicySource("baseline/all.cedar", '@id("all") permit (principal, action, resource);')
ACCESS_SECONDS, EXCHANGE_SECONDS = 120, 300
MESH = "mesh"


def gateway_id(domain: str) -> SpiffeId:
    return SpiffeId(f"spiffe://{domain}/gateway")


def agent_id(domain: str, name: str) -> SpiffeId:
    return SpiffeId(f"spiffe://{domain}/agent/{name}")


def base_of(domain: str) -> str:
    return f"https://gw.{domain}"


def idp_of(domain: str) -> str:
    return f"corp-{domain[0]}"


def issuer_of(domain: str) -> str:
    return f"https://idp.{domain}"


@cache
def _certificates(domain: str) -> tuple[Material, ...]:
    authority = pki.root(domain)
    uris = [str(gateway_id(domain))]
    pairs = [authority.issue("gateway", pki.Shape(uris=uris)).pair for _ in range(2)]
    return tuple(Material(pair, {domain: (authority.certificate,)}) for pair in pairs)


@cache
def _telemetry() -> tuple[Tracing, Metrics]:
    provider = new_provider(version="0", instance="networks", sample_ratio=0.0)
    return Tracing(provider), Metrics("0")


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


class Running:
    """One gateway of a network, and the hands that its operators have on it."""

    def __init__(self, plan: Plan, place: Place, world: "Surroundings") -> None:
        self.plan, self.place, self.domain = plan, place, place.domain
        self.world = world
        self.base = base_of(self.domain)
        self.suspended: set[str] = set()
        self.forgotten: set[str] = set()
        """Peers that are no longer configured."""
        self._known: dict[frozenset[str], tuple[Registry, Bundle]] = {}
        self.signer = Signer(generate(place.algorithm))
        self.idp = Signer(generate("ES256"))
        """Of the issuer of this domain's users."""
        self._certificate = 0
        self._clients = [ClientIdentity(each, lambda reason, detail: None) for each in _certificates(self.domain)]
        self.limits = Limits(
            max_depth=place.max_depth,
            root_ttl_seconds=place.root_ttl,
            access_ttl_seconds=ACCESS_SECONDS,
            exchange_ttl_seconds=EXCHANGE_SECONDS,
            minted_kept=place.mint_kept,
        )
        self.log = StringIO()
        """Errors only."""
        self.revocations = stores.MemoryRevocations()
        self.revoked = Revoked(self.revocations, world.clock)
        self.audit = stores.MemoryAudit()
        self.routes = self._routes()
        self._issuers = (TrustedIssuer(self.issuer, KeySet(self.issuer, self._idp_keys, self._no_keys)),)
        self.edition = self._edition()
        self.pipeline = Pipeline(self._gate())

    @property
    def client(self) -> ClientIdentity:
        """Who it is towards others at present."""
        return self._clients[self._certificate]

    @property
    def peer(self) -> Peer:
        """Who it is by the connections that it opens."""
        return Peer(gateway_id(self.domain), self.domain, self.client.x5t, int(self.world.clock()) + 3600)

    @property
    def records(self) -> list[Record]:
        return self.audit.records

    def rotate_certificate(self) -> None:
        self._certificate = 1 - self._certificate

    def rotate_keys(self) -> None:
        """New tokens by a new key; the old one's still verify."""
        self.signer = self.signer.succeeded_by(Signer(generate(self.place.algorithm)))
        self.edition = self._edition()

    def reconfigure(self) -> None:
        """Another generation, after the registry or the peers changed."""
        self.edition = self._edition()

    @property
    def issuer(self) -> Issuer:
        return Issuer(
            name=idp_of(self.domain),
            issuer=issuer_of(self.domain),
            source=Discovery(),
            algorithms=("ES256",),
            leeway_seconds=0,
            scope_map={scope: (scope,) for scope in self.plan.scopes},
            shared_by=self.place.shared_by,
        )

    async def _idp_keys(self) -> bytes:
        return json.dumps(self.idp.jwks()).encode()

    @staticmethod
    def _no_keys(name: str, cause: str) -> None:
        raise AssertionError(f"{name}: {cause}")

    def _edition(self) -> Edition:
        registry, bundle = self._compiled()
        peers = {gateway_id(name): _peer(name, each) for name, each in self.place.peers.items()}
        peers = {name: each for name, each in peers.items() if each.name not in self.forgotten}
        snapshot = Snapshot(
            generation=self.world.number(),
            digest="0" * 64,
            bundle=bundle,
            registry=registry,
            routes={route.path: route for route in self.routes},
            limits=self.limits,
            first_use_pins=True,
            scope_sources={},
            trust_domain=self.domain,
            peers=peers,
        )
        foreign = {name: issuer for each in peers.values() for name, issuer in each.users.items()}
        allowed = Allowed(frozenset({f"gw.{self.domain}"}), frozenset())
        return Edition(
            snapshot=snapshot,
            tokens=TokenVerifier(
                self._issuers, OwnIssuer(self.base, self.signer.verification_keys, leeway_seconds=0), foreign=foreign
            ),
            assertions=AssertionVerifier({each.issuer: self._trusted(each) for each in peers.values()}, self.base),
            signer=self.signer,
            documents=Documents(self.signer.jwks(), {}, (), {}, {}),
            allowed={"data": allowed, "public": allowed},
            issuer=self.base,
            bases={"data": self.base, "public": self.base},
            webhooks=Webhooks(_tls(), (), self.limits),
            third_parties=Terms({}, {}, 60),
            # No policy of these networks asks people.
            approvals=cast(ApprovalTerms, None),
        )

    def _compiled(self) -> tuple[Registry, Bundle]:
        """The registry as it stands, and its bundle; compiled once for each way in which it ever stands."""
        standing = frozenset(self.suspended)
        if standing not in self._known:
            registry = self._registry()
            bundle = compile_bundle([PERMIT], _schema(), registry)
            assert isinstance(bundle, Bundle), bundle
            self._known[standing] = (registry, bundle)
        return self._known[standing]

    def _trusted(self, peer: PeerGateway) -> TrustedPeer:
        source = Issuer(name="peer", issuer=peer.issuer, source=Discovery(), algorithms=("ES256", "EdDSA"))

        async def load() -> bytes:
            return json.dumps(self.world.gateway(peer.trust_domain).signer.jwks()).encode()

        return TrustedPeer(peer, KeySet(source, load, self._no_keys))

    def _gate(self) -> Gate:
        tracing, metrics = _telemetry()
        log = new_logger("error", self.log)
        secret = f"{self.domain} sealing secret of thirty-two bytes".encode()
        return Gate(
            edition=lambda: self.edition,
            client=lambda: self.client,
            sealer=AeadSealer(secret),
            audit=self.audit,
            bindings=stores.MemoryBindings(),
            handles=stores.MemoryHandles(),
            single_use=stores.MemorySingleUse(),
            tasks=stores.MemoryTaskOwners(),
            approvals=cast(Approvals, None),
            pins=stores.NoPins(),
            revoked=self.revoked,
            live_chains=stores.MemoryLiveChains(),
            mint_cache=MintCache(),
            upstreams=self.world.upstreams(self),
            # No server of these networks is a third party's.
            third_parties=cast(ThirdParties, None),
            tracing=tracing,
            metrics=metrics,
            log=log,
            refusals=RefusalLog(log, self.world.clock, per_interval=0),
            digest_key=digest_key(secret),
            clock=self.world.clock,
            new_id=lambda: f"{self.domain[0]}{self.world.number():023x}{0:08x}",
            mesh=Mesh(frozenset({agent_id(self.domain, MESH)}), lambda domain: True),
        )

    def _routes(self) -> list[Route]:
        found = [self._route("mcp", name, self.place.server_ways, self.place.server_user) for name in self._servers()]
        found.append(msgspec.structs.replace(self._route("mcp", "desk", (), "required"), clients="user-only"))
        for name, each in self.place.agents.items():
            found.append(self._route("a2a", name, each.route_ways, each.route_user))
        return found

    def _route(self, protocol: Any, name: str, ways: Any, user: Any) -> Route:
        path = f"/{protocol}/{name}"
        where = self._upstream(protocol, name)
        return Route(
            protocol=protocol,
            name=name,
            path=path,
            resource=self.base + path,
            audience=where.audience or self.base + path,
            user=user,
            continuation=frozenset(ways),
        )

    def _servers(self) -> list[str]:
        return ["ledger", *(f"ledger-{other[0]}" for other in self.place.peers)]

    def _upstream(self, protocol: str, name: str) -> Upstream:
        home = self.domain
        if protocol == "mcp" and name.startswith("ledger-"):
            home, name = next(other for other in self.place.peers if name == f"ledger-{other[0]}"), "ledger"
        elif protocol == "a2a" and not self.place.agents[name].direct:
            home = self.plan.homes[name]
        if home != self.domain:
            url = f"{base_of(home)}/{protocol}/{name}"
            return Upstream(url, gateway_id(home), url, gateway=home)
        return Upstream(f"https://127.0.0.1/{name}", SpiffeId(f"spiffe://{home}/upstream/{name}"))

    def _registry(self) -> Registry:
        agents = {name: self._agent(name, each) for name, each in self.place.agents.items()}
        owner = Person(id="corp|own", issuer=issuer_of(self.domain), subject="own", name="Owner")
        return Registry(
            people={owner.id: owner},
            agents=agents,
            servers={name: self._server(name) for name in (*self._servers(), "desk")},
            models={},
            teams=frozenset({"finance"}),
            by_spiffe_id={each.spiffe_id: name for name, each in agents.items()},
            by_audience={
                (each.upstream and each.upstream.audience) or f"{self.base}/a2a/{name}": name
                for name, each in agents.items()
            },
        )

    def _agent(self, name: str, each: Registered) -> Agent:
        return Agent(
            name=name,
            spiffe_id=agent_id(self.plan.homes[name], name),
            owner="corp|own",
            team="finance",
            purpose="test",
            risk_level="low",
            environment="production",
            scopes=tuple(sorted(each.granted)),
            ceiling=None if each.ceiling is None else tuple(sorted(each.ceiling)),
            entry_point=each.entry_point,
            clients=each.clients,
            status="suspended" if name in self.suspended else "active",
            continuation=each.ways,
            upstream=self._upstream("a2a", name),
            live_ancestry="observe",
        )

    def _server(self, name: str) -> Server:
        tools = {
            each: Tool(server=name, name=each, risk_level="low", environment="production", scopes=(f"ledger/{each}",))
            for each in ("read", "pay")
        }
        where = self._upstream("mcp", name)
        return Server(name=name, team="finance", environment="production", upstream=where, tools=tools)


class Surroundings:
    """What gateways of one network share: the clock, numbers, each other, and the wires between them."""

    clock: Callable[[], float]
    gateways: Mapping[str, Running]

    def number(self) -> int:
        raise NotImplementedError

    def upstreams(self, of: Running) -> Upstreams:
        raise NotImplementedError

    def gateway(self, domain: str) -> Running:
        return self.gateways[domain]


@cache
def _schema() -> str:
    return cedar_schema()


def _peer(domain: str, each: Peering) -> PeerGateway:
    return PeerGateway(
        name=domain,
        issuer=base_of(domain),
        spiffe_id=gateway_id(domain),
        trust_domain=domain,
        token_endpoint=f"{base_of(domain)}/oauth/token",
        trust_domains=each.domains,
        users={idp_of(other): issuer_of(other) for other in each.domains} if each.users else {},
        scopes=each.scopes,
        max_depth=each.max_depth,
    )


def counter() -> Callable[[], int]:
    """1, 2, 3, …"""
    numbers = itertools.count(1)
    return lambda: next(numbers)
