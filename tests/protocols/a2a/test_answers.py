import pytest
from a2a.types import StreamResponse, Task
from google.protobuf.json_format import MessageToDict, ParseDict
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import UpstreamError
from gateway.core.limits import Limits
from gateway.core.model import Call, Route, Uid
from gateway.core.reasons import Reason
from gateway.protocols.a2a import Ids, classify, encode, filter_listing, named_ids, parse, task_ids
from gateway.protocols.a2a.methods import METHODS, METHODS_0_3
from gateway.protocols.base import End, Incoming, Listing, Pass

ROUTE = Route("a2a", "analyst", "/a2a/analyst", "https://gw.test/a2a/analyst", "https://analyst.test/")
TASK = {"id": "t1", "contextId": "c1", "status": {"state": "TASK_STATE_WORKING"}}
MESSAGE = {"messageId": "m1", "role": "ROLE_AGENT", "parts": [{"text": "hi"}], "taskId": "t2", "contextId": "c2"}
EVENTS = [
    {"task": TASK},
    {"message": MESSAGE},
    {"statusUpdate": {"taskId": "t1", "contextId": "c1", "status": {"state": "TASK_STATE_COMPLETED"}}},
    {"artifactUpdate": {"taskId": "t1", "contextId": "c1", "artifact": {"artifactId": "a1", "parts": [{"text": "x"}]}}},
]

OLD_TASK = {"kind": "task", "id": "t1", "contextId": "c1", "status": {"state": "working"}}
OLD_MESSAGE = {"kind": "message", "messageId": "m", "role": "agent", "parts": [], "taskId": "t2", "contextId": "c2"}
OLD_EVENTS = [
    OLD_TASK,
    OLD_MESSAGE,
    {"kind": "status-update", "taskId": "t1", "contextId": "c1", "status": {"state": "completed"}, "final": True},
    {"kind": "artifact-update", "taskId": "t1", "contextId": "c1", "artifact": {"artifactId": "a", "parts": []}},
]
BOTH = {**METHODS, **METHODS_0_3}
ACTIONS = {"GetAgentCard": "discover", **{name: method.action for name, method in BOTH.items()}}


def call(method: str, target: str = "") -> Call:
    version = "0.3" if method in METHODS_0_3 else "1.0"
    return Call(
        protocol="a2a", version=version, method=method, action=ACTIONS[method], resource=Uid("Agent", "analyst"),
        message={}, request_id="r1", target=target,
        streaming=method in BOTH and BOTH[method].streaming,
    )  # fmt: skip


def response(result: object) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": "r1", "result": result}


@pytest.mark.parametrize("result", EVENTS[:2])
def test_send_answers_with_a_task_or_a_message(result: dict[str, object]) -> None:
    assert classify(call("SendMessage"), response(result)) == End(response(result), ok=True)


@pytest.mark.parametrize("result", EVENTS)
def test_a_stream_passes_its_events(result: dict[str, object]) -> None:
    classified = classify(call("SendStreamingMessage"), response(result))
    assert classified == Pass(response(result))
    assert MessageToDict(ParseDict(result, StreamResponse())) == result


def test_get_task_answers_with_the_task() -> None:
    assert classify(call("GetTask", "t1"), response(TASK)) == End(response(TASK), ok=True)
    ParseDict(TASK, Task())
    with pytest.raises(UpstreamError, match="another task"):
        classify(call("GetTask", "t9"), response(TASK))


def test_cancelling_answers_with_the_task() -> None:
    assert classify(call("CancelTask", "t1"), response(TASK)) == End(response(TASK), ok=True)
    with pytest.raises(UpstreamError, match="another task"):
        classify(call("CancelTask", "t9"), response(TASK))


@pytest.mark.parametrize("result", [EVENTS[0], EVENTS[2], EVENTS[3]])
def test_a_subscription_passes_events_of_its_task_only(result: dict[str, object]) -> None:
    assert classify(call("SubscribeToTask", "t1"), response(result)) == Pass(response(result))
    with pytest.raises(UpstreamError, match="another task"):
        classify(call("SubscribeToTask", "t9"), response(result))


def test_a_list_is_cut_to_the_tasks_that_are_kept() -> None:
    other = {**TASK, "id": "t2"}
    page = {"tasks": [TASK, other], "nextPageToken": "n", "pageSize": 50, "totalSize": 17}
    listing = classify(call("ListTasks"), response(page))
    assert isinstance(listing, Listing)
    assert listing.items == ("t1", "t2")
    cut, hidden = filter_listing(listing.value, {"t1"})
    assert (cut, hidden) == (response({**page, "tasks": [TASK], "totalSize": 1}), ("t2",))


