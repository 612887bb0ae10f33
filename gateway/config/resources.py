"""Registry files to the registry of ``core``: several files become one, names are unique, references lead somewhere.

Decides nothing about calls. Entries that can't be read are left out of the result, but still count as
declared, so that one mistake isn't reported twice.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Generic, TypeVar

from msgspec import Struct

from gateway.config import registered
from gateway.config.problems import Fault, KeyPath, Problem
from gateway.config.references import Declared, agent_faults, person_faults, server_faults
from gateway.config.registry_file import (
    AgentEntry,
    ClassEntry,
    DestinationEntry,
    ModelEntry,
    PersonEntry,
    RegistryFile,
    ServerEntry,
)
from gateway.config.section import Section
from gateway.config.typed_reader import TypedReader
from gateway.config.yaml_source import Document
from gateway.core.registry import Registry
from gateway.core.scope import default_scopes, delegating

E = TypeVar("E", bound=Section)


class Surroundings(Struct, frozen=True):
    """What the settings say that the registry depends on."""

    public_url: str
    issuers: Mapping[str, str]
    """Issuer's short name → its URL."""
    trust_domains: frozenset[str]
    """Trust domains that peers can be verified in; empty where that isn't known."""
    gateways: Mapping[str, str] = {}
    """Peer gateway's name → its SPIFFE ID."""
    foreign: frozenset[str] = frozenset()
    """Trust domains that peer gateways vouch for."""
    environ: Mapping[str, str] = {}
    """Where ``env:`` references lead."""


class _Entry(Struct, Generic[E], frozen=True):
    """An entry and where it was written."""

    document: Document
    kind: str
    name: str
    value: E

    def problem(self, fault: Fault) -> Problem:
        return self.document.problem((self.kind, self.name), fault)


class _Entries(Struct, frozen=True):
    people: Mapping[str, _Entry[PersonEntry]]
    agents: Mapping[str, _Entry[AgentEntry]]
    servers: Mapping[str, _Entry[ServerEntry]]
    models: Mapping[str, _Entry[ModelEntry]]
    classes: Mapping[str, _Entry[ClassEntry]]
    destinations: Mapping[str, _Entry[DestinationEntry]]


def read_registry(
    documents: Sequence[Document], surroundings: Surroundings
) -> tuple[Registry, Declared, tuple[Problem, ...]]:
    """The registry of ``documents`` taken together, the names it declares, and what is wrong with it.

    The registry may be used only if no problem is an error.
    """
    problems: list[Problem] = []
    files: list[tuple[Document, RegistryFile]] = []
    for document in documents:
        reader = TypedReader(document, Path(document.file).absolute().parent, surroundings.environ)
        file, _ = reader.read(RegistryFile)
        problems += reader.problems
        if file is not None:
            files.append((document, file))
    entries = _Entries(
        people=_merge("people", [(document, file.people) for document, file in files], problems),
        agents=_merge("agents", [(document, file.agents) for document, file in files], problems),
        servers=_merge("servers", [(document, file.servers) for document, file in files], problems),
        models=_merge("models", [(document, file.models) for document, file in files], problems),
        classes=_merge("classes", [(document, file.classes) for document, file in files], problems),
        destinations=_merge("destinations", [(document, file.destinations) for document, file in files], problems),
    )
    teams = frozenset(team for _, file in files for team in file.teams)
    declared = Declared(
        people=frozenset(_written("people", documents)),
        agents=frozenset(_written("agents", documents)),
        servers=frozenset(_written("servers", documents)),
        teams=teams,
        scopes=frozenset(_scopes(entries)),
        issuers=surroundings.issuers,
        trust_domains=surroundings.trust_domains,
        gateways=surroundings.gateways,
        foreign=surroundings.foreign,
    )
    problems += _reference_problems(entries, declared)
    problems += _shared_identities(entries.agents)
    problems += _shared_audiences(entries, surroundings.public_url)
    return _registry(entries, teams, surroundings), declared, tuple(problems)


def resource_of(public_url: str, protocol: str, name: str) -> str:
    """The resource URI of a route: ``<public_url>/mcp/<server>`` or ``<public_url>/a2a/<agent>``."""
    return f"{public_url}/{protocol}/{name}"


