"""One node: the rules in force, put there whole, kept across restarts, and refreshed as names and files change.

Decides the order of the steps: nothing is applied before everything was judged, nothing is acknowledged before the
kernel has it and the disk too. How a caller gets here is ``api``'s.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from hopgate_bpf.node.accepting import Verified, check_newer, pinned_keys, verified
from hopgate_bpf.node.kept import Accepted, StateFolder
from hopgate_bpf.node.known_names import Clock, KnownNames, NameStanding
from hopgate_bpf.node.loader import Applied, Loader
from hopgate_bpf.node.memberships import Memberships
from hopgate_bpf.node.resolver import Resolver
from hopgate_bpf.node.settings import Settings
from hopgate_bpf.node.shadows import MOST_LISTED, Shadow, Shadows
from hopgate_bpf.rules.image import Image, write_image
from hopgate_bpf.rules.refusal import RefusedError

REST_SECONDS = 3600.0
"""Between looks where no name is due."""


class Acknowledged(Struct, frozen=True):
    """What a push is answered. ``sha256``: of the document's bytes."""

    node: str
    generation: int
    digest: str
    sha256: str
    repeated: bool
    """It was in force already; files and names were looked up again."""
    narrowed: Mapping[str, tuple[str, ...]]
    """Class → where less is permitted than its rules say, and why."""
    anchors_missing: int
    not_enforced: tuple[str, ...]


class NodeStatus(Struct, frozen=True):
    """What the node has, and what is wrong with it. ``problem``: why the rules in force may not be the last ones."""

    node: str
    generation: int
    digest: str
    sha256: str
    in_kernel: Mapping[str, Any]
    """The loader's own status."""
    not_enforced: tuple[str, ...]
    narrowed: Mapping[str, tuple[str, ...]]
    names: Mapping[str, NameStanding]
    cgroups: Mapping[str, tuple[str, ...]]
    cgroups_absent: tuple[str, ...]
    shadows: tuple[Shadow, ...]
    """The first of them that are there."""
    shadows_quarantined: int
    shadows_at_large: int
    problem: str
    agrees: bool
    """The kernel has the generation that was accepted last."""