CONFIG = {"taskId": "t1", "id": "c", "url": "https://gw.test/a2a/x/webhooks/y"}


@pytest.mark.parametrize(
    ("method", "result", "read"),
    [
        ("CreateTaskPushNotificationConfig", CONFIG, CONFIG),
        ("GetTaskPushNotificationConfig", CONFIG, CONFIG),
        ("ListTaskPushNotificationConfigs", {"configs": [CONFIG]}, {"configs": [CONFIG]}),
        ("ListTaskPushNotificationConfigs", {}, {"configs": []}),
        ("DeleteTaskPushNotificationConfig", None, {}),
        ("DeleteTaskPushNotificationConfig", {"x": 1}, {}),
    ],
)
def test_configurations_of_the_task_asked_for(method: str, result: object, read: object) -> None:
    assert classify(call(method, "t1"), response(result)) == End(response(read), ok=True)


def test_an_empty_page_is_a_list() -> None:
    assert classify(call("ListTasks"), response({})) == Listing(response({"tasks": []}), ())


def test_an_extended_card_is_taken_as_it_is() -> None:
    assert classify(call("GetExtendedAgentCard"), response({"name": "x"})) == End(response({"name": "x"}), ok=True)


@pytest.mark.parametrize("method", ["SendMessage", "SendStreamingMessage", "GetTask"])
def test_an_error_ends_the_answer(method: str) -> None:
    error = {"code": -32001, "message": "no such task"}
    for answered in ("r1", None):
        end = classify(call(method), {"jsonrpc": "2.0", "id": answered, "error": error})
        assert end == End({"jsonrpc": "2.0", "id": "r1", "error": error}, ok=False, detail="error -32001")


@pytest.mark.parametrize(
    ("method", "result"),
    [
        ("SendMessage", EVENTS[2]),
        ("SendMessage", {}),
        ("SendMessage", None),
        ("SendMessage", {"task": TASK, "message": MESSAGE}),
        ("SendMessage", {"task": "t1"}),
        ("SendMessage", {"task": {"id": "t1"}}),
        ("SendStreamingMessage", {"task": {"id": 1, "status": {}}}),
        ("SendStreamingMessage", {"other": {}}),
        ("SendStreamingMessage", {"statusUpdate": {"taskId": "t1", "task_id": "t2"}}),
        ("GetTask", {"task": TASK}),
        ("GetTask", [TASK]),
        ("ListTasks", {"tasks": {}}),
        ("ListTasks", {"tasks": ["t1"]}),
        ("ListTasks", {"tasks": [{"id": "t1"}]}),
        ("CancelTask", {}),
        ("CreateTaskPushNotificationConfig", {"taskId": "t9", "url": "u"}),
        ("GetTaskPushNotificationConfig", {"taskId": "t1"}),
        ("ListTaskPushNotificationConfigs", {"configs": {}}),
        ("ListTaskPushNotificationConfigs", {"configs": [{"taskId": "t9", "url": "u"}]}),
        ("SubscribeToTask", {"tasks": []}),
        ("message/send", OLD_EVENTS[2]),
        ("message/send", {"task": TASK}),
        ("message/send", {**OLD_TASK, "kind": "event"}),
        ("message/send", {**OLD_TASK, "kind": ["task"]}),
        ("message/stream", {**OLD_TASK, "status": "working"}),
        ("message/stream", {**OLD_EVENTS[2], "task_id": "t2"}),
        ("tasks/get", OLD_MESSAGE),
    ],
)
def test_unclassified_is_an_error(method: str, result: object) -> None:
    with pytest.raises(UpstreamError) as caught:
        classify(call(method), response(result))
    assert caught.value.reason is Reason.UPSTREAM_MALFORMED


@pytest.mark.parametrize("result", OLD_EVENTS)
def test_events_of_0_3_name_their_kind(result: dict[str, object]) -> None:
    assert classify(call("message/stream"), response(result)) == Pass(response(result))
    expected = Ids(("t2",), ("c2",)) if result is OLD_MESSAGE else Ids(("t1",), ("c1",))
    assert task_ids(response(result)) == expected


