"""Sends what the outbox holds: one letter of a target at a time, each target for itself, until stopped.

A letter is claimed before it is sent and settled after; killed in between, it is sent again under the same id. What is
told is ``core.webhook_letters``', how it looks ``protocols.notices``', where it may go ``proxy.webhook_client``'s.
"""

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence

import msgspec
from msgspec import Struct
from structlog.typing import FilteringBoundLogger

from gateway.app.webhook_keys import keys_of, url_of
from gateway.config.secret_references import SecretError
from gateway.config.settings import Settings
from gateway.core.approval import Approval
from gateway.core.approval_port import Approvals
from gateway.core.errors import StoreError, UpstreamError
from gateway.core.webhook_letters import (
    Letter,
    Letters,
    Notice,
    TargetTerms,
    after_attempt,
    delay_of,
    letters_of,
    notice_of,
    retry_after,
    still_true,
)
from gateway.identity.approval_links import signed_link
from gateway.identity.webhook_signatures import WebhookKeyError, signed_headers
from gateway.protocols.notices import body_of
from gateway.proxy.webhook_client import TargetError, Webhooks
from gateway.telemetry.webhook_metrics import WebhookMetrics

LOOK_SECONDS = 1.0
FORGET_SECONDS = 60.0
CLAIM_SECONDS = 120.0
"""Longer than an attempt may take; after a kill a letter is sent again once it is over."""
AGENT = "hopgate-webhooks"
DAY_MS = 86_400_000
_DECODER = msgspec.json.Decoder(Notice)


class TellingOffice(Struct, frozen=True, kw_only=True):
    """What the sender is made of."""

    letters: Letters
    approvals: Approvals
    settings: Callable[[], Settings]
    """Of the generation in force."""
    client: Callable[[], Webhooks]
    link_base: Callable[[], str | None]
    """Base of the pages of approvals."""
    link_key: bytes
    environ: Mapping[str, str]
    clock: Callable[[], float]
    """Unix seconds."""
    metrics: WebhookMetrics
    log: FilteringBoundLogger
    chance: Callable[[], float] = secrets.SystemRandom().random


def targets_of(settings: Settings) -> Mapping[str, TargetTerms]:
    """What the configured targets want to hear."""
    hooks = settings.webhooks
    return {
        name: TargetTerms(events=each.events, groups=each.groups, retry_seconds=int(hooks.retry_hours * 3600))
        for name, each in hooks.targets.items()
    }


def telling(
    settings: Callable[[], Settings], clock: Callable[[], float]
) -> Callable[[Approval | None, Approval], Sequence[Letter]]:
    """What is told of a change of an approval, by the settings of the moment."""
    return lambda before, after: letters_of(before, after, targets_of(settings()), int(clock() * 1000))


