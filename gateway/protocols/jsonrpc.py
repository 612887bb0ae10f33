"""Strict JSON and the JSON-RPC 2.0 envelope: one reading of a message, or none.

Refused, since two readers could take it differently: other encodings than UTF-8, a byte order mark,
duplicate keys, ``NaN`` and infinities (also by overflow, ``1e999``), integers outside signed 64 bits, lone
surrogates, trailing data, depth beyond the limit; in the envelope batches, unknown members and ids that are
neither string nor integer. Integers between 2^53 and 2^63 are kept exactly; other floats as their nearest
double, which is what is authorized and what is sent. Doesn't know any method.
"""

import json
from collections.abc import Mapping
from functools import cache, partial
from typing import Any

from msgspec import Struct

from gateway.core.errors import ProtocolError, UpstreamError
from gateway.core.limits import Limits
from gateway.core.reasons import Reason
from gateway.protocols.base import INVALID_REQUEST, PARSE_ERROR

Id = str | int

I64 = range(-(2**63), 2**63)
ENVELOPE = frozenset({"jsonrpc", "id", "method", "params"})
LINE_BREAKS = str.maketrans({char: f"\\u{ord(char):04x}" for char in "\x85\u2028\u2029"})
"""Lax SSE clients break lines at these, JSON allows them bare: always sent escaped (SSE injection)."""
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


class Request(Struct, frozen=True):
    """A JSON-RPC request, or a notification where ``id`` is None. ``message`` is the whole object."""

    id: Id | None
    method: str
    params: Mapping[str, Any] | None
    message: Mapping[str, Any]


class Answer(Struct, frozen=True):
    """A JSON-RPC response: exactly one of ``result`` and ``error`` is set."""

    id: Id | None
    result: Any
    error: Mapping[str, Any] | None


def parse_json(body: bytes, limits: Limits) -> Any:
    """The one value of ``body``.

    Raises:
        ProtocolError: BODY_MALFORMED, code -32700; the detail never quotes the body.
    """
    try:
        value = _decoder(limits.json_integer_digits).decode(body.decode("utf-8"))
    except UnicodeDecodeError:
        raise _malformed("not UTF-8") from None
    except json.JSONDecodeError as error:
        raise _malformed(f"not one JSON value: {error.msg} at character {error.pos}") from None
    except RecursionError:
        raise _malformed(f"nested deeper than {limits.json_depth}") from None
    _inspect(value, limits.json_depth)
    return value


def parse_answer(body: bytes, limits: Limits) -> Any:
    """``parse_json`` for what an upstream sent.

    Raises:
        UpstreamError: UPSTREAM_MALFORMED.
    """
    try:
        return parse_json(body, limits)
    except ProtocolError as error:
        raise UpstreamError(Reason.UPSTREAM_MALFORMED, f"the answer is {error.detail}") from None


def dump_json(value: Any) -> bytes:
    """Compact UTF-8 JSON on one line, for every reader's idea of a line. ``value`` is one that ``parse_json`` gave."""
    text = _ENCODER.encode(value)
    return (text if text.isascii() else text.translate(LINE_BREAKS)).encode()


def read_request(value: Any) -> Request:
    """The request or notification that a client sent.

    Raises:
        ProtocolError: BATCH_REFUSED or MESSAGE_INVALID, code -32600.
    """
    if isinstance(value, list):
        raise ProtocolError(Reason.BATCH_REFUSED, "the body is an array", code=INVALID_REQUEST)
    if not isinstance(value, dict):
        raise _invalid("the body is not an object")
    request_id = value.get("id")
    if "id" in value and not is_id(request_id):
        raise _invalid("id is not a string or an integer")
    if "result" in value or "error" in value:
        raise _invalid("the body is a response; clients send requests and notifications", request_id)
    if value.get("jsonrpc") != "2.0":
        raise _invalid('jsonrpc is not "2.0"', request_id)
    unknown = value.keys() - ENVELOPE
    if unknown:
        raise _invalid("the message has members that JSON-RPC 2.0 does not define", request_id)
    method = value.get("method")
    if not isinstance(method, str) or not method:
        raise _invalid("method is not a non-empty string", request_id)
    params = value.get("params")
    if "params" in value and not isinstance(params, dict):
        raise _invalid("params is not an object", request_id)
    return Request(request_id, method, params, value)