@pytest.mark.parametrize("method", ["tasks/get", "tasks/cancel"])
def test_tasks_of_0_3_are_the_ones_asked_for(method: str) -> None:
    kindless = {name: value for name, value in OLD_TASK.items() if name != "kind"}
    for task in (OLD_TASK, kindless):
        assert classify(call(method, "t1"), response(task)) == End(response(task), ok=True)
    with pytest.raises(UpstreamError, match="another task"):
        classify(call(method, "t9"), response(OLD_TASK))


@pytest.mark.parametrize("result", [OLD_EVENTS[0], OLD_EVENTS[2], OLD_EVENTS[3]])
def test_a_subscription_of_0_3_passes_events_of_its_task_only(result: dict[str, object]) -> None:
    assert classify(call("tasks/resubscribe", "t1"), response(result)) == Pass(response(result))
    with pytest.raises(UpstreamError, match="another task"):
        classify(call("tasks/resubscribe", "t9"), response(result))


def test_another_requests_answer_is_an_error() -> None:
    with pytest.raises(UpstreamError):
        classify(call("SendMessage"), {**response(EVENTS[0]), "id": "r2"})


def test_proto_names_in_answers_become_json_names() -> None:
    spelled = {"status_update": {"task_id": "t1", "context_id": "c1", "status": {"state": "TASK_STATE_WORKING"}}}
    classified = classify(call("SendStreamingMessage"), response(spelled))
    assert task_ids(classified.value) == Ids(("t1",), ("c1",))


@pytest.mark.parametrize(
    ("result", "ids"),
    [
        (TASK, Ids(("t1",), ("c1",))),
        (EVENTS[0], Ids(("t1",), ("c1",))),
        (EVENTS[1], Ids(("t2",), ("c2",))),
        (EVENTS[2], Ids(("t1",), ("c1",))),
        (EVENTS[3], Ids(("t1",), ("c1",))),
        ({"message": {"messageId": "m"}}, Ids()),
        ({"task": {"id": 1, "contextId": None}}, Ids()),
        (None, Ids()),
    ],
)
def test_the_ids_that_an_answer_gives(result: object, ids: Ids) -> None:
    assert task_ids(response(result)) == ids


def test_the_ids_that_a_caller_names(a2a) -> None:
    message = {**MESSAGE, "referenceTaskIds": ["t3", "t2"]}
    named = named_ids(parse(a2a("SendMessage", {"message": message}), ROUTE, Limits()))
    assert named == Ids(("t2", "t3"), ("c2",))
    assert named_ids(parse(a2a("GetTask", {"id": "t1"}), ROUTE, Limits())) == Ids(("t1",))
    assert named_ids(parse(a2a("GetTask", {"id": "t1", "message": "x"}), ROUTE, Limits())) == Ids(("t1",))
    assert named_ids(parse(a2a("ListTasks", {"contextId": "c1"}), ROUTE, Limits())) == Ids((), ("c1",))
    assert named_ids(parse(Incoming("GET", "/.well-known/agent-card.json", {}, {}, b""), ROUTE, Limits())) == Ids()


def test_requests_are_built_from_the_call(a2a) -> None:
    sent = a2a("SendMessage", {"message": MESSAGE}, headers={"a2a-extensions": "https://x", "cookie": "x"})
    out = encode(parse(sent, ROUTE, Limits()), trace={"traceparent": "00-x"})
    assert (out.http_method, out.rest) == ("POST", "")
    assert dict(out.headers) == {
        "Content-Type": "application/json", "Accept": "application/json", "A2A-Version": "1.0", "traceparent": "00-x",
    }  # fmt: skip
    streamed = encode(parse(a2a("SendStreamingMessage", {"message": MESSAGE}), ROUTE, Limits()), trace={})
    assert dict(streamed.headers)["Accept"] == "text/event-stream, application/json"
    card = encode(parse(Incoming("GET", "/.well-known/agent-card.json", {}, {}, b"x"), ROUTE, Limits()), trace={})
    assert (card.http_method, card.rest, card.body) == ("GET", "/.well-known/agent-card.json", b"")


SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=3)
NAMES = st.sampled_from(
    ["task", "message", "statusUpdate", "status_update", "id", "taskId", "task_id", "status", "parts", "x"]
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner), max_leaves=8)


@given(result=VALUES, method=st.sampled_from(sorted({*METHODS, *METHODS_0_3})))
def test_any_value_is_classified_or_an_upstream_error(result: object, method: str) -> None:
    try:
        classified = classify(call(method), response(result))
    except UpstreamError:
        return
    assert isinstance(classified, Pass | Listing | End)
    assert isinstance(task_ids(classified.value), Ids)
