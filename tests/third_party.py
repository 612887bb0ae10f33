"""A third party for tests: its own authorization server, an MCP server on the official SDK that knows only that one's
tokens, and a company whose registry has it under the name ``tracker``."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import msgspec
import trustme
import uvicorn
from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from msgspec import structs
from pydantic import AnyHttpUrl

from gateway.app.third_parties import resolver
from gateway.config.load import Loaded, load
from gateway.core.third_party import OAuthClient
from gateway.identity.flights import owning
from gateway.identity.seal import AeadSealer
from gateway.identity.upstream_oauth import Holder, UpstreamOauth, UpstreamToken
from gateway.store.state import open_state
from gateway.store.upstream_tokens import SqlUpstreamTokens
from tests.company import SCOPES, Company
from tests.gateways import listening
from tests.peers.oauth_issuer import Browser, oauth_issuer
from tests.peers.oidc import token_answer
from tests.ports import free_port

SECRET = "the-tracker-knows-this-secret"
TOOLS = ("whoami", "echo", "hide")


@dataclass
class Tracker:
    """The third party's MCP server. ``seen`` are the headers of each request that arrived."""

    issuer: str
    url: str
    json_response: bool = True
    stateless: bool = False
    resource: str = ""
    """What its metadata says of it, where not its URL."""
    seen: list[dict[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    """Tokens that it takes no longer."""
    telling: bool = False
    """Whether its list of tools holds the token that it was asked with."""
    closed: bool = False
    """Whether it takes no token at all."""
    calls: list[str] = field(default_factory=list)
    keys: Mapping[str, Any] = field(default_factory=dict)

    @property
    def tokens(self) -> list[str]:
        """The bearer tokens that arrived, each once, in their order."""
        return list(
            dict.fromkeys(h["authorization"].removeprefix("Bearer ") for h in self.seen if "authorization" in h)
        )

    async def verify_token(self, token: str) -> AccessToken | None:
        """The token, if the third party's own issuer signed it for this server."""
        if not self.keys:
            async with aiohttp.ClientSession() as http, http.get(f"{self.issuer}/jwks") as response:
                self.keys = await response.json()
        try:
            [key] = jwt.PyJWKSet.from_dict(dict(self.keys)).keys
            claims = jwt.decode(token, key, ["RS256"], audience=self.url, issuer=self.issuer)
        except jwt.PyJWTError:
            return None
        if self.closed or token in self.refused:
            return None
        return AccessToken(
            token=token,
            client_id=claims["client_id"],
            scopes=claims.get("scope", "").split(),
            subject=claims.get("sub"),
            resource=claims["aud"],
        )

    @property
    def application(self) -> Any:
        """The ASGI application."""
        server = MCPServer(
            "tracker",
            token_verifier=self,
            auth=AuthSettings(
                issuer_url=AnyHttpUrl(self.issuer),
                resource_server_url=AnyHttpUrl(self.resource or self.url),
                required_scopes=["issues"],
                validate_token_resource=False,
            ),
        )
        self._add_tools(server)
        inner = server.streamable_http_app(
            json_response=self.json_response,
            stateless_http=self.stateless,
            transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
        )

        async def recorded(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http" and scope["path"] == "/mcp":
                self.seen.append({name.decode(): value.decode() for name, value in scope["headers"]})
                if self.telling and self.tokens:
                    server.remove_tool("echo")
                    server.add_tool(lambda: "", name="echo", description=self.tokens[-1])

            async def received() -> Any:
                message = await receive()
                self.bodies.append(message.get("body", b""))
                return message

            await inner(scope, received, send)

        return recorded

    def _add_tools(self, server: MCPServer) -> None:
        def token_of(ctx: Context) -> str:
            return dict(ctx.request_context.request.headers)["authorization"]  # type: ignore[union-attr]

        @server.tool()
        def whoami(ctx: Context) -> str:
            self.calls.append("whoami")
            claims = jwt.decode(token_of(ctx).removeprefix("Bearer "), options={"verify_signature": False})
            return str(claims.get("sub"))

        @server.tool()
        def echo(ctx: Context) -> str:
            """Shows whoever calls what it was sent, as careless servers do."""
            return token_of(ctx)

        @server.tool()
        def hide() -> str:
            return "not registered"


@dataclass
class Process:
    """Another gateway of the deployment: the same store and keys, a memory of its own."""

    oauth: UpstreamOauth
    kept: SqlUpstreamTokens
    holder: Holder
    sealer: AeadSealer

    async def age(self, token: UpstreamToken) -> None:
        """Make ``token`` near its end for whoever reads it."""
        found = await self.kept.read(self.holder.sub, self.holder.server)
        assert found is not None
        old = structs.replace(token, expires=token.fetched)
        sealed = self.sealer.seal(msgspec.json.encode(old), self.holder.context)
        assert await self.kept.replace(self.holder.sub, self.holder.server, found.version, sealed, 0)

    async def revoke(self) -> None:
        """End the user's tokens at the third party's issuer (RFC 7009)."""
        client, token = self.holder.client, await self.oauth.token(self.holder)
        form = {"token": str(token.refresh_token), "token_type_hint": "refresh_token"}
        auth = aiohttp.BasicAuth(client.client_id, SECRET)
        async with (
            aiohttp.ClientSession() as http,
            http.post(f"{client.issuer}/token/revocation", data=form, auth=auth) as response,
        ):
            assert response.status == 200, await response.text()


@dataclass
class World:
    """The company, its users' issuer, and the third party."""

    company: Company
    corp: str
    third: str
    tracker: Tracker

    @property
    def resource(self) -> str:
        return f"{self.company.data_url}/mcp/tracker"

    async def token(self, login: str = "maria") -> str:
        """An access token of a user's for the tracker's route."""
        return (await token_answer(self.corp, self.resource, login=login, scope="openid all"))["access_token"]

    @asynccontextmanager
    async def as_another_process(self, sub: str = "corp|maria") -> AsyncIterator[Process]:
        """Another process of the gateway's deployment."""
        directory = self.company.directory
        loaded = load(self.company.config, {})
        assert isinstance(loaded, Loaded)
        third = loaded.registry.servers["tracker"].upstream.third_party
        assert third is not None
        assert isinstance(third.credential, OAuthClient)
        sealer = AeadSealer((directory / "hopgate.db.sealing").read_bytes())
        engine = await open_state(self.company.store_url)
        kept = SqlUpstreamTokens(engine)
        try:
            async with owning() as tasks:
                oauth = UpstreamOauth(kept, sealer, resolver({}), tasks, loopback_http=True)
                yield Process(oauth, kept, Holder("tracker", third.credential, sub), sealer)
        finally:
            await engine.dispose()

    @asynccontextmanager
    async def browser(self) -> AsyncIterator[Browser]:
        """A browser without any cookie."""
        connector = aiohttp.TCPConnector(ssl=self.company.anyone())
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(connector=connector, cookie_jar=jar) as http:
            yield Browser(http, self.company.public_url)


def tracker_company(
    directory: Path, port: int, oauth: Mapping[str, Any] | None, ca: trustme.CA, **more: Any
) -> Company:
    """A company with the tracker in its registry; ``oauth`` is its section of that name."""
    company = Company(directory)
    directory.mkdir(parents=True, exist_ok=True)
    ca.cert_pem.write_to_path(directory / "third-party.pem")
    (directory / "tracker.secret").write_text(SECRET)
    upstream = {"url": f"https://localhost:{port}/mcp", "tls": "web", "ca_file": "third-party.pem", **more}
    company.registry["servers"]["tracker"] = {
        "team": "finance",
        "environment": "production",
        "upstream": {**upstream, **({} if oauth is None else {"oauth": dict(oauth)})},
        "tools": {name: {"risk_level": "low", "sets": ["finance-readonly"]} for name in TOOLS[:2]},
    }
    granted = [*SCOPES, "tracker/whoami", "tracker/echo"]
    company.registry["agents"]["planner"] |= {"scopes": granted, "clients": ["cli", "ide"]}
    company.registry["agents"]["analyst"] |= {"scopes": granted, "entry_point": True, "clients": ["cli", "ide"]}
    company.settings["issuers"][0]["scope_map"]["all"] = granted
    company.settings["routes"]["mcp"]["tracker"] = {"user": "optional"}
    return company


def client(**more: Any) -> dict[str, Any]:
    """The gateway as a client of the third party's issuer."""
    return {
        "client_id": "hopgate",
        "client_secret": SECRET,
        "grant_types": ["client_credentials"],
        "redirect_uris": [],
        "response_types": [],
        **more,
    }


@asynccontextmanager
async def served_tracker(tracker: Tracker, ca: trustme.CA, port: int, directory: Path) -> AsyncIterator[None]:
    """The tracker over TLS, with a certificate of the web's kind."""
    leaf = ca.issue_cert("localhost")
    certificate, key = directory / "tracker.pem", directory / "tracker.key"
    certificate.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    leaf.private_key_pem.write_to_path(key)
    config = uvicorn.Config(
        tracker.application,
        host="localhost",
        port=port,
        log_level="warning",
        timeout_graceful_shutdown=1,
        ssl_certfile=str(certificate),
        ssl_keyfile=str(key),
    )
    async with listening(config):
        yield


@asynccontextmanager
async def consent_world(directory: Path, *, seconds: int = 600, **options: Any) -> AsyncIterator[World]:
    """Users who log in at the company's issuer, and a tracker that they have to consent to; no gateway runs yet."""
    ca, port = trustme.CA(), free_port()
    company = tracker_company(directory, port, {}, ca)
    back = [f"{company.public_url}/oauth/callback"]
    code = {"grant_types": ["authorization_code"], "response_types": ["code"]}
    ide = {
        "client_id": "ide",
        "application_type": "native",
        "token_endpoint_auth_method": "none",
        "redirect_uris": ["http://127.0.0.1/callback"],
        **code,
    }
    login = {"client_id": "hopgate-login", "token_endpoint_auth_method": "none", "redirect_uris": back, **code}
    there = client(redirect_uris=back, response_types=["code"], grant_types=["authorization_code", "refresh_token"])
    async with AsyncExitStack() as stack:
        corp = await stack.enter_async_context(oauth_issuer([ide, login], ["all"]))
        third = await stack.enter_async_context(oauth_issuer([there], ["issues"], seconds))
        company.registry["servers"]["tracker"]["upstream"]["oauth"] = {
            "grant": "authorization_code",
            "issuer": third,
            "client_id": "hopgate",
            "client_secret": "file:tracker.secret",
            "scopes": ["offline_access", "issues"],
        }
        scope_map = company.settings["issuers"][0]["scope_map"]
        company.settings["issuers"] = [
            {"name": "corp", "issuer": corp, "discovery": True, "scope_map": {"all": scope_map["all"]}}
        ]
        company.registry["people"]["corp|maria"]["issuer"] = corp
        company.settings["consent"] = {"logins": {"corp": {"client_id": "hopgate-login"}}}
        tracker = Tracker(third, f"https://localhost:{port}/mcp", **options)
        await stack.enter_async_context(served_tracker(tracker, ca, port, directory))
        yield World(company, corp, third, tracker)


def everything_said(company: Company) -> str:
    """All that the gateway left on disk but its keys, as text: logs, records, the state database and its journals."""
    kept = [path for path in company.directory.iterdir() if path.is_file() and path.suffix not in {".pem", ".key"}]
    found = [path.read_bytes().decode("latin-1") for path in kept if path.name != "tracker.secret"]
    return "\n".join([*found, json.dumps([str(each) for each in company.records()])])
