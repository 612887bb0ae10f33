"""The pages of a consent, on the public listener: the link's own page, and where authorization servers send back to.

A page changes nothing by being fetched: previews of links fetch too. Redirects lead to the configured servers only.
Decides nothing: ``consent_steps`` does.
"""

import html
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import parse_qsl, urlsplit

from gateway.core.errors import HopError
from gateway.core.reasons import Reason
from gateway.proxy import consent_steps as steps
from gateway.proxy.consent import CALLBACK_PATH, CONSENT_PATH, open_ticket
from gateway.proxy.edition import Edition
from gateway.proxy.exchange import Answer, Exchange, Headers, check_head, single_valued
from gateway.proxy.gate import Gate
from gateway.proxy.locate import Allowed, check_host

COOKIE = "__Host-hopgate-consent"
FORM_BYTES = 8192
FORM_SECONDS = 10.0
MOST_FIELDS = 12
PAGE_HEADERS: Headers = (
    ("Content-Type", "text/html; charset=utf-8"),
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'"),
    ("X-Content-Type-Options", "nosniff"),
    # Not no-referrer, by which browsers hide the Origin of the form too.
    ("Referrer-Policy", "same-origin"),
)
_BROWSER = re.compile(r"[A-Za-z0-9_-]{43}")
_CODE = re.compile(r"[\x20-\x7e]{1,4096}")
_ERROR = re.compile(r"[a-z_]{1,64}")
Handle = Callable[[Exchange], Awaitable[Answer]]


class ConsentPages:
    """Serves the two paths, and hands everything else on."""

    def __init__(self, gate: Gate, others: Handle) -> None:
        self._gate = gate
        self._others = others

    async def handle(self, exchange: Exchange) -> Answer:
        """The answer to one request of the public listener."""
        path = exchange.target.partition("?")[0]
        if path not in (CONSENT_PATH, CALLBACK_PATH):
            return await self._others(exchange)
        edition = self._gate.edition()
        try:
            return await self._page(exchange, path, edition)
        except HopError as error:
            return self._refused(error)

    async def _page(self, exchange: Exchange, path: str, edition: Edition) -> Answer:
        check_head(exchange, edition.snapshot.limits.header_bytes)
        headers = single_valued(exchange.headers)
        hosts = edition.allowed[exchange.listener].hosts
        check_host(headers, Allowed(hosts, frozenset({edition.issuer})))
        if exchange.method == "POST" and path == CONSENT_PATH:
            return await self._begin(exchange, headers, edition)
        if exchange.method != "GET":
            raise HopError(Reason.HTTP_METHOD, "pages are read with GET")
        fields = _fields(exchange.target.partition("?")[2])
        if path == CONSENT_PATH:
            return self._offer(fields, edition)
        return await self._answered(fields, headers, edition)

    def _offer(self, fields: Mapping[str, str], edition: Edition) -> Answer:
        """What will happen, before anything does."""
        sealed = fields.get("ticket", "")
        ticket = open_ticket(self._gate.sealer, sealed, int(self._gate.clock()))
        if ticket is None:
            raise steps.invalid("the link is forged or too old")
        client, login = steps.client_of(edition, ticket), steps.login_of(edition, ticket)
        scopes = f" It asks for: {' '.join(client.scopes)}." if client.scopes else ""
        text = (
            f"An agent that acts for you wants to use {ticket.server}, which belongs to a third party "
            f"({urlsplit(client.issuer).netloc}).{scopes} Go on only if you asked for it. "
            f"You first log in at {urlsplit(login.client.issuer).netloc}, then you are asked by the third party."
        )
        form = (
            f'<form method="post" action="{CONSENT_PATH}">'
            f'<input type="hidden" name="ticket" value="{html.escape(sealed)}"><button>Go on</button></form>'
        )
        return _document(200, f"Use of {ticket.server}", text, form)

    async def _begin(self, exchange: Exchange, headers: Mapping[str, str], edition: Edition) -> Answer:
        """Off to the user's own issuer, with a secret that ties all that follows to this browser."""
        if headers.get("origin") != edition.issuer:
            raise HopError(Reason.ORIGIN_FORBIDDEN, "the form is sent by the link's own page")
        fields = _fields((await exchange.read_body(FORM_BYTES, FORM_SECONDS)).decode("ascii", "replace"))
        ticket = open_ticket(self._gate.sealer, fields.get("ticket", ""), int(self._gate.clock()))
        if ticket is None:
            raise steps.invalid("the link is forged or too old")
        browser = _cookie(headers) or secrets.token_urlsafe(32)
        url = await steps.begin_login(self._gate, edition, ticket, browser)
        age = 3 * edition.third_parties.link_seconds
        cookie = f"{COOKIE}={browser}; Path=/; Max-Age={age}; Secure; HttpOnly; SameSite=Lax"
        return _redirect(url, (("Set-Cookie", cookie),))

    async def _answered(self, fields: Mapping[str, str], headers: Mapping[str, str], edition: Edition) -> Answer:
        """An authorization server has sent the browser back."""
        gate = self._gate
        step = await steps.accepted(gate, edition, fields, _cookie(headers))
        code = fields.get("code", "")
        if "error" in fields or not _CODE.fullmatch(code):
            why = fields.get("error", "")
            raise steps.invalid(f"{step.issuer} gave no code: {why if _ERROR.fullmatch(why) else 'no reason'}")
        if step.kind == "login":
            await steps.prove_user(gate, edition, step, code)
            return _redirect(await steps.begin_grant(gate, edition, step))
        await steps.keep_grant(gate, edition, step, code)
        ticket = step.ticket
        gate.log.info("upstream consent", user=ticket.sub, server=ticket.server, decision_id=ticket.hop)
        return _document(200, "Done", f"{ticket.server} may now be used in your name. Go back to your agent.")

    def _refused(self, error: HopError) -> Answer:
        gate, meaning = self._gate, error.reason.meaning
        gate.metrics.refused_unrecorded(error.reason)
        gate.refusals.refused(error.reason, source="public", detail=error.detail)
        text = f"{meaning.text}: {error.detail}. {meaning.next_step}."
        return _document(meaning.status, "This did not work", f"{text[:1].upper()}{text[1:]}")


def _fields(text: str) -> Mapping[str, str]:
    try:
        pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=True, max_num_fields=MOST_FIELDS)
    except ValueError:
        pairs = []
    if not pairs or len({name for name, _ in pairs}) != len(pairs):
        raise steps.invalid("the fields are not distinct name=value pairs")
    return dict(pairs)


def _cookie(headers: Mapping[str, str]) -> str:
    """The browser's secret; empty where it has none."""
    values = [part.strip().partition("=") for part in headers.get("cookie", "").split(";")]
    found = [value for name, _, value in values if name == COOKIE]
    return found[0] if len(found) == 1 and _BROWSER.fullmatch(found[0]) else ""


def _redirect(url: str, more: Headers = ()) -> Answer:
    return Answer(303, (("Location", url), *PAGE_HEADERS, *more), b"")


def _document(status: int, title: str, text: str, form: str = "") -> Answer:
    """A page; ``form`` is markup, everything else is text."""
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<h1>{html.escape(title)}</h1><p>{html.escape(text)}</p>{form}</html>"
    )
    return Answer(status, PAGE_HEADERS, page.encode())
