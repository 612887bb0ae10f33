"""``/api/v1/revocations``: see what is revoked, revoke, and lift."""

import hashlib
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from gateway.admin.cursor import CURSOR_CHARS, opened, sealed
from gateway.admin.endpoint import Asked, Endpoint, Office, Told
from gateway.admin.request import PlaceError
from gateway.core.administration import Question
from gateway.core.errors import HopError
from gateway.core.policy.source import did_you_mean
from gateway.core.ports import Request, Standing, State
from gateway.core.reasons import Reason
from gateway.core.registry import Registry
from gateway.core.revocation import AgentTarget, AllTarget, Revocation, Target, touched_agents
from gateway.core.spiffe import SCHEME, parse_spiffe_id

PATH = "/api/v1/revocations"
COLLECTION = "revocations"
LONGEST_SECONDS = 366 * 86_400
KEY_CHARS = 255
Why = Annotated[str, Meta(min_length=1, max_length=512)]


class Revoke(Struct, frozen=True, forbid_unknown_fields=True):
    """What to revoke, why, and for how long."""

    target: Target
    reason: Why
    for_seconds: Annotated[int, Meta(ge=1, le=LONGEST_SECONDS)] | None = None
    """None: until it is lifted."""


class Lifted(Struct, frozen=True):
    """How a revocation was ended early. ``at`` in Unix milliseconds."""

    at: int
    by: str
    reason: str


class Shown(Struct, frozen=True, kw_only=True):
    """A revocation. ``at`` in Unix milliseconds, ``expires`` in Unix seconds."""

    id: str
    target: Target
    reason: str
    by: str
    at: int
    expires: int | None
    state: State
    lifted: Lifted | None
    agents: tuple[str, ...]
    """Registered agents that it stops, or stopped, as they are registered now."""


class RevocationSearch(Struct, frozen=True, forbid_unknown_fields=True):
    """Which revocations."""

    state: Literal["in_force", "expired", "lifted", "any"] = "in_force"
    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    cursor: Annotated[str, Meta(max_length=CURSOR_CHARS)] = ""


class RevocationPage(Struct, frozen=True):
    """Newest first. ``next`` is the cursor of what follows; null at the end."""

    revocations: tuple[Shown, ...]
    next: str | None


class Lift(Struct, frozen=True, forbid_unknown_fields=True):
    """Why it is lifted."""

    reason: Why = "not given"


async def _may_view(office: Office, asked: Asked) -> Question:
    return Question("view", COLLECTION)


async def _may_revoke(office: Office, asked: Asked) -> Question:
    wanted: Revoke = asked.body
    seconds = {} if wanted.for_seconds is None else {"seconds": wanted.for_seconds}
    action = "halt" if isinstance(wanted.target, AllTarget) else "revoke"
    return Question(action, COLLECTION, {"kind": wanted.target.key[0], **seconds})


async def _may_lift(office: Office, asked: Asked) -> Question:
    found = await office.revocations.find(asked.names["id"])
    return Question("lift", COLLECTION, {"kind": "unknown" if found is None else found.revocation.target.key[0]})


async def _list(office: Office, asked: Asked) -> Told:
    search: RevocationSearch = asked.query
    before = None
    if search.cursor:
        before = msgspec.json.decode(opened(office.sealer, search.cursor, [COLLECTION, search.state]), type=int)
    state: State | None = None if search.state == "any" else search.state
    found = await office.revocations.page(state, asked.seconds, before, search.limit + 1)
    page, more = found[: search.limit], len(found) > search.limit
    following = sealed(office.sealer, page[-1].seq, [COLLECTION, search.state]) if more else None
    registry = office.edition().registry
    return Told(RevocationPage(tuple(_shown(each, registry, asked.seconds) for each in page), following))


async def _get(office: Office, asked: Asked) -> Told:
    found = await _found(office, asked)
    return Told(_shown(found, office.edition().registry, asked.seconds), headers=(_etag(found),))


