"""The generation in force, and how the next one replaces it: compiled off the request path, swapped by one assignment.

The last good one stays on any error. Open streams are decided again by the new one.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import msgspec

from gateway.app.administering import admin_edition
from gateway.app.approvals import approval_terms
from gateway.app.parts import (
    PartError,
    check_card_keys,
    host_names,
    issuers_of,
    peers_of,
    prepare,
    webhooks_of,
)
from gateway.app.peers import foreign_users, peer_files
from gateway.app.signing import Signing
from gateway.app.telemetry import Telemetry
from gateway.app.third_parties import terms_of
from gateway.config.problems import Problems
from gateway.config.settings import Settings
from gateway.config.watcher import MovingError, read_still
from gateway.core import delegation, federation, scope
from gateway.core.errors import HopError
from gateway.core.model import Permit
from gateway.core.policy.decide import decide, hangs_on_time
from gateway.core.policy.memory import Memory
from gateway.core.snapshot import Snapshot
from gateway.core.versions import VersionFacts
from gateway.identity.peers import Client
from gateway.identity.signer import Signer, metadata
from gateway.identity.tokens import OwnIssuer, TokenVerifier
from gateway.proxy.edition import Edition
from gateway.proxy.gate import Gate
from gateway.proxy.lease import Lease
from gateway.proxy.locate import Allowed
from gateway.proxy.oauth import endpoint
from gateway.proxy.standing import all_leases
from gateway.proxy.wellknown import Documents
from gateway.publish import Published

FIXED = (
    "listen",
    "identity",
    "store",
    "telemetry",
    "keys",
    "issuer",
    "public_url",
    "environment",
    "publishing",
    "kernel",
)
"""Settings that the running process can't take over."""
FIXED_FEDERATION = ("bundles", "own_bundle")
"""Those of ``federation``: its peers can change."""


