"""From a Cedar file to the kernel and back, all real: gateway, loader, BPF programs, an agent that calls out.

The network half, natively; the file half is tried in ``tests/kernel``'s virtual machines.
"""

import asyncio
import json
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.core.audit import KernelRecord
from gateway.store.query import AuditReader, Filters
from tests.app.kernel.loaders import company_of, kinds, node_until, pin
from tests.bpf.nodes import Place
from tests.bpf.programs import ENVIRONMENT, command
from tests.company import Company
from tests.gateways import running
from tests.kernel.building import built
from tests.peers.parts import refuse
from tests.peers.process import stop

SECONDS = 30.0
AGENT = """
import socket, sys
for port in sys.argv[1:]:
    with socket.socket() as made:
        print(made.connect_ex(("127.0.0.1", int(port))))
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    if os.geteuid() != 0 or not Path("/sys/fs/bpf").is_dir():
        refuse("BPF programs can't be loaded here: run the tests as root, with /sys/fs/bpf mounted")
    (tmp_path / "node").mkdir()
    made = Place(tmp_path / "node")
    program, pins = built() / "hopgate-bpf-loader", Path("/sys/fs/bpf", f"hopgate-test-{secrets.token_hex(6)}")
    made.more = {"loader": {"program": str(program), "pins": str(pins)}}
    yield made
    subprocess.run([program, "--pins", pins, "unload"], check=True)
    parent = Path(made.settings.cgroups.parent)
    if parent.exists():
        parent.rmdir()


def agent(place: Place, *ports: int) -> list[int]:
    """What an agent of the class is told when it connects to each port."""
    words = ["exec", "--config", place.folder / "config.yaml", "--partly", "--class", "data-analyst", "--"]
    done = subprocess.run(
        command(*words, sys.executable, "-c", AGENT, *map(str, ports)),
        env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return [int(line) for line in done.stdout.split()]


async def denials(company: Company, count: int) -> list[KernelRecord]:
    async with asyncio.timeout(SECONDS):
        while True:
            found = AuditReader(company.store_url).query(Filters(agent="analyst", verdict="deny")).found
            if len(found) >= count:
                return [each.record for each in found if isinstance(each.record, KernelRecord)]
            await asyncio.sleep(0.1)


async def test_an_agent_that_calls_out_is_refused_by_its_kernel_and_its_gateway_knows(
    tmp_path: Path, place: Place
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as allowed, socket.create_server(("127.0.0.1", 0)) as other:
        ports = [each.getsockname()[1] for each in (allowed, other)]
        company = company_of(tmp_path / "company", place, ports[0])
        pin(company, place)
        (place.folder / "config.yaml").write_text(json.dumps(place.plain))
        loader = await asyncio.create_subprocess_exec(
            *command("run", "--config", place.folder / "config.yaml"), env=ENVIRONMENT
        )
        try:
            async with running(company):
                await node_until(company, lambda node: node["generation"] == node["wanted"] == 1)
                assert await asyncio.to_thread(agent, place, *ports) == [0, 111]
                [denied] = await denials(company, 1)
                assert (denied.action, str(denied.resource)) == (
                    "connectNetwork", f'NetworkDestination::"127.0.0.1:{ports[1]}/tcp"',
                )  # fmt: skip
                assert denied.agent is not None
                assert (denied.agent.name, denied.node, denied.generation) == ("analyst", "worker-1", 1)
                company.policies["kernel/analysts.cedar"] = company.policies["kernel/analysts.cedar"].replace(
                    str(ports[0]), str(ports[1])
                )
                company.write()
                node = await node_until(company, lambda node: node["generation"] == node["wanted"] == 2)
                assert kinds(node) <= {"not_enforced"}, "on a kernel without BPF LSM files are not enforced, and told"
                assert await asyncio.to_thread(agent, place, *ports) == [111, 0]
        finally:
            await stop(loader)
