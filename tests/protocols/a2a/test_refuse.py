import json

import pytest
from a2a.client.errors import A2AClientError
from a2a.client.transports.jsonrpc import JsonRpcTransport
from a2a.types import AgentCard
from a2a.utils.errors import A2AError, TaskNotFoundError, UnsupportedOperationError, VersionNotSupportedError

from gateway.core.errors import ProtocolError
from gateway.core.limits import Limits
from gateway.core.model import Route
from gateway.core.reasons import Reason
from gateway.protocols.a2a import parse, refuse
from gateway.protocols.base import Refusal, Reply, refusal_of

ROUTE = Route("a2a", "analyst", "/a2a/analyst", "https://gw.test/a2a/analyst", "https://analyst.test/")


def as_client_reads(reply: Reply) -> Exception:
    transport = JsonRpcTransport(None, AgentCard(), "https://gw.test/")
    with pytest.raises((A2AError, A2AClientError)) as caught:
        transport._check_jsonrpc_response(json.loads(reply.body))
    return caught.value


@pytest.mark.parametrize("reason", list(Reason))
@pytest.mark.parametrize("request_id", [None, 1, "a"])
def test_every_refusal_is_an_error_response(reason: Reason, request_id: int | str | None) -> None:
    reply = refuse(request_id, Refusal(reason=reason, decision_id="d1"))
    body = json.loads(reply.body)
    assert body["id"] == request_id
    assert body["error"]["data"]["reason"] == str(reason)
    as_client_reads(reply)


@pytest.mark.parametrize(
    ("reason", "status", "code"),
    [
        (Reason.NO_PERMIT, 403, 1403),
        (Reason.FORBIDDEN, 403, 1403),
        (Reason.APPROVAL_REQUIRED, 403, 1428),
        (Reason.TASK_UNKNOWN, 404, -32001),
        (Reason.NOT_SUPPORTED_YET, 400, -32004),
        (Reason.VERSION_UNSUPPORTED, 400, -32009),
        (Reason.METHOD_UNKNOWN, 404, -32601),
        (Reason.TOKEN_MISSING, 401, 1401),
        (Reason.UPSTREAM_MALFORMED, 502, -32006),
        (Reason.UPSTREAM_TIMEOUT, 504, 1504),
    ],
)
def test_statuses_and_codes(reason: Reason, status: int, code: int) -> None:
    reply = refuse("r1", Refusal(reason=reason))
    assert (reply.status, json.loads(reply.body)["error"]["code"]) == (status, code)


def test_the_official_client_knows_the_protocols_own_errors() -> None:
    assert isinstance(as_client_reads(refuse(1, Refusal(reason=Reason.TASK_UNKNOWN))), TaskNotFoundError)
    assert isinstance(as_client_reads(refuse(1, Refusal(reason=Reason.NOT_SUPPORTED_YET))), UnsupportedOperationError)
    assert isinstance(as_client_reads(refuse(1, Refusal(reason=Reason.VERSION_UNSUPPORTED))), VersionNotSupportedError)


def test_a_parse_errors_own_code_and_data_are_kept(a2a) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse(a2a("GetTask", {"id": "t1"}, headers={"a2a-version": "0.2"}), ROUTE, Limits())
    reply = refuse(caught.value.request_id, refusal_of(caught.value, "d1"))
    error = json.loads(reply.body)["error"]
    assert (reply.status, error["code"], error["data"]["supported"]) == (400, -32009, ["1.0", "0.3"])
    with pytest.raises(ProtocolError) as caught:
        parse(a2a("GetTask", {"id": 1}), ROUTE, Limits())
    assert json.loads(refuse("r1", refusal_of(caught.value)).body)["error"]["code"] == -32602
