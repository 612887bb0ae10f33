"""Contract of ``core.versions.PolicyVersions``: numbers only grow, one at a time; nothing is lost, altered or torn."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import text

from gateway.core.errors import StoreError
from gateway.core.versions import Version, digest_of, next_facts

FILES = {"platform/a.cedar": "permit (principal, action, resource);", "tests.json": "[]"}


def version(before: Version | None, files: dict[str, str], by: str = "corp|ann") -> Version:
    newest = None if before is None else before.facts
    facts = next_facts(newest, files, "b" * 64, by=by, origin="publish", at=1_800_000_000_000, comment="why, é")
    return Version(facts, files)


async def test_what_was_in_force_outlives_the_process(open_store: Any) -> None:
    first = version(None, FILES)
    second = version(first, FILES | {"teams/x/b.cedar": "é\n"})
    async with open_store() as store:
        assert await store.policy_versions.newest() is None
        assert await store.policy_versions.append(first)
        assert await store.policy_versions.append(second)
    async with open_store() as store:
        assert await store.policy_versions.newest() == second.facts
        assert await store.policy_versions.read(1) == first
        assert await store.policy_versions.read(2) == second
        assert await store.policy_versions.read(3) is None
        assert await store.policy_versions.page(None, 10) == (second.facts, first.facts)
        assert await store.policy_versions.page(2, 10) == (first.facts,)
        assert await store.policy_versions.page(None, 1) == (second.facts,)


async def test_of_those_that_publish_at_once_one_does(open_store: Any) -> None:
    first = version(None, FILES)
    async with open_store() as one, open_store() as other:
        assert await one.policy_versions.append(first)
        rivals = [version(first, FILES | {"platform/a.cedar": f"// {number}"}, str(number)) for number in range(10)]
        kept = await asyncio.gather(
            *((one if number % 2 else other).policy_versions.append(each) for number, each in enumerate(rivals))
        )
        assert sorted(kept) == [False] * 9 + [True]
        winner = rivals[kept.index(True)]
        for store in (one, other):
            assert await store.policy_versions.newest() == winner.facts
            assert await store.policy_versions.read(2) == winner
        skipped = Version(next_facts(version(winner, {}).facts, {}, "", by="x", origin="publish", at=0), {})
        assert not await one.policy_versions.append(skipped), "numbers have no gaps"


async def test_what_somebody_altered_is_no_version(open_store: Any) -> None:
    async with open_store() as store:
        assert await store.policy_versions.append(version(None, FILES))
        for statement in (
            "update policy_texts set text = 'permit (principal, action, resource) ;' where text like 'permit%'",
            "delete from policy_texts where text like 'permit%'",
            "update policy_versions set files = '{}'",
            "update policy_versions set files = 'x'",
        ):
            async with store.policy_versions._engine.begin() as connection:
                await connection.execute(text(statement))
            with pytest.raises(StoreError, match="not what was kept"):
                await store.policy_versions.read(1)


def test_the_digest_is_of_paths_and_texts() -> None:
    digests = {digest_of(files) for files in ({}, FILES, {"a.cedar": "x"}, {"b.cedar": "x"}, {"a.cedar": "y"})}
    assert len(digests) == 5
    assert digest_of(dict(reversed(FILES.items()))) == digest_of(FILES)
