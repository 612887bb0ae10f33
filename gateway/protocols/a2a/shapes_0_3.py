"""The shapes of A2A 0.3 messages. Its events say their ``kind`` themselves, where 1.0 wraps them."""

from collections.abc import Mapping

from gateway.protocols.a2a.shapes import Shape
from gateway.protocols.members import members

FILE = Shape(members("bytes", "uri", "mimeType", "name"))
PART = Shape(members("kind", "text", "file", "data", "metadata"), {"file": FILE})
MESSAGE = Shape(
    members("kind", "messageId", "contextId", "taskId", "role", "parts", "metadata", "extensions", "referenceTaskIds"),
    {"parts": PART},
)
AUTHENTICATION = Shape(members("schemes", "credentials"))
PUSH_CONFIG = Shape(members("id", "url", "token", "authentication"), {"authentication": AUTHENTICATION})
CONFIGURATION = Shape(
    members("acceptedOutputModes", "blocking", "historyLength", "pushNotificationConfig", "taskPushNotificationConfig"),
    {"pushNotificationConfig": PUSH_CONFIG},
)
SEND = Shape(members("message", "configuration", "metadata"), {"message": MESSAGE, "configuration": CONFIGURATION})
SET_PUSH_CONFIG = Shape(members("taskId", "pushNotificationConfig"), {"pushNotificationConfig": PUSH_CONFIG})
QUERY = Shape(members("id", "historyLength", "pushNotificationConfigId", "metadata"))
"""The parameters of every method about tasks that takes no message."""

STATUS = Shape(members("state", "message", "timestamp"), {"message": MESSAGE})
ARTIFACT = Shape(members("artifactId", "name", "description", "parts", "metadata", "extensions"), {"parts": PART})
TASK = Shape(
    members("kind", "id", "contextId", "status", "artifacts", "history", "metadata"),
    {"status": STATUS, "artifacts": ARTIFACT, "history": MESSAGE},
)
STATUS_UPDATE = Shape(members("kind", "taskId", "contextId", "status", "final", "metadata"), {"status": STATUS})
ARTIFACT_UPDATE = Shape(
    members("kind", "taskId", "contextId", "artifact", "append", "lastChunk", "metadata"), {"artifact": ARTIFACT}
)

PARAMS: Mapping[str, Shape] = {
    "message/send": SEND,
    "message/stream": SEND,
    "tasks/pushNotificationConfig/set": SET_PUSH_CONFIG,
}
"""Parameters by method; the others take ``QUERY``."""

KINDS: Mapping[str, Shape] = {
    "task": TASK,
    "message": MESSAGE,
    "status-update": STATUS_UPDATE,
    "artifact-update": ARTIFACT_UPDATE,
}
STREAMED = tuple(KINDS)
RESULTS: Mapping[str, tuple[str, ...]] = {
    "message/send": ("task", "message"),
    "message/stream": STREAMED,
    "tasks/get": ("task",),
    "tasks/cancel": ("task",),
    "tasks/resubscribe": STREAMED,
}
"""Kinds of result by method; the extended card is ``card.rewrite_card``'s to read."""
