"""The page that an approval's link opens, on the admin listener.

It says how to decide, and nothing of the approval: a browser can't show the admin API who it is yet, and whoever holds
a link proves nothing by it. It is the same page whether there is such an approval or not.
"""

import html
import re
from collections.abc import Awaitable, Callable

from gateway.admin.edition import AdminEdition
from gateway.admin.problem import NO_STORE, problem
from gateway.admin.request import AdminAnswer, AdminRequest, headers_of
from gateway.core.errors import HopError
from gateway.core.reasons import Reason
from gateway.protocols.base import HttpError
from gateway.protocols.http_head import check_host

PREFIX = "/approvals/"
_ID = re.compile(r"[0-9a-z]{1,64}")
HEADERS = (
    ("Content-Type", "text/html; charset=utf-8"),
    NO_STORE,
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"),
    ("Referrer-Policy", "no-referrer"),
)
Handle = Callable[[AdminRequest], Awaitable[AdminAnswer]]


class ApprovalPage:
    """Serves the page, and hands everything else on."""

    def __init__(self, edition: Callable[[], AdminEdition], others: Handle) -> None:
        self._edition = edition
        self._others = others

    async def handle(self, request: AdminRequest) -> AdminAnswer:
        """The answer to one request."""
        path = request.target.partition("?")[0]
        if not path.startswith(PREFIX):
            return await self._others(request)
        try:
            check_host(headers_of(request), self._edition().allowed)
            if request.method != "GET":
                raise HttpError(Reason.HTTP_METHOD, "the page is read with GET", status=405, allow="GET")
            name = path.removeprefix(PREFIX)
            if not _ID.fullmatch(name):
                raise HopError(Reason.NOT_FOUND, "this is no link of an approval")
        except HopError as error:
            return problem(error, "")
        return AdminAnswer(200, HEADERS, _page(name).encode())


def _page(name: str) -> str:
    shown = html.escape(name)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Approval {shown}</title>'
        f"<h1>Approval {shown}</h1>"
        "<p>A call of an agent waits for people. Members of the groups that it needs decide it:</p>"
        f"<p>with an admin token, at <code>/api/v1/approvals/{shown}</code> of this address: read it, then POST to "
        f"<code>/approve</code> or <code>/refuse</code> below it;</p>"
        f"<p>or on the gateway's host, with <code>hopgate approvals show {shown}</code> and "
        f"<code>hopgate approvals approve {shown}</code> or <code>refuse</code>.</p>"
        "<p>Whoever asked may close this page: their agent goes on once it is decided.</p></html>"
    )
