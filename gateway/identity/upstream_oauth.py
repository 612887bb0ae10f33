"""Tokens of third parties' authorization servers: obtained, kept sealed, renewed, and forgotten when they are refused.

A token is found only under the client, the server and, where a user consented, the user that it was issued for.
Doesn't decide who may call (policy), who consented (``proxy.consent_pages``), or what a refusal looks like.
"""

import asyncio
import time
from collections.abc import Callable, Mapping

import msgspec
from msgspec import Struct

from gateway.core.errors import HopError, UpstreamError
from gateway.core.keeping import KeptGrant, UpstreamTokens
from gateway.core.ports import Sealer
from gateway.core.reasons import Reason
from gateway.core.recent import Recent
from gateway.core.third_party import OAuthClient
from gateway.identity.authorization_server import AskError, AuthorizationServer, Resolve, TokenAnswer
from gateway.identity.flights import Flights

MARGIN_SECONDS = 30
"""A token this near its end is renewed first: clocks differ, and a call takes time."""
UNSAID_SECONDS = 300
"""Life of a client's token whose answer names none."""
AGAIN_SECONDS = 5
"""A token younger than this isn't renewed because an upstream refuses it: a new one would be refused as well."""
FAILED_SECONDS = 2
"""A failure is told to whoever asks within this time, without asking the server again."""
CLAIM_SECONDS = 20
"""How long one process alone may renew a user's tokens; more than an answer may take."""
LOOK_SECONDS = 0.1
"""How often a process looks whether another one has renewed."""
MOST_CLIENTS = 512


class UpstreamToken(Struct, frozen=True, kw_only=True):
    """An access token of a third party's. A secret: it has no repr. Times are Unix seconds."""

    access_token: str
    fetched: float
    expires: float | None
    """None: it serves until it is refused."""
    refresh_token: str | None = None

    def __repr__(self) -> str:
        return "UpstreamToken()"

    def serves(self, now: float) -> bool:
        """Whether it may still be sent."""
        return self.fetched <= now + MARGIN_SECONDS and (self.expires is None or now < self.expires - MARGIN_SECONDS)


class Holder(Struct, frozen=True):
    """Whose token it is: the registered server's, as this client of its issuer, for this user or for the gateway."""

    server: str
    client: OAuthClient
    sub: str = ""

    @property
    def context(self) -> bytes:
        """What sealed tokens are bound to: moved to another user, server or client, they don't open."""
        client = self.client
        return msgspec.json.encode(
            ["upstream token", self.sub, self.server, client.issuer, client.client_id, client.resource, client.scopes]
        )


