"""The benchmark of decisions asks what it says: warm calls are remembered, cold ones aren't, slices are small."""

import json
import subprocess
import sys
from pathlib import Path

from bench.policy import OWN, cold, compiled, hop, measured, policies, registry, run

ROOT = Path(__file__).resolve().parents[2]


def test_warm_calls_are_hits_and_cold_calls_misses() -> None:
    case = compiled("30", policies(30, OWN), registry(300))
    memory = case.bundle.memory
    measured([hop(1, 1, 1, 1)] * 5, case.bundle)
    assert (memory.hits, memory.misses, memory.unkept) == (4, 1, 0)
    asked = cold(0, 50, 300)
    measured(asked, case.bundle)
    assert (memory.hits, memory.misses, memory.unkept) == (4, 51, 0)
    assert len({(each.agent, each.call.resource, each.user) for each in (*asked, *cold(1, 50, 300))}) == 100
    assert max(case.bundle.cuts.enforced.sizes()) < 10
    assert len(case.bundle.policies) == 30
    assert run([case], rounds=1, calls=20, agents=300).keys() == {"30"}


def test_a_short_run_writes_its_figures(tmp_path: Path) -> None:
    options = ["--rounds", "1", "--calls", "20", "--agents", "200", "--entries", "40", "--results", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "bench.policy", *options], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = tmp_path.glob("policy-*.json")
    result = json.loads(file.read_text())
    assert list(result["figures"]) == ["10", "100", "1,000", "1,000 without scopes"]
    assert all(set(legs) == {"warm", "unkept", "cold"} for legs in result["figures"].values())
    assert result["memory"]["entries"] == 40
