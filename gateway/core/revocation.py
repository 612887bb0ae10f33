"""What was revoked, and whether it touches a hop: by token, chain, person, agent, attribute of agents, or everything.

A hop is touched through its caller, every agent of its chain, the agent that it calls, its person, its
transaction and the tokens that are known of it. Doesn't store, poll or end anything; time is an argument.
"""

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from gateway.core.model import Chain, ChainToken, Presented, SpiffeId
from gateway.core.registry import Agent, Registry

Attribute = Literal["environment", "team", "risk_level", "owner", "group", "class", "tag"]
Key = tuple[str, str, str]
"""Kind of target, attribute (of a tag: ``tag.<name>``), value: what targets and hops are compared by."""

_Id = Annotated[str, Meta(min_length=1, max_length=256, pattern=r"^[!-~]+$")]
_Text = Annotated[str, Meta(min_length=1, max_length=512)]
_CONDITION = re.compile(
    r'\s*(?:(environment|team|risk_level|owner|group|class)|tag\.([A-Za-z0-9_.-]{1,128}))\s*==\s*("(?:[^"\\]|\\.)*")\s*'
)


class TokenTarget(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="token"):
    """One token, root or hop, by its ``jti`` or its digest (hex SHA-256 of ``header.payload``)."""

    token: _Id

    @property
    def key(self) -> Key:
        """By the token's name, whichever it is."""
        return "token", "", self.token


class TxnTarget(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="txn"):
    """One chain, whoever continues it."""

    txn: _Id

    @property
    def key(self) -> Key:
        """By transaction."""
        return "txn", "", self.txn


class UserTarget(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="user"):
    """Every chain of one person, ``<idp>|<subject>``."""

    user: Annotated[str, Meta(max_length=512, pattern=r"^[a-z0-9-]+\|.+$")]

    @property
    def key(self) -> Key:
        """By person."""
        return "user", "", self.user


class AgentTarget(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="agent"):
    """One agent, by its registered name or its SPIFFE ID, and every chain that it is part of."""

    agent: Annotated[str, Meta(min_length=1, max_length=2048, pattern=r"^[A-Za-z0-9_./:-]+$")]

    @property
    def key(self) -> Key:
        """By name or SPIFFE ID: no name holds a slash."""
        return "agent", "", self.agent


class AttributeTarget(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="attribute"):
    """All agents with one value of one attribute, as they are registered at the time of a hop."""

    attribute: Attribute
    value: _Text
    tag: Annotated[str, Meta(max_length=128)] = ""
    """Name of the tag, where ``attribute`` is ``tag``."""

    def __post_init__(self) -> None:
        if (self.attribute == "tag") != bool(self.tag):
            raise ValueError("a tag has a name, and no other attribute has one")

    @property
    def key(self) -> Key:
        """By attribute and value."""
        return "attribute", f"tag.{self.tag}" if self.tag else self.attribute, self.value


class AllTarget(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="all"):
    """Everything: the kill switch."""

    @property
    def key(self) -> Key:
        """One for all."""
        return EVERYTHING


Target = TokenTarget | TxnTarget | UserTarget | AgentTarget | AttributeTarget | AllTarget
EVERYTHING: Key = ("all", "", "")


class Revocation(Struct, frozen=True, kw_only=True):
    """One revocation, as it was made. It is in force until it expires or is lifted."""

    id: str
    target: Target
    reason: str
    by: str
    """Who made it: ``<idp>|<subject>``, a SPIFFE ID, or ``socket:<uid>``."""
    at: int
    """Unix milliseconds."""
    expires: int | None = None
    """Unix seconds: the first that it no longer holds for. None: until it is lifted."""

    def holds(self, now: float) -> bool:
        """Whether it has not expired at ``now`` (Unix seconds)."""
        return self.expires is None or now < self.expires


class View(Struct, frozen=True):
    """All revocations of one epoch. A check costs one look-up for each fact of the hop, however many there are."""

    epoch: int
    """Grows with every revocation and every lift."""
    by_key: Mapping[Key, Revocation]
    """The one that lasts longest of each key."""

    def touching(self, keys: Iterable[Key], now: float, *, halted: bool = True) -> Revocation | None:
        """A revocation in force at ``now`` (Unix seconds) that touches one of ``keys``, or everything.

        Without ``halted``, that of everything is passed over: for those who may lift it.
        """
        if not self.by_key:
            # The usual case, on every hop: the keys aren't even made.
            return None
        for key in itertools.chain((EVERYTHING,) if halted else (), keys):
            found = self.by_key.get(key)
            if found is not None and found.holds(now):
                return found
        return None

    def __len__(self) -> int:
        return len(self.by_key)


