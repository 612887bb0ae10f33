"""The places that network policies tell apart: hosts, and at each of them ports and protocols.

A place stands for all connections to its host but not to a narrower host that policies name too; port ``None`` for all
ports that aren't named there. So a policy says the same of all that a place stands for, with one exception: an address
that isn't named may be one of a name, and what isn't known never helps a permit.
"""

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from gateway.core.kernel.formula import Atom, Host, Literally, Port, Protocol, Within, literals
from gateway.core.kernel.hosts import KnownHost, known_host
from gateway.core.kernel.spoken import Asked, Spoken, Verdict
from gateway.core.registry import Destination, Transport

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

    def takes(self, place: Place) -> bool:
        """Whether it takes the place's port and protocol."""
        return self.port in (None, place.port) and self.protocol in (None, place.protocol)


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

    def hosts(self, atom: Atom) -> Iterator[KnownHost]:
        """The hosts that the atom is about."""
        if isinstance(atom, Host):
            host = known_host(atom.host)
            if host is not None:
                yield host
        if isinstance(atom, Within):
            yield from (entry.host for entry in self.entries.get(atom.name, ()))

    def has_name(self, atom: Atom) -> bool:
        """Whether one of them has to be resolved."""
        return any(host.is_name for host in self.hosts(atom))


class Places(Struct, frozen=True):
    """All places of one action, and what is true at each of them."""

    hosts: tuple[KnownHost | None, ...]
    """Wider ones before those that they hold; None at the beginning."""
    networks: tuple[KnownHost, ...]
    """Those of the hosts that may hold others."""
    ports: Mapping[KnownHost | None, tuple[int | None, ...]]
    literal: Mapping[KnownHost, Host]
    """Atoms that are about one host."""
    entries: Mapping[KnownHost, tuple[tuple[Within, Entry], ...]]
    named: frozenset[Atom]
    """Atoms that are about some name."""

    def around(self, host: KnownHost | None) -> tuple[KnownHost | None, ...]:
        """The hosts that hold ``host``, but for itself; wider ones first."""
        if host is None:
            return ()
        wider = self.networks if not host.is_name else ()
        return None, *(each for each in wider if each != host and each.holds(host))

    def at(self, host: KnownHost | None) -> Iterator[Place]:
        """The places of one host."""
        for port in self.ports[host]:
            for protocol in TRANSPORTS:
                yield Place(host, port, protocol)

    def verdicts(self, asked: Asked) -> Mapping[Place, Verdict]:
        """What the policies decide at each place."""
        found: dict[Place, Verdict] = {}
        for host in self.hosts:
            holding = [each for each in (*self.around(host), host) if each is not None]
            literal = {self.literal[each] for each in holding if each in self.literal}
            entries = [entry for each in holding for entry in self.entries.get(each, ())]
            for place in self.at(host):
                within = {atom for atom, entry in entries if entry.takes(place)}
                port = () if place.port is None else (Port(place.port),)
                true: frozenset[Atom] = frozenset({*literal, *within, *port, Protocol(place.protocol)})
                # An address that isn't known may be a name's.
                maybe = true if host is not None and host.is_name else true | self.named
                found[place] = asked.decide(true, maybe)
        return found


def places(said: Sequence[Spoken], sets: Sets) -> Places:
    """All places that the formulas tell apart."""
    atoms = {each.atom for one in said for each in literals(one.formula)}
    hosts = sorted({host for atom in atoms for host in sets.hosts(atom)}, key=_width)
    everywhere = {atom.port for atom in atoms if isinstance(atom, Port)}
    entries: dict[KnownHost, list[tuple[Within, Entry]]] = {}
    for atom in sorted((atom for atom in atoms if isinstance(atom, Within)), key=lambda atom: atom.name):
        for entry in sets.entries.get(atom.name, ()):
            entries.setdefault(entry.host, []).append((atom, entry))
    networks = tuple(host for host in hosts if not host.is_name)
    ports: dict[KnownHost | None, tuple[int | None, ...]] = {None: _ports(everywhere)}
    for host in hosts:
        wider = (each for each in networks if each.holds(host)) if not host.is_name else (host,)
        there = {entry.port for each in wider for _, entry in entries.get(each, ()) if entry.port is not None}
        ports[host] = _ports(everywhere | there)
    literal = {host: atom for atom in atoms if isinstance(atom, Host) for host in sets.hosts(atom)}
    return Places(
        hosts=(None, *hosts),
        networks=networks,
        ports=ports,
        literal=literal,
        entries={host: tuple(found) for host, found in entries.items()},
        named=frozenset(filter(sets.has_name, atoms)),
    )


def not_named(said: Spoken, sets: Sets) -> Iterator[Literally]:
    """The atoms by which a permit excepts names: an address that isn't known may be theirs, so it isn't permitted."""
    for literal in dict.fromkeys(literals(said.formula)) if said.effect == "permit" else ():
        if not literal.positive and sets.has_name(literal.atom):
            yield literal


def _ports(named: set[int]) -> tuple[int | None, ...]:
    return None, *sorted(named)


def _width(host: KnownHost) -> tuple[int, int, str]:
    if host.network is None:
        return 0, 0, host.text
    return host.network.version, host.network.prefixlen, host.text
