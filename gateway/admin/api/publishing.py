"""Publish the next version of the policies, or roll back to one that was in force; each by the authors of its folders.

A version is validated whole, and its tests run, before anything is kept. ``If-Match`` says what it was made from, so
that nobody undoes what they have not seen. Doesn't compile or swap (``app.policies``).
"""

import asyncio
import hashlib
from typing import Annotated, Any

from msgspec import Meta, Struct

from gateway.admin.api.policies import PATH, Number, etag, found_version
from gateway.admin.endpoint import Asked, Endpoint, Office, Told
from gateway.admin.policies import Checked, TestRun
from gateway.admin.request import PlaceError
from gateway.core.administration import Question
from gateway.core.errors import HopError
from gateway.core.policy.changes import Change
from gateway.core.policy.replay_report import ReplayReport
from gateway.core.reasons import Reason
from gateway.core.versions import (
    Files,
    Origin,
    Version,
    VersionFacts,
    digest_of,
    folder_of,
    merged,
    next_facts,
    path_fault,
    policy_changes,
    touched,
    within,
)

Comment = Annotated[str, Meta(min_length=1, max_length=512)]
Folder = Annotated[str, Meta(max_length=256)]
NOTED_FILES = 200


class Publish(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The next version: that in force, with all that it holds below ``folder`` replaced by ``files``."""

    files: dict[str, str]
    """Text by path from the top of the policies; tests and their entities too."""
    folder: Folder = ""
    """``""`` is all; ``teams/finance`` leaves everything else as it is."""
    comment: Comment


class RollBack(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The next version: that in force, with all below ``folder`` as it was in ``version``."""

    version: Number
    folder: Folder = ""
    comment: Comment


class Trying(Struct, frozen=True, forbid_unknown_fields=True):
    """Whether it is only tried, and on which recorded decisions."""

    dry_run: bool = False
    since: Annotated[int, Meta(ge=0, le=2**53)] | None = None
    """Unix milliseconds: also say what would change of decisions since then. Needs leave to view replays."""


class Result(Struct, frozen=True, kw_only=True):
    """What was published, or would be."""

    version: VersionFacts
    in_force: bool
    """False for a dry run."""
    generation: int
    folders: tuple[str, ...]
    """That the version changes."""
    policies: tuple[Change, ...]
    staged: tuple[str, ...]
    """Drafts that are tried and not enforced, as ``<id>@<revision>``."""
    warnings: tuple[str, ...]
    tests: TestRun
    decisions: ReplayReport | None = None
    """What would change of recorded decisions, where ``since`` was given."""


class _Proposal(Struct, frozen=True):
    base: Version
    files: Files
    origin: Origin
    back_to: int | None


async def _may(office: Office, asked: Asked) -> tuple[Question, ...]:
    """Leave for every folder that would change; where none would, for the one that was named."""
    trying: Trying = asked.query
    if trying.since is not None and not trying.dry_run:
        raise PlaceError("recorded decisions are compared in a dry run only; add dry_run=true", "$query.since")
    proposal = await _proposed(office, asked)
    before, after = proposal.base.facts.digest, digest_of(proposal.files)
    folder: str = asked.body.folder
    folders = touched(proposal.base.files, proposal.files) or (folder_of(f"{folder}/_" if folder else ""),)
    context = {"kind": proposal.origin, "dry_run": trying.dry_run, "folders": len(folders)}
    detail = f"version {proposal.base.facts.number}, {before} -> {after}{', dry run' if trying.dry_run else ''}"
    questions = [Question("publishPolicy", each, context, "PolicyFolder", detail) for each in folders]
    if trying.since is not None:
        questions.append(Question("view", "replays"))
    return tuple(questions)


async def _publish(office: Office, asked: Asked) -> Told:
    desk = office.policies
    trying: Trying = asked.query
    if desk.owner is not None and not trying.dry_run:
        how = "change them there, they are reloaded; or set publishing.source: store"
        raise HopError(Reason.CONFLICT, f"the policies are the files of {desk.owner}: {how}")
    proposal = await _proposed(office, asked)
    checked = await desk.check(proposal.files)
    facts = next_facts(
        proposal.base.facts,
        proposal.files,
        checked.published.snapshot.bundle.digest,
        by=asked.caller.id,
        origin=proposal.origin,
        at=asked.at,
        comment=asked.body.comment,
        back_to=proposal.back_to,
    )
    if trying.dry_run:
        decisions = None
        if trying.since is not None:
            decisions = await desk.replay(checked.published, trying.since, None, staged=False)
        return Told(await _result(office, proposal, checked, facts, in_force=False, decisions=decisions))
    if facts.digest == proposal.base.facts.digest:
        raise HopError(Reason.CONFLICT, f"version {facts.number - 1}, which is in force, says the same")
    if not await desk.put(checked, Version(facts, proposal.files)):
        raise HopError(Reason.CONFLICT, "another version or registry came into force meanwhile; read it again")
    location = ("Location", f"{PATH}/versions/{facts.number}")
    return Told(await _result(office, proposal, checked, facts, in_force=True), 201, (location, etag(facts)))


async def _proposed(office: Office, asked: Asked) -> _Proposal:
    """What the request would make of the version that it was made from.

    Raises:
        HopError: PRECONDITION_FAILED, another one is in force.
    """
    base = await office.policies.base()
    wanted = asked.headers.get("if-match")
    if wanted != etag(base.facts)[1]:
        why = "send If-Match with the ETag of GET /api/v1/policies" if wanted is None else "another version is in force"
        raise HopError(Reason.PRECONDITION_FAILED, f"{why}; version {base.facts.number} is the newest")
    body = asked.body
    _check_folder(body.folder)
    if isinstance(body, RollBack):
        earlier = await found_version(office, body.version, "$.version")
        files = {path: text for path, text in earlier.files.items() if within(path, body.folder)}
        return _Proposal(base, merged(base.files, body.folder, files), "rollback", body.version)
    for path in body.files:
        fault = path_fault(path)
        if fault is None and not within(path, body.folder):
            fault = f"it lies outside {body.folder}, which is to be replaced"
        if fault is not None:
            raise PlaceError(f"{path[:200]}: {fault}", "$.files")
    return _Proposal(base, merged(base.files, body.folder, body.files), "publish", None)


def _check_folder(folder: str) -> None:
    if folder and (folder.endswith("/") or path_fault(f"{folder}/a.cedar") is not None):
        raise PlaceError("a folder is a path like teams/finance, without a slash at its ends", "$.folder")


async def _result(
    office: Office,
    proposal: _Proposal,
    checked: Checked,
    facts: VersionFacts,
    *,
    in_force: bool,
    decisions: ReplayReport | None = None,
) -> Result:
    bundle = checked.published.snapshot.bundle
    before, after = proposal.base.files, proposal.files
    return Result(
        version=facts,
        in_force=in_force,
        generation=office.policies.published.snapshot.generation,
        folders=touched(before, after),
        policies=await asyncio.to_thread(policy_changes, before, after),
        staged=tuple(change.key for change in bundle.changes),
        warnings=tuple(map(str, checked.published.warnings)),
        tests=checked.tests,
        decisions=decisions,
    )


def _noted(body: Any) -> Any:
    """The body without texts: their digests, by path. The versions have the texts."""
    if not isinstance(body, dict) or not isinstance(body.get("files"), dict):
        return body
    files = body["files"]
    noted = {path[:256]: _digest(text) for path, text in list(files.items())[:NOTED_FILES]}
    return body | {"files": noted} | ({"and_more": len(files) - NOTED_FILES} if len(files) > NOTED_FILES else {})


def _digest(text: Any) -> str:
    return hashlib.sha256(text.encode()).hexdigest() if isinstance(text, str) else "no text"


_IF_MATCH = {"If-Match": "The ETag of the version that this one was made from. Required."}

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        method="POST", path=f"{PATH}/versions", summary="Publish. It decides, everywhere within a second, here when "
        "answered; or, with dry_run, it is only tried (200).", question=_may, handle=_publish, query=Trying,
        body=Publish, answer=Result, status=201, tried=200, headers=_IF_MATCH, large=True, noted=_noted,
    ),
    Endpoint(
        method="POST", path=f"{PATH}/rollback", summary="Publish anew what a version said, under a new number.",
        question=_may, handle=_publish, query=Trying, body=RollBack, answer=Result, status=201, tried=200,
        headers=_IF_MATCH,
    ),
)  # fmt: skip
