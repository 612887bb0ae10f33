"""References between registered things: owners, teams, scopes, trust domains. Each must lead somewhere.

Works on entries as they were read; knows nothing of files. A reference that would silently grant or
disarm nothing but a typo is a warning, one that leaves an agent without owner or identity an error.
"""

from collections.abc import Iterable, Mapping

from msgspec import Struct

from gateway.config.input_schema import declared_arguments, input_schema_faults
from gateway.config.problems import Fault, KeyPath, suggest
from gateway.config.registry_file import AgentEntry, PersonEntry, ServerEntry, ToolEntry


class Declared(Struct, frozen=True):
    """Every name that something may refer to, unreadable entries included."""

    people: frozenset[str]
    agents: frozenset[str]
    servers: frozenset[str]
    teams: frozenset[str]
    scopes: frozenset[str]
    """Scopes that some tool needs, or that ``<agent>/delegate`` names."""
    issuers: Mapping[str, str]
    """Issuer's short name → its URL."""
    trust_domains: frozenset[str]
    """Trust domains that peers can be verified in; empty where that isn't known."""
    gateways: Mapping[str, str] = {}
    """Peer gateway's name → its SPIFFE ID."""
    foreign: frozenset[str] = frozenset()
    """Trust domains that peer gateways vouch for."""


def person_faults(person_id: str, entry: PersonEntry, declared: Declared) -> Iterable[Fault]:
    """A person's issuer is the one that the first half of their id names."""
    idp = person_id.partition("|")[0]
    configured = declared.issuers.get(idp)
    if configured is None:
        message = f"no configured issuer is named {idp}, so this person can't be recognised"
        yield Fault((), message, suggest(idp, declared.issuers), "warning")
    elif configured != entry.issuer:
        yield Fault(("issuer",), f"issuer {idp} is configured as {configured}", "write it exactly as the settings do")
    if entry.team is not None:
        yield from _team(entry.team, declared)


def agent_faults(entry: AgentEntry, declared: Declared) -> Iterable[Fault]:
    """An agent's owner, team, scopes and trust domain exist."""
    if entry.owner not in declared.people:
        hint = suggest(entry.owner, declared.people) or "list the owner under people"
        yield Fault(("owner",), f'"{entry.owner}" is not a registered person', hint)
    yield from _team(entry.team, declared)
    yield from unknown_scopes(entry.scopes, ("scopes",), declared.scopes)
    if entry.upstream is not None:
        yield from unknown_scopes(entry.upstream.ceiling or (), ("upstream", "ceiling"), declared.scopes)
    behind = None if entry.upstream is None else entry.upstream.gateway
    yield from _gateway(behind, declared)
    for name, spiffe_id in declared.gateways.items():
        if spiffe_id == entry.spiffe_id:
            message = f"this is peer gateway {name}, which brings the chains of others and has none of its own"
            yield Fault(("spiffe_id",), message, "give the agent a SPIFFE ID of its own")
    domain = entry.spiffe_id.removeprefix("spiffe://").partition("/")[0]
    # The agents of a peer's side never connect here themselves.
    if domain not in declared.foreign:
        yield from _domain(entry.spiffe_id, ("spiffe_id",), declared)


def server_faults(entry: ServerEntry, declared: Declared) -> Iterable[Fault]:
    """A server's team and trust domain exist, and its tools are described soundly."""
    yield from _team(entry.team, declared)
    if entry.upstream.spiffe_id is not None:
        yield from _domain(entry.upstream.spiffe_id, ("upstream", "spiffe_id"), declared)
    yield from _gateway(entry.upstream.gateway, declared)
    for name, tool in entry.tools.items():
        for fault in _tool_faults(tool):
            yield Fault(("tools", name, *fault.key), fault.message, fault.hint, fault.severity)


def unknown_scopes(scopes: Iterable[str], path: KeyPath, known: frozenset[str]) -> Iterable[Fault]:
    """A warning for each scope that nothing needs: it grants nothing, and is probably misspelt."""
    for index, each in enumerate(scopes):
        if each not in known:
            yield Fault((*path, index), f'nothing needs the scope "{each}"', suggest(each, known), "warning")


def _tool_faults(tool: ToolEntry) -> Iterable[Fault]:
    if tool.input_schema is None:
        return
    for fault in input_schema_faults(tool.input_schema):
        yield Fault(("input_schema", *fault.key), fault.message, fault.hint, fault.severity)
    arguments = declared_arguments(tool.input_schema)
    for index, each in enumerate(tool.sensitive):
        if each not in arguments:
            hint = suggest(each, arguments)
            yield Fault(("sensitive", index), f'"{each}" is not an argument of input_schema', hint)


def _team(team: str, declared: Declared) -> Iterable[Fault]:
    if team not in declared.teams:
        hint = suggest(team, declared.teams) or "list the team under teams"
        yield Fault(("team",), f'"{team}" is not a registered team', hint)


def _gateway(name: str | None, declared: Declared) -> Iterable[Fault]:
    if name is not None and name not in declared.gateways:
        hint = suggest(name, declared.gateways) or "list the peer under federation.peers in the settings"
        yield Fault(("upstream", "gateway"), f'no peer gateway is named "{name}"', hint)


def _domain(spiffe_id: str, path: KeyPath, declared: Declared) -> Iterable[Fault]:
    domain = spiffe_id.removeprefix("spiffe://").partition("/")[0]
    if declared.trust_domains and domain not in declared.trust_domains:
        message = f"no trust bundle is configured for {domain}, so every connection will be refused"
        yield Fault(path, message, suggest(domain, declared.trust_domains), "warning")
