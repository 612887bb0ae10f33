"""The places that network policies tell apart: hosts, and at each of them ports and protocols.

A place stands for all connections to its host but not to a narrower host that policies name too; port ``None`` for all
ports that aren't named there. So a policy says the same of all that a place stands for, with one exception: an address
that isn't named may be one of a name, and what isn't known never helps a permit.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from gateway.core.kernel.formula import Host, Literally, Port, Protocol, Within, literals
from gateway.core.kernel.hosts import KnownHost, known_host
from gateway.core.kernel.spoken import Spoken
from gateway.core.registry import Destination

Transport = Literal["tcp", "udp"]
TRANSPORTS: tuple[Transport, ...] = ("tcp", "udp")


class Place(Struct, frozen=True):
    """Connections that no policy tells apart. ``host`` None: any that isn't named."""

    host: KnownHost | None
    port: int | None
    protocol: Transport


class Entry(Struct, frozen=True):
    """A registered destination, its host read."""

    host: KnownHost
    port: int | None
    protocol: Transport | None

    def covers(self, place: Place) -> bool:
        """Whether all of the place falls under it."""
        return (
            place.host is not None
            and self.host.holds(place.host)
            and self.port in (None, place.port)
            and self.protocol in (None, place.protocol)
        )


class Sets(Struct, frozen=True):
    """The registry's destinations by set."""

    entries: Mapping[str, tuple[Entry, ...]]

    @classmethod
    def of(cls, destinations: Mapping[str, Destination]) -> "Sets":
        """Those whose host can be read; the configuration lets in no others."""
        found: dict[str, list[Entry]] = {}
        for _, each in sorted(destinations.items()):
            host = known_host(each.host)
            if host is None:
                continue
            for name in each.sets:
                found.setdefault(name, []).append(Entry(host, each.port, each.protocol))
        return cls({name: tuple(entries) for name, entries in sorted(found.items())})

    def named(self, literal: Literally) -> tuple[Entry, ...]:
        """The entries that the atom is about."""
        return self.entries.get(literal.atom.name, ()) if isinstance(literal.atom, Within) else ()


class Places(Struct, frozen=True):
    """All places of one action, and what is true at each of them."""

    sets: Sets
    hosts: tuple[KnownHost | None, ...]
    """Wider ones first; None at the beginning."""
    ports: Mapping[KnownHost | None, tuple[int | None, ...]]

    def around(self, host: KnownHost | None) -> tuple[KnownHost | None, ...]:
        """The hosts that hold ``host``, but for itself; wider ones first."""
        if host is None:
            return ()
        return tuple(each for each in self.hosts if each is None or (each != host and each.holds(host)))

    def at(self, host: KnownHost | None) -> Iterator[Place]:
        """The places of one host."""
        for port in self.ports[host]:
            for protocol in TRANSPORTS:
                yield Place(host, port, protocol)

    def so(self, place: Place, said: Spoken, literal: Literally) -> bool:
        """Whether the atom, with its sign, holds at the place as far as the policy may believe it."""
        atom = literal.atom
        if not literal.positive and said.effect == "permit" and self.could_be(place, literal):
            return False
        match atom:
            case Host(host=text):
                wanted = known_host(text)
                found = wanted is not None and place.host is not None and wanted.holds(place.host)
            case Within():
                found = any(entry.covers(place) for entry in self.sets.named(literal))
            case Port(port=port):
                found = place.port == port
            case Protocol(protocol=protocol):
                found = place.protocol == protocol
            case _:
                raise TypeError(f"not about a destination: {atom}")
        return found == literal.positive

    def could_be(self, place: Place, literal: Literally) -> bool:
        """Whether an address of the place may be one of a name that the atom is about."""
        unnamed = place.host is None or not place.host.is_name
        return unnamed and any(host.is_name for host in _hosts(literal, self.sets))


def places(said: Sequence[Spoken], sets: Sets) -> Places:
    """All places that the formulas tell apart."""
    atoms = list(dict.fromkeys(literal for each in said for literal in literals(each.formula)))
    hosts = {host for literal in atoms for host in _hosts(literal, sets)}
    everywhere = {literal.atom.port for literal in atoms if isinstance(literal.atom, Port)}
    entries = [entry for literal in atoms for entry in sets.named(literal)]
    ports: dict[KnownHost | None, tuple[int | None, ...]] = {None: _ports(everywhere)}
    for host in hosts:
        there = {entry.port for entry in entries if entry.port is not None and entry.host.holds(host)}
        ports[host] = _ports(everywhere | there)
    return Places(sets, (None, *sorted(hosts, key=_width)), ports)


def not_named(said: Spoken, sets: Sets) -> Iterator[Literally]:
    """The atoms by which a permit excepts names: an address that isn't known may be theirs, so it isn't permitted."""
    for literal in dict.fromkeys(literals(said.formula)) if said.effect == "permit" else ():
        if not literal.positive and any(host.is_name for host in _hosts(literal, sets)):
            yield literal


def _hosts(literal: Literally, sets: Sets) -> Iterator[KnownHost]:
    if isinstance(literal.atom, Host):
        host = known_host(literal.atom.host)
        if host is not None:
            yield host
    yield from (entry.host for entry in sets.named(literal))


def _ports(named: set[int]) -> tuple[int | None, ...]:
    return None, *sorted(named)


def _width(host: KnownHost) -> tuple[int, int, str]:
    if host.network is None:
        return 0, 0, host.text
    return host.network.version, host.network.prefixlen, host.text
