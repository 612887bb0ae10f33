"""What the kernel half costs, as ratios of one interleaved run: networks natively, files and programs in QEMU.

    PYTHONPATH=bpf python -m bench.kernel [--rounds N] [--results FILE]

Each round measures without the programs, then loaded outside of any class, then as an agent with rules; figures are
medians of each round's ratio. In QEMU the clock counts instructions, so those ratios are of instructions, not of time.
Nothing is asserted. Needs root, and what tests/kernel needs.
"""

import argparse
import json
import platform
import socket
import statistics
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from hopgate_bpf.rules.document import NetworkRule
from tests.kernel.building import built
from tests.kernel.guest_run import Line, run_guest
from tests.kernel.host import Host, host
from tests.kernel.images import FILES_OF_NOTHING, image, rules
from tests.kernel.machine import KERNELS

TIMES = {"udp": 200_000, "tcp": 3_000}
BACKLOG = 4096
"""More than ``TIMES`` and a tenth to warm up: nobody accepts. At most net.core.somaxconn, 4096 by default."""
NAMES = {"udp": "UDP connect", "tcp": "TCP connect"}
Ratios = Mapping[str, tuple[float, float]]
"""What was done → cost as an agent, and outside of any class, each as a multiple of the cost without the programs."""


def main() -> None:
    """Measure, print the tables, and keep the figures if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9, help="of the native part; the guest has 4")
    parser.add_argument("--results", type=Path, help="where to write the figures as JSON")
    options = parser.parse_args()
    found: dict[str, Ratios] = {f"{platform.release()}, time": measure_network(options.rounds)}
    for series in KERNELS:
        with tempfile.TemporaryDirectory() as folder:
            run = run_guest(series, Path(folder), measure=True)
        found[f"{run.version}, instructions"] = ratios_of(run.measures)
    print(table(found))
    if options.results:
        options.results.write_text(json.dumps(found, indent=1) + "\n")


def measure_network(rounds: int) -> Ratios:
    """Connects on the loopback address by a C program."""
    taken: dict[str, list[tuple[float, float]]] = {kind: [] for kind in TIMES}
    with host("bench") as here:
        for _ in range(rounds):
            _round(here, taken)
    return {NAMES[kind]: _median(each) for kind, each in taken.items()}


def _round(here: Host, taken: Mapping[str, list[tuple[float, float]]]) -> None:
    outside, agent = here.cgroup("outside"), here.cgroup("agent")
    without = {kind: _connects(outside, kind) for kind in TIMES}
    here.run("load")
    network = (NetworkRule("permit", "127.0.0.1", None, None, 0, False),)
    with tempfile.TemporaryDirectory() as folder:
        here.apply(image(1, (rules("agent", files=FILES_OF_NOTHING, network=network),)), Path(folder))
    here.run("join", "agent", str(agent))
    for kind, each in taken.items():
        each.append((_connects(agent, kind) / without[kind], _connects(outside, kind) / without[kind]))
    here.run("unload")


def _connects(cgroup: Path, kind: str) -> float:
    """Seconds for so many connects by a process in ``cgroup``."""
    script = 'echo 0 > "$1/cgroup.procs" && exec "$2" "$3" "$4" "$5"'
    with socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as server:
        words = [str(cgroup), str(built() / "init"), kind, str(server.getsockname()[1]), str(TIMES[kind])]
        command = ["sh", "-c", script, "sh", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    return float(done.stdout)


def ratios_of(measures: Sequence[Line]) -> Ratios:
    """The guest's turns: agent over outside of the same turn, and loaded over unloaded."""
    found = {}
    for name in dict.fromkeys(line["measure"] for line in measures if "agent" in line):
        turns = [line["agent"] / line["outside"] for line in measures if line["measure"] == name]
        loaded = statistics.median(line["outside"] for line in measures if line["measure"] == f"{name} loaded")
        unloaded = statistics.median(line["outside"] for line in measures if line["measure"] == f"{name} unloaded")
        scope = loaded / unloaded
        found[name] = (statistics.median(turns) * scope, scope)
    return found


def _median(pairs: list[tuple[float, float]]) -> tuple[float, float]:
    return statistics.median(agent for agent, _ in pairs), statistics.median(outside for _, outside in pairs)


def table(found: Mapping[str, Ratios]) -> str:
    """For the page."""
    lines = ["| kernel | what | as an agent | outside of any class |", "|---|---|---|---|"]
    for kernel, ratios in found.items():
        lines += [f"| {kernel} | {name} | ×{agent:.2f} | ×{outside:.2f} |" for name, (agent, outside) in ratios.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
