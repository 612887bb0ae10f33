import json

import pytest
from a2a.types import SendMessageRequest
from google.protobuf.json_format import MessageToDict, ParseDict
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import ProtocolError
from gateway.core.limits import Limits
from gateway.core.model import Route, Uid
from gateway.core.reasons import Reason
from gateway.protocols.a2a import encode, parse
from gateway.protocols.a2a.methods import METHODS, METHODS_0_3
from gateway.protocols.a2a.push import Webhook, webhook_of, with_webhook
from gateway.protocols.base import HttpError, Incoming
from gateway.protocols.jsonrpc import dump_json

ROUTE = Route("a2a", "analyst", "/a2a/analyst", "https://gw.test/a2a/analyst", "https://analyst.test/")
LIMITS = Limits()
MESSAGE = {"messageId": "m1", "role": "ROLE_USER", "parts": [{"text": "hello"}]}

OLD_MESSAGE = {"kind": "message", "messageId": "m1", "role": "user", "parts": [{"kind": "text", "text": "hello"}]}


def refused(incoming: Incoming) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        parse(incoming, ROUTE, LIMITS)
    return caught.value


@pytest.mark.parametrize(("method", "streaming"), [("SendMessage", False), ("SendStreamingMessage", True)])
def test_a_message_is_a_delegation(a2a, method: str, streaming: bool) -> None:
    call = parse(a2a(method, {"message": MESSAGE}), ROUTE, LIMITS)
    assert (call.protocol, call.version, call.action, call.resource) == (
        "a2a",
        "1.0",
        "delegate",
        Uid("Agent", "analyst"),
    )
    assert (call.request_id, call.target, call.streaming) == ("r1", "", streaming)
    assert call.arguments == {"message": MESSAGE}


def test_a_message_to_a_task_names_it(a2a) -> None:
    assert parse(a2a("SendMessage", {"message": {**MESSAGE, "taskId": "t1"}}), ROUTE, LIMITS).target == "t1"


def test_get_task(a2a) -> None:
    call = parse(a2a("GetTask", {"id": "t1", "historyLength": 3}), ROUTE, LIMITS)
    assert (call.action, call.target) == ("getTask", "t1")


def test_the_card() -> None:
    call = parse(Incoming("GET", "/.well-known/agent-card.json", {}, {}, b""), ROUTE, LIMITS)
    assert (call.method, call.action, call.resource) == ("GetAgentCard", "discover", Uid("Agent", "analyst"))
    error = refused(Incoming("POST", "/.well-known/agent-card.json", {}, {}, b"{}"))
    assert isinstance(error, HttpError)
    assert (error.status, error.allow) == (405, "GET")


@pytest.mark.parametrize("rest", ["/", "/.well-known/agent.json", "/message:sent", "/v1", "/a/b/tasks", "/tasks/1/x"])
def test_other_paths_are_not_served(a2a, rest: str) -> None:
    sent = a2a("SendMessage", {"message": MESSAGE})
    assert refused(Incoming("POST", rest, sent.headers, {}, sent.body)).reason is Reason.ROUTE_UNKNOWN


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_messages_are_posted(a2a, method: str) -> None:
    error = refused(Incoming(method, "", a2a("GetTask").headers, {}, b""))
    assert (error.reason, error.status) == (Reason.HTTP_METHOD, 405)


@pytest.mark.parametrize("header", ["1.0", "1.0.1", "1.0.27"])
def test_served_versions(a2a, header: str) -> None:
    sent = a2a("GetTask", {"id": "t1"}, headers={"a2a-version": header})
    assert parse(sent, ROUTE, LIMITS).version == "1.0"
    sent = a2a("GetTask", {"id": "t1"}, headers={"a2a-version": None}, query={"A2A-Version": header})
    assert parse(sent, ROUTE, LIMITS).version == "1.0"


@pytest.mark.parametrize("header", ["0.2", "0.30", "1", "1.1", "2.0", "1.0.", "1.0.x", "1.00", "1.0,0.3", " 1.0"])
def test_other_versions(a2a, header: str) -> None:
    error = refused(a2a("GetTask", {"id": "t1"}, headers={"a2a-version": header}))
    assert (error.reason, error.code, error.request_id) == (Reason.VERSION_UNSUPPORTED, -32009, "r1")
    assert error.data == {"supported": ["1.0", "0.3"], "requested": header}


