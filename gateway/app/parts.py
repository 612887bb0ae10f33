"""From settings to the parts that hold keys and trust: certificates, issuers, signer, secrets.

Each failure names the setting to mend. Doesn't start anything.
"""

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path
from ssl import SSLContext
from urllib.parse import urlsplit

from gateway.app.peers import assertions_of, check_bundles
from gateway.app.webhook_keys import check_webhooks
from gateway.config.issuer_settings import IssuerSettings
from gateway.config.jwt_svid_settings import JwtSvidSettings
from gateway.config.problems import Problem, Problems
from gateway.config.secret_references import SecretError, read_or_create, resolve
from gateway.config.settings import Settings
from gateway.core.limits import Limits
from gateway.core.model import Peer
from gateway.core.registry import Registry
from gateway.core.snapshot import Snapshot
from gateway.identity.assertions import AssertionVerifier
from gateway.identity.cards import CardError, pinned_key
from gateway.identity.dev import ensure
from gateway.identity.documents import DocumentError, issuer_tls
from gateway.identity.issuers import ClaimNames, Discovery, Issuer, JwksFile, JwksUri, KeySource
from gateway.identity.jwks import Keys
from gateway.identity.jwt_svid import read_bundle
from gateway.identity.keysets import OnFailure, key_set
from gateway.identity.material import KeyPair, Material, MaterialError, read_bundles, read_key_pair
from gateway.identity.peers import Client
from gateway.identity.rotation import ClientIdentity
from gateway.identity.seal import MIN_SECRET_BYTES, digest_key
from gateway.identity.signer import Signer, generate_key_pem, load_signer
from gateway.identity.signing_key import SigningKeyError
from gateway.identity.tokens import TrustedIssuer
from gateway.identity.webhook_signatures import WebhookKeyError
from gateway.proxy.webhook_client import Webhooks
from gateway.publish import Published, compile_kept, load_typed

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class PartError(Exception):
    """A configured part can't be used. The text names the setting, the thing and the cause."""


def prepare(path: Path, environ: Mapping[str, str], generation: int = 1) -> Published | Problems:
    """The compiled configuration as ``generation``, with the key that digests sensitive values in records.

    Raises:
        PartError: the sealing secret can't be had.
    """
    loaded = load_typed(path, environ)
    if isinstance(loaded, Problems):
        return loaded
    return compile_kept(loaded, generation, digest_key(sealing_secret(loaded.settings, environ)))


def check(published: Published, path: Path, environ: Mapping[str, str], now: float) -> tuple[Problem, ...]:
    """What ``hopgate check`` can say of keys and certificates without making any."""
    settings = published.loaded.settings
    problems: list[Problem] = []
    parts: list[tuple[str, Callable[[], object]]] = [
        ("issuers", lambda: issuers_of(settings, lambda name, cause: None)),
        ("registry", lambda: check_card_keys(published.snapshot.registry)),
        ("registry", lambda: third_party_contexts(published.snapshot.registry)),
        ("federation", lambda: peers_of(settings, published.snapshot, nobody, lambda name, cause: None)),
        ("federation", lambda: check_bundle_files(settings)),
    ]
    if settings.identity.source == "pem":
        parts.append(("identity.pem", lambda: material_of(settings, now)))
    if settings.identity.public is not None:
        parts.append(("identity.public", lambda: public_pair(settings)))
    jwt_svid = settings.identity.jwt_svid
    if jwt_svid is not None:
        parts.append(("identity.jwt_svid", lambda: authorities_of(jwt_svid)))
    if settings.keys.signing.source == "file" and not settings.keys.signing.generate:
        parts.append(("keys.signing", lambda: signer_of(settings, environ)))
    parts.append(("webhooks", lambda: check_webhook_keys(settings, environ)))
    if settings.keys.sealing is not None:
        parts.append(("keys.sealing", lambda: sealing_secret(settings, environ)))
    for key, make in parts:
        try:
            make()
        except PartError as error:
            problems.append(Problem(str(path), 0, key, str(error).removeprefix(f"{key}: ")))
    return (*problems, *_agent_problems(settings, path))


