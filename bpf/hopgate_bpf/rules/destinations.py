"""Network rules of one class as a table by address, as the kernel looks it up: the longest matching entry says it all.

Each entry merges what every rule says whose addresses include the entry's, so that a longer prefix hides nothing.
Where something can't be known or doesn't fit, the table permits less, and says so in ``narrowed``:

- a name that isn't known permits nothing and forbids everywhere;
- rules for IPv6 networks permit no IPv4 address, but what they forbid they forbid of those inside too;
- the addresses ``0.0.0.0`` and ``::``, which stand for others, get every forbid of the table.
"""

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from hopgate_bpf.rules.document import NetworkRule
from hopgate_bpf.rules.hosts import EVERYWHERE, MAPPED, UNSPECIFIED, Network, network_of, single
from hopgate_bpf.rules.names import Address

MAX_ENTRIES = 16_384
MAX_PORTS = 16
NO_POLICY = 0xFFFF
TCP, UDP = 1, 2
LAST_PORT = 65_535

Names = Mapping[str, frozenset[Address] | None]
"""Host name → its addresses; None, or no entry: unknown."""


class PortEntry(Struct, frozen=True, order=True):
    """Ports ``first`` to ``last``. A matching forbid denies, else a matching permit allows."""

    permit: bool
    first: int
    last: int
    protocols: int
    policy: int

    def includes(self, other: "PortEntry") -> bool:
        """Whether it matches whatever ``other`` matches."""
        return self.first <= other.first and other.last <= self.last and other.protocols & ~self.protocols == 0


class AddressEntry(Struct, frozen=True):
    """What applies to the addresses whose longest matching entry this is."""

    network: Network
    ports: tuple[PortEntry, ...]


class Destinations(Struct, frozen=True):
    """The table, sorted; no entry matches: denied."""

    entries: tuple[AddressEntry, ...]
    narrowed: tuple[str, ...]
    """Where it permits less than the rules, for people."""


class _Placed(Struct, frozen=True):
    network: Network
    rule: NetworkRule
    by_any: bool
    """The rule is for any host, and so for both families."""

    def applies(self, network: Network) -> bool:
        """Whether it says anything of ``network``, which lies inside its own."""
        return self.rule.effect == "forbid" or self.by_any or self.network.is_ipv4 == network.is_ipv4


def destinations(rules: Sequence[NetworkRule], names: Names) -> Destinations:
    """The table of ``rules`` where names stand for ``names``."""
    narrowed: list[str] = []
    placed = [each for rule in rules for each in _placed(rule, names, narrowed)]
    by_length: dict[int, dict[Network, list[_Placed]]] = {}
    for each in placed:
        by_length.setdefault(each.network.bits, {}).setdefault(each.network, []).append(each)
    entries = []
    networks = {each.network for each in placed}
    if networks:
        networks |= {MAPPED, *UNSPECIFIED}
    if len(networks) > MAX_ENTRIES:
        return Destinations((), (*narrowed, f"{len(networks)} addresses, more than {MAX_ENTRIES}: all are denied"))
    forbids = [each.rule for each in placed if each.rule.effect == "forbid"]
    for network in sorted(networks):
        found = _covering(network, by_length)
        applying = [each.rule for each in found if each.applies(network)]
        ports = _ports(applying + forbids if network in UNSPECIFIED else applying)
        if len(ports) > MAX_PORTS:
            narrowed.append(f"{network}: {len(ports)} ports, more than {MAX_PORTS}: what is permitted is left out")
            ports = [each for each in ports if not each.permit]
            ports = ports if len(ports) <= MAX_PORTS else [PortEntry(False, 0, LAST_PORT, TCP | UDP, NO_POLICY)]
        entries.append(AddressEntry(network, tuple(ports)))
    return Destinations(tuple(entries), tuple(narrowed))


def _placed(rule: NetworkRule, names: Names, narrowed: list[str]) -> Iterable[_Placed]:
    if rule.host is None:
        return [_Placed(EVERYWHERE, rule, True)]
    if not rule.inexact:
        network = network_of(rule.host)
        if network is not None:
            return [_Placed(network, rule, False)]
    addresses = names.get(rule.host)
    if addresses is not None:
        return [_Placed(single(address), rule, False) for address in sorted(addresses, key=str)]
    if rule.effect == "permit":
        narrowed.append(f"{rule.host} is unknown: nothing is permitted there")
        return []
    narrowed.append(f"{rule.host} is unknown: what is forbidden there is forbidden everywhere")
    return [_Placed(EVERYWHERE, rule, True)]


def _covering(network: Network, by_length: Mapping[int, Mapping[Network, list[_Placed]]]) -> list[_Placed]:
    found: list[_Placed] = []
    for bits, at in by_length.items():
        if bits <= network.bits:
            found += at.get(network.shortened(bits), ())
    return found


def _ports(rules: Iterable[NetworkRule]) -> list[PortEntry]:
    """Entries that say the same as ``rules``, fewest first: what another entry says as well is left out."""
    protocols = {"tcp": TCP, "udp": UDP, None: TCP | UDP}
    entries = {
        PortEntry(
            rule.effect == "permit",
            0 if rule.port is None else rule.port,
            LAST_PORT if rule.port is None else rule.port,
            protocols[rule.protocol],
            rule.policy,
        )
        for rule in rules
    }
    kept: list[PortEntry] = []
    # Wider ones come first, so that what they include is seen to be included.
    for entry in sorted(entries, key=lambda each: (each.permit, each.first - each.last, -each.protocols, each)):
        if not any(other.includes(entry) and (other.permit == entry.permit or not other.permit) for other in kept):
            kept.append(entry)
    return sorted(kept)