def test_header_and_query_may_not_differ(a2a) -> None:
    sent = a2a("GetTask", {"id": "t1"}, query={"A2A-Version": "0.3"})
    assert (refused(sent).reason, refused(sent).code) == (Reason.MESSAGE_INVALID, -32600)


@pytest.mark.parametrize("method", ["message/send", "tasks/get", "sendMessage", "nonsense", "GetAgentCard"])
def test_unknown_methods(a2a, method: str) -> None:
    error = refused(a2a(method, {}))
    assert (error.reason, error.code) == (Reason.METHOD_UNKNOWN, -32601)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_known_method_is_a_call_that_can_be_recorded(a2a, method: str) -> None:
    known = METHODS[method]
    params = {"message": MESSAGE} if known.action == "delegate" else {known.task or "pageSize": "t1"}
    params |= {"url": "https://hook.test/"} if known.action == "createPushConfig" else {}
    call = parse(a2a(method, params), ROUTE, LIMITS)
    assert (call.action, call.target) == (known.action, "t1" if known.task else "")


@pytest.mark.parametrize("header", [None, "", "0.3", "0.3.0"])
@pytest.mark.parametrize("method", sorted(METHODS_0_3))
def test_every_known_method_of_0_3_too(a2a, method: str, header: str | None) -> None:
    known = METHODS_0_3[method]
    params = {"message": OLD_MESSAGE} if known.action == "delegate" else {known.task: "t1"} if known.task else {}
    if known.action == "createPushConfig":
        params |= {"pushNotificationConfig": {"url": "https://hook.test/"}}
    call = parse(a2a(method, params, headers={"a2a-version": header}), ROUTE, LIMITS)
    assert (call.version, call.action, call.target) == ("0.3", known.action, "t1" if known.task else "")
    assert dict(encode(call, trace={}).headers)["A2A-Version"] == "0.3"


@pytest.mark.parametrize(("method", "header"), [("GetTask", "0.3"), ("GetTask", None), ("tasks/get", "1.0")])
def test_a_method_belongs_to_its_version(a2a, method: str, header: str | None) -> None:
    error = refused(a2a(method, {"id": "t1"}, headers={"a2a-version": header}))
    assert (error.reason, error.code) == (Reason.METHOD_UNKNOWN, -32601)


def test_members_of_0_3_have_one_spelling(a2a) -> None:
    old = {"a2a-version": "0.3"}
    message = {
        "kind": "message", "message_id": "m1", "task_id": "t1", "role": "user",
        "parts": [{"kind": "file", "file": {"uri": "u", "mime_type": "text/plain"}}],
    }  # fmt: skip
    call = parse(a2a("message/send", {"message": message}, headers=old), ROUTE, LIMITS)
    assert call.target == "t1"
    assert json.loads(encode(call, trace={}).body)["params"]["message"] == {
        "kind": "message", "messageId": "m1", "taskId": "t1", "role": "user",
        "parts": [{"kind": "file", "file": {"uri": "u", "mimeType": "text/plain"}}],
    }  # fmt: skip
    twice = {**message, "taskId": "t1"}
    assert refused(a2a("message/send", {"message": twice}, headers=old)).reason is Reason.MESSAGE_INVALID


def test_there_are_no_notifications(a2a) -> None:
    assert refused(a2a("GetTask", {"id": "t1"}, id=None)).code == -32600


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"message": "x"},
        {"message": [MESSAGE]},
        {"message": {**MESSAGE, "taskId": 1}},
        {"message": {**MESSAGE, "contextId": {}}},
        {"message": {**MESSAGE, "taskId": "x" * 513}},
        {"message": {**MESSAGE, "referenceTaskIds": "t1"}},
        {"message": {**MESSAGE, "referenceTaskIds": [1]}},
        {"message": MESSAGE, "configuration": []},
    ],
)
def test_messages_that_can_not_be_bound(a2a, params: dict[str, object]) -> None:
    error = refused(a2a("SendMessage", params))
    assert (error.reason, error.code) == (Reason.MESSAGE_INVALID, -32602)


