"""Cedar's ``like`` patterns and literal strings as bytes, and what a pattern itself says about paths.

Cedar's ``*`` stands for any characters, ``/`` and line ends too, and for none. Over UTF-8 that is any bytes: literal
parts begin and end at characters, so a path that is UTF-8 matches as text exactly if it matches as bytes. A path that
isn't UTF-8 has no Cedar string; it is matched as bytes.
"""

from cedarpy import pst
from msgspec import Struct


class Pattern(Struct, frozen=True, order=True):
    """Literal parts with a ``*`` between each two; a single part is a literal string."""

    parts: tuple[bytes, ...]

    @property
    def literal(self) -> bytes | None:
        """The only string that matches, or None."""
        return self.parts[0] if len(self.parts) == 1 else None

    @property
    def beginning(self) -> bytes | None:
        """What each match begins with, where nothing else is asked for; None otherwise."""
        return self.parts[0] if len(self.parts) == 2 and not self.parts[1] else None

    @property
    def stars(self) -> int:
        """How many ``*`` it has."""
        return len(self.parts) - 1

    def text(self) -> str:
        """The pattern as Cedar writes it, without quotes; a ``*`` of its own is escaped."""
        return "*".join(part.decode().replace("*", "\\*") for part in self.parts)


def literal(text: str) -> Pattern:
    """The pattern that only ``text`` matches."""
    return Pattern((_bytes(text),))


def like(pattern: tuple[pst.PatternElem, ...]) -> Pattern:
    """The pattern of a ``like``; neighbouring stars are one."""
    parts = [""]
    starred = False
    for element in pattern:
        if isinstance(element, pst.Char):
            parts[-1] += element.value
            starred = False
        elif not starred:
            parts.append("")
            starred = True
    return Pattern(tuple(map(_bytes, parts)))


def _bytes(text: str) -> bytes:
    return text.encode()
