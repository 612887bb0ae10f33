"""``hopgate-bpf exec``: an agent is started under its class's rules, or not at all."""

import json
import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hopgate_bpf.launch.scope import scoped
from tests.bpf.documents import Signer, class_rules, document
from tests.bpf.nodes import Place
from tests.bpf.programs import ENVIRONMENT, command, hopgate_bpf, stand_in

CALLS = [
    *("access", "arch_prctl", "brk", "close", "dup", "execve", "exit_group", "faccessat", "faccessat2"),
    *("fcntl", "fstat", "futex", "getdents64", "getegid", "geteuid", "getgid", "getpid", "getrandom"),
    *("getuid", "ioctl", "lseek", "mmap", "mprotect", "mremap", "munmap", "newfstatat", "openat", "pread64"),
    *("prlimit64", "read", "readlink", "rseq", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn"),
    *("set_robust_list", "set_tid_address", "sigaltstack", "write"),
]
RULES = [class_rules(), class_rules("narrow", system_calls={"allowed": CALLS})]


class Host:
    """A node whose rules are in force by the stand-in loader's word."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.pins = place.folder / "pins"
        program = str(stand_in(place.folder))
        place.more = {"loader": {"program": program, "pins": str(self.pins), "seconds": 20}}
        self.config = place.folder / "config.yaml"
        self.config.write_text(json.dumps(place.plain))
        self.accept(place.signer)

    @property
    def parent(self) -> Path:
        return Path(self.place.settings.cgroups.parent)

    def accept(self, signer: Signer, **more: Any) -> None:
        jws = signer.signed(document(*RULES, generation=8)).decode()
        kept = {"schema": "hopgate-bpf.accepted/1", "generation": 8, "sha256": "0" * 64, "jws": jws}
        (self.place.folder / "state" / "accepted.json").write_text(json.dumps(kept | more))
        names = ("connect4", "connect6", "sendmsg4", "sendmsg6", "bind4", "bind6", "sock_create")
        self.kernel(loaded=True, generation=8, hooks=dict.fromkeys(names, True), not_enforced=[], joined={}, calls=[])

    def kernel(self, **state: Any) -> dict[str, Any]:
        now: dict[str, Any] = json.loads(self.pins.read_text()) if self.pins.exists() else {}
        self.pins.write_text(json.dumps(now | state))
        return now

    def words(self, *words: str, name: str = "data-analyst") -> list[str | Path]:
        return ["exec", "--config", self.config, "--class", name, *words]

    def run(self, *words: str, name: str = "data-analyst", **more: Any) -> "subprocess.CompletedProcess[str]":
        return hopgate_bpf(*self.words(*words, name=name), **more)


@pytest.fixture
def host(place: Place) -> Iterator[Host]:
    host = Host(place)
    yield host
    if host.parent.exists():
        host.parent.rmdir()


def test_an_agent_runs_in_a_cgroup_of_its_own_that_was_joined_before_and_is_gone_after(host: Host) -> None:
    done = host.run("--", "cat", "/proc/self/cgroup")
    assert (done.returncode, done.stderr) == (0, "")
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("0::")]
    made = host.parent / Path(line).name
    assert made.name.startswith("data-analyst-")
    calls = host.kernel()["calls"]
    assert calls == [["status"], ["join", "data-analyst", str(made)], ["leave", str(made)]]
    assert list(host.parent.iterdir()) == [each for each in host.parent.iterdir() if each.is_file()]


def test_its_status_is_the_agents_own(host: Host) -> None:
    assert host.run("--", "sh", "-c", "exit 7").returncode == 7
    assert host.run("--", "sh", "-c", "kill -9 $$").returncode == 137


def test_signals_reach_the_agent(host: Host) -> None:
    script = "trap 'echo stopped; exit 3' TERM; echo ready; while :; do sleep 0.01; done"
    process = subprocess.Popen(
        command(*host.words("--", "sh", "-c", script)), env=ENVIRONMENT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.stdout.read() == "stopped\n"
    assert process.wait(20) == 3


def test_an_agent_gets_no_privileges_and_no_open_files(host: Host) -> None:
    read_end, write_end = os.pipe()
    os.set_inheritable(read_end, True)
    script = (
        "import os; print(sorted(map(int, os.listdir('/proc/self/fd')))[:4]); print(open('/proc/self/status').read())"
    )
    done = host.run("--", sys.executable, "-Sc", script, close_fds=False)
    os.close(read_end)
    os.close(write_end)
    assert done.stdout.startswith("[0, 1, 2, 3]\n"), done.stderr
    assert "NoNewPrivs:\t1" in done.stdout
    (bounding,) = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("CapBnd")]
    assert not int(bounding, 16) & (1 << 21 | 1 << 39 | 1 << 12)
    kept = host.run("--keep-capabilities", "--", "grep", "CapEff", "/proc/self/status").stdout
    assert int(kept.split()[1], 16) & (1 << 21)


def test_an_agent_runs_as_another_user(host: Host) -> None:
    entry = pwd.getpwnam("nobody")
    done = host.run("--user", "nobody", "--", "sh", "-c", "id -u; id -G; echo $HOME $USER")
    assert done.stdout.split("\n")[:3] == [str(entry.pw_uid), str(entry.pw_gid), f"{entry.pw_dir} nobody"]
    assert "no such user" in host.run("--user", "no-such-user", "--", "true").stderr


def test_system_calls_of_the_class_are_filtered(host: Host) -> None:
    allowed = host.run("--", "sh", "-c", "kill -0 $$ && echo may").stdout
    done = host.run("--", "/bin/sh", "-c", "kill -0 $$ || echo may not", name="narrow")
    assert (allowed, done.stdout) == ("may\n", "may not\n"), done.stderr
    assert "Seccomp:\t2" in host.run("--", "cat", "/proc/self/status", name="narrow").stdout


@pytest.mark.parametrize(
    ("kernel", "words"),
    [
        ({"loaded": False}, "aren't pinned"),
        ({"generation": 7}, "generation 8 was accepted, the kernel has 7"),
        ({"generation": 0}, "the kernel has none"),
        ({"hooks": {"connect4": False}}, "not attached any more: bind4, bind6, connect4"),
        ({"not_enforced": ["files: no BPF LSM"]}, "doesn't enforce all: files: no BPF LSM"),
        ({"fails": {"status": "no pins"}}, "status: no pins"),
        ({"fails": {"join": "the map is full"}}, "join: the map is full"),
    ],
)
def test_nothing_is_started_unless_the_kernel_has_the_rules(host: Host, kernel: dict[str, Any], words: str) -> None:
    host.kernel(**kernel)
    done = host.run("--", "echo", "started")
    assert (done.returncode, done.stdout) == (125, "")
    assert words in done.stderr
    assert not host.parent.exists() or not [each for each in host.parent.iterdir() if each.is_dir()]


def test_what_a_kernel_cannot_enforce_is_left_out_only_when_asked(host: Host) -> None:
    host.kernel(not_enforced=["files: no BPF LSM"])
    assert host.run("--partly", "--", "echo", "started").stdout == "started\n"


def test_nothing_is_started_unless_the_accepted_rules_are_genuine(host: Host) -> None:
    host.accept(Signer())
    assert "signature_invalid" in host.run("--", "true").stderr
    host.accept(host.place.signer, generation=9)
    host.kernel(generation=9)
    assert "generation 8 was accepted, the kernel has 9" in host.run("--", "true").stderr
    (host.place.folder / "state" / "accepted.json").unlink()
    done = host.run("--", "true")
    assert (done.returncode, "no rules were accepted yet" in done.stderr) == (125, True)


def test_what_cannot_be_started_is_named(host: Host) -> None:
    assert "no rules for analyst, but for: data-analyst, narrow" in host.run("--", "true", name="analyst").stderr
    assert "no-such-program: no such program" in host.run("--", "no-such-program").stderr
    text = host.place.folder / "text"
    text.write_text("not a program")
    text.chmod(0o755)
    done = host.run("--", str(text))
    assert (done.returncode, "Exec format error" in done.stderr) == (125, True)
    assert not [each for each in host.parent.iterdir() if each.is_dir()], "nothing is left behind"


def test_what_an_agent_leaves_running_stays_under_its_rules(host: Host) -> None:
    done = host.run("--", "sh", "-c", "sleep 60 >/dev/null 2>&1 & echo $!")
    (made,) = [each for each in host.parent.iterdir() if each.is_dir()]
    assert (made / "cgroup.procs").read_text() == done.stdout
    assert host.kernel()["joined"] == {str(made): "data-analyst"}
    (made / "cgroup.kill").write_text("1")
    while "populated 1" in (made / "cgroup.events").read_text():
        os.sched_yield()
    made.rmdir()


def test_a_scope_runs_the_same_command_inside(host: Host, tmp_path: Path) -> None:
    systemd_run = tmp_path / "bin" / "systemd-run"
    systemd_run.parent.mkdir()
    systemd_run.write_text('#!/bin/sh\necho "$@"\n')
    systemd_run.chmod(0o755)
    paths = f"{systemd_run.parent}:{ENVIRONMENT['PATH']}"
    done = subprocess.run(
        command(*host.words("--scope", "--", "echo", "--scope")),
        env=ENVIRONMENT | {"PATH": paths}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "--scope --quiet --collect --unit=hopgate-data-analyst-" in done.stdout
    assert "--property=Delegate=yes" in done.stdout
    assert done.stdout.endswith("--class data-analyst --here -- echo --scope\n")
    assert scoped("team/analyst", ["x"])[4].startswith("--unit=hopgate-team-analyst-")


def test_inside_a_scope_the_cgroup_is_made_in_ones_own(host: Host) -> None:
    done = host.run("--here", "--", "cat", "/proc/self/cgroup")
    (own,) = [line for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::")]
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("0::")]
    assert Path(line).parent == Path(own), done.stderr
