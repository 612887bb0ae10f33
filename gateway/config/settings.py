"""The settings file: every key, its type, its default and its meaning.

These types are the source of ``schemas/config.schema.json`` and ``docs/CONFIGURATION.md``. Paths in a
``Settings`` that ``load`` returned are absolute. Deliberately holds references to secrets, never secrets.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from gateway.config.admin_settings import AdminListener
from gateway.config.approval_settings import ApprovalSettings
from gateway.config.consent_settings import Consent
from gateway.config.federation_settings import FederationSettings
from gateway.config.issuer_settings import IssuerSettings
from gateway.config.jwt_svid_settings import JwtSvidSettings
from gateway.config.kernel_settings import KernelSettings
from gateway.config.key_settings import Keys
from gateway.config.limit_settings import LimitSettings
from gateway.config.problems import Fault
from gateway.config.publishing_settings import Publishing
from gateway.config.quota_settings import QuotasSection
from gateway.config.section import Section
from gateway.config.webhook_settings import Webhooks
from gateway.config.words import (
    FilePath,
    FolderPath,
    HostHeader,
    Label,
    Name,
    NewPath,
    OriginUrl,
    SecretReference,
    SocketPath,
    SpiffeIdText,
    SqliteUrl,
    TrustDomain,
    WebOrigin,
    WebUrl,
)
from gateway.core.model import Way

Host = Annotated[Label, Meta(description="Address to listen on.")]
Port = Annotated[int, Meta(ge=0, le=65535, description="Port to listen on; 0 picks a free one.")]


class Listener(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A listener that carries calls."""

    host: Host = "127.0.0.1"
    port: Port = 0
    hosts: Annotated[
        tuple[HostHeader, ...], Meta(description="Accepted Host headers, besides those of `public_url` and `issuer`.")
    ] = ()
    origins: Annotated[
        tuple[WebOrigin, ...], Meta(description="Accepted Origin headers; without any, a request with one is refused.")
    ] = ()


