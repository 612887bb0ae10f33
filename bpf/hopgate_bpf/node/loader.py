"""The C loader as this package knows it: a Protocol, and the program behind it.

The program holds the privileges, checks an image whole before it touches a map, and pins what it makes; this side
only runs it, within a time limit, and reads its JSON. Decides no policy.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec
from msgspec import Struct, field

from hopgate_bpf.rules.refusal import Reason, RefusedError

T = TypeVar("T")
MAX_ANSWER_BYTES = 4 * 2**20
MAX_EVENT_BYTES = 64 * 1024
_MAX_SAID = 500
_STOP_SECONDS = 2.0


class LoaderStatus(Struct, frozen=True):
    """What the kernel has. Members of the loader's answer that aren't named here are in ``whole``."""

    loaded: bool = False
    generation: int = 0
    """Of the rules in force; 0: none."""
    hooks: Mapping[str, bool] = field(default_factory=dict)
    """Hook → whether it is attached."""
    lsm: bool = False
    """Whether files, programs and processes are enforced too."""
    not_enforced: tuple[str, ...] = ()
    classes: Mapping[str, Any] = field(default_factory=dict)
    whole: Mapping[str, Any] = field(default_factory=dict)

    @property
    def detached(self) -> tuple[str, ...]:
        """Hooks that this kernel has, but that nothing of ours is attached to: somebody took them away."""
        wanted = self.hooks.keys() - LAZY_HOOKS if self.lsm else NETWORK_HOOKS
        return tuple(sorted(hook for hook in wanted | NETWORK_HOOKS if not self.hooks.get(hook)))


NETWORK_HOOKS = frozenset({"connect4", "connect6", "sendmsg4", "sendmsg6", "bind4", "bind6", "sock_create"})
LAZY_HOOKS = frozenset({"file_permission"})
"""Attached when a class first asks for it."""


class Applied(Struct, frozen=True):
    """The loader's answer to an image."""

    generation: int
    anchors_missing: int = 0
    """Forbidden paths that don't exist at present."""


class Loader(Protocol):
    """Who puts rules into the kernel. Every method raises RefusedError LOADER_REFUSED or LOADER_UNAVAILABLE."""

    async def load(self) -> None:
        """Load, attach and pin the programs; nothing to do where they are pinned already."""

    async def apply(self, image: bytes) -> Applied:
        """Put ``image`` in force, whole or not at all."""

    async def join(self, class_name: str, cgroup: Path) -> None:
        """Everything in ``cgroup`` is of the class from now on."""

    async def leave(self, cgroup: Path) -> None:
        """``cgroup`` is of no class any more; processes that were in it keep their tag."""

    async def status(self) -> LoaderStatus:
        """What the kernel has at this moment."""

    def events(self) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Denials as they come, each a line of JSON without its end, within the block. One reader at a time."""


class LoaderProgram:
    """``hopgate-bpf-loader``, run once for each call."""

    def __init__(self, program: Path, pins: Path, cgroup_root: Path, seconds: float) -> None:
        self._program = program
        self._options = ("--pins", str(pins), "--cgroup-root", str(cgroup_root))
        self._seconds = seconds

    async def load(self) -> None:
        """See ``Loader``."""
        await self._run("load")

    async def apply(self, image: bytes) -> Applied:
        """See ``Loader``."""
        file = _memory_file(image)
        try:
            said = await self._run("apply", f"/proc/self/fd/{file}", keep=(file,))
        finally:
            os.close(file)
        return _as(Applied, said)

    async def join(self, class_name: str, cgroup: Path) -> None:
        """See ``Loader``."""
        await self._run("join", class_name, str(cgroup))

    async def leave(self, cgroup: Path) -> None:
        """See ``Loader``."""
        await self._run("leave", str(cgroup))

    async def status(self) -> LoaderStatus:
        """See ``Loader``."""
        said = await self._run("status")
        status = _as(LoaderStatus, said)
        return msgspec.structs.replace(status, whole=msgspec.json.decode(said, type=dict[str, Any]))

    @asynccontextmanager
    async def events(self) -> AsyncIterator[AsyncIterator[bytes]]:
        """See ``Loader``."""
        async with self._started("events") as process:
            if process.stdout is None:
                raise RefusedError(Reason.LOADER_UNAVAILABLE, "events: no output to read")
            yield _lines(process.stdout)

    async def _run(self, command: str, *arguments: str, keep: Sequence[int] = ()) -> bytes:
        async with self._started(command, *arguments, keep=keep) as process:
            try:
                async with asyncio.timeout(self._seconds):
                    said, errors = await process.communicate()
            except TimeoutError:
                raise RefusedError(
                    Reason.LOADER_UNAVAILABLE, f"{self._program.name} {command} took more than {self._seconds:g} s"
                ) from None
        if process.returncode != 0:
            text = _error(errors) or f"it ended with {process.returncode}"
            raise RefusedError(Reason.LOADER_REFUSED, f"{self._program.name} {command}: {text}")
        if len(said) > MAX_ANSWER_BYTES:
            raise RefusedError(Reason.LOADER_UNAVAILABLE, f"{self._program.name} {command} said too much")
        return said

    @asynccontextmanager
    async def _started(
        self, command: str, *arguments: str, keep: Sequence[int] = ()
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        """The program while it runs; it is stopped on leaving, and nothing of it is left."""
        try:
            process = await asyncio.create_subprocess_exec(
                *(str(self._program), *self._options, command, *arguments),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL if command == "events" else asyncio.subprocess.PIPE,
                pass_fds=keep,
                env={"LC_ALL": "C"},
                limit=MAX_EVENT_BYTES,
            )
        except OSError as error:
            raise RefusedError(Reason.LOADER_UNAVAILABLE, f"{self._program}: {error.strerror}") from None
        try:
            yield process
        finally:
            await _stop(process)


def _memory_file(content: bytes) -> int:
    # Nothing of it stays on the disk if this process dies.
    file = os.memfd_create("image", os.MFD_CLOEXEC)
    with open(file, "wb", closefd=False) as opened:
        opened.write(content)
    return file


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _lines(stream: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Whole lines until the end, without theirs. One that is too long is left out."""
    cut = False
    while True:
        try:
            line = await stream.readuntil(b"\n")
        except asyncio.IncompleteReadError:
            return
        except asyncio.LimitOverrunError as error:
            await stream.readexactly(error.consumed)
            cut = True
            continue
        if not cut:
            yield line.rstrip(b"\n")
        cut = False


def _as(kind: type[T], said: bytes) -> T:
    try:
        return msgspec.json.decode(said, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RefusedError(Reason.LOADER_UNAVAILABLE, f"hopgate-bpf-loader answered something else: {error}") from None


def _error(errors: bytes) -> str:
    """What the program said last, in its JSON or as it is."""
    lines = errors.decode("utf-8", "replace").strip().splitlines()
    if not lines:
        return ""
    try:
        said = msgspec.json.decode(lines[-1], type=dict[str, Any]).get("error")
    except (msgspec.DecodeError, UnicodeDecodeError):
        said = None
    return str(said or lines[-1])[:_MAX_SAID]
