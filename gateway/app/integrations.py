"""The integrations whose people decide approvals by webhook, from the settings of the moment."""

from collections.abc import Mapping

from gateway.admin.incoming_webhooks import Integration, Verify
from gateway.app.webhook_keys import slack_secrets, verifying_keys
from gateway.config.secret_references import SecretError
from gateway.config.settings import Settings
from gateway.config.webhook_settings import WebhookIntegration
from gateway.core.errors import HopError
from gateway.core.reasons import Reason
from gateway.identity.webhook_signatures import WebhookKeyError, verified, verified_slack


def integration_of(settings: Settings, name: str, environ: Mapping[str, str]) -> Integration | None:
    """The integration of that name; its keys are read when something is verified."""
    found = settings.webhooks.integrations.get(name)
    if found is None:
        return None
    return Integration(name, found.kind, _verify(name, found, environ), found.people, found.team)


def _verify(name: str, integration: WebhookIntegration, environ: Mapping[str, str]) -> Verify:
    def verify(headers: Mapping[str, str], body: bytes, now: int) -> tuple[str, int]:
        try:
            if integration.kind == "slack":
                return verified_slack(slack_secrets(integration, environ), headers, body, now)
            return verified(verifying_keys(integration, environ), headers, body, now)
        except (SecretError, WebhookKeyError) as error:
            raise HopError(Reason.INTERNAL_ERROR, f"webhooks.integrations.{name}: {error}") from None

    return verify
