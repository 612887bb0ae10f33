"""What the host of a network rule is: any, a name, or a network; all of them as IPv6, where IPv4 is mapped.

IPv4 ``a.b.c.d/n`` is ``::ffff:a.b.c.d/96+n``, as sockets and the image have it (RFC 4291 §2.5.5.2).
"""

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import NamedTuple

from hopgate_bpf.rules.names import Address

BITS = 128


class Network(NamedTuple):
    """The addresses whose first ``bits`` bits are those of ``address``; the other bits of it are zero."""

    address: int
    bits: int

    @property
    def is_ipv4(self) -> bool:
        """Whether all of it is IPv4."""
        return self.bits >= MAPPED.bits and self.shortened(MAPPED.bits) == MAPPED

    def shortened(self, bits: int) -> "Network":
        """What it is part of, with ``bits`` bits, which are not more than its own."""
        return Network(self.address >> (BITS - bits) << (BITS - bits), bits)

    def __str__(self) -> str:
        if self.is_ipv4:
            return f"{IPv4Address(self.address & 0xFFFFFFFF)}/{self.bits - MAPPED.bits}"
        return f"{IPv6Address(self.address)}/{self.bits}"


EVERYWHERE = Network(0, 0)
MAPPED = Network(0xFFFF << 32, 96)
"""All of IPv4."""
UNSPECIFIED = (Network(0, BITS), Network(MAPPED.address, BITS))
"""``::`` and ``0.0.0.0``: connecting there reaches a loopback address, listening there takes every address."""

_NAME = re.compile(r"(?=.*[a-z_])(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")


def is_name(host: str) -> bool:
    """Whether ``host`` is a host name in lower case, without a dot at its end (RFC 1123 §2.1)."""
    return _NAME.fullmatch(host) is not None


def network_of(host: str) -> Network | None:
    """The addresses of an address or CIDR; None where it is neither, or has bits beyond its prefix, or a zone."""
    if "%" in host:
        return None
    try:
        return mapped(ip_network(host))
    except ValueError:
        return None


def mapped(network: IPv4Network | IPv6Network) -> Network:
    """``network`` as IPv6."""
    whole = int(network.network_address)
    if isinstance(network, IPv4Network):
        return Network(MAPPED.address | whole, MAPPED.bits + network.prefixlen)
    return Network(whole, network.prefixlen)


def single(address: Address) -> Network:
    """The network of just ``address``; a zone is left out."""
    return Network(MAPPED.address | int(address) if isinstance(address, IPv4Address) else int(address), BITS)
