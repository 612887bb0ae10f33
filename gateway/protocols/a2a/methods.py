"""The JSON-RPC methods of A2A 1.0 and 0.3 and what each means to policy; the protocol's error codes."""

from collections.abc import Mapping

from msgspec import Struct

CURRENT = "1.0"
UNVERSIONED = "0.3"
"""What an absent or empty version means (A2A 1.0 §3.6)."""
SERVED = (CURRENT, UNVERSIONED)

CARD_PATH = "/.well-known/agent-card.json"
CARD_METHOD = "GetAgentCard"
"""The name that records give the card's GET; A2A has no such method."""

TASK_NOT_FOUND = -32001
UNSUPPORTED_OPERATION = -32004
INVALID_AGENT_RESPONSE = -32006
VERSION_NOT_SUPPORTED = -32009


class Method(Struct, frozen=True):
    """One method: its Cedar action, the parameter that names its task, and whether its answer is a stream."""

    action: str
    task: str = ""
    streaming: bool = False


METHODS: Mapping[str, Method] = {
    "SendMessage": Method("delegate"),
    "SendStreamingMessage": Method("delegate", streaming=True),
    "GetTask": Method("getTask", "id"),
    "ListTasks": Method("listTasks"),
    "CancelTask": Method("cancelTask", "id"),
    "SubscribeToTask": Method("subscribeTask", "id", streaming=True),
    "CreateTaskPushNotificationConfig": Method("createPushConfig", "taskId"),
    "GetTaskPushNotificationConfig": Method("getPushConfig", "taskId"),
    "ListTaskPushNotificationConfigs": Method("listPushConfigs", "taskId"),
    "DeleteTaskPushNotificationConfig": Method("deletePushConfig", "taskId"),
    "GetExtendedAgentCard": Method("getExtendedCard"),
}

METHODS_0_3: Mapping[str, Method] = {
    "message/send": Method("delegate"),
    "message/stream": Method("delegate", streaming=True),
    "tasks/get": Method("getTask", "id"),
    "tasks/cancel": Method("cancelTask", "id"),
    "tasks/resubscribe": Method("subscribeTask", "id", streaming=True),
    "tasks/pushNotificationConfig/set": Method("createPushConfig", "taskId"),
    "tasks/pushNotificationConfig/get": Method("getPushConfig", "id"),
    "tasks/pushNotificationConfig/list": Method("listPushConfigs", "id"),
    "tasks/pushNotificationConfig/delete": Method("deletePushConfig", "id"),
    "agent/getAuthenticatedExtendedCard": Method("getExtendedCard"),
}

BY_VERSION: Mapping[str, Mapping[str, Method]] = {CURRENT: METHODS, UNVERSIONED: METHODS_0_3}
