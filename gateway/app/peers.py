"""Peer gateways from the settings: their keys, and whose users they speak for."""

from collections.abc import Callable, Mapping
from pathlib import Path

from gateway.config.settings import Settings
from gateway.core.snapshot import Snapshot
from gateway.identity.assertions import AssertionVerifier, TrustedPeer
from gateway.identity.issuers import JwksFile, JwksUri
from gateway.identity.peers import Client, trusted_peer


def assertions_of(
    settings: Settings, snapshot: Snapshot, client: Client, on_failure: Callable[[str, str], None]
) -> AssertionVerifier:
    """The verifier of the configured peers' assertions. Fetches nothing yet."""
    found: dict[str, TrustedPeer] = {}
    for peer in snapshot.peers.values():
        configured = settings.federation.peers[peer.name]
        if configured.jwks_file is not None:
            source: JwksFile | JwksUri = JwksFile(Path(configured.jwks_file))
        else:
            source = JwksUri(str(configured.jwks_uri))
        found[peer.issuer] = trusted_peer(peer, source, client, on_failure)
    return AssertionVerifier(found, settings.issuer, snapshot.limits.token_bytes)


def foreign_users(snapshot: Snapshot) -> Mapping[str, str]:
    """Issuers of users that some peer speaks for: name → ``iss``."""
    return {name: issuer for peer in snapshot.peers.values() for name, issuer in peer.users.items()}


def peer_files(settings: Settings) -> list[str]:
    """Files that the peers' settings name."""
    files = [peer.jwks_file for peer in settings.federation.peers.values()]
    for source in settings.federation.bundles.values():
        files += [source.ca_file, source.bootstrap]
    return [file for file in files if file is not None]
