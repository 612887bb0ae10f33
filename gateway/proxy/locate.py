"""From a request's head to the route that it means. Exact paths only: nothing is decoded, joined or normalised.

Doesn't authenticate anyone. The client's path is matched, never forwarded.
"""

from collections.abc import Mapping

from gateway.core.errors import HopError
from gateway.core.model import Route
from gateway.core.reasons import Reason
from gateway.protocols.http_head import QUERY_CHARS, Allowed, check_host, split_target

__all__ = ["QUERY_CHARS", "Allowed", "check_host", "locate", "split_target"]


def locate(path: str, routes: Mapping[str, Route]) -> tuple[Route, str]:
    """The route that owns ``path``, exactly or something below it, and the rest of the path.

    Raises:
        HopError: ROUTE_UNKNOWN.
    """
    prefix = "/".join(path.split("/", 3)[:3])
    route = routes.get(prefix)
    if route is None:
        raise HopError(Reason.ROUTE_UNKNOWN, f"nothing is registered at {prefix}")
    return route, path[len(prefix) :]
