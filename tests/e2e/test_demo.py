"""The demo: its cast over real mTLS with the official SDKs, and the whole story as a user runs it."""

import asyncio
import os
import re
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import httpx2
import jwt
import pytest
import uvicorn
from a2a.client import ClientConfig, create_client
from a2a.utils.errors import A2AError
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from demo import attacker, evidence, guide, issuer, run, story
from demo.agents.conversation import Answer, question, read_answer
from demo.company import CLIENT, GATEWAY_ID, MARIA, SCOPE, module
from demo.evidence import RecordedHop
from demo.processes import Cast, ChildError
from demo.refusal import RefusedError, refusals
from demo.site import MARKER, REPOSITORY, Site, SiteError, build
from demo.workload import Workload

REFUSAL = {"code": 1403, "message": "refused", "data": {"reason": "no_permit", "decision_id": "d-1"}}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return build(tmp_path_factory.mktemp("demo") / "work")


@pytest.fixture(scope="module")
def cast(site: Site) -> Iterator[Cast]:
    with Cast(site.logs, REPOSITORY) as cast:
        for name in ("ledger", "analyst"):
            cast.start(name, [sys.executable, "-m", module(name), *run.arguments(site, name)])
        for name in ("ledger", "analyst"):
            cast.until_open(name, site.ports[name])
        yield cast


def gateway_of(site: Site) -> Workload:
    """The gateway's own identity, to call the cast as only the gateway may."""
    return Workload(
        "hopgate", 0, site.certificate("hopgate"), site.key("hopgate"), site.trust_bundle, GATEWAY_ID, site.data_url
    )


def by_spiffe_id(workload: Workload) -> ssl.SSLContext:
    """Servers of the cast carry no host name: their SPIFFE ID is what a gateway checks."""
    context = workload.client_context()
    context.check_hostname = False
    return context


def mcp_client(site: Site, workload: Workload, http: httpx2.AsyncClient) -> Client:
    return Client(streamable_http_client(f"https://127.0.0.1:{site.ports['ledger']}/mcp", http_client=http))


async def test_ledger_serves_the_gateway_with_progress(site: Site, cast: Cast) -> None:
    gateway = gateway_of(site)
    seen: list[float] = []

    async def progressed(progress: float, total: float | None, message: str | None) -> None:
        seen.append(progress)

    async with (
        httpx2.AsyncClient(verify=by_spiffe_id(gateway), trust_env=False) as http,
        mcp_client(site, gateway, http) as client,
    ):
        tools = sorted(tool.name for tool in (await client.list_tools()).tools)
        entries = await client.call_tool("list_entries", {"account": "operations"}, progress_callback=progressed)
        balance = await client.call_tool("read_balance", {"account": "operations"})
    assert tools == ["list_entries", "pay", "read_balance"]
    assert len(entries.structured_content["result"]) == len(seen) == 3
    assert balance.structured_content == {"account": "operations", "balance": 128_150}


@pytest.mark.parametrize("name", ["ledger", "analyst"])
async def test_the_cast_refuses_everybody_but_the_gateway(site: Site, cast: Cast, name: str) -> None:
    intruder = by_spiffe_id(site.workload("auditor"))
    async with httpx.AsyncClient(verify=intruder, trust_env=False) as http:
        with pytest.raises(httpx.TransportError):
            await http.get(f"https://127.0.0.1:{site.ports[name]}/.well-known/agent-card.json")
    assert "is not " + GATEWAY_ID in cast.log(name).read_text()


async def test_the_cast_refuses_clients_without_a_certificate(site: Site, cast: Cast) -> None:
    anonymous = ssl.create_default_context(cafile=site.trust_bundle)
    anonymous.check_hostname = False
    async with httpx.AsyncClient(verify=anonymous, trust_env=False) as http:
        with pytest.raises(httpx.TransportError):
            await http.get(f"https://127.0.0.1:{site.ports['analyst']}/.well-known/agent-card.json")


