"""What staged policies say of a hop that was decided: for its record and the metrics, whatever they say."""

from gateway.core.model import Decision
from gateway.core.policy.decide import decide
from gateway.core.policy.trial import Staged, tried
from gateway.core.snapshot import Snapshot
from gateway.proxy.gate import Gate


def staged(gate: Gate, decision: Decision, snapshot: Snapshot) -> Staged | None:
    """What the drafts that concern the hop decide; None where there are none, or they can't be evaluated."""
    if not snapshot.bundle.trials:
        return None
    hop = decision.hop
    actions = [(hop.call.action, hop.call.resource), *hop.call.also]
    try:
        found = tried(
            decision,
            snapshot.bundle,
            actions,
            lambda bundle: decide(hop, bundle, snapshot.registry, snapshot.generation),
        )
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        # The enforced policies have decided already: nothing that a draft causes may end the hop.
        gate.log.error("staged policies not evaluated", decision_id=hop.id, error=type(error).__name__)
        return None
    if found is not None:
        gate.metrics.policies.tried(found)
    return found
