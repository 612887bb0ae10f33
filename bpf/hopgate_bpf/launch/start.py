"""Becomes the parent of one agent: the child is in its cgroup, has lost its privileges and is filtered before it runs.

The parent stays outside, passes signals on, and removes the cgroup when nothing is left in it. Decides nothing about
rules; that they are in force was made sure before.
"""

import os
import shutil
import signal
import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from hopgate_bpf.launch.privileges import Account, become, drop_capabilities
from hopgate_bpf.launch.seccomp import forgo_privileges, install
from hopgate_bpf.node.cgroups import move
from hopgate_bpf.rules.refusal import Reason, RefusedError

PASSED_ON = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
_FROM_KERNEL = 0x80
"""``si_code`` of a signal that a terminal sent: its whole foreground group got it (sigaction(2))."""
_NOT_STARTED = 127
_FAILURE = struct.Struct("i")


class Agent(Struct, frozen=True):
    """What to run, and as whom."""

    program: str
    """A path."""
    arguments: tuple[str, ...]
    """The program's name first."""
    environment: Mapping[str, str]
    account: Account | None
    """None: as who starts it."""
    filter: bytes | None
    """A seccomp program; None: system calls aren't filtered."""
    keeps_capabilities: bool = False


def program_of(command: str, search: str | None) -> str:
    """The path of the program that ``command`` names, found along ``search`` as a shell does.

    Raises:
        RefusedError: PROGRAM_UNKNOWN.
    """
    found = shutil.which(command, path=search)
    if found is None:
        raise RefusedError(Reason.PROGRAM_UNKNOWN, f"{command[:200]}: no such program, or not executable")
    return os.path.abspath(found)


def run(agent: Agent, cgroup: Path) -> int:
    """Run it in ``cgroup`` to its end; its exit status, or 128 and the number of the signal that ended it.

    Raises:
        RefusedError: PROGRAM_UNKNOWN, it can't be started; nothing runs.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {*PASSED_ON, signal.SIGCHLD})
    gate_read, gate_write = os.pipe()
    failed_read, failed_write = os.pipe()
    child = os.fork()
    if child == 0:
        _child(agent, gate_read, gate_write, failed_write)
    os.close(gate_read)
    os.close(failed_write)
    try:
        move(child, cgroup)
        os.write(gate_write, b"\0")
    except OSError as error:
        # With the gate closed unopened, the child ends without having run anything.
        os.close(gate_write)
        os.waitpid(child, 0)
        raise RefusedError(Reason.CGROUP_UNKNOWN, f"{cgroup}: {error.strerror}") from None
    os.close(gate_write)
    failure = os.read(failed_read, _FAILURE.size)
    os.close(failed_read)
    status = _waited(child)
    if len(failure) == _FAILURE.size:
        (number,) = _FAILURE.unpack(failure)
        raise RefusedError(Reason.PROGRAM_UNKNOWN, f"{agent.program}: {os.strerror(number)}")
    return status


def _child(agent: Agent, gate: int, other_end: int, failed: int) -> None:
    """Never returns."""
    try:
        os.close(other_end)
        if os.read(gate, 1) != b"\0":
            os._exit(_NOT_STARTED)
        for step in _steps(agent, failed):
            step()
        os.execve(agent.program, agent.arguments, agent.environment)  # noqa: S606 - no shell is wanted
    except OSError as error:
        os.write(failed, _FAILURE.pack(error.errno or 0))
    finally:
        os._exit(_NOT_STARTED)


def _steps(agent: Agent, failed: int) -> Sequence[Callable[[], None]]:
    """What the child does to itself, in this order: each later step needs fewer privileges."""
    steps: list[Callable[[], None]] = [_close_inherited]
    if not agent.keeps_capabilities:
        steps.append(drop_capabilities)
    if agent.account is not None:
        account = agent.account
        steps.append(lambda: become(account))
    steps += [forgo_privileges, _restore_signals]
    if agent.filter is not None:
        program = agent.filter
        steps.append(lambda: install(program))
    return steps


def _close_inherited() -> None:
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            try:
                os.set_inheritable(int(name), False)
            except OSError:
                continue


def _restore_signals() -> None:
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _waited(child: int) -> int:
    """The child's status once it ended; signals that come meanwhile are passed on to it."""
    while True:
        got = signal.sigwaitinfo({*PASSED_ON, signal.SIGCHLD})
        if got.si_signo == signal.SIGCHLD:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code
        elif got.si_code != _FROM_KERNEL:
            os.kill(child, got.si_signo)
