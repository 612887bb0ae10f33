"""``approvals``: how long people have, how many of them it takes, and whom it falls to where they are silent."""

from collections.abc import Iterable, Mapping
from typing import Annotated

from msgspec import Meta

from gateway.config.problems import Fault
from gateway.config.section import Section
from gateway.config.words import Label, OriginUrl

Delay = Annotated[int, Meta(ge=1, le=30 * 86_400)]


class ApprovalGroup(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one group of an `@approval` decides."""

    quorum: Annotated[int, Meta(ge=1, le=16, description="How many different people of it have to say yes.")] = 1
    escalate_to: Annotated[
        Label | None, Meta(description="The group that may decide in its place as well, once it has been silent.")
    ] = None
    escalate_seconds: Annotated[Delay | None, Meta(description="After how long; needed with `escalate_to`.")] = None

    def faults(self) -> Iterable[Fault]:
        """Both about escalation, or neither."""
        if (self.escalate_to is None) != (self.escalate_seconds is None):
            key = "escalate_seconds" if self.escalate_seconds is None else "escalate_to"
            yield Fault((key,), "escalation takes a group and a time", "set escalate_to and escalate_seconds, or none")


class ApprovalSettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Approvals of the calls that an `@approval` policy forbids."""

    decide_seconds: Annotated[
        int, Meta(ge=1, le=30 * 86_400, description="How long people have to decide; silence denies.")
    ] = 3600
    use_seconds: Annotated[
        int, Meta(ge=1, le=30 * 86_400, description="How long what they approved may be used, once.")
    ] = 900
    hold_seconds: Annotated[
        float,
        Meta(
            ge=0,
            le=300,
            description="How long a call that asks again waits for people before it is answered. Shorter than clients "
            "and load balancers wait. The first answer is at once.",
        ),
    ] = 15.0
    again_seconds: Annotated[
        int,
        Meta(
            ge=0,
            le=86_400,
            description="How long a refusal, silence or an unknown outcome stands before the same call may be asked "
            "for anew.",
        ),
    ] = 300
    settle_seconds: Annotated[
        int,
        Meta(
            ge=1,
            le=30 * 86_400,
            description="After how long a call that was sent and has no outcome is taken for one of unknown outcome.",
        ),
    ] = 3600
    keep_days: Annotated[
        int, Meta(ge=1, le=3660, description="How long approvals are listed once they have ended; the log keeps all.")
    ] = 90
    pending_per_caller: Annotated[
        int, Meta(ge=1, le=10_000, description="Most open approvals of one user and agent; more are refused with 429.")
    ] = 50
    argument_bytes: Annotated[
        int,
        Meta(ge=256, le=1024 * 1024, description="Largest arguments that people are shown; larger calls are denied."),
    ] = 65_536
    url: Annotated[
        OriginUrl | None,
        Meta(
            description="Where people reach the admin listener: `<url>/approvals/<id>` is what clients are told to "
            "open. By default the host of `public_url` and the port of `listen.admin`; without either, no link."
        ),
    ] = None
    groups: Annotated[
        Mapping[Label, ApprovalGroup], Meta(description="Group of an `@approval` → how it decides; others: one yes.")
    ] = {}
