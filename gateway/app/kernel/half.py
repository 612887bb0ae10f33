"""The kernel half of one process: a pusher and a follower of events for each configured node.

Fulfils ``admin.kernel.KernelDesk``. Does nothing where no loader is configured.
"""

import asyncio
from collections.abc import Callable, Mapping

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.admin.kernel import KernelStanding, NodeStanding, ShadowStanding
from gateway.app.ids import new_id
from gateway.app.kernel.compiling import Compiling
from gateway.app.kernel.events import Follower
from gateway.app.kernel.key import kernel_signer
from gateway.app.kernel.loader_client import LoaderClient
from gateway.app.kernel.node import Node
from gateway.app.kernel.push import Pusher
from gateway.app.telemetry import Telemetry
from gateway.config.settings import Settings
from gateway.core.kernel.shadows import ShadowAgent, shadow_agents
from gateway.core.ports import AuditLog
from gateway.core.registry import Registry
from gateway.core.snapshot import Snapshot
from gateway.identity.peers import Client
from gateway.store.kernel_nodes import SqlKernelNodes


class KernelHalf:
    """Pushes to all nodes while it runs."""

    def __init__(
        self,
        settings: Settings,
        environ: Mapping[str, str],
        state: AsyncEngine,
        snapshot: Callable[[], Snapshot],
        client: Client,
        audit: AuditLog,
        telemetry: Telemetry,
    ) -> None:
        """Make ready.

        Raises:
            PartError: the key that signs rules can't be used.
        """
        kernel = settings.kernel
        self._compiling = Compiling(snapshot)
        self._pushers: list[Pusher] = []
        self._followers: list[Follower] = []
        if not kernel.loaders:
            return
        signer, nodes = kernel_signer(settings, environ), SqlKernelNodes(state)

        def registry() -> Registry:
            return snapshot().registry

        for each in kernel.loaders:
            node = Node(each.node, LoaderClient(each, client, kernel.request_seconds), nodes, telemetry)
            self._pushers.append(Pusher(node, self._compiling, signer, kernel))
            self._followers.append(Follower(node, audit, registry, kernel.events_per_second, new_id))

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for pusher in self._pushers:
                tasks.create_task(pusher.run())
            for follower in self._followers:
                tasks.create_task(follower.run())

    @property
    def said(self) -> str:
        """``ok``, or which nodes don't enforce all that they should."""
        drifting = [each.node for each in self._pushers if each.drift]
        more = f" and {len(drifting) - 5} more" if len(drifting) > 5 else ""
        return f"drift: {', '.join(drifting[:5])}{more}" if drifting else "ok"

    def standing(self) -> KernelStanding:
        """How all nodes stand now."""
        last = self._compiling.last
        report = None if last is None else last.report
        return KernelStanding(
            nodes=tuple(_standing(each) for each in self._pushers),
            digest="" if last is None else last.rules.digest,
            classes=() if last is None else tuple(each.name for each in last.rules.classes),
            refused=() if report is None else report.refused,
            stays=() if report is None else report.stays,
            lints=() if report is None else report.lints,
        )

    def shadows(self) -> ShadowStanding:
        """Shadow agents, as the loaders said last."""
        agents = tuple(agent for each in self._pushers for agent in _shadows(each))
        unlisted = {each.node: _unlisted(each) for each in self._pushers if _unlisted(each)}
        return ShadowStanding(agents=agents, unlisted=unlisted)


def _shadows(pusher: Pusher) -> tuple[ShadowAgent, ...]:
    status = pusher.status
    return () if status is None else shadow_agents(pusher.node, status.shadows, int(pusher.asked_at * 1000))


def _unlisted(pusher: Pusher) -> int:
    status = pusher.status
    if status is None:
        return 0
    return max(0, status.shadows_at_large + status.shadows_quarantined - len(status.shadows))


def _standing(pusher: Pusher) -> NodeStanding:
    wanted, status = pusher.wanted, pusher.status
    return NodeStanding(
        node=pusher.node,
        wanted=0 if wanted is None else wanted.generation,
        generation=0 if status is None else status.generation,
        asked_at=int(pusher.asked_at * 1000),
        drift=pusher.drift,
        cgroups={} if status is None else status.cgroups,
    )
