"""HTTP+JSON: every path means one method, nothing is named twice, and errors are what the official client reads."""

import json
from typing import Any

import pytest
from a2a.client.transports.rest import _parse_rest_error
from a2a.utils.errors import A2A_ERROR_MAPPING, JSON_RPC_ERROR_CODE_MAP
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import ProtocolError
from gateway.core.limits import Limits
from gateway.core.model import Call, Route
from gateway.core.reasons import Reason
from gateway.protocols.a2a import bare, encode, parse, refuse
from gateway.protocols.base import HttpError, Incoming, Refusal

ROUTE = Route("a2a", "analyst", "/a2a/analyst", "https://gw.test/a2a/analyst", "https://analyst.test/")
LIMITS = Limits()
MESSAGE = {"messageId": "m1", "role": "ROLE_USER", "parts": [{"text": "hello"}]}


def sent(http_method: str, rest: str, body: Any = None, query: dict[str, str] | None = None, **headers: str) -> Call:
    known = {"a2a-version": "1.0", "content-type": "application/json"} | headers
    raw = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    return parse(Incoming(http_method, rest, known, query or {}, raw), ROUTE, LIMITS)


def refused(*arguments: Any, **named: Any) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        sent(*arguments, **named)
    return caught.value


CONFIGS = "/tasks/t1/pushNotificationConfigs"


@pytest.mark.parametrize("tenant", ["", "acme", "a.b-c"])
@pytest.mark.parametrize(
    ("http_method", "rest", "body", "method", "params"),
    [
        ("POST", "/message:send", {"message": MESSAGE}, "SendMessage", {"message": MESSAGE}),
        ("POST", "/message:stream", {"message": MESSAGE}, "SendStreamingMessage", {"message": MESSAGE}),
        ("GET", "/tasks", None, "ListTasks", {}),
        ("GET", "/tasks/t1", None, "GetTask", {"id": "t1"}),
        ("GET", "/tasks/t:1", None, "GetTask", {"id": "t:1"}),
        ("POST", "/tasks/t1:cancel", {"metadata": {"why": 1}}, "CancelTask", {"metadata": {"why": 1}, "id": "t1"}),
        ("POST", "/tasks/t1:cancel", None, "CancelTask", {"id": "t1"}),
        ("POST", "/tasks/t1:subscribe", None, "SubscribeToTask", {"id": "t1"}),
        ("GET", "/tasks/t1:subscribe", None, "SubscribeToTask", {"id": "t1"}),
        ("POST", CONFIGS, {"url": "u"}, "CreateTaskPushNotificationConfig", {"url": "u", "taskId": "t1"}),
        ("GET", CONFIGS, None, "ListTaskPushNotificationConfigs", {"taskId": "t1"}),
        ("GET", f"{CONFIGS}/c", None, "GetTaskPushNotificationConfig", {"taskId": "t1", "id": "c"}),
        ("DELETE", f"{CONFIGS}/c", None, "DeleteTaskPushNotificationConfig", {"taskId": "t1", "id": "c"}),
        ("GET", "/extendedAgentCard", None, "GetExtendedAgentCard", {}),
    ],
)
def test_a_path_is_a_method(
    http_method: str, rest: str, body: Any, method: str, params: dict[str, Any], tenant: str
) -> None:
    call = sent(http_method, f"/{tenant}{rest}" if tenant else rest, body)
    assert (call.method, call.binding, call.version) == (method, "http", "1.0")
    assert json.loads(encode(call, trace={}).body) == {
        "jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, **({"tenant": tenant} if tenant else {})},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("http_method", "rest", "allow"),
    [
        ("GET", "/message:send", "POST"),
        ("POST", "/tasks", "GET"),
        ("DELETE", "/tasks/t1", "GET"),
        ("GET", "/tasks/t1:cancel", "POST"),
        ("PUT", CONFIGS, "POST, GET"),
    ],
)
def test_a_path_takes_its_methods_only(http_method: str, rest: str, allow: str) -> None:
    error = refused(http_method, rest)
    assert isinstance(error, HttpError)
    assert (error.reason, error.status, error.allow) == (Reason.HTTP_METHOD, 405, allow)


def test_a_query_is_typed() -> None:
    query = {
        "contextId": "c1", "page_size": "10", "historyLength": "0", "includeArtifacts": "true", "other": "x",
        "A2A-Version": "1.0",
    }  # fmt: skip
    assert sent("GET", "/tasks", query=query).arguments == {
        "contextId": "c1", "pageSize": 10, "historyLength": 0, "includeArtifacts": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("http_method", "rest", "body", "query"),
    [
        ("POST", "/tasks/t1:cancel", {"id": "t2"}, {}),
        ("POST", "/acme/message:send", {"message": MESSAGE, "tenant": "other"}, {}),
        ("POST", CONFIGS, {"url": "u", "task_id": "t2"}, {}),
        ("GET", "/acme/tasks/t1", None, {"tenant": "other"}),
        ("POST", CONFIGS, {"url": "u", "task_id": "t1", "taskId": "t1"}, {}),
        ("GET", "/tasks", None, {"pageSize": "1", "page_size": "2"}),
        ("GET", "/tasks", None, {"pageSize": "-1"}),
        ("GET", "/tasks", None, {"pageSize": "\N{ARABIC-INDIC DIGIT ONE}"}),
        ("GET", "/tasks", None, {"includeArtifacts": "yes"}),
        ("POST", "/message:send", [MESSAGE], {}),
        ("POST", "/message:send", {}, {}),
    ],
)
def test_nothing_is_named_twice_or_wrongly(http_method: str, rest: str, body: Any, query: dict[str, str]) -> None:
    error = refused(http_method, rest, body, query)
    assert (error.reason, error.code) == (Reason.MESSAGE_INVALID, -32602)


