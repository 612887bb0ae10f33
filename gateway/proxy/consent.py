"""Asking a user to let the gateway use a third party's server in their name: the link, and how a client gets it.

The link proves nothing: whoever opens it has to log in as the user whose call it was made for (``consent_pages``).
"""

import msgspec
from msgspec import Struct

from gateway.core.model import Call, Hop
from gateway.core.ports import Sealer
from gateway.core.reasons import Reason
from gateway.protocols.base import HttpError
from gateway.protocols.jsonrpc import dump_json
from gateway.protocols.mcp import elicitation
from gateway.proxy.gate import Gate, Passage

CONSENT_PATH = "/oauth/consent"
CALLBACK_PATH = "/oauth/callback"
DENIED = 1403
_CONTEXT = b"hopgate consent ticket"


class Ticket(Struct, frozen=True):
    """What a consent link holds: for whom, for what, which call asked, and Unix seconds of its end."""

    sub: str
    server: str
    hop: str
    expires: int


class ConsentError(HttpError):
    """The client is told to let its user open a URL."""

    def __init__(self, detail: str, *, status: int, code: int, data: dict[str, object]) -> None:
        super().__init__(Reason.CONSENT_REQUIRED, detail, status=status, code=code)
        self.data = data


def seal_ticket(sealer: Sealer, ticket: Ticket) -> str:
    """The ticket as a link carries it."""
    return sealer.seal(msgspec.json.encode(ticket), _CONTEXT)


def open_ticket(sealer: Sealer, sealed: str, now: int) -> Ticket | None:
    """The ticket, or None for what is forged or too old."""
    plain = sealer.open(sealed, _CONTEXT)
    ticket = None if plain is None else msgspec.json.decode(plain, type=Ticket)
    return None if ticket is None or now >= ticket.expires else ticket


def ask(gate: Gate, passage: Passage, hop: Hop, detail: str) -> bytes:
    """The answer that asks the client for its user's consent.

    Raises:
        ConsentError: the client's revision is asked by an error, or it can't be asked at all.
    """
    user, terms = hop.user, passage.edition.third_parties
    if user is None or user.idp not in terms.logins:
        why = detail if user is None else f"consent.logins has no login at issuer {user.idp}"
        raise ConsentError(why, status=Reason.CONSENT_REQUIRED.status, code=DENIED, data={})
    ticket = Ticket(user.sub, hop.route.name, hop.id, int(gate.clock()) + terms.link_seconds)
    url = f"{passage.edition.issuer}{CONSENT_PATH}?ticket={seal_ticket(gate.sealer, ticket)}"
    message = f"Let Hopgate use {hop.route.name} in your name: open the link and log in."
    match elicitation.way_to_ask(hop.call, passage.opens_urls):
        case "input_required":
            return dump_json(elicitation.input_required(hop.call, url, message))
        case "url_error":
            asked = elicitation.elicitations(url, hop.id, message)
            code = elicitation.URL_ELICITATION_REQUIRED
            # 200: some clients take any other status for a failure of the transport, and show nothing.
            raise ConsentError(detail, status=200, code=code, data={**asked, "consent_url": url})
    raise ConsentError(detail, status=Reason.CONSENT_REQUIRED.status, code=DENIED, data={"consent_url": url})


def without_answer(call: Call) -> Call:
    """The call as a third party's server may see it."""
    return elicitation.without_own_answer(call)
