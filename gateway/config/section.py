"""A part of a configuration file that checks itself."""

from collections.abc import Iterable

from msgspec import Struct

from gateway.config.problems import Fault


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mapping with fixed keys. ``faults`` names the broken rules that concern several of its values."""

    def faults(self) -> Iterable[Fault]:
        """Faults of this section alone; keys are relative to it."""
        return ()
