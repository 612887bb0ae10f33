"""A third party's server in a user's name: the user consents in a browser, once, and every client is told how."""

from pathlib import Path
from typing import Any

import jwt
import pytest
from mcp import MCPError
from mcp.client.context import ClientRequestContext
from mcp.shared.exceptions import UrlElicitationRequiredError
from mcp_types import ElicitRequestURLParams, ElicitResult

from gateway.core.reasons import Reason
from gateway.protocols.mcp import elicitation
from tests.gateways import mcp_client, running
from tests.peers.oidc import token_answer
from tests.third_party import consent_world
from tests.wire.consenting import consent, who
from tests.wire.delegate import delegated, delegates
from tests.wire.mcp_calls import LEGACY, answer_of, bare, call, legacy, post, refusal_of


async def test_the_official_client_is_asked_opens_the_link_and_the_call_goes_on(tmp_path: Path) -> None:
    async with consent_world(tmp_path, stateless=True) as world, running(world.company), world.browser() as browser:
        asked: list[ElicitRequestURLParams] = []

        async def open_link(context: ClientRequestContext, params: Any) -> ElicitResult:
            asked.append(params)
            status, _ = await browser.consent(params.url, "maria")
            return ElicitResult(action="accept" if status == 200 else "decline")

        token = await world.token()
        async with mcp_client(
            world.company, server="tracker", mode="2026-07-28", token=token, elicitation_callback=open_link
        ) as session:
            answer = await session.call_tool("whoami", {})
            again = await session.call_tool("whoami", {})
    assert (answer.structured_content, again.structured_content) == ({"result": "maria-there"},) * 2
    assert [params.mode for params in asked] == ["url"]
    assert asked[0].url.startswith(f"{world.company.public_url}/oauth/consent?ticket=")
    assert elicitation.KEY.encode() not in b"".join(world.tracker.bodies), "what was asked by the gateway is its own"
    [sent] = world.tracker.tokens
    claims = jwt.decode(sent, options={"verify_signature": False})
    assert (claims["sub"], claims["aud"], claims["iss"]) == ("maria-there", world.tracker.url, world.third)
    recorded = {f.record.upstream_credential for f in world.company.records() if hasattr(f.record, "minted")}
    assert recorded == {"oauth authorization_code"}


async def test_a_client_of_sessions_gets_the_error_of_its_revision(tmp_path: Path) -> None:
    async def nobody(context: ClientRequestContext, params: Any) -> ElicitResult:
        return ElicitResult(action="decline")

    async with consent_world(tmp_path) as world, running(world.company):
        token = await world.token()
        with pytest.raises((MCPError, ExceptionGroup)) as refused:
            async with mcp_client(
                world.company, server="tracker", mode="legacy", token=token, elicitation_callback=nobody
            ):
                pass
        error = refused.value
        while isinstance(error, ExceptionGroup):
            error = error.exceptions[0]
        assert isinstance(error, MCPError)
        [asked] = UrlElicitationRequiredError.from_error(error.error).elicitations
        assert asked.elicitation_id == error.error.data["decision_id"]
        async with world.browser() as browser:
            assert (await browser.consent(asked.url, "maria"))[0] == 200
        async with mcp_client(world.company, server="tracker", mode="legacy", token=token) as session:
            assert (await session.call_tool("whoami", {})).structured_content == {"result": "maria-there"}


@pytest.mark.parametrize(
    ("capabilities", "status", "code"), [({"elicitation": {"url": {}}}, 200, -32042), ({}, 403, 1403)]
)
async def test_within_a_session_it_depends_on_what_was_declared(
    tmp_path: Path, capabilities: dict[str, Any], status: int, code: int
) -> None:
    async with consent_world(tmp_path) as world, running(world.company):
        await consent(world)
        async with bare(world.company, server="tracker", token=await world.token()) as wire:
            initialize = {
                "protocolVersion": LEGACY,
                "capabilities": capabilities,
                "clientInfo": {"name": "b", "version": "1"},
            }
            opened = await post(wire, legacy("initialize", initialize, request_id=1))
            session = {"Mcp-Session-Id": opened.headers["mcp-session-id"], "MCP-Protocol-Version": LEGACY}
            await post(wire, legacy("notifications/initialized", request_id=None), session)
            called = legacy("tools/call", {"name": "whoami", "arguments": {}})
            assert answer_of(await post(wire, called, session))["result"]["structuredContent"] == {
                "result": "maria-there"
            }
            async with world.as_another_process() as process:
                assert await process.kept.forget("corp|maria", "tracker")
            refused = await post(wire, called, session)
    assert refusal_of(refused) == (status, code, Reason.CONSENT_REQUIRED)
    assert answer_of(refused)["error"]["data"]["consent_url"].startswith("https://")


async def test_each_user_consents_for_themselves_and_any_agent_of_theirs_may_call(tmp_path: Path) -> None:
    async with consent_world(tmp_path, stateless=True) as world, running(world.company):
        await consent(world)
        assert await who(world) == "maria-there"
        assert await who(world, agent="analyst") == "maria-there"
        await consent(world, "ivan", "ivan-there")
        assert (await who(world, "ivan"), await who(world)) == ("ivan-there", "maria-there")


async def test_without_a_user_nobody_is_asked(tmp_path: Path) -> None:
    async with consent_world(tmp_path) as world:
        world.company.registry["agents"]["cron"] |= {"scopes": ["tracker/whoami"]}
        async with running(world.company), bare(world.company, "cron", server="tracker", token=None) as wire:
            refused = await post(wire, call("whoami"))
    assert refusal_of(refused) == (403, 1403, Reason.CONSENT_REQUIRED)
    assert "consent_url" not in answer_of(refused)["error"]["data"]
    assert world.tracker.seen == []


async def test_a_delegate_calls_in_the_name_of_the_user_at_the_root(tmp_path: Path) -> None:
    async with (
        consent_world(tmp_path, stateless=True) as world,
        running(world.company),
        delegates(world.company, "analyst") as [analyst],
    ):
        await consent(world)
        place = f"{world.company.data_url}/a2a/analyst"
        token = (await token_answer(world.corp, place, scope="openid all"))["access_token"]
        held = await delegated(world.company, analyst, token=token)
        async with bare(world.company, "analyst", server="tracker", token=held) as wire:
            answer = answer_of(await post(wire, call("whoami")))
    assert answer["result"]["structuredContent"] == {"result": "maria-there"}
    [sent] = world.tracker.tokens
    assert sent not in (held, token)