class Sender:
    """Sends the letters of one process."""

    def __init__(self, office: TellingOffice) -> None:
        self._office = office
        self._busy: set[str] = set()
        self._rests: dict[str, float] = {}
        self._failing = False

    async def run(self) -> None:
        """Look for what is due, forever; a store that fails is asked again."""
        office, forgotten = self._office, 0.0
        async with asyncio.TaskGroup() as tasks:
            while True:
                try:
                    for target in await self.due():
                        self._busy.add(target)
                        tasks.create_task(self._drained(target))
                    if office.clock() - forgotten > FORGET_SECONDS:
                        forgotten = office.clock()
                        await self.tidy()
                    self._failing = False
                except StoreError as error:
                    self._failed(error)
                await asyncio.sleep(LOOK_SECONDS)

    async def due(self) -> tuple[str, ...]:
        """Targets that have something to be told now, and are neither being told nor resting."""
        now = self._office.clock()
        found = await self._office.letters.targets(int(now * 1000))
        return tuple(each for each in found if each not in self._busy and self._rests.get(each, 0.0) <= now)

    async def drain(self, target: str) -> int:
        """Send what is due to ``target`` until it fails or nothing is; how many attempts that took.

        Raises:
            StoreError: the outbox can't be asked; what was claimed is sent again later.
        """
        office, attempts = self._office, 0
        while True:
            now = office.clock()
            letter = await office.letters.claim(target, int(now * 1000), int((now + CLAIM_SECONDS) * 1000))
            if letter is None:
                return attempts
            attempts += 1
            if not await self._attempt(letter):
                return attempts

    async def tidy(self) -> None:
        """Forget old letters, and count the others."""
        office = self._office
        keep = office.settings().webhooks.keep_days
        await office.letters.forget(int(office.clock() * 1000) - keep * DAY_MS)
        office.metrics.counted(await office.letters.counts())

    async def _drained(self, target: str) -> None:
        try:
            await self.drain(target)
        except StoreError as error:
            self._failed(error)
        finally:
            self._busy.discard(target)

    async def _attempt(self, claimed: Letter) -> bool:
        """Whether the target can be told more at once."""
        office = self._office
        now = office_now(office)
        approval = await self._needed(claimed)
        if not still_true(claimed, approval, now):
            done = msgspec.structs.replace(claimed, standing="delivered", last_at=now, detail="nobody waits any more")
            await office.letters.settle(claimed, done)
            office.metrics.attempted(claimed.target, "dropped")
            return True
        status, detail, asked = await self._posted(claimed, approval)
        now = office_now(office)
        after = after_attempt(claimed, now, office.chance(), status, detail, asked)
        await office.letters.settle(claimed, after)
        if after.standing == "delivered":
            office.metrics.attempted(claimed.target, "delivered")
            return True
        self._rests[claimed.target] = now / 1000 + delay_of(1, office.chance(), asked)
        said = {"target": claimed.target, "letter": claimed.id, "attempts": after.attempts, "detail": after.detail}
        if after.standing == "dead":
            office.metrics.attempted(claimed.target, "dead")
            office.log.error("webhook letter is dead", **said)
        else:
            office.metrics.attempted(claimed.target, "retried")
            office.log.warning("webhook not delivered", **said)
        return False

    async def _needed(self, letter: Letter) -> Approval | None:
        """The approval, where it matters how it stands by now."""
        if letter.event != "approval.escalated":
            return None
        kept = await self._office.approvals.find(letter.approval)
        return None if kept is None else kept.approval

    async def _posted(self, letter: Letter, approval: Approval | None) -> tuple[int | None, str, float | None]:
        """Status, what to say of it, and what the target asks for; no status where there was no answer."""
        office, settings = self._office, self._office.settings()
        target = settings.webhooks.targets.get(letter.target)
        if target is None:
            return 410, "the target is not configured any more", None
        try:
            url, keys = url_of(target, office.environ), keys_of(target, office.environ)
            body = body_of(target.format, self._notice(letter, approval), buttons=target.interactive is not None)
            headers = {"Content-Type": "application/json", "User-Agent": AGENT}
            headers |= signed_headers(keys, letter.id, int(office.clock()), body)
            answer = await office.client().post(url, headers, body, settings.webhooks.timeout_seconds)
        except (SecretError, WebhookKeyError) as error:
            return None, f"webhooks.targets.{letter.target}: {error}", None
        except TargetError as error:
            return None, f"the target may not be asked: {error}", None
        except UpstreamError as error:
            return None, f"{error.reason}: {error.detail}", None
        return answer.status, "", retry_after(answer.retry_after, office.clock())

    def _notice(self, letter: Letter, approval: Approval | None) -> Notice:
        notice, base = _DECODER.decode(letter.notice), self._office.link_base()
        if approval is not None:
            found = notice_of(letter.event, approval, letter.made_at, notice.data.escalated_to)
            notice = msgspec.structs.replace(found, timestamp=notice.timestamp)
        if base is None:
            return notice
        link = signed_link(base, notice.data.id, notice.data.decide_by, self._office.link_key)
        return msgspec.structs.replace(notice, data=msgspec.structs.replace(notice.data, url=link))

    def _failed(self, error: StoreError) -> None:
        # Once, not every second.
        if not self._failing:
            self._office.log.error("webhooks", reason=error.reason, detail=error.detail)
        self._failing = True


def office_now(office: TellingOffice) -> int:
    """Unix milliseconds."""
    return int(office.clock() * 1000)
