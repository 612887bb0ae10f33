"""The JSON-RPC methods of A2A 1.0 and what each means to policy; the protocol's error codes."""

from collections.abc import Mapping

from msgspec import Struct

SERVED = ("1.0",)

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

EXTENDED_CARD_METHOD = "GetExtendedAgentCard"
LIST_METHOD = "ListTasks"

CARRIED = frozenset(
    {
        "SendMessage", "SendStreamingMessage", "GetTask", LIST_METHOD, "CancelTask", "SubscribeToTask",
        EXTENDED_CARD_METHOD, CARD_METHOD,
    }
)  # fmt: skip
"""What is forwarded. Any other known method is parsed, so that it is recorded, and then refused."""