@pytest.mark.parametrize("params", [{}, {"id": ""}, {"id": None}, {"id": 1}, {"id": "x" * 513}])
def test_a_task_is_named(a2a, params: dict[str, object]) -> None:
    assert refused(a2a("GetTask", params)).code == -32602


@pytest.mark.parametrize(
    "params",
    [
        {"message": {**MESSAGE, "task_id": "mine", "taskId": "yours"}},
        {"message": {**MESSAGE, "message_id": "m2"}},
        {"message": {**MESSAGE, "parts": [{"mediaType": "a", "media_type": "b"}]}},
        {"message": MESSAGE, "Message": MESSAGE},
        {"message": {**MESSAGE, "TaskId": "t"}},
        {"message": {**MESSAGE, "taskid": "t"}},
        {"message": MESSAGE, "configuration": {"historyLength": 1, "history_length": 2}},
    ],
)
def test_one_member_in_two_spellings(a2a, params: dict[str, object]) -> None:
    assert refused(a2a("SendMessage", params)).reason is Reason.MESSAGE_INVALID


def test_proto_names_are_sent_on_as_json_names_and_free_form_is_left_alone(a2a) -> None:
    message = {
        "message_id": "m1", "task_id": "t1", "reference_task_ids": ["t2"], "role": "ROLE_USER",
        "parts": [{"data": {"task_id": 1, "taskId": 2}, "media_type": "application/json"}],
        "metadata": {"task_id": 3, "Task_Id": 4},
    }  # fmt: skip
    call = parse(a2a("SendMessage", {"message": message, "metadata": {"history_length": 1}}), ROUTE, LIMITS)
    sent = json.loads(encode(call, trace={}).body)["params"]
    assert sent == {
        "message": {
            "messageId": "m1", "taskId": "t1", "referenceTaskIds": ["t2"], "role": "ROLE_USER",
            "parts": [{"data": {"task_id": 1, "taskId": 2}, "mediaType": "application/json"}],
            "metadata": {"task_id": 3, "Task_Id": 4},
        },
        "metadata": {"history_length": 1},
    }  # fmt: skip
    assert call.target == "t1"
    read = ParseDict(sent, SendMessageRequest())
    assert MessageToDict(read)["message"]["taskId"] == "t1"


HOOK = {"url": "https://hook.test/", "token": "t", "authentication": {"scheme": "Bearer", "credentials": "c"}}


@pytest.mark.parametrize("name", ["taskPushNotificationConfig", "task_push_notification_config"])
def test_a_webhook_is_read_and_its_secrets_are_not_kept_for_records(a2a, name: str) -> None:
    params = {"message": MESSAGE, "configuration": {"historyLength": 1, name: {**HOOK, "id": "c"}}}
    call = parse(a2a("SendMessage", params), ROUTE, LIMITS)
    assert webhook_of(call) == Webhook("https://hook.test/", "t", "Bearer", "c")
    shown = {"historyLength": 1, "taskPushNotificationConfig": {"url": "https://hook.test/", "id": "c"}}
    assert call.arguments == {"message": MESSAGE, "configuration": shown}
    assert call.also == (("createPushConfig", call.resource),)
    changed = with_webhook(call, "https://gw.test/x").message["params"]
    assert changed["configuration"] == {
        "historyLength": 1, "taskPushNotificationConfig": {"url": "https://gw.test/x", "id": "c"},
    }  # fmt: skip
    created = parse(a2a("CreateTaskPushNotificationConfig", {**HOOK, "taskId": "t1", "tenant": "x"}), ROUTE, LIMITS)
    assert (created.action, created.also) == ("createPushConfig", ())
    assert with_webhook(created, "https://gw.test/x").message["params"] == {
        "taskId": "t1", "tenant": "x", "url": "https://gw.test/x",
    }  # fmt: skip
    assert webhook_of(parse(a2a("SendMessage", {"message": MESSAGE}), ROUTE, LIMITS)) is None


