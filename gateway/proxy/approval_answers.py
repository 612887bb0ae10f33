"""How a client is told that people have to approve its call, in its protocol's own way, and how it comes back.

MCP 2026-07-28: ``input_required`` with a sealed state. 2025-11-25: the URL elicitation error where the client opens
URLs, else 1428 with the link in ``data``. A2A: a task that is AUTH_REQUIRED. Doesn't decide, and asks nobody itself.
"""

import msgspec
from msgspec import Struct

from gateway.core.approval import Approval
from gateway.core.audit import digest
from gateway.core.model import Ask, Call
from gateway.protocols.a2a import approval as a2a
from gateway.protocols.jsonrpc import dump_json
from gateway.protocols.mcp import approval as mcp
from gateway.protocols.mcp import elicitation
from gateway.protocols.sse import encode_message
from gateway.proxy import hold
from gateway.proxy.adapters import adapter_of
from gateway.proxy.exchange import Answer
from gateway.proxy.forward import JSON_HEADERS, STREAM_HEADERS
from gateway.proxy.gate import Gate, Passage
from gateway.proxy.refuse import Told, WaitingError
from gateway.proxy.rounds import Place

PAGE = "/approvals/"
LATE_SECONDS = 86_400
"""How long after its end an approval's state still opens, so that its client learns how it ended."""


class State(Struct, frozen=True):
    """What a client that waits for an approval is given, and Unix seconds of its end."""

    approval: str
    expires: int


def resent(gate: Gate, passage: Passage, place: Place, call: Call) -> Call:
    """The call as it was made first; ``passage`` knows the approval that it comes back with.

    A state that isn't one of the gateway's for this caller and call is left for ``rounds`` to judge.
    """
    if call.protocol == "a2a":
        passage.named = a2a.named(call)
        return a2a.without_own_ids(call)
    if call.state is None:
        return call
    plain = gate.sealer.open(call.state, _context(place, call))
    state = None if plain is None else msgspec.json.decode(plain, type=State)
    if state is None or passage.at // 1000 >= state.expires:
        return call
    passage.named, passage.declined = state.approval, mcp.declined(call)
    return elicitation.without_own_answer(mcp.without_state(call), mcp.KEY)


async def told(gate: Gate, passage: Passage, ask: Ask) -> WaitingError:
    """What ends the hop of an Ask, whose decision is on record: the approval is asked for by then.

    Raises:
        HopError: APPROVAL_LIMIT.
        StoreError: nobody can be asked.
    """
    kept = await hold.asked(gate, passage, ask)
    if kept is None or passage.hop is None:
        return WaitingError(ask)
    call, approval = passage.hop.call, kept.approval
    if call.protocol == "a2a":
        return _told_a2a(passage, ask, call, approval)
    url = url_of(passage, approval)
    data = _data(passage, approval)
    way = "plain" if url is None else elicitation.way_to_ask(call, passage.opens_urls)
    if way == "plain" or url is None:
        return WaitingError(ask, told=Told(data))
    if way == "url_error":
        asked = elicitation.elicitations(url, approval.id, text_of(passage, approval))
        # 200: some clients take any other status for a failure of the transport, and show nothing.
        return WaitingError(ask, told=Told({**asked, **data}, 200, elicitation.URL_ELICITATION_REQUIRED))
    place = Place(passage.hop.route, approval.whose, passage.upstream_session)
    expires = approval.decide_by + approval.use_seconds + LATE_SECONDS
    state = gate.sealer.seal(msgspec.json.encode(State(approval.id, expires)), _context(place, call))
    # Who comes back has the link already.
    link = None if passage.named == approval.id else url
    body = dump_json(mcp.waiting(call, state, link, text_of(passage, approval)))
    return WaitingError(ask, answer=Answer(200, JSON_HEADERS, body))


def url_of(passage: Passage, approval: Approval) -> str | None:
    """The approval's page; None where there is none."""
    base = passage.edition.approvals.url
    return None if base is None else f"{base}{PAGE}{approval.id}"


def text_of(passage: Passage, approval: Approval) -> str:
    """One sentence for the client's user."""
    url, groups = url_of(passage, approval), " and ".join(approval.groups)
    where = "" if url is None else f": {url}"
    return f"{approval.action} on {approval.resource.id} waits for approval {approval.id} by {groups}{where}"


def a2a_answer(call: Call, approval: str, state: a2a.TaskState, text: str) -> Answer:
    """The approval's task as the client's binding has it, whole or as the one event of a stream."""
    shown = adapter_of("a2a").present(call, a2a.task(call, approval, state, text))
    if call.streaming:
        return Answer(200, STREAM_HEADERS, encode_message(shown.value, shown.event))
    return Answer(200, JSON_HEADERS, dump_json(shown.value))


def _told_a2a(passage: Passage, ask: Ask, call: Call, approval: Approval) -> WaitingError:
    if call.action != "delegate":
        return WaitingError(ask, told=Told(_data(passage, approval)))
    return WaitingError(
        ask, answer=a2a_answer(call, approval.id, "AUTH_REQUIRED", text_of(passage, approval))
    )  # fmt: skip


def _data(passage: Passage, approval: Approval) -> dict[str, object]:
    url = url_of(passage, approval)
    link = {} if url is None else {"approval_url": url}
    return {"approval": approval.id, "state": approval.state, "decide_by": approval.decide_by, **link}


def _context(place: Place, call: Call) -> bytes:
    arguments = digest(call.arguments)
    return msgspec.json.encode(["approval", place.route.path, place.whose, call.method, call.target, arguments.value])
