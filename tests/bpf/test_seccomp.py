"""A class's system calls as the kernel filters them: in a real process, by its real errno."""

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Callable, Sequence

import pytest

from hopgate_bpf.launch.seccomp import compiled, forgo_privileges, install
from hopgate_bpf.rules.refusal import Reason, RefusedError

RUNS_PYTHON = ("brk", "mmap", "munmap", "mremap", "futex", "write", "exit_group", "rt_sigaction", "execve", "read")
X32 = 0x40000000
MKDIR = {"x86_64": 83, "aarch64": 34}[platform.machine()]
GETPID = {"x86_64": 39, "aarch64": 172}[platform.machine()]


def in_child(allowed: Sequence[str], number: int) -> tuple[int, int]:
    """Result and errno of a system call without arguments, under the filter."""
    program = compiled(allowed)
    libc = ctypes.CDLL(None, use_errno=True)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            forgo_privileges()
            install(program)
            ctypes.set_errno(0)
            result = libc.syscall(number, 0, 0, 0)
            os.write(writing, struct.pack("ii", 1 if result > 0 else result, ctypes.get_errno()))
        finally:
            os._exit(0)
    os.close(writing)
    said = os.read(reading, 8)
    os.close(reading)
    assert os.waitpid(child, 0)[1] == 0
    result, error = struct.unpack("ii", said)
    return result, error


def test_what_is_listed_is_allowed_and_everything_else_is_not_permitted() -> None:
    assert in_child([*RUNS_PYTHON, "getpid"], GETPID) == (1, 0)
    assert in_child(RUNS_PYTHON, GETPID) == (-1, 1)
    assert in_child(RUNS_PYTHON, MKDIR) == (-1, 1)


def test_the_other_table_of_the_processor_is_not_permitted() -> None:
    if platform.machine() == "x86_64":
        assert in_child([*RUNS_PYTHON, "getpid"], X32 | GETPID) == (-1, 1)
    assert in_child(RUNS_PYTHON, 100_000) == (-1, 1)


def test_a_program_could_not_be_started_without_execve() -> None:
    with pytest.raises(RefusedError, match="execve is not permitted") as caught:
        compiled(["read"])
    assert caught.value.reason is Reason.SYSTEM_CALLS


def test_names_that_no_architecture_has_are_refused() -> None:
    with pytest.raises(RefusedError, match=r"no system call opennat, reed$"):
        compiled(["execve", "reed", "opennat"])


def test_names_of_other_architectures_allow_nothing_here() -> None:
    foreign = "arm_fadvise64_64" if platform.machine() == "x86_64" else "open"
    assert in_child([*RUNS_PYTHON, foreign], GETPID) == (-1, 1)


def test_a_filter_of_every_call_fits_and_equal_lists_give_equal_filters() -> None:
    names = ["execve", *(f"{word}{end}" for word in ("read", "write", "open", "clone", "dup") for end in ("",))]
    assert compiled(names) == compiled([*reversed(names), "read"])
    assert len(compiled(names)) % 8 == 0


def test_no_new_privileges_are_for_ever() -> None:
    def child() -> int:
        forgo_privileges()
        with open("/proc/self/status") as status:
            return "NoNewPrivs:\t1" in status.read()

    assert forked(child) == 1


def forked(work: Callable[[], int]) -> int:
    child = os.fork()
    if child == 0:
        code = 255
        try:
            code = int(work())
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_filter_that_is_no_program_is_refused_by_the_kernel() -> None:
    def child() -> int:
        forgo_privileges()
        try:
            install(b"\xff" * 16)
        except OSError as error:
            return error.errno or 0
        return 0

    assert forked(child) == errno.EINVAL
