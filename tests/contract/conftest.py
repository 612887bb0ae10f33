"""The stores that fulfil the contracts. A new store joins by one more entry here."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.core.approval_port import Approvals
from gateway.core.keeping import SealedKeys, TrustBundles, UpstreamTokens
from gateway.core.kernel.standing import KernelNodes
from gateway.core.ports import Bindings, Handles, LiveChains, Revocations, SingleUse, TaskOwners, ToolPins
from gateway.core.versions import PolicyVersions
from gateway.core.webhook_letters import Letters, TargetTerms, letters_of
from gateway.store.approvals import SqlApprovals
from gateway.store.bindings import SqlBindings
from gateway.store.handles import SqlHandles
from gateway.store.kernel_nodes import SqlKernelNodes
from gateway.store.live_chains import SqlLiveChains
from gateway.store.policy_versions import SqlPolicyVersions
from gateway.store.pulse import Pulse
from gateway.store.revocations import SqlRevocations
from gateway.store.sealed_keys import SqlSealedKeys
from gateway.store.single_use import SqlSingleUse
from gateway.store.sql import database_path
from gateway.store.state import open_state
from gateway.store.task_owners import SqlTaskOwners
from gateway.store.tool_pins import SqlToolPins
from gateway.store.trust_bundles import SqlTrustBundles
from gateway.store.upstream_tokens import SqlUpstreamTokens
from gateway.store.webhook_letters import SqlLetters
from tests.core.approvals import NOW


@dataclass
class Clock:
    """Unix seconds that a test moves."""

    now: float = 1_800_000_000

    def __call__(self) -> float:
        return self.now


@dataclass
class Store:
    """One process's view of the shared state."""

    bindings: Bindings
    task_owners: TaskOwners
    tool_pins: ToolPins
    single_use: SingleUse
    handles: Handles
    revocations: Revocations
    live_chains: LiveChains
    sealed_keys: SealedKeys
    upstream_tokens: UpstreamTokens
    trust_bundles: TrustBundles
    policy_versions: PolicyVersions
    approvals: Approvals
    kernel_nodes: KernelNodes
    letters: Letters


OpenStore = Callable[[], AbstractAsyncContextManager[Store]]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> OpenStore:
    """Opens the same store again and again, as several processes would."""
    urls = {"sqlite": f"sqlite:///{tmp_path}/hopgate.db"}

    @asynccontextmanager
    async def opened() -> AsyncIterator[Store]:
        engine = await open_state(urls[request.param])
        revocations = SqlRevocations(engine, database_path(urls[request.param]))
        versions = SqlPolicyVersions(engine, database_path(urls[request.param]))
        try:
            pulse = Pulse(engine)
            await pulse.beat()
            yield Store(
                SqlBindings(engine, pulse),
                SqlTaskOwners(engine, clock),
                SqlToolPins(engine, clock),
                SqlSingleUse(engine),
                SqlHandles(engine),
                revocations,
                SqlLiveChains(engine),
                SqlSealedKeys(engine),
                SqlUpstreamTokens(engine),
                SqlTrustBundles(engine),
                versions,
                SqlApprovals(engine, lambda before, after: letters_of(before, after, {"pager": TargetTerms()}, NOW)),
                SqlKernelNodes(engine),
                SqlLetters(engine),
            )
        finally:
            revocations.close()
            versions.close()
            await engine.dispose()

    return opened
