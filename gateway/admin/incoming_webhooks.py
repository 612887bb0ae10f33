"""``/webhooks/…`` of the admin listener: what people decided elsewhere, said by an integration that proves who it is.

    POST /webhooks/approvals/<id>?integration=<name>      Standard Webhooks, JSON: who decided, and what
    POST /webhooks/slack/<name>                           a press of a button, signed by Slack

The integration says who it was; the registry says who that is, and Cedar whether they may: the request goes on to the
desk as that person's word, as if they had sent it themselves. Nothing else can be done this way, and a link decides
nothing. A request is taken once.
"""

import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl

import msgspec
from msgspec import Meta, Raw, Struct, structs

from gateway.admin.endpoint import Office
from gateway.admin.problem import NO_STORE, problem
from gateway.admin.request import AdminAnswer, AdminRequest, PlaceError, convert, headers_of
from gateway.core.audit import AdminCaller, AdminRecord, canonical_value
from gateway.core.errors import HopError, StoreError
from gateway.core.model import User
from gateway.core.ports import SingleUse
from gateway.core.reasons import Reason
from gateway.core.registry import Registry
from gateway.identity.webhook_signatures import WINDOW_SECONDS, WebhookSignatureError
from gateway.protocols.base import JSON, HttpError
from gateway.protocols.http_head import check_host, split_target
from gateway.protocols.jsonrpc import parse_json
from gateway.protocols.notices.slack import APPROVE, REFUSE

PREFIX = "/webhooks/"
FORM = "application/x-www-form-urlencoded"
_STANDARD = re.compile(r"/webhooks/approvals/([0-9a-z]{1,64})")
_SLACK = re.compile(r"/webhooks/slack/([A-Za-z0-9_.-]{1,128})")
_ID = re.compile(r"[0-9a-z]{1,64}")
Handle = Callable[[AdminRequest], Awaitable[AdminAnswer]]
Verify = Callable[[Mapping[str, str], bytes, int], tuple[str, int]]
"""Headers, body and Unix seconds → what names the request, and its moment; raises WebhookSignatureError."""


class Integration(Struct, frozen=True):
    """Somebody whose word is taken for who decided."""

    name: str
    kind: Literal["standard", "slack"]
    verify: Verify
    people: Mapping[str, str]
    """Its name for a person → the registered person."""
    team: str | None


