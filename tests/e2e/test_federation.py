"""``docs/FEDERATION.md``, run as it is printed: two gateways and three trust domains, each host a process of its own.

In network namespaces each host reaches only what it should; on loopback the same configuration runs without root.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from gateway.core.audit import DecisionRecord
from gateway.identity.bundles import write_bundle
from gateway.identity.dev import IssuedFiles, issue_svid
from gateway.identity.signer import load_signer
from gateway.store.query import AuditReader, Filters
from tests.docs.pages import files, is_as_printed, steps
from tests.federation.places import LINKS, Place, loopback, namespaces
from tests.gateways import HOPGATE
from tests.peers.parts import require
from tests.peers.process import started

ROOT = Path(__file__).parents[2]
PROBE = ROOT / "tests" / "federation" / "probe.py"
PAGE = (ROOT / "docs" / "FEDERATION.md").read_text()
PORTS = {"planner": 0, "reviewer": 9000, "analyst": 9000, "ledger": 9001, "hopgate": 8443}
PLANNER, REVIEWER, ANALYST = (
    "spiffe://a.example/agent/planner",
    "spiffe://c.example/agent/reviewer",
    "spiffe://b.example/agent/analyst",
)


@dataclass
class Scene:
    """The page's two companies and the third one's agent, in a folder, at a place."""

    folder: Path
    place: Place

    def __post_init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())

    def svid(self, spiffe_id: str, host: str) -> IssuedFiles:
        """A certificate of its own company's CA, with its address."""
        domain = spiffe_id.split("/")[2]
        out = self.folder / "svids"
        name = spiffe_id.removeprefix("spiffe://").replace("/", "-")
        return issue_svid(self.folder / f"ca-{domain}", spiffe_id, out, name, hosts=(self.place.addresses[host],))

    def write(self) -> None:
        """Everything that the page says to write, and what the companies have already."""
        for command, _ in steps(PAGE):
            if command.startswith(("mkdir", "openssl")):
                done = self.shell(command)
                assert done.returncode == 0, done.stderr
        for side in "ab":
            self._identity(side)
        (self.folder / "b" / "a.jwks").write_text(json.dumps(self._signer("a").jwks()))
        jwk = {**ECAlgorithm.to_jwk(self.key.public_key(), as_dict=True), "kid": "1", "alg": "ES256", "use": "sig"}
        (self.folder / "a" / "corp.jwks").write_text(json.dumps({"keys": [jwk]}))
        roots = x509.load_pem_x509_certificates(self.svid(REVIEWER, "reviewer.c.example").bundle.read_bytes())
        (self.folder / "c.json").write_bytes(write_bundle(roots, 1, 300))
        web = issue_svid(
            self.folder / "ca-web", "spiffe://web.example/web", self.folder / "svids", "web", hosts=(self.address("c"),)
        )
        (self.folder / "a" / "web-roots.pem").write_bytes(web.bundle.read_bytes())
        for name, text in files(PAGE).items():
            (self.folder / name).write_text(self.place.here(text))

    def shell(self, command: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """A command of the page."""
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, **environ}
        return subprocess.run(command, shell=True, cwd=self.folder, env=environment, capture_output=True, text=True)

    def address(self, company: str) -> str:
        """Of the reviewer for ``c``, else of the company's gateway."""
        return self.place.addresses["reviewer.c.example" if company == "c" else f"hopgate.{company}.example"]

    def _identity(self, side: str) -> None:
        other = "b" if side == "a" else "a"
        found = self.svid(f"spiffe://{side}.example/hopgate", f"hopgate.{side}.example")
        folder = self.folder / side / "svid"
        folder.mkdir()
        for name, file in (("svid.pem", found.certificate), ("svid.key", found.key), ("bundle.pem", found.bundle)):
            (folder / name).write_bytes(file.read_bytes())
        (self.folder / other / f"{side}-roots.pem").write_bytes(found.bundle.read_bytes())

    def _signer(self, side: str) -> Any:
        return load_signer((self.folder / side / "keys" / "signing.pem").read_bytes())

    def facts(self, name: str, side: str, spiffe_id: str, gate: str) -> dict[str, Any]:
        """What a workload is told."""
        host = f"{name}.{side}.example"
        found, gateway = self.svid(spiffe_id, host), f"hopgate.{gate}.example"
        return {
            "name": name,
            "host": self.place.addresses[host],
            "port": PORTS[name],
            "certificate": str(found.certificate),
            "key": str(found.key),
            "gateway_roots": str(self.svid(f"spiffe://{gate}.example/hopgate", gateway).bundle),
            "data_url": f"https://{self.address(gate)}:8443",
        }

    def token(self, route: str) -> str:
        """Maria's, for a route of company A."""
        now = int(time.time())
        claims = {
            "iss": "https://login.a.example",
            "sub": "maria",
            "aud": f"https://{self.address('a')}:8443{route}",
            "azp": "desktop",
            "iat": now,
            "exp": now + 600,
            "scope": "finance",
        }
        return jwt.encode(claims, self.key, "ES256", headers={"typ": "at+jwt", "kid": "1"})

    def command(self, kind: str, facts: Mapping[str, Any]) -> list[str | Path]:
        return [sys.executable, "-m", "tests.federation.workload", kind, json.dumps(facts)]

    async def probe(self, host: str, kind: str, facts: Mapping[str, Any]) -> Any:
        """What ``tests.federation.probe`` finds at ``host``."""
        return json.loads(await self.run(host, [sys.executable, PROBE, kind, json.dumps(facts)]))

    async def run(self, host: str, command: Sequence[str | Path]) -> str:
        """What a short process at ``host`` prints."""
        placed = map(str, self.place.at(host, command))
        process = await asyncio.create_subprocess_exec(
            *placed, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        out, errors = await process.communicate()
        assert process.returncode == 0, errors.decode()[-3000:]
        return out.decode().strip()

    def decisions(self, side: str) -> list[DecisionRecord]:
        """What a company's gateway decided, oldest first."""
        found = AuditReader(f"sqlite:///{self.folder / side / 'state' / 'hopgate.db'}").query(Filters(limit=1000))
        return [each.record for each in found.found[::-1] if isinstance(each.record, DecisionRecord)]


@asynccontextmanager
async def running(scene: Scene) -> AsyncIterator[None]:
    """All processes, until the block ends."""
    workloads = (
        ("agent", "reviewer.c.example", scene.facts("reviewer", "c", REVIEWER, "a")),
        ("agent", "analyst.b.example", scene.facts("analyst", "b", ANALYST, "b")),
        ("ledger", "ledger.b.example", scene.facts("ledger", "b", "spiffe://b.example/server/ledger", "b")),
    )
    endpoint = {
        "host": scene.address("c"),
        "port": 8445,
        "document": str(scene.folder / "c.json"),
        "certificate": str(scene.folder / "svids" / "web.pem"),
        "key": str(scene.folder / "svids" / "web-key.pem"),
    }
    commands = [(host, scene.command(kind, facts), "ready") for kind, host, facts in workloads]
    commands.append(("reviewer.c.example", [sys.executable, PROBE, "bundle", json.dumps(endpoint)], "ready"))
    for side in "ab":
        gate: list[str | Path] = [HOPGATE, "serve", "--config", scene.folder / side / "gateway.yaml"]
        commands.append((f"hopgate.{side}.example", gate, "/readyz"))
    async with AsyncExitStack() as stack:
        for host, command, ready in commands:
            placed = scene.place.at(host, command)
            await stack.enter_async_context(started(placed, ready=ready, env={"PYTHONPATH": str(ROOT)}))
        for side in "ab":
            found = await scene.probe(
                f"hopgate.{side}.example", "ready", {"url": f"http://{scene.address(side)}:9464/readyz"}
            )
            assert "trust_bundles" not in found["checks"], found
        yield


@pytest.mark.parametrize("where", [loopback, namespaces])
async def test_the_page(tmp_path: Path, where: Callable[[], AbstractContextManager[Place]]) -> None:
    require("openssl")
    with where() as place:
        scene = Scene(tmp_path, place)
        scene.write()
        check_files(scene)
        async with running(scene):
            asked = {
                **scene.facts("planner", "a", PLANNER, "a"),
                "target": "reviewer",
                "token": scene.token("/a2a/reviewer"),
                "text": "ask analyst balance",
            }
            answer = await scene.run("planner.a.example", scene.command("ask", asked))
            assert answer == "reviewer < analyst < 128150"
            check_chain(scene)
            if place.namespaces:
                await check_reach(scene)
        check_tree(scene)


def check_files(scene: Scene) -> None:
    """``hopgate check`` finds nothing, as the page says."""
    commands = [command for command, _ in steps(PAGE) if command.startswith("hopgate check")]
    assert len(commands) == 2
    for command in commands:
        done = scene.shell(command)
        assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def check_chain(scene: Scene) -> None:
    """One chain of three domains, in the records of both gateways."""
    crossed = [each for each in scene.decisions("b") if each.action == "delegate"]
    read = [each for each in scene.decisions("b") if each.action == "invokeTool"]
    began = [each for each in scene.decisions("a") if each.action == "delegate"]
    assert [each.chain.actors for each in (*began, *crossed, *read)] == [
        (PLANNER,),
        (PLANNER, REVIEWER),
        (PLANNER, REVIEWER),
        (PLANNER, REVIEWER, ANALYST),
    ]
    assert len({(each.chain.txn, each.user) for each in (*began, *crossed, *read)}) == 1
    assert began[1].trace_id == crossed[0].trace_id
    assert {each.chain.via for each in (*crossed, *read)} == {"spiffe://a.example/hopgate"}


async def check_reach(scene: Scene) -> None:
    """Each host connects to its gateway's port, the gateways to all of theirs, and nobody to anything else."""
    addresses = {
        host: (address, PORTS[host.partition(".")[0]])
        for host, address in scene.place.addresses.items()
        if PORTS[host.partition(".")[0]]
    }
    hosts = tuple(scene.place.addresses)
    found = await asyncio.gather(*(scene.probe(host, "reach", {"addresses": addresses}) for host in hosts))
    for host, reached in zip(hosts, found, strict=True):
        linked = {other for link in LINKS if host in link for other in link}
        assert set(reached) == linked & addresses.keys(), host


def check_tree(scene: Scene) -> None:
    """The page's last command, and its answer."""
    txn = scene.decisions("a")[-1].chain.txn
    [(command, expected)] = [(each, answer) for each, answer in steps(PAGE) if "audit show" in each]
    done = scene.shell(command, TXN=txn)
    assert (done.stderr, done.returncode) == ("", 0)
    assert is_as_printed(expected, done.stdout), done.stdout
