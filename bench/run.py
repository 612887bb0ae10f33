"""One interleaved run of all legs: CPU time per request of each proxy, and how they compare.

    python -m bench.run [--rounds N] [--seconds S] [--connections C] [--results FOLDER] [--only LEG …]

The proxy has one core to itself, load and upstream share the other. Each round measures every leg once, and the
order turns from round to round; figures are medians over rounds. Only ratios within one run compare. A leg counts
only if the upstream served exactly as many requests as the load got answers to. Nothing is asserted about time.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.hopgate_leg import hopgate
from bench.identities import Identities, issue
from bench.legs import Leg, aiohttp, nginx
from bench.processes import LegError, busy_share, cores, cpu_seconds, free_port, running, wait_for_port
from bench.report import machine, table
from bench.workload import request

RESULTS = Path("bench", "results")
LEGS = {"nginx": nginx, "aiohttp": aiohttp, "hopgate": hopgate}
WARM_UP_SECONDS = 2.0
QUIET_SHARE = 0.1
Figures = dict[str, object]
"""Of one leg: medians by name, its version, and the rounds."""


@dataclass(frozen=True)
class Bench:
    """What the measurements of one run share."""

    work: Path
    identities: Identities
    upstream: subprocess.Popen[str]
    connections: int

    def served(self) -> int:
        """Requests that the upstream has answered so far."""
        assert self.upstream.stdin is not None
        assert self.upstream.stdout is not None
        self.upstream.stdin.write("\n")
        self.upstream.stdin.flush()
        return int(self.upstream.stdout.readline())

    def measure(self, leg: Leg, process: subprocess.Popen[str], seconds: float) -> dict[str, float]:
        """One round of ``leg``; ``LegError`` if an answer is wrong or the counts differ."""
        sent = self.work / f"{leg.name}.request"
        sent.write_bytes(request(leg.path, f"localhost:{leg.port}", leg.token))
        own = self.identities.client
        command: list[str | Path] = [sys.executable, "-m", "bench.load", str(leg.port), sent]
        command += [own.certificate, own.key, own.bundle, str(self.connections), str(seconds)]
        log = self.work / f"{leg.name}.load.log"
        with running(cores()[1], command, log) as load:
            assert load.stdin is not None
            assert load.stdout is not None
            if load.stdout.readline().strip() != "connected":
                raise LegError(f"no connection: {log.read_text()[-400:]}")
            served, used = self.served(), cpu_seconds(process.pid)
            load.stdin.write("go\n")
            load.stdin.flush()
            line = load.stdout.readline()
            used, served = cpu_seconds(process.pid) - used, self.served() - served
        if not line:
            raise LegError(f"the load broke off: {log.read_text()[-400:]}")
        seen = json.loads(line)
        if seen["wrong"]:
            raise LegError(f"{seen['wrong']} of {seen['requests']} answers are wrong, first: {seen['first_wrong']}")
        if served != seen["requests"]:
            raise LegError(f"{seen['requests']} answers, but the upstream served {served}")
        return {
            "cpu_us": 1e6 * used / seen["requests"],
            "requests": seen["requests"],
            "per_second": seen["requests"] / seen["seconds"],
            "p50_us": seen["p50_us"],
            "p99_us": seen["p99_us"],
        }


def measure_all(options: argparse.Namespace, work: Path) -> tuple[dict[str, Figures], dict[str, str]]:
    """Figures of each leg that ran, by name, and why the others did not."""
    left_out: dict[str, str] = {}
    started: dict[str, tuple[Leg, subprocess.Popen[str]]] = {}
    rounds: dict[str, list[dict[str, float]]] = {}
    identities, port = issue(work), free_port()
    with ExitStack() as stack:
        own = identities.upstream
        command: list[str | Path] = [sys.executable, "-m", "bench.upstream", str(port)]
        command += [own.certificate, own.key, own.bundle]
        upstream = stack.enter_context(running(cores()[1], command, work / "upstream.log"))
        assert upstream.stdout is not None
        if upstream.stdout.readline().strip() != "ready":
            raise LegError(f"the upstream doesn't start: {(work / 'upstream.log').read_text()[-400:]}")
        bench = Bench(work, identities, upstream, options.connections)
        for name in options.only:
            try:
                leg, log = LEGS[name](work, identities, port), work / f"{name}.log"
                process = stack.enter_context(running(cores()[0], leg.command, log))
                wait_for_port(process, leg.port, log)
                bench.measure(leg, process, WARM_UP_SECONDS)
                started[name], rounds[name] = (leg, process), []
            except LegError as error:
                left_out[name] = str(error)
        for number in range(options.rounds):
            names = list(started)
            for name in names[number % len(names) :] + names[: number % len(names)] if names else []:
                rounds[name].append(bench.measure(*started[name], options.seconds))
    figures = {name: summary(started[name][0], measured) for name, measured in rounds.items() if measured}
    return figures, left_out


def summary(leg: Leg, rounds: list[dict[str, float]]) -> Figures:
    """Medians over rounds, and the rounds themselves."""
    medians = {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}
    return {"version": leg.version, **medians, "rounds": rounds}


def main() -> int:
    """Entry point; 1 if a leg is left out or broke."""
    parser = argparse.ArgumentParser(prog="bench", description="CPU time per request, side by side")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each leg in each round")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder that the JSON is written to")
    parser.add_argument("--only", nargs="+", choices=list(LEGS), default=list(LEGS))
    options = parser.parse_args()
    busy = busy_share()
    if busy > QUIET_SHARE:
        print(f"bench: this machine is {busy:.0%} busy with other work; expect ratios to wander", flush=True)
    with tempfile.TemporaryDirectory(prefix="hopgate-bench-") as folder:
        try:
            figures, left_out = measure_all(options, Path(folder))
        except LegError as error:
            print(f"bench: {error}", file=sys.stderr)
            return 1
    print(table(figures))
    for name, why in left_out.items():
        print(f"bench: left out: {name}; {why}")
    now = datetime.now(UTC)
    options.results.mkdir(parents=True, exist_ok=True)
    file = options.results / f"{now:%Y%m%dT%H%M%SZ}.json"
    document = {
        "at": now.isoformat(timespec="seconds"),
        "machine": machine(busy),
        "python": platform.python_version(),
        "rounds": options.rounds,
        "seconds": options.seconds,
        "connections": options.connections,
        "legs": figures,
        "left_out": left_out,
    }
    file.write_text(json.dumps(document, indent=2) + "\n")
    print(f"written to {file}")
    return 1 if left_out else 0


if __name__ == "__main__":
    sys.exit(main())
