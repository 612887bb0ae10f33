"""``quotas``: how much each agent, user, team, tool and route may do; and what those settings name."""

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from gateway.config.problems import Fault, KeyPath, suggest
from gateway.config.references import Declared
from gateway.config.section import Section
from gateway.config.words import Label
from gateway.core.limits import Limits
from gateway.core.metering import COUNTERS
from gateway.core.model import Route
from gateway.core.quotas import ANY, Quota, Quotas
from gateway.core.registry import Registry

_NAMED = ("agent", "user", "team", "tool", "route", "agent_destructive")
_PAIRS = ("agent_tool", "user_tool")
_Requests = Annotated[int, Meta(ge=1, le=10_000_000)]
_Whose = Annotated[Label, Meta(description="As registered, or `*` for everybody who isn't named.")]


class QuotaSettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one of them may do. What a named one leaves out is as under `*`; what both leave out has no bound."""

    requests_per_minute: Annotated[
        _Requests | None, Meta(description="Most requests in any 60 seconds, whatever the method, and denied ones too.")
    ] = None
    requests_per_hour: Annotated[_Requests | None, Meta(description="Most requests in any hour.")] = None
    concurrent: Annotated[
        Annotated[int, Meta(ge=1, le=1_000_000)] | None,
        Meta(description="Most calls at once. A stream is one for as long as it is open."),
    ] = None
    bytes_per_hour: Annotated[
        Annotated[int, Meta(ge=1024, le=2**50)] | None,
        Meta(description="Most bytes in any hour: bodies of requests, and answers as the upstream sends them."),
    ] = None

    def quota(self) -> Quota:
        """The same for the core."""
        return Quota(**msgspec.structs.asdict(self))


class QuotasSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Each process counts for itself. A call must fit in all that apply to it, or is refused with 429."""

    agent: Annotated[Mapping[_Whose, QuotaSettings], Meta(description="Agent → what it may do.")] = {}
    user: Annotated[
        Mapping[_Whose, QuotaSettings],
        Meta(description="`<idp>|<subject>` → what may be done for this person, by all agents."),
    ] = {}
    team: Annotated[
        Mapping[_Whose, QuotaSettings],
        Meta(description="Team → what its agents may do together; its people too, where no agent calls."),
    ] = {}
    tool: Annotated[
        Mapping[_Whose, QuotaSettings], Meta(description="`<server>/<tool>` → how much it may be called, by everybody.")
    ] = {}
    route: Annotated[
        Mapping[_Whose, QuotaSettings],
        Meta(description="`mcp/<server>` or `a2a/<agent>` → how much it may be asked, by everybody."),
    ] = {}
    agent_tool: Annotated[
        Mapping[_Whose, Mapping[_Whose, QuotaSettings]],
        Meta(description="Agent → tool → what this agent may do with this tool."),
    ] = {}
    user_tool: Annotated[
        Mapping[_Whose, Mapping[_Whose, QuotaSettings]],
        Meta(description="User → tool → what may be done with this tool for this person."),
    ] = {}
    agent_destructive: Annotated[
        Mapping[_Whose, QuotaSettings],
        Meta(description="Agent → what it may do with all tools together that are `destructive`."),
    ] = {}
    refused_per_minute: Annotated[
        _Requests,
        Meta(
            description="Requests of one peer that may end before there is anything to decide, for what is wrong with "
            "them: malformed, a bad token. Who has more is refused unread until they are a minute past."
        ),
    ] = Quotas().refused_per_minute
    counters: Annotated[
        int,
        Meta(
            ge=100,
            le=1_000_000,
            description="Names of each kind that are counted apart, about a kilobyte each. Where all are in use, new "
            "names share one count.",
        ),
    ] = COUNTERS

    def quotas(self) -> Quotas:
        """The same for the core."""
        named: dict[Any, Any] = {}
        pairs: dict[Any, Any] = {}
        for kind in _NAMED:
            named[kind] = {name: each.quota() for name, each in getattr(self, kind).items()}
        for kind in _PAIRS:
            pairs[kind] = {
                name: {tool: each.quota() for tool, each in tools.items()}
                for name, tools in getattr(self, kind).items()
            }
        return Quotas(
            named={kind: found for kind, found in named.items() if found},
            pairs={kind: found for kind, found in pairs.items() if found},
            refused_per_minute=self.refused_per_minute,
        )


def quota_faults(
    quotas: QuotasSection, registry: Registry, declared: Declared, routes: Iterable[Route], limits: Limits
) -> Iterable[Fault]:
    """Names that nothing is registered by, and quotas that hold no request; keys are those of the settings file."""
    unread = (declared.servers - registry.servers.keys()) | (declared.agents - registry.agents.keys())
    tools = {f"{server.name}/{tool}" for server in registry.servers.values() for tool in server.tools}
    paths = {route.path.lstrip("/") for route in routes}
    agents = _Known("agent", declared.agents)
    of_tools = _Known("tool", frozenset(tools), lambda name: name.partition("/")[0] in unread)
    of_routes = _Known("route", frozenset(paths), lambda name: name.partition("/")[2] in unread)
    yield from _unknown(("quotas", "agent"), quotas.agent, agents)
    yield from _unknown(("quotas", "agent_destructive"), quotas.agent_destructive, agents)
    yield from _unknown(("quotas", "team"), quotas.team, _Known("team", declared.teams))
    yield from _unknown(("quotas", "tool"), quotas.tool, of_tools)
    yield from _unknown(("quotas", "route"), quotas.route, of_routes)
    yield from _unknown(("quotas", "agent_tool"), quotas.agent_tool, agents)
    yield from _people(("quotas", "user"), quotas.user)
    yield from _people(("quotas", "user_tool"), quotas.user_tool)
    for kind in _PAIRS:
        for name, each in getattr(quotas, kind).items():
            yield from _unknown(("quotas", kind, name), each, of_tools)
    yield from _too_small(quotas, limits)


class _Known(NamedTuple):
    """What is registered of a kind; of ``unsure`` names nobody knows, for their entry can't be read."""

    what: str
    names: frozenset[str]
    unsure: Callable[[str], bool] = lambda name: False


def _unknown(at: KeyPath, given: Iterable[str], known: _Known) -> Iterable[Fault]:
    for name in given:
        if name != ANY and name not in known.names and not known.unsure(name):
            yield Fault((*at, name), f"no {known.what} is registered by this name", suggest(name, known.names))


def _people(at: KeyPath, given: Iterable[str]) -> Iterable[Fault]:
    for name in given:
        if name != ANY and "|" not in name:
            yield Fault((*at, name), "this is no user", "write <name of the issuer>|<subject>, or *")


def _too_small(quotas: QuotasSection, limits: Limits) -> Iterable[Fault]:
    """A body that the limits let in may never fit: its caller is told 413, not when to come back."""
    found: list[tuple[KeyPath, QuotaSettings]] = [
        ((kind, name), each) for kind in _NAMED for name, each in getattr(quotas, kind).items()
    ]
    found += [
        ((kind, name, tool), each)
        for kind in _PAIRS
        for name, tools in getattr(quotas, kind).items()
        for tool, each in tools.items()
    ]
    for key, each in found:
        if each.bytes_per_hour is not None and each.bytes_per_hour < limits.body_bytes:
            message = f"requests of up to limits.body_bytes, {limits.body_bytes}, would never fit"
            yield Fault(("quotas", *key, "bytes_per_hour"), message, "raise it, or lower limits.body_bytes", "warning")