class Editions:
    """The current edition; ``reload`` replaces it."""

    def __init__(
        self,
        path: Path,
        published: Published,
        environ: Mapping[str, str],
        telemetry: Telemetry,
        client: Client,
        signing: Signing,
    ) -> None:
        self._path = path
        self._client = client
        self._signing = signing
        self._environ = environ
        self._telemetry = telemetry
        memory = published.snapshot.bundle.memory
        published = _remembering(published, memory)
        self.published = published
        self._lock = asyncio.Lock()
        self.state = "ok"
        """``ok``, or why the configuration on disk is not the one in force."""
        self.current = edition_of(published, signing.first, telemetry, client)
        telemetry.metrics.watch_decisions(memory, lambda: self.current.snapshot.bundle.cuts)
        self.admin = admin_edition(published, telemetry)
        self._count()

    def files(self) -> list[Path]:
        """All files whose change may change the gateway."""
        settings = self.published.loaded.settings
        named: list[str | Path] = [self._path, *settings.registry, settings.policies]
        if settings.keys.signing.file is not None:
            named.append(settings.keys.signing.file)
        named += [issuer.jwks_file for issuer in settings.issuers if issuer.jwks_file is not None]
        named += peer_files(settings)
        if settings.webhooks.ca_file is not None:
            named.append(settings.webhooks.ca_file)
        if settings.identity.jwt_svid is not None:
            named += settings.identity.jwt_svid.bundles.values()
        pem, public = settings.identity.pem, settings.identity.public
        if pem is not None:
            named += [pem.certificate, pem.key, *pem.trust_bundles.values()]
        if public is not None:
            named += [public.certificate, public.key]
        return [Path(name) for name in named]

    async def reload(self, gate: Gate) -> None:
        """Take over what is on disk, if it can be used and differs; decide open streams again."""
        async with self._lock:
            await self._reload(gate)

    async def replace(self, gate: Gate, found: Published, keep: Callable[[], Awaitable[bool]]) -> bool:
        """Take over ``found`` once ``keep`` has made it durable.

        False, and nothing is done, where ``keep`` says so, or where ``found`` was compiled under another registry or
        other settings than are in force by now.

        Raises:
            PartError: it can't be taken over; nothing was kept.
            HopError: ``keep`` failed.
        """
        async with self._lock:
            base = self.published.loaded
            if base.registry is not found.loaded.registry or base.settings is not found.loaded.settings:
                return False
            # What can't be built must not be kept: nothing that could fail stands between keeping and swapping.
            edition_of(found, self.current.signer, self._telemetry, self._client)
            admin_edition(found, self._telemetry)
            if not await keep():
                return False
            generation = self.current.snapshot.generation + 1
            snapshot = msgspec.structs.replace(found.snapshot, generation=generation)
            self._take(msgspec.structs.replace(found, snapshot=snapshot))
        decide_again(gate, self.current.snapshot)
        return True

    async def _reload(self, gate: Gate) -> None:
        try:
            found = await asyncio.to_thread(read_still, self.files, self._prepared)
            if isinstance(found, Problems):
                self._refuse([str(problem) for problem in found.errors])
                return
            fixed = _changed(self.published.loaded.settings, found.loaded.settings)
            if fixed:
                self._refuse([f"{self._path}: {name}: takes effect only after a restart" for name in fixed])
                return
            self._take(found)
            gate.metering.keep(self.published.loaded.settings.quotas.counters)
        except (PartError, MovingError) as error:
            self._refuse([str(error)])
            return
        decide_again(gate, self.current.snapshot)

    def is_version(self, version: VersionFacts) -> None:
        """What is in force is kept as ``version``."""
        self.published = msgspec.structs.replace(self.published, version=version)

    def _prepared(self) -> Published | Problems:
        return prepare(self._path, self._environ, self.current.snapshot.generation + 1)

    def _take(self, found: Published) -> None:
        self.state = "ok"
        old, new, signer = self.published, found, self._signing.reread(self.current.signer)
        same = (old.snapshot.digest, old.loaded.settings) == (new.snapshot.digest, new.loaded.settings)
        same = same and old.admin.digest == new.admin.digest
        if same and signer is self.current.signer:
            # Another version may enforce the same.
            self.published = msgspec.structs.replace(old, version=new.version)
            return
        # Answers are kept by digests of all that they depend on: those of before are right here too.
        found = _remembering(found, old.snapshot.bundle.memory)
        edition = edition_of(found, signer, self._telemetry, self._client)
        self.current, self.admin = edition, admin_edition(found, self._telemetry)
        self.published = found
        self._count()
        snapshot = self.current.snapshot
        self._telemetry.log.info("published", generation=snapshot.generation, digest=snapshot.digest)

    def sign_with(self, gate: Gate, signer: Signer, distrusted: bool) -> None:
        """Use ``signer``'s keys from now on; a stream that a ``distrusted`` key may have let in ends."""
        settings, current = self.published.loaded.settings, self.current
        own = OwnIssuer(settings.issuer, signer.verification_keys, require=signer.require)
        self.current = msgspec.structs.replace(
            current,
            signer=signer,
            tokens=current.tokens.under(own),
            documents=_documents(settings, signer, current.snapshot),
        )
        for lease in all_leases(gate) if distrusted else ():
            if delegation.was_continued(lease.hop.chain):
                lease.end("the key that proved its chain is distrusted")

    def _count(self) -> None:
        snapshot = self.current.snapshot
        self._telemetry.metrics.published(snapshot.generation, [policy.id for policy in snapshot.bundle.policies])
        self._telemetry.metrics.policies.published(snapshot.bundle.changes)

    def _refuse(self, problems: list[str]) -> None:
        generation = self.current.snapshot.generation
        self.state = f"refused, generation {generation} stays: {problems[0]}"
        self._telemetry.metrics.publish_refused()
        for problem in problems:
            self._telemetry.log.error("configuration refused", problem=problem, generation=generation)


