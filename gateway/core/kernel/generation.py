"""The kernel's rules of one snapshot: what is pushed to a node on every new generation."""

from gateway.core.kernel.actions import KernelPolicy
from gateway.core.kernel.compile import Compilation, Source, compile_rules
from gateway.core.snapshot import Snapshot


def rules_of(snapshot: Snapshot, node: str) -> Compilation:
    """The rules for ``node``, under the snapshot's generation, and the report on them.

    Compiled are the policies of ``kernel/`` and those of the gateway's enforced ones that are about machines.
    """
    bundle = snapshot.bundle
    gateways = (KernelPolicy(rule.id, rule.place.tier, rule.statement, rule.tree) for rule in bundle.rules.values())
    source = Source(
        policies=(*snapshot.kernel.policies, *gateways),
        digest=f"sha256:{bundle.digest}",
        registry=snapshot.registry,
        world=bundle.world,
        schema=bundle.schemas.bare.handle,
    )
    return compile_rules(source, snapshot.generation, node)
