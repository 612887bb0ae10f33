"""The policies of the folder ``kernel/``. Whether they are good is told by ``policy.kernel``, before."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from msgspec import Struct

from gateway.core.kernel.actions import FOLDER, KernelPolicy
from gateway.core.policy.rule import parse_one
from gateway.core.policy.source import PolicySource, Problem, statements


class KernelPolicies(Struct, frozen=True, eq=False):
    """Policies of ``kernel/``."""

    policies: tuple[KernelPolicy, ...] = ()


def kernel_policies(sources: Sequence[PolicySource]) -> KernelPolicies:
    """Those of ``sources`` that lie in ``kernel/``; what can't be read, or has no ``@id``, is left out."""
    files = sorted((each for each in sources if each.path.startswith(f"{FOLDER}/")), key=lambda each: each.path)
    return KernelPolicies(tuple(policy for file in files for policy in _of(file)))


def _of(file: PolicySource) -> Iterator[KernelPolicy]:
    found = statements(file)
    for statement in () if isinstance(found, Problem) else found:
        tree = parse_one(statement)
        if isinstance(tree, Problem):
            continue
        name = tree.annotations.get("id")
        if name is not None:
            yield KernelPolicy(name, FOLDER, statement, replace(tree, id=name))