async def _make(office: Office, asked: Asked) -> Told:
    wanted: Revoke = asked.body
    _check_agent(wanted.target, office.edition().registry)
    expires = None if wanted.for_seconds is None else asked.seconds + wanted.for_seconds
    revocation = Revocation(
        id=asked.id, target=wanted.target, reason=wanted.reason, by=asked.caller.id, at=asked.at, expires=expires
    )
    kept = await office.revocations.append(revocation, _request(asked))
    if kept is None:
        raise HopError(Reason.CONFLICT, "this Idempotency-Key was used for another request")
    await office.apply()
    found = await office.revocations.find(kept.id)
    if found is None:
        raise HopError(Reason.INTERNAL_ERROR, "the revocation was kept, and is gone")
    shown = _shown(found, office.edition().registry, asked.seconds)
    return Told(shown, 201, (("Location", f"{PATH}/{kept.id}"), _etag(found)))


async def _end(office: Office, asked: Asked) -> Told:
    found = await _found(office, asked)
    wanted = asked.headers.get("if-match")
    if wanted not in (None, "*", _etag(found)[1]):
        raise HopError(Reason.PRECONDITION_FAILED, "the revocation is not as it was read")
    lift: Lift = asked.query
    if not await office.revocations.lift(found.revocation.id, asked.caller.id, lift.reason, asked.at):
        raise HopError(Reason.CONFLICT, "the revocation was lifted before")
    await office.apply()
    return Told(status=204)


async def _found(office: Office, asked: Asked) -> Standing:
    found = await office.revocations.find(asked.names["id"])
    if found is None:
        raise HopError(Reason.NOT_FOUND, "there is no revocation with this id")
    return found


def _shown(found: Standing, registry: Registry, now: int) -> Shown:
    made = found.revocation
    lifted = None
    if found.lifted_at is not None:
        lifted = Lifted(found.lifted_at, found.lifted_by or "", found.lifted_why or "")
    return Shown(
        id=made.id,
        target=made.target,
        reason=made.reason,
        by=made.by,
        at=made.at,
        expires=made.expires,
        state=found.state(now),
        lifted=lifted,
        agents=touched_agents(made.target, registry),
    )


def _etag(found: Standing) -> tuple[str, str]:
    return "ETag", f'"{found.seq}"'


def _request(asked: Asked) -> Request | None:
    """The request as a retry would send it again: a caller's key is that caller's only."""
    key = asked.headers.get("idempotency-key")
    if key is None:
        return None
    if not 0 < len(key) <= KEY_CHARS or not key.isascii() or not key.isprintable():
        raise PlaceError(f"a key is 1 to {KEY_CHARS} printable ASCII characters", "header Idempotency-Key")
    digest = hashlib.sha256(msgspec.json.encode(asked.body, order="deterministic")).hexdigest()
    return Request(f"{asked.caller.id} {key}", digest)


def _check_agent(target: Target, registry: Registry) -> None:
    """A misspelt name would stop nobody, without a sound. A SPIFFE ID may be of an agent that is gone."""
    if not isinstance(target, AgentTarget) or target.agent in registry.agents:
        return
    if not target.agent.startswith(SCHEME):
        near = did_you_mean(target.agent, registry.agents)
        raise PlaceError(f"no agent is registered by this name{near}", "$.target.agent")
    try:
        parse_spiffe_id(target.agent)
    except ValueError as error:
        raise PlaceError(f"not a SPIFFE ID: {error}", "$.target.agent") from None


_IDEMPOTENCY = {"Idempotency-Key": "The same key with the same body is the same revocation, however often it is sent."}
_IF_MATCH = {"If-Match": "Lift only what still has this ETag."}

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        method="GET", path=PATH, summary="What is revoked, newest first.", question=_may_view, handle=_list,
        query=RevocationSearch, answer=RevocationPage,
    ),
    Endpoint(
        method="POST", path=PATH, summary="Revoke. It is in force everywhere within a second, here when answered.",
        question=_may_revoke, handle=_make, body=Revoke, answer=Shown, status=201, headers=_IDEMPOTENCY,
    ),
    Endpoint(
        method="GET", path=f"{PATH}/{{id}}", summary="One revocation, in force or not.", question=_may_view,
        handle=_get, answer=Shown,
    ),
    Endpoint(
        method="DELETE", path=f"{PATH}/{{id}}", summary="Lift a revocation. It stays on record.",
        question=_may_lift, handle=_end, query=Lift, status=204, headers=_IF_MATCH,
    ),
)  # fmt: skip
