"""From configuration files to a Snapshot, or to everything that is wrong with them. Nothing half-applied.

Doesn't start anything: ``hopgate check`` runs exactly this, and so does ``hopgate serve``.
"""

import hashlib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

import msgspec

from gateway.config.federated import peers
from gateway.config.issuer_settings import IssuerSettings
from gateway.config.load import Loaded, load
from gateway.config.problems import Problem, Problems
from gateway.core.administration import FOLDER, AdminBundle, compile_admin
from gateway.core.errors import StoreError
from gateway.core.kernel.policies import kernel_policies
from gateway.core.pins import typed_by
from gateway.core.policy.bundle import Bundle, compile_bundle
from gateway.core.policy.kernel import kernel_problems
from gateway.core.policy.source import Problem as PolicyProblem
from gateway.core.scope import Sources
from gateway.core.snapshot import Snapshot
from gateway.core.versions import Version, VersionFacts
from gateway.store.approved_tools import approved_tools
from gateway.store.policy_versions import kept


class Published(msgspec.Struct, frozen=True):
    """A configuration without errors, compiled."""

    loaded: Loaded
    snapshot: Snapshot
    warnings: tuple[Problem, ...]
    admin: AdminBundle
    """Who may administer: apart from the snapshot, so that no other policy changes it."""
    version: VersionFacts | None = None
    """The kept version that its policies are of; None where they are the files of the folder."""


def publish(path: Path, environ: Mapping[str, str], generation: int, digest_key: bytes | None) -> Published | Problems:
    """Load, check and compile the configuration that begins at ``path``.

    ``digest_key`` keys the digests of sensitive argument values in records; None leaves such values out.
    """
    loaded = load_typed(path, environ)
    return loaded if isinstance(loaded, Problems) else compile_kept(loaded, generation, digest_key)


def load_typed(path: Path, environ: Mapping[str, str]) -> Loaded | Problems:
    """The configuration that begins at ``path``, with argument types of the tool definitions approved in its store."""
    loaded = load(path, environ)
    if isinstance(loaded, Problems):
        return loaded
    try:
        approved = approved_tools(loaded.settings.store.path)
    except StoreError as error:
        hint = "argument types of policies come from it; mend the store, or correct its URL"
        return Problems((Problem(str(path), 0, "store.url", error.detail, hint),))
    return msgspec.structs.replace(loaded, registry=typed_by(loaded.registry, approved))


def compile_kept(loaded: Loaded, generation: int, digest_key: bytes | None) -> Published | Problems:
    """``compile_loaded``, with the policies that were published last where the store owns them."""
    store = loaded.settings.store.path
    if loaded.settings.publishing.source == "files":
        return compile_loaded(loaded, generation, digest_key)
    try:
        version = kept(store)
    except StoreError as error:
        return Problems((*loaded.warnings, Problem(str(store), 0, "publishing.source", error.detail)))
    if version is None:
        return compile_loaded(loaded, generation, digest_key)
    found = compile_loaded(of_version(loaded, version), generation, digest_key, version.facts.number)
    return msgspec.structs.replace(found, version=version.facts) if isinstance(found, Published) else found


def of_version(loaded: Loaded, version: Version) -> Loaded:
    """The configuration with the policies of a version in place of the folder's."""
    return msgspec.structs.replace(loaded, policies=version.sources())


def compile_loaded(
    loaded: Loaded, generation: int, digest_key: bytes | None, version: int | None = None
) -> Published | Problems:
    """The snapshot of a loaded configuration, or the problems of its policies.

    ``version`` is named in the problems of policies that are not the folder's; 0 is one that has no number yet.
    """
    others = [source for source in loaded.policies if not source.path.startswith(FOLDER)]
    bundle = compile_bundle(others, cedar_schema(), loaded.registry, digest_key)
    admin = compile_admin(loaded.policies, cedar_schema("admin"))
    folder = Path(loaded.settings.policies) if version is None else version
    taken = bundle.policies if isinstance(bundle, Bundle) else ()
    kernel = kernel_problems(loaded.policies, cedar_schema(), loaded.registry, taken)
    broken = any(problem.severity == "error" for problem in kernel)
    if not isinstance(bundle, Bundle) or not isinstance(admin, AdminBundle) or broken:
        found = [*(() if isinstance(bundle, Bundle) else bundle), *(() if isinstance(admin, AdminBundle) else admin)]
        found += kernel
        return Problems((*loaded.warnings, *(_told(problem, folder) for problem in found)))
    snapshot = Snapshot(
        generation=generation,
        digest=_digest(loaded, bundle),
        bundle=bundle,
        registry=loaded.registry,
        routes=loaded.routes,
        limits=loaded.limits,
        first_use_pins=loaded.settings.tools.pins == "first-use",
        scope_sources={issuer.name: _scope_sources(issuer) for issuer in loaded.settings.issuers},
        quotas=loaded.settings.quotas.quotas(),
        trust_domain=loaded.settings.identity.trust_domain,
        peers=peers(loaded.settings.federation),
        kernel=kernel_policies(loaded.policies),
    )
    warnings = (*loaded.warnings, *(_told(problem, folder) for problem in (*bundle.warnings, *kernel)))
    return Published(loaded, snapshot, warnings, admin)


def cedar_schema(name: str = "gateway") -> str:
    """The text of ``<name>.cedarschema``: beside the package in the source tree, inside it in the wheel."""
    packaged = files("gateway") / "schemas" / f"{name}.cedarschema"
    if packaged.is_file():
        return packaged.read_text("utf-8")
    return (Path(__file__).parent.parent / "schemas" / f"{name}.cedarschema").read_text("utf-8")


def _told(problem: PolicyProblem, folder: Path | int) -> Problem:
    if isinstance(folder, int):
        where = f"version {folder}: {problem.path}" if folder else problem.path
    else:
        named = folder / problem.path
        where = str(named) if named.exists() else problem.path
    return Problem(where, problem.line, problem.policy or "", problem.message, "", problem.severity)


def _digest(loaded: Loaded, bundle: Bundle) -> str:
    facts = [
        bundle.digest,
        [change.key for change in bundle.changes],
        loaded.registry,
        loaded.routes,
        loaded.limits,
        loaded.settings.quotas,
        loaded.settings.tools,
        loaded.settings.federation,
    ]
    return hashlib.sha256(msgspec.json.encode(facts, order="deterministic")).hexdigest()


def _scope_sources(issuer: IssuerSettings) -> Sources:
    sources: dict[str, set[str]] = {}
    for scope, mapped in issuer.scope_map.items():
        for name in mapped:
            sources.setdefault(name, set()).add(scope)
    return {name: frozenset(found) for name, found in sources.items()}
