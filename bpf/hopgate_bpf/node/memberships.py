"""Which cgroups are of which class by the API's word: given whole for a class, joined in the kernel, kept.

A class may be one that no rules name: it is denied everything. Cgroups that ``exec`` makes aren't here.
"""

import asyncio
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from hopgate_bpf.node.cgroups import checked, inode
from hopgate_bpf.node.kept import Registered, StateFolder
from hopgate_bpf.node.loader import Loader
from hopgate_bpf.rules.refusal import Reason, RefusedError


class Memberships:
    """Class → cgroups, as paths without links below ``root``; at most ``most`` in all."""

    def __init__(self, folder: StateFolder, loader: Loader, root: Path, most: int) -> None:
        self._folder = folder
        self._loader = loader
        self._root = root
        self._most = most
        self._classes: dict[str, tuple[str, ...]] = {}
        self._absent: dict[str, str] = {}
        # Not that of the rules: who is put into quarantine doesn't wait for lookups.
        self._changing = asyncio.Lock()

    async def restore(self) -> None:
        """Join again what was kept; what doesn't exist at present is ``absent``.

        Raises:
            RefusedError: what was kept can't be read.
        """
        self._classes = dict(self._folder.registered().classes)
        self._absent = {path: name for name, paths in self._classes.items() for path in paths}
        await self.retry_absent()

    async def retry_absent(self) -> None:
        """Join those that exist again."""
        async with self._changing:
            for path, name in list(self._absent.items()):
                with suppress(RefusedError):
                    await self._loader.join(name, checked(path, self._root))
                    del self._absent[path]

    async def replace(self, class_name: str, paths: Sequence[str]) -> tuple[str, ...]:
        """Make ``paths`` the class's cgroups, all of them or none; they leave the class that they were in.

        Joins come before leaves, so that no cgroup is without a class in between.

        Raises:
            RefusedError: CGROUP_UNKNOWN, CGROUPS_MALFORMED, or by the loader; all is as it was.
        """
        async with self._changing:
            return await self._replace(class_name, paths)

    async def add(self, class_name: str, path: str, is_found_again: Callable[[str], bool]) -> bool:
        """Make ``path`` the class's too, unless it is another one's by now; whether it is the class's.

        Those of the class that are gone, and would be found again if they came back, make room.

        Raises:
            RefusedError: CGROUP_UNKNOWN, CGROUPS_MALFORMED, or by the loader; all is as it was.
        """
        async with self._changing:
            cgroup = checked(path, self._root)
            if any(str(cgroup) in paths for name, paths in self._classes.items() if name != class_name):
                return False
            before = [each for each in self._classes.get(class_name, ()) if each != str(cgroup)]
            kept = [each for each in before if inode(each) is not None or not is_found_again(each)]
            after = {**self._classes, class_name: (*kept, str(cgroup))}
            if sum(map(len, after.values())) > self._most:
                raise RefusedError(Reason.CGROUPS_MALFORMED, f"more than {self._most} cgroups in all", "$.cgroups")
            with self._folder.keeping(Registered(classes=after)):
                await self._loader.join(class_name, cgroup)
            self._classes = after
            self._absent = {each: name for each, name in self._absent.items() if each in after.get(name, ())}
            self._absent.pop(str(cgroup), None)
            return True

    async def rejoin(self, joined: Container[int]) -> bool:
        """Join registered cgroups that were made anew under their old paths; whether any was.

        ``joined``: the inodes of those that the kernel has.
        """
        done = False
        async with self._changing:
            for name, paths in self._classes.items():
                for path in paths:
                    number = inode(path)
                    if number is None or number in joined:
                        continue
                    with suppress(RefusedError):
                        await self._loader.join(name, checked(path, self._root))
                        self._absent.pop(path, None)
                        done = True
        return done

    async def _replace(self, class_name: str, paths: Sequence[str]) -> tuple[str, ...]:
        wanted = [checked(path, self._root) for path in paths]
        if len(set(wanted)) != len(wanted):
            raise RefusedError(Reason.CGROUPS_MALFORMED, "two of the paths are the same cgroup", "$.cgroups")
        listed = tuple(map(str, wanted))
        after = {name: tuple(path for path in old if path not in listed) for name, old in self._classes.items()}
        left = [path for path in self._classes.get(class_name, ()) if path not in listed]
        after = {name: rest for name, rest in after.items() if rest and name != class_name}
        after |= {class_name: listed} if listed else {}
        if sum(map(len, after.values())) > self._most:
            raise RefusedError(Reason.CGROUPS_MALFORMED, f"more than {self._most} cgroups in all", "$.cgroups")
        with self._folder.keeping(Registered(classes=after)):
            await self._change(class_name, wanted, left)
        self._classes = after
        self._absent = {path: name for path, name in self._absent.items() if path in after.get(name, ())}
        for path in listed:
            self._absent.pop(path, None)
        return listed

    def listed(self) -> Mapping[str, tuple[str, ...]]:
        """All of them."""
        return self._classes

    def absent(self) -> tuple[str, ...]:
        """Those that don't exist, or couldn't be joined."""
        return tuple(sorted(self._absent))

    async def _change(self, class_name: str, wanted: Sequence[Path], left: Sequence[str]) -> None:
        before = {path: name for name, paths in self._classes.items() for path in paths}
        done: list[Path] = []
        try:
            for cgroup in wanted:
                await self._loader.join(class_name, cgroup)
                done.append(cgroup)
            for path in left:
                if path not in self._absent:
                    await self._loader.leave(Path(path))
                    done.append(Path(path))
        except RefusedError:
            for cgroup in reversed(done):
                with suppress(RefusedError):
                    await self._restore(cgroup, before.get(str(cgroup)))
            raise

    async def _restore(self, cgroup: Path, class_name: str | None) -> None:
        if class_name is None:
            await self._loader.leave(cgroup)
        else:
            await self._loader.join(class_name, cgroup)