class UpstreamOauth:
    """All tokens of one process. ``tasks`` owns what is under way."""

    def __init__(
        self,
        kept: UpstreamTokens,
        sealer: Sealer,
        resolve: Resolve,
        tasks: asyncio.TaskGroup,
        *,
        loopback_http: bool,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._kept = kept
        self._sealer = sealer
        self._resolve = resolve
        self._loopback_http = loopback_http
        self._clock = clock
        self._flights = Flights[UpstreamToken](tasks)
        self._servers = Recent[OAuthClient, AuthorizationServer](MOST_CLIENTS)
        self._tokens = Recent[Holder, UpstreamToken](MOST_CLIENTS)
        self._failed = Recent[Holder, tuple[float, HopError]](MOST_CLIENTS)

    def server_of(self, client: OAuthClient) -> AuthorizationServer:
        """The authorization server as ``client`` asks it."""
        known = self._servers.get(client)
        if known is None:
            known = AuthorizationServer(client, self._resolve, loopback_http=self._loopback_http)
            self._servers.put(client, known)
        return known

    async def token(self, holder: Holder) -> UpstreamToken:
        """A token that may be sent now.

        Raises:
            HopError: CONSENT_REQUIRED, the user hasn't consented, or has to do so again.
            UpstreamError: UPSTREAM_CREDENTIAL or UPSTREAM_ISSUER_UNAVAILABLE.
            StoreError: what the user let us hold can't be read.
        """
        if not holder.sub:
            known = self._tokens.get(holder)
            if known is not None and known.serves(self._clock()):
                return known
            return await self._flights.join(holder, lambda: self._fetch(holder))
        found, token = await self._held(holder)
        if token.serves(self._clock()):
            return token
        return await self._flights.join(holder, lambda: self._renew(holder, found, token))

    async def instead_of(self, holder: Holder, refused: UpstreamToken) -> UpstreamToken | None:
        """Another token than the one that the upstream ``refused``; None where that was as good as any.

        Raises:
            As ``token``.
        """
        young = self._clock() - refused.fetched < AGAIN_SECONDS
        if not holder.sub:
            known = self._tokens.get(holder)
            if known is not None and known.access_token != refused.access_token:
                return known
            return None if young else await self._flights.join(holder, lambda: self._fetch(holder))
        found, token = await self._held(holder)
        if token.access_token != refused.access_token:
            return token
        return None if young else await self._flights.join(holder, lambda: self._renew(holder, found, token))

    async def redeem(self, holder: Holder, form: Mapping[str, str]) -> None:
        """Trade an authorization code for tokens, and keep them for the user who consented.

        Raises:
            UpstreamError: UPSTREAM_CREDENTIAL or UPSTREAM_ISSUER_UNAVAILABLE.
            StoreError: they can't be kept.
        """
        answer = await self._asked(holder, {"grant_type": "authorization_code", **form})
        token = self._token(answer, None)
        await self._kept.keep(holder.sub, holder.server, self._seal(holder, token), int(self._clock()))

    async def _fetch(self, holder: Holder) -> UpstreamToken:
        """A token for the gateway itself (RFC 6749 §4.4)."""
        now = self._clock()
        at, error = self._failed.get(holder) or (float("-inf"), None)
        if error is not None and 0 <= now - at < FAILED_SECONDS:
            raise error
        client = holder.client
        form = {"grant_type": "client_credentials", "scope": " ".join(client.scopes), "resource": client.resource}
        try:
            answer = await self._asked(holder, {name: value for name, value in form.items() if value})
        except HopError as failed:
            self._failed.put(holder, (now, failed))
            raise
        token = self._token(answer, None)
        if token.expires is None:
            token = msgspec.structs.replace(token, expires=token.fetched + UNSAID_SECONDS)
        self._tokens.put(holder, token)
        return token

    async def _renew(self, holder: Holder, found: KeptGrant, token: UpstreamToken) -> UpstreamToken:
        """The user's next token, by the refresh token, which only one process may present."""
        sub, server, now = holder.sub, holder.server, int(self._clock())
        if token.refresh_token is None:
            await self._kept.forget(sub, server, found.version)
            raise consent_required("the token has ended, and the issuer gave no means to renew it")
        while not await self._kept.claim(
            sub, server, found.version, int(self._clock()), int(self._clock()) + CLAIM_SECONDS
        ):
            # Another process renews; its claim ends by itself if it dies.
            await asyncio.sleep(LOOK_SECONDS)
            changed, renewed = await self._held(holder)
            if changed.version != found.version:
                return renewed
            if self._clock() - now > CLAIM_SECONDS:
                raise UpstreamError(Reason.UPSTREAM_ISSUER_UNAVAILABLE, "another process renews the token, in vain")
        form = {"grant_type": "refresh_token", "refresh_token": token.refresh_token}
        if holder.client.resource:
            form["resource"] = holder.client.resource
        try:
            answer = await self.server_of(holder.client).ask(form, self._clock())
        except AskError as error:
            if error.code == "invalid_grant":
                await self._kept.forget(sub, server, found.version)
                raise consent_required("the issuer no longer renews the token") from None
            await self._kept.release(sub, server, found.version)
            raise _failure(error) from None
        renewed = self._token(answer, token.refresh_token)
        sealed = self._seal(holder, renewed)
        if not await self._kept.replace(sub, server, found.version, sealed, int(self._clock())):
            raise consent_required("the consent was withdrawn or renewed meanwhile")
        return renewed

    async def _held(self, holder: Holder) -> tuple[KeptGrant, UpstreamToken]:
        found = await self._kept.read(holder.sub, holder.server)
        if found is None:
            raise consent_required("the user has not consented yet")
        plain = self._sealer.open(found.sealed, holder.context)
        try:
            token = None if plain is None else msgspec.json.decode(plain, type=UpstreamToken)
        except msgspec.DecodeError:
            # Another version of the gateway kept it.
            token = None
        if token is None:
            raise consent_required("the server is registered otherwise than when the user consented")
        return found, token

    async def _asked(self, holder: Holder, form: Mapping[str, str]) -> TokenAnswer:
        try:
            return await self.server_of(holder.client).ask(form, self._clock())
        except AskError as error:
            raise _failure(error) from None

    def _seal(self, holder: Holder, token: UpstreamToken) -> str:
        return self._sealer.seal(msgspec.json.encode(token), holder.context)

    def _token(self, answer: TokenAnswer, refresh_token: str | None) -> UpstreamToken:
        now = self._clock()
        return UpstreamToken(
            access_token=answer.access_token,
            fetched=now,
            expires=None if answer.expires_in is None else now + answer.expires_in,
            # RFC 6749 §6: without a new one the old one stays good.
            refresh_token=answer.refresh_token or refresh_token,
        )


def consent_required(detail: str) -> HopError:
    """The user has to consent before the call can be made."""
    return HopError(Reason.CONSENT_REQUIRED, detail)


def _failure(error: AskError) -> UpstreamError:
    reason = Reason.UPSTREAM_ISSUER_UNAVAILABLE if error.unavailable else Reason.UPSTREAM_CREDENTIAL
    return UpstreamError(reason, str(error))
