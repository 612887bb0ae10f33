"""Network rules of one class and action: permits and forbids that together say what the policies decide.

Forbids are subtracted where that says enough; rules that forbid stay where something wider is permitted, and where a
policy forbids a host by name, since its addresses may be shared. Where permits and forbids can't say it, less is
permitted, and the places are told.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from msgspec import Struct

from gateway.core.kernel.hosts import KnownHost, is_single
from gateway.core.kernel.places import TRANSPORTS, Place, Places, Sets, places
from gateway.core.kernel.rules import MAX_PORTS, MAX_RULES
from gateway.core.kernel.spoken import Asked, Spoken, Verdict, fitting
from gateway.core.model import Effect
from gateway.core.registry import Transport

_Key = tuple[int | None, Transport]
_MOST_PLACES = 100_000


class Rule(Struct, frozen=True):
    """A rule before its policy has a number. ``host`` None: any; so with port and protocol."""

    effect: Effect
    host: KnownHost | None
    port: int | None
    protocol: Transport | None
    policy: str

    def applies(self, place: Place) -> bool:
        """Whether it speaks of the place."""
        return (
            (self.host is None or (place.host is not None and self.host.holds(place.host)))
            and self.port in (None, place.port)
            and self.protocol in (None, place.protocol)
        )


class NetworkRules(Struct, frozen=True):
    """Rules, and the places where Cedar permits and they don't."""

    rules: tuple[Rule, ...]
    lost: tuple[Place, ...]


def network_rules(said: Sequence[Spoken], action: str, sets: Sets) -> tuple[NetworkRules, frozenset[str]]:
    """The rules of ``action``, and the ids of policies that had to be left out since they were too many."""
    return fitting([each for each in said if each.action == action], partial(_built, sets))


def _built(sets: Sets, said: Sequence[Spoken]) -> NetworkRules | None:
    found = places(said, sets)
    if sum(2 * len(found.ports[host]) for host in found.hosts) > _MOST_PLACES:
        return None
    grid = found.verdicts(Asked.of(said, lambda atom: atom))
    kept: dict[KnownHost | None, list[Rule]] = {}
    for host in found.hosts:
        around = [rule for each in found.around(host) for rule in kept[each]]
        kept[host] = [*_at(host, found, grid, around)]
        if len(kept[host]) + len(around) > MAX_PORTS:
            return None
    rules = tuple(rule for host in found.hosts for rule in kept[host])
    if len(rules) > MAX_RULES:
        return None
    return NetworkRules(rules, tuple(_lost(found, grid, kept)))


class _Around(Struct, frozen=True):
    """One host and one protocol, among the rules of wider hosts."""

    host: KnownHost | None
    protocol: Transport
    found: Places
    grid: Mapping[Place, Verdict]
    rules: Sequence[Rule]

    def rules_here(self) -> Iterator[tuple[Effect, int | None, str]]:
        """Effect, port and policy of the rules that the host needs itself."""
        rest = self.said(None)
        open_above = self.permitted_above(None)
        ports = [port for port in self.found.ports[self.host] if port is not None]
        if rest.permit is not None and rest.allowed:
            if open_above is None:
                yield "permit", None, rest.permit
            yield from (("forbid", port, self.said(port).forbid or rest.permit) for port in ports if self.denied(port))
            return
        itself = self.forbidden_itself(None) if all(map(self.denied, ports)) else None
        whole = (rest.forbid or open_above) if open_above is not None else itself
        if whole is not None:
            yield "forbid", None, whole
            return
        for port in ports:
            said, above = self.said(port), self.permitted_above(port)
            if said.permit is not None and said.allowed:
                if above is None:
                    yield "permit", port, said.permit
                continue
            forbidding = (said.forbid or above) if above is not None else self.forbidden_itself(port)
            if forbidding is not None:
                yield "forbid", port, forbidding

    def said(self, port: int | None) -> Verdict:
        """What the policies decide."""
        return self.grid[Place(self.host, port, self.protocol)]

    def denied(self, port: int) -> bool:
        """Whether the port isn't permitted."""
        return not self.said(port).allowed

    def permitted_above(self, port: int | None) -> str | None:
        """The policy by which a wider host's rule permits it."""
        place = Place(self.host, port, self.protocol)
        return next((rule.policy for rule in self.rules if rule.effect == "permit" and rule.applies(place)), None)

    def forbidden_itself(self, port: int | None) -> str | None:
        """The policy that forbids just this host: its addresses are then forbidden whoever shares them."""
        if self.host is None or any(each != self.host and self.host.holds(each) for each in self._others()):
            return None
        anywhere = self.grid[Place(None, None, self.protocol)].forbid
        return None if anywhere is not None else self.said(port).forbid

    def _others(self) -> Sequence[KnownHost]:
        return () if self.host is None or is_single(self.host) else self.found.networks


def _at(host: KnownHost | None, found: Places, grid: Mapping[Place, Verdict], around: Sequence[Rule]) -> Iterator[Rule]:
    """The rules of one host, where those around it hold too."""
    by: dict[Effect, dict[_Key, str]] = {"permit": {}, "forbid": {}}
    for protocol in TRANSPORTS:
        for effect, port, policy in _Around(host, protocol, found, grid, around).rules_here():
            by[effect][port, protocol] = policy
    yield from _merged("permit", host, by["permit"])
    yield from _merged("forbid", host, by["forbid"])


def _merged(effect: Effect, host: KnownHost | None, by: Mapping[_Key, str]) -> Iterator[Rule]:
    """One rule for both protocols where they are alike."""
    for (port, protocol), policy in sorted(
        by.items(), key=lambda item: (-1 if item[0][0] is None else item[0][0], item[0][1])
    ):
        both = all(by.get((port, each)) == policy for each in TRANSPORTS)
        if not both or protocol == TRANSPORTS[0]:
            yield Rule(effect, host, port, None if both else protocol, policy)


def _lost(
    found: Places, grid: Mapping[Place, Verdict], kept: Mapping[KnownHost | None, Sequence[Rule]]
) -> Iterator[Place]:
    for host in found.hosts:
        rules = [rule for each in (*found.around(host), host) for rule in kept[each]]
        for place in found.at(host):
            effects = {rule.effect for rule in rules if rule.applies(place)}
            if grid[place].allowed and effects != {"permit"}:
                yield place
