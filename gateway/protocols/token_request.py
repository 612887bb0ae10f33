"""Requests to the token endpoint and its answers (RFC 6749 §4–5, RFC 8707): reading and writing, and nothing more.

Strict where a lenient reader could be told two things: one value a parameter, one way of encoding it. Doesn't know
any grant (``proxy.oauth``).
"""

from collections.abc import Mapping
from typing import Literal
from urllib.parse import parse_qsl

import msgspec

from gateway.core.errors import HopError, ProtocolError
from gateway.core.reasons import Reason
from gateway.protocols.base import JSON, Refusal, Reply, check_media

FORM = "application/x-www-form-urlencoded"
MOST_FIELDS = 32
MOST_SCOPES = 256

ErrorCode = Literal[
    "invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type",
    "invalid_scope", "invalid_target", "temporarily_unavailable", "server_error",
]  # fmt: skip
"""RFC 6749 §5.2 and RFC 8707 §2; the last two, of RFC 6749 §4.1.2.1, go with a 503 or a 500."""

_CODES: Mapping[Reason, ErrorCode] = {
    Reason.CLIENT_MISMATCH: "invalid_client",
    Reason.AGENT_UNREGISTERED: "invalid_client",
    Reason.TRUST_WITHDRAWN: "invalid_client",
    Reason.CERTIFICATE_EXPIRED: "invalid_client",
    Reason.FORWARDED_IDENTITY: "invalid_client",
    Reason.AGENT_SUSPENDED: "unauthorized_client",
    Reason.CONTINUATION_REFUSED: "unauthorized_client",
    Reason.GRANT_UNSUPPORTED: "unsupported_grant_type",
    Reason.TARGET_UNKNOWN: "invalid_target",
    Reason.SCOPE_CEILING: "invalid_scope",
    Reason.SCOPE_MALFORMED: "invalid_scope",
}
_ABOUT_THE_REQUEST = frozenset(
    {
        Reason.TOKEN_REQUEST_INVALID, Reason.HTTP_METHOD, Reason.CONTENT_TYPE, Reason.BODY_TOO_LARGE, Reason.BODY_SLOW,
        Reason.HEADER_DUPLICATE, Reason.HOST_FORBIDDEN, Reason.ORIGIN_FORBIDDEN,
    }
)  # fmt: skip
"""Never about a credential: ``invalid_request`` whatever the grant. These keep an HTTP status of their own."""


class TokenRequest(msgspec.Struct, frozen=True):
    """One request: its parameters by name, each sent once and not empty. Holds secrets; never logged."""

    fields: Mapping[str, str]

    def __repr__(self) -> str:
        return f"TokenRequest({', '.join(sorted(self.fields))})"

    def get(self, name: str) -> str | None:
        """The parameter, or None where it was left out."""
        return self.fields.get(name)

    def need(self, name: str) -> str:
        """A required parameter.

        Raises:
            HopError: TOKEN_REQUEST_INVALID.
        """
        value = self.fields.get(name)
        if value is None:
            raise invalid(f"parameter {name} is required")
        return value

    def scopes(self) -> frozenset[str] | None:
        """The requested scopes (RFC 6749 §3.3); None where none are named.

        Raises:
            HopError: SCOPE_MALFORMED.
        """
        value = self.fields.get("scope")
        if value is None:
            return None
        found = value.split(" ")
        if not all(map(_is_scope, found)) or len(found) > MOST_SCOPES:
            raise HopError(Reason.SCOPE_MALFORMED, "scope is not a list of scopes with single spaces between them")
        return frozenset(found)


def read(headers: Mapping[str, str], body: bytes) -> TokenRequest:
    """The request in ``body``.

    Raises:
        HopError: TOKEN_REQUEST_INVALID, TARGET_UNKNOWN (more than one ``resource``), CONTENT_TYPE.
    """
    try:
        check_media(headers, (FORM,))
    except ProtocolError as error:
        raise HopError(error.reason, error.detail) from None
    if "authorization" in headers:
        raise invalid("the client is known by its certificate; send no Authorization")
    try:
        text = body.decode("ascii")
        pairs = parse_qsl(
            text, keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=MOST_FIELDS
        )
    except ValueError:
        raise invalid(f"the body is not a form of at most {MOST_FIELDS} fields") from None
    fields: dict[str, str] = {}
    for name, value in pairs:
        if name in fields and name == "resource":
            raise HopError(Reason.TARGET_UNKNOWN, "a token is for one resource; send resource once")
        if name in fields:
            raise invalid("a parameter was sent more than once")
        fields[name] = value
    # RFC 6749 §3.2: a parameter without a value counts as left out.
    return TokenRequest({name: value for name, value in fields.items() if value})


def refused(refusal: Refusal, credential: ErrorCode = "invalid_request") -> Reply:
    """The error answer. ``credential`` is the code of this grant for a token or assertion that it doesn't take."""
    reason = refusal.reason
    status, code = _answer(reason, credential)
    document = {
        "error": code,
        "error_description": _described(refusal.detail or reason.meaning.text),
        "reason": reason.value,
        "decision_id": refusal.decision_id,
    }
    body = msgspec.json.encode({name: value for name, value in document.items() if value})
    return Reply(status, (("Content-Type", JSON), ("Cache-Control", "no-store"), *refusal.headers), body)


def invalid(detail: str) -> HopError:
    """The request itself is wrong; ``detail`` names the parameter, never its value."""
    return HopError(Reason.TOKEN_REQUEST_INVALID, detail)


def _answer(reason: Reason, credential: ErrorCode) -> tuple[int, ErrorCode]:
    if reason.status in (429, 503):
        return reason.status, "temporarily_unavailable"
    if reason.status >= 500:
        return reason.status, "server_error"
    if reason in _ABOUT_THE_REQUEST:
        return reason.status, "invalid_request"
    code = _CODES.get(reason, credential)
    return (401 if code == "invalid_client" else 400), code


def _is_scope(text: str) -> bool:
    return bool(text) and all("!" <= char <= "~" and char not in '"\\' for char in text)


def _described(text: str) -> str:
    """RFC 6749 §5.2: printable ASCII without quotation marks and backslashes."""
    return "".join(char if " " <= char <= "~" and char not in '"\\' else "'" for char in text)
