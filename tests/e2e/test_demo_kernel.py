"""``make demo-kernel ONCE=1``, as a user runs it; and what it says where it can't run."""

import os
import re
import subprocess
import sys
from pathlib import Path

from demo.kernel import needs
from demo.site import REPOSITORY
from tests.peers.parts import refuse

README = (REPOSITORY / "README.md").read_text()
AS_NOBODY = "import os, sys; from demo.kernel.run import main; os.geteuid() or os.seteuid(65534); sys.exit(main())"


def told(*command: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    paths = f"{REPOSITORY}{os.pathsep}{REPOSITORY / 'bpf'}"
    return subprocess.run(
        [sys.executable, *command],
        cwd=REPOSITORY, env={**os.environ, "PYTHONPATH": paths, **environment},
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip


def test_both_attempts_are_refused_and_recorded(tmp_path: Path) -> None:
    if lacking := needs.missing():
        refuse(f"missing: {'; '.join(lacking)}")
    pins = set(needs.BPF.iterdir())
    done = told("-m", "demo.kernel.run", "--once", "--directory", str(tmp_path / "work"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    rows = [line for line in done.stdout.splitlines() if re.match(r"(ok|FAILED)  ", line)]
    assert all(row.startswith("ok") for row in rows)
    seen = "\n".join(rows)
    for row in rows:
        assert row.partition("  ")[2].partition(" (Linux")[0].split("  ")[0] in README
    for expected in ("permitted ", "ECONNREFUSED ", "EPERM "):
        assert seen.count(expected) == 2
    records = done.stdout[done.stdout.index("$ hopgate audit query --agent guest") :]
    assert re.search(r"permit .*invokeTool .*ledger/read_balance.* analysts-read-balances", records)
    assert re.search(r"deny +guest on worker-1 +connectNetwork .*kernel_denied", records)
    assert re.search(
        r"deny +guest on worker-1 +readFile .*payroll-key.*kernel_denied \(nobody-reads-secrets\)", records
    )
    assert not {each for each in set(needs.BPF.iterdir()) - pins if "demo" in each.name}


def test_without_root_it_says_so() -> None:
    done = told("-c", AS_NOBODY, "--once")
    assert done.returncode == 2
    assert "root: loading BPF programs takes it; type: sudo make demo-kernel" in done.stderr


def test_missing_commands_are_named_with_their_packages(tmp_path: Path) -> None:
    done = told("-m", "demo.kernel.run", "--once", "--directory", str(tmp_path / "work"), PATH=str(tmp_path))
    assert done.returncode == 2
    assert "clang; type: sudo apt install clang llvm" in done.stderr
    if not needs.has_lsm():
        assert "qemu-system-x86_64; type: sudo apt install qemu-system-x86" in done.stderr
    assert not (tmp_path / "work").exists()
