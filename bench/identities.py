"""Certificates of a run: every leg shows the same kind of key and checks its client and its upstream."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from gateway.core.model import SpiffeId
from gateway.identity.dev import IssuedFiles, issue_svid

TRUST_DOMAIN = "bench.test"


@dataclass(frozen=True)
class Identities:
    """PEM files of the three parties, all from one development CA."""

    client: IssuedFiles
    proxy: IssuedFiles
    upstream: IssuedFiles


def spiffe_id(name: str) -> SpiffeId:
    """E.g. ``spiffe://bench.test/upstream``."""
    return SpiffeId(f"spiffe://{TRUST_DOMAIN}/{name}")


def issue(folder: Path) -> Identities:
    """Make the CA and the three certificates in ``folder``."""

    def files(name: str) -> IssuedFiles:
        return issue_svid(folder / "ca", spiffe_id(name), folder, name, hosts=("localhost", "127.0.0.1"))

    return Identities(files("client"), files("proxy"), files("upstream"))


def server_context(own: IssuedFiles) -> ssl.SSLContext:
    """TLS that requires a client certificate of the run's CA."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    return filled(context, own)


def client_context(own: IssuedFiles) -> ssl.SSLContext:
    """TLS that shows a certificate and checks the server's name."""
    return filled(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), own)


def filled(context: ssl.SSLContext, own: IssuedFiles) -> ssl.SSLContext:
    """``context`` with own certificate, the CA, and TLS 1.3 only, as all legs."""
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(own.certificate, own.key)
    context.load_verify_locations(own.bundle)
    return context
