"""``webhooks``: where they may lead, who is told of approvals by them, and whose decisions come in by them."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

from msgspec import Meta

from gateway.config.problems import Fault
from gateway.config.section import Section
from gateway.config.words import FilePath, HttpsUrl, Label, Name, Network, PersonId, SecretReference
from gateway.core.webhook_letters import EVENTS, Event

DAY = 86_400
Secrets = tuple[SecretReference, ...]


class WebhookTarget(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Somebody who is told of approvals."""

    url: Annotated[HttpsUrl | None, Meta(description="Where it is posted to.")] = None
    url_from: Annotated[
        SecretReference | None,
        Meta(description="Reference to the URL, where knowing it is leave to post, as with Slack's and Teams'."),
    ] = None
    format: Annotated[
        Literal["json", "slack", "teams"],
        Meta(description="`json`: as in schemas/webhook.schema.json; Slack's Block Kit; an Adaptive Card for Teams."),
    ] = "json"
    secrets: Annotated[
        Secrets,
        Meta(
            max_length=8,
            description="References to the keys that sign by Standard Webhooks: `whsec_…` for HMAC, `whsk_…` for "
            "Ed25519. All of them sign: name the new one beside the old one to rotate. Read anew for each request.",
        ),
    ] = ()
    events: Annotated[tuple[Event, ...], Meta(min_length=1, description="What it is told; all by default.")] = EVENTS
    groups: Annotated[
        tuple[Label, ...],
        Meta(description="Only of approvals that one of these groups may decide; without any, of all."),
    ] = ()
    interactive: Annotated[
        Name | None,
        Meta(description="Slack only: the integration of `kind: slack` whose people may decide by buttons."),
    ] = None

    def faults(self) -> Iterable[Fault]:
        """One URL, a signature where nothing else says who posts, buttons only where Slack has some."""
        if (self.url is None) == (self.url_from is None):
            yield Fault(("url",), "a target has one URL", "set url or url_from")
        if self.format == "json" and not self.secrets:
            hint = "make one: echo whsec_$(head -c32 /dev/urandom | base64), and name its file"
            yield Fault(("secrets",), "what isn't signed can't be believed", hint)
        if self.interactive is not None and self.format != "slack":
            yield Fault(
                ("interactive",), f"{self.format} has no buttons that decide", "remove it, or set format: slack"
            )


class WebhookIntegration(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Somebody who says by webhook what people have decided. Cedar judges these people as it does by their tokens."""

    kind: Annotated[
        Literal["standard", "slack"],
        Meta(
            description="`standard`: `POST /webhooks/approvals/<id>?integration=<name>`, signed by Standard Webhooks. "
            "`slack`: `POST /webhooks/slack/<name>`, the Request URL of a Slack app's interactivity."
        ),
    ]
    secrets: Annotated[
        Secrets,
        Meta(
            min_length=1,
            max_length=8,
            description="References to what verifies it: `whsec_…` or, for Ed25519, `whpk_…`; Slack's signing secret. "
            "Any one of them is enough. Read anew for each request.",
        ),
    ]
    team: Annotated[Label | None, Meta(description="Slack only: the id of the workspace (`T…`).")] = None
    people: Annotated[
        Mapping[Label, PersonId],
        Meta(
            min_length=1,
            description="Its name for a person → the registered person. Slack: the user id (`U…`). No others decide. "
            "Roles and groups are those of the registry.",
        ),
    ]

    def faults(self) -> Iterable[Fault]:
        """A workspace for Slack only, and there in any case."""
        if self.kind == "slack" and self.team is None:
            yield Fault(("team",), "user ids are a workspace's own", "set the workspace's id, T…")
        if self.kind != "slack" and self.team is not None:
            yield Fault(("team",), "only Slack has workspaces", "remove it")


class Webhooks(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Webhooks, of A2A push notifications and of approvals: by https to public addresses, and what is named here."""

    networks: Annotated[
        tuple[Network, ...], Meta(description="Networks (CIDR) of webhooks that have no public address.")
    ] = ()
    ca_file: Annotated[
        FilePath | None, Meta(description="PEM certificates trusted for webhooks' TLS, in place of the system's.")
    ] = None
    targets: Annotated[Mapping[Name, WebhookTarget], Meta(description="Who is told of approvals.")] = {}
    integrations: Annotated[
        Mapping[Name, WebhookIntegration], Meta(description="Whose people decide approvals by webhook.")
    ] = {}
    timeout_seconds: Annotated[
        float, Meta(gt=0, le=60, description="How long a target of approvals may take to answer.")
    ] = 15.0
    retry_hours: Annotated[
        float, Meta(gt=0, le=720, description="How long it is tried again, ever more rarely, until a letter is dead.")
    ] = 72.0
    keep_days: Annotated[
        int, Meta(ge=1, le=366, description="How long letters are listed that were delivered, or are dead.")
    ] = 30

    def faults(self) -> Iterable[Fault]:
        """Buttons have somebody who listens."""
        for name, target in self.targets.items():
            if target.interactive is None:
                continue
            found = self.integrations.get(target.interactive)
            if found is None or found.kind != "slack":
                message = f"no integration of kind: slack is named {target.interactive}"
                yield Fault(("targets", name, "interactive"), message, "name one of webhooks.integrations")
