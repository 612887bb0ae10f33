"""A user's third-party token: what is asked to renew it, by whom alone, and what the user is told when it ends."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.core.errors import HopError, UpstreamError
from gateway.core.reasons import Reason
from gateway.identity import upstream_oauth
from gateway.identity.upstream_oauth import Holder, UpstreamToken
from tests.identity.test_upstream_oauth import Bench, bench


def maria(it: Bench, **client: Any) -> Holder:
    return Holder("tracker", it.issuer.client(grant="authorization_code", **client), "corp|maria")


async def consented(it: Bench, **answer: Any) -> Holder:
    holder = maria(it)
    it.issuer.issue(**{"expires_in": 600, "refresh_token": "r-1"} | answer)
    await it.oauth.redeem(holder, {"code": "c", "code_verifier": "v"})
    return holder


async def failure(asked: Any) -> tuple[type[HopError], Reason, str]:
    with pytest.raises(HopError) as failed:
        await asked
    return type(failed.value), failed.value.reason, failed.value.detail


def consent(detail: str) -> tuple[type[HopError], Reason, str]:
    return HopError, Reason.CONSENT_REQUIRED, detail


async def test_what_the_token_endpoint_is_asked(tmp_path: Path) -> None:
    async with bench(tmp_path) as it:
        holder = await consented(it)
        it.clock.now += 600
        await it.oauth.token(holder)
    assert it.issuer.posts == [
        {"grant_type": "authorization_code", "code": "c", "code_verifier": "v"},
        {"grant_type": "refresh_token", "refresh_token": "r-1", "resource": "https://tracker.test/mcp"},
    ]


async def test_a_client_without_resource_and_scopes_asks_for_none(tmp_path: Path) -> None:
    async with bench(tmp_path) as it:
        await it.oauth.token(Holder("tracker", it.issuer.client(scopes=(), resource="")))
        holder = maria(it, resource="")
        it.issuer.issue(expires_in=1, refresh_token="r-1")
        await it.oauth.redeem(holder, {"code": "c"})
        await it.oauth.token(holder)
    assert it.issuer.posts[0] == {"grant_type": "client_credentials"}
    assert it.issuer.posts[-1] == {"grant_type": "refresh_token", "refresh_token": "r-1"}


async def test_what_the_user_is_told(tmp_path: Path) -> None:
    async with bench(tmp_path) as it:
        assert await failure(it.oauth.token(maria(it))) == consent("the user has not consented yet")
        holder = await consented(it, refresh_token=None)
        moved = Holder("tracker", it.issuer.client(grant="authorization_code", client_id="new"), "corp|maria")
        assert await failure(it.oauth.token(moved)) == consent(
            "the server is registered otherwise than when the user consented"
        )
        it.clock.now += 600
        assert await failure(it.oauth.token(holder)) == consent(
            "the token has ended, and the issuer gave no means to renew it"
        )
        assert await it.kept.read("corp|maria", "tracker") is None


async def test_what_the_user_is_told_of_a_renewal(tmp_path: Path) -> None:
    async with bench(tmp_path) as it:
        holder = await consented(it)
        it.clock.now += 600
        it.issuer.answer = ({"error": "invalid_grant"}, 400, {})
        assert await failure(it.oauth.token(holder)) == consent("the issuer no longer renews the token")
        holder = await consented(it)
        it.clock.now += 600
        it.issuer.before_answer = lambda: it.kept.forget("corp|maria", "tracker")
        assert await failure(it.oauth.token(holder)) == consent("the consent was withdrawn or renewed meanwhile")


async def test_words_of_another_version_of_the_gateway_are_no_token(tmp_path: Path) -> None:
    async with bench(tmp_path) as it:
        holder = await consented(it)
        sealed = it.oauth._sealer.seal(b'{"other": 1}', holder.context)
        await it.kept.keep(holder.sub, holder.server, sealed, 1)
        assert (await failure(it.oauth.token(holder)))[1] is Reason.CONSENT_REQUIRED


class TestAnotherProcess:
    """It has claimed the renewal."""

    async def test_its_token_is_taken(self, tmp_path: Path) -> None:
        async with bench(tmp_path) as it:
            holder = await consented(it)
            it.clock.now += 600
            before = await it.kept.read(holder.sub, holder.server)
            assert before is not None
            assert await it.kept.claim(holder.sub, holder.server, before.version, 1, int(it.clock.now) + 20)
            asked_at = asyncio.Event()
            it.clock.watched = asked_at
            async with asyncio.TaskGroup() as group:
                waiting = group.create_task(it.oauth.token(holder))
                await asked_at.wait()
                token = UpstreamToken(access_token="theirs", fetched=it.clock.now, expires=it.clock.now + 600)
                await it.kept.replace(holder.sub, holder.server, before.version, it.oauth._seal(holder, token), 1)
            assert waiting.result().access_token == "theirs"
            assert len(it.issuer.posts) == 1

    async def test_it_is_not_waited_for_endlessly(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        async with bench(tmp_path) as it:
            holder = await consented(it)
            it.clock.now += 600
            before = await it.kept.read(holder.sub, holder.server)
            assert before is not None
            await it.kept.claim(holder.sub, holder.server, before.version, 1, int(it.clock.now) + 3600)
            monkeypatch.setattr(upstream_oauth, "CLAIM_SECONDS", -1)
            assert await failure(it.oauth.token(holder)) == (
                UpstreamError,
                Reason.UPSTREAM_ISSUER_UNAVAILABLE,
                "another process renews the token, in vain",
            )


class TestInsteadOf:
    @pytest.mark.parametrize("of_user", [False, True])
    async def test_a_young_token_is_as_good_as_any(self, tmp_path: Path, of_user: bool) -> None:
        async with bench(tmp_path) as it:
            holder = await consented(it) if of_user else Holder("tracker", it.issuer.client())
            refused = await it.oauth.token(holder)
            it.clock.now += 4
            assert await it.oauth.instead_of(holder, refused) is None
            it.clock.now += 1
            other = await it.oauth.instead_of(holder, refused)
            assert other is not None
            assert other.access_token != refused.access_token

    async def test_one_that_was_renewed_meanwhile_is_taken_as_it_is(self, tmp_path: Path) -> None:
        async with bench(tmp_path) as it:
            for holder in (Holder("tracker", it.issuer.client()), await consented(it)):
                now = await it.oauth.token(holder)
                asked = len(it.issuer.posts)
                old = UpstreamToken(access_token="old", fetched=0, expires=None)
                assert await it.oauth.instead_of(holder, old) == now
                assert len(it.issuer.posts) == asked


async def test_one_server_for_each_client(tmp_path: Path) -> None:
    async with bench(tmp_path) as it:
        one, other = it.issuer.client(), it.issuer.client(client_id="other")
        assert it.oauth.server_of(one) is it.oauth.server_of(one)
        assert it.oauth.server_of(one) is not it.oauth.server_of(other)
        assert it.oauth.server_of(other).client == other


@pytest.mark.parametrize(
    ("fetched", "expires", "serves"),
    [(0, None, True), (130, None, True), (131, None, False), (0, 131, True), (0, 130, False)],
)
def test_a_token_serves_between_its_margins(fetched: float, expires: float | None, serves: bool) -> None:
    token = UpstreamToken(access_token="t", fetched=fetched, expires=expires)
    assert token.serves(100) is serves
    assert repr(token) == "UpstreamToken()"
