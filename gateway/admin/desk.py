"""One admin request, in order: head, caller, endpoint, reading, leave by Cedar, record, effect, answer.

What changes something is recorded durably before it is done, and so is every refusal of a known caller. Doesn't
know which HTTP library carries it, or any resource.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import Raw

from gateway.admin.callers import Known, caller_of
from gateway.admin.edition import AdminEdition
from gateway.admin.endpoint import Asked, Endpoint, Office, Told
from gateway.admin.problem import NO_STORE, problem
from gateway.admin.request import AdminAnswer, AdminRequest, convert, headers_of, read_json
from gateway.core.administration import Principal, Question, Verdict, decide
from gateway.core.audit import AdminRecord, canonical_value
from gateway.core.errors import HopError, StoreError
from gateway.core.model import User
from gateway.core.reasons import Reason
from gateway.core.registry import Registry
from gateway.protocols.base import HttpError
from gateway.protocols.http_head import check_host, split_target

QUERY_FIELDS = 16
QUERY_CHARS = 8192
PATH_CHARS = 300
BY_SOCKET = "socket-override"
"""Stands in records for the policy that was not asked."""


@dataclass
class _Visit:
    """What is known so far of one request."""

    id: str
    at: int
    request: AdminRequest
    edition: AdminEdition
    path: str = ""
    known: Known | None = None
    action: str = ""
    detail: str = ""
    noted: Any = None
    """What the record holds of the body."""
    verdict: Verdict | None = None
    permitted: bool = False
    """Whether its permit is recorded."""


class Desk:
    """Serves the endpoints."""

    def __init__(self, office: Office, endpoints: Sequence[Endpoint]) -> None:
        self._office = office
        self._endpoints = endpoints

    async def handle(self, request: AdminRequest) -> AdminAnswer:
        """The answer to one request, whatever happens on the way."""
        office = self._office
        visit = _Visit(office.new_id(), int(office.clock() * 1000), request, office.edition())
        try:
            return await self._serve(visit)
        except HopError as error:
            return await self._refuse(visit, error)
        except (ArithmeticError, LookupError, TypeError, ValueError, OSError, RuntimeError) as error:
            # A mistake of ours. What isn't one of these ends the connection instead.
            office.log.error("admin request failed", id=visit.id, error=type(error).__name__, exc_info=True)
            return await self._refuse(visit, HopError(Reason.INTERNAL_ERROR, type(error).__name__))

    async def _serve(self, visit: _Visit) -> AdminAnswer:
        office, request, edition = self._office, visit.request, visit.edition
        headers = headers_of(request)
        if request.via == "tls":
            check_host(headers, edition.allowed)
        visit.path = request.target.partition("?")[0][:PATH_CHARS]
        visit.known = known = await caller_of(request, headers, edition, visit.at // 1000)
        path, query = split_target(request.target, QUERY_FIELDS, QUERY_CHARS)
        if known.principal is not None:
            await office.check_revoked(known.principal)
        endpoint, names = self._endpoint(request.method, path)
        body = None
        if endpoint.body is not None:
            most = edition.policy_bytes if endpoint.large else edition.body_bytes
            body = await read_json(request, headers, most, edition.limits)
            visit.noted = endpoint.noted(body)
        asked = Asked(
            id=visit.id,
            at=visit.at,
            caller=known.caller,
            principal=known.principal,
            names=names,
            query=convert(query, endpoint.query, "$query", strict=False),
            body=None if endpoint.body is None else convert(body, endpoint.body, "$"),
            headers=headers,
        )
        await self._decide(visit, known, endpoint, asked)
        return _answer(await endpoint.handle(office, asked))

    def _endpoint(self, method: str, path: str) -> tuple[Endpoint, Mapping[str, str]]:
        found = [(each, names) for each in self._endpoints if (names := each.names(path)) is not None]
        for endpoint, names in found:
            if endpoint.method == method:
                return endpoint, names
        if not found:
            raise HopError(Reason.NOT_FOUND, "the admin API has no such path")
        allow = ", ".join(sorted(endpoint.method for endpoint, _ in found))
        raise HttpError(Reason.HTTP_METHOD, f"the path has {allow}", status=405, allow=allow)

    async def _decide(self, visit: _Visit, known: Known, endpoint: Endpoint, asked: Asked) -> None:
        """Leave to go on, on record where something will change."""
        found = await endpoint.question(self._office, asked)
        questions = found if isinstance(found, tuple) else (found,)
        visit.action, visit.detail = questions[0].action, questions[0].detail
        if known.principal is None:
            visit.verdict = Verdict(True, (BY_SOCKET,))
            log = self._office.log.warning if endpoint.writes else self._office.log.info
            log("admin override", id=visit.id, caller=known.caller.id, action=visit.action, path=visit.path)
        else:
            self._ask_policies(visit, known, known.principal, questions)
        if endpoint.writes:
            await self._office.audit.append(_record(visit, known, "permit", Reason.PERMITTED, visit.detail))
            visit.permitted = True

    def _ask_policies(self, visit: _Visit, known: Known, who: Principal, questions: Sequence[Question]) -> None:
        """All questions have to be permitted; the first that isn't ends it."""
        team = _team_of(who, visit.edition.registry)
        by: set[str] = set()
        for question in questions:
            visit.verdict = verdict = decide(who, question, visit.edition.bundle, visit.at, team)
            if verdict.error is not None:
                raise HopError(Reason.POLICY_ERROR, verdict.error)
            if not verdict.allowed:
                reason = Reason.FORBIDDEN if verdict.policies else Reason.NO_PERMIT
                raise HopError(reason, f"{known.caller.id} may not {question.action} {question.collection}")
            by.update(verdict.policies)
        visit.verdict = Verdict(True, tuple(sorted(by)))

    async def _refuse(self, visit: _Visit, error: HopError) -> AdminAnswer:
        office, known = self._office, visit.known
        if known is None:
            office.metrics.refused_unrecorded(error.reason)
            office.refusals.refused(error.reason, source="admin", detail=error.detail)
            return problem(error, visit.id)
        verdict = "failed" if visit.permitted else "refused"
        if error.reason in (Reason.NO_PERMIT, Reason.FORBIDDEN):
            verdict = "deny"
        detail = "; ".join(filter(None, (error.detail, visit.detail)))
        try:
            await office.audit.append(_record(visit, known, verdict, error.reason, detail))
        except StoreError as lost:
            office.log.error("admin refusal not recorded", id=visit.id, reason=error.reason, detail=lost.detail)
            error = lost
        return problem(error, visit.id)


def _record(visit: _Visit, known: Known, verdict: Any, reason: Reason, detail: str = "") -> AdminRecord:
    found = visit.verdict
    return AdminRecord(
        id=visit.id if verdict != "failed" else f"{visit.id}.failed",
        at=visit.at,
        caller=known.caller,
        action=visit.action,
        method=visit.request.method[:16],
        path=visit.path,
        verdict=verdict,
        reason=reason,
        detail=detail[:512],
        request=Raw(b"null") if visit.noted is None else canonical_value(visit.noted),
        policies=() if found is None else found.policies,
        bundle=visit.edition.bundle.digest,
        generation=visit.edition.generation,
    )


def _team_of(who: Principal, registry: Registry) -> str | None:
    person = registry.people.get(who.sub) if isinstance(who, User) else None
    return None if person is None else person.team


def _answer(told: Told) -> AdminAnswer:
    if told.body is None:
        return AdminAnswer(told.status, (NO_STORE, *told.headers), b"")
    body = msgspec.json.encode(told.body)
    return AdminAnswer(told.status, (("Content-Type", "application/json"), NO_STORE, *told.headers), body)
