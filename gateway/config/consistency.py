"""Rules across the sections of the settings: issuers can be told apart, and production is fit for production.

Works on the sections that could be read, so that a mistake in one doesn't hide those between the others.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from gateway.config.issuer_settings import IssuerSettings
from gateway.config.key_settings import Keys
from gateway.config.problems import Fault, suggest
from gateway.config.rules import is_loopback
from gateway.config.settings import Identity, Listen, Telemetry


class Sections(Struct, frozen=True, kw_only=True):
    """The readable sections of a settings file; None where one is unreadable."""

    environment: str | None = None
    issuer: str | None = None
    identity: Identity | None = None
    issuers: tuple[IssuerSettings, ...] = ()
    listen: Listen | None = None
    public_url: str | None = None
    keys: Keys | None = None
    telemetry: Telemetry | None = None


def sections_of(fields: Mapping[str, Any]) -> Sections:
    """The sections among the good ``fields`` of a settings file."""
    return Sections(**{name: value for name, value in fields.items() if name in Sections.__struct_fields__})


def settings_faults(sections: Sections) -> Iterable[Fault]:
    """What is wrong between the sections; keys are those of the settings file."""
    yield from _issuer_faults(sections)
    yield from _admin_faults(sections)
    if sections.environment == "production":
        yield from _production_faults(sections)


def _issuer_faults(sections: Sections) -> Iterable[Fault]:
    names: set[str] = set()
    urls: set[str] = set()
    for index, issuer in enumerate(sections.issuers):
        if issuer.name in names:
            yield Fault(("issuers", index, "name"), f"two issuers are named {issuer.name}", "rename one")
        if issuer.issuer in urls:
            yield Fault(("issuers", index, "issuer"), f"{issuer.issuer} is listed twice", "remove one")
        if issuer.issuer.rstrip("/") == sections.issuer:
            message = "this is the gateway's own issuer, whose tokens are hop tokens"
            yield Fault(("issuers", index, "issuer"), message, "give the gateway an issuer URL of its own")
        names.add(issuer.name)
        urls.add(issuer.issuer)


def _admin_faults(sections: Sections) -> Iterable[Fault]:
    admin = None if sections.listen is None else sections.listen.admin
    if admin is None:
        return
    known = {issuer.name for issuer in sections.issuers}
    for index, name in enumerate(admin.issuers):
        if name not in known:
            place = ("listen", "admin", "issuers", index)
            yield Fault(place, f"no issuer is named {name}", suggest(name, known) or "name one of issuers")
    taken = {issuer.audience for issuer in sections.issuers if issuer.audience is not None}
    routes = (f"{sections.public_url}/", f"{sections.issuer}/")
    if admin.audience is not None and (admin.audience in taken or admin.audience.startswith(routes)):
        message = "tokens for the data path have this audience, so every agent's user could administer"
        yield Fault(("listen", "admin", "audience"), message, "give the admin API an audience of its own")


def _production_faults(sections: Sections) -> Iterable[Fault]:
    if sections.identity is not None and sections.identity.source == "development":
        message = "the development CA is refused in production"
        yield Fault(("identity", "source"), message, "use source: workload_api or pem, or environment: development")
    if sections.keys is not None and sections.keys.sealing is None:
        yield Fault(("keys", "sealing"), "production needs a sealing secret", "set file:PATH or env:NAME")
    for index, issuer in enumerate(sections.issuers):
        for key, url in (("issuer", issuer.issuer), ("jwks_uri", issuer.jwks_uri)):
            if url is not None and url.startswith("http:"):
                message = "plain http is refused in production, on loopback too"
                yield Fault(("issuers", index, key), message, "use https, or environment: development")
    otlp = None if sections.telemetry is None else sections.telemetry.otlp
    if otlp is not None and otlp.endpoint.startswith("http:") and not is_loopback(otlp.endpoint):
        message = "traces leave this host unencrypted"
        yield Fault(("telemetry", "otlp", "endpoint"), message, "use https or a collector on this host", "warning")
