"""What is decided of a hop, by given policies: by the enforced ones for its answer, by staged ones for its record."""

import msgspec

from gateway.core.model import Decision, Hop, Permit
from gateway.core.policy.bundle import Bundle
from gateway.core.policy.decide import decide
from gateway.core.policy.trial import Staged, tried
from gateway.core.snapshot import Snapshot
from gateway.proxy.adapters import adapter_of
from gateway.proxy.gate import Gate


def decided(hop: Hop, snapshot: Snapshot, bundle: Bundle) -> Decision:
    """The decision on the hop, and on the webhook that its message may set besides."""
    decision = decide(hop, bundle, snapshot.registry, snapshot.generation)
    beside = adapter_of(hop.route.protocol).action_beside(hop.call)
    if beside is None or not isinstance(decision, Permit):
        return decision
    setting = msgspec.structs.replace(hop, call=msgspec.structs.replace(hop.call, action=beside))
    also = decide(setting, bundle, snapshot.registry, snapshot.generation)
    return msgspec.structs.replace(also, hop=hop, policies=(*decision.policies, *also.policies))


def staged(gate: Gate, decision: Decision, snapshot: Snapshot) -> Staged | None:
    """What staged policies say of a hop that was decided: for its record and the metrics, whatever they say."""
    if not snapshot.bundle.trials:
        return None
    hop = decision.hop
    beside = adapter_of(hop.route.protocol).action_beside(hop.call)
    done = [hop.call.action] if beside is None else [hop.call.action, beside]
    actions = [*((action, hop.call.resource) for action in done), *hop.call.also]
    try:
        found = tried(decision, snapshot.bundle, actions, lambda bundle: decided(hop, snapshot, bundle))
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        # The enforced policies have decided already: nothing that a draft causes may end the hop.
        gate.log.error("staged policies not evaluated", decision_id=hop.id, error=type(error).__name__)
        return None
    if found is not None:
        gate.metrics.policies.tried(found)
    return found
