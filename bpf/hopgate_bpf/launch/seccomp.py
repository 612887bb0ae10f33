"""System calls of a class as a seccomp filter: what is listed is allowed, everything else gets EPERM.

Compiled by libseccomp, which knows the numbers of each architecture. Calls by another architecture's table (x32,
32 bit) get EPERM too. Arguments are not looked at.
"""

import ctypes
import os
from collections.abc import Sequence
from functools import lru_cache

from hopgate_bpf.rules.refusal import Reason, RefusedError

LIBRARY = "libseccomp.so.2"
MAX_INSTRUCTIONS = 4096
"""BPF_MAXINSNS of the kernel."""
STARTS_PROGRAMS = "execve"
"""The launcher's own last call, made under the filter."""

_ALLOW = 0x7FFF0000
_EPERM = 0x00050000 | 1
_BAD_ARCHITECTURE, _NO_NEW_PRIVILEGES, _OPTIMIZE = 2, 3, 8
_BINARY_TREE = 2
_UNKNOWN_NAME = -1
_INSTRUCTION_BYTES = 8
_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, _PR_SET_NO_NEW_PRIVS = 22, 2, 38


class _Program(ctypes.Structure):
    """``struct sock_fprog``."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


@lru_cache(1)
def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(LIBRARY, use_errno=True)
    except OSError as error:
        raise RefusedError(Reason.SECCOMP_UNAVAILABLE, str(error)) from None
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = (ctypes.c_uint32,)
    library.seccomp_release.restype = None
    library.seccomp_release.argtypes = (ctypes.c_void_p,)
    library.seccomp_attr_set.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32)
    library.seccomp_syscall_resolve_name.argtypes = (ctypes.c_char_p,)
    library.seccomp_rule_add_array.argtypes = (
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.c_void_p,
    )
    library.seccomp_export_bpf.argtypes = (ctypes.c_void_p, ctypes.c_int)
    return library


def compiled(allowed: Sequence[str]) -> bytes:
    """A filter program (``struct sock_filter`` after ``struct sock_filter``) for this machine's architecture.

    A name that only other architectures have allows nothing here.

    Raises:
        RefusedError: SYSTEM_CALLS, a name that no architecture has, or ``execve`` left out; SECCOMP_UNAVAILABLE.
    """
    if STARTS_PROGRAMS not in allowed:
        raise RefusedError(
            Reason.SYSTEM_CALLS, f"{STARTS_PROGRAMS} is not permitted, but a program is started by it", "system_calls"
        )
    library = _library()
    numbers = {name: library.seccomp_syscall_resolve_name(name.encode()) for name in sorted(set(allowed))}
    unknown = [name for name, number in numbers.items() if number == _UNKNOWN_NAME]
    if unknown:
        listed = ", ".join(unknown[:8]) + (", …" if len(unknown) > 8 else "")
        raise RefusedError(Reason.SYSTEM_CALLS, f"libseccomp knows no system call {listed}", "system_calls")
    context = library.seccomp_init(_EPERM)
    if not context:
        raise RefusedError(Reason.SECCOMP_UNAVAILABLE, "libseccomp could not begin a filter")
    try:
        _check(library.seccomp_attr_set(context, _BAD_ARCHITECTURE, _EPERM))
        _check(library.seccomp_attr_set(context, _OPTIMIZE, _BINARY_TREE))
        for number in numbers.values():
            _check(library.seccomp_rule_add_array(context, _ALLOW, number, 0, None))
        return _exported(library, context)
    finally:
        library.seccomp_release(context)


def _exported(library: ctypes.CDLL, context: int) -> bytes:
    file = os.memfd_create("seccomp", os.MFD_CLOEXEC)
    try:
        _check(library.seccomp_export_bpf(context, file))
        program = os.pread(file, MAX_INSTRUCTIONS * _INSTRUCTION_BYTES + 1, 0)
    finally:
        os.close(file)
    if not program or len(program) % _INSTRUCTION_BYTES or len(program) > MAX_INSTRUCTIONS * _INSTRUCTION_BYTES:
        raise RefusedError(Reason.SYSTEM_CALLS, f"the filter has {len(program)} bytes", "system_calls")
    return program


def _check(result: int) -> None:
    if result < 0:
        raise RefusedError(Reason.SECCOMP_UNAVAILABLE, f"libseccomp: {os.strerror(-result)}")


def forgo_privileges() -> None:
    """No program that this process starts gains privileges by set-user-id or file capabilities, for ever.

    Raises:
        OSError: the kernel refused.
    """
    _prctl(_PR_SET_NO_NEW_PRIVS, 1, None)


def install(program: bytes) -> None:
    """Filter this thread's system calls from now on, for ever. ``forgo_privileges`` was called before.

    Raises:
        OSError: the kernel refused.
    """
    described = _Program(len(program) // _INSTRUCTION_BYTES, program)
    _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(described))


def _prctl(option: int, value: int, pointer: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    zero = ctypes.c_ulong(0)
    if libc.prctl(ctypes.c_int(option), ctypes.c_ulong(value), pointer or zero, zero, zero) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
