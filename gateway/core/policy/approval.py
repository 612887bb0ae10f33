"""The shape of ``@approval`` policies: forbids that people can lift, and nothing else that depends on approval.

Keeps one meaning for "approved": it can only take away the forbid that asked for it.
"""

from collections.abc import Iterable, Iterator

from cedarpy import pst

from gateway.core.policy.footprint import footprint
from gateway.core.policy.rule import Rule
from gateway.core.policy.source import Problem, did_you_mean

LIFTED = pst.Unless(pst.GetAttr(pst.Var("context"), "approved"))


def approval_problems(rule: Rule, groups: Iterable[str]) -> Iterator[Problem]:
    """What is wrong with the policy's use of ``@approval``, ``context.approved`` and ``context.approvers``."""
    tree = rule.tree
    if rule.approval is not None:
        if rule.effect != "forbid":
            yield rule.problem("@approval goes on a forbid: it names the people who may lift it", "approval")
        if tree.clauses[-1:] != (LIFTED,):
            yield rule.problem(
                "an @approval policy must end in exactly `unless { context.approved };`, as its last clause", "approval"
            )
        if rule.approval not in set(groups):
            near = did_you_mean(rule.approval, groups)
            message = f'@approval names group "{rule.approval}", which nobody is in{near}'
            yield rule.problem(message, rule.approval)
        tree = _without_last_clause(tree)
    reads = footprint(tree)
    if reads.reads_context("approved"):
        yield rule.problem(
            "only the last clause of an @approval policy may read `context.approved`; "
            "add @approval, or leave the test out",
            "approved",
        )
    if reads.reads_context("approvers") and (rule.place.tier != "guardrails" or rule.effect != "forbid"):
        yield rule.problem("only forbids in guardrails/ may read `context.approvers`; move the policy", "approvers")


def _without_last_clause(tree: pst.Template) -> pst.Template:
    return pst.Template(
        tree.id, tree.effect, tree.principal, tree.action, tree.resource, tree.clauses[:-1], tree.annotations
    )