def nobody() -> ClientIdentity:
    """Who a gateway is that isn't running."""
    raise MaterialError("nothing is fetched by a check")


def _agent_problems(settings: Settings, path: Path) -> Iterator[Problem]:
    api = settings.identity.workload_api
    if settings.identity.source == "workload_api" and api is not None and not Path(api.socket).is_socket():
        hint = "serve waits start_seconds for it; correct it, or start the agent"
        yield Problem(str(path), 0, "identity.workload_api.socket", f"there is no socket {api.socket}", hint, "warning")


def sealing_secret(settings: Settings, environ: Mapping[str, str]) -> bytes:
    """The secret behind session handles and keyed digests; made beside the store where none is configured."""
    with _named("keys.sealing"):
        if settings.keys.sealing is not None:
            secret = resolve(settings.keys.sealing, environ)
        else:
            secret = read_or_create(Path(str(settings.sealing_file)), lambda: secrets.token_hex(32).encode())
    if len(secret) < MIN_SECRET_BYTES:
        raise PartError(f"keys.sealing: the secret is shorter than {MIN_SECRET_BYTES} bytes")
    return secret


def signer_of(settings: Settings, environ: Mapping[str, str]) -> Signer:
    """The signer of hop tokens, where its key is a file."""
    signing = settings.keys.signing
    with _named("keys.signing"):
        path, passphrase = Path(str(signing.file)), None
        if signing.passphrase is not None:
            passphrase = resolve(signing.passphrase, environ)
        if signing.generate:
            pem = read_or_create(path, lambda: generate_key_pem(signing.algorithm, passphrase))
        else:
            pem = path.read_bytes()
        return load_signer(pem, passphrase=passphrase, algorithm=signing.algorithm)


def material_of(settings: Settings, now: float) -> Material:
    """The gateway's own SVID and its trust bundles, checked as its peers will check them."""
    identity = settings.identity
    with _named(f"identity.{identity.source}"):
        if identity.pem is not None and identity.source == "pem":
            pair = read_key_pair(Path(identity.pem.certificate), Path(identity.pem.key))
            bundles = {domain: Path(file) for domain, file in identity.pem.trust_bundles.items()}
            material = Material(pair, read_bundles(bundles))
        elif identity.development is not None:
            hosts = [host for host in _url_hosts(settings) if host not in LOOPBACK]
            material = ensure(Path(identity.development.directory), identity.trust_domain, hosts=hosts)
        else:
            raise MaterialError("the section is missing")
    own_peer(settings, material, now)
    return material


def own_peer(settings: Settings, material: Material, now: float) -> Peer:
    """Who the gateway is by ``material``.

    Raises:
        PartError: nobody, or somebody of another trust domain than the configured one.
    """
    identity = settings.identity
    with _named(f"identity.{identity.source}"):
        peer = material.identity(now)
        if peer.trust_domain != identity.trust_domain:
            raise MaterialError(f"the SVID is {peer.spiffe_id}, not of identity.trust_domain {identity.trust_domain}")
    return peer


def public_pair(settings: Settings) -> KeyPair:
    """The web certificate of the public listener; only where one is configured."""
    with _named("identity.public"):
        public = settings.identity.public
        if public is None:
            raise MaterialError("the section is missing")
        return read_key_pair(Path(public.certificate), Path(public.key))


def issuers_of(settings: Settings, on_failure: Callable[[str, str], None]) -> tuple[TrustedIssuer, ...]:
    """The configured issuers of user tokens, with their keys. Fetches nothing yet."""
    found = []
    for each in settings.issuers:
        issuer = _issuer(each, loopback_http=settings.environment != "production")
        with _named(f"issuers: {each.name}"):
            found.append(TrustedIssuer(issuer, key_set(issuer, on_failure)))
    return tuple(found)


