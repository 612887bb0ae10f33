"""``/api/v1/decisions``: who did what, by whose authority. The log that ``hopgate audit`` reads."""

import asyncio
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from gateway.admin.cursor import CURSOR_CHARS, opened, sealed
from gateway.admin.endpoint import Asked, Endpoint, Office, Told
from gateway.core.administration import Question
from gateway.core.audit import Node, forest
from gateway.core.errors import HopError
from gateway.core.reasons import Reason
from gateway.store.query import Cursor, Filters, Found

PATH = "/api/v1/decisions"
COLLECTION = "decisions"
_Text = Annotated[str, Meta(max_length=2048)] | None
_Moment = Annotated[int, Meta(ge=0, le=2**53)] | None


class DecisionSearch(Struct, frozen=True, forbid_unknown_fields=True):
    """Which decisions and refusals; all given filters must fit."""

    agent: _Text = None
    """Registered name, or the SPIFFE ID of one that isn't registered."""
    user: _Text = None
    policy: _Text = None
    action: _Text = None
    resource: _Text = None
    """``ledger/pay``, or ``Tool::"ledger/pay"``."""
    verdict: Literal["permit", "ask", "deny", "refused", "would_deny"] | None = None
    since: _Moment = None
    """Unix milliseconds; inclusive."""
    until: _Moment = None
    """Unix milliseconds; exclusive."""
    trace_id: _Text = None
    txn: _Text = None
    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    cursor: Annotated[str, Meta(max_length=CURSOR_CHARS)] = ""


class DecisionPage(Struct, frozen=True):
    """Newest first. ``next`` is the cursor of what follows; null at the end."""

    decisions: tuple[Found, ...]
    next: str | None


class Decision(Struct, frozen=True):
    """One decision, how the hop ended, and the chain that it is part of: each root with the hops below it."""

    decision: Found
    chain: tuple[Node, ...]


async def _may_view(office: Office, asked: Asked) -> Question:
    return Question("view", COLLECTION)


async def _list(office: Office, asked: Asked) -> Told:
    search: DecisionSearch = asked.query
    filters = msgspec.structs.replace(search, limit=1, cursor="")
    before = None
    if search.cursor:
        before = msgspec.json.decode(opened(office.sealer, search.cursor, [COLLECTION, filters]), type=Cursor)
    page = await asyncio.to_thread(lambda: office.decisions().query(_filters(search, before)))
    following = None if page.next is None else sealed(office.sealer, page.next, [COLLECTION, filters])
    return Told(DecisionPage(page.found, following))


async def _get(office: Office, asked: Asked) -> Told:
    roots = forest(await asyncio.to_thread(lambda: office.decisions().chain(asked.names["id"])))
    node = _find(roots, asked.names["id"])
    if node is None:
        raise HopError(Reason.NOT_FOUND, "there is no decision with this id")
    return Told(Decision(Found(node.record, node.outcome), roots))


def _find(nodes: tuple[Node, ...], wanted: str) -> Node | None:
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if node.record.hop == wanted:
            return node
        waiting.extend(node.children)
    return None


def _filters(search: DecisionSearch, before: Cursor | None) -> Filters:
    # Tool::"ledger/pay"
    kind, mark, name = (search.resource or "").partition('::"')
    typed = bool(mark) and name.endswith('"')
    return Filters(
        agent=search.agent,
        user=search.user,
        policy=search.policy,
        action=search.action,
        resource=name[:-1] if typed else search.resource,
        resource_type=kind if typed else None,
        verdict=search.verdict,
        since=search.since,
        until=search.until,
        trace_id=search.trace_id,
        txn=search.txn,
        before=before,
        limit=search.limit,
    )


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        method="GET", path=PATH, summary="Decisions and refusals, newest first.", question=_may_view, handle=_list,
        query=DecisionSearch, answer=DecisionPage,
    ),
    Endpoint(
        method="GET", path=f"{PATH}/{{id}}", summary="One decision with its chain.", question=_may_view, handle=_get,
        answer=Decision,
    ),
)  # fmt: skip
