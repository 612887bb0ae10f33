"""Where the processes of the federation run: in network namespaces of their own, or on loopback addresses.

In namespaces each host has links only to its gateway, and the gateways one to each other; nobody routes. On loopback
everybody reaches everybody, and only what the processes themselves refuse is shown.
"""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from tests.peers.parts import refuse, require

GATES = ("hopgate.a.example", "hopgate.b.example")
LINKS = (
    ("planner.a.example", "hopgate.a.example"),
    ("reviewer.c.example", "hopgate.a.example"),
    ("analyst.b.example", "hopgate.b.example"),
    ("ledger.b.example", "hopgate.b.example"),
    GATES,
)
"""Who reaches whom."""
HOSTS = tuple(dict.fromkeys(host for link in LINKS for host in link))


@dataclass
class Place:
    """Addresses by host name, and how a command runs at a host."""

    addresses: dict[str, str]
    namespaces: dict[str, str] = field(default_factory=dict)

    def at(self, host: str, command: Sequence[str | Path]) -> list[str | Path]:
        """``command`` at ``host``."""
        namespace = self.namespaces.get(host)
        return list(command) if namespace is None else ["ip", "netns", "exec", namespace, *command]

    def here(self, text: str) -> str:
        """``text`` with addresses for names, but for those of trust domains and issuers of users."""
        for host, address in self.addresses.items():
            text = text.replace(f"//{host}", f"//{address}").replace(f"host: {host}", f"host: {address}")
        return text


@contextmanager
def loopback() -> Iterator[Place]:
    """Every host an address of 127/8."""
    yield Place({host: f"127.77.0.{number}" for number, host in enumerate(HOSTS, 1)})


@contextmanager
def namespaces() -> Iterator[Place]:
    """Every host a network namespace; they are gone when the block ends."""
    require("ip")
    if os.geteuid() != 0:
        refuse("network namespaces need root; left out: that each host reaches only what it should")
    probe = subprocess.run(
        ["ip", "netns", "add", f"hopgate-{os.getpid()}"], capture_output=True, text=True, check=False
    )
    if probe.returncode != 0:
        refuse(f"{probe.stderr.strip()}; left out: that each host reaches only what it should")
    subprocess.run(["ip", "netns", "delete", f"hopgate-{os.getpid()}"], check=False)
    names = {host: f"hopgate-{os.getpid()}-{number}" for number, host in enumerate(HOSTS)}
    place = Place({host: f"10.77.0.{number}" for number, host in enumerate(HOSTS, 1)}, names)
    made: list[str] = []
    try:
        for host, name in names.items():
            run("ip", "netns", "add", name)
            made.append(name)
            inside(place, host, "ip", "link", "set", "lo", "up")
            inside(place, host, "ip", "address", "add", f"{place.addresses[host]}/32", "dev", "lo")
        for number, link in zip(count(), LINKS, strict=False):
            connect(place, number, link)
        yield place
    finally:
        for name in made:
            subprocess.run(["ip", "netns", "delete", name], check=False)


def connect(place: Place, number: int, link: tuple[str, str]) -> None:
    """A pair of interfaces between two hosts, and the routes to each other's address; to nothing else."""
    ends = [f"hg{os.getpid() % 10**6}x{number}{side}" for side in "ab"]
    run("ip", "link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
    for host, end, other in zip(link, ends, reversed(link), strict=True):
        run("ip", "link", "set", end, "netns", place.namespaces[host])
        inside(place, host, "ip", "link", "set", end, "up")
        source = place.addresses[host]
        inside(place, host, "ip", "route", "add", f"{place.addresses[other]}/32", "dev", end, "src", source)


def inside(place: Place, host: str, *command: str) -> None:
    """Run a command at a host."""
    run(*map(str, place.at(host, command)))


def run(*command: str) -> None:
    """Run a command; what it said if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
