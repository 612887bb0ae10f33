"""A small company for policy tests, and short ways to compile policies and make hops."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from msgspec import structs

from gateway.core.model import Call, Chain, Hop, Peer, Route, SpiffeId, Uid, Usage, User
from gateway.core.policy.bundle import Bundle, PolicySource, compile_bundle
from gateway.core.registry import Agent, Destination, Model, Person, Registry, Server, Tool, Upstream

ROOT = Path(__file__).parents[3]
SCHEMA = (ROOT / "schemas" / "gateway.cedarschema").read_text()
MISSION = """
permit (
  principal in Group::"finance-agents",
  action == Action::"invokeTool",
  resource in ToolSet::"finance-readonly"
) when {
  principal.risk_level == "low" &&
  context.delegation_depth <= 3
};
"""
PAY = {
    "type": "object",
    "properties": {"amount": {"type": "integer"}, "to": {"type": "string"}, "memo": {"type": "string"}},
    "required": ["amount", "to"],
}


def shipped(*folders: str) -> list[PolicySource]:
    """The repository's own policy files below the folders, or all of them."""
    root = ROOT / "policies"
    files = sorted(file for folder in folders or ("",) for file in (root / folder).rglob("*.cedar"))
    return [PolicySource(str(file.relative_to(root)), file.read_text()) for file in files]


def agent(name: str, **changes: object) -> Agent:
    base = Agent(
        name=name,
        spiffe_id=SpiffeId(f"spiffe://example.test/agent/{name}"),
        owner="corp|maria",
        team="finance",
        purpose="tests",
        risk_level="low",
        environment="production",
        scopes=(f"{name}/delegate",),
        upstream=Upstream("https://127.0.0.1:1/", SpiffeId(f"spiffe://example.test/agent/{name}")),
    )
    return structs.replace(base, **changes)


def tool(server: str, name: str, **changes: object) -> Tool:
    base = Tool(server=server, name=name, risk_level="low", environment="production", scopes=(f"{server}/{name}",))
    return structs.replace(base, **changes)


def registry_of(*, agents: list[Agent], servers: list[Server], people: list[Person] | None = None) -> Registry:
    known = [
        Person(
            id="corp|maria",
            issuer="https://login.example",
            subject="maria",
            name="Maria",
            email="maria@example.test",
            groups=("finance-leads",),
            team="finance",
        ),
        Person(id="corp|omar", issuer="https://login.example", subject="omar", name="Omar", team="platform"),
    ]
    return Registry(
        people={person.id: person for person in people if person} if people is not None else {p.id: p for p in known},
        agents={item.name: item for item in agents},
        servers={server.name: server for server in servers},
        models={"gpt": Model(name="gpt", provider="openai")},
        teams=frozenset({"finance", "platform"}),
        destinations={"llm": Destination(name="llm", host="llm.example", port=443, sets=("approved-llm-endpoints",))},
        by_spiffe_id={item.spiffe_id: item.name for item in agents},
        by_audience={},
    )


def company() -> Registry:
    """Teams finance and platform; planner, analyst, auditor, archivist; servers ledger and reports."""
    ledger = [
        tool("ledger", "read_balance", sets=("finance-readonly",), read_only=True, destructive=False),
        tool("ledger", "list_entries", sets=("finance-readonly",), read_only=True, destructive=False),
        tool("ledger", "pay", sets=("payments",), input_schema=PAY, capabilities=("payments",), risk_level="medium"),
    ]
    reports = [tool("reports", "publish_report", environment="staging")]
    return registry_of(
        agents=[
            agent(
                "planner", team="platform", risk_level="medium", capabilities=("planning", "finance"), entry_point=True
            ),
            agent("analyst", groups=("finance-agents",), classes=("data-analyst",), capabilities=("finance",)),
            agent("auditor", team="platform", risk_level="medium", capabilities=("audit",)),
            agent("archivist", team="platform", risk_level="high", status="suspended", tags={"autonomous": "true"}),
        ],
        servers=[
            server("ledger", "finance", ledger),
            server("reports", "platform", reports, environment="staging"),
        ],
    )


def server(name: str, team: str, tools: list[Tool], *, environment: str = "production") -> Server:
    upstream = Upstream(f"https://127.0.0.1:2/{name}", SpiffeId(f"spiffe://example.test/server/{name}"))
    return Server(
        name=name, team=team, environment=environment, upstream=upstream, tools={item.name: item for item in tools}
    )


MARIA = User(issuer="https://login.example", idp="corp", subject="maria", email="maria@example.test")


def hop(
    who: str | None = "analyst",
    action: str = "invokeTool",
    resource: Uid | None = None,
    *,
    chain: tuple[str, ...] | None = None,
    user: User | None = MARIA,
    arguments: dict | None = None,
    **changes: object,
) -> Hop:
    """A hop of ``who`` (None: a user-only client), who is also the chain's last agent."""
    agents = chain if chain is not None else (() if who is None else (who,))
    resource = resource or Uid("Tool", "ledger/read_balance")
    call = Call(
        protocol="a2a" if resource.type == "Agent" else "mcp",
        version="1",
        method="test",
        action=action,
        resource=resource,
        message={},
        arguments=arguments,
    )
    facts = Chain(
        sub=user.sub if user else f"spiffe://example.test/agent/{who}",
        actors=tuple(SpiffeId(f"spiffe://example.test/agent/{name}") for name in agents),
        agents=agents,
        txn="t",
        root_expires=2_000_000_000,
        max_depth=8,
        ceiling=frozenset({"ledger/read_balance"}),
    )
    peer = None if who is None else Peer(SpiffeId(f"spiffe://example.test/agent/{who}"), "example.test", "x", 0)
    base = Hop(
        id="hop-1",
        route=Route("mcp", "ledger", "/mcp/ledger", "https://gw/mcp/ledger", "https://gw/mcp/ledger"),
        peer=peer,
        agent=who,
        user=user,
        call=call,
        chain=structs.replace(facts, **{k: v for k, v in changes.items() if k in {"reentry", "purpose"}}),
        now=1_795_000_000_123,
        usage=Usage(),
    )
    return structs.replace(base, **{k: v for k, v in changes.items() if k in {"now", "usage"}})


def files(*policies: str, path: str = "platform/test.cedar") -> list[PolicySource]:
    return [PolicySource(path, "\n".join(policies))]


def loaded(sources: list[PolicySource], registry: Registry, key: bytes | None = None) -> Bundle:
    """The bundle, failing with the problems if it does not load."""
    bundle = compile_bundle(sources, SCHEMA, registry, key)
    assert isinstance(bundle, Bundle), "\n".join(map(str, bundle))
    return bundle


@pytest.fixture(scope="session")
def firm() -> Registry:
    return company()


@pytest.fixture(scope="session")
def kit() -> SimpleNamespace:
    """The builders of this file, for tests that can't import a conftest."""
    return SimpleNamespace(**{name: value for name, value in globals().items() if not name.startswith("_")})


@pytest.fixture(scope="session")
def bundle(firm: Registry) -> Bundle:
    """The shipped policies, loaded for the company."""
    return loaded(shipped(), firm)
