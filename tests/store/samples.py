"""A small company's hops, for the tests of provenance."""

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from gateway.core.audit import DecisionRecord, Record, decision_record
from gateway.core.model import (
    Call,
    Chain,
    Decision,
    Deny,
    Determining,
    Hop,
    Match,
    Minted,
    Peer,
    Permit,
    PolicyId,
    Route,
    SpiffeId,
    Uid,
    User,
)
from gateway.core.reasons import Reason
from gateway.core.registry import Agent, Person, Registry, Server, Tool, Upstream

KEY = b"k" * 32
NOW = 1_800_000_000_000
MARIA = User(issuer="https://login.test", idp="corp", subject="maria")
LEDGER = Route(
    protocol="mcp", name="ledger", path="/mcp/ledger", resource="https://gw.test/mcp/ledger", audience="ledger"
)


def spiffe(name: str) -> SpiffeId:
    return SpiffeId(f"spiffe://demo.test/agent/{name}")


def peer(name: str) -> Peer:
    return Peer(spiffe(name), "demo.test", f"x5t-{name}", NOW // 1000 + 3600)


def registry(*names: str) -> Registry:
    """Agents of the finance team, owned by Maria, and the ledger with a tool that has a secret argument."""
    agents = {
        name: Agent(
            name=name,
            spiffe_id=spiffe(name),
            owner="corp|maria",
            team="finance",
            purpose="test",
            risk_level="low",
            environment="production",
        )
        for name in names or ("planner", "analyst", "auditor")
    }
    pay = Tool(
        server="ledger", name="pay", risk_level="high", environment="production", scopes=("p",), sensitive=("iban",)
    )
    read = Tool(server="ledger", name="read_balance", risk_level="low", environment="production", scopes=("r",))
    server = Server(
        name="ledger",
        team="finance",
        environment="production",
        upstream=Upstream("http://127.0.0.1:1", None),
        tools={"pay": pay, "read_balance": read},
    )
    return Registry(
        people={"corp|maria": Person("corp|maria", "https://login.test", "maria", "Maria López")},
        agents=agents,
        servers={"ledger": server},
        models={},
        teams=frozenset({"finance"}),
        by_spiffe_id={agent.spiffe_id: name for name, agent in agents.items()},
        by_audience={},
    )


def hop(
    id: str,
    agents: tuple[str, ...] = ("planner",),
    *,
    tool: str = "read_balance",
    arguments: Mapping[str, Any] | None = None,
    parent: str | None = None,
    txn: str = "txn-1",
    at: int = NOW,
    route: Route = LEDGER,
) -> Hop:
    """A tools/call of the last of ``agents``; a hop without ``parent`` token begins the chain."""
    arguments = {"account": "a1"} if arguments is None else arguments
    call = Call(
        protocol="mcp",
        version="2026-07-28",
        method="tools/call",
        action="invokeTool",
        resource=Uid("Tool", f"ledger/{tool}"),
        message={"method": "tools/call", "params": {"name": tool, "arguments": dict(arguments)}},
        target=tool,
        arguments=arguments,
    )
    chain = Chain(
        sub=MARIA.sub,
        actors=tuple(map(spiffe, agents)),
        agents=agents,
        txn=txn,
        root_expires=NOW // 1000 + 900,
        max_depth=8,
        ceiling=frozenset({"r", "p"}),
        parent=parent or "digest-of-the-root-token",
        client="" if parent else "cli",
    )
    caller = agents[-1] if agents else None
    return Hop(id, route, peer(caller) if caller else None, caller, MARIA, call, chain, at)


def minted(name: str) -> Minted:
    return Minted(f"head.{name}.signature", f"jti-{name}", NOW // 1000 + 120, frozenset({"r"}), frozenset({"r", "p"}))


def policy(id: str = "finance-read", effect: Any = "permit", *matches: Match) -> Determining:
    found = matches or (Match("principal.risk_level", "low"), Match("context.delegation_depth", 1))
    return Determining(PolicyId(id), "teams", f"teams/finance/{id}.cedar", effect, found)


def permit(at: Hop, *policies: Determining) -> Permit:
    return Permit(at, policies or (policy(),), "bundle-digest", 3)


def deny(at: Hop, reason: Reason = Reason.FORBIDDEN, *policies: Determining) -> Deny:
    return Deny(at, reason, policies, "bundle-digest", 3, "why not")


def recorded(decision: Decision, token: Minted | None = None, trace_id: str = "f" * 32) -> DecisionRecord:
    return decision_record(decision, registry(), digest_key=KEY, trace_id=trace_id, minted=token)


def decision(number: int, **facts: Any) -> Record:
    """The ``number``th of many unrelated permits."""
    record = recorded(permit(hop(f"hop-{number}", at=NOW + number, txn=f"txn-{number % 7}")))
    return replace(record, **facts)
