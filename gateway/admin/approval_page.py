"""The page that an approval's link opens, on the admin listener.

It says how to decide. What waits is shown only by a signed link, as webhooks are given, and without arguments: browsers
can't show the admin API who they are yet. Nothing is decided here, whatever the link. Without a good signature it is
the same page whether there is such an approval or not.
"""

import html
import re
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import parse_qsl

from gateway.admin.edition import AdminEdition
from gateway.admin.problem import NO_STORE, problem
from gateway.admin.request import AdminAnswer, AdminRequest, headers_of
from gateway.core.approval import Approval, missing
from gateway.core.errors import HopError
from gateway.core.reasons import Reason
from gateway.protocols.base import HttpError
from gateway.protocols.http_head import check_host

PREFIX = "/approvals/"
QUERY_CHARS = 512
_ID = re.compile(r"[0-9a-z]{1,64}")
HEADERS = (
    ("Content-Type", "text/html; charset=utf-8"),
    NO_STORE,
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"),
    ("Referrer-Policy", "no-referrer"),
)
Handle = Callable[[AdminRequest], Awaitable[AdminAnswer]]
Shown = Callable[[str, Mapping[str, str]], Awaitable[Approval | None]]
"""Id and query → the approval that the query's signature opens."""


class ApprovalPage:
    """Serves the page, and hands everything else on."""

    def __init__(self, edition: Callable[[], AdminEdition], shown: Shown, others: Handle) -> None:
        self._edition = edition
        self._shown = shown
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
            approval = await self._shown(name, _query(request.target))
        except HopError as error:
            return problem(error, "")
        return AdminAnswer(200, HEADERS, _page(name, approval).encode())


def _query(target: str) -> Mapping[str, str]:
    return dict(parse_qsl(target.partition("?")[2][:QUERY_CHARS]))


def _page(name: str, approval: Approval | None) -> str:
    shown = html.escape(name)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Approval {shown}</title>'
        f"<h1>Approval {shown}</h1>"
        f"{'' if approval is None else _facts(approval)}"
        "<p>A call of an agent waits for people. Members of the groups that it needs decide it:</p>"
        f"<p>with an admin token, at <code>/api/v1/approvals/{shown}</code> of this address: read it, then POST to "
        f"<code>/approve</code> or <code>/refuse</code> below it;</p>"
        f"<p>or on the gateway's host, with <code>hopgate approvals show {shown}</code> and "
        f"<code>hopgate approvals approve {shown}</code> or <code>refuse</code>.</p>"
        "<p>Whoever asked may close this page: their agent goes on once it is decided.</p></html>"
    )


def _facts(approval: Approval) -> str:
    """What waits, without the call's arguments."""
    waiting = missing(approval)
    facts = {
        "State": approval.state,
        "What": f"{approval.action} on {approval.resource}",
        "For": approval.sub,
        "Through": " → ".join(approval.agents),
        "Purpose": approval.purpose or "",
        "Needs": ", ".join(f"{group}{'' if group in waiting else ' ✓'}" for group in approval.groups),
    }
    rows = (f"<dt>{name}</dt><dd>{html.escape(value)}</dd>" for name, value in facts.items() if value)
    return f"<dl>{''.join(rows)}</dl>"
