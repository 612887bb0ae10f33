"""``consent``: how a user proves in a browser who they are, before a third party's server is used in their name."""

from collections.abc import Collection, Iterable, Mapping
from typing import Annotated

from msgspec import Meta

from gateway.config.problems import Fault, suggest
from gateway.config.section import Section
from gateway.config.words import IdpName, Label, LoopbackOrHttpsUrl, Scope, SecretReference
from gateway.core.registry import Server
from gateway.core.third_party import OAuthClient


class ConsentLogin(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The gateway as an OIDC client of the users' own issuer; its redirect URI is `<issuer>/oauth/callback`.

    `<issuer>` is the gateway's own, from the top of the settings.
    """

    client_id: Annotated[Label, Meta(description="The id under which the gateway is registered at the issuer.")]
    client_secret: Annotated[
        SecretReference | None, Meta(description="Reference to its secret; a public client has none.")
    ] = None
    scopes: Annotated[tuple[Scope, ...], Meta(min_length=1, description="Scopes of the login.")] = ("openid",)
    token_endpoint: Annotated[
        LoopbackOrHttpsUrl | None,
        Meta(description="Found by the issuer's metadata where not set, on the issuer's own origin only."),
    ] = None
    authorization_endpoint: Annotated[LoopbackOrHttpsUrl | None, Meta(description="As `token_endpoint`.")] = None


class Consent(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Consent of users to third-party servers, needed where one has `oauth.grant: authorization_code`."""

    logins: Annotated[
        Mapping[IdpName, ConsentLogin], Meta(description="Short name of an entry of `issuers` → the login there.")
    ] = {}
    link_seconds: Annotated[
        int, Meta(ge=60, le=3600, description="Life of a consent link, and of each step that follows it.")
    ] = 600

    def faults(self) -> Iterable[Fault]:
        """An ID token is only issued for openid."""
        for name, login in self.logins.items():
            if "openid" not in login.scopes:
                yield Fault(("logins", name, "scopes"), "without openid there is no ID token", "add openid")


def consent_faults(
    consent: Consent, issuers: Collection[str], servers: Mapping[str, Server], environment: str
) -> Iterable[Fault]:
    """What is wrong between consent, issuers and third-party servers; keys are those of the settings file."""
    for name in consent.logins:
        if name not in issuers:
            yield Fault(("consent", "logins", name), "no issuer has this name", suggest(name, issuers))
    for server in servers.values():
        third = server.upstream.third_party
        client = None if third is None else third.credential
        if not isinstance(client, OAuthClient):
            continue
        if client.grant == "authorization_code" and not consent.logins:
            message = f"users have to consent to server {server.name}, and no login says who they are"
            yield Fault(("consent",), message, "set consent.logins.<issuer name>.client_id")
        urls = (client.issuer, client.token_endpoint, client.authorization_endpoint)
        if environment == "production" and any(url is not None and url.startswith("http:") for url in urls):
            message = f"the authorization server of {server.name} is asked over plain http, refused in production"
            yield Fault(("environment",), message, "use https in its oauth section, or environment: development")