def test_bodies_are_strict_json_of_the_right_media_type() -> None:
    assert sent("POST", "/message:send", {"message": MESSAGE}, **{"content-type": "application/a2a+json"}).target == ""
    assert refused("POST", "/message:send", {}, **{"content-type": "text/plain"}).reason is Reason.CONTENT_TYPE
    assert refused("POST", "/message:send", b'{"message":1,"message":2}').reason is Reason.BODY_MALFORMED
    assert refused("POST", "/message:send").reason is Reason.BODY_MALFORMED


def test_the_version_is_served() -> None:
    assert refused("GET", "/tasks", **{"a2a-version": "0.3"}).reason is Reason.VERSION_UNSUPPORTED


def test_a_result_stands_alone() -> None:
    assert bare({"jsonrpc": "2.0", "id": 1, "result": {"task": {}}}) == (200, {"task": {}})
    assert bare({"jsonrpc": "2.0", "id": 1, "result": None}) == (200, {})


@pytest.mark.parametrize("kind", sorted(A2A_ERROR_MAPPING, key=str))
@pytest.mark.parametrize("data", [None, {"x": 1}, [{"x": 1}]])
def test_an_agents_error_is_the_one_that_the_official_client_raises(kind: Any, data: Any) -> None:
    error = {"code": JSON_RPC_ERROR_CODE_MAP[kind], "message": "no"} | ({} if data is None else {"data": data})
    status, body = bare({"jsonrpc": "2.0", "id": 1, "error": error})
    assert isinstance(_parse_rest_error(body, ""), kind)
    assert (status, body["error"]["status"]) == (A2A_ERROR_MAPPING[kind].http_code, A2A_ERROR_MAPPING[kind].grpc_status)


def test_an_agents_details_are_kept() -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "TASK_NOT_FOUND", "domain": "x"}]
    _, body = bare({"id": 1, "error": {"code": -32001, "message": "no", "data": details}})
    assert body["error"]["details"] == details


@pytest.mark.parametrize(
    ("reason", "status", "name", "domain", "told"),
    [
        (Reason.NO_PERMIT, 403, "PERMISSION_DENIED", "hopgate", "NO_PERMIT"),
        (Reason.TOKEN_MISSING, 401, "UNAUTHENTICATED", "hopgate", "TOKEN_MISSING"),
        (Reason.TOO_MANY_STREAMS, 429, "RESOURCE_EXHAUSTED", "hopgate", "TOO_MANY_STREAMS"),
        (Reason.STORE_UNAVAILABLE, 503, "UNAVAILABLE", "hopgate", "STORE_UNAVAILABLE"),
        (Reason.MESSAGE_INVALID, 400, "INVALID_ARGUMENT", "hopgate", "MESSAGE_INVALID"),
        (Reason.TASK_UNKNOWN, 404, "NOT_FOUND", "a2a-protocol.org", "TASK_NOT_FOUND"),
        (Reason.NOT_SUPPORTED_YET, 400, "FAILED_PRECONDITION", "a2a-protocol.org", "UNSUPPORTED_OPERATION"),
    ],
)
def test_a_refusal_is_a_status(reason: Reason, status: int, name: str, domain: str, told: str) -> None:
    reply = refuse(1, Refusal(reason=reason, decision_id="d1", groups=("a", "b")), "http")
    error = json.loads(reply.body)["error"]
    [info] = error["details"]
    assert (reply.status, error["code"], error["status"]) == (status, status, name)
    assert (info["domain"], info["reason"]) == (domain, told)
    assert info["metadata"] | {"next_step": ""} == {
        "reason": str(reason), "decision_id": "d1", "groups": "a b", "next_step": "",
    }  # fmt: skip


@given(
    rest=st.lists(st.sampled_from(["tasks", "t1", "t1:cancel", "message:send", "pushNotificationConfigs", "acme"]))
    .map("/".join)
    .map("/".__add__),
    http_method=st.sampled_from(["GET", "POST", "DELETE"]),
)
def test_any_path_is_a_call_or_refused(rest: str, http_method: str) -> None:
    try:
        call = sent(http_method, rest, {"message": MESSAGE} if http_method == "POST" else None)
    except ProtocolError as error:
        assert error.reason in (Reason.ROUTE_UNKNOWN, Reason.HTTP_METHOD, Reason.MESSAGE_INVALID)
        return
    assert call.binding == "http"
