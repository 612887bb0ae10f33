"""Ports for whoever can't choose one themselves: each is handed out once, and no two workers hand out the same."""

import itertools
import os
import random
import socket
from collections.abc import Iterator
from contextlib import suppress

LOWEST, HIGHEST = 15_000, 32_000
"""Below those that the kernel gives to clients: none of them takes a port meanwhile."""
WORKERS = 16


def _ports() -> Iterator[int]:
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % WORKERS
    own = range(LOWEST + worker, HIGHEST, WORKERS)
    first = random.randrange(len(own))
    return itertools.cycle([*own[first:], *own[:first]])


_PORTS = _ports()


def free_port() -> int:
    """A loopback port that nothing holds."""
    while True:
        port = next(_PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