def authorities_of(settings: JwtSvidSettings) -> Mapping[str, Keys]:
    """Trust domain → the JWT authorities of its file.

    Raises:
        PartError: a file can't be used.
    """
    found = {}
    for domain, file in settings.bundles.items():
        try:
            found[domain] = read_bundle(Path(file).read_bytes())
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            raise PartError(f"identity.jwt_svid.bundles.{domain}: {file}: {why}") from None
        if not len(found[domain]):
            raise PartError(f"identity.jwt_svid.bundles.{domain}: {file}: it holds no key that signs JWT-SVIDs")
    return found


def webhooks_of(settings: Settings, limits: Limits) -> Webhooks:
    """The client of push notifications' targets."""
    ca_file = settings.webhooks.ca_file
    with _named("webhooks.ca_file"):
        context = issuer_tls(None if ca_file is None else Path(ca_file))
    return Webhooks(context, tuple(map(ip_network, settings.webhooks.networks)), limits)


def check_webhook_keys(settings: Settings, environ: Mapping[str, str]) -> None:
    """Whether the keys of webhooks can be used."""
    with _named("webhooks"):
        check_webhooks(settings, environ)


def third_party_contexts(registry: Registry) -> Mapping[str | None, SSLContext]:
    """TLS towards third parties' servers, by ``ca_file``."""
    found: dict[str | None, SSLContext] = {}
    for name, server in registry.servers.items():
        third = server.upstream.third_party
        if third is None or third.ca_file in found:
            continue
        try:
            found[third.ca_file] = issuer_tls(None if third.ca_file is None else Path(third.ca_file))
        except OSError:
            raise PartError(
                f"registry: servers.{name}.upstream.ca_file: no PEM certificates in {third.ca_file}"
            ) from None
    return found


def peers_of(settings: Settings, snapshot: Snapshot, client: Client, on_failure: OnFailure) -> AssertionVerifier:
    """The verifier of peer gateways' assertions. Fetches nothing yet."""
    with _named("federation"):
        return assertions_of(settings, snapshot, client, on_failure)


def check_bundle_files(settings: Settings) -> None:
    """Whether every file by which trust bundles are fetched can be used."""
    with _named("federation"):
        check_bundles(settings)


def check_card_keys(registry: Registry) -> None:
    """Whether every pinned card key can verify a card."""
    for name, agent in registry.agents.items():
        if agent.upstream is not None and agent.upstream.card_key is not None:
            with _named(f"registry: agents.{name}.upstream.card_key"):
                pinned_key(agent.upstream.card_key)


def host_names(settings: Settings, configured: tuple[str, ...]) -> frozenset[str]:
    """Names that a listener answers to: those of its URLs, the configured ones, and loopback in development."""
    loopback = LOOPBACK if settings.environment == "development" else frozenset[str]()
    return frozenset({*_url_hosts(settings), *(host.lower() for host in configured)}) | loopback


def _url_hosts(settings: Settings) -> tuple[str, ...]:
    return tuple(str(urlsplit(url).hostname) for url in (settings.public_url, settings.issuer))


def _issuer(settings: IssuerSettings, *, loopback_http: bool) -> Issuer:
    source: KeySource = Discovery()
    if settings.jwks_uri is not None:
        source = JwksUri(settings.jwks_uri)
    elif settings.jwks_file is not None:
        source = JwksFile(Path(settings.jwks_file))
    claims = settings.claims
    return Issuer(
        name=settings.name,
        issuer=settings.issuer,
        source=source,
        algorithms=settings.algorithms,
        types=settings.types,
        audience=settings.audience,
        leeway_seconds=settings.leeway_seconds,
        scope_map=settings.scope_map,
        ceiling=settings.ceiling,
        shared_by=frozenset(settings.shared_by),
        claims=ClaimNames(email=claims.email, roles=claims.roles, groups=claims.groups, client=claims.client),
        ca_file=None if settings.ca_file is None else Path(settings.ca_file),
        loopback_http=loopback_http,
    )


@contextmanager
def _named(setting: str) -> Iterator[None]:
    try:
        yield
    except (MaterialError, SigningKeyError, SecretError, DocumentError, CardError, WebhookKeyError) as error:
        raise PartError(f"{setting}: {error}") from None
    except OSError as error:
        raise PartError(f"{setting}: {error.filename}: {(error.strerror or 'unknown cause').lower()}") from None
