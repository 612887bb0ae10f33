"""Looks host names up, with the TTL that the name server gave.

By c-ares, not by ``getaddrinfo``: that one hides the TTL. Names of ``/etc/hosts`` come with TTL 0. Decides neither how
long an answer counts nor what it permits (``rules.names``).
"""

import asyncio
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Protocol

import aiodns

from hopgate_bpf.rules.names import Answer, LookupFailed


class Resolver(Protocol):
    """Who knows addresses of names."""

    async def lookup(self, host: str) -> Answer | LookupFailed:
        """The addresses of ``host``, both families; never raises."""

    async def close(self) -> None:
        """Let go of what it holds."""


class DnsResolver:
    """The host's own resolver configuration, or ``servers`` (``address`` or ``address:port``) in its place."""

    def __init__(self, servers: Sequence[str], seconds: float) -> None:
        self._seconds = seconds
        self._channel = aiodns.DNSResolver(list(servers) or None, timeout=seconds / 2, tries=2)

    async def lookup(self, host: str) -> Answer | LookupFailed:
        """See ``Resolver``."""
        try:
            async with asyncio.timeout(self._seconds):
                found = await self._channel.getaddrinfo(host)
        except TimeoutError:
            return LookupFailed(f"no answer within {self._seconds:g} s")
        except aiodns.error.DNSError as error:
            code, text = error.args if len(error.args) == 2 else (None, str(error))
            if code in {aiodns.error.ARES_ENOTFOUND, aiodns.error.ARES_ENODATA}:
                return Answer(frozenset(), 0.0)
            return LookupFailed(str(text))
        nodes = [(ip_address(_text(node.addr[0])), node.ttl) for node in found.nodes]
        return Answer(frozenset(address for address, _ in nodes), float(min((ttl for _, ttl in nodes), default=0)))

    async def close(self) -> None:
        """See ``Resolver``."""
        await self._channel.close()


def _text(address: str | bytes) -> str:
    return address.decode("ascii") if isinstance(address, bytes) else address
