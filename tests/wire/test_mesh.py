"""Who may say by ``x-forwarded-client-cert`` who calls, and of whom: at the data listener itself, without Envoy."""

from collections.abc import AsyncIterator, Sequence

import pytest
import pytest_asyncio

from gateway.core.audit import DecisionRecord, RefusedRecord
from gateway.core.reasons import Reason
from tests.attacks.front import Front, front
from tests.company import Company
from tests.wire.token_endpoint import ask, error_of, exchange

pytestmark = pytest.mark.asyncio(loop_scope="module")

PLANNER = "spiffe://demo.test/agent/planner"
NAME = "X-Forwarded-Client-Cert"


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="meshed")
async def running_mesh(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Front]:
    company = Company(tmp_path_factory.mktemp("company"))
    # ``client`` gives SVIDs below agent/.
    company.settings["listen"]["data"]["mesh"] = ["spiffe://demo.test/agent/envoy", "spiffe://demo.test/agent/waypoint"]
    planner = company.registry["agents"]["planner"]
    company.registry["agents"]["waypoint"] = {**planner, "spiffe_id": "spiffe://demo.test/agent/waypoint"}
    async with front(company) as made:
        yield made


def forwarded(front: Front, values: Sequence[str]) -> bytes:
    return front.request(*((NAME, value) for value in values))


async def test_a_mesh_proxy_says_who_calls(meshed: Front) -> None:
    said, arrived = await meshed.forwarded_as("envoy", forwarded(meshed, [f"Hash=00;URI={PLANNER}"]))
    assert (said.statuses, arrived) == ([200], 1)
    record = meshed.last_record().record
    assert isinstance(record, DecisionRecord)
    assert record.agent is not None
    assert (record.agent.name, record.agent.proof) == ("planner", "xfcc")
    assert record.agent.forwarder is not None
    assert record.agent.forwarder.spiffe_id == "spiffe://demo.test/agent/envoy"
    assert len(record.agent.forwarder.x5t) == 43
    assert not any("forwarded" in header for header in meshed.upstream.heads[-1])


@pytest.mark.parametrize(
    "values",
    [
        [],
        [""],
        ["Hash=00"],
        [f"URI={PLANNER},URI={PLANNER}"],
        [f"URI={PLANNER}", f"URI={PLANNER}"],
        [f"URI={PLANNER};URI={PLANNER}"],
        ["URI=https://demo.test/agent/planner"],
        ["URI=spiffe://elsewhere.test/agent/planner"],
        ["URI=spiffe://demo.test/agent/envoy"],
        ["URI=spiffe://demo.test/agent/waypoint"],
    ],
)
async def test_a_mesh_proxy_that_does_not_say_it_right_is_refused_and_recorded(
    meshed: Front, values: list[str]
) -> None:
    said, arrived = await meshed.forwarded_as("envoy", forwarded(meshed, values))
    assert (said.statuses, said.reason, arrived) == ([403], Reason.FORWARDED_IDENTITY, 0)
    record = meshed.last_record().record
    assert isinstance(record, RefusedRecord)
    assert record.agent is not None
    assert (record.agent.spiffe_id, record.agent.proof) == ("spiffe://demo.test/agent/envoy", "x509-svid")


async def test_a_look_alike_of_the_header_is_not_it(meshed: Front) -> None:
    request = meshed.request(("x_forwarded_client_cert", f"URI={PLANNER}"))
    said, arrived = await meshed.forwarded_as("envoy", request)
    assert (said.reason, arrived) == (Reason.FORWARDED_IDENTITY, 0)


async def test_of_anybody_else_the_header_says_nothing(meshed: Front) -> None:
    said, _ = await meshed.forwarded(forwarded(meshed, ["URI=spiffe://demo.test/agent/auditor"]))
    assert said.statuses == [200]
    record = meshed.last_record().record
    assert isinstance(record, DecisionRecord)
    assert record.agent is not None
    assert (record.agent.name, record.agent.forwarder) == ("planner", None)


async def test_a_mesh_proxy_gets_no_tokens_for_whoever_is_behind_it(meshed: Front) -> None:
    """Not even where it is registered as an agent itself."""
    reply = await ask(meshed.company, "waypoint", exchange(meshed.company, "anybody's"))
    assert error_of(reply) == (401, "invalid_client", Reason.FORWARDED_IDENTITY)
