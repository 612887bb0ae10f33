"""A SPIFFE Workload API that says what a test wants it to say, over a real Unix socket."""

import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from spiffe._proto import workload_pb2, workload_pb2_grpc

from tests.identity.pki import Issued

Bundles = Mapping[str, Sequence[x509.Certificate]]
Said = workload_pb2.X509SVIDResponse | workload_pb2.JWTBundlesResponse | grpc.StatusCode


def answer(leaf: Issued, own: str, bundles: Bundles, key: Any = None) -> workload_pb2.X509SVIDResponse:
    """An update: ``leaf`` of trust domain ``own``, whose bundle travels with it; the others are federated."""
    private = key or leaf.key
    svid = workload_pb2.X509SVID(
        spiffe_id="unused: the certificate says it",
        x509_svid=b"".join(leaf.der),
        x509_svid_key=private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
        bundle=der(bundles[own]),
    )
    federated = {f"spiffe://{domain}": der(roots) for domain, roots in bundles.items() if domain != own}
    return workload_pb2.X509SVIDResponse(svids=[svid], federated_bundles=federated)


def der(roots: Sequence[x509.Certificate]) -> bytes:
    return b"".join(root.public_bytes(Encoding.DER) for root in roots)


class StandIn(workload_pb2_grpc.SpiffeWorkloadAPIServicer):
    """An agent; ``say`` an answer, or a status that ends the streams. Can be stopped and started again."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.asked = threading.Event()
        """Somebody has asked for an SVID."""
        self._changed = threading.Condition()
        self._version = 0
        self._saying: Said | None = None
        self._server: grpc.Server | None = None

    def say(self, what: Said) -> None:
        with self._changed:
            self._saying = what
            self._version += 1
            self._changed.notify_all()

    def start(self) -> None:
        self._server = grpc.server(ThreadPoolExecutor(8))
        workload_pb2_grpc.add_SpiffeWorkloadAPIServicer_to_server(self, self._server)
        self._server.add_insecure_port(f"unix:{self.socket}")
        self._server.start()

    def stop(self) -> None:
        """Die: streams break and the socket is gone."""
        server, self._server = self._server, None
        if server is not None:
            server.stop(grace=None).wait()
            self.socket.unlink(missing_ok=True)

    def FetchJWTBundles(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:  # noqa: N802
        yield from self.FetchX509SVID(request, context)

    def FetchX509SVID(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:  # noqa: N802
        if ("workload.spiffe.io", "true") not in context.invocation_metadata():
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "security header missing from request")
        context.add_callback(self._wake)
        self.asked.set()
        seen = 0
        while context.is_active():
            with self._changed:
                while (self._version == seen or self._saying is None) and context.is_active():
                    self._changed.wait()
                said, seen = self._saying, self._version
            if isinstance(said, grpc.StatusCode):
                context.abort(said, "as the test wants it")
            if context.is_active():
                yield said

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()


@contextmanager
def stand_in() -> Iterator[StandIn]:
    # Not pytest's directory: a Unix socket's path has at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="agent-") as directory:
        agent = StandIn(Path(directory) / "api.sock")
        agent.start()
        try:
            yield agent
        finally:
            agent.stop()
