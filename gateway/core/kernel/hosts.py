"""Hosts as the kernel's rules know them: names, and networks of addresses, where an address is a network of one.

A connection's host is written in one way only: names in lower case without a dot at the end, addresses and networks as
Python's ``ipaddress`` writes them. A host that is written otherwise is no connection's.
"""

import re
from ipaddress import IPv4Network, IPv6Network, ip_network

from msgspec import Struct

Network = IPv4Network | IPv6Network
_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*")


class KnownHost(Struct, frozen=True):
    """A name, or a network."""

    text: str
    """As rules write it: an address without its length."""
    network: Network | None

    @property
    def is_name(self) -> bool:
        """Whether it has to be resolved."""
        return self.network is None

    def holds(self, other: "KnownHost") -> bool:
        """Whether all that ``other`` stands for belongs to it."""
        if self.network is None or other.network is None:
            return self.text == other.text
        if isinstance(self.network, IPv4Network):
            return isinstance(other.network, IPv4Network) and other.network.subnet_of(self.network)
        return isinstance(other.network, IPv6Network) and other.network.subnet_of(self.network)


def known_host(text: str) -> KnownHost | None:
    """The host that ``text`` means, however it is written; None where it means none."""
    try:
        network = ip_network(text)
    except ValueError:
        name = text.lower().removesuffix(".")
        # All digits and dots would be an address that some resolvers read and others don't.
        unclear = not name.strip("0123456789.") or _NAME.fullmatch(name) is None
        return None if unclear else KnownHost(name, None)
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    if mapped is not None and network.prefixlen >= 96:
        network = ip_network((mapped, network.prefixlen - 96))
    single = network.prefixlen == network.max_prefixlen
    return KnownHost(str(network.network_address) if single else str(network), network)


def is_single(host: KnownHost) -> bool:
    """Whether it is one name or one address, as a connection has it."""
    return host.network is None or host.network.prefixlen == host.network.max_prefixlen
