"""What a document says, asked rule by rule: the other way to every verdict of an image."""

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_network

from hopgate_bpf.rules.document import Automaton, NetworkRule

Address = IPv4Address | IPv6Address


def file_mask(automaton: Automaton, path: bytes) -> int:
    width, state = max(automaton.classes) + 1, 0
    for byte in path:
        at = 2 * (state * width + automaton.classes[byte])
        state = int.from_bytes(automaton.transitions[at : at + 2], "little")
    return automaton.accepts[state]


def allows(
    rules: Sequence[NetworkRule],
    names: Mapping[str, frozenset[Address] | None],
    address: Address,
    port: int,
    protocol: str,
) -> bool:
    """Some rule permits, none forbids; a name that isn't known permits nothing and forbids everywhere."""
    real = mapped(address)
    # These two stand for other addresses, so whatever is forbidden anywhere is forbidden here.
    everything = int(real) == 0
    asked = [rule for rule in rules if rule.port in {None, port} and rule.protocol in {None, protocol}]
    forbidden = any(r.effect == "forbid" and (everything or matches(r, names, real, True)) for r in asked)
    return not forbidden and any(r.effect == "permit" and matches(r, names, real, False) for r in asked)


def mapped(address: Address) -> Address:
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def matches(rule: NetworkRule, names: Mapping[str, frozenset[Address] | None], address: Address, forbids: bool) -> bool:
    if rule.host is None:
        return True
    if rule.inexact:
        known = names.get(rule.host)
        return forbids if known is None else address in {mapped(each) for each in known}
    network = ip_network(rule.host)
    if network.version == 4:
        return address in network
    as_v6 = IPv6Address(int(address) | 0xFFFF << 32) if address.version == 4 else address
    inside_v4 = network.prefixlen >= 96 and IPv6Address(int(network.network_address)).ipv4_mapped is not None
    return as_v6 in network and (forbids or address.version == 6 or inside_v4)