class Announcing(uvicorn.Server):
    """Says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


@asynccontextmanager
async def gate(site: Site, heard: list[dict[str, str]], *, card_of: str | None = None) -> AsyncIterator[None]:
    """In the gateway's place and with its SVID: hears every request's headers, and refuses it."""

    async def refuse(request: Request) -> JSONResponse:
        heard.append({"path": request.url.path, **request.headers})
        if request.method == "GET" and card_of is not None:
            return JSONResponse(_card(f"{site.data_url}/a2a/{card_of}"))
        return JSONResponse({"jsonrpc": "2.0", "id": 1, "error": REFUSAL}, 403)

    config = uvicorn.Config(
        Starlette(routes=[Route("/{path:path}", refuse, methods=["GET", "POST"])]),
        port=site.ports["data"],
        ssl_certfile=site.certificate("hopgate"),
        ssl_keyfile=str(site.key("hopgate")),
        ssl_ca_certs=str(site.trust_bundle),
        ssl_cert_reqs=ssl.CERT_REQUIRED,
        log_level="error",
    )
    server = Announcing(config)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.serve())
        await server.listening.wait()
        yield
        server.should_exit = True


def _card(url: str) -> dict[str, Any]:
    interface = {"url": url, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}
    modes = {"defaultInputModes": ["text/plain"], "defaultOutputModes": ["text/plain"]}
    return {"name": "x", "description": "x", "version": "1", "skills": [], "capabilities": {}, **modes} | {
        "supportedInterfaces": [interface]
    }


async def ask_analyst(site: Site, text: str, headers: dict[str, str]) -> Answer:
    async with httpx.AsyncClient(verify=by_spiffe_id(gateway_of(site)), headers=headers, trust_env=False) as http:
        client = await create_client(f"https://127.0.0.1:{site.ports['analyst']}", ClientConfig(httpx_client=http))
        return await read_answer(client.send_message(question(text)))


@pytest.mark.parametrize(
    ("text", "path", "hop"),
    [
        ("balance of operations", "/mcp/ledger", "analyst → ledger"),
        ("second opinion on operations", "/a2a/auditor", "analyst → auditor"),
    ],
)
async def test_an_agent_sends_on_what_it_received_and_reports_a_refusal(
    site: Site, cast: Cast, text: str, path: str, hop: str
) -> None:
    trace = f"00-{os.urandom(16).hex()}-{os.urandom(8).hex()}-01"
    heard: list[dict[str, str]] = []
    async with gate(site, heard, card_of="auditor"):
        answer = await ask_analyst(
            site, text, {"authorization": "Bearer hop-token", "traceparent": trace, "cookie": "not=forwarded"}
        )
    assert answer.refusal is not None
    assert (answer.refusal.hop, answer.refusal.reason, answer.refusal.decision_id) == (hop, "no_permit", "d-1")
    assert heard
    for request in heard:
        assert request["path"].startswith(path)
        assert (request["authorization"], request["traceparent"]) == ("Bearer hop-token", trace)
        assert "cookie" not in request
    assert site.leaked_token.read_text() == "Bearer hop-token"
    assert site.leaked_token.stat().st_mode & 0o077 == 0


async def test_a_refused_card_is_a_refusal_too(site: Site) -> None:
    auditor = site.workload("auditor")
    async with gate(site, []), auditor.a2a_http({}) as http:
        with pytest.raises(RefusedError) as refused, refusals("auditor → analyst"):
            await create_client(f"{site.data_url}/a2a/analyst", ClientConfig(httpx_client=http))
    assert refused.value.refusal.reason == "no_permit"


def test_an_error_that_is_no_refusal_stays_what_it_is() -> None:
    with pytest.raises(A2AError), refusals("a → b"):
        raise A2AError("HTTP Error 502")


def test_tokens_verify_against_the_published_keys(site: Site) -> None:
    development = issuer.load(site.issuer_url, site.issuer_key)
    resource = f"{site.data_url}/a2a/planner"
    token = development.mint(MARIA, resource, CLIENT, SCOPE)
    key = jwt.PyJWK(development.public_jwk)
    claims = jwt.decode(token, key, algorithms=["RS256"], audience=resource, issuer=site.issuer_url)
    assert jwt.get_unverified_header(token) == {"alg": "RS256", "typ": "at+jwt", "kid": development.public_jwk["kid"]}
    assert (claims["sub"], claims["azp"], claims["scope"]) == ("maria", CLIENT, SCOPE)
    assert claims["exp"] - claims["iat"] == 600
    with pytest.raises(jwt.InvalidAudienceError):
        jwt.decode(token, key, algorithms=["RS256"], audience=f"{site.data_url}/mcp/ledger")


def test_the_key_in_the_jwks_is_public(site: Site) -> None:
    assert set(issuer.load(site.issuer_url, site.issuer_key).public_jwk) == {"kty", "n", "e", "kid", "use", "alg"}


def test_a_directory_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    kept = tmp_path / "thesis.txt"
    kept.write_text("years of work")
    with pytest.raises(SiteError, match="not made by the demo"):
        build(tmp_path)
    assert kept.read_text() == "years of work"


def test_an_earlier_run_is_deleted(tmp_path: Path) -> None:
    (tmp_path / MARKER).touch()
    (tmp_path / "hopgate.db").touch()
    site = build(tmp_path)
    assert not (tmp_path / "hopgate.db").exists()
    assert len(set(site.ports.values())) == len(site.ports)
    assert "${" not in site.config.read_text() + (site.root / "registry.yaml").read_text()


def test_a_child_that_dies_is_named_and_its_log_kept(tmp_path: Path) -> None:
    with Cast(tmp_path, tmp_path) as cast:
        cast.start("doomed", [sys.executable, "-c", "raise SystemExit('the reason')"])
        with pytest.raises(ChildError, match="doomed ended with status 1"):
            cast.until_open("doomed", 1)
        assert cast.tail("doomed") == ["the reason"]


def test_ready_made_clients_fit_this_run(site: Site) -> None:
    guide.write_clients(site)
    python, shell = site.root / "client.py", site.root / "curl.sh"
    compile(python.read_text(), str(python), "exec")
    assert subprocess.run(["sh", "-n", str(shell)], check=False).returncode == 0
    for text in (python.read_text(), shell.read_text(), guide.where_to_look(site, "some-txn")):
        assert f"{site.data_url}/mcp/ledger" in text
        assert "${" not in text


def test_a_token_for_ones_own_client_is_printed(site: Site) -> None:
    resource = f"{site.data_url}/mcp/ledger"
    options = ["--url", site.issuer_url, "--key", str(site.issuer_key), "--resource", resource]
    printed = subprocess.run(
        [sys.executable, "-m", "demo.issuer", "token", *options],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    key = jwt.PyJWK(issuer.load(site.issuer_url, site.issuer_key).public_jwk)
    claims = jwt.decode(printed.stdout.strip(), key, algorithms=["RS256"], audience=resource, issuer=site.issuer_url)
    assert claims["client_id"] == CLIENT


def hop(reason: str, depth: int = 1, agent: str = "analyst") -> RecordedHop:
    return RecordedHop(reason, agent, "invokeTool ledger/pay", "txn", depth, ("some-policy",))


def test_the_record_must_bear_out_how_a_scene_ended() -> None:
    assert evidence.summary([hop("permitted", 0), hop("permitted", 2)], "permitted") == "2 hops, depth 0 to 2"
    assert evidence.summary([hop("permitted"), hop("forbidden")], "permitted") is None
    assert evidence.summary([], "permitted") is None
    assert evidence.summary([hop("permitted"), hop("no_permit")], "forbidden") is None
    assert (
        evidence.summary([hop("permitted"), hop("forbidden")], "forbidden")
        == "analyst → invokeTool ledger/pay by some-policy"
    )


@pytest.mark.parametrize(
    ("actual", "recorded", "ok"),
    [("forbidden", "x", True), ("permitted", "x", False), ("forbidden", None, False)],
)
def test_a_step_needs_caller_and_record_to_agree(actual: str, recorded: str | None, ok: bool) -> None:
    step = run.Step("title", "forbidden", actual, "", recorded, "txn")
    assert step.ok is ok
    assert run.table([step]).splitlines()[1].startswith("ok" if ok else "FAILED")


def test_the_story_is_told_and_every_step_ends_as_it_must(tmp_path: Path) -> None:
    work = tmp_path / "work"
    told = subprocess.run(
        [sys.executable, "-m", "demo.run", "--once", "--directory", str(work)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    assert told.stderr == ""
    rows = [line for line in told.stdout.splitlines() if re.match(r"(ok|FAILED)  ", line)]
    for row, scene in zip(rows, (*story.SCENES, *attacker.ATTEMPTS), strict=True):
        assert row.startswith("ok")
        assert row.count(f" {scene.expected} ") == 2
    logs = "".join(log.read_text() for log in (work / "logs").iterdir())
    assert "Bearer ey" not in logs
    assert not re.search(r"eyJ[\w-]+\.eyJ[\w-]+\.", logs)
