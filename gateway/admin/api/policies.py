"""``/api/v1/policies``: what is in force, every version that was, what differs between them, and how they are used.

Reads only; ``publishing`` changes them.
"""

import asyncio
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from gateway.admin.cursor import CURSOR_CHARS, opened, sealed
from gateway.admin.endpoint import Asked, Endpoint, Office, Told
from gateway.admin.request import PlaceError
from gateway.core.administration import Question
from gateway.core.errors import HopError
from gateway.core.policy.changes import Change
from gateway.core.policy.replay_report import ReplayReport
from gateway.core.policy.review import Reviewed
from gateway.core.policy.rule import PolicyInfo
from gateway.core.reasons import Reason
from gateway.core.versions import FileChange, Version, VersionFacts, file_changes, merged, policy_changes

PATH = "/api/v1/policies"
COLLECTION, REPLAYS = "policies", "replays"
Number = Annotated[int, Meta(ge=1, le=2**53)]
_Moment = Annotated[int, Meta(ge=0, le=2**53)]


class InForce(Struct, frozen=True, kw_only=True):
    """What decides now, in the process that answers."""

    source: str
    """``store``, or the folder that owns the policies."""
    version: VersionFacts
    generation: int
    files: tuple[str, ...]
    policies: tuple[PolicyInfo, ...]
    """Those that are enforced."""
    staged: tuple[str, ...]
    """Drafts, as ``<id>@<revision>``."""
    warnings: tuple[str, ...]


class VersionSearch(Struct, frozen=True, forbid_unknown_fields=True):
    """Which versions."""

    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    cursor: Annotated[str, Meta(max_length=CURSOR_CHARS)] = ""


class VersionPage(Struct, frozen=True):
    """Newest first. ``next`` is the cursor of what follows; null at the end."""

    versions: tuple[VersionFacts, ...]
    next: str | None


class Compare(Struct, frozen=True, forbid_unknown_fields=True):
    """Two versions by number; ``after`` is the newest by default."""

    before: Number
    after: Number | None = None


class Comparison(Struct, frozen=True):
    """What differs, policy by policy and file by file."""

    before: VersionFacts
    after: VersionFacts
    policies: tuple[Change, ...]
    files: tuple[FileChange, ...]


class ReviewSearch(Struct, frozen=True, forbid_unknown_fields=True):
    """How many days a policy may rest."""

    days: Annotated[int, Meta(ge=1, le=3650)] = 30


class Review(Struct, frozen=True):
    """Every enforced policy: permits first, forbids apart; each by id."""

    permits: tuple[Reviewed, ...]
    forbids: tuple[Reviewed, ...]


