import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from gateway.core.errors import ProtocolError
from gateway.core.limits import Limits
from gateway.core.model import Route, Uid
from gateway.core.reasons import Reason
from gateway.protocols.base import HttpError, Incoming
from gateway.protocols.jsonrpc import dump_json
from gateway.protocols.mcp import CARRIED, parse
from gateway.protocols.mcp.methods import METHODS

VERSION = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
SERVED = ["2026-07-28", "2025-11-25", "2025-06-18"]
ROUTE = Route("mcp", "ledger", "/mcp/ledger", "https://gw.test/mcp/ledger", "https://ledger.test/")
LIMITS = Limits()


def refused(incoming: Incoming) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        parse(incoming, ROUTE, LIMITS)
    return caught.value


def test_a_modern_tool_call(modern) -> None:
    trace = {
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "tracestate": "a=b",
        "baggage": "x=y",
    }
    meta = {VERSION: "2026-07-28", CAPABILITIES: {}, **trace}
    sent = modern("tools/call", {"name": "pay", "arguments": {"amount": 3}, "_meta": meta}, id="x7")
    call = parse(sent, ROUTE, LIMITS)
    assert (call.protocol, call.version, call.method, call.action) == ("mcp", "2026-07-28", "tools/call", "invokeTool")
    assert call.resource == Uid("Tool", "ledger/pay")
    assert (call.request_id, call.target, call.arguments, call.session) == ("x7", "pay", {"amount": 3}, None)
    assert call.trace == {"traceparent": trace["traceparent"], "tracestate": "a=b"}
    assert call.message["params"]["_meta"] == meta


def test_a_legacy_session(legacy) -> None:
    initialize = parse(
        legacy("initialize", {"protocolVersion": "2025-11-25"}, headers={"mcp-session-id": None}), ROUTE, LIMITS
    )
    assert (initialize.version, initialize.action, initialize.session) == ("2025-11-25", "discover", None)
    assert initialize.resource == Uid("McpServer", "ledger")
    listed = parse(legacy("tools/list"), ROUTE, LIMITS)
    assert (listed.version, listed.action, listed.session) == ("2025-11-25", "listTools", "sealed")
    told = parse(legacy("notifications/initialized", id=None), ROUTE, LIMITS)
    assert (told.request_id, told.action) == (None, "discover")
    cancelled = parse(legacy("notifications/cancelled", {"requestId": 1}, id=None), ROUTE, LIMITS)
    assert cancelled.action == "notify"


def test_an_initialize_begins_anew_whatever_session_it_names(legacy) -> None:
    assert parse(legacy("initialize", {"protocolVersion": "2025-06-18"}), ROUTE, LIMITS).session is None


def test_a_modern_request_has_no_session(modern) -> None:
    assert parse(modern("tools/list", headers={"mcp-session-id": "sealed"}), ROUTE, LIMITS).session is None


def test_a_server_without_sessions_is_still_legacy(legacy) -> None:
    call = parse(legacy("tools/list", headers={"mcp-session-id": None}), ROUTE, LIMITS)
    assert (call.version, call.session) == ("2025-11-25", None)


def test_an_unversioned_request_within_a_session_is_the_oldest_served(legacy) -> None:
    assert parse(legacy("tools/list", headers={"mcp-protocol-version": None}), ROUTE, LIMITS).version == "2025-06-18"


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "HEAD", "OPTIONS"])
def test_only_post(modern, method: str) -> None:
    sent = modern("tools/list")
    error = refused(Incoming(method, "", sent.headers, {}, b""))
    assert isinstance(error, HttpError)
    assert (error.reason, error.status, error.allow) == (Reason.HTTP_METHOD, 405, "POST")


def test_one_endpoint(modern) -> None:
    sent = modern("tools/list")
    assert refused(Incoming("POST", "/sse", sent.headers, {}, sent.body)).reason is Reason.ROUTE_UNKNOWN


@pytest.mark.parametrize("accept", [None, "application/json", "text/event-stream"])
def test_accept_names_both_answers(modern, accept: str | None) -> None:
    error = refused(modern("tools/list", headers={"accept": accept} if accept else {"accept": ""}))
    assert isinstance(error, HttpError)
    assert error.status == 406


@pytest.mark.parametrize("meta", [None, "x", {}, {VERSION: 1, CAPABILITIES: {}}, {VERSION: "2026-07-28"}])
def test_required_meta(modern, meta: object) -> None:
    error = refused(modern("tools/list", {"_meta": meta}))
    assert (error.reason, error.code, error.request_id) == (Reason.MESSAGE_INVALID, -32602, 1)


