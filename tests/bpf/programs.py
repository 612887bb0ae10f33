"""What stands for ``hopgate-bpf-loader`` where BPF isn't the matter, and ``hopgate-bpf`` itself."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

STAND_IN = '''#!{python}
"""A loader that enforces nothing: it keeps what it is told in a file beside its pins, as JSON."""
import fcntl, json, pathlib, struct, sys, time
assert sys.argv[1] == "--pins" and sys.argv[3] == "--cgroup-root"
file = pathlib.Path(sys.argv[2])
command, *rest = sys.argv[5:]
lock = open(str(file) + ".lock", "w")
fcntl.flock(lock, fcntl.LOCK_EX)
hooks = dict.fromkeys(["connect4", "connect6", "sendmsg4", "sendmsg6", "bind4", "bind6", "sock_create"], True)
new = {{"loaded": False, "generation": 0, "hooks": hooks, "not_enforced": [], "joined": {{}}, "calls": []}}
state = json.loads(file.read_text()) if file.exists() else new
state["calls"].append([command, *rest])
if command in state.get("fails", {{}}):
    sys.exit(print(json.dumps({{"error": state["fails"][command], "code": "x"}}), file=sys.stderr) or 1)
if command in state.get("hangs", []):
    fcntl.flock(lock, fcntl.LOCK_UN)
    time.sleep(60)
if command == "load":
    state["loaded"] = True
elif command == "apply":
    image = pathlib.Path(rest[0]).read_bytes()
    state["generation"] = struct.unpack_from("<Q", image, 24)[0]
    print(json.dumps({{"generation": state["generation"], "anchors_missing": 2}}))
elif command == "join":
    state["joined"][rest[1]] = rest[0]
elif command == "leave":
    state["joined"].pop(rest[0], None)
elif command == "status":
    print(json.dumps(state))
elif command == "events":
    print(json.dumps({{"class": "data-analyst", "policy": 0, "generation": state["generation"]}}), flush=True)
    print("x" * 100_000, flush=True)
    print(json.dumps({{"second": True}}), flush=True)
file.write_text(json.dumps(state))
if command == "events":
    fcntl.flock(lock, fcntl.LOCK_UN)
    time.sleep(60)
'''


def stand_in(folder: Path) -> Path:
    """The stand-in as a program in ``folder``."""
    program = folder / "stand-in-loader"
    program.write_text(STAND_IN.format(python=sys.executable))
    program.chmod(0o755)
    return program


def command(*words: str | Path) -> list[str]:
    """``hopgate-bpf`` with ``words``."""
    return [sys.executable, "-c", "from hopgate_bpf.cli import main; main()", *map(str, words)]


ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "bpf")}


def hopgate_bpf(*words: str | Path, **more: Any) -> "subprocess.CompletedProcess[str]":
    """``hopgate-bpf`` run to its end."""
    return subprocess.run(
        command(*words), env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False, **more
    )
