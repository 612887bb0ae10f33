"""The ``hopgate`` member of W3C ``tracestate`` (Trace Context §3.3): read, taken out, put in. Other members stay.

Its value is a handle, a secret of the agent that it was given to: whoever reads a trace state here has it stripped
before anything else sees it. Doesn't know what a handle stands for (``proxy.handles``).
"""

from collections.abc import Iterable

KEY = "hopgate"
MOST_MEMBERS = 32
MOST_CHARS = 512
"""What every implementation has to pass on (§3.3.1.5)."""
LONG_MEMBER = 128
"""Longer members are the first to go where there is no room (§3.3.1.5)."""


def handles(texts: Iterable[str]) -> frozenset[str]:
    """The values of all ``hopgate`` members of trace states, as sent."""
    return frozenset(value for text in texts for key, value in map(_split, _members(text)) if key == KEY)


def stripped(text: str) -> str:
    """A trace state without ``hopgate`` members; empty if nothing is left."""
    return ",".join(member for member in _members(text) if _split(member)[0] != KEY)


def with_handle(text: str, handle: str) -> str:
    """A trace state that begins with the handle, within the limits that everybody keeps."""
    ours = f"{KEY}={handle}"
    others = _members(stripped(text))[: MOST_MEMBERS - 1]
    if _length(ours, others) > MOST_CHARS:
        others = [member for member in others if len(member) <= LONG_MEMBER]
    while _length(ours, others) > MOST_CHARS:
        others.pop()
    return ",".join((ours, *others))


def _members(text: str) -> list[str]:
    return [member for part in text.split(",") if (member := part.strip(" \t"))]


def _split(member: str) -> tuple[str, str]:
    key, _, value = member.partition("=")
    return key.rstrip(" \t"), value


def _length(ours: str, others: list[str]) -> int:
    return sum(len(member) + 1 for member in others) + len(ours)