@pytest.mark.parametrize(
    "config",
    [
        "https://hook.test/",
        {},
        {"url": ""},
        {"url": 1},
        {"url": "https://hook.test/" + "x" * 2048},
        {"url": "https://hook.test/\r\nX: y"},
        {**HOOK, "token": "a\r\nX: y"},
        {**HOOK, "token": "\N{SNOWMAN}"},
        {**HOOK, "authentication": "Bearer c"},
        {**HOOK, "authentication": {"scheme": ["Bearer"]}},
        {**HOOK, "authentication": {"scheme": "Bearer", "credentials": "c\n"}},
        {**HOOK, "Url": "https://other.test/"},
    ],
)
def test_webhooks_that_no_request_could_carry(a2a, config: object) -> None:
    error = refused(a2a("SendMessage", {"message": MESSAGE, "configuration": {"taskPushNotificationConfig": config}}))
    assert (error.reason, error.code) == (Reason.MESSAGE_INVALID, -32602)


@pytest.mark.parametrize(
    ("version", "method", "name"),
    [
        ("0.3", "message/send", "taskPushNotificationConfig"),
        ("0.3", "message/stream", "task_push_notification_config"),
        ("1.0", "SendMessage", "pushNotificationConfig"),
        ("1.0", "SendStreamingMessage", "push_notification_config"),
    ],
)
def test_a_webhook_by_another_versions_name_is_refused(a2a, version: str, method: str, name: str) -> None:
    headers = {"a2a-version": version}
    params = {"message": MESSAGE, "configuration": {name: {"url": "https://evil.test/"}}}
    error = refused(a2a(method, params, headers=headers))
    assert (error.reason, error.code) == (Reason.MESSAGE_INVALID, -32602)
    parse(a2a(method, {"message": MESSAGE, "configuration": {name: None}}, headers=headers), ROUTE, LIMITS)


def test_accept_must_allow_the_answer(a2a) -> None:
    params = {"message": MESSAGE}
    parse(a2a("SendStreamingMessage", params, headers={"accept": "text/event-stream"}), ROUTE, LIMITS)
    parse(a2a("SendMessage", params, headers={"accept": None}), ROUTE, LIMITS)
    for method, accept in (("SendMessage", "text/event-stream"), ("SendStreamingMessage", "application/json")):
        error = refused(a2a(method, params, headers={"accept": accept}))
        assert isinstance(error, HttpError)
        assert error.status == 406


PARTS = st.fixed_dictionaries({}, optional={"text": st.text(), "media_type": st.text(), "mediaType": st.text()})
MESSAGES = st.fixed_dictionaries(
    {},
    optional={
        "taskId": st.text() | st.none() | st.integers(),
        "task_id": st.text(),
        "parts": st.lists(PARTS, max_size=2) | st.none(),
        "referenceTaskIds": st.lists(st.text(), max_size=2) | st.none(),
        "metadata": st.dictionaries(st.text(max_size=3), st.integers()),
    },
)
BODIES = st.fixed_dictionaries(
    {"jsonrpc": st.just("2.0"), "method": st.sampled_from(sorted(METHODS))},
    optional={
        "id": st.integers() | st.text(max_size=3) | st.none(),
        "params": st.none()
        | st.fixed_dictionaries(
            {},
            optional={
                "message": MESSAGES | st.text(),
                "id": st.text() | st.integers(),
                "configuration": st.none() | MESSAGES,
            },
        ),
    },
)


@given(BODIES | st.binary(max_size=60))
def test_anything_is_a_call_or_a_protocol_error(body: object) -> None:
    headers = {"content-type": "application/json", "a2a-version": "1.0"}
    raw = body if isinstance(body, bytes) else dump_json(body)
    try:
        call = parse(Incoming("POST", "", headers, {}, raw), ROUTE, LIMITS)
    except ProtocolError as error:
        assert error.code < 0
        return
    out = encode(call, trace={})
    again = parse(Incoming("POST", "", {k.lower(): v for k, v in out.headers}, {}, out.body), ROUTE, LIMITS)
    assert again == call
