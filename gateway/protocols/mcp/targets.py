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
from gateway.protocols.base import INVALID_PARAMS
from gateway.protocols.mcp.methods import TOOL_NAME, Method, resource_of
from gateway.protocols.members import AmbiguousMemberError, members

SCHEME = frozenset(string.ascii_lowercase + string.digits + "+-.")
URI_CHARS = 2048
NAME_CHARS = 256
MOST_DECODINGS = 4
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
    if not method.named_by:
        return "", resource_of(method, server, "")
    target = _text(params, method.named_by)
    if method.resource == "Tool" and not (len(target) <= limits.tool_name_chars and TOOL_NAME.issuperset(target)):
        raise invalid(f"params.name is not 1 to {limits.tool_name_chars} characters of A-Z a-z 0-9 _ . -")
    if method.resource == "McpResource":
        check_uri(target)
    elif method.resource == "Prompt":
        _check_name(target)
    return target, resource_of(method, server, target)


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
