"""Tokens of an authorization server: found under their holder alone, fetched once, and told when they can't be had."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.core.errors import HopError
from gateway.core.reasons import Reason
from gateway.identity import authorization_server, upstream_oauth
from gateway.identity.authorization_server import AskError
from gateway.identity.flights import owning
from gateway.identity.seal import AeadSealer
from gateway.identity.upstream_oauth import Holder, UpstreamOauth
from gateway.store.state import open_state
from gateway.store.upstream_tokens import SqlUpstreamTokens
from tests.identity.issuer_stand_in import IssuerStandIn, issuer_stand_in

SEALER = AeadSealer(b"s" * 32)


@dataclass
class Clock:
    now: float = 1_800_000_000
    watched: asyncio.Event | None = None
    """Set at the fourth time that it is looked at from then on: a renewal is about to be claimed."""
    looks: int = 0

    def __call__(self) -> float:
        if self.watched is not None:
            self.looks += 1
            if self.looks == 4:
                self.watched.set()
        return self.now


@dataclass
class Bench:
    issuer: IssuerStandIn
    oauth: UpstreamOauth
    kept: SqlUpstreamTokens
    clock: Clock


def secret(reference: str) -> bytes:
    if reference != "env:SECRET":
        raise LookupError(f"the environment variable of {reference} is not set or empty")
    return b"s3cret&+"


@asynccontextmanager
async def bench(directory: Path) -> AsyncIterator[Bench]:
    clock, engine = Clock(), await open_state(f"sqlite:///{directory}/hopgate.db")
    kept = SqlUpstreamTokens(engine)
    async with issuer_stand_in() as issuer, owning() as tasks:
        yield Bench(issuer, UpstreamOauth(kept, SEALER, secret, tasks, loopback_http=True, clock=clock), kept, clock)
    await engine.dispose()


async def reason_of(asked: Any) -> Reason:
    with pytest.raises(HopError) as failed:
        await asked
    assert "s3cret" not in str(failed.value)
    return failed.value.reason


async def test_one_token_serves_until_shortly_before_its_end(tmp_path: Path) -> None:
    async with bench(tmp_path) as it:
        holder = Holder("tracker", it.issuer.client())
        tokens = await asyncio.gather(*(it.oauth.token(holder) for _ in range(20)))
        assert {token.access_token for token in tokens} == {"token-1"}
        it.clock.now += 569
        assert (await it.oauth.token(holder)).access_token == "token-1"
        it.clock.now += 1
        assert (await it.oauth.token(holder)).access_token == "token-2"
        it.clock.now -= 3600
        assert (await it.oauth.token(holder)).access_token == "token-3", "the clock was set back"
    form, headers = it.issuer.posts[0], it.issuer.asked[-1][2]
    assert form == {"grant_type": "client_credentials", "scope": "issues", "resource": "https://tracker.test/mcp"}
    assert headers["Authorization"] == "Basic aG9wZ2F0ZTpzM2NyZXQlMjYlMkI=", "form-encoded, RFC 6749 section 2.3.1"


async def test_a_life_that_is_not_said_is_short(tmp_path: Path) -> None:
    async with bench(tmp_path) as it:
        it.issuer.issue()
        holder = Holder("tracker", it.issuer.client())
        await it.oauth.token(holder)
        it.clock.now += upstream_oauth.UNSAID_SECONDS
        assert (await it.oauth.token(holder)).access_token == "token-2"


@pytest.mark.parametrize("other", [{"scopes": ("all",)}, {"resource": "https://wiki.test/mcp"}, {"client_id": "other"}])
async def test_no_other_holder_gets_it(tmp_path: Path, other: dict[str, Any]) -> None:
    """Attack 29: a cache is keyed by all that a token depends on."""
    async with bench(tmp_path) as it:
        first = await it.oauth.token(Holder("tracker", it.issuer.client()))
        assert (await it.oauth.token(Holder("tracker", it.issuer.client(**other)))).access_token != first.access_token
        assert (await it.oauth.token(Holder("wiki", it.issuer.client()))).access_token != first.access_token


async def test_a_users_token_opens_for_that_user_server_and_client_alone(tmp_path: Path) -> None:
    async with bench(tmp_path) as it:
        client = it.issuer.client(grant="authorization_code")
        maria = Holder("tracker", client, "corp|maria")
        await it.oauth.redeem(maria, {"code": "c"})
        assert (await it.oauth.token(maria)).access_token == "token-1"
        found = await it.kept.read("corp|maria", "tracker")
        assert found is not None
        assert "token-1" not in found.sealed
        for other in (
            Holder("tracker", client, "corp|ivan"),
            Holder("wiki", client, "corp|maria"),
            Holder("tracker", msgspec.structs.replace(client, client_id="other"), "corp|maria"),
            Holder("tracker", msgspec.structs.replace(client, issuer="https://other.test"), "corp|maria"),
        ):
            await it.kept.keep(other.sub, other.server, found.sealed, 1)
            assert await reason_of(it.oauth.token(other)) is Reason.CONSENT_REQUIRED


async def test_a_failure_is_told_to_all_who_wait_and_for_a_moment_to_who_comes(tmp_path: Path) -> None:
    async with bench(tmp_path) as it:
        it.issuer.answer = ({"error": "invalid_client", "error_description": "s3cret"}, 401, {})
        holder = Holder("tracker", it.issuer.client())
        reasons = await asyncio.gather(*(reason_of(it.oauth.token(holder)) for _ in range(10)))
        assert set(reasons) == {Reason.UPSTREAM_CREDENTIAL}
        assert await reason_of(it.oauth.token(holder)) is Reason.UPSTREAM_CREDENTIAL
        assert len(it.issuer.posts) == 1
        it.issuer.issue(expires_in=600)
        it.clock.now += upstream_oauth.FAILED_SECONDS
        assert await it.oauth.token(holder)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (({"error": "server_error"}, 500, {}), Reason.UPSTREAM_ISSUER_UNAVAILABLE),
        (({"access_token": "t"}, 200, {}), Reason.UPSTREAM_CREDENTIAL),
        (({"access_token": "t", "token_type": "mac"}, 200, {}), Reason.UPSTREAM_CREDENTIAL),
        (({"access_token": "a\r\nX-Evil: 1", "token_type": "bearer"}, 200, {}), Reason.UPSTREAM_CREDENTIAL),
        (({"access_token": "t" * 9000, "token_type": "bearer"}, 200, {}), Reason.UPSTREAM_CREDENTIAL),
        (({"access_token": ["t"], "token_type": "bearer"}, 200, {}), Reason.UPSTREAM_CREDENTIAL),
        ((b"<html>", 200, {}), Reason.UPSTREAM_CREDENTIAL),
        ((b'{"access_token":"a","access_token":"b","token_type":"bearer"}', 200, {}), Reason.UPSTREAM_CREDENTIAL),
        ((b" " * 300_000, 200, {}), Reason.UPSTREAM_CREDENTIAL),
        ((b"{}", 200, {"Content-Encoding": "gzip"}), Reason.UPSTREAM_CREDENTIAL),
        ((b"", 307, {"Location": "http://127.0.0.1:1/token"}), Reason.UPSTREAM_CREDENTIAL),
    ],
)
async def test_an_answer_that_is_none_ends_in_a_refusal(tmp_path: Path, answer: Any, reason: Reason) -> None:
    async with bench(tmp_path) as it:
        it.issuer.answer = answer
        assert await reason_of(it.oauth.token(Holder("tracker", it.issuer.client()))) is reason


async def test_metadata_that_cannot_be_had_is_looked_for_once_by_all_who_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(tmp_path) as it:
        found, it.issuer.metadata = it.issuer.metadata, {}
        server = it.oauth.server_of(it.issuer.client())
        failed = await asyncio.gather(*(server.endpoints(it.clock.now) for _ in range(10)), return_exceptions=True)
        assert all(isinstance(each, AskError) and each.unavailable for each in failed)
        assert len(it.issuer.asked) == 2, "the two places where metadata may be"
        it.issuer.metadata = found
        monkeypatch.setattr(authorization_server, "FAILED_SECONDS", 0)
        assert await server.endpoints(it.clock.now)


async def test_a_secret_that_cannot_be_read_is_named_by_its_reference(tmp_path: Path) -> None:
    async with bench(tmp_path) as it:
        with pytest.raises(HopError) as failed:
            await it.oauth.token(Holder("tracker", it.issuer.client(secret="env:OTHER")))
    assert "env:OTHER" in failed.value.detail
    assert it.issuer.posts == []


async def test_a_renewal_that_fails_for_now_loses_nothing(tmp_path: Path) -> None:
    async with bench(tmp_path) as it:
        maria = Holder("tracker", it.issuer.client(grant="authorization_code"), "corp|maria")
        it.issuer.issue(expires_in=600, refresh_token="r-1")
        await it.oauth.redeem(maria, {"code": "c"})
        it.clock.now += 600
        it.issuer.answer = ({}, 503, {})
        assert await reason_of(it.oauth.token(maria)) is Reason.UPSTREAM_ISSUER_UNAVAILABLE
        it.issuer.issue(expires_in=600)
        assert (await it.oauth.token(maria)).access_token == "token-2"
        assert it.issuer.posts[-1]["refresh_token"] == "r-1"
        it.clock.now += 600
        assert (await it.oauth.token(maria)).access_token == "token-3", "without a new one the old one stays good"
        it.clock.now += 600
        it.issuer.answer = ({"error": "invalid_grant"}, 400, {})
        assert await reason_of(it.oauth.token(maria)) is Reason.CONSENT_REQUIRED
        assert await it.kept.read("corp|maria", "tracker") is None


async def test_what_is_forgotten_while_it_is_renewed_stays_forgotten(tmp_path: Path) -> None:
    async with bench(tmp_path) as it:
        maria = Holder("tracker", it.issuer.client(grant="authorization_code"), "corp|maria")
        it.issuer.issue(expires_in=600, refresh_token="r-1")
        await it.oauth.redeem(maria, {"code": "c"})
        it.clock.now += 600
        it.issuer.before_answer = lambda: it.kept.forget("corp|maria", "tracker")
        assert await reason_of(it.oauth.token(maria)) is Reason.CONSENT_REQUIRED
        assert await it.kept.read("corp|maria", "tracker") is None
        assert it.issuer.posts[-1]["refresh_token"] == "r-1"
