"""Shadow agents: told once each, listed while they are there, and put into ``quarantine`` where the settings say so.

Decides who is one and when it is told. Quarantine is a class like any other: what no rules permit it is denied.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from hopgate_bpf.node.loader import Loader
from hopgate_bpf.node.memberships import Memberships
from hopgate_bpf.node.shadow_cgroups import QUARANTINE, Held, Look, look_at
from hopgate_bpf.node.shadow_settings import ShadowSettings
from hopgate_bpf.rules.refusal import RefusedError

TRUSTED_SECONDS = 5.0
"""How long the kernel's list of cgroups is used before it is asked again, when nothing is new."""
MOST_LISTED = 256
_MAX_DETAIL = 300

Say = Callable[[bytes], Awaitable[None]]


class Shadow(Struct, frozen=True):
    """Processes of one agent's cgroup that nobody registered."""

    cgroup: str
    programs: tuple[str, ...]
    """Paths of executables, some of them where there are many."""
    processes: int
    first_seen: float
    """Unix seconds; of this process's own seeing."""
    quarantined: bool
    detail: str = ""
    """Why it could not be quarantined."""


class Shadows:
    """See above. ``follow`` beside everything else; ``clock`` in Unix seconds."""

    def __init__(
        self,
        settings: ShadowSettings,
        root: Path,
        memberships: Memberships,
        loader: Loader,
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._root = root
        self._memberships = memberships
        self._loader = loader
        self._clock = clock
        self._shadows: dict[int, Shadow] = {}
        self._classes: Mapping[int, str] = {}
        self._asked = -TRUSTED_SECONDS
        self._registered: Mapping[str, tuple[str, ...]] | None = None
        self._problem = ""

    @property
    def problem(self) -> str:
        """Why it may not know them all; empty: it does."""
        return self._problem

    def listed(self) -> tuple[Shadow, ...]:
        """Those that are there, first seen first."""
        return tuple(sorted(self._shadows.values(), key=lambda each: (each.first_seen, each.cgroup)))

    async def follow(self, say: Say) -> None:
        """Look for ever; ``say`` takes events."""
        while self._settings.roots:
            await self.look(say)
            await asyncio.sleep(self._settings.look_seconds)

    async def look(self, say: Say) -> None:
        """Look once. What fails is ``problem``, and tried again at the next look."""
        try:
            found = await self._found()
            self._shadows = {each.id: await self._judged(each, say) for each in found.held}
        except RefusedError as refused:
            self._problem = f"shadow agents can't be looked for: {refused}"[:_MAX_DETAIL]
            return
        cut = f"more than {self._settings.cgroups} cgroups below shadow.roots; not all are looked at"
        self._problem = cut if found.cut else ""

    async def _found(self) -> Look:
        old = abs(self._clock() - self._asked) >= TRUSTED_SECONDS
        if old or self._memberships.listed() is not self._registered:
            await self._ask()
        found = await self._looked()
        if self._has_new(found):
            # Perhaps it was registered since the kernel was asked, or a registered cgroup was made anew.
            await self._ask()
            if await self._memberships.rejoin(self._classes):
                await self._ask()
            found = await self._looked()
        return found

    async def _ask(self) -> None:
        registered = self._memberships.listed()
        status = await self._loader.status()
        self._classes = _by_cgroup(status.classes)
        self._asked, self._registered = self._clock(), registered

    async def _looked(self) -> Look:
        settings = self._settings
        return await asyncio.to_thread(look_at, settings.roots, self._root, self._classes, settings.cgroups)

    def _has_new(self, found: Look) -> bool:
        return any(each.id not in self._shadows and not each.quarantined for each in found.held)

    async def _judged(self, held: Held, say: Say) -> Shadow:
        before = self._shadows.get(held.id)
        quarantined, detail = held.quarantined, ""
        if not quarantined and self._settings.quarantine:
            try:
                quarantined = await self._memberships.add(QUARANTINE, held.cgroup, self._is_watched)
            except RefusedError as refused:
                detail = str(refused)[:_MAX_DETAIL]
        first = self._clock() if before is None else before.first_seen
        shadow = Shadow(held.cgroup, held.programs, held.processes, round(first, 3), quarantined, detail)
        if not held.quarantined and (before is None or before.quarantined != quarantined):
            await say(msgspec.json.encode({"event": "shadow", "shadow": shadow}))
        return shadow

    def _is_watched(self, path: str) -> bool:
        return any(Path(path).match(pattern) for pattern in self._settings.roots)


def _by_cgroup(classes: Mapping[str, object]) -> Mapping[int, str]:
    """The loader's classes as cgroup → class. What has another form is passed over: those cgroups count as of none."""
    found: dict[int, str] = {}
    for name, said in classes.items():
        match said:
            case {"cgroups": list(cgroups)}:
                found |= {each: name for each in cgroups if isinstance(each, int)}
            case _:
                continue
    return found
