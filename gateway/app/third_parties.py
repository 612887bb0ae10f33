"""From settings and registry to what third parties' upstreams are asked with. Fetches nothing yet."""

import asyncio
from collections.abc import Callable, Mapping

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.app.parts import third_party_contexts
from gateway.config.secret_references import SecretError, resolve
from gateway.config.settings import Settings
from gateway.core.ports import Sealer
from gateway.core.registry import Registry
from gateway.core.third_party import OAuthClient
from gateway.identity.resource_metadata import ResourceChecks
from gateway.identity.tokens import TrustedIssuer
from gateway.identity.upstream_oauth import UpstreamOauth
from gateway.proxy.third_party import Login, Terms, ThirdParties
from gateway.store.single_use import SqlSingleUse
from gateway.store.upstream_tokens import SqlUpstreamTokens


def terms_of(settings: Settings, registry: Registry, issuers: tuple[TrustedIssuer, ...]) -> Terms:
    """What this generation says of third parties.

    Raises:
        PartError: a ``ca_file`` can't be used.
    """
    return Terms(third_party_contexts(registry), _logins(settings, issuers), settings.consent.link_seconds)


def third_parties(
    settings: Settings, environ: Mapping[str, str], sealer: Sealer, state: AsyncEngine, tasks: asyncio.TaskGroup
) -> ThirdParties:
    """What outlives generations; ``tasks`` owns what is under way."""
    reading = resolver(environ)
    oauth = UpstreamOauth(
        SqlUpstreamTokens(state), sealer, reading, tasks, loopback_http=settings.environment != "production"
    )
    return ThirdParties(oauth, ResourceChecks(), SqlSingleUse(state), reading)


def resolver(environ: Mapping[str, str]) -> Callable[[str], bytes]:
    """Reads the secret behind a reference, anew each time."""

    def read(reference: str) -> bytes:
        try:
            return resolve(reference, environ)
        except SecretError as error:
            raise LookupError(str(error)) from None

    return read


def _logins(settings: Settings, issuers: tuple[TrustedIssuer, ...]) -> Mapping[str, Login]:
    found: dict[str, Login] = {}
    files = {each.name: each.ca_file for each in settings.issuers}
    for trusted in issuers:
        name = trusted.issuer.name
        login = settings.consent.logins.get(name)
        if login is None:
            continue
        client = OAuthClient(
            grant="authorization_code",
            issuer=trusted.issuer.issuer,
            client_id=login.client_id,
            authentication="none" if login.client_secret is None else "client_secret_basic",
            secret=login.client_secret,
            scopes=login.scopes,
            resource="",
            token_endpoint=login.token_endpoint,
            authorization_endpoint=login.authorization_endpoint,
            ca_file=files[name],
        )
        found[name] = Login(trusted, client)
    return found