@pytest.mark.parametrize("version", ["2025-11-25", "2027-01-01", ""])
def test_a_modern_version_that_is_not_served(modern, version: str) -> None:
    meta = {VERSION: version, CAPABILITIES: {}}
    error = refused(modern("tools/list", {"_meta": meta}, headers={"mcp-protocol-version": version}))
    assert (error.reason, error.code) == (Reason.VERSION_UNSUPPORTED, -32022)
    assert error.data == {"supported": ["2026-07-28"], "requested": version}


@pytest.mark.parametrize("version", ["2024-11-05", "2025-03-26", "2026-07-28", "1"])
def test_an_initialize_for_another_version(legacy, version: str) -> None:
    error = refused(legacy("initialize", {"protocolVersion": version}))
    assert (error.reason, error.code) == (Reason.VERSION_UNSUPPORTED, -32602)
    assert error.data == {"supported": SERVED, "requested": version}


@pytest.mark.parametrize("version", ["2024-11-05", "2025-03-26", "x"])
def test_a_legacy_header_that_is_not_served(legacy, version: str) -> None:
    error = refused(legacy("tools/list", headers={"mcp-protocol-version": version}))
    assert (error.reason, error.code) == (Reason.VERSION_UNSUPPORTED, -32022)


@pytest.mark.parametrize("header", ["mcp-protocol-version", "mcp-method", "mcp-name"])
@pytest.mark.parametrize("value", [None, "other", "", "=?base64?eA?="])
def test_headers_agree_with_the_body(modern, header: str, value: str | None) -> None:
    error = refused(modern("tools/call", {"name": "pay"}, headers={header: value}))
    assert (error.reason, error.code, error.request_id) == (Reason.HEADER_MISMATCH, -32020, 1)
    assert "other" not in error.detail


def test_the_name_is_compared_decoded_and_with_case(modern) -> None:
    parse(modern("tools/call", {"name": "pay"}, headers={"mcp-name": "=?base64?cGF5?="}), ROUTE, LIMITS)
    assert refused(modern("tools/call", {"name": "pay"}, headers={"mcp-name": "Pay"})).code == -32020


def test_a_message_that_contradicts_itself_is_told_so_before_its_version_is_judged(modern) -> None:
    meta = {VERSION: "2027-01-01", CAPABILITIES: {}}
    assert refused(modern("tools/list", {"_meta": meta})).code == -32020
    assert refused(modern("tools/list", {"_meta": meta}, headers={"mcp-protocol-version": None})).code == -32020
    assert refused(modern("tools/list", {"_meta": meta}, headers={"mcp-protocol-version": "2027-01-01"})).code == -32022


def test_version_comes_before_other_headers_and_headers_before_the_method(modern) -> None:
    meta = {VERSION: "2027-01-01", CAPABILITIES: {}}
    headers = {"mcp-method": "x", "mcp-protocol-version": "2027-01-01"}
    assert refused(modern("nonsense", {"_meta": meta}, headers=headers)).code == -32022
    assert refused(modern("nonsense", headers={"mcp-method": "x"})).code == -32020
    assert refused(modern("nonsense")).code == -32601


@pytest.mark.parametrize("method", ["nonsense", "initialize", "ping", "logging/setLevel", "TOOLS/CALL", "tools/call "])
def test_methods_of_no_or_another_era_are_unknown(modern, method: str) -> None:
    error = refused(modern(method))
    assert (error.reason, error.code) == (Reason.METHOD_UNKNOWN, -32601)


@pytest.mark.parametrize("method", ["server/discover", "subscriptions/listen", "nonsense"])
def test_modern_methods_are_unknown_in_a_session(legacy, method: str) -> None:
    assert refused(legacy(method)).reason is Reason.METHOD_UNKNOWN


def test_a_message_that_shows_no_era_is_told_what_is_missing(legacy) -> None:
    error = refused(legacy("tools/list", headers={"mcp-session-id": None, "mcp-protocol-version": None}))
    assert (error.reason, error.code) == (Reason.MESSAGE_INVALID, -32602)


def test_a_notification_has_no_id_and_a_request_has_one(legacy) -> None:
    assert refused(legacy("notifications/initialized", id=1)).code == -32600
    assert refused(legacy("tools/list", id=None)).code == -32600


def test_a_modern_notification_may_have_no_meta(modern) -> None:
    sent = modern("notifications/cancelled", {"requestId": 4, "_meta": {}}, id=None)
    assert parse(sent, ROUTE, LIMITS).version == "2026-07-28"
    bare = modern(
        "notifications/cancelled", {"requestId": 4, "_meta": {}}, id=None, headers={"mcp-protocol-version": None}
    )
    assert refused(bare).code == -32020


@pytest.mark.parametrize("name", ["", "a/b", "a b", "päy", "pay\n", "\u0440ay", "a" * 129, 1, None, ["pay"]])
def test_tool_names_are_plain(modern, legacy, name: object) -> None:
    assert refused(legacy("tools/call", {"name": name})).code == -32602
    assert refused(modern("tools/call", {"name": name}, headers={"mcp-name": "x"})).reason in (
        Reason.HEADER_MISMATCH,
        Reason.MESSAGE_INVALID,
    )


