"""From a settings file to everything that a snapshot is compiled from, or to all that is wrong with it.

Reads the settings, their overrides, the registry files and the policy files. Nothing is half-applied:
the answer is whole or a list of problems. Deliberately doesn't compile policies, open keys or connect.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from gateway.config.consent_settings import consent_faults
from gateway.config.consistency import sections_of, settings_faults
from gateway.config.federated import federation_faults, foreign_domains, foreign_users, gateways
from gateway.config.federation_settings import FederationSettings, PeerSettings
from gateway.config.files import UnreadableError, read_text, shown
from gateway.config.overrides import apply_overrides
from gateway.config.policy_files import read_policies
from gateway.config.problems import Fault, Problem, Problems, suggest
from gateway.config.quota_settings import quota_faults
from gateway.config.references import Declared, unknown_scopes
from gateway.config.resources import Surroundings, read_registry, resource_of
from gateway.config.settings import Identity, RouteSettings, Settings, Store, admin_socket
from gateway.config.typed_reader import TypedReader
from gateway.config.yaml_source import Document, read_yaml
from gateway.core.limits import Limits
from gateway.core.model import ProtocolName, Route
from gateway.core.policy.source import PolicySource
from gateway.core.registry import Registry, Upstream


class Loaded(Struct, frozen=True, kw_only=True):
    """A configuration without errors."""

    settings: Settings
    registry: Registry
    policies: tuple[PolicySource, ...]
    routes: Mapping[str, Route]
    """By path: ``/mcp/<server>``, ``/a2a/<agent>``."""
    limits: Limits
    warnings: tuple[Problem, ...]


def load(path: Path, environ: Mapping[str, str]) -> Loaded | Problems:
    """The configuration that begins at ``path``, with the overrides and secrets' variables of ``environ``."""
    problems: list[Problem] = []
    document = _read_document(path, problems)
    if document is None:
        return Problems(tuple(problems))
    document, override_problems = apply_overrides(document, Settings, environ)
    problems += override_problems
    reader = TypedReader(document, path.absolute().parent, environ)
    settings, fields = reader.read(Settings)
    for fault in settings_faults(sections_of(fields)):
        reader.report(fault)
    problems += reader.problems
    registry, declared = _read_registry(fields, problems, environ)
    policies, policy_problems = read_policies(Path(fields["policies"])) if "policies" in fields else ((), ())
    problems += policy_problems
    if settings is not None:
        names = [issuer.name for issuer in settings.issuers]
        faults = [
            *_route_faults(settings, registry, declared),
            *_issuer_scope_faults(settings, declared),
            *_sharing_faults(settings, declared),
            *federation_faults(settings, registry, declared),
            *quota_faults(settings.quotas, registry, declared, _routes(settings, registry).values(), settings.limits),
            *consent_faults(settings.consent, names, registry.servers, settings.environment),
        ]
        problems += [document.problem((), fault) for fault in faults]
    found = Problems(tuple(_in_order(problems)))
    if settings is None or found.errors:
        return found
    return Loaded(
        settings=settings,
        registry=registry,
        policies=policies,
        routes=_routes(settings, registry),
        limits=settings.limits,
        warnings=found.items,
    )


def store_url(path: Path, environ: Mapping[str, str]) -> str | Problems:
    """``store.url`` alone: an auditor reads the log of a gateway whose other settings may be broken."""
    fields = _fields(path, environ, ("store",))
    if isinstance(fields, Problems):
        return fields
    store: Store = fields["store"]
    return store.url


def socket_of(path: Path, environ: Mapping[str, str]) -> Path | Problems:
    """Where the gateway of the settings file serves its own user, whatever is wrong elsewhere in the file."""
    fields = _fields(path, environ, ("listen", "store"))
    return fields if isinstance(fields, Problems) else admin_socket(fields["listen"], fields["store"])


def _fields(path: Path, environ: Mapping[str, str], wanted: Sequence[str]) -> Mapping[str, Any] | Problems:
    """The good sections of a settings file, if the ``wanted`` are among them; else what is wrong with those."""
    problems: list[Problem] = []
    document = _read_document(path, problems)
    if document is None:
        return Problems(tuple(problems))
    document, _ = apply_overrides(document, Settings, environ)
    reader = TypedReader(document, path.absolute().parent, environ)
    _, fields = reader.read(Settings)
    missing = tuple(name for name in wanted if name not in fields)
    if missing:
        return Problems(tuple(found for found in reader.problems if found.key.startswith(missing)))
    return fields


def configured_peers(path: Path, environ: Mapping[str, str]) -> Mapping[str, PeerSettings] | Problems:
    """``federation.peers`` alone, for an auditor as well."""
    problems: list[Problem] = []
    document = _read_document(path, problems)
    if document is None:
        return Problems(tuple(problems))
    document, _ = apply_overrides(document, Settings, environ)
    reader = TypedReader(document, path.absolute().parent, environ)
    _, fields = reader.read(Settings)
    if "federation" not in fields:
        return Problems(tuple(found for found in reader.problems if found.key.startswith("federation")))
    federation: FederationSettings = fields["federation"]
    return federation.peers