def read_answer(value: Any, request_id: Id | None) -> Answer:
    """The upstream's response to ``request_id``. A null id is taken on errors only: the upstream read no id.

    Raises:
        UpstreamError: UPSTREAM_MALFORMED for anything else, another request's response included.
    """
    if not isinstance(value, dict) or value.get("jsonrpc") != "2.0" or "method" in value:
        raise malformed_answer("not a JSON-RPC 2.0 response")
    if ("result" in value) == ("error" in value):
        raise malformed_answer("a response with both or neither of result and error")
    error = value.get("error")
    if "error" in value and not _is_error(error):
        raise malformed_answer("an error without integer code and string message")
    answered = value.get("id")
    if not (same_id(answered, request_id) or (answered is None and error is not None)):
        raise malformed_answer("a response to another request")
    return Answer(request_id, value.get("result"), error)


def is_response(value: Any) -> bool:
    """Whether ``value`` can only be meant as a response, well-formed or not."""
    return isinstance(value, dict) and "method" not in value and ("result" in value or "error" in value)


def is_id(value: Any) -> bool:
    """Whether ``value`` may identify a request: a string or an integer, and not a boolean."""
    return isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool))


def same_id(one: Any, other: Any) -> bool:
    """Equality that tells ``1`` from ``"1"``, ``1.0`` and ``true``."""
    return is_id(one) and type(one) is type(other) and one == other


def malformed_answer(detail: str) -> UpstreamError:
    """The error for an answer that its protocol does not allow."""
    return UpstreamError(Reason.UPSTREAM_MALFORMED, detail)


@cache
def _decoder(integer_digits: int) -> json.JSONDecoder:
    return json.JSONDecoder(
        object_pairs_hook=_unique,
        parse_int=partial(_integer, integer_digits),
        parse_float=_finite,
        parse_constant=_constant,
    )


def _is_error(error: Any) -> bool:
    if not isinstance(error, dict):
        return False
    code = error.get("code")
    return isinstance(code, int) and not isinstance(code, bool) and isinstance(error.get("message"), str)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _malformed("an object with duplicate keys")
    return found


def _integer(digits: int, literal: str) -> int:
    # The length is checked first: converting thousands of digits is itself an attack.
    if len(literal.lstrip("-")) <= digits:
        number = int(literal)
        if number in I64:
            return number
    raise _malformed("an integer outside signed 64 bits")


def _finite(literal: str) -> float:
    number = float(literal)
    if number in (float("inf"), float("-inf")):
        raise _malformed("a number too large for a double")
    return number


def _constant(literal: str) -> float:
    raise _malformed(f"{literal} is not JSON")


def _inspect(value: Any, most_depth: int) -> None:
    """Bound the depth and refuse lone surrogates, which no UTF-8 can carry on. Iterative: depth is the attack."""
    depth, level = 0, [value]
    while level:
        inner: list[Any] = []
        containers = 0
        for item in level:
            if isinstance(item, dict):
                containers += 1
                inner += item.keys()
                inner += item.values()
            elif isinstance(item, list):
                containers += 1
                inner += item
            elif isinstance(item, str) and not item.isascii():
                _check_text(item)
        depth += containers > 0
        if depth > most_depth:
            raise _malformed(f"nested deeper than {most_depth}")
        level = inner


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _malformed("a string with a lone surrogate") from None


def _malformed(detail: str) -> ProtocolError:
    return ProtocolError(Reason.BODY_MALFORMED, detail, code=PARSE_ERROR)


def _invalid(detail: str, request_id: Any = None) -> ProtocolError:
    return ProtocolError(
        Reason.MESSAGE_INVALID, detail, code=INVALID_REQUEST, request_id=request_id if is_id(request_id) else None
    )