def test_the_longest_tool_name(legacy) -> None:
    assert parse(legacy("tools/call", {"name": "a.B_-9" + "x" * 122}), ROUTE, LIMITS).target.startswith("a.B_-9")


@pytest.mark.parametrize("arguments", [None, [], "x", 1])
def test_arguments_are_an_object_or_absent(legacy, arguments: object) -> None:
    assert refused(legacy("tools/call", {"name": "pay", "arguments": arguments})).code == -32602


def test_absent_arguments(legacy) -> None:
    assert parse(legacy("tools/call", {"name": "pay"}), ROUTE, LIMITS).arguments is None


@pytest.mark.parametrize("member", ["Name", "ARGUMENTS", "meta", "_Meta"])
def test_a_member_that_a_lax_server_would_take_for_another(legacy, member: str) -> None:
    assert refused(legacy("tools/call", {"name": "pay", member: {}})).reason is Reason.MESSAGE_INVALID


@pytest.mark.parametrize("member", ["inputResponses", "requestState"])
def test_parts_that_a_session_does_not_have(legacy, member: str) -> None:
    assert refused(legacy("tools/call", {"name": "pay", member: {}})).reason is Reason.NOT_SUPPORTED_YET


def test_a_further_round(modern) -> None:
    call = parse(modern("tools/call", {"name": "pay", "inputResponses": {}, "requestState": "sealed"}), ROUTE, LIMITS)
    assert call.state == "sealed"
    for member, value in (("inputResponses", []), ("requestState", 1)):
        assert refused(modern("tools/call", {"name": "pay", member: value})).code == -32602
    assert refused(modern("tasks/update", {"taskId": "t"})).code == -32602


def test_a_session_may_ask_for_a_task_and_the_stateless_revision_ignores_that_it_is_asked(modern, legacy) -> None:
    for sent in (
        legacy("tools/call", {"name": "pay", "task": {"ttl": 1}}),
        modern("tools/call", {"name": "pay", "task": 1}),
    ):
        assert parse(sent, ROUTE, LIMITS).action == "invokeTool"
    assert refused(legacy("tools/call", {"name": "pay", "task": 1})).code == -32602


@pytest.mark.parametrize("task", [None, 1, "", "x" * 513, "a\nb"])
def test_a_task_has_an_id_that_can_be_kept(modern, legacy, task: object) -> None:
    assert refused(legacy("tasks/get", {"taskId": task})).reason is Reason.MESSAGE_INVALID
    wanted = {"notifications": {"taskIds": [task]}}
    assert refused(modern("subscriptions/listen", wanted)).reason is Reason.MESSAGE_INVALID


@pytest.mark.parametrize("method", ["tasks/get", "tasks/result", "tasks/cancel", "tasks/list"])
def test_tasks_came_with_2025_11_25(legacy, method: str) -> None:
    sent = legacy(method, {"taskId": "t"})
    older = structs.replace(sent, headers={**sent.headers, "mcp-protocol-version": "2025-06-18"})
    assert parse(sent, ROUTE, LIMITS).method == method
    assert refused(older).reason is Reason.METHOD_UNKNOWN


SERVER = Uid("McpServer", "ledger")


def test_a_log_level_is_an_action_of_its_own(modern) -> None:
    meta = {VERSION: "2026-07-28", CAPABILITIES: {}, "io.modelcontextprotocol/logLevel": "debug"}
    assert parse(modern("tools/list", {"_meta": meta}), ROUTE, LIMITS).also == (("setLogLevel", SERVER),)
    wrong = {**meta, "io.modelcontextprotocol/logLevel": "loud"}
    assert refused(modern("tools/list", {"_meta": wrong})).code == -32602


def test_a_subscription_takes_each_list_and_each_resource(modern, legacy) -> None:
    wanted = {
        "toolsListChanged": True, "promptsListChanged": False, "resourceSubscriptions": ["file:///x"], "taskIds": ["t"],
    }  # fmt: skip
    call = parse(modern("subscriptions/listen", {"notifications": wanted}), ROUTE, LIMITS)
    reading = ("readResource", Uid("McpResource", "ledger/file:///x"))
    assert (call.action, call.also) == (
        "subscribe",
        (("listTools", SERVER), ("getTask", Uid("McpTask", "ledger/t")), reading),
    )
    subscribed = parse(legacy("resources/subscribe", {"uri": "file:///x"}), ROUTE, LIMITS)
    assert (subscribed.resource, subscribed.target, subscribed.also) == (SERVER, "file:///x", (reading,))


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (None, Reason.MESSAGE_INVALID),
        ({"resourceSubscriptions": "file:///x"}, Reason.MESSAGE_INVALID),
        ({"resourceSubscriptions": [1]}, Reason.MESSAGE_INVALID),
        ({"resourceSubscriptions": ["file:///a/../b"]}, Reason.MESSAGE_INVALID),
        ({"resourceSubscriptions": ["file:///x"] * 65}, Reason.MESSAGE_INVALID),
        ({"toolsListChanged": "yes"}, Reason.MESSAGE_INVALID),
        ({"taskIds": "t"}, Reason.MESSAGE_INVALID),
        ({"taskIds": ["t"] * 65}, Reason.MESSAGE_INVALID),
        ({"moods": True}, Reason.NOT_SUPPORTED_YET),
    ],
)
def test_subscriptions_that_nobody_could_decide_on(modern, wanted: object, reason: Reason) -> None:
    assert refused(modern("subscriptions/listen", {"notifications": wanted})).reason is reason


