"""Why a hop was decided as it was, as spans and replies tell it: policies, and the values that they read.

Decides nothing, and holds back what the record holds back: sensitive arguments are digests here too.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.core.model import Decision, Deny, Determining, Permit

ARGUMENTS = "context.args"


def policies_told(decision: Decision, *, arguments: bool = True) -> list[dict[str, Any]]:
    """The determining policies by id: ``{id, tier, file, effect, matched: {path: value}}``.

    Without ``arguments`` no value that stood in the call's arguments is among ``matched``.
    """
    return [_told(policy, arguments=arguments) for policy in sorted(decision.policies, key=lambda policy: policy.id)]


def decision_told(decision: Decision) -> Mapping[str, Any]:
    """What the caller gets of a decision where its route says so."""
    verdict = "permit" if isinstance(decision, Permit) else "deny" if isinstance(decision, Deny) else "ask"
    return {
        "decision_id": decision.hop.id,
        "verdict": verdict,
        "bundle": decision.bundle,
        "generation": decision.generation,
        "policies": policies_told(decision),
    }


def _told(policy: Determining, *, arguments: bool) -> dict[str, Any]:
    shown = [match for match in policy.matched if arguments or not match.path.startswith(ARGUMENTS)]
    return {
        "id": policy.id,
        "tier": policy.tier,
        "file": policy.file,
        "effect": policy.effect,
        "matched": {match.path: msgspec.to_builtins(match.value) for match in shown},
    }
