"""The demo company: its people, agents and servers, as the registry in ``demo/config/registry.yaml`` names them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Person:
    """Who a token speaks for, with the claims that the gateway maps."""

    subject: str
    email: str
    groups: tuple[str, ...]
    roles: tuple[str, ...] = ()


TRUST_DOMAIN = "demo.test"
GATEWAY_ID = f"spiffe://{TRUST_DOMAIN}/hopgate"
CLIENT = "maria-desktop"
"""OAuth client id of the program that Maria uses; agents registered for it are its entry points."""

MARIA = Person("maria", "maria@demo.test", ("finance", "finance-leads"), ("controller",))
SCOPE = "finance.read finance.pay agents.ask reports.write"
"""What Maria's tokens carry; the gateway maps them to scopes of its own."""

SERVERS = ("ledger", "reports")
AGENTS = ("planner", "analyst", "auditor", "clerk")
GUEST = "guest"
"""A registered agent without a process: the identity for your own client."""


def spiffe_id(name: str) -> str:
    """The SPIFFE ID of an agent or a server."""
    kind = "server" if name in SERVERS else "agent"
    return f"spiffe://{TRUST_DOMAIN}/{kind}/{name}"


def module(name: str) -> str:
    """The Python module that an agent or a server runs."""
    kind = "servers" if name in SERVERS else "agents"
    return f"demo.{kind}.{name}"
