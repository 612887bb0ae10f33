"""From a signed document to the kernel and back, by the real loader: what an agent may reach, and what it may not.

Files need BPF LSM, which ``tests/kernel`` has in its virtual machines; here is the network half, natively.
"""

import asyncio
import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hopgate_bpf.node.events import EventLog
from hopgate_bpf.node.loader import LoaderProgram
from hopgate_bpf.node.node import Node
from hopgate_bpf.rules.refusal import RefusedError
from tests.bpf.documents import class_rules, document, network
from tests.bpf.nodes import CGROUP2, Place
from tests.bpf.programs import hopgate_bpf
from tests.kernel.building import built
from tests.peers.parts import refuse

CONNECT = """
import socket, sys
for address, port in (("127.0.0.1", int(sys.argv[1])), ("127.0.0.1", int(sys.argv[2])), ("::1", int(sys.argv[1]))):
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as made:
        print(address, made.connect_ex((address, port)))
"""


@pytest.fixture
def real(place: Place) -> Iterator[LoaderProgram]:
    if os.geteuid() != 0 or not Path("/sys/fs/bpf").is_dir():
        refuse("BPF programs can't be loaded here: run the tests as root, with /sys/fs/bpf mounted")
    program, pins = built() / "hopgate-bpf-loader", Path("/sys/fs/bpf", f"hopgate-test-{secrets.token_hex(6)}")
    place.more = {"loader": {"program": str(program), "pins": str(pins)}}
    (place.folder / "config.yaml").write_text(json.dumps(place.plain))
    yield LoaderProgram(program, pins, CGROUP2, 30)
    subprocess.run([program, "--pins", pins, "unload"], check=True)
    parent = Path(place.settings.cgroups.parent)
    if parent.exists():
        parent.rmdir()


async def node_of(place: Place, loader: LoaderProgram) -> Node:
    node = Node(place.settings, loader, place.zone, lambda: place.now)
    await node.start()
    return node


def listening() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def agent(place: Place, *ports: int) -> dict[str, Any]:
    words = ["exec", "--config", place.folder / "config.yaml", "--partly", "--class", "data-analyst", "--"]
    done = hopgate_bpf(*words, "python3", "-c", CONNECT, *map(str, ports))
    assert done.returncode == 0, done.stderr
    return dict(zip(("permitted", "other", "v6"), [line.split()[1] for line in done.stdout.splitlines()], strict=True))


async def test_an_agent_reaches_what_its_rules_permit_and_nothing_else(place: Place, real: LoaderProgram) -> None:
    node = await node_of(place, real)
    with listening() as permitted, listening() as other:
        ports = [each.getsockname()[1] for each in (permitted, other)]
        rules = class_rules(network=[network("permit", "127.0.0.0/8", ports[0], "tcp")])
        done = await node.push(place.signer.signed(document(rules, generation=1)))
        assert any(text.startswith("files") for text in done.not_enforced) or (await real.status()).lsm
        assert (await node.status()).agrees
        refused = str(111)
        assert await asyncio.to_thread(agent, place, *ports) == {"permitted": "0", "other": refused, "v6": refused}
        denied = (await real.status()).classes["data-analyst"]["denied"]
        assert (denied["connect4"], denied["connect6"]) == (1, 1)
        both = class_rules(network=[network("permit", "127.0.0.1", None, "tcp")])
        await node.push(place.signer.signed(document(both, generation=2)))
        assert (await asyncio.to_thread(agent, place, *ports))["other"] == "0"


async def test_denials_are_events_with_class_and_address(place: Place, real: LoaderProgram) -> None:
    node = await node_of(place, real)
    events = EventLog(real, node.policy_of, time.time, 100, 4)
    forbids = class_rules(network=[network("permit", None), network("forbid", "127.0.0.1")], policies=["no-loopback"])
    await node.push(place.signer.signed(document(forbids, generation=3)))
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        reading = group.create_task(events.read())
        with events.opened(0) as stream, listening() as server:
            port = server.getsockname()[1]
            await asyncio.to_thread(agent, place, port, port)
            found: list[dict[str, Any]] = []
            while not found:
                found = [json.loads(line) for line in await stream.more(10)]
        reading.cancel()
    first = found[0]
    assert (first["class"], first["generation"], first["policy_id"]) == ("data-analyst", 3, "no-loopback")
    assert (first["address"], first["port"], first["errno"]) == ("127.0.0.1", port, 111)


async def test_names_are_refreshed_under_one_generation(place: Place, real: LoaderProgram) -> None:
    node = await node_of(place, real)
    jws = place.signer.signed(document(class_rules(network=[network("permit", "127.0.0.1")]), generation=4))
    await node.push(jws)
    assert (await node.push(jws)).repeated
    with pytest.raises(RefusedError, match="generation 3, but 4 is in force"):
        await node.push(place.signer.signed(document(generation=3)))


async def test_rules_outlive_the_companion_and_are_found_again(place: Place, real: LoaderProgram) -> None:
    await (await node_of(place, real)).push(place.signer.signed(document(generation=5)))
    assert (await real.status()).generation == 5
    again = await node_of(place, real)
    status = await again.status()
    assert (status.generation, status.agrees, status.problem) == (5, True, "")


async def test_exec_refuses_where_not_all_is_enforced_and_where_a_hook_was_taken_away(
    place: Place, real: LoaderProgram
) -> None:
    await (await node_of(place, real)).push(place.signer.signed(document(generation=6)))
    words = ["exec", "--config", place.folder / "config.yaml", "--class", "data-analyst"]
    if not (await real.status()).lsm:
        assert "doesn't enforce all: files" in (await asyncio.to_thread(hopgate_bpf, *words, "--", "true")).stderr
    os.unlink(f"{place.settings.loader.pins}/links/connect4")
    done = await asyncio.to_thread(hopgate_bpf, *words, "--partly", "--", "true")
    assert (done.returncode, "not attached any more: connect4" in done.stderr) == (125, True)


CALL_OUT = """
import socket, sys
for line in sys.stdin:
    try:
        socket.create_connection(("127.0.0.1", int(line)))
        print(0, flush=True)
    except OSError as error:
        print(error.errno, flush=True)
"""


async def test_a_shadow_agent_calls_nobody_within_a_second(
    place: Place, real: LoaderProgram, new_cgroup: Callable[[], Path]
) -> None:
    cgroup = new_cgroup()
    place.more["shadow"] = {"roots": [f"{cgroup.parent}/{cgroup.name[:-1]}*"], "quarantine": True}
    node = await node_of(place, real)
    await node.push(place.signer.signed(document(generation=7)))
    told: asyncio.Queue[bytes] = asyncio.Queue()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CALL_OUT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with listening() as server:
        process.stdin.write(b"%d\n" % server.getsockname()[1])
        assert await process.stdout.readline() == b"0\n", "it could before"
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            looking = group.create_task(node.shadows.follow(told.put))
            (cgroup / "cgroup.procs").write_text(str(process.pid))
            shadow = json.loads(await told.get())["shadow"]
            looking.cancel()
        assert (shadow["cgroup"], shadow["quarantined"]) == (str(cgroup), True)
        process.stdin.write(b"%d\n" % server.getsockname()[1])
        assert await process.stdout.readline() == b"1\n", "a class without rules makes no socket"
    assert (await real.status()).classes["quarantine"]["denied"] == {"sock_create": 1}
    process.kill()
    await process.wait()
