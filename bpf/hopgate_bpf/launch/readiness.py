"""Whether an agent of a class may be started on this node now: its rules are genuine, and the kernel has them.

Looks itself, and asks no running loader process: what counts is what is pinned and what was signed.
"""

from pathlib import Path

from msgspec import Struct

from hopgate_bpf.node.accepting import pinned_keys, verified
from hopgate_bpf.node.kept import StateFolder
from hopgate_bpf.node.loader import Loader
from hopgate_bpf.node.settings import Settings
from hopgate_bpf.rules.document import ClassRules
from hopgate_bpf.rules.refusal import Reason, RefusedError


class Ready(Struct, frozen=True):
    """What an agent is started under."""

    rules: ClassRules
    generation: int


async def ready(settings: Settings, loader: Loader, class_name: str, *, partly: bool = False) -> Ready:
    """The rules that an agent of ``class_name`` would run under.

    ``partly``: also where the kernel can't enforce all of them; without, that is refused.

    Raises:
        RefusedError: NOT_ENFORCED, CLASS_UNKNOWN, or what makes the accepted document unusable.
    """
    kept = StateFolder(Path(settings.state)).accepted()
    if kept is None:
        raise RefusedError(Reason.NOT_ENFORCED, f"no rules were accepted yet: there are none in {settings.state}")
    found = verified(kept.jws.encode("ascii", "replace"), pinned_keys(Path(settings.keys)), settings.node)
    status = await loader.status()
    if not status.loaded:
        raise RefusedError(Reason.NOT_ENFORCED, f"the programs aren't pinned at {settings.loader.pins}")
    if not found.rules.generation == kept.generation == status.generation:
        text = f"generation {found.rules.generation} was accepted, the kernel has {status.generation or 'none'}"
        raise RefusedError(Reason.NOT_ENFORCED, text)
    if status.detached:
        raise RefusedError(Reason.NOT_ENFORCED, f"not attached any more: {', '.join(status.detached)[:400]}")
    if status.not_enforced and not partly:
        text = "; ".join(status.not_enforced)[:400]
        raise RefusedError(Reason.NOT_ENFORCED, f"this kernel doesn't enforce all: {text}; --partly starts it anyway")
    rules = found.rules.of_class(class_name)
    if rules is None:
        known = ", ".join(each.name for each in found.rules.classes)
        raise RefusedError(Reason.CLASS_UNKNOWN, f"no rules for {class_name[:80]}, but for: {known[:300]}")
    return Ready(rules, found.rules.generation)
