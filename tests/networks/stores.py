"""The shared state of a gateway in memory: the contracts of the SQL stores (``test_stores``), no file, no waiting."""

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from gateway.core.ancestry import LISTED, Participation
from gateway.core.audit import Record
from gateway.core.model import SpiffeId
from gateway.core.pins import Definition, Pin
from gateway.core.ports import Binding, Request, Standing, State
from gateway.core.revocation import Revocation


@dataclass
class MemoryBindings:
    kept: dict[str, Binding] = field(default_factory=dict)

    async def bind(self, token_digest: str, proposed: Binding, now: int) -> Binding:
        return self.kept.setdefault(token_digest, proposed)


@dataclass
class MemorySingleUse:
    spent: set[str] = field(default_factory=set)

    async def spend(self, key: str, expires: int, now: int) -> bool:
        first = key not in self.spent
        self.spent.add(key)
        return first


@dataclass
class MemoryHandles:
    kept: dict[str, tuple[str, int]] = field(default_factory=dict)

    async def keep(self, digest: str, sealed: str, expires: int, now: int) -> None:
        self.kept[digest] = (sealed, expires)
        self.kept = {name: each for name, each in self.kept.items() if each[1] > now}

    async def find(self, digest: str, now: int) -> str | None:
        sealed, expires = self.kept.get(digest, ("", 0))
        return sealed if now < expires else None


@dataclass
class MemoryLiveChains:
    parts: dict[tuple[str, str, str], Participation] = field(default_factory=dict)

    async def join(self, part: Participation, now: int) -> None:
        key = (part.sub, part.agent, part.txn)
        known = self.parts.get(key)
        if known is None or known.depth < part.depth:
            self.parts[key] = part

    async def of(self, agent: SpiffeId, sub: str | None, now: int) -> tuple[Participation, ...]:
        found = [
            each
            for each in self.parts.values()
            if each.agent == agent and sub in (None, each.sub) and now < each.root_expires
        ]
        return tuple(sorted(found, key=lambda each: (-each.depth, -each.root_expires, each.txn))[:LISTED])


@dataclass
class MemoryTaskOwners:
    """Only what calls without tasks ask."""

    owners: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)

    async def claim(self, route: str, task_id: str, owner: str, expires: int, origin: str = "") -> bool:
        return self.owners.setdefault((route, task_id), (owner, origin)) == (owner, origin)

    async def owner(self, route: str, task_id: str) -> str | None:
        found = self.owners.get((route, task_id))
        return None if found is None else found[0]

    async def owned(self, route: str, task_ids: Collection[str], owner: str) -> frozenset[str]:
        return frozenset(await self.origins(route, task_ids, owner))

    async def origins(self, route: str, task_ids: Collection[str], owner: str) -> Mapping[str, str]:
        known = {task: self.owners.get((route, task), ("", "")) for task in task_ids}
        return {task: origin for task, (whose, origin) in known.items() if whose == owner}


@dataclass
class NoPins:
    """No server has listed a tool yet, and none does."""

    async def of(self, server: str) -> Mapping[str, Pin]:
        return {}

    async def keep_first(self, server: str, tool: str, definition: Definition) -> None:
        raise AssertionError("nothing is listed")

    async def approve(self, server: str, tool: str, definition: Definition) -> None:
        raise AssertionError("nothing is listed")

    async def report(self, server: str, tool: str, definition: Definition) -> bool:
        raise AssertionError("nothing is listed")


@dataclass
class MemoryAudit:
    records: list[Record] = field(default_factory=list)

    async def append(self, record: Record, *first: Record) -> None:
        self.records += [*first, record]


@dataclass
class MemoryRevocations:
    made: dict[str, Standing] = field(default_factory=dict)
    changes: int = 0

    async def append(self, revocation: Revocation, request: Request | None = None) -> Revocation | None:
        if revocation.id in self.made or request is not None:
            return None
        self.changes += 1
        self.made[revocation.id] = Standing(self.changes, revocation)
        return revocation

    async def lift(self, revocation: str, by: str, reason: str, at: int) -> bool:
        known = self.made.get(revocation)
        if known is None or known.lifted_at is not None:
            return False
        self.changes += 1
        self.made[revocation] = Standing(self.changes, known.revocation, at, by, reason)
        return True

    async def find(self, revocation: str) -> Standing | None:
        return self.made.get(revocation)

    async def page(self, state: State | None, now: int, before: int | None, limit: int) -> tuple[Standing, ...]:
        raise AssertionError("a data path asks for no pages")

    async def epoch(self) -> tuple[int, float]:
        return self.changes, time.monotonic()

    async def in_force(self, now: int) -> tuple[int, tuple[Revocation, ...]]:
        found = (each.revocation for each in self.made.values() if each.state(now) == "in_force")
        return self.changes, tuple(found)
