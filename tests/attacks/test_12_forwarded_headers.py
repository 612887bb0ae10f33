"""Attack 12: headers by which a proxy tells who is calling, sent by the caller itself, and their look-alikes.

Identity comes from the handshake and the token, never from a header: neither does one change who is recorded,
nor does one arrive at the upstream.
"""

from collections.abc import Callable

import pytest

from gateway.core.audit import DecisionRecord
from tests.attacks.front import Front

pytestmark = pytest.mark.asyncio(loop_scope="module")

AUDITOR = "spiffe://demo.test/agent/auditor"
CLAIMED = {
    "X-Forwarded-For": "10.0.0.1",
    "X-Forwarded-Host": "evil.test",
    "X-Forwarded-Proto": "http",
    "X-Forwarded-Prefix": "/mcp/payments",
    "X-Forwarded-Client-Cert": f"By=spiffe://demo.test/gateway;Hash=00;URI={AUDITOR}",
    "X-Client-Cert": AUDITOR,
    "X-SSL-Client-Verify": "SUCCESS",
    "SSL_CLIENT_S_DN": f"CN={AUDITOR}",
    "X-Real-IP": "10.0.0.1",
    "X-Remote-User": "root",
    "X-Spiffe-Id": AUDITOR,
    "X-Agent": "auditor",
    "X-User": "corp|root",
    "X-Delegation-Depth": "1",
    "Hopgate-Depth": "1",
    "Hopgate-Agent": "auditor",
    "Forwarded": f'for=10.0.0.1;host=evil.test;by="{AUDITOR}"',
}
UNDERSCORED = {
    "mcp_name": "pay",
    "mcp_method": "tools/list",
    "mcp_session_id": "stolen",
    "content_length": "0",
    "transfer_encoding": "chunked",
    "content_type": "text/plain",
    "x_forwarded_client_cert": f"URI={AUDITOR}",
    "host_": "evil.test",
}


@pytest.mark.parametrize("name", CLAIMED)
@pytest.mark.parametrize("spelled", [str.title, lambda name: name.replace("-", "_").lower()])
async def test_a_claim_of_identity_counts_for_nothing(front: Front, name: str, spelled: Callable[[str], str]) -> None:
    said, forwarded = await front.forwarded(front.request((spelled(name), CLAIMED[name])))
    assert (said.statuses, forwarded) == ([200], 1)
    record = front.last_record().record
    assert isinstance(record, DecisionRecord)
    assert record.agent is not None
    assert record.agent.name == "planner"
    arrived = front.upstream.heads[-1]
    assert spelled(name).lower() not in arrived
    assert CLAIMED[name] not in arrived.values()


@pytest.mark.parametrize("name", UNDERSCORED)
async def test_an_underscore_is_no_hyphen(front: Front, name: str) -> None:
    said, forwarded = await front.forwarded(front.request((name, UNDERSCORED[name])))
    assert (said.statuses, forwarded) == ([200], 1)
    arrived = front.upstream.heads[-1]
    assert not any("_" in header for header in arrived)
    assert (arrived["mcp-name"], arrived["mcp-method"]) == ("read_balance", "tools/call")


async def test_a_look_alike_does_not_stand_in(front: Front) -> None:
    """Without the real one the look-alike is no header of the protocol."""
    for real, alike in ((b"Mcp-Name:", b"mcp_name:"), (b"Mcp-Method:", b"Mcp_Method:"), (b"Accept:", b"Accept_:")):
        said, forwarded = await front.forwarded(front.request().replace(real, alike))
        assert forwarded == 0
        assert said.statuses[0] in (400, 406)


async def test_a_look_alike_of_the_token_is_no_token(front: Front) -> None:
    """The agent then calls for itself, without Maria: the route lets it, and the record says so."""
    said, _ = await front.forwarded(front.request().replace(b"Authorization:", b"X-Authorization:"))
    assert said.statuses == [200]
    record = front.last_record().record
    assert isinstance(record, DecisionRecord)
    assert record.user is None
