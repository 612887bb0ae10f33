"""``WWW-Authenticate`` challenges of RFC 6750 and RFC 9728.

Doesn't decide whether to challenge: a policy denial must not carry one, or clients loop on step-up.
"""

from collections.abc import Iterable
from typing import Literal

Error = Literal["invalid_request", "invalid_token", "insufficient_scope"]


def challenge(resource_metadata_url: str, scope: Iterable[str] | None = None, error: Error | None = None) -> str:
    """The value of ``WWW-Authenticate``, e.g. ``Bearer error="invalid_token", resource_metadata="https://…"``.

    ``scope`` holds scope tokens; they are sent sorted, so that equal challenges are equal strings (clients
    compare them to end a step-up loop).

    Raises:
        ValueError: a scope or the URL has a character that RFC 6749 §3.3 or a quoted string does not allow.
    """
    scopes = sorted(set(scope or ()))
    if not all(token and _quotable(token) and " " not in token for token in scopes):
        raise ValueError("a scope token has a character outside RFC 6749 section 3.3")
    if not _quotable(resource_metadata_url):
        raise ValueError("the resource metadata URL has a character that can't be quoted")
    parameters = {
        "error": error or "",
        "scope": " ".join(scopes),
        "resource_metadata": resource_metadata_url,
    }
    return "Bearer " + ", ".join(f'{name}="{value}"' for name, value in parameters.items() if value)


def _quotable(text: str) -> bool:
    return all(" " <= char <= "~" and char not in '"\\' for char in text)
