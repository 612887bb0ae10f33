"""The benchmark measures what it says: sizes, counts and CPU time. Nothing about how fast anything is."""

import json
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from bench.identities import issue
from bench.legs import Leg
from bench.processes import LegError, cpu_seconds, free_port, running
from bench.report import table
from bench.run import Bench
from bench.workload import answer_body, call, request, request_body

ROOT = Path(__file__).resolve().parents[2]


def test_the_workload_has_the_size_that_is_published() -> None:
    assert len(request_body()) == 900
    assert 1000 <= len(answer_body()) <= 1050
    assert json.loads(request_body())["id"] == json.loads(answer_body())["id"]


def test_the_request_is_framed_by_its_length() -> None:
    head, _, body = request("/mcp", "localhost:1", "t0ken").partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head.split(b"\r\n")
    assert b"Authorization: Bearer t0ken" in head.split(b"\r\n")
    assert b"Authorization" not in request("/mcp", "localhost:1", None)
    assert json.loads(call("x"))["params"]["arguments"] == {"question": "x"}


def test_cpu_time_is_counted_over_the_whole_process_tree(tmp_path: Path) -> None:
    burn = "import time\nwhile time.process_time() < 0.3: pass\nprint('burnt', flush=True)\ntime.sleep(60)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}])"
    with running(0, [sys.executable, "-c", parent], tmp_path / "log") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "burnt\n"
        used = cpu_seconds(process.pid)
        subprocess.run([sys.executable, "-c", "import time\nwhile time.process_time() < 0.3: pass"], check=True)
        assert used >= 0.25
        assert cpu_seconds(process.pid) - used < 0.1


def test_ratios_are_of_medians_and_a_missing_reference_is_a_dash() -> None:
    def leg(cpu: float) -> dict[str, object]:
        return {"cpu_us": cpu, "per_second": 1.0, "p50_us": 1.0, "p99_us": 1.0, "version": "1"}

    lines = table({"nginx": leg(20), "hopgate": leg(50)}).splitlines()
    assert lines[2].split()[:4] == ["hopgate", "50.0", "2.50", "–"]


@pytest.mark.parametrize("name", ["aiohttp", "hopgate"])
def test_a_short_run_measures_a_real_proxy_and_counts_agree(name: str, tmp_path: Path) -> None:
    start = time.monotonic()
    options = ["--rounds", "1", "--seconds", "0.3", "--connections", "4", "--only", name]
    command: list[str | Path] = [sys.executable, "-m", "bench.run", *options, "--results", tmp_path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = tmp_path.glob("*.json")
    result = json.loads(file.read_text())
    (measured,) = result["legs"][name]["rounds"]
    assert result["left_out"] == {}
    assert measured["requests"] > 0
    assert 0 < measured["cpu_us"] * measured["requests"] < 1e6 * (time.monotonic() - start)


def test_a_proxy_that_answers_by_itself_does_not_count(tmp_path: Path) -> None:
    identities, (proxy_port, upstream_port) = issue(tmp_path), (free_port(), free_port())
    own = identities.upstream

    def upstream(port: int) -> tuple[str | Path, ...]:
        return (sys.executable, "-m", "bench.upstream", str(port), own.certificate, own.key, own.bundle)

    with ExitStack() as stack:
        # Another upstream in the proxy's place: right answers, none of them from the upstream that counts.
        liar, counted = (
            stack.enter_context(running(0, upstream(port), tmp_path / f"{port}.log"))
            for port in (proxy_port, upstream_port)
        )
        for process in (liar, counted):
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        bench = Bench(tmp_path, identities, counted, connections=1)
        with pytest.raises(LegError, match="the upstream served 0"):
            bench.measure(Leg("liar", "1", upstream(proxy_port), proxy_port), liar, 0.1)
