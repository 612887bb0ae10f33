"""What a process gives up before it becomes an agent: its user, and what could undo its class's rules.

An agent may run as root, and then the kernel's rules still hold where BPF LSM enforces them; where it doesn't, a root
that may load BPF programs or modules could take the network rules away. So those capabilities go in any case.
"""

import ctypes
import grp
import os
import pwd
from collections.abc import Mapping

from msgspec import Struct

from hopgate_bpf.rules.refusal import Reason, RefusedError

DROPPED: Mapping[str, int] = {
    "CAP_DAC_READ_SEARCH": 2,
    "CAP_NET_ADMIN": 12,
    "CAP_SYS_MODULE": 16,
    "CAP_SYS_RAWIO": 17,
    "CAP_SYS_PTRACE": 19,
    "CAP_SYS_ADMIN": 21,
    "CAP_SYS_BOOT": 22,
    "CAP_MKNOD": 27,
    "CAP_MAC_OVERRIDE": 32,
    "CAP_MAC_ADMIN": 33,
    "CAP_PERFMON": 38,
    "CAP_BPF": 39,
}
"""From the bounding set, so that not even root gets them back (capabilities(7))."""

_PR_CAPBSET_DROP = 24


class Account(Struct, frozen=True):
    """Whom to become."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    environment: Mapping[str, str]
    """HOME, LOGNAME and USER."""


def account_of(user: str) -> Account:
    """The account of a user, by name or number.

    Raises:
        RefusedError: USER_UNKNOWN.
    """
    try:
        entry = pwd.getpwuid(int(user)) if user.isdecimal() else pwd.getpwnam(user)
        groups = os.getgrouplist(entry.pw_name, entry.pw_gid)
        grp.getgrgid(entry.pw_gid)
    except (KeyError, OverflowError):
        raise RefusedError(Reason.USER_UNKNOWN, f"{user[:60]}: this host has no such user, or not its group") from None
    names = {"HOME": entry.pw_dir, "LOGNAME": entry.pw_name, "USER": entry.pw_name}
    return Account(entry.pw_uid, entry.pw_gid, tuple(groups), names)


def drop_capabilities() -> None:
    """Take DROPPED out of this process's bounding set.

    Raises:
        OSError: the kernel refused.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    for number in DROPPED.values():
        if libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0) != 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))


def become(account: Account) -> None:
    """Be ``account``, for ever.

    Raises:
        OSError: the kernel refused.
    """
    os.setgroups(account.groups)
    os.setresgid(account.gid, account.gid, account.gid)
    os.setresuid(account.uid, account.uid, account.uid)
