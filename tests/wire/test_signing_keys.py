"""Keys of the store in a running gateway: what a distrusted key ends, and what happens while they can't be read."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import jwt
import pytest

from gateway.app.signing import STALE_SECONDS, key_ring
from gateway.config.load import load
from gateway.config.problems import Problems
from gateway.identity.key_ring import KeyRing
from gateway.store.state import open_state
from tests.company import Company
from tests.wire.delegate import delegated, delegates
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import answer_of, bare, call, post, refusal_of, through_gateway
from tests.wire.test_faults_store import locked
from tests.wire.test_reload import streamed

READ = call("read_balance")


@dataclass
class Stage:
    company: Company
    ledger: Ledger
    held: str
    """A hop token that the analyst received."""
    ring: KeyRing
    """Another process's view of the store, as ``hopgate keys`` has it."""


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    company, ledger = Company(tmp_path), Ledger()
    company.settings["keys"] = {"signing": {"source": "store"}}
    async with delegates(company, "analyst") as [analyst], through_gateway(company, ledger):
        loaded = load(company.config, os.environ)
        assert not isinstance(loaded, Problems)
        engine = await open_state(company.store_url)
        held = await delegated(company, analyst)
        yield Stage(company, ledger, held, key_ring(loaded.settings, os.environ, engine))
        await engine.dispose()


async def test_streams_that_a_distrusted_key_let_in_end_and_others_go_on(stage: Stage) -> None:
    async with (
        bare(stage.company, "analyst", token=stage.held) as continued,
        bare(stage.company) as begun,
        asyncio.TaskGroup() as tasks,
    ):
        proven_by_it = tasks.create_task(post(continued, streamed("slow")))
        await stage.ledger.started.wait()
        stage.ledger.started.clear()
        not_by_it = tasks.create_task(post(begun, streamed("slow")))
        await stage.ledger.started.wait()
        await stage.ring.begin_anew()
        ended = await asyncio.wait_for(proven_by_it, 2)
        assert answer_of(ended)["error"]["data"]["reason"] == "lease_ended"
        assert "distrusted" in ended.text
        assert not not_by_it.done()
        stage.ledger.release.set()
    assert "result" in answer_of(not_by_it.result())


async def test_a_rotation_ends_nothing_and_the_old_key_still_proves_its_chains(stage: Stage) -> None:
    kid = jwt.get_unverified_header(stage.held)["kid"]
    made = await stage.ring.rotate()
    assert made is not None
    assert made.kid != kid
    async with bare(stage.company, "analyst", token=stage.held) as wire:
        await asyncio.sleep(1)
        assert (await post(wire, READ)).status_code == 200
        token = stage.ledger.headers[-1]["authorization"].removeprefix("Bearer ")
        assert jwt.get_unverified_header(token)["kid"] == kid, "the new key only waits"


async def test_keys_that_can_not_be_read_are_not_used(stage: Stage) -> None:
    """A binding that this process has seen needs no store, so only the keys stand in the way."""
    async with bare(stage.company) as begun, bare(stage.company, "analyst", token=stage.held) as continued:
        assert (await post(begun, READ)).status_code == 200
        async with locked(stage.company.directory / "hopgate.db"):
            await asyncio.sleep(STALE_SECONDS + 0.5)
            before = len(stage.ledger.headers)
            for wire in (begun, continued):
                assert refusal_of(await post(wire, READ))[::2] == (503, "store_unavailable")
            assert len(stage.ledger.headers) == before
        async with asyncio.timeout(5):
            for wire in (begun, continued):
                while (await post(wire, READ)).status_code != 200:
                    pass
