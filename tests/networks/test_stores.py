"""The stores in memory keep the contracts of ``tests/contract``, as far as a network asks them."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from tests.contract import test_bindings, test_handles, test_live_chains, test_revocations, test_single_use
from tests.networks import stores

KEPT = [
    test_bindings.test_the_first_presenter_is_bound_and_later_ones_see_it,
    test_bindings.test_many_at_once_agree_on_one,
    test_bindings.test_a_binding_outlives_the_process_the_chain_and_the_token,
    test_bindings.test_a_binding_once_seen_is_what_the_store_says,
    test_handles.test_what_was_kept_is_found_by_every_process,
    test_handles.test_it_outlives_the_process_and_not_its_end,
    test_handles.test_what_is_over_is_forgotten,
    test_live_chains.test_what_one_process_joins_every_process_sees,
    test_live_chains.test_only_this_agent_and_this_user_or_anybody,
    test_live_chains.test_many_at_once,
    test_revocations.test_what_one_process_revokes_the_others_learn,
    test_revocations.test_it_outlives_the_process,
    test_revocations.test_a_lift_ends_it_once_and_is_kept,
    test_revocations.test_an_id_is_never_taken_twice,
    test_single_use.test_only_the_first_time_counts,
    test_single_use.test_of_many_at_once_one_wins,
    test_single_use.test_a_spent_key_outlives_the_process_and_its_end,
]


@pytest.fixture
def open_store() -> Callable[[], AbstractAsyncContextManager[Any]]:
    """The same memory again and again."""
    memory = SimpleNamespace(
        bindings=stores.MemoryBindings(),
        handles=stores.MemoryHandles(),
        live_chains=stores.MemoryLiveChains(),
        revocations=stores.MemoryRevocations(),
        single_use=stores.MemorySingleUse(),
    )

    @asynccontextmanager
    async def opened() -> AsyncIterator[Any]:
        yield memory

    return opened


@pytest.mark.parametrize("contract", KEPT, ids=lambda each: f"{each.__module__.rpartition('_')[2]}-{each.__name__}")
async def test_contract(contract: Any, open_store: Any) -> None:
    await contract(open_store)
