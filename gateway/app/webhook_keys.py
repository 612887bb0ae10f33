"""Keys and URLs of the configured webhooks, read anew each time: to rotate one is to change its file.

Doesn't keep them. Errors name the reference, never what is behind it.
"""

from collections.abc import Mapping

from gateway.config.secret_references import resolve
from gateway.config.settings import Settings
from gateway.config.webhook_settings import WebhookIntegration, WebhookTarget
from gateway.identity.webhook_signatures import (
    SigningKey,
    VerifyingKey,
    WebhookKeyError,
    signing_key,
    verifying_key,
)

SLACK_SECRET_BYTES = 16


def check_webhooks(settings: Settings, environ: Mapping[str, str]) -> None:
    """Whether all of them can be used now.

    Raises:
        SecretError, WebhookKeyError: one can't; the text names it.
    """
    for target in settings.webhooks.targets.values():
        url_of(target, environ)
        keys_of(target, environ)
    for integration in settings.webhooks.integrations.values():
        if integration.kind == "slack":
            slack_secrets(integration, environ)
        else:
            verifying_keys(integration, environ)


def url_of(target: WebhookTarget, environ: Mapping[str, str]) -> str:
    """Where the target is.

    Raises:
        SecretError: the reference can't be resolved.
    """
    if target.url is not None:
        return target.url
    return resolve(str(target.url_from), environ).decode("utf-8", "replace").strip()


def keys_of(target: WebhookTarget, environ: Mapping[str, str]) -> tuple[SigningKey, ...]:
    """What the target's letters are signed with.

    Raises:
        SecretError, WebhookKeyError: one of its references can't be resolved, or is no key.
    """
    found = []
    for reference in target.secrets:
        try:
            found.append(signing_key(resolve(reference, environ)))
        except WebhookKeyError as error:
            raise WebhookKeyError(f"{reference}: {error}") from None
    return tuple(found)


def verifying_keys(integration: WebhookIntegration, environ: Mapping[str, str]) -> tuple[VerifyingKey, ...]:
    """What verifies an integration of ``kind: standard``.

    Raises:
        SecretError, WebhookKeyError: one of its references can't be resolved, or is no key.
    """
    found = []
    for reference in integration.secrets:
        try:
            found.append(verifying_key(resolve(reference, environ)))
        except WebhookKeyError as error:
            raise WebhookKeyError(f"{reference}: {error}") from None
    return tuple(found)


def slack_secrets(integration: WebhookIntegration, environ: Mapping[str, str]) -> tuple[bytes, ...]:
    """The signing secrets of a Slack app.

    Raises:
        SecretError, WebhookKeyError: one of its references can't be resolved, or is too short to be one.
    """
    found = []
    for reference in integration.secrets:
        secret = resolve(reference, environ).strip()
        if len(secret) < SLACK_SECRET_BYTES:
            raise WebhookKeyError(f"{reference}: Slack's signing secrets are longer")
        found.append(secret)
    return tuple(found)
