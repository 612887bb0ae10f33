"""``shadow``: where agents' cgroups are, so that processes there that nobody registered are found."""

from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct, field

Pattern = Annotated[str, Meta(pattern="^/[^\\x00]{0,4000}$", description="an absolute path")]


class ShadowSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Looking for shadow agents; off without ``roots``."""

    roots: Annotated[list[Pattern], Meta(max_length=64)] = field(default_factory=list)
    """Patterns (glob(7)) of agents' cgroups, one cgroup an agent: ``/sys/fs/cgroup/agents/*``."""
    quarantine: bool = False
    """Whether they are put into the class ``quarantine``."""
    look_seconds: Annotated[float, Meta(ge=0.05, le=60, description="seconds, 0.05 to 60")] = 0.25
    cgroups: Annotated[int, Meta(ge=1, le=100_000)] = 4096
    """Looked at each time, those below included; that there are more is a problem of the status."""

    def misplaced(self, root: Path) -> int | None:
        """The index of the first pattern that can match nothing below ``root``, the mount of cgroups."""
        for index, each in enumerate(self.roots):
            pattern = Path(each)
            if root not in pattern.parents or ".." in pattern.parts:
                return index
        return None