KNOWN_PARAMS = {
    "resources/read": {"uri": "file:///x"},
    "prompts/get": {"name": "greet"},
    "tasks/get": {"taskId": "t1"},
    "tasks/result": {"taskId": "t1"},
    "tasks/update": {"taskId": "t1", "inputResponses": {}},
    "tasks/cancel": {"taskId": "t1"},
    "tools/call": {"name": "pay"},
    "completion/complete": {"ref": {"type": "ref/prompt", "name": "greet"}},
    "initialize": {"protocolVersion": "2025-11-25"},
    "notifications/cancelled": {"requestId": 1},
    "resources/subscribe": {"uri": "file:///x"},
    "resources/unsubscribe": {"uri": "file:///x"},
    "subscriptions/listen": {"notifications": {}},
    "logging/setLevel": {"level": "debug"},
}
RESOURCES = {
    "resources/read": Uid("McpResource", "ledger/file:///x"),
    "prompts/get": Uid("Prompt", "ledger/greet"),
    "completion/complete": Uid("Prompt", "ledger/greet"),
    "tasks/get": Uid("McpTask", "ledger/t1"),
}


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_known_method_is_a_call_that_can_be_recorded(modern, legacy, method: str) -> None:
    known = METHODS[method]
    for era, send in (("modern", modern), ("legacy", legacy)):
        if era in known.eras:
            sent = send(method, KNOWN_PARAMS.get(method), id=None if known.notification else 1)
            call = parse(sent, ROUTE, LIMITS)
            assert (call.method, call.action) == (method, known.action)
            assert call.resource == RESOURCES.get(method, call.resource)


def test_what_is_carried_is_known() -> None:
    assert METHODS.keys() >= CARRIED


@pytest.mark.parametrize(
    "params", [{}, {"ref": 1}, {"ref": {"type": "ref/tool", "name": "x"}}, {"ref": {"type": "ref/prompt"}}]
)
def test_a_completion_names_what_it_completes(legacy, params: dict[str, object]) -> None:
    assert refused(legacy("completion/complete", params)).code == -32602


HEADERS = st.dictionaries(
    st.sampled_from(["mcp-protocol-version", "mcp-method", "mcp-name", "mcp-session-id", "mcp-param-x"]),
    st.sampled_from([*SERVED, "tools/call", "tools/list", "pay", "=?base64?cGF5?=", "=?base64?!?=", "", "x"]),
)
METAS = st.dictionaries(
    st.sampled_from([VERSION, CAPABILITIES, "traceparent"]), st.sampled_from(["2026-07-28", {}, 1, None]), max_size=3
)
PARAMS = st.fixed_dictionaries(
    {},
    optional={
        "_meta": METAS | st.none(),
        "name": st.sampled_from(["pay", "päy", 1]),
        "arguments": st.dictionaries(st.text(max_size=3), st.integers(), max_size=2) | st.none(),
        "protocolVersion": st.sampled_from([*SERVED, "1", 1]),
        "requestId": st.none() | st.integers(),
        "ref": st.none() | st.just({"type": "ref/prompt", "name": "x"}),
    },
)
MESSAGES = st.fixed_dictionaries(
    {"jsonrpc": st.just("2.0"), "method": st.sampled_from(sorted(METHODS)) | st.text(max_size=5)},
    optional={"id": st.integers() | st.text(max_size=3) | st.none(), "params": PARAMS},
)


@given(MESSAGES | st.binary(max_size=60), HEADERS)
def test_anything_is_a_call_or_a_protocol_error(message: object, headers: dict[str, str]) -> None:
    body = message if isinstance(message, bytes) else dump_json(message)
    media = {"content-type": "application/json", "accept": "*/*"}
    try:
        call = parse(Incoming("POST", "", {**media, **headers}, {}, body), ROUTE, LIMITS)
    except ProtocolError as error:
        assert error.code < 0
    else:
        assert call.message == message
        assert call.action == METHODS[call.method].action
