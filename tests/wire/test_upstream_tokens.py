"""Users' tokens of a third party's: renewed once, forgotten when they are withdrawn, and seen by nobody."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from gateway.core.reasons import Reason
from gateway.identity import upstream_oauth
from tests.e2e.test_trace import collecting
from tests.gateways import running
from tests.third_party import consent_world, everything_said
from tests.wire.consenting import consent, link_of, who
from tests.wire.mcp_calls import answer_of, bare, call, modern, post, refusal_of


async def test_many_calls_renew_once_and_refresh_tokens_rotate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with consent_world(tmp_path, stateless=True) as world, running(world.company):
        await consent(world)
        async with bare(world.company, server="tracker", token=await world.token()) as wire:
            for _ in range(2):
                async with world.as_another_process() as process:
                    old = await process.oauth.token(process.holder)
                    # It is as if its end were near.
                    await process.age(old)
                answers = await asyncio.gather(*(post(wire, call("whoami")) for _ in range(5)))
                assert all("result" in answer_of(answer) for answer in answers), answers[0].text
                async with world.as_another_process() as process:
                    new = await process.oauth.token(process.holder)
                assert new.access_token != old.access_token
                assert new.refresh_token != old.refresh_token
    assert len(world.tracker.tokens) == 2


async def test_no_two_processes_present_one_refresh_token(tmp_path: Path) -> None:
    """The issuer would end all tokens of the user: the calls after it would be refused."""
    async with consent_world(tmp_path, stateless=True) as world, running(world.company):
        await consent(world)
        async with world.as_another_process() as one, world.as_another_process() as other:
            for _ in range(3):
                await one.age(await one.oauth.token(one.holder))
                renewed = await asyncio.gather(one.oauth.token(one.holder), other.oauth.token(other.holder))
                assert len({token.access_token for token in renewed}) == 1
        assert await who(world) == "maria-there"


async def test_whoever_began_to_renew_may_leave(tmp_path: Path) -> None:
    async with consent_world(tmp_path, stateless=True) as world, running(world.company):
        await consent(world)
        async with world.as_another_process() as process:
            old = await process.oauth.token(process.holder)
            await process.age(old)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.005):
                    await process.oauth.token(process.holder)
            new = await process.oauth.token(process.holder)
        assert new.access_token != old.access_token
        assert await who(world) == "maria-there"


async def test_a_withdrawn_consent_is_asked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream_oauth, "AGAIN_SECONDS", 0)
    async with consent_world(tmp_path, stateless=True) as world, running(world.company):
        await consent(world)
        assert await who(world) == "maria-there"
        world.tracker.refused.update(world.tracker.tokens)
        assert await who(world) == "maria-there", "renewed, since the tracker refused it"
        assert world.tracker.calls == ["whoami"] * 2
        world.tracker.refused.update(world.tracker.tokens)
        async with world.as_another_process() as process:
            await process.revoke()
        await consent(world)
        assert await who(world) == "maria-there"


async def test_another_registration_of_the_server_opens_nothing(tmp_path: Path) -> None:
    async with consent_world(tmp_path, stateless=True) as world:
        async with running(world.company):
            await consent(world)
            assert await who(world) == "maria-there"
        world.company.registry["servers"]["tracker"]["upstream"]["oauth"]["scopes"] = ["issues"]
        async with running(world.company):
            assert await link_of(world)
    assert len(world.tracker.tokens) == 1


async def test_moved_to_another_user_it_opens_nothing(tmp_path: Path) -> None:
    async with consent_world(tmp_path, stateless=True) as world, running(world.company):
        await consent(world)
        with sqlite3.connect(tmp_path / "hopgate.db") as state:
            state.execute("UPDATE upstream_tokens SET sub = 'corp|ivan'")
        state.close()
        assert await link_of(world, "ivan")
    assert world.tracker.seen == []


async def test_nothing_of_it_is_written_down(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    async with consent_world(tmp_path, stateless=True) as world, collecting(world.company) as collector:
        async with running(world.company):
            await consent(world)
            assert await who(world) == "maria-there"
            async with world.as_another_process() as process:
                token = await process.oauth.token(process.holder)
        await collector.all_of(world.company)
    spans = "".join(map(str, collector.spans))
    assert "POST" in spans or "tools/call" in spans
    said = everything_said(world.company) + spans + "".join(capfd.readouterr())
    assert "upstream consent" in said
    assert token.refresh_token is not None
    assert [secret for secret in (token.access_token, token.refresh_token) if secret in said] == []
    assert token.access_token not in repr(token)


async def test_an_upstream_that_shows_the_token_to_its_caller_is_not_passed_on(tmp_path: Path) -> None:
    async with consent_world(tmp_path, stateless=True) as world, running(world.company):
        await consent(world)
        async with bare(world.company, server="tracker", token=await world.token()) as wire:
            refused = await post(wire, call("echo"))
    assert refusal_of(refused) == (502, 1502, Reason.UPSTREAM_ECHO)
    assert not any(token in refused.text for token in world.tracker.tokens)


async def test_nor_is_one_that_hides_it_in_its_tools_and_nothing_of_that_is_kept(tmp_path: Path) -> None:
    async with consent_world(tmp_path, stateless=True, telling=True) as world, running(world.company):
        await consent(world)
        async with bare(world.company, server="tracker", token=await world.token()) as wire:
            refused = await post(wire, modern("tools/list"))
    assert refusal_of(refused) == (502, 1502, Reason.UPSTREAM_ECHO)
    said = everything_said(world.company) + refused.text
    assert world.tracker.tokens
    assert not any(token in said for token in world.tracker.tokens)