def _read_document(path: Path, problems: list[Problem]) -> Document | None:
    try:
        text = read_text(path)
    except UnreadableError as error:
        problems.append(Problem(shown(path), 0, "", error.message, error.hint))
        return None
    document, found = read_yaml(text, shown(path))
    problems += found
    return document


def _read_registry(
    fields: Mapping[str, Any], problems: list[Problem], environ: Mapping[str, str]
) -> tuple[Registry, Declared]:
    documents = [_read_document(Path(file), problems) for file in fields.get("registry", ())]
    surroundings = Surroundings(
        public_url=fields.get("public_url", ""),
        issuers={
            **foreign_users(fields.get("federation")),
            **{issuer.name: issuer.issuer for issuer in reversed(fields.get("issuers", ()))},
        },
        trust_domains=_trust_domains(fields.get("identity"), fields.get("federation")),
        gateways=gateways(fields.get("federation")),
        foreign=foreign_domains(fields.get("federation")),
        environ=environ,
    )
    registry, declared, found = read_registry([each for each in documents if each is not None], surroundings)
    problems += found
    return registry, declared


def _trust_domains(identity: Identity | None, federation: FederationSettings | None) -> frozenset[str]:
    if identity is None or identity.source == "workload_api":
        # The agent knows which domains are federated, and only while it runs.
        return frozenset()
    federated = identity.pem.trust_bundles if identity.source == "pem" and identity.pem is not None else {}
    fetched = {} if federation is None else federation.bundles
    return frozenset({identity.trust_domain, *federated, *fetched})


def _in_order(problems: Sequence[Problem]) -> list[Problem]:
    """By file as first met, then by line; a problem that two checks found is told once."""
    files = list(dict.fromkeys(problem.file for problem in problems))
    return sorted(dict.fromkeys(problems), key=lambda problem: (files.index(problem.file), problem.line))


def _route_faults(settings: Settings, registry: Registry, declared: Declared) -> list[Fault]:
    """Routes that are configured, but lead to nothing registered."""
    faults = [
        Fault(("routes", kind, name), f"no {what} is registered by this name", suggest(name, known))
        for kind, what, configured, known in (
            ("mcp", "server", settings.routes.mcp, declared.servers),
            ("a2a", "agent", settings.routes.a2a, declared.agents),
        )
        for name in configured
        if name not in known
    ]
    for kind, routes in (("mcp", settings.routes.mcp), ("a2a", settings.routes.a2a)):
        for name, route in routes.items():
            if route.jwt_svid and settings.identity.jwt_svid is None:
                message = "the route takes JWT-SVIDs, and none can be verified"
                faults.append(Fault(("routes", kind, name, "jwt_svid"), message, "set identity.jwt_svid"))
    for name in settings.routes.a2a:
        if name in registry.agents and registry.agents[name].upstream is None:
            message = "the agent has no upstream in the registry, so there is no such route"
            faults.append(Fault(("routes", "a2a", name), message, "add its upstream, or remove the route"))
    return faults


def _issuer_scope_faults(settings: Settings, declared: Declared) -> list[Fault]:
    faults: list[Fault] = []
    for index, issuer in enumerate(settings.issuers):
        faults += unknown_scopes(issuer.ceiling, ("issuers", index, "ceiling"), declared.scopes)
        for token_scope, scopes in issuer.scope_map.items():
            faults += unknown_scopes(scopes, ("issuers", index, "scope_map", token_scope), declared.scopes)
    return faults


def _sharing_faults(settings: Settings, declared: Declared) -> list[Fault]:
    return [
        Fault(
            ("issuers", index, "shared_by", place), f"no agent is registered as {name}", suggest(name, declared.agents)
        )
        for index, issuer in enumerate(settings.issuers)
        for place, name in enumerate(issuer.shared_by)
        if name not in declared.agents
    ]


def _routes(settings: Settings, registry: Registry) -> dict[str, Route]:
    routes: dict[str, Route] = {}
    for name, server in registry.servers.items():
        route = _route(settings, "mcp", name, server.upstream)
        routes[route.path] = route
    for name, agent in registry.agents.items():
        if agent.upstream is not None:
            route = _route(settings, "a2a", name, agent.upstream)
            routes[route.path] = route
    return routes


def _route(settings: Settings, protocol: ProtocolName, name: str, upstream: Upstream) -> Route:
    overrides = settings.routes.mcp if protocol == "mcp" else settings.routes.a2a
    chosen = overrides.get(name, RouteSettings())
    resource = resource_of(settings.public_url, protocol, name)
    return Route(
        protocol=protocol,
        name=name,
        path=f"/{protocol}/{name}",
        resource=resource,
        audience=upstream.audience or resource,
        user=chosen.user,
        clients=chosen.clients,
        continuation=frozenset(chosen.continuation),
        jwt_svid=chosen.jwt_svid,
        record_arguments=chosen.record_arguments,
        explain=chosen.explain,
    )
