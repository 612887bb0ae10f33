"""Typed reading of JWT claims: a claim is of its type or the token is refused.

Doesn't know whose token it is (``identity.root_tokens``, ``identity.hop_tokens``).
"""

from collections.abc import Mapping
from typing import Any

from gateway.core.errors import TokenError
from gateway.core.reasons import Reason

MAX_TEXT = 1024
MAX_ITEMS = 256
_LATEST = 2**53


def refused(detail: str) -> TokenError:
    """A TOKEN_CLAIMS error; ``detail`` names the claim, never its value."""
    return TokenError(Reason.TOKEN_CLAIMS, detail)


def text(claims: Mapping[str, Any], name: str) -> str:
    """A required, non-empty string of printable characters.

    Raises:
        TokenError: TOKEN_CLAIMS.
    """
    value = claims.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT or not value.isprintable():
        raise refused(f"claim {name} is not a plain string of at most {MAX_TEXT} characters")
    return value


def optional_text(claims: Mapping[str, Any], name: str | None) -> str | None:
    """``text``, or None where the claim is absent, null or never read."""
    return None if name is None or claims.get(name) is None else text(claims, name)


def texts(claims: Mapping[str, Any], name: str | None) -> tuple[str, ...]:
    """A list of strings; empty where the claim is absent, null or never read.

    Raises:
        TokenError: TOKEN_CLAIMS.
    """
    value = None if name is None else claims.get(name)
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > MAX_ITEMS:
        raise refused(f"claim {name} is not a list of at most {MAX_ITEMS} strings")
    return tuple(text({str(name): item}, str(name)) for item in value)


def scopes(claims: Mapping[str, Any], name: str) -> frozenset[str]:
    """Space-separated scopes (RFC 6749 §3.3); the empty set where absent or empty: never "all".

    Raises:
        TokenError: TOKEN_CLAIMS.
    """
    value = claims.get(name, "")
    if not isinstance(value, str) or not (value.isascii() and value.isprintable()) or '"' in value or "\\" in value:
        raise refused(f"claim {name} is not a space-separated list of scopes")
    return frozenset(scope for scope in value.split(" ") if scope)


def seconds(claims: Mapping[str, Any], name: str) -> int:
    """A required NumericDate (RFC 7519 §2), rounded down.

    Raises:
        TokenError: TOKEN_CLAIMS.
    """
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LATEST:
        raise refused(f"claim {name} is not a NumericDate")
    return int(value)


def count(claims: Mapping[str, Any], name: str) -> int:
    """A required small integer, 0 to 255.

    Raises:
        TokenError: TOKEN_CLAIMS.
    """
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 255:
        raise refused(f"claim {name} is not a small integer")
    return value


def check_issued(claims: Mapping[str, Any], now: int, leeway: int) -> None:
    """Check that the token is issued and valid by ``now``: ``iat`` required, ``nbf`` honoured.

    Raises:
        TokenError: TOKEN_EXPIRED (not yet valid), TOKEN_CLAIMS.
    """
    starts = [seconds(claims, "iat")]
    if claims.get("nbf") is not None:
        starts.append(seconds(claims, "nbf"))
    if max(starts) > now + leeway:
        raise TokenError(Reason.TOKEN_EXPIRED, "the token is not valid yet")
