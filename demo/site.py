"""The demo's work directory: free ports, keys, SVIDs, and the gateway's files written from templates."""

import shutil
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from string import Template

from demo import issuer
from demo.company import AGENTS, GATEWAY_ID, GUEST, SERVERS, TRUST_DOMAIN, spiffe_id
from demo.workload import Workload
from gateway.identity import dev

SOURCES = Path(__file__).parent
REPOSITORY = SOURCES.parent
MARKER = "made-by-hopgate-demo"
LISTENERS = ("data", "public", "health", "issuer", *SERVERS, *AGENTS)


class SiteError(Exception):
    """The work directory can't be used."""


@dataclass(frozen=True)
class Site:
    """Where everything of one run is."""

    root: Path
    ports: Mapping[str, int]

    @property
    def config(self) -> Path:
        """The gateway's settings file."""
        return self.root / "gateway.yaml"

    @property
    def logs(self) -> Path:
        """One log per child."""
        return self.root / "logs"

    @property
    def identities(self) -> Path:
        """The development CA and everybody's SVID."""
        return self.root / "identities"

    @property
    def trust_bundle(self) -> Path:
        """Roots of the demo's trust domain, PEM."""
        return self.identities / "ca.pem"

    @property
    def issuer_key(self) -> Path:
        """The development issuer's private key."""
        return self.root / "issuer.key"

    @property
    def leaked_token(self) -> Path:
        """Where the careless analyst leaves the hop token that it received last."""
        return self.root / "leaked-token"

    @property
    def data_url(self) -> str:
        """The gateway's data listener, and the base of its resources."""
        return f"https://127.0.0.1:{self.ports['data']}"

    @property
    def public_url(self) -> str:
        """The gateway's public listener."""
        return f"https://127.0.0.1:{self.ports['public']}"

    @property
    def health_url(self) -> str:
        """Metrics and readiness."""
        return f"http://127.0.0.1:{self.ports['health']}"

    @property
    def issuer_url(self) -> str:
        """The development OIDC issuer."""
        return f"http://127.0.0.1:{self.ports['issuer']}"

    def certificate(self, name: str) -> Path:
        """PEM certificate of a workload's SVID."""
        return self.identities / f"{name}.pem"

    def key(self, name: str) -> Path:
        """PEM private key of a workload's SVID."""
        return self.identities / f"{name}-key.pem"

    def workload(self, name: str) -> Workload:
        """A registered workload, as which the driver itself can call."""
        return Workload(
            name=name,
            port=self.ports.get(name, 0),
            certificate=self.certificate(name),
            key=self.key(name),
            trust_bundle=self.trust_bundle,
            gateway_id=GATEWAY_ID,
            gateway_url=self.data_url,
        )


def build(root: Path) -> Site:
    """A fresh work directory at ``root``; an earlier run's is deleted.

    Raises:
        SiteError: there is something at ``root`` that no run of the demo made.
    """
    _clear(root)
    site = Site(root, free_ports(LISTENERS))
    site.logs.mkdir(mode=0o700)
    issuer.create_key(site.issuer_key)
    dev.ensure(site.identities, TRUST_DOMAIN)
    for name in (*SERVERS, *AGENTS, GUEST):
        dev.issue_svid(site.identities, spiffe_id(name), site.identities, name)
    shutil.copytree(SOURCES / "policies", root / "policies")
    for name in ("gateway.yaml", "registry.yaml"):
        template = Template((SOURCES / "config" / name).read_text(encoding="utf-8"))
        (root / name).write_text(template.substitute(site.ports), encoding="utf-8")
    return site


def free_ports(names: tuple[str, ...]) -> dict[str, int]:
    """A free loopback port for each name; all are held until the last is found, so they differ."""
    with ExitStack() as held:
        sockets = {name: held.enter_context(socket.socket()) for name in names}
        for listener in sockets.values():
            listener.bind(("127.0.0.1", 0))
        return {name: listener.getsockname()[1] for name, listener in sockets.items()}


def _clear(root: Path) -> None:
    if root.exists():
        if not (root / MARKER).is_file():
            raise SiteError(f"{root} was not made by the demo; move it away or choose another --directory")
        shutil.rmtree(root)
    root.mkdir(mode=0o700, parents=True)
    (root / MARKER).touch()
