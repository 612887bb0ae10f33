"""The shapes of A2A 1.0 messages, as far as member names go, and their one spelling: camelCase.

Protobuf's JSON readers take ``task_id`` beside ``taskId`` and use one of both. Free-form members (``metadata``,
``data``, extension parameters) are left alone. Doesn't validate values.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from gateway.protocols.members import Members, members


class Shape(Struct, frozen=True):
    """A message type: its members, and the shapes of those that are messages, or lists of messages, themselves."""

    members: Members
    inner: Mapping[str, "Shape"] = {}


def normal(value: Any, shape: Shape) -> Any:
    """``value`` with every known member in camelCase.

    Raises:
        AmbiguousMemberError: a member is there in two spellings, or in one that no reader should take.
    """
    if isinstance(value, list):
        return [normal(item, shape) for item in value]
    if not isinstance(value, dict):
        return value
    named = shape.members.camel(value)
    return {name: normal(item, shape.inner[name]) if name in shape.inner else item for name, item in named.items()}


PART = Shape(members("text", "raw", "url", "data", "metadata", "filename", "mediaType"))
MESSAGE = Shape(
    members("messageId", "contextId", "taskId", "role", "parts", "metadata", "extensions", "referenceTaskIds"),
    {"parts": PART},
)
AUTHENTICATION = Shape(members("scheme", "credentials"))
PUSH_CONFIG = Shape(
    members("tenant", "id", "taskId", "url", "token", "authentication"), {"authentication": AUTHENTICATION}
)
CONFIGURATION = Shape(
    members(
        "acceptedOutputModes",
        "taskPushNotificationConfig",
        "pushNotificationConfig",
        "historyLength",
        "returnImmediately",
    ),
    {"taskPushNotificationConfig": PUSH_CONFIG},
)
SEND = Shape(
    members("tenant", "message", "configuration", "metadata"), {"message": MESSAGE, "configuration": CONFIGURATION}
)
QUERY = Shape(
    members(
        "tenant", "id", "taskId", "contextId", "status", "pageSize", "pageToken", "historyLength",
        "statusTimestampAfter", "includeArtifacts", "metadata",
    )
)  # fmt: skip
"""The parameters of every method about tasks that takes no message."""

STATUS = Shape(members("state", "message", "timestamp"), {"message": MESSAGE})
ARTIFACT = Shape(members("artifactId", "name", "description", "parts", "metadata", "extensions"), {"parts": PART})
TASK = Shape(
    members("id", "contextId", "status", "artifacts", "history", "metadata"),
    {"status": STATUS, "artifacts": ARTIFACT, "history": MESSAGE},
)
STATUS_UPDATE = Shape(members("taskId", "contextId", "status", "metadata"), {"status": STATUS})
ARTIFACT_UPDATE = Shape(
    members("taskId", "contextId", "artifact", "append", "lastChunk", "metadata"), {"artifact": ARTIFACT}
)
SENT = Shape(members("task", "message"), {"task": TASK, "message": MESSAGE})
STREAMED = Shape(
    members("task", "message", "statusUpdate", "artifactUpdate"),
    {"task": TASK, "message": MESSAGE, "statusUpdate": STATUS_UPDATE, "artifactUpdate": ARTIFACT_UPDATE},
)

PARAMS: Mapping[str, Shape] = {
    "SendMessage": SEND,
    "SendStreamingMessage": SEND,
    "CreateTaskPushNotificationConfig": PUSH_CONFIG,
}
"""Parameters by method; the others take ``QUERY``."""

LISTED = Shape(members("tasks", "nextPageToken", "pageSize", "totalSize"), {"tasks": TASK})

PUSH_CONFIGS = Shape(members("configs", "nextPageToken"), {"configs": PUSH_CONFIG})

RESULTS: Mapping[str, Shape] = {
    "SendMessage": SENT,
    "SendStreamingMessage": STREAMED,
    "GetTask": TASK,
    "ListTasks": LISTED,
    "CancelTask": TASK,
    "SubscribeToTask": STREAMED,
    "CreateTaskPushNotificationConfig": PUSH_CONFIG,
    "GetTaskPushNotificationConfig": PUSH_CONFIG,
    "ListTaskPushNotificationConfigs": PUSH_CONFIGS,
}
"""Results by method; the extended card is ``card.rewrite_card``'s to read."""
