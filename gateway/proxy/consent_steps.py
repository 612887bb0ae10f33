"""The way of one consent through a browser, as sealed values: nothing is stored until it is through.

    link → log in at the user's own issuer → the same user? → consent at the third party's → tokens kept

Each step is sealed with what it needs of the one before, bound to the browser that began, short-lived, and spent when
its answer comes. Knows no HTTP; ``consent_pages`` does.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from typing import Literal
from urllib.parse import urlencode

import msgspec
from msgspec import Struct

from gateway.core.audit import ConsentRecord
from gateway.core.errors import HopError
from gateway.core.reasons import Reason
from gateway.core.third_party import OAuthClient
from gateway.identity.authorization_server import AskError, Endpoints
from gateway.identity.id_tokens import subject_of
from gateway.identity.jose import canonical_base64url
from gateway.identity.upstream_oauth import Holder
from gateway.proxy.consent import CALLBACK_PATH, Ticket
from gateway.proxy.edition import Edition
from gateway.proxy.gate import Gate
from gateway.proxy.third_party import Login

_CONTEXT = b"hopgate consent step"


class Step(Struct, frozen=True, kw_only=True):
    """Where a browser is sent, and what has to come back. Holds secrets: only ever sealed."""

    kind: Literal["login", "grant"]
    ticket: Ticket
    id: str
    browser: str
    """Digest of the secret that the browser holds."""
    issuer: str
    """Who answers: another issuer's answer is of another step (RFC 9207)."""
    verifier: str
    """PKCE (RFC 7636)."""
    nonce: str
    expires: int

    def __repr__(self) -> str:
        return "Step()"


def invalid(detail: str) -> HopError:
    """A CONSENT_INVALID error."""
    return HopError(Reason.CONSENT_INVALID, detail)


def login_of(edition: Edition, ticket: Ticket) -> Login:
    """Where the ticket's user logs in.

    Raises:
        HopError: CONSENT_INVALID, their issuer has no login (any more).
    """
    login = edition.third_parties.logins.get(ticket.sub.partition("|")[0])
    if login is None:
        raise invalid("users of this issuer can't log in here")
    return login


def client_of(edition: Edition, ticket: Ticket) -> OAuthClient:
    """The gateway as a client of the third party's.

    Raises:
        HopError: CONSENT_INVALID, the server asks for no consent (any more).
    """
    server = edition.snapshot.registry.servers.get(ticket.server)
    third = None if server is None else server.upstream.third_party
    client = None if third is None else third.credential
    if not isinstance(client, OAuthClient) or client.grant != "authorization_code":
        raise invalid(f"{ticket.server} asks for no consent")
    return client


async def begin_login(gate: Gate, edition: Edition, ticket: Ticket, browser: str) -> str:
    """The URL of the login at the user's own issuer.

    Raises:
        HopError: CONSENT_INVALID or UPSTREAM_ISSUER_UNAVAILABLE.
    """
    client_of(edition, ticket)
    client = login_of(edition, ticket).client
    return await _sent_to(gate, edition, client, _step(gate, edition, "login", ticket, client, digest_of(browser)))


async def begin_grant(gate: Gate, edition: Edition, step: Step) -> str:
    """The URL of the third party's consent, for the user that ``step`` has proven.

    Raises:
        HopError: CONSENT_INVALID, UPSTREAM_CREDENTIAL or UPSTREAM_ISSUER_UNAVAILABLE.
    """
    client = client_of(edition, step.ticket)
    upstream = edition.snapshot.registry.servers[step.ticket.server].upstream
    third = upstream.third_party
    context = edition.third_parties.contexts[None if third is None else third.ca_file]
    await gate.third_parties.checks.check(upstream.url, client, context, gate.clock())
    return await _sent_to(gate, edition, client, _step(gate, edition, "grant", step.ticket, client, step.browser))


async def accepted(gate: Gate, edition: Edition, answer: Mapping[str, str], browser: str) -> Step:
    """The step that an authorization server's ``answer`` to this browser ends; spent from now on.

    Raises:
        HopError: CONSENT_INVALID: forged, another browser's, another issuer's, too old, or used.
        StoreError: it can't be known whether it was used.
    """
    now = int(gate.clock())
    plain = gate.sealer.open(answer.get("state", ""), _CONTEXT)
    step = None if plain is None else msgspec.json.decode(plain, type=Step)
    if step is None or now >= step.expires:
        raise invalid("the answer is not to a step of now")
    if not browser or not hmac.compare_digest(digest_of(browser), step.browser):
        raise invalid("another browser began this")
    client = login_of(edition, step.ticket).client if step.kind == "login" else client_of(edition, step.ticket)
    if step.issuer != client.issuer:
        raise invalid("the configuration has changed meanwhile")
    endpoints = await _endpoints(gate, client)
    if answer.get("iss", None if endpoints.says_iss else step.issuer) != step.issuer:
        raise invalid("the answer is not of the issuer that was asked (iss)")
    if not await gate.third_parties.spent.spend(f"consent-step:{step.id}", step.expires, now):
        raise invalid("the answer was used already")
    return step


