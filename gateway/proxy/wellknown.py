"""What the gateway says of itself, to anyone: keys, issuer metadata (RFC 8414), resource metadata (RFC 9728).

Public by nature and free of decisions; nothing here depends on who asks.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from gateway.core.errors import HopError
from gateway.core.model import Route
from gateway.core.reasons import Reason
from gateway.proxy.exchange import Answer

RESOURCE_PREFIX = "/.well-known/oauth-protected-resource"
JWKS_PATH = "/.well-known/jwks.json"
ISSUER_PATH = "/.well-known/oauth-authorization-server"
MAX_AGE_SECONDS = 300


class Documents(msgspec.Struct, frozen=True):
    """The issuer's documents, and what resource metadata is made of."""

    jwks: Mapping[str, Any]
    issuer_metadata: Mapping[str, Any]
    authorization_servers: Sequence[str]
    scopes_supported: Mapping[str, frozenset[str]]
    """By the path of a route: all scopes with which some call of it could be made."""
    first_scopes: Mapping[str, frozenset[str]]
    """By the path of a route: what a client without a token is told to ask for."""


def metadata_path(route: Route) -> str:
    """Path of a route's RFC 9728 metadata (§3.1: the well-known prefix before the resource's path)."""
    return RESOURCE_PREFIX + route.path


def answer(http_method: str, path: str, base: str, documents: Documents, routes: Mapping[str, Route]) -> Answer | None:
    """The document at ``path``, or None if the path is not one of these. ``base`` is the listener's URL.

    Raises:
        HopError: HTTP_METHOD, or ROUTE_UNKNOWN for metadata of a route that doesn't exist.
    """
    if not path.startswith("/.well-known/"):
        return None
    if http_method not in ("GET", "HEAD"):
        raise HopError(Reason.HTTP_METHOD, "these documents are read with GET")
    if path == JWKS_PATH:
        return _json(documents.jwks)
    if path == ISSUER_PATH:
        return _json(documents.issuer_metadata)
    route = routes.get(path.removeprefix(RESOURCE_PREFIX)) if path.startswith(RESOURCE_PREFIX) else None
    if route is None:
        raise HopError(Reason.ROUTE_UNKNOWN, "no such document")
    return _json(
        {
            "resource": base + route.path,
            "resource_name": f"{route.protocol} {route.name} behind Hopgate",
            "authorization_servers": list(documents.authorization_servers),
            "scopes_supported": sorted(documents.scopes_supported.get(route.path, ())),
            "bearer_methods_supported": ["header"],
        }
    )


def _json(value: Mapping[str, Any]) -> Answer:
    headers = (("Content-Type", "application/json"), ("Cache-Control", f"max-age={MAX_AGE_SECONDS}"))
    return Answer(200, headers, msgspec.json.encode(value))
