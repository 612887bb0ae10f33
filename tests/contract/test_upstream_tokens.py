"""Contract of ``core.ports.UpstreamTokens``: one value a user and server, renewed by one process at a time."""

import asyncio
from typing import Any

from gateway.core.keeping import KeptGrant

NOW = 1_800_000_000
MARIA = ("corp|maria", "tracker")


async def test_what_is_kept_is_read_by_every_process_for_its_user_and_server_alone(open_store: Any) -> None:
    async with open_store() as one, open_store() as other:
        assert await one.upstream_tokens.read(*MARIA) is None
        await one.upstream_tokens.keep(*MARIA, "first", NOW)
        assert await other.upstream_tokens.read(*MARIA) == KeptGrant("first", NOW)
        assert await other.upstream_tokens.read("corp|ivan", "tracker") is None
        assert await other.upstream_tokens.read("corp|maria", "wiki") is None


async def test_one_of_many_may_renew(open_store: Any) -> None:
    async with open_store() as one, open_store() as other:
        await one.upstream_tokens.keep(*MARIA, "first", NOW)
        stores = [(one if number % 2 else other).upstream_tokens for number in range(20)]
        claims = await asyncio.gather(*(store.claim(*MARIA, NOW, NOW, NOW + 15) for store in stores))
        assert sum(claims) == 1
        assert await other.upstream_tokens.replace(*MARIA, NOW, "second", NOW)
        assert not await one.upstream_tokens.replace(*MARIA, NOW, "late", NOW)
        assert not await one.upstream_tokens.claim(*MARIA, NOW, NOW, NOW + 15)
        assert await one.upstream_tokens.read(*MARIA) == KeptGrant("second", NOW + 1)
        assert await one.upstream_tokens.claim(*MARIA, NOW + 1, NOW, NOW + 15)


async def test_a_claim_ends_by_itself_or_is_given_back(open_store: Any) -> None:
    async with open_store() as store:
        await store.upstream_tokens.keep(*MARIA, "first", NOW)
        assert await store.upstream_tokens.claim(*MARIA, NOW, NOW, NOW + 15)
        assert not await store.upstream_tokens.claim(*MARIA, NOW, NOW + 14, NOW + 30)
        assert await store.upstream_tokens.claim(*MARIA, NOW, NOW + 15, NOW + 30)
        await store.upstream_tokens.release(*MARIA, NOW)
        assert await store.upstream_tokens.claim(*MARIA, NOW, NOW + 15, NOW + 30)


async def test_a_new_consent_counts_on_and_ends_a_claim(open_store: Any) -> None:
    async with open_store() as store:
        await store.upstream_tokens.keep(*MARIA, "first", NOW)
        assert await store.upstream_tokens.claim(*MARIA, NOW, NOW, NOW + 15)
        await store.upstream_tokens.keep(*MARIA, "again", NOW + 1)
        assert not await store.upstream_tokens.replace(*MARIA, NOW, "renewed", NOW + 2)
        assert await store.upstream_tokens.read(*MARIA) == KeptGrant("again", NOW + 1)


async def test_forgetting_takes_all_or_what_was_seen(open_store: Any) -> None:
    async with open_store() as store:
        await store.upstream_tokens.keep(*MARIA, "first", NOW)
        await store.upstream_tokens.keep(*MARIA, "again", NOW)
        assert not await store.upstream_tokens.forget(*MARIA, NOW)
        assert await store.upstream_tokens.forget(*MARIA, NOW + 1)
        assert not await store.upstream_tokens.forget(*MARIA)
        await store.upstream_tokens.keep(*MARIA, "first", NOW)
        assert await store.upstream_tokens.forget(*MARIA)
        assert await store.upstream_tokens.read(*MARIA) is None


async def test_who_renews_what_was_forgotten_meanwhile_brings_nothing_back(open_store: Any) -> None:
    async with open_store() as store:
        await store.upstream_tokens.keep(*MARIA, "first", NOW)
        assert await store.upstream_tokens.claim(*MARIA, NOW, NOW, NOW + 15)
        assert await store.upstream_tokens.forget(*MARIA)
        assert not await store.upstream_tokens.replace(*MARIA, NOW, "renewed", NOW + 2)
        await store.upstream_tokens.keep(*MARIA, "again", NOW + 3)
        assert not await store.upstream_tokens.replace(*MARIA, NOW, "renewed", NOW + 4)
        assert await store.upstream_tokens.read(*MARIA) == KeptGrant("again", NOW + 3)
