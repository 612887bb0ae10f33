"""Versions of the policies folder: what one holds, how a proposal becomes the next one, and whose folders it touches.

A version is whole: every file of it, tests and their entities too. Decides nothing of whether its policies are any
good (``publish``), or whether its author may (``core.administration``).
"""

import difflib
import hashlib
from collections.abc import Iterator, Mapping
from typing import Literal, Protocol, get_args

import msgspec
from msgspec import Struct

from gateway.core.model import Tier
from gateway.core.policy.changes import Change, changes
from gateway.core.policy.rule import PolicyInfo, Rule, parse
from gateway.core.policy.source import PolicySource

CEDAR, COMPANION = ".cedar", ".json"
PATH_CHARS = 256
APART = ("admin", "kernel")
"""Folders that aren't tiers."""
Files = Mapping[str, str]
"""Text by path, relative to the policies folder."""
Origin = Literal["files", "publish", "rollback"]


class VersionFacts(Struct, frozen=True, kw_only=True):
    """A version without its texts."""

    number: int
    """Only grows; the version of a rollback has a new one."""
    digest: str
    """Of all its files."""
    bundle: str
    """Of what it enforces: the digest that decision records carry."""
    at: int
    """Unix milliseconds when it came into force."""
    by: str
    """Who published it, as the audit log names them; ``files`` where the gateway found it on disk."""
    origin: Origin
    comment: str = ""
    back_to: int | None = None
    """The version that a rollback took its files from."""


class Version(Struct, frozen=True):
    """A version with its texts."""

    facts: VersionFacts
    files: Files

    def sources(self) -> tuple[PolicySource, ...]:
        """Its policy files, sorted by path."""
        return sources_of(self.files)


class PolicyVersions(Protocol):
    """Every version that was in force, shared by all processes of a deployment. Nothing is ever removed."""

    async def newest(self) -> VersionFacts | None:
        """The newest version; None where there is none yet. Doesn't wait for writers.

        Raises:
            StoreError: the store can't be asked.
        """
        ...

    async def read(self, number: int) -> Version | None:
        """One version with its texts.

        Raises:
            StoreError: the store can't be asked, or what it holds isn't what was put in.
        """
        ...

    async def append(self, version: Version) -> bool:
        """Whether it is the next version now: false where its number isn't one more than the newest's.

        Raises:
            StoreError: the store can't be asked; nothing was kept.
        """
        ...

    async def page(self, before: int | None, limit: int) -> tuple[VersionFacts, ...]:
        """The newest first, with numbers below ``before``.

        Raises:
            StoreError: the store can't be asked.
        """
        ...


class FileChange(Struct, frozen=True):
    """A file that is not in both versions alike; ``diff`` is in unified form."""

    path: str
    kind: Literal["added", "removed", "changed"]
    diff: str


def digest_of(files: Files) -> str:
    """Hex SHA-256 over all files."""
    return hashlib.sha256(msgspec.json.encode([[path, files[path]] for path in sorted(files)])).hexdigest()


def next_facts(
    newest: VersionFacts | None,
    files: Files,
    bundle: str,
    *,
    by: str,
    origin: Origin,
    at: int,
    comment: str = "",
    back_to: int | None = None,
) -> VersionFacts:
    """The facts of the version after ``newest``; ``at`` in Unix milliseconds."""
    return VersionFacts(
        number=1 if newest is None else newest.number + 1,
        digest=digest_of(files),
        bundle=bundle,
        at=at,
        by=by,
        origin=origin,
        comment=comment,
        back_to=back_to,
    )


def sources_of(files: Files) -> tuple[PolicySource, ...]:
    """The policy files among ``files``, sorted by path."""
    return tuple(PolicySource(path, files[path]) for path in sorted(files) if path.endswith(CEDAR))


def path_fault(path: str) -> str | None:
    """Why no version may have a file of this path; None for one that may."""
    parts = path.split("/")
    if len(path) > PATH_CHARS or not path.isprintable() or "\\" in path:
        return f"a path is at most {PATH_CHARS} printable characters, without a backslash"
    if any(part in ("", "..") or part.startswith(".") for part in parts):
        return "a path is relative, and no part of it is empty or begins with a dot"
    if not path.endswith((CEDAR, COMPANION)):
        return f"a version holds policies ({CEDAR}), and tests with their entities ({COMPANION})"
    return None


def within(path: str, folder: str) -> bool:
    """Whether the path lies below the folder; everything does below ``""``."""
    return not folder or path.startswith(f"{folder}/")


def merged(before: Files, folder: str, files: Files) -> Files:
    """``before``, with all that it holds below ``folder`` replaced by ``files``, which lie there."""
    kept = {path: text for path, text in before.items() if not within(path, folder)}
    return kept | dict(files)


def folder_of(path: str) -> str:
    """The folder whose authors answer for the file: ``teams/finance``, ``guardrails``, ``admin``.

    What lies beside the folders is about all of them, and the platform's.
    """
    first, *rest = path.split("/")
    if first == "teams" and len(rest) > 1:
        return f"teams/{rest[0]}"
    return first if rest and first in (*get_args(Tier), *APART) and first != "teams" else "platform"


def touched(before: Files, after: Files) -> tuple[str, ...]:
    """The folders in which the two differ."""
    paths = {path for path in {*before, *after} if before.get(path) != after.get(path)}
    return tuple(sorted({folder_of(path) for path in paths}))


def file_changes(before: Files, after: Files) -> Iterator[FileChange]:
    """The files that differ, by path."""
    for path in sorted({*before, *after}):
        one, other = before.get(path), after.get(path)
        if one == other:
            continue
        lines = difflib.unified_diff((one or "").splitlines(), (other or "").splitlines(), path, path, lineterm="", n=2)
        kind: Literal["added", "removed", "changed"] = (
            "added" if one is None else "removed" if other is None else "changed"
        )
        yield FileChange(path, kind, "\n".join(lines))


def policy_changes(before: Files, after: Files) -> tuple[Change, ...]:
    """The policies of the tiers that differ, as they are written: no registry has to know their words any more."""
    return changes(_written(before), _written(after))


def _written(files: Files) -> tuple[PolicyInfo, ...]:
    sources = (source for source in sources_of(files) if folder_of(source.path) not in APART)
    return tuple(PolicyInfo.of(item) for source in sources for item in parse(source) if isinstance(item, Rule))