class Decided(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of ``POST /webhooks/approvals/<id>``."""

    decision: Literal["approve", "refuse"]
    by: Annotated[str, Meta(min_length=1, max_length=256)]
    """The integration's name for the person."""
    comment: Annotated[str, Meta(max_length=512)] = ""
    version: Annotated[int, Meta(ge=1)] | None = None
    """Only as it was told under this version."""


class _SlackUser(Struct, frozen=True):
    id: Annotated[str, Meta(max_length=256)]


class _SlackTeam(Struct, frozen=True):
    id: Annotated[str, Meta(max_length=256)]


class _SlackAction(Struct, frozen=True):
    action_id: str
    value: str = ""


class _SlackPress(Struct, frozen=True):
    """What Hopgate reads of Slack's ``block_actions``."""

    type: Literal["block_actions"]
    user: _SlackUser
    team: _SlackTeam
    actions: Annotated[tuple[_SlackAction, ...], Meta(min_length=1, max_length=1)]


class Incoming:
    """Serves these paths, and hands everything else on."""

    def __init__(
        self,
        office: Office,
        integrations: Callable[[str], Integration | None],
        single_use: SingleUse,
        desk: Handle,
        others: Handle,
    ) -> None:
        self._office = office
        self._integrations = integrations
        self._single_use = single_use
        self._desk = desk
        self._others = others

    async def handle(self, request: AdminRequest) -> AdminAnswer:
        """The answer to one request."""
        if not request.target.startswith(PREFIX):
            return await self._others(request)
        office = self._office
        try:
            headers = headers_of(request)
            check_host(headers, office.edition().allowed)
            if request.method != "POST":
                raise HttpError(Reason.HTTP_METHOD, "webhooks are posted", status=405, allow="POST")
            path, query = split_target(request.target, 4, 1024)
            approval, integration = self._addressed(path, query)
            now = int(office.clock())
            body = await self._verified(request, headers, integration, now)
        except HopError as error:
            office.metrics.refused_unrecorded(error.reason)
            office.refusals.refused(error.reason, source="webhook", detail=error.detail)
            return problem(error, office.new_id())
        try:
            decided, approval = self._read(integration, approval, headers, body)
        except HopError as error:
            return await self._refused(request, integration, error)
        if decided is None:
            return AdminAnswer(200, (NO_STORE,), b"")
        try:
            user = self._person(integration, decided.by)
        except HopError as error:
            return await self._refused(request, integration, error, decided)
        answer = await self._desk(_as_their_word(request, headers, integration, user, approval, decided))
        # Slack shows bodies that it can read to everybody in the channel.
        return AdminAnswer(200, (NO_STORE,), b"") if integration.kind == "slack" and answer.status == 200 else answer

    def _addressed(self, path: str, query: Mapping[str, str]) -> tuple[str, Integration]:
        """The approval, where the path says it, and the integration."""
        if (found := _STANDARD.fullmatch(path)) is not None and set(query) == {"integration"}:
            integration, kind, approval = self._integrations(query["integration"]), "standard", found[1]
        elif (found := _SLACK.fullmatch(path)) is not None and not query:
            integration, kind, approval = self._integrations(found[1]), "slack", ""
        else:
            detail = "webhooks come in at /webhooks/approvals/<id>?integration=<name> and /webhooks/slack/<name>"
            raise HopError(Reason.NOT_FOUND, detail)
        if integration is None or integration.kind != kind:
            # Which ones there are is nobody's business.
            raise HopError(Reason.WEBHOOK_SIGNATURE, "no signature is of a key of the integration")
        return approval, integration

    async def _verified(
        self, request: AdminRequest, headers: Mapping[str, str], integration: Integration, now: int
    ) -> bytes:
        """The body, of the integration's own, and for the first time."""
        edition = self._office.edition()
        body = await request.read_body(edition.body_bytes, edition.limits.body_seconds)
        try:
            name, at = integration.verify(headers, body, now)
        except WebhookSignatureError as error:
            raise HopError(Reason.WEBHOOK_SIGNATURE, str(error)) from None
        presented = msgspec.json.encode([name, at, hashlib.sha256(body).hexdigest()])
        key = f"webhook {integration.name} {hashlib.sha256(presented).hexdigest()}"
        if not await self._single_use.spend(key, at + WINDOW_SECONDS, now):
            raise HopError(Reason.WEBHOOK_REPLAYED, f"{integration.name} sent it before")
        return body

    def _read(
        self, integration: Integration, approval: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[Decided | None, str]:
        """What was decided of which approval; None where something else was pressed."""
        limits = self._office.edition().limits
        wanted = JSON if integration.kind == "standard" else FORM
        if headers.get("content-type", "").partition(";")[0].strip().lower() != wanted or "content-encoding" in headers:
            raise HopError(Reason.CONTENT_TYPE, f"the body is to be {wanted}, uncompressed")
        if integration.kind == "standard":
            return convert(parse_json(body, limits), Decided, "$"), approval
        press = convert(parse_json(_payload(body), limits), _SlackPress, "$payload")
        if press.team.id != integration.team:
            raise HopError(Reason.WEBHOOK_PERSON, f"workspace {press.team.id} is not the integration's")
        [action] = press.actions
        if action.action_id not in (APPROVE, REFUSE):
            return None, ""
        if not _ID.fullmatch(action.value):
            raise PlaceError("it is no id of an approval", "$payload.actions[0].value")
        decision: Literal["approve", "refuse"] = "approve" if action.action_id == APPROVE else "refuse"
        return Decided(decision=decision, by=press.user.id), action.value

    def _person(self, integration: Integration, by: str) -> User:
        name = integration.people.get(by)
        user = None if name is None else _user(self._office.edition().registry, name)
        if user is None:
            raise HopError(Reason.WEBHOOK_PERSON, f"{integration.name} maps nobody registered to {by!r}"[:300])
        return user

    async def _refused(
        self, request: AdminRequest, integration: Integration, error: HopError, decided: Decided | None = None
    ) -> AdminAnswer:
        """The refusal of a verified integration, on record."""
        office, edition = self._office, self._office.edition()
        name = office.new_id()
        record = AdminRecord(
            id=name,
            at=int(office.clock() * 1000),
            caller=AdminCaller(id=f"webhook:{integration.name}", via="webhook", name=integration.name),
            action="approve",
            method=request.method,
            path=request.target.partition("?")[0],
            verdict="refused",
            reason=error.reason,
            detail=error.detail[:512],
            request=Raw(b"null") if decided is None else canonical_value(structs.asdict(decided)),
            bundle=edition.bundle.digest,
            generation=edition.generation,
        )
        try:
            await office.audit.append(record)
        except StoreError as lost:
            office.log.error("webhook refusal not recorded", id=name, reason=error.reason, detail=lost.detail)
            error = lost
        return problem(error, name)


def _as_their_word(
    request: AdminRequest,
    headers: Mapping[str, str],
    integration: Integration,
    user: User,
    approval: str,
    decided: Decided,
) -> AdminRequest:
    """The same as a request of the person to the admin API; of the webhook's head only the host goes on."""
    caller = AdminCaller(id=user.sub, via="webhook", name=integration.name, roles=user.roles, groups=user.groups)
    body = msgspec.json.encode({"comment": decided.comment})
    found = [("content-type", JSON), *((name, headers[name]) for name in ("host", "origin") if name in headers)]
    if decided.version is not None:
        found.append(("if-match", f'"{decided.version}"'))

    async def read_body(most: int, seconds: float) -> bytes:
        return body

    return structs.replace(
        request,
        target=f"/api/v1/approvals/{approval}/{decided.decision}",
        headers=found,
        peer=None,
        socket=None,
        read_body=read_body,
        vouched=(caller, user),
    )


def _user(registry: Registry, name: str) -> User | None:
    person = registry.people.get(name)
    if person is None:
        return None
    return User(
        issuer=person.issuer,
        idp=person.id.partition("|")[0],
        subject=person.subject,
        email=person.email,
        roles=person.roles,
        groups=person.groups,
    )


def _payload(body: bytes) -> bytes:
    """The one field of Slack's form."""
    try:
        fields: Any = parse_qsl(body.decode("ascii"), keep_blank_values=True, strict_parsing=True, max_num_fields=1)
    except (UnicodeDecodeError, ValueError):
        raise HopError(Reason.BODY_MALFORMED, "the body is no form with one field") from None
    if len(fields) != 1 or fields[0][0] != "payload":
        raise PlaceError("the form is to have the field payload, and no other", "$payload")
    return str(fields[0][1]).encode()
