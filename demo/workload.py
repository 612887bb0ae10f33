"""What every process of the cast shares: its SVID, an HTTPS server, and clients that go through the gateway.

Holds no Hopgate code: it is what any SPIFFE workload would have. It decides one thing, who may connect:
the gateway's SPIFFE ID and nobody else. What the gateway let through is served without a second look.
"""

import argparse
import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import httpx2
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

CARRIED = ("authorization", "traceparent", "tracestate")
"""Headers that an agent sends on as it received them: the hop token and the trace."""
SECONDS = 30.0


@dataclass(frozen=True)
class Workload:
    """One process: where it listens, the PEM files of its identity, and the gateway it belongs behind."""

    name: str
    port: int
    certificate: Path
    key: Path
    trust_bundle: Path
    gateway_id: str
    """The only SPIFFE ID that may connect."""
    gateway_url: str
    """The gateway's data listener, without a trailing slash."""
    leak: Path | None = None
    """Plays a careless agent: the last hop token received is written here (the demo's stolen-token scene)."""

    def client_context(self) -> ssl.SSLContext:
        """Presents this workload's SVID and verifies the server against the trust bundle and its host name."""
        context = ssl.create_default_context(cafile=self.trust_bundle)
        context.load_cert_chain(self.certificate, self.key)
        return context

    def a2a_http(self, headers: Mapping[str, str]) -> httpx.AsyncClient:
        """HTTP client for the A2A SDK; ``headers`` go with every request."""
        return httpx.AsyncClient(verify=self.client_context(), headers=dict(headers), timeout=SECONDS, trust_env=False)

    def mcp_http(self, headers: Mapping[str, str]) -> httpx2.AsyncClient:
        """HTTP client for the MCP SDK; ``headers`` go with every request."""
        return httpx2.AsyncClient(verify=self.client_context(), headers=dict(headers), timeout=SECONDS, trust_env=False)


def carry(headers: Mapping[str, str]) -> dict[str, str]:
    """The incoming headers that continue the chain and its trace on an outgoing call (header copy)."""
    return {name: headers[name] for name in CARRIED if name in headers}


def spiffe_ids(connection: ssl.SSLObject) -> list[str]:
    """URI names of the verified client certificate."""
    certificate = connection.getpeercert() or {}
    names = certificate.get("subjectAltName", ())
    return [str(name[1]) for name in names if name[0] == "URI"]


def only_from(gateway_id: str) -> type[H11Protocol]:
    """A uvicorn protocol that drops every connection whose client isn't ``gateway_id``, before its first request."""

    class GatewayOnly(H11Protocol):
        refused = False

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            presented = spiffe_ids(transport.get_extra_info("ssl_object"))
            if presented != [gateway_id]:
                self.refused = True
                self.logger.warning("connection refused: %s is not %s", presented, gateway_id)
                transport.abort()

        def data_received(self, data: bytes) -> None:
            if not self.refused:
                super().data_received(data)

    return GatewayOnly


def serve(workload: Workload, app: ASGIApp) -> None:
    """Serve ``app`` on loopback over mTLS until SIGTERM or SIGINT."""
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=workload.port,
        http=only_from(workload.gateway_id),
        loop="asyncio",
        ssl_certfile=workload.certificate,
        ssl_keyfile=str(workload.key),
        ssl_ca_certs=str(workload.trust_bundle),
        ssl_cert_reqs=ssl.CERT_REQUIRED,
        log_level="info",
        timeout_graceful_shutdown=2,
    )


def from_arguments(name: str) -> Workload:
    """The workload that the command line describes."""
    parser = argparse.ArgumentParser(description=f"{name} of the Hopgate demo")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--certificate", type=Path, required=True)
    parser.add_argument("--key", type=Path, required=True)
    parser.add_argument("--trust-bundle", type=Path, required=True)
    parser.add_argument("--gateway-id", required=True)
    parser.add_argument("--gateway-url", required=True)
    parser.add_argument("--leak", type=Path)
    return Workload(name=name, **vars(parser.parse_args()))
