"""``listen.admin``: the admin API, and whose tokens administer."""

from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta

from gateway.config.problems import Fault
from gateway.config.section import Section
from gateway.config.words import HostHeader, IdpName, Label, WebOrigin


class AdminListener(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The admin API over TLS, for people by an OIDC token and automation by its SVID; not served without this."""

    host: Annotated[Label, Meta(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="Port to listen on; 0 picks a free one.")] = 9443
    hosts: Annotated[
        tuple[HostHeader, ...], Meta(description="Accepted Host headers, besides those of `public_url` and `issuer`.")
    ] = ()
    origins: Annotated[
        tuple[WebOrigin, ...], Meta(description="Accepted Origin headers; without any, a request with one is refused.")
    ] = ()
    issuers: Annotated[
        tuple[IdpName, ...], Meta(description="Names of the `issuers` whose tokens administer; without any, none does.")
    ] = ()
    audience: Annotated[
        Label | None, Meta(description="The `aud` of admin tokens: one that no token for the data path has.")
    ] = None
    body_bytes: Annotated[
        int, Meta(ge=1024, le=1024 * 1024, description="Largest request body; larger is refused with 413.")
    ] = 16 * 1024

    def faults(self) -> Iterable[Fault]:
        """Issuers need an audience."""
        if self.issuers and self.audience is None:
            message = "admin tokens need an audience of their own"
            yield Fault(("audience",), message, "set it to what the issuer puts into aud for the admin API")
