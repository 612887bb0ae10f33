"""Member names as every reader must see them: one spelling, once.

Some parsers take ``task_id`` for ``taskId``, others ``Name`` for ``name``. A member that a lax reader could take
for a known one is refused, so the gateway never decides on one value while the upstream acts on another.
Doesn't touch members that nobody could mistake.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct


class AmbiguousMemberError(ValueError):
    """A member that some reader takes for a known one. The text names the known one, never the value."""


class Members(Struct, frozen=True):
    """The known members of an object: their names, by what all spellings of a name have in common."""

    names: Mapping[str, str]

    def exact(self, value: Mapping[str, Any]) -> None:
        """Refuse a known member in another spelling, e.g. ``Name`` where ``name`` is known.

        Raises:
            AmbiguousMemberError: there is one.
        """
        for name in value:
            known = self.names.get(_fold(name), name)
            if name != known:
                raise AmbiguousMemberError(f"a member spelled unlike {known}")

    def camel(self, value: Mapping[str, Any]) -> dict[str, Any]:
        """``value`` with proto field names (``task_id``) as their JSON names (``taskId``).

        Raises:
            AmbiguousMemberError: both spellings are there, or a third one.
        """
        renamed: dict[str, Any] = {}
        for name, inner in value.items():
            known = self.names.get(_fold(name), name)
            if name not in (known, _snake(known)):
                raise AmbiguousMemberError(f"a member spelled unlike {known}")
            if known in renamed:
                raise AmbiguousMemberError(f"{known} is there in two spellings")
            renamed[known] = inner
        return renamed


def members(*names: str) -> Members:
    """The known members, by their JSON names."""
    return Members({_fold(name): name for name in names})


def _fold(name: str) -> str:
    return name.replace("_", "").casefold()


def _snake(name: str) -> str:
    return "".join(f"_{char.lower()}" if char.isupper() else char for char in name)
