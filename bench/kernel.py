"""What the kernel half costs, as ratios of one interleaved run: networks natively, files and programs in QEMU.

    PYTHONPATH=bpf python -m bench.kernel [--rounds N] [--results FILE]

Each round measures without the programs, then loaded outside of any class, then as an agent with rules; figures are
medians of each round's ratio. Emulated figures compare with each other alone. Nothing is asserted about time. Needs
root, and what tests/kernel needs.
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

from hopgate_bpf.rules.document import Files, NetworkRule
from tests.kernel.building import built
from tests.kernel.guest_run import Line, run_guest
from tests.kernel.host import Host, host
from tests.kernel.images import image, rules
from tests.kernel.machine import KERNELS
from tests.kernel.patterns import automaton

TIMES = {"udp": 200_000, "tcp": 4_000}
NAMES = {"udp": "UDP connect", "tcp": "TCP connect"}
Ratios = Mapping[str, tuple[float, float]]
"""What was done → cost as an agent, and outside of any class, each as a multiple of the cost without the programs."""


def main() -> None:
    """Measure, print the tables, and keep the figures if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9, help="of the native part; the guest has 12")
    parser.add_argument("--results", type=Path, help="where to write the figures as JSON")
    options = parser.parse_args()
    found: dict[str, Ratios] = {f"{platform.release()}, native": measure_network(options.rounds)}
    for series in KERNELS:
        with tempfile.TemporaryDirectory() as folder:
            run = run_guest(series, Path(folder), measure=True)
        found[f"{run.version}, emulated"] = ratios_of(run.measures)
    print(table(found))
    if options.results:
        options.results.write_text(json.dumps(found, indent=1) + "\n")


def measure_network(rounds: int) -> Ratios:
    """Connects on the loopback address by a C program."""
    taken: dict[str, list[tuple[float, float]]] = {kind: [] for kind in TIMES}
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as server, host("bench") as here:
        port: int = server.getsockname()[1]
        for _ in range(rounds):
            _round(here, port, taken)
    return {NAMES[kind]: _median(each) for kind, each in taken.items()}


def _round(here: Host, port: int, taken: Mapping[str, list[tuple[float, float]]]) -> None:
    outside, agent = here.cgroup("outside"), here.cgroup("agent")
    without = {kind: _connects(outside, kind, port) for kind in TIMES}
    here.run("load")
    network = (NetworkRule("permit", "127.0.0.1", port, None, 0, False),)
    with tempfile.TemporaryDirectory() as folder:
        here.apply(image(1, (rules("agent", files=Files(automaton([]), ()), network=network),)), Path(folder))
    here.run("join", "agent", str(agent))
    for kind, each in taken.items():
        each.append((_connects(agent, kind, port) / without[kind], _connects(outside, kind, port) / without[kind]))
    here.run("unload")


def _connects(cgroup: Path, kind: str, port: int) -> float:
    """Seconds for so many connects by a process in ``cgroup``."""
    script = 'echo 0 > "$1/cgroup.procs" && exec "$2" "$3" "$4" "$5"'
    words = [str(cgroup), str(built() / "init"), kind, str(port), str(TIMES[kind])]
    done = subprocess.run(["sh", "-c", script, "sh", *words], capture_output=True, text=True, check=True, timeout=300)
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
