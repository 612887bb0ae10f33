"""What an MCP call is about: a tool, a resource, a prompt, a task, or the server itself.

Decides which names are served at all. Policies compare URIs as text, so one that a server could take for another
(``file:///public/../secret``) is refused. Doesn't decide who may name what.
"""

import string
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from gateway.core.errors import ProtocolError
from gateway.core.limits import Limits
from gateway.core.model import Uid
from gateway.core.reasons import Reason
from gateway.protocols.base import INVALID_PARAMS, METHOD_NOT_FOUND
from gateway.protocols.mcp.methods import LOG_LEVELS, META_LOG_LEVEL, TOOL_NAME, Method, resource_of
from gateway.protocols.mcp.tasks import MOST_ID_CHARS, is_task_id
from gateway.protocols.members import AmbiguousMemberError, members

SCHEME = frozenset(string.ascii_lowercase + string.digits + "+-.")
URI_CHARS = 2048
NAME_CHARS = 256
MOST_DECODINGS = 4
MOST_URIS = 64
SUBSCRIBING = ("resources/subscribe", "resources/unsubscribe")
KINDS = {
    "toolsListChanged": "listTools",
    "promptsListChanged": "listPrompts",
    "resourcesListChanged": "listResources",
}
SEPARATORS = str.maketrans("\\?#", "///")
REF = members("type", "name", "uri", "title")
REFERRED = {"ref/prompt": ("Prompt", "name"), "ref/resource": ("McpResource", "uri")}


def target_of(name: str, method: Method, params: Mapping[str, Any], server: str, limits: Limits) -> tuple[str, Uid]:
    """What the call is about: the name as the protocol spells it, and the Cedar resource.

    Raises:
        ProtocolError: MESSAGE_INVALID (-32602).
    """
    if name == "completion/complete":
        return _completed(params, server)
    if name in SUBSCRIBING:
        uri = _text(params, "uri")
        check_uri(uri)
        return uri, resource_of(method, server, "")
    if not method.named_by:
        return "", resource_of(method, server, "")
    target = _text(params, method.named_by)
    if method.resource == "Tool" and not (len(target) <= limits.tool_name_chars and TOOL_NAME.issuperset(target)):
        raise invalid(f"params.name is not 1 to {limits.tool_name_chars} characters of A-Z a-z 0-9 _ . -")
    if method.resource == "McpResource":
        check_uri(target)
    elif method.resource == "Prompt":
        _check_name(target)
    elif method.resource == "McpTask" and not is_task_id(target):
        raise invalid(f"params.taskId is not 1 to {MOST_ID_CHARS} printable characters")
    return target, resource_of(method, server, target)


def further_actions(name: str, params: Mapping[str, Any], server: str) -> tuple[tuple[str, Uid], ...]:
    """What the call does beside its own action: setting a log level, hearing of lists, resources and tasks.

    Raises:
        ProtocolError: MESSAGE_INVALID (-32602); NOT_SUPPORTED_YET for a kind of subscription that isn't carried.
    """
    whole = Uid("McpServer", server)
    found: list[tuple[str, Uid]] = []
    level = params.get("_meta", {}).get(META_LOG_LEVEL)
    if level is not None:
        _check_level(level)
        found.append(("setLogLevel", whole))
    if name == "logging/setLevel":
        _check_level(params.get("level"))
    elif name == "resources/subscribe":
        found.append(("readResource", Uid("McpResource", f"{server}/{params['uri']}")))
    elif name == "subscriptions/listen":
        kinds, uris, tasks = _listened(params)
        found += [(KINDS[kind], whole) for kind in kinds]
        found += [("getTask", Uid("McpTask", f"{server}/{task}")) for task in tasks]
        found += [("readResource", Uid("McpResource", f"{server}/{uri}")) for uri in uris]
    return tuple(found)


def _listened(params: Mapping[str, Any]) -> tuple[list[str], list[str], list[str]]:
    """The lists, the resources and the tasks that a subscription is about."""
    wanted = params.get("notifications")
    if not isinstance(wanted, dict):
        raise invalid("params.notifications is not an object")
    if wanted.keys() - KINDS.keys() - {"resourceSubscriptions", "taskIds"}:
        detail = "params.notifications has a kind that is not carried"
        raise ProtocolError(Reason.NOT_SUPPORTED_YET, detail, code=METHOD_NOT_FOUND)
    uris = wanted.get("resourceSubscriptions", [])
    if not isinstance(uris, list) or len(uris) > MOST_URIS or not all(isinstance(uri, str) for uri in uris):
        raise invalid(f"params.notifications.resourceSubscriptions is not a list of at most {MOST_URIS} URIs")
    for uri in uris:
        check_uri(uri)
    tasks = wanted.get("taskIds", [])
    if not isinstance(tasks, list) or len(tasks) > MOST_URIS or not all(map(is_task_id, tasks)):
        raise invalid(f"params.notifications.taskIds is not a list of at most {MOST_URIS} task ids")
    if any(not isinstance(wanted.get(kind, False), bool) for kind in KINDS):
        raise invalid("params.notifications has a kind that is neither true nor false")
    return [kind for kind in KINDS if wanted.get(kind)], uris, tasks


def _check_level(level: Any) -> None:
    if not isinstance(level, str) or level not in LOG_LEVELS:
        raise invalid("the log level is not one of RFC 5424's")


def check_uri(uri: str) -> None:
    """Refuse a URI, or URI template, that is not one text for one resource.

    Raises:
        ProtocolError: MESSAGE_INVALID for no scheme in lower case, a control character, a ``.`` or ``..`` segment
            however it is encoded, or too long a URI.
    """
    scheme, colon, rest = uri.partition(":")
    if len(uri) > URI_CHARS or not colon or not scheme or not SCHEME.issuperset(scheme):
        raise invalid(f"the uri is not one of at most {URI_CHARS} characters, with its scheme in lower case")
    decoded = rest
    for _ in range(MOST_DECODINGS):
        inner = unquote(decoded)
        if inner == decoded:
            break
        decoded = inner
    else:
        raise invalid("the uri is encoded again and again")
    if not {".", ".."}.isdisjoint(decoded.translate(SEPARATORS).split("/")):
        raise invalid("the uri has a segment that is . or ..")
    if any(char < " " or char == "\x7f" for char in decoded):
        raise invalid("the uri has a control character")


def invalid(detail: str) -> ProtocolError:
    """The error for parameters that the method doesn't allow."""
    return ProtocolError(Reason.MESSAGE_INVALID, detail, code=INVALID_PARAMS)


def _completed(params: Mapping[str, Any], server: str) -> tuple[str, Uid]:
    ref = params.get("ref")
    if not isinstance(ref, dict) or str(ref.get("type")) not in REFERRED:
        raise invalid("params.ref names no prompt or resource")
    try:
        REF.exact(ref)
    except AmbiguousMemberError as error:
        raise invalid(f"params.ref has {error}") from None
    kind, named_by = REFERRED[str(ref["type"])]
    if {"name", "uri"} & ref.keys() != {named_by}:
        raise invalid("params.ref names no prompt or resource")
    target = _text(ref, named_by)
    if kind == "McpResource":
        check_uri(target)
    else:
        _check_name(target)
    return target, Uid(kind, f"{server}/{target}")


def _text(params: Mapping[str, Any], name: str) -> str:
    target = params.get(name)
    if not isinstance(target, str) or not target:
        raise invalid(f"params.{name} is not a non-empty string")
    return target


def _check_name(name: str) -> None:
    if len(name) > NAME_CHARS or not name.isprintable():
        raise invalid(f"the name is not 1 to {NAME_CHARS} printable characters")
