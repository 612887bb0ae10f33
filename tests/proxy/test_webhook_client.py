"""Which addresses a webhook may be at."""

from ipaddress import ip_network

import pytest

from gateway.core.limits import Limits
from gateway.identity.documents import issuer_tls
from gateway.proxy.webhook_client import CheckedResolver, TargetError, Webhooks, may_reach

INSIDE = [
    "0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.16.0.1", "192.168.1.1", "192.0.0.8",
    "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1",
    "fec0::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1", "2002:7f00:1::",
    "2001:0:7f00:1::", "2001:db8::1", "::127.0.0.1",
]  # fmt: skip


@pytest.mark.parametrize("address", INSIDE)
def test_what_is_not_public_is_inside(address: str) -> None:
    assert not may_reach(address, ())


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "::ffff:8.8.8.8", "2606:4700:4700::1111"])
def test_public_addresses(address: str) -> None:
    assert may_reach(address, ())


def test_configured_networks_may_be_reached() -> None:
    networks = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
    assert may_reach("10.1.2.3", networks)
    assert may_reach("::ffff:10.1.2.3", networks)
    assert may_reach("fd00::1", networks)
    assert not may_reach("192.168.1.1", networks)
    assert not may_reach("::1", networks)


async def test_a_name_with_an_address_inside_is_not_resolved() -> None:
    with pytest.raises(OSError, match="public addresses only"):
        await CheckedResolver(()).resolve("localhost", 443)
    assert await CheckedResolver((ip_network("127.0.0.0/8"), ip_network("::1/128"))).resolve("localhost", 443)


@pytest.mark.parametrize(
    ("url", "cause"),
    [
        ("http://8.8.8.8/", "not an https URL"),
        ("https:///x", "not an https URL"),
        ("https://8.8.8.8:99999/", "not a URL"),
        ("https://8.8.8.8:0/", "not an https URL"),
        ("https://u@8.8.8.8/", "a user or a fragment"),
        ("https://:p@8.8.8.8/", "a user or a fragment"),
        ("https://8.8.8.8/#x", "a user or a fragment"),
        ("https://10.0.0.1/", "not a public one"),
        ("https://[::ffff:a00:1]/", "not a public one"),
        ("https://localhost/", "public addresses only"),
        ("https://2130706433/", "public addresses only"),
        ("https://127.1/", "public addresses only"),
    ],
)
async def test_targets_that_are_refused(url: str, cause: str) -> None:
    with pytest.raises(TargetError, match=cause):
        await Webhooks(issuer_tls(None), (), Limits()).check(url)


async def test_a_public_literal_is_fine() -> None:
    await Webhooks(issuer_tls(None), (), Limits()).check("https://8.8.8.8/hook?x=1")
