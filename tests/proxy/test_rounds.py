"""What was handed out comes back where it was handed out, in time, and nowhere else."""

import pytest
from msgspec import structs

from gateway.core.errors import ProtocolError
from gateway.core.model import Call, Route, Uid
from gateway.identity.seal import AeadSealer
from gateway.proxy.rounds import Asked, Place, State, reopened, seal_request, seal_state

SEALER = AeadSealer(b"s" * 32)
LEDGER = Route("mcp", "ledger", "/mcp/ledger", "https://gw.test/mcp/ledger", "https://ledger.test/")
PLACE = Place(LEDGER, "corp|maria spiffe://t/planner", "upstream-1")
CALL = Call(
    protocol="mcp",
    version="2026-07-28",
    method="tools/call",
    action="invokeTool",
    resource=Uid("Tool", "ledger/pay"),
    message={"id": 1, "params": {"name": "pay", "requestState": "sealed"}},
    request_id=1,
    target="pay",
    arguments={"amount": 5, "to": "x"},
)
RESPONSE = structs.replace(CALL, method="response", message={"id": "sealed", "result": {}}, arguments=None)
ELSEWHERE = [
    structs.replace(PLACE, whose="corp|maria spiffe://t/analyst"),
    structs.replace(PLACE, route=structs.replace(LEDGER, path="/mcp/other")),
]


def with_state(call: Call = CALL, expires: int = 100) -> Call:
    return structs.replace(call, state=seal_state(SEALER, State("theirs", expires), PLACE, CALL))


def test_a_state_goes_back_as_it_was() -> None:
    back = reopened(SEALER, PLACE, with_state(), 99)
    assert back.message == {"id": 1, "params": {"name": "pay", "requestState": "theirs"}}
    reordered = structs.replace(CALL, arguments={"to": "x", "amount": 5})
    assert reopened(SEALER, PLACE, with_state(reordered), 99).message == back.message
    assert reopened(SEALER, PLACE, CALL, 99) is CALL


@pytest.mark.parametrize(
    "other",
    [
        structs.replace(CALL, arguments={"amount": 6, "to": "x"}),
        structs.replace(CALL, target="read"),
        structs.replace(CALL, method="prompts/get"),
    ],
)
def test_a_state_belongs_to_its_call(other: Call) -> None:
    with pytest.raises(ProtocolError):
        reopened(SEALER, PLACE, with_state(other), 99)


@pytest.mark.parametrize("place", ELSEWHERE)
def test_a_state_belongs_to_its_caller_and_route(place: Place) -> None:
    with pytest.raises(ProtocolError):
        reopened(SEALER, place, with_state(), 99)


def test_a_state_ends() -> None:
    with pytest.raises(ProtocolError):
        reopened(SEALER, PLACE, with_state(expires=100), 100)


def answering(expires: int = 100) -> Call:
    return structs.replace(
        RESPONSE, answering=seal_request(SEALER, Asked(7, "elicitation/create", "elicit", expires), PLACE)
    )


def test_a_response_goes_to_the_request_that_was_asked() -> None:
    back = reopened(SEALER, PLACE, answering(), 99)
    assert (back.message, back.target) == ({"id": 7, "result": {}}, "elicitation/create")


@pytest.mark.parametrize("place", [*ELSEWHERE, structs.replace(PLACE, session="upstream-2")])
def test_a_response_belongs_to_its_session(place: Place) -> None:
    with pytest.raises(ProtocolError):
        reopened(SEALER, place, answering(), 99)


def test_a_request_ends() -> None:
    with pytest.raises(ProtocolError):
        reopened(SEALER, PLACE, answering(expires=99), 99)
