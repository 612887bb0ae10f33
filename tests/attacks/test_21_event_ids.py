"""Attack 21, by ``Last-Event-ID``: hearing what a server sends to somebody else, by knowing or editing an event's id.

Wrong owner, session, route or seal looks like no session at all, and nothing is forwarded.
"""

from collections.abc import AsyncIterator
from typing import NamedTuple

import httpx2
import pytest
import pytest_asyncio

from gateway.core.reasons import Reason
from tests.company import Company
from tests.wire.mcp_calls import Wire, bare, legacy, open_session, record_of, refusal_of, through_gateway
from tests.wire.remembering import Remembering, admit
from tests.wire.streams import Session, asking, standing

pytestmark = pytest.mark.asyncio(loop_scope="module")
GONE = (404, 1404, Reason.SESSION_UNKNOWN)
LEAVE = legacy("tools/call", {"name": "leave", "arguments": {"account": "payroll"}})
THIEVES = {"another agent": ("analyst", "maria"), "another person": ("planner", "pablo"), "both": ("analyst", "pablo")}


class Scene(NamedTuple):
    company: Company
    ledger: Remembering
    wire: Wire
    session: Session
    event: str
    """The id of an event of the owner's."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    company, ledger = Company(tmp_path_factory.mktemp("company")), Remembering()
    admit(company)
    async with through_gateway(company, ledger), bare(company) as wire:
        session = await open_session(wire)
        async with asking(wire, session, LEAVE) as stream:
            await stream.rest()
        ledger.go_on.set()
        yield Scene(company, ledger, wire, session, stream.last_id)


async def tried(wire: Wire, session: Session, event: str) -> httpx2.Response:
    async with standing(wire, session, event) as stream:
        await stream.response.aread()
        return stream.response


@pytest.mark.parametrize("thief", THIEVES)
@pytest.mark.parametrize("own_session", [True, False])
async def test_an_event_is_its_owners(scene: Scene, thief: str, own_session: bool) -> None:
    agent, sub = THIEVES[thief]
    token = scene.company.token(f"{scene.company.data_url}/mcp/ledger", sub=sub)
    async with bare(scene.company, agent, token=token) as other:
        session = await open_session(other) if own_session else scene.session
        before = len(scene.ledger.headers)
        stolen = await tried(other, session, scene.event)
    assert refusal_of(stolen) == GONE
    assert len(scene.ledger.headers) == before
    record = record_of(scene.company, stolen).record
    assert record.agent is not None
    assert (record.reason, record.agent.name) == (Reason.SESSION_UNKNOWN, agent)


async def test_an_event_of_the_owners_other_session_is_none(scene: Scene) -> None:
    session = await open_session(scene.wire)
    assert refusal_of(await tried(scene.wire, session, scene.event)) == GONE


async def test_the_servers_own_id_is_none(scene: Scene) -> None:
    before = len(scene.ledger.headers)
    for guessed in ("0", "1", "2", "3", "A" * 120, str(scene.session["Mcp-Session-Id"])):
        assert refusal_of(await tried(scene.wire, scene.session, guessed)) == GONE
    assert len(scene.ledger.headers) == before


async def test_no_byte_of_it_can_be_edited(scene: Scene) -> None:
    before = len(scene.ledger.headers)
    for place in range(0, len(scene.event), 17):
        edited = scene.event[:place] + ("A" if scene.event[place] != "A" else "B") + scene.event[place + 1 :]
        assert refusal_of(await tried(scene.wire, scene.session, edited)) == GONE, place
    assert len(scene.ledger.headers) == before


async def test_two_of_them_are_refused(scene: Scene) -> None:
    headers = [(name, str(value)) for name, value in scene.session.items()]
    headers += [("Accept", "text/event-stream"), ("Last-Event-ID", scene.event), ("Last-Event-ID", "0")]
    reply = await scene.wire.http.get(scene.wire.url, headers=headers)
    assert (reply.status_code, Reason.HEADER_DUPLICATE in reply.text) == (400, True)


async def test_without_a_session_there_is_nothing_to_resume(scene: Scene) -> None:
    before = len(scene.ledger.headers)
    reply = await tried(scene.wire, {}, scene.event)
    assert (reply.status_code, len(scene.ledger.headers)) == (405, before)


async def test_the_owner_still_gets_the_answer(scene: Scene) -> None:
    async with standing(scene.wire, scene.session, scene.event) as stream:
        [answer] = await stream.rest()
    assert answer["result"]["structuredContent"] == {"result": "back with payroll"}
