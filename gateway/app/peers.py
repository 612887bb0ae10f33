"""Peer gateways and trust bundles from the settings: their keys and roots, as far as they are there to be looked at.

Each failure names the setting to mend, below ``federation``. Fetches nothing.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from gateway.config.settings import Settings
from gateway.core.snapshot import Snapshot
from gateway.identity.assertions import AssertionVerifier, TrustedPeer
from gateway.identity.documents import issuer_tls
from gateway.identity.issuers import JwksFile, JwksUri
from gateway.identity.jwks import read_jwks
from gateway.identity.material import MaterialError, read_bundles
from gateway.identity.peers import ALGORITHMS, Client, trusted_peer


def assertions_of(
    settings: Settings, snapshot: Snapshot, client: Client, on_failure: Callable[[str, str], None]
) -> AssertionVerifier:
    """The verifier of the configured peers' assertions.

    Raises:
        MaterialError: a pinned JWKS is none, or has no usable key.
    """
    found: dict[str, TrustedPeer] = {}
    for peer in snapshot.peers.values():
        configured = settings.federation.peers[peer.name]
        if configured.jwks_file is not None:
            source: JwksFile | JwksUri = _pinned(peer.name, Path(configured.jwks_file))
        else:
            source = JwksUri(str(configured.jwks_uri))
        found[peer.issuer] = trusted_peer(peer, source, client, on_failure)
    return AssertionVerifier(found, settings.issuer, snapshot.limits.token_bytes)


def check_bundles(settings: Settings) -> None:
    """Check the files by which trust bundles are fetched.

    Raises:
        MaterialError: one can't be used.
    """
    for domain, source in settings.federation.bundles.items():
        try:
            if source.bootstrap is not None:
                read_bundles({domain: Path(source.bootstrap)})
        except MaterialError as error:
            raise MaterialError(f"bundles.{domain}.bootstrap: {error}") from None
        try:
            if source.ca_file is not None:
                issuer_tls(Path(source.ca_file))
        except OSError:
            detail = f"{source.ca_file}: holds no PEM certificate, or a broken one"
            raise MaterialError(f"bundles.{domain}.ca_file: {detail}") from None


def foreign_users(snapshot: Snapshot) -> Mapping[str, str]:
    """Issuers of users that some peer speaks for: name → ``iss``."""
    return {name: issuer for peer in snapshot.peers.values() for name, issuer in peer.users.items()}


def _pinned(name: str, path: Path) -> JwksFile:
    setting = f"peers.{name}.jwks_file: {path}"
    try:
        usable = len(read_jwks(path.read_bytes(), ALGORITHMS))
    except OSError as error:
        raise MaterialError(f"{setting}: can't be read: {error.strerror}") from None
    except ValueError as error:
        raise MaterialError(f"{setting}: is no JWKS: {error}") from None
    if not usable:
        raise MaterialError(f"{setting}: has no public key for {' or '.join(ALGORITHMS)} signatures")
    return JwksFile(path)


def peer_files(settings: Settings) -> list[str]:
    """Files that the peers' settings name."""
    files = [peer.jwks_file for peer in settings.federation.peers.values()]
    for source in settings.federation.bundles.values():
        files += [source.ca_file, source.bootstrap]
    return [file for file in files if file is not None]