def _merge(
    kind: str, files: Sequence[tuple[Document, Mapping[str, E]]], problems: list[Problem]
) -> dict[str, _Entry[E]]:
    merged: dict[str, _Entry[E]] = {}
    for document, values in files:
        for name, value in values.items():
            entry = _Entry(document, kind, name, value)
            if name in merged:
                problems.append(entry.problem(_twice("this name", merged[name], ())))
            else:
                merged[name] = entry
    return merged


def _written(kind: str, documents: Sequence[Document]) -> Iterator[str]:
    for document in documents:
        section = document.value.get(kind) if isinstance(document.value, dict) else None
        if isinstance(section, dict):
            yield from section


def _scopes(entries: _Entries) -> Iterator[str]:
    for name, agent in entries.agents.items():
        yield delegating(name)
        if agent.value.upstream is not None:
            yield from chain.from_iterable(agent.value.upstream.needs.values())
    for server, entry in entries.servers.items():
        owner = entry.value
        yield from chain.from_iterable(owner.needs.values())
        for tool, described in owner.tools.items():
            yield from registered.needed_scopes(server, tool, described, owner)
        for resources in owner.resources.values():
            yield from registered.reading_scopes(server, resources, owner)
        for prompts in owner.prompts.values():
            yield from registered.getting_scopes(server, prompts, owner)
        yield from default_scopes(server).values()


def _reference_problems(entries: _Entries, declared: Declared) -> Iterator[Problem]:
    for person in entries.people.values():
        yield from map(person.problem, person_faults(person.name, person.value, declared))
    for agent in entries.agents.values():
        yield from map(agent.problem, agent_faults(agent.value, declared))
    for server in entries.servers.values():
        yield from map(server.problem, server_faults(server.value, declared))


def _shared_identities(agents: Mapping[str, _Entry[AgentEntry]]) -> Iterator[Problem]:
    """Two agents with one SPIFFE ID couldn't be told apart."""
    seen: dict[str, _Entry[AgentEntry]] = {}
    for agent in agents.values():
        first = seen.setdefault(agent.value.spiffe_id, agent)
        if first is not agent:
            yield agent.problem(_twice("this SPIFFE ID", first, ("spiffe_id",)))


def _shared_audiences(entries: _Entries, public_url: str) -> Iterator[Problem]:
    """Two upstreams with one audience could use each other's hop tokens."""
    seen: dict[str, _Entry[AgentEntry] | _Entry[ServerEntry]] = {}
    for server in entries.servers.values():
        audience = server.value.upstream.audience or resource_of(public_url, "mcp", server.name)
        first = seen.setdefault(audience, server)
        if first is not server:
            yield server.problem(_twice("this audience", first, ("upstream", "audience")))
    for agent in entries.agents.values():
        if agent.value.upstream is None:
            continue
        audience = agent.value.upstream.audience or resource_of(public_url, "a2a", agent.name)
        first = seen.setdefault(audience, agent)
        if first is not agent:
            yield agent.problem(_twice("this audience", first, ("upstream", "audience")))


def _twice(what: str, first: _Entry[Any], key: KeyPath) -> Fault:
    place = first.document.place((first.kind, first.name, *key))
    return Fault(key, f"{what} is already that of {first.name}, at {place.file}:{place.line}", "change one of the two")


def _registry(entries: _Entries, teams: frozenset[str], surroundings: Surroundings) -> Registry:
    public_url, gateways = surroundings.public_url, surroundings.gateways
    agents = {name: registered.agent(name, entry.value, gateways) for name, entry in entries.agents.items()}
    return Registry(
        people={name: registered.person(name, entry.value) for name, entry in entries.people.items()},
        agents=agents,
        servers={name: registered.server(name, entry.value, gateways) for name, entry in entries.servers.items()},
        models={name: registered.model(name, entry.value) for name, entry in entries.models.items()},
        teams=teams,
        by_spiffe_id={agent.spiffe_id: name for name, agent in agents.items()},
        by_audience={
            agent.upstream.audience or resource_of(public_url, "a2a", name): name
            for name, agent in agents.items()
            if agent.upstream is not None
        },
        classes={name: registered.agent_class(name, entry.value) for name, entry in entries.classes.items()},
        destinations={name: registered.destination(name, entry.value) for name, entry in entries.destinations.items()},
    )