EMPTY = View(0, {})


def view(epoch: int, revocations: Iterable[Revocation]) -> View:
    """The view of those revocations that were not lifted."""
    longest: dict[Key, Revocation] = {}
    for each in revocations:
        known = longest.get(each.target.key)
        if known is None or _outlasts(each, known):
            longest[each.target.key] = each
    return View(epoch, longest)


def keys_of_presented(presented: Presented, registry: Registry) -> Iterator[Key]:
    """What is known of a chain before it is continued or begun: its tokens, its person, its earlier agents."""
    if presented is None:
        return
    if presented.user is not None:
        yield "user", "", presented.user.sub
    if isinstance(presented, ChainToken):
        yield "txn", "", presented.txn
        yield from keys_of_agents(presented.actors, registry)
    yield from ((("token", "", name)) for name in _names(presented))


def keys_of_chain(chain: Chain, registry: Registry) -> Iterator[Key]:
    """What a chain can be revoked by: person, transaction, every agent, who vouched for it, the presented token."""
    yield "user", "", chain.sub
    yield "txn", "", chain.txn
    yield from keys_of_agents(chain.actors, registry)
    if chain.via is not None:
        yield "agent", "", chain.via
    if chain.parent is not None:
        yield "token", "", chain.parent


def keys_of_agents(actors: Iterable[SpiffeId], registry: Registry) -> Iterator[Key]:
    """What each agent can be revoked by; one that is no longer registered, by its SPIFFE ID."""
    for actor in actors:
        yield "agent", "", actor
        agent = registry.agent_of(actor)
        if agent is not None:
            yield from keys_of_agent(agent)


def keys_of_agent(agent: Agent) -> Iterator[Key]:
    """The agent's name, and every attribute that revocations may go by."""
    yield "agent", "", agent.name
    yield "agent", "", agent.spiffe_id
    yield "attribute", "environment", agent.environment
    yield "attribute", "team", agent.team
    yield "attribute", "risk_level", agent.risk_level
    yield "attribute", "owner", agent.owner
    yield from (("attribute", "group", group) for group in agent.groups)
    yield from (("attribute", "class", name) for name in agent.classes)
    yield from (("attribute", f"tag.{name}", value) for name, value in agent.tags.items())


def touched_agents(target: Target, registry: Registry) -> tuple[str, ...]:
    """Names of the registered agents that a revocation of ``target`` stops, sorted."""
    wanted = target.key
    return tuple(
        sorted(
            agent.name for agent in registry.agents.values() if wanted == EVERYTHING or wanted in keys_of_agent(agent)
        )
    )


def condition(text: str) -> AttributeTarget:
    """The target of ``environment == "dev"``; a tag is ``tag.<name> == "value"``.

    Raises:
        ValueError: it isn't one such comparison.
    """
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise ValueError(
            'write one comparison, ATTRIBUTE == "VALUE", of environment, team, risk_level, owner, group, class or '
            "tag.NAME"
        )
    name, tag, value = match[1], match[2] or "", msgspec.json.decode(match[3], type=str)
    found = {"attribute": name or "tag", "tag": tag, "value": value}
    return msgspec.convert(found | {"kind": "attribute"}, AttributeTarget)


def describe(target: Target) -> str:
    """The target in words."""
    match target:
        case AttributeTarget(attribute=attribute, value=value, tag=tag):
            name = f"tag.{tag}" if tag else attribute
            return f"agents with {name} == {msgspec.json.encode(value).decode()}"
        case AllTarget():
            return "everything"
    kind, _, value = target.key
    return f"{kind} {value}"


def _names(presented: Presented) -> Iterator[str]:
    """Names of the presented token and of its parent, as far as they are known."""
    if presented is not None:
        yield presented.digest
        yield from (name for name in (presented.jti, getattr(presented, "parent", None)) if name is not None)


def _outlasts(one: Revocation, other: Revocation) -> bool:
    if other.expires is None:
        return False
    return one.expires is None or one.expires > other.expires
