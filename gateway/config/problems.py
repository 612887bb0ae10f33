"""What is wrong with a configuration, where, and what to do about it.

A problem names the thing, the place, the likely cause and the next step. Nothing is printed here,
and a problem never repeats the value of a secret.
"""

import difflib
import re
from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

KeyPath = tuple[str | int, ...]
"""Keys and indices from the top of a document to a value."""

Severity = Literal["error", "warning"]
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")


class Place(Struct, frozen=True):
    """Where a value was written. ``line`` and ``column`` count from 1; 0 is the whole file.

    ``variable`` is the environment variable that set the value, and then there is no line.
    """

    file: str
    line: int = 0
    column: int = 0
    variable: str = ""


class Fault(Struct, frozen=True):
    """A broken rule, found by a value about itself: ``key`` is relative to that value."""

    key: KeyPath
    message: str
    hint: str = ""
    severity: Severity = "error"


class Problem(Struct, frozen=True):
    """One finding, ready to be read by a person: ``file:line: key: message (hint)``."""

    file: str
    line: int
    key: str
    message: str
    hint: str = ""
    severity: Severity = "error"

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        parts = [where, self.key, "warning" if self.severity == "warning" else "", self.message]
        text = ": ".join(part for part in parts if part)
        return f"{text} ({self.hint})" if self.hint else text


class Problems(Struct, frozen=True):
    """Why a configuration was refused: every problem found, in the order of files and lines."""

    items: tuple[Problem, ...]

    def __str__(self) -> str:
        return "\n".join(str(item) for item in self.items)

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that refuse the configuration."""
        return tuple(item for item in self.items if item.severity == "error")


def render_key(path: KeyPath) -> str:
    """``issuers[0].jwks_uri``; keys that aren't plain words are quoted: ``people["corp|maria"]``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _PLAIN_KEY.fullmatch(part):
            text += f".{part}" if text else part
        else:
            text += f'["{part}"]'
    return text


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that ``word`` most likely stands for, case aside, or None."""
    by_folded = {candidate.casefold(): candidate for candidate in known}
    folded = word.casefold()
    found = difflib.get_close_matches(folded, by_folded, n=1, cutoff=0.6)
    found = found or [candidate for candidate in by_folded if len(folded) > 1 and candidate.startswith(folded)]
    return by_folded[found[0]] if len(found) == 1 else None


def suggest(word: str, known: Iterable[str]) -> str:
    """``did you mean "x"?``, or else the known words, or else nothing: a hint for a misspelt word."""
    candidates = sorted(known)
    close = nearest(word, candidates)
    if close is not None:
        return f'did you mean "{close}"?'
    if not candidates:
        return ""
    shown = ", ".join(candidates[:12])
    return f"known: {shown}" + (", …" if len(candidates) > 12 else "")