class ReplayWith(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Policies to decide recorded calls with: files, or a version; without either those in force."""

    since: _Moment
    """Unix milliseconds; inclusive."""
    until: _Moment | None = None
    version: Number | None = None
    files: dict[str, str] | None = None
    """By path."""
    folder: str = ""
    """What ``files`` replace of the policies in force: ``""`` is all, ``teams/finance`` that folder."""
    staged: bool = False
    """Whether drafts are enforced, all together."""


async def may_view(office: Office, asked: Asked) -> Question:
    """Leave to see policies and their history."""
    return Question("view", COLLECTION)


async def found_version(office: Office, number: int, place: str | None = None) -> Version:
    """The version of that number.

    Raises:
        HopError: NOT_FOUND; or PlaceError, where a request named it at ``place``.
        StoreError: the store can't be asked.
    """
    found = await office.policies.versions.read(number)
    if found is None:
        detail = f"there is no version {number} of the policies"
        raise HopError(Reason.NOT_FOUND, detail) if place is None else PlaceError(detail, place)
    return found


def etag(facts: VersionFacts) -> tuple[str, str]:
    """The header that ``If-Match`` repeats."""
    return "ETag", f'"{facts.digest}"'


async def _in_force(office: Office, asked: Asked) -> Told:
    desk = office.policies
    published = desk.published
    facts = published.version
    version = await desk.base() if facts is None else await found_version(office, facts.number)
    snapshot = published.snapshot
    found = InForce(
        source=desk.owner or "store",
        version=version.facts,
        generation=snapshot.generation,
        files=tuple(sorted(version.files)),
        policies=snapshot.bundle.policies,
        staged=tuple(change.key for change in snapshot.bundle.changes),
        warnings=tuple(map(str, snapshot.bundle.warnings)),
    )
    return Told(found, headers=(etag(version.facts),))


async def _list(office: Office, asked: Asked) -> Told:
    search: VersionSearch = asked.query
    before = None
    if search.cursor:
        before = msgspec.json.decode(opened(office.sealer, search.cursor, [COLLECTION]), type=int)
    found = await office.policies.versions.page(before, search.limit + 1)
    page, more = found[: search.limit], len(found) > search.limit
    return Told(VersionPage(page, sealed(office.sealer, page[-1].number, [COLLECTION]) if more else None))


async def _get(office: Office, asked: Asked) -> Told:
    name = asked.names["number"]
    if not (name.isascii() and name.isdecimal() and len(name) < 16):
        raise HopError(Reason.NOT_FOUND, "a version has a number")
    version = await found_version(office, int(name))
    return Told(version, headers=(etag(version.facts),))


async def _compare(office: Office, asked: Asked) -> Told:
    search: Compare = asked.query
    before = await found_version(office, search.before, "$query.before")
    if search.after is None:
        after = await office.policies.base()
    else:
        after = await found_version(office, search.after, "$query.after")

    def compared() -> Comparison:
        policies = policy_changes(before.files, after.files)
        return Comparison(before.facts, after.facts, policies, tuple(file_changes(before.files, after.files)))

    return Told(await asyncio.to_thread(compared))


async def _review(office: Office, asked: Asked) -> Told:
    search: ReviewSearch = asked.query
    found = await office.policies.review(search.days, asked.at)
    permits = tuple(each for each in found if each.effect == "permit")
    return Told(Review(permits, tuple(each for each in found if each.effect == "forbid")))


async def _may_replay(office: Office, asked: Asked) -> Question:
    return Question("view", REPLAYS)


async def _replay(office: Office, asked: Asked) -> Told:
    wanted: ReplayWith = asked.body
    desk = office.policies
    if wanted.files is not None and wanted.version is not None:
        raise PlaceError("give files or a version, not both", "$.version")
    published = desk.published
    if wanted.files is not None:
        published = await desk.compiled(merged((await desk.base()).files, wanted.folder, wanted.files))
    elif wanted.version is not None:
        published = await desk.compiled((await found_version(office, wanted.version, "$.version")).files)
    return Told(await desk.replay(published, wanted.since, wanted.until, staged=wanted.staged))


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        method="GET", path=PATH, summary="The policies in force, with the ETag that publishing asks for.",
        question=may_view, handle=_in_force, answer=InForce,
    ),
    Endpoint(
        method="GET", path=f"{PATH}/versions", summary="Versions of the policies, newest first.", question=may_view,
        handle=_list, query=VersionSearch, answer=VersionPage,
    ),
    Endpoint(
        method="GET", path=f"{PATH}/versions/{{number}}", summary="One version with the text of its files.",
        question=may_view, handle=_get, answer=Version,
    ),
    Endpoint(
        method="GET", path=f"{PATH}/diff", summary="What differs between two versions.", question=may_view,
        handle=_compare, query=Compare, answer=Comparison,
    ),
    Endpoint(
        method="GET", path=f"{PATH}/review", summary="How the policies in force are used, by the audit log.",
        question=may_view, handle=_review, query=ReviewSearch, answer=Review,
    ),
    Endpoint(
        method="POST", path=f"{PATH}/replay", summary="What policies would have decided of recorded calls.",
        question=_may_replay, handle=_replay, body=ReplayWith, answer=ReplayReport, asks=True, large=True,
    ),
)  # fmt: skip