async def prove_user(gate: Gate, edition: Edition, step: Step, code: str) -> None:
    """Check that who logged in is the user whose call asked for consent.

    Raises:
        HopError: CONSENT_USER, it is somebody else; CONSENT_INVALID, UPSTREAM_ISSUER_UNAVAILABLE.
        TokenError: the ID token is not good.
        StoreError: that it is somebody else can't be recorded.
    """
    login = login_of(edition, step.ticket)
    form = {"grant_type": "authorization_code", **_redeeming(edition, step, code)}
    try:
        answer = await gate.third_parties.oauth.server_of(login.client).ask(form, gate.clock())
    except AskError as error:
        raise _failed(error) from None
    if answer.id_token is None:
        raise invalid("the issuer answered without an ID token")
    subject = await subject_of(answer.id_token, login.trusted, login.client.client_id, step.nonce, int(gate.clock()))
    found = f"{login.trusted.issuer.name}|{subject}"
    if found != step.ticket.sub:
        await _record(gate, edition, step, found, Reason.CONSENT_USER)
        raise HopError(Reason.CONSENT_USER, "the link was made for another user's call")


async def keep_grant(gate: Gate, edition: Edition, step: Step, code: str) -> None:
    """Trade the third party's code for tokens, once a ticket, and keep them for the user.

    Raises:
        HopError: CONSENT_INVALID, UPSTREAM_CREDENTIAL or UPSTREAM_ISSUER_UNAVAILABLE.
        StoreError: the consent can't be recorded, or the tokens can't be kept.
    """
    ticket, now = step.ticket, int(gate.clock())
    # Kept as long as any step of the ticket may be answered.
    last = ticket.expires + 2 * edition.third_parties.link_seconds
    if not await gate.third_parties.spent.spend(f"consent:{ticket.hop}", last, now):
        raise invalid("the link was used already")
    await _record(gate, edition, step, ticket.sub, Reason.PERMITTED)
    holder = Holder(ticket.server, client_of(edition, ticket), ticket.sub)
    await gate.third_parties.oauth.redeem(holder, _redeeming(edition, step, code))


async def _record(gate: Gate, edition: Edition, step: Step, user: str, reason: Reason) -> None:
    client = client_of(edition, step.ticket)
    await gate.audit.append(
        ConsentRecord(
            id=f"{step.ticket.hop}.consent.{step.id}",
            at=int(gate.clock() * 1000),
            hop=step.ticket.hop,
            user=user,
            server=step.ticket.server,
            issuer=client.issuer,
            scopes=client.scopes,
            reason=reason,
        )
    )


def digest_of(browser: str) -> str:
    """What a step keeps of a browser's secret."""
    return hashlib.sha256(browser.encode()).hexdigest()


def _step(
    gate: Gate, edition: Edition, kind: Literal["login", "grant"], ticket: Ticket, client: OAuthClient, browser: str
) -> Step:
    return Step(
        kind=kind,
        ticket=ticket,
        id=secrets.token_urlsafe(16),
        browser=browser,
        issuer=client.issuer,
        verifier=secrets.token_urlsafe(48),
        nonce=secrets.token_urlsafe(16),
        expires=int(gate.clock()) + edition.third_parties.link_seconds,
    )


async def _sent_to(gate: Gate, edition: Edition, client: OAuthClient, step: Step) -> str:
    endpoints = await _endpoints(gate, client)
    request = {
        "response_type": "code",
        "client_id": client.client_id,
        "redirect_uri": edition.issuer + CALLBACK_PATH,
        "scope": " ".join(client.scopes),
        "resource": client.resource,
        "state": gate.sealer.seal(msgspec.json.encode(step), _CONTEXT),
        "nonce": step.nonce if step.kind == "login" else "",
        "code_challenge": canonical_base64url(hashlib.sha256(step.verifier.encode()).digest()),
        "code_challenge_method": "S256",
        # OIDC Core §11: offline access is not given without it.
        "prompt": "consent" if "offline_access" in client.scopes else "",
    }
    return f"{endpoints.authorization}?{urlencode({name: value for name, value in request.items() if value})}"


def _redeeming(edition: Edition, step: Step, code: str) -> Mapping[str, str]:
    client = client_of(edition, step.ticket) if step.kind == "grant" else login_of(edition, step.ticket).client
    form = {"code": code, "redirect_uri": edition.issuer + CALLBACK_PATH, "code_verifier": step.verifier}
    return {**form, "resource": client.resource} if client.resource else form


async def _endpoints(gate: Gate, client: OAuthClient) -> Endpoints:
    try:
        return await gate.third_parties.oauth.server_of(client).endpoints(gate.clock())
    except AskError as error:
        raise _failed(error) from None


def _failed(error: AskError) -> HopError:
    reason = Reason.UPSTREAM_ISSUER_UNAVAILABLE if error.unavailable else Reason.CONSENT_INVALID
    return HopError(reason, str(error))
