"""Requests to webhooks: the one place where the gateway goes to an address that a client, or a setting, chose.

https only, no redirects, no proxies, and only public addresses besides the configured networks. Addresses are
checked where the connection resolves them, so that a name can't lead elsewhere after the check (DNS rebinding).
"""

import asyncio
import socket
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from ssl import SSLContext
from typing import NamedTuple

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from gateway.core.errors import HopError, UpstreamError
from gateway.core.limits import Limits
from gateway.core.model import Permit
from gateway.core.reasons import Reason
from gateway.proxy.upstream import translated

Network = IPv4Network | IPv6Network
NEVER_PUBLIC = tuple(
    map(
        ip_network,
        ("192.0.0.0/24", "fec0::/10", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32"),
    )
)
"""What ``ipaddress`` takes for public: protocol assignments, site-local, and NAT64, 6to4 and Teredo, whose addresses
stand for an IPv4 address that may be anywhere."""


class TargetError(Exception):
    """A webhook may not be asked. The text names the cause, and never the address that a name resolved to."""


class Answered(NamedTuple):
    """What a webhook said."""

    status: int
    retry_after: str | None


def may_reach(address: str, networks: Sequence[Network]) -> bool:
    """Whether a webhook may be at ``address``: a public one, or one of ``networks``."""
    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    if any(found in network for network in networks):
        return True
    if any(found in network for network in NEVER_PUBLIC):
        return False
    return found.is_global and not (found.is_multicast or found.is_reserved or found.is_private)


class CheckedResolver(AbstractResolver):
    """The system's resolver; a name with one address that may not be reached is not resolved at all."""

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = networks
        self._inner = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of ``host``."""
        found = await self._inner.resolve(host, port, family)
        if not found or not all(may_reach(each["host"], self._networks) for each in found):
            raise OSError("the name does not resolve to public addresses only")
        return found

    async def close(self) -> None:
        """Nothing is open."""


class Webhooks:
    """Delivers to webhooks. Connections aren't kept: each delivery resolves, checks and connects anew."""

    def __init__(self, context: SSLContext, networks: Sequence[Network], limits: Limits) -> None:
        self._context = context
        self._networks = networks
        self._limits = limits

    async def check(self, url: str) -> None:
        """Refuse a webhook that would not be asked now.

        Raises:
            TargetError: not https, no plain URL, or an address that may not be reached.
        """
        target = self._target(url)
        try:
            async with asyncio.timeout(self._limits.connect_seconds):
                await CheckedResolver(self._networks).resolve(target.host or "", target.port or 443)
        except (OSError, TimeoutError, UnicodeError):
            raise TargetError("its name does not resolve to public addresses only") from None

    async def deliver(self, permit: Permit, url: str, headers: Mapping[str, str], body: bytes) -> None:
        """Send one notification that was permitted.

        Raises:
            UpstreamError: it did not get there, or was not taken.
            HopError: MESSAGE_INVALID, the webhook may not be asked.
        """
        if permit.hop.call.action != "notify":
            raise TypeError("a permit for something else")
        try:
            target = self._target(url)
        except TargetError as error:
            raise HopError(Reason.MESSAGE_INVALID, f"the webhook may not be asked: {error}") from None
        answer = await self._posted(target, headers, body, self._limits.answer_seconds)
        if not 200 <= answer.status < 300:
            raise UpstreamError(Reason.UPSTREAM_STATUS, f"the webhook answered {answer.status}")

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, seconds: float) -> Answered:
        """Send what the gateway itself has to tell to a configured target, within ``seconds``.

        Raises:
            UpstreamError: it did not get there, or was not answered.
            TargetError: the target may not be asked.
        """
        return await self._posted(self._target(url), headers, body, seconds)

    async def _posted(self, target: URL, headers: Mapping[str, str], body: bytes, seconds: float) -> Answered:
        connector = aiohttp.TCPConnector(
            ssl=self._context, resolver=CheckedResolver(self._networks), use_dns_cache=False
        )
        with translated():
            async with (
                asyncio.timeout(seconds),
                aiohttp.ClientSession(
                    connector=connector,
                    cookie_jar=aiohttp.DummyCookieJar(),
                    timeout=aiohttp.ClientTimeout(total=None, connect=self._limits.connect_seconds),
                    auto_decompress=False,
                    trust_env=False,
                ) as session,
                session.post(target, data=body, headers=headers, allow_redirects=False) as response,
            ):
                # The body is nobody's: however large it is, the connection is closed on it.
                return Answered(response.status, response.headers.get("Retry-After"))

    def _target(self, url: str) -> URL:
        try:
            target = URL(url)
            port = target.port
        except ValueError:
            raise TargetError("it is not a URL") from None
        if target.scheme != "https" or not target.host or not port:
            raise TargetError("it is not an https URL")
        if target.user is not None or target.password is not None or target.fragment:
            raise TargetError("it has a user or a fragment")
        try:
            reachable = may_reach(target.host, self._networks)
        except ValueError:
            return target
        # The connection doesn't resolve literal addresses, so they are checked here.
        if not reachable:
            raise TargetError("its address is not a public one")
        return target