class DataListener(Listener, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Agents' traffic; a client certificate is always required."""

    port: Port = 8443
    mesh: Annotated[
        tuple[SpiffeIdText, ...],
        Meta(
            description="SPIFFE IDs of mesh proxies (Envoy) that say by `x-forwarded-client-cert` who calls. Everybody "
            "else's header is ignored."
        ),
    ] = ()


class PublicListener(Listener, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Metadata, keys and `user-only` routes; TLS without client certificate."""

    port: Port = 8444


class HealthListener(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`/livez`, `/readyz` and `/metrics`; plain HTTP, read-only."""

    host: Host = "127.0.0.1"
    port: Port = 9464


class Listen(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the gateway listens."""

    data: DataListener = DataListener()
    public: PublicListener = PublicListener()
    health: HealthListener = HealthListener()
    admin: Annotated[AdminListener | None, Meta(description="The admin API over TLS.")] = None
    admin_socket: Annotated[
        SocketPath | None,
        Meta(description="Unix socket of the admin API for the gateway's own user; beside the store by default."),
    ] = None

    def faults(self) -> Iterable[Fault]:
        """No two listeners on one address."""
        seen: dict[tuple[str, int], str] = {}
        admin = () if self.admin is None else (("admin", self.admin),)
        for key, listener in (("data", self.data), ("public", self.public), ("health", self.health), *admin):
            address = (listener.host, listener.port)
            if listener.port and address in seen:
                message = f"{listener.host}:{listener.port} is also the address of listen.{seen[address]}"
                yield Fault((key, "port"), message, "give each listener a port of its own")
            seen.setdefault(address, key)


class PemIdentity(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The gateway's X.509-SVID from files."""

    certificate: Annotated[FilePath, Meta(description="PEM certificate chain of the gateway's SVID, leaf first.")]
    key: Annotated[FilePath, Meta(description="Its private key, unencrypted PEM.")]
    trust_bundles: Annotated[
        Mapping[TrustDomain, FilePath],
        Meta(description="Trust domain → PEM roots. A peer is verified by the bundle of its own domain only."),
    ]


class DevelopmentIdentity(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An embedded certificate authority, for trying things out."""

    directory: Annotated[NewPath, Meta(description="Folder that the development CA is kept in.")]


class WorkloadApi(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The SPIFFE Workload API, as a SPIRE agent serves it; certificates and trust bundles rotate by themselves."""

    socket: Annotated[SocketPath, Meta(description="Path of the agent's Unix socket, without `unix:`.")]
    start_seconds: Annotated[float, Meta(gt=0, le=600, description="How long to wait for the first SVID.")] = 30.0


class ServerCertificate(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A web certificate for the public listener, in place of the gateway's SVID."""

    certificate: Annotated[FilePath, Meta(description="PEM certificate chain, leaf first.")]
    key: Annotated[FilePath, Meta(description="Its private key, unencrypted PEM.")]


class Identity(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who the gateway is, and whom it believes."""

    trust_domain: Annotated[TrustDomain, Meta(description="The gateway's own SPIFFE trust domain.")]
    source: Annotated[
        Literal["pem", "workload_api", "development"], Meta(description="Where the gateway's SVID comes from.")
    ]
    pem: Annotated[PemIdentity | None, Meta(description="For `source: pem`.")] = None
    workload_api: Annotated[WorkloadApi | None, Meta(description="For `source: workload_api`.")] = None
    development: Annotated[
        DevelopmentIdentity | None, Meta(description="For `source: development`; refused in production.")
    ] = None
    jwt_svid: Annotated[
        JwtSvidSettings | None, Meta(description="Whose JWT-SVIDs are taken, on routes that take them.")
    ] = None
    public: Annotated[ServerCertificate | None, Meta(description="Certificate of the public listener.")] = None

    def faults(self) -> Iterable[Fault]:
        """The section that ``source`` names is there, and covers the own trust domain."""
        if self.source == "pem" and self.pem is None:
            yield Fault(("pem",), "source: pem needs this section", "set certificate, key and trust_bundles")
        if self.source == "workload_api" and self.workload_api is None:
            yield Fault(("workload_api",), "source: workload_api needs this section", "set socket")
        if self.source == "development" and self.development is None:
            yield Fault(("development",), "source: development needs this section", "set directory")
        if self.jwt_svid is not None and not self.jwt_svid.bundles and self.source != "workload_api":
            yield Fault(("jwt_svid", "bundles"), "no JWT-SVID can be verified without a bundle", "name one a domain")
        if self.source == "pem" and self.pem is not None and self.trust_domain not in self.pem.trust_bundles:
            yield Fault(
                ("pem", "trust_bundles"),
                f"there is no trust bundle for the gateway's own trust domain {self.trust_domain}",
                "add it, or correct trust_domain",
            )


class RouteSettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one route differs from the default."""

    user: Annotated[
        Literal["required", "optional"], Meta(description="Whether a call needs a user; policies still decide.")
    ] = "required"
    clients: Annotated[
        Literal["agents", "user-only"],
        Meta(description="`user-only`: also served on the public listener, to people's own clients."),
    ] = "agents"
    continuation: Annotated[
        tuple[Way, ...],
        Meta(
            description="How an agent may continue its chain here: `header`, by the hop token it received; `trace`, by "
            "the handle in the trace it received; `exchange`, by a token of `/oauth/token`. `[]`: not at all. Each "
            "agent's `continuation` counts too."
        ),
    ] = ("header", "trace", "exchange")
    jwt_svid: Annotated[
        bool,
        Meta(
            description="Whether agents that can't do mutual TLS may call on the public listener with a JWT-SVID in "
            "`Hopgate-Workload-Token`. Needs `identity.jwt_svid`."
        ),
    ] = False
    record_arguments: Annotated[
        bool, Meta(description="Whether call arguments are recorded in the clear; a digest always is.")
    ] = False
    explain: Annotated[
        bool,
        Meta(
            description="Whether the caller is told why: a denial's policies with the values that they read, or the "
            "permits that it missed, and by what; and what permitted a call, in MCP's `_meta` and A2A's `metadata` of "
            "the answer, as `hopgate/decision`. It shows policies and attributes."
        ),
    ] = False


class Routes(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Exceptions, by the name of a registered server or agent."""

    mcp: Annotated[Mapping[Name, RouteSettings], Meta(description="Server name → settings of `/mcp/<server>`.")] = {}
    a2a: Annotated[Mapping[Name, RouteSettings], Meta(description="Agent name → settings of `/a2a/<agent>`.")] = {}


class Tools(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What makes a tool's definition the approved one."""

    pins: Annotated[
        Literal["registry", "first-use"],
        Meta(
            description="`registry`: the `pin` of its registry entry, or `hopgate tools approve`; a tool without "
            "either is in quarantine. `first-use`: where neither is there, the first definition that the server lists."
        ),
    ] = "first-use"


class Store(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where state and audit are kept."""

    url: Annotated[SqliteUrl, Meta(description="`sqlite:///PATH`; a relative PATH is relative to this file.")] = (
        "sqlite:///hopgate.db"
    )

    @property
    def path(self) -> Path:
        """The database file."""
        return Path(self.url.removeprefix("sqlite:///"))


class Otlp(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Export of traces by OTLP over HTTP."""

    endpoint: Annotated[WebUrl, Meta(description="Base URL of the collector; `/v1/traces` is appended.")]
    headers: Annotated[
        Mapping[Label, SecretReference], Meta(description="Header → reference to its value, sent to the collector.")
    ] = {}


class Telemetry(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Traces and logs. Metrics are always at `/metrics`."""

    otlp: Annotated[Otlp | None, Meta(description="Without it traces are passed on, but not exported.")] = None
    sample_ratio: Annotated[
        float, Meta(ge=0, le=1, description="Part of the chains that is traced; a caller's own choice is kept.")
    ] = 1.0
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="Least severe level that is logged.")
    ] = "info"


class Settings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    version: Annotated[Literal[1], Meta(description="Version of this format.")]
    environment: Annotated[
        Literal["development", "production"], Meta(description="Production refuses what is only good for trying.")
    ]
    public_url: Annotated[
        OriginUrl,
        Meta(
            description="Base of route resources, `<public_url>/mcp/<server>`: the data listener as clients reach it."
        ),
    ]
    issuer: Annotated[
        OriginUrl,
        Meta(description="`iss` of hop tokens; metadata and keys are served there, by the public listener."),
    ]
    listen: Listen = Listen()
    identity: Identity
    issuers: Annotated[tuple[IssuerSettings, ...], Meta(description="Accepted issuers of user tokens.")] = ()
    keys: Keys
    registry: Annotated[
        tuple[FilePath, ...], Meta(min_length=1, description="Registry files; read together as one registry.")
    ]
    policies: Annotated[FolderPath, Meta(description="Folder of the Cedar policies, by tiers.")]
    routes: Routes = Routes()
    tools: Tools = Tools()
    store: Store = Store()
    telemetry: Telemetry = Telemetry()
    webhooks: Webhooks = Webhooks()
    federation: FederationSettings = FederationSettings()
    consent: Consent = Consent()
    publishing: Publishing = Publishing()
    approvals: ApprovalSettings = ApprovalSettings()
    limits: LimitSettings = LimitSettings()
    quotas: QuotasSection = QuotasSection()
    kernel: KernelSettings = KernelSettings()

    @property
    def sealing_file(self) -> Path | None:
        """Where the sealing secret is generated; None if ``keys.sealing`` refers to one."""
        return None if self.keys.sealing is not None else self.store.path.with_name(f"{self.store.path.name}.sealing")

    @property
    def admin_socket(self) -> Path:
        """Where the admin API is served to the gateway's own user."""
        return admin_socket(self.listen, self.store)


def admin_socket(listen: Listen, store: Store) -> Path:
    """The path of the admin socket: the configured one, or one beside the store."""
    return (
        store.path.with_name(f"{store.path.name}.admin") if listen.admin_socket is None else Path(listen.admin_socket)
    )