def edition_of(published: Published, signer: Signer, telemetry: Telemetry, client: Client) -> Edition:
    """The edition of a compiled configuration.

    Raises:
        PartError: an issuer, a pinned key or the webhooks' certificates can't be used.
    """
    settings, snapshot = published.loaded.settings, published.snapshot
    check_card_keys(snapshot.registry)
    issuers = issuers_of(settings, telemetry.on_issuer_failure)
    own = OwnIssuer(settings.issuer, signer.verification_keys, require=signer.require)
    listen = settings.listen
    return Edition(
        snapshot=snapshot,
        tokens=TokenVerifier(issuers, own, snapshot.limits.token_bytes, foreign_users(snapshot)),
        assertions=peers_of(settings, snapshot, client, telemetry.on_issuer_failure),
        signer=signer,
        documents=_documents(settings, signer, snapshot),
        allowed={
            "data": Allowed(host_names(settings, listen.data.hosts), frozenset(listen.data.origins)),
            "public": Allowed(host_names(settings, listen.public.hosts), frozenset(listen.public.origins)),
        },
        issuer=settings.issuer,
        bases={"data": settings.public_url, "public": settings.issuer},
        webhooks=webhooks_of(settings, snapshot.limits),
        third_parties=terms_of(settings, snapshot.registry, issuers),
        approvals=approval_terms(settings),
    )


def _remembering(published: Published, memory: Memory) -> Published:
    snapshot = published.snapshot
    memory.keep(snapshot.limits.decisions_kept)
    bundle = snapshot.bundle.remembering(memory)
    return msgspec.structs.replace(published, snapshot=msgspec.structs.replace(snapshot, bundle=bundle))


def decide_again(gate: Gate, snapshot: Snapshot) -> None:
    """End every open stream that ``snapshot`` no longer permits."""
    for lease in all_leases(gate):
        why = _refusal(lease, snapshot)
        if why is not None:
            lease.end(f"decided again in generation {snapshot.generation}: {why}")


def decide_timed(gate: Gate, snapshot: Snapshot) -> None:
    """End every open stream that a policy no longer permits because of the time."""
    for lease in all_leases(gate):
        if hangs_on_time(lease.hop, snapshot.bundle, snapshot.registry):
            why = _refusal(lease, snapshot)
            if why is not None:
                lease.end(f"decided again by the time: {why}")


def end_unvouched(gate: Gate) -> None:
    """End every open stream whose caller no trust bundle vouches for any longer."""
    for lease in all_leases(gate):
        if not lease.vouched():
            lease.end("the certificate is no longer vouched for")


def _refusal(lease: Lease, snapshot: Snapshot) -> str | None:
    now = int(time.time())
    hop = msgspec.structs.replace(lease.hop, now=now * 1000)
    try:
        if hop.peer is not None:
            delegation.calling_agent(hop.peer, snapshot.registry, now)
        delegation.standing(hop.chain, snapshot.registry)
        federation.check_origin(hop.chain.via, snapshot.peers)
    except HopError as error:
        return str(error)
    if snapshot.routes.get(hop.route.path) is None:
        return "the route is gone"
    decision = decide(hop, snapshot.bundle, snapshot.registry, snapshot.generation)
    return None if isinstance(decision, Permit) else "no longer permitted"


def _changed(old: Settings, new: Settings) -> list[str]:
    changed = [name for name in FIXED if getattr(old, name) != getattr(new, name)]
    parts = [part for part in FIXED_FEDERATION if getattr(old.federation, part) != getattr(new.federation, part)]
    return [*changed, *(f"federation.{part}" for part in parts)]


def _documents(settings: Settings, signer: Signer, snapshot: Snapshot) -> Documents:
    sources = tuple(snapshot.scope_sources.values())
    needs = {
        path: scope.of_route(route.name, route.protocol, snapshot.registry) for path, route in snapshot.routes.items()
    }
    return Documents(
        jwks=signer.jwks(),
        issuer_metadata=metadata(settings.issuer, settings.public_url + endpoint.PATH, tuple(endpoint.GRANTS)),
        authorization_servers=tuple(issuer.issuer for issuer in settings.issuers),
        scopes_supported={path: scope.useful(every, sources) for path, (every, _) in needs.items()},
        # Scopes are an issuer's own words: with several, a client has to choose one first.
        first_scopes={path: scope.covering(first, *sources) for path, (_, first) in needs.items() if len(sources) == 1},
    )