class Node:
    """See above. ``start`` once, then ``follow`` beside everything else."""

    def __init__(
        self, settings: Settings, loader: Loader, resolver: Resolver, clock: Clock, wall: Clock = time.time
    ) -> None:
        """``clock`` never goes back, ``wall`` is in Unix seconds."""
        self._settings = settings
        self._loader = loader
        self._names = KnownNames(resolver, settings.names.times, clock)
        self._folder = StateFolder(Path(settings.state))
        self._memberships = Memberships(self._folder, loader, Path(settings.cgroups.root), settings.limits.cgroups)
        root = Path(settings.cgroups.root)
        self.shadows = Shadows(settings.shadow, root, self._memberships, loader, wall)
        self._in_force: Verified | None = None
        # Accepted, and in the kernel unless there is a problem.
        self._image: Image | None = None
        self._problem = ""
        self._changing = asyncio.Lock()
        self._changed = asyncio.Event()

    async def start(self) -> None:
        """Have the programs attached, and what was accepted last in force.

        What was accepted but can't be used now is a problem of the status, and the kernel keeps what it has.

        Raises:
            RefusedError: the loader can't load the programs, or what was kept can't be read.
        """
        await self._loader.load()
        kept = self._folder.accepted()
        if kept is not None:
            await self._restore(kept)
        await self._memberships.restore()

    async def push(self, jws: bytes) -> Acknowledged:
        """Put the document in ``jws`` in force.

        Raises:
            RefusedError: nothing of it is in force.
        """
        found = await asyncio.to_thread(self._verified, jws)
        async with self._changing:
            kept = self._folder.accepted()
            before = await self._loader.status()
            check_newer(found, kept, before.generation)
            repeated = kept is not None and kept.generation == found.rules.generation
            await self._names.look_up(found.names)
            image = await self._written(found)
            accepted = Accepted("hopgate-bpf.accepted/1", found.rules.generation, found.sha256, found.jws)
            with self._folder.keeping(accepted):
                applied = await self._apply(found, image)
            self._names.keep_only(found.names)
            await self._memberships.retry_absent()
        self._changed.set()
        return Acknowledged(
            found.rules.node,
            found.rules.generation,
            found.rules.digest,
            found.sha256,
            repeated,
            image.narrowed,
            applied.anchors_missing,
            before.not_enforced,
        )

    async def register(self, class_name: str, cgroups: Sequence[str]) -> tuple[str, ...]:
        """Make ``cgroups`` those of the class; as real paths.

        Raises:
            RefusedError: all is as it was.
        """
        return await self._memberships.replace(class_name, cgroups)

    def has_rules(self, class_name: str) -> bool:
        """Whether the rules in force name the class; another one is denied everything."""
        return self._in_force is not None and self._in_force.rules.of_class(class_name) is not None

    async def follow(self) -> None:
        """Look names up as they get due, and apply what changes or failed before; for ever."""
        while True:
            wait = self._names.seconds_to_change()
            if self._problem and self._in_force is not None:
                wait = self._settings.names.retry_seconds
            try:
                async with asyncio.timeout(REST_SECONDS if wait is None else wait):
                    await self._changed.wait()
            except TimeoutError:
                await self.refresh()
            self._changed.clear()

    async def refresh(self) -> bool:
        """Look up the names that are due, and apply the rules in force again if that changes them; whether it did."""
        async with self._changing:
            if self._in_force is None:
                return False
            await self._names.look_up(self._in_force.names)
            await self._memberships.retry_absent()
            try:
                image = await self._written(self._in_force)
                if self._image is not None and image.content == self._image.content:
                    return False
                await self._apply(self._in_force, image)
            except RefusedError as refused:
                self._problem = f"what names stand for now is not applied: {refused}"
                return False
            return True

    async def status(self) -> NodeStatus:
        """What it has now.

        Raises:
            RefusedError: the loader doesn't answer.
        """
        kernel = await self._loader.status()
        rules = self._in_force.rules if self._in_force else None
        shadows = self.shadows.listed()
        quarantined = sum(each.quarantined for each in shadows)
        return NodeStatus(
            self._settings.node,
            rules.generation if rules else 0,
            rules.digest if rules else "",
            self._in_force.sha256 if self._in_force else "",
            kernel.whole,
            (*kernel.not_enforced, *(f"{hook} is not attached any more" for hook in kernel.detached)),
            self._image.narrowed if self._image else {},
            self._names.standing(),
            self._memberships.listed(),
            self._memberships.absent(),
            shadows[:MOST_LISTED],
            quarantined,
            len(shadows) - quarantined,
            self._problem or self.shadows.problem,
            rules is not None and kernel.loaded and kernel.generation == rules.generation,
        )

    def policy_of(self, class_name: str, index: int, generation: int) -> str | None:
        """The id of the policy that the kernel names by ``index``; None where the rules in force are others."""
        if self._in_force is None or self._in_force.rules.generation != generation:
            return None
        rules = self._in_force.rules.of_class(class_name)
        return rules.policies[index] if rules is not None and 0 <= index < len(rules.policies) else None

    def _verified(self, jws: bytes) -> Verified:
        settings = self._settings
        return verified(jws, pinned_keys(Path(settings.keys)), settings.node, settings.limits.document_bytes)

    async def _restore(self, kept: Accepted) -> None:
        try:
            found = await asyncio.to_thread(self._verified, kept.jws.encode("ascii", "replace"))
            check_newer(found, kept, (await self._loader.status()).generation)
            # From here on it is tried again.
            self._in_force = found
            await self._names.look_up(found.names)
            await self._apply(found, await self._written(found))
        except RefusedError as refused:
            self._problem = f"generation {kept.generation} was accepted, but is not applied: {refused}"

    async def _written(self, found: Verified) -> Image:
        names = self._names.addresses(found.names)
        return await asyncio.to_thread(write_image, found.rules, names, self._settings.classes)

    async def _apply(self, found: Verified, image: Image) -> Applied:
        applied = await self._loader.apply(image.content)
        self._in_force, self._image, self._problem = found, image, ""
        return applied
